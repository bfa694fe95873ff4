//! Replies (RFC 5321 §4.2, RFC 2034).

use std::borrow::Cow;
use std::fmt;
use std::io::Write;

/// `class.subject.detail` (RFC 3463 §2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EnhancedStatus(pub u8, pub u16, pub u16);

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// One answer, of one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    code: u16,
    status: Option<EnhancedStatus>,
    text: Cow<'static, str>,
}

impl Reply {
    /// `code` is a three-digit code of RFC 5321 §4.2; `status` stands in all replies of class 2, 4
    /// and 5 except the greeting and the one to LHLO (RFC 2034 §4).
    pub fn new(code: u16, status: Option<EnhancedStatus>, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, status, text: text.into() }
    }

    /// The three-digit code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status.
    pub fn status(&self) -> Option<EnhancedStatus> {
        self.status
    }

    /// The text, as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Appends `Reply-line = Reply-code [SP textstring] CRLF`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve(self.text.len() + 24);
        // Writing to a Vec cannot fail.
        let _ = match self.status {
            Some(status) => write!(out, "{:03} {status} ", self.code),
            None => write!(out, "{:03} ", self.code),
        };
        write_text(out, &self.text);
    }
}

/// What LHLO announces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extension {
    /// RFC 2920
    Pipelining,
    /// RFC 6152
    EightBitMime,
    /// RFC 6531
    SmtpUtf8,
    /// RFC 3030
    Chunking,
    /// RFC 1870: octets of the largest message.
    Size(u64),
    /// RFC 2034
    EnhancedStatusCodes,
    /// RFC 3207
    StartTls,
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pipelining => "PIPELINING",
            Self::EightBitMime => "8BITMIME",
            Self::SmtpUtf8 => "SMTPUTF8",
            Self::Chunking => "CHUNKING",
            Self::Size(octets) => return write!(f, "SIZE {octets}"),
            Self::EnhancedStatusCodes => "ENHANCEDSTATUSCODES",
            Self::StartTls => "STARTTLS",
        })
    }
}

/// `ehlo-ok-rsp` (RFC 5321 §4.1.1.1): the reply to LHLO, one line for each extension.
pub fn write_lhlo_reply(out: &mut Vec<u8>, host: &str, extensions: &[Extension]) {
    let lines: Vec<String> = [host.to_owned()].into_iter().chain(extensions.iter().map(Extension::to_string)).collect();
    for (i, line) in lines.iter().enumerate() {
        out.extend_from_slice(if i + 1 == lines.len() { b"250 " } else { b"250-" });
        write_text(out, line);
    }
}

/// `textstring = 1*(%d09 / %d32-126)` (RFC 5321 §4.2) and the line end.
fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend(text.chars().map(|c| match c {
        ' '..='~' => c as u8,
        c if c.is_control() => b' ',
        _ => b'?',
    }));
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies() {
        let mut out = Vec::new();
        Reply::new(250, Some(EnhancedStatus(2, 1, 5)), "fine").write(&mut out);
        Reply::new(354, None, "go\r\n250 on ü").write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "250 2.1.5 fine\r\n354 go  250 on ?\r\n");
    }

    #[test]
    fn lhlo() {
        // RFC 2033 §4.2
        let mut out = Vec::new();
        write_lhlo_reply(&mut out, "foo.edu", &[Extension::Pipelining, Extension::Size(52_428_800)]);
        assert_eq!(String::from_utf8(out).unwrap(), "250-foo.edu\r\n250-PIPELINING\r\n250 SIZE 52428800\r\n");
        let mut out = Vec::new();
        write_lhlo_reply(&mut out, "foo.edu", &[]);
        assert_eq!(out, b"250 foo.edu\r\n");
    }
}
