//! ENVELOPE, BODY and BODYSTRUCTURE that are ready to send, in ASCII.
//!
//! They are read as what they are on the wire, nested lists of strings, and changed at the places that
//! RFC 9051 §7.5.2 names.

use super::{addresses, encode};
use crate::{
    Address, Mailbox,
    envelope::write_addresses,
    wire::{nstring, string},
};

/// Deeper than any text that we write ([`crate::Structure`] has two levels for a part).
const DEEPEST: usize = 500;

/// A value on the wire.
#[derive(Clone, Debug)]
enum Node {
    Nil,
    String(Vec<u8>),
    /// Numbers, as they stand.
    Atom(Vec<u8>),
    List(Vec<Node>),
}

/// An ENVELOPE in ASCII. What is none comes back as it is.
pub fn downgrade_envelope(ready: &[u8]) -> Vec<u8> {
    rewritten(ready, envelope)
}

/// A BODYSTRUCTURE in ASCII, or the BODY of it, for RFC 3501: message/global is a leaf there
/// (RFC 9755 §3). What is none comes back as it is.
pub fn downgrade_structure(ready: &[u8], extensible: bool) -> Vec<u8> {
    rewritten(ready, |node| body(node, extensible))
}

fn rewritten(ready: &[u8], rewrite: impl FnOnce(&mut Node)) -> Vec<u8> {
    let mut reader = Reader { rest: ready, depth: 0 };
    match reader.node() {
        Some(mut node) if reader.rest.is_empty() => {
            rewrite(&mut node);
            let mut out = Vec::with_capacity(ready.len());
            node.write(&mut out);
            out
        }
        _ => ready.to_vec(),
    }
}

/// `env-date SP env-subject SP env-from SP … SP env-in-reply-to SP env-message-id`
fn envelope(node: &mut Node) {
    let Node::List(items) = node else { return };
    for (at, item) in items.iter_mut().enumerate() {
        match at {
            0 | 1 => item.unstructured(),
            2..=7 => address_list(item),
            // RFC 6857 §3.2.3: the field has another name now.
            _ if item.is_utf8_beyond_ascii() => *item = Node::Nil,
            _ => {}
        }
    }
}

fn address_list(node: &mut Node) {
    let Node::List(items) = node else { return };
    let list: Vec<_> = items.iter().map(Node::address).collect();
    // Its text is written as that of any envelope.
    let mut text = Vec::new();
    write_addresses(&addresses(&list), &mut text);
    *node = Node::Atom(text);
}

/// `body-type-mpart / body-type-1part`
fn body(node: &mut Node, extensible: bool) {
    let Node::List(items) = node else { return };
    let parts = items.iter().take_while(|item| matches!(item, Node::List(_))).count();
    let own = if parts > 0 {
        items.iter_mut().take(parts).for_each(|part| body(part, extensible));
        if let Some(params) = items.get_mut(parts + 1) {
            self::params(params);
        }
        parts + 1
    } else {
        single(items, extensible)
    };
    if !extensible {
        items.truncate(own);
        return;
    }
    // Without the MD5 of a part, or the parameters of a multipart: disposition, language, location.
    let mut rest = items.iter_mut().skip(own + 1);
    if let Some(Node::List(disposition)) = rest.next() {
        disposition.iter_mut().skip(1).for_each(params);
    }
    rest.for_each(Node::unstructured);
}

/// The fields of a part that is no multipart; gives how many are no extension data.
fn single(items: &mut Vec<Node>, extensible: bool) -> usize {
    let is = |at: usize, word: &str| matches!(items.get(at), Some(Node::String(s)) if s.eq_ignore_ascii_case(word.as_bytes()));
    let (text, message, global) =
        (is(0, "text"), is(0, "message") && is(1, "rfc822"), is(0, "message") && is(1, "global"));
    if global && matches!(items.get(7), Some(Node::List(_))) {
        items.drain(7..items.len().min(10));
    }
    for (at, item) in items.iter_mut().enumerate().take(10) {
        match at {
            2 => params(item),
            3 | 4 => item.unstructured(),
            7 if message => envelope(item),
            8 if message => body(item, extensible),
            _ => {}
        }
    }
    match (text, message) {
        (true, _) => 8,
        (_, true) => 10,
        _ => 7,
    }
}

/// `"(" string SP string *(SP string SP string) ")"` (RFC 6857 §3.1.4)
fn params(node: &mut Node) {
    let Node::List(items) = node else { return };
    for pair in items.chunks_exact_mut(2) {
        let [Node::String(name), Node::String(value)] = pair else { continue };
        let Some(text) = std::str::from_utf8(value).ok().filter(|text| !text.is_ascii()) else { continue };
        if name.last() != Some(&b'*') {
            name.push(b'*');
        }
        *value = encode::extended(text).into_bytes();
    }
}

impl Node {
    fn is_utf8_beyond_ascii(&self) -> bool {
        matches!(self, Self::String(value) if !value.is_ascii() && std::str::from_utf8(value).is_ok())
    }

    fn unstructured(&mut self) {
        if let Self::String(value) = self
            && let Ok(text) = std::str::from_utf8(value)
            && !text.is_ascii()
        {
            *value = encode::unstructured(text).into_bytes();
        }
    }

    fn text(&self) -> Option<Vec<u8>> {
        match self {
            Self::String(value) => Some(value.clone()),
            _ => None,
        }
    }

    /// `"(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"`
    fn address(&self) -> Address {
        let part = |at: usize| match self {
            Self::List(items) => items.get(at).and_then(Self::text),
            _ => None,
        };
        match (part(2), part(3)) {
            (Some(local), Some(host)) => Address::Mailbox(Mailbox { name: part(0), route: part(1), local, host }),
            (Some(name), None) => Address::GroupStart(name),
            _ => Address::GroupEnd,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Nil => nstring(None, out),
            Self::String(value) => string(value, out),
            Self::Atom(text) => out.extend_from_slice(text),
            Self::List(items) => {
                out.push(b'(');
                // RFC 9051 §9: the bodies of a multipart, `1*body`, have nothing between them.
                let mut only_lists = true;
                for (at, item) in items.iter().enumerate() {
                    only_lists &= matches!(item, Self::List(_));
                    if at > 0 && !only_lists {
                        out.push(b' ');
                    }
                    item.write(out);
                }
                out.push(b')');
            }
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    depth: usize,
}

impl Reader<'_> {
    fn eat(&mut self, byte: u8) -> bool {
        let rest = self.rest.strip_prefix(&[byte]);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn node(&mut self) -> Option<Node> {
        match self.rest.first()? {
            b'(' => self.list(),
            b'"' => self.quoted(),
            b'{' => self.literal(),
            _ => {
                let end = self.rest.iter().position(|b| b" ()".contains(b)).unwrap_or(self.rest.len());
                let (atom, rest) = self.rest.split_at_checked(end)?;
                self.rest = rest;
                (!atom.is_empty()).then(|| if atom == b"NIL" { Node::Nil } else { Node::Atom(atom.to_vec()) })
            }
        }
    }

    fn list(&mut self) -> Option<Node> {
        self.eat(b'(');
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let mut items = Vec::new();
        while !self.eat(b')') {
            self.eat(b' ');
            items.push(self.node()?);
        }
        self.depth -= 1;
        Some(Node::List(items))
    }

    fn quoted(&mut self) -> Option<Node> {
        self.eat(b'"');
        let mut value = Vec::new();
        loop {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                b'"' => return Some(Node::String(value)),
                b'\\' => {
                    let (&escaped, rest) = self.rest.split_first()?;
                    self.rest = rest;
                    value.push(escaped);
                }
                byte => value.push(byte),
            }
        }
    }

    fn literal(&mut self) -> Option<Node> {
        let end = memchr::memchr(b'}', self.rest)?;
        let size: usize = std::str::from_utf8(self.rest.get(1..end)?).ok()?.parse().ok()?;
        let (value, rest) = self.rest.get(end + 1..)?.strip_prefix(b"\r\n")?.split_at_checked(size)?;
        self.rest = rest;
        Some(Node::String(value.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use types::Limits;

    use super::*;
    use crate::{Envelope, Structure, parse};

    fn envelope_of(header: &str) -> String {
        let mut ready = Vec::new();
        Envelope::of(crate::Header::new(header.as_bytes())).write(&mut ready);
        String::from_utf8(downgrade_envelope(&ready)).unwrap()
    }

    #[test]
    fn envelopes() {
        assert_eq!(
            envelope_of(
                "Subject: ü\r\nFrom: Jörg <j@x>\r\nTo: ä@x, b@y\r\nMessage-ID: <ö@x>\r\nIn-Reply-To: <a@b>\r\n"
            ),
            "(NIL \"=?UTF-8?B?w7w=?=\" ((\"=?UTF-8?B?SsO2cmc=?=\" NIL \"j\" \"x\")) ((\"=?UTF-8?B?SsO2cmc=?=\" NIL \"j\" \"x\")) \
             ((\"=?UTF-8?B?SsO2cmc=?=\" NIL \"j\" \"x\")) ((NIL NIL \"=?UTF-8?B?w6RAeA==?=\" NIL)(NIL NIL NIL NIL)(NIL NIL \"b\" \"y\")) \
             NIL NIL \"<a@b>\" NIL)"
        );
    }

    #[test]
    fn structures() {
        let message = "Content-Type: multipart/mixed; boundary=b; x=ü\r\n\r\n--b\r\nContent-Type: text/plain\r\nContent-Description: ü\r\n\r\na\r\n\
            --b\r\nContent-Disposition: attachment; filename=\"ü.txt\"\r\nContent-Type: image/png; name*=utf-8''%c3%bc\r\n\r\n\r\n\
            --b\r\nContent-Type: message/global\r\n\r\nSubject: ü\r\n\r\nx\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: ü\r\n\r\nx\r\n--b--\r\n";
        let structure = Structure::of(&parse(message.as_bytes(), &Limits::default()));
        let text = |extensible| String::from_utf8(downgrade_structure(&structure.text, extensible)).unwrap();
        assert_eq!(
            text(true),
            "((\"text\" \"plain\" (\"CHARSET\" \"US-ASCII\") NIL \"=?UTF-8?B?w7w=?=\" \"7BIT\" 1 0 NIL NIL NIL NIL)\
             (\"image\" \"png\" (\"name*\" \"UTF-8''%C3%BC\") NIL NIL \"7BIT\" 0 NIL (\"attachment\" (\"filename*\" \"UTF-8''%C3%BC.txt\")) NIL NIL)\
             (\"message\" \"global\" NIL NIL NIL \"7BIT\" 16 NIL NIL NIL NIL)\
             (\"message\" \"rfc822\" NIL NIL NIL \"7BIT\" 16 (NIL \"=?UTF-8?B?w7w=?=\" NIL NIL NIL NIL NIL NIL NIL NIL) \
             (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 1 0 NIL NIL NIL NIL) 2 NIL NIL NIL NIL) \
             \"mixed\" (\"boundary\" \"b\" \"x*\" \"UTF-8''%C3%BC\") NIL NIL NIL)"
        );
        assert_eq!(
            text(false),
            "((\"text\" \"plain\" (\"CHARSET\" \"US-ASCII\") NIL \"=?UTF-8?B?w7w=?=\" \"7BIT\" 1 0)\
             (\"image\" \"png\" (\"name*\" \"UTF-8''%C3%BC\") NIL NIL \"7BIT\" 0)\
             (\"message\" \"global\" NIL NIL NIL \"7BIT\" 16)\
             (\"message\" \"rfc822\" NIL NIL NIL \"7BIT\" 16 (NIL \"=?UTF-8?B?w7w=?=\" NIL NIL NIL NIL NIL NIL NIL NIL) \
             (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 1 0) 2) \"mixed\")"
        );
    }

    proptest! {
        #[test]
        fn what_is_ascii_stays(seed in "[ -~\\r\\n]{0,300}", kind in "(text/plain; a=b|message/rfc822|multipart/mixed; boundary=x|image/x)") {
            let message = format!("Content-Type: {kind}\r\nFrom: a@b, c: d@e;\r\n\r\n--x\r\n{seed}");
            let structure = Structure::of(&parse(message.as_bytes(), &Limits::default()));
            prop_assert_eq!(downgrade_structure(&structure.text, true), structure.text.clone());
            let mut body = Vec::new();
            structure.write_body(&mut body);
            prop_assert_eq!(downgrade_structure(&structure.text, false), body);
        }

        #[test]
        fn rubbish_does_no_harm(ready in "[(]{0,3}(NIL|\"|[(]|[)]| |[{]1[}]\r\n|x|ü|\\\\){0,40}") {
            downgrade_envelope(ready.as_bytes());
            downgrade_structure(ready.as_bytes(), true);
        }
    }
}
