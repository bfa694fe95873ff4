//! The tag that ties an answer to its command.

use std::fmt;

/// `tag` of RFC 9051 §9: `1*<any ASTRING-CHAR except "+">`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Tag(Box<str>);

impl Tag {
    /// Longer ones are refused: a tag comes back in the answer.
    pub const MAX_LEN: usize = 255;

    /// `None` where the octets are no tag.
    pub fn new(octets: &[u8]) -> Option<Self> {
        let fits = (1..=Self::MAX_LEN).contains(&octets.len()) && octets.iter().all(|&b| is_tag_char(b));
        let text = std::str::from_utf8(octets).ok().filter(|_| fits)?;
        Some(Self(text.into()))
    }

    /// The tag of a line whose rest may be broken: what stands before its first space or end.
    pub fn of_line(line: &[u8]) -> Option<Self> {
        let end = line.iter().position(|b| matches!(b, b' ' | b'\r' | b'\n')).unwrap_or(line.len());
        Self::new(line.get(..end)?)
    }

    /// As the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_tag_char(b: u8) -> bool {
    super::lex::is_astring_char(b) && b != b'+'
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        assert_eq!(Tag::of_line(b"a1 NOOP").unwrap().as_str(), "a1");
        assert_eq!(Tag::of_line(b"]x\r\n").unwrap().as_str(), "]x");
        for bad in [&b""[..], b" NOOP", b"+ NOOP", b"a+ NOOP", b"(a NOOP", b"\xc3\xa4 NOOP", b"a\0 NOOP", b"* NOOP"] {
            assert_eq!(Tag::of_line(bad), None, "{bad:?}");
        }
        assert!(Tag::new(&[b'x'; 255]).is_some() && Tag::new(&[b'x'; 256]).is_none());
    }
}
