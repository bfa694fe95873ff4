//! The first address of a list in an ENVELOPE that is ready to send: what SORT wants of it.

use std::borrow::Cow;

/// A list of addresses in an envelope (RFC 9051 §7.5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressList {
    /// env-from
    From,
    /// env-to
    To,
    /// env-cc
    Cc,
}

/// `address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"`, as it stands: encoded
/// words are not decoded. `None` is NIL.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FirstAddress<'a> {
    /// addr-name
    pub name: Option<Cow<'a, [u8]>>,
    /// addr-mailbox; of a group its name.
    pub mailbox: Option<Cow<'a, [u8]>>,
    /// addr-host
    pub host: Option<Cow<'a, [u8]>>,
}

/// Reads it; `None` where the list is NIL.
pub(super) fn first_address(envelope: &[u8], list: AddressList) -> Option<FirstAddress<'_>> {
    let mut rest = Rest(envelope);
    rest.eat(b'(')?;
    // env-date SP env-subject, and each with the space behind it.
    for _ in 0..2 {
        rest.skip_string()?;
        rest.eat(b' ')?;
    }
    // env-from SP env-sender SP env-reply-to SP env-to SP env-cc
    let before = match list {
        AddressList::From => 0,
        AddressList::To => 3,
        AddressList::Cc => 4,
    };
    for _ in 0..before {
        rest.skip_list()?;
        rest.eat(b' ')?;
    }
    rest.eat(b'(')?;
    rest.eat(b'(')?;
    let name = rest.string()?;
    rest.eat(b' ')?;
    rest.skip_string()?;
    rest.eat(b' ')?;
    let mailbox = rest.string()?;
    rest.eat(b' ')?;
    Some(FirstAddress { name, mailbox, host: rest.string()? })
}

/// What was not read yet. Everything is `None` on octets that are no envelope.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn eat(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    /// A string or NIL, between its delimiters; and whether it holds quoted pairs.
    fn raw(&mut self) -> Option<Option<(&'a [u8], bool)>> {
        if let Some(rest) = self.0.strip_prefix(b"NIL") {
            self.0 = rest;
            return Some(None);
        }
        if let Some(rest) = self.0.strip_prefix(b"{") {
            let end = memchr::memchr(b'}', rest)?;
            let size: usize = std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()?;
            let content = rest.get(end + 1..)?.strip_prefix(b"\r\n")?;
            let (content, rest) = content.split_at_checked(size)?;
            self.0 = rest;
            return Some(Some((content, false)));
        }
        let inner = self.0.strip_prefix(b"\"")?;
        let (mut at, mut escapes) = (0, false);
        loop {
            at += memchr::memchr2(b'"', b'\\', inner.get(at..)?)?;
            if inner.get(at) == Some(&b'"') {
                self.0 = inner.get(at + 1..)?;
                return Some(Some((inner.get(..at)?, escapes)));
            }
            (at, escapes) = (at + 2, true);
        }
    }

    fn string(&mut self) -> Option<Option<Cow<'a, [u8]>>> {
        Some(self.raw()?.map(|(content, escapes)| if escapes { Cow::Owned(unescape(content)) } else { content.into() }))
    }

    fn skip_string(&mut self) -> Option<()> {
        self.raw().map(drop)
    }

    /// NIL or addresses in parentheses.
    fn skip_list(&mut self) -> Option<()> {
        if let Some(rest) = self.0.strip_prefix(b"NIL") {
            self.0 = rest;
            return Some(());
        }
        self.eat(b'(')?;
        while self.eat(b'(').is_some() {
            for _ in 0..4 {
                self.skip_string()?;
                // The last of them stands before the parenthesis.
                let _ = self.eat(b' ');
            }
            self.eat(b')')?;
        }
        self.eat(b')')
    }
}

fn unescape(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    let mut bytes = content.iter();
    while let Some(&byte) = bytes.next() {
        out.extend(if byte == b'\\' { bytes.next().copied() } else { Some(byte) });
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Envelope, Header};

    /// name, mailbox, host; `-` for NIL.
    fn first(header: &str, list: AddressList) -> Option<String> {
        let mut envelope = Vec::new();
        Envelope::of(Header::new(header.as_bytes())).write(&mut envelope);
        let text = |t: Option<Cow<'_, [u8]>>| t.map_or("-".into(), |t| String::from_utf8_lossy(&t).into_owned());
        first_address(&envelope, list).map(|a| [text(a.name), text(a.mailbox), text(a.host)].join("|"))
    }

    #[test]
    fn lists() {
        use AddressList::*;
        let header = "Date: x\"(\r\nSubject: ü (\"\r\nFrom: \"A \\\"B\\\" \\\\\" <a@x>, b@y\r\nTo: g: c@z;\r\nCc: Jörg <j@x>\r\n";
        assert_eq!(first(header, From).as_deref(), Some("A \"B\" \\|a|x"));
        assert_eq!(first(header, To).as_deref(), Some("-|g|-"));
        assert_eq!(first(header, Cc).as_deref(), Some("Jörg|j|x"));
        assert_eq!(first("Subject: x\r\n", From), None);
        assert_eq!(first("Cc: d@e\r\n", Cc).as_deref(), Some("-|d|e"));
    }

    proptest! {
        #[test]
        fn rubbish_does_no_harm(envelope in "[(]?(NIL|\"|[(]|[)]| |[{]1[}]\r\n|x|\\\\){0,30}") {
            for list in [AddressList::From, AddressList::To, AddressList::Cc] {
                let _ = first_address(envelope.as_bytes(), list);
            }
        }
    }
}
