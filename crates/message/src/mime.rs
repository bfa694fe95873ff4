//! Content-Type, Content-Disposition and their parameters (RFC 2045 §5, RFC 2183, RFC 2231).
//!
//! What cannot be read as a media type is text/plain, as RFC 2045 §5.2 says. Parameters are read
//! leniently: missing semicolons and quotes, white space, comments anywhere.

use std::borrow::Cow;

use crate::{Charset, cursor::Cursor, header::Header, transfer, words};

/// A media type with its parameters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContentType {
    /// As written; compare in any case. A token of printable ASCII.
    pub main: String,
    /// As written; compare in any case. A token of printable ASCII.
    pub sub: String,
    /// In order.
    pub params: Params,
}

/// Content-Disposition (RFC 2183).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disposition {
    /// `inline`, `attachment` or something newer; as written.
    pub kind: String,
    /// In order.
    pub params: Params,
}

/// Parameters in their order, RFC 2231 undone.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Params(Vec<Param>);

/// One parameter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Param {
    /// As written; ends in `*` where the value said its charset, as RFC 9051 §7.5.2 has it.
    pub name: String,
    /// As written, or UTF-8 where it said its charset.
    pub value: Vec<u8>,
}

/// Parameters of one field that are looked at.
const MOST_PARAMS: usize = 500;

impl ContentType {
    /// `text/plain; charset=us-ascii`: what a body is where nothing, or nonsense, is said (RFC 2045 §5.2).
    pub fn text_plain() -> Self {
        Self { main: "TEXT".into(), sub: "PLAIN".into(), params: Params::default().with_default_charset() }
    }

    /// What a part of a multipart/digest is by default (RFC 2046 §5.1.5).
    pub(crate) fn message_rfc822() -> Self {
        Self { main: "MESSAGE".into(), sub: "RFC822".into(), params: Params::default() }
    }

    /// By the value of a Content-Type field.
    pub fn parse(value: &[u8]) -> Option<Self> {
        // Old macOS mailers wrote the whole field as encoded words.
        let value = match value.trim_ascii_start() {
            v if v.starts_with(b"=?") => Cow::Owned(words::decode(v).into_bytes()),
            _ => Cow::Borrowed(value),
        };
        let mut cursor = Cursor::new(&value);
        cursor.skip_comments();
        let main = token(&mut cursor)?;
        cursor.skip_comments();
        if !cursor.eat(b'/') {
            return None;
        }
        cursor.skip_comments();
        let sub = token(&mut cursor)?;
        let params = Params::parse(&mut cursor);
        Some(Self { main, sub, params })
    }

    /// Of the part that has this header.
    pub fn of(header: Header<'_>) -> Option<Self> {
        Self::parse(header.first("Content-Type")?.value)
    }

    /// Whether it is this type, in any case.
    pub fn is(&self, main: &str, sub: &str) -> bool {
        self.main.eq_ignore_ascii_case(main) && self.sub.eq_ignore_ascii_case(sub)
    }

    /// Whether it is `multipart/…`.
    pub fn is_multipart(&self) -> bool {
        self.main.eq_ignore_ascii_case("multipart")
    }

    /// Whether it is `text/…`.
    pub fn is_text(&self) -> bool {
        self.main.eq_ignore_ascii_case("text")
    }

    /// Whether a message is inside: message/rfc822, or message/global (RFC 6532).
    pub fn is_message(&self) -> bool {
        self.is("message", "rfc822") || self.is("message", "global")
    }

    /// The charset of the text; the guess where none is named or nobody knows it.
    pub fn charset(&self) -> Charset {
        self.params.get("charset").map_or(Charset::ASCII, Charset::named_or_guess)
    }

    /// What separates the parts of a multipart.
    pub(crate) fn boundary(&self) -> Option<&[u8]> {
        // RFC 2046 §5.1.1: a boundary does not end in white space, and has at least one character.
        self.params.get("boundary").map(<[u8]>::trim_ascii_end).filter(|boundary| !boundary.is_empty())
    }
}

impl Disposition {
    /// By the value of a Content-Disposition field.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(value);
        cursor.skip_comments();
        let kind = token(&mut cursor)?;
        let params = Params::parse(&mut cursor);
        Some(Self { kind, params })
    }
}

impl Params {
    /// The value of the first parameter of this name, whether it said its charset or not.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let is = |p: &&Param| p.name.strip_suffix('*').unwrap_or(&p.name).eq_ignore_ascii_case(name);
        self.0.iter().find(is).map(|p| p.value.as_slice())
    }

    /// With the charset of a text that names none.
    pub(crate) fn with_default_charset(&self) -> Self {
        let charset = Param { name: "CHARSET".into(), value: b"US-ASCII".to_vec() };
        Self(self.0.iter().cloned().chain([charset]).collect())
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Param> {
        self.0.iter()
    }

    /// What follows the type: `*(";" attribute "=" value)`.
    fn parse(cursor: &mut Cursor<'_>) -> Self {
        let mut written = Vec::new();
        while written.len() < MOST_PARAMS {
            cursor.skip_comments();
            if cursor.eat(b';') {
                continue;
            }
            let name = cursor.take_while(|b| !matches!(b, b'=' | b';' | b'(') && b.is_ascii_graphic());
            cursor.skip_comments();
            if cursor.eat(b'=') {
                cursor.skip_comments();
                let value = if cursor.peek() == Some(b'"') { cursor.quoted() } else { bare_value(cursor).to_vec() };
                if let (false, Ok(name)) = (name.is_empty(), std::str::from_utf8(name)) {
                    written.push(Written::new(name, value));
                }
            } else if cursor.is_end() {
                break;
            } else if name.is_empty() && cursor.peek() != Some(b';') {
                cursor.bump();
            }
        }
        Self(join(&written))
    }
}

/// A parameter as it stands, its name taken apart: `base ["*" section] ["*"]` (RFC 2231 §7).
struct Written<'a> {
    name: &'a str,
    base: &'a str,
    section: Option<u64>,
    extended: bool,
    value: Vec<u8>,
}

impl<'a> Written<'a> {
    fn new(name: &'a str, value: Vec<u8>) -> Self {
        let (inner, extended) = name.strip_suffix('*').map_or((name, false), |inner| (inner, true));
        let section = |(base, digits): (&'a str, &str)| Some((base, u64::from(digits.parse::<u32>().ok()?)));
        match inner.rsplit_once('*').and_then(section) {
            Some((base, section)) => Self { name, base, section: Some(section), extended, value },
            None => Self { name, base: inner, section: None, extended, value },
        }
    }
}

/// Puts continuations together and decodes what said its charset: "the server should decode them per
/// [RFC2231], convert to UTF-8, concatenate, and return the resulting value as a parameter "foo*""
/// (RFC 9051 §7.5.2).
fn join(written: &[Written<'_>]) -> Vec<Param> {
    let mut out: Vec<Param> = Vec::with_capacity(written.len());
    for (i, param) in written.iter().enumerate() {
        let same = |other: &&Written<'_>| other.section.is_some() && other.base.eq_ignore_ascii_case(param.base);
        if param.section.is_none() && !param.extended {
            out.push(Param { name: param.name.into(), value: param.value.clone() });
        } else if param.section.is_none() {
            out.push(Param { name: param.name.into(), value: extended(&[param]) });
        } else if !written.iter().take(i).any(|other| same(&other)) {
            // The sections 0, 1, … may stand in any order; after a gap nothing is believed.
            let mut sections: Vec<_> = written.iter().filter(same).collect();
            sections.sort_by_key(|section| section.section);
            let first = sections.first().and_then(|section| section.section).unwrap_or(0);
            let sections: Vec<_> =
                (first..).zip(sections).take_while(|(n, section)| section.section == Some(*n)).map(|x| x.1).collect();
            let star = if sections.iter().any(|section| section.extended) { "*" } else { "" };
            out.push(Param { name: format!("{}{star}", param.base), value: extended(&sections) });
        }
    }
    out
}

/// `charset'language'text` over one or more sections, of which only those with a `*` are encoded.
fn extended(sections: &[&Written<'_>]) -> Vec<u8> {
    let mut charset = None;
    let mut octets = Vec::new();
    for (i, section) in sections.iter().enumerate() {
        let mut text = section.value.as_slice();
        if !section.extended {
            octets.extend_from_slice(text);
            continue;
        }
        let mut quotes = text.splitn(3, |&b| b == b'\'');
        if let (0, Some(name), Some(_), Some(rest)) = (i, quotes.next(), quotes.next(), quotes.next()) {
            (charset, text) = (Some(Charset::named_or_guess(name)), rest);
        }
        percent(text, &mut octets);
    }
    if !sections.iter().any(|section| section.extended) {
        return octets;
    }
    charset.unwrap_or(Charset::ASCII).decode(&octets).into_owned().into_bytes()
}

fn percent(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escape = match after {
            [high, low, ..] if byte == b'%' => transfer::hex(*high).zip(transfer::hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escape {
            out.push(high << 4 | low);
            rest = after.get(2..).unwrap_or_default();
        } else {
            out.push(byte);
        }
    }
}

/// A value without quotes. Strictly a token; here it may hold spaces, and ends at a semicolon, a
/// comment, or what looks like the next parameter after a forgotten semicolon.
fn bare_value<'a>(cursor: &mut Cursor<'a>) -> &'a [u8] {
    let all = cursor.rest();
    loop {
        cursor.take_while(|b| b != b';' && !crate::cursor::is_space(b));
        let end = all.len() - cursor.rest().len();
        let mut ahead = cursor.clone();
        ahead.skip_space();
        let ends = match ahead.peek() {
            None | Some(b';' | b'(') => true,
            Some(_) => {
                let next = ahead.clone().take_while(is_token);
                !next.is_empty() && ahead.rest().get(next.len()) == Some(&b'=')
            }
        };
        if ends {
            return all.get(..end).unwrap_or_default();
        }
        *cursor = ahead;
    }
}

fn token(cursor: &mut Cursor<'_>) -> Option<String> {
    let token = cursor.take_while(is_token);
    // Media types are short; what is not is nonsense, and would be kept for every part.
    (!token.is_empty() && token.len() <= 255).then(|| String::from_utf8_lossy(token).into_owned())
}

/// RFC 2045 §5.1: any CHAR except SPACE, CTLs and tspecials.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn params(value: &str) -> Vec<(String, String)> {
        let parsed = ContentType::parse(value.as_bytes()).unwrap_or_else(|| panic!("{value}"));
        parsed.params.iter().map(|p| (p.name.clone(), String::from_utf8(p.value.clone()).unwrap())).collect()
    }

    #[track_caller]
    fn check(value: &str, expected: &[(&str, &str)]) {
        let got = params(value);
        let got: Vec<_> = got.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(got, expected, "{value}");
    }

    // RFC 2045 §5.1
    #[test]
    fn the_same_with_comment_and_quotes() {
        for value in [
            "text/plain; charset=us-ascii (Plain text)",
            " text / plain ;charset=\"us-ascii\"",
            "(x)text/(y)plain(z); charset=us-ascii;",
        ] {
            assert!(ContentType::parse(value.as_bytes()).unwrap().is("TEXT", "Plain"));
            check(value, &[("charset", "us-ascii")]);
        }
        for value in ["", "text", "text/", "/plain", "text plain", "\"text\"/plain"] {
            assert_eq!(ContentType::parse(value.as_bytes()), None, "{value}");
        }
    }

    // RFC 2231 §3, §4, §4.1
    #[test]
    fn rfc_2231_examples() {
        check(
            "message/external-body; access-type=URL;\r\n URL*0=\"ftp://\";\r\n URL*1=\"cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar\"",
            &[("access-type", "URL"), ("URL", "ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar")],
        );
        check(
            "application/x-stuff;\r\n title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",
            &[("title*", "This is ***fun***")],
        );
        check(
            "application/x-stuff; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\"",
            &[("title*", "This is even more ***fun*** isn't it!")],
        );
    }

    #[test]
    fn rfc_2231_in_disorder() {
        check("a/b; n*1=y; m=1; n*0=x; n*3=lost", &[("n", "xy"), ("m", "1")]);
        check("a/b; n*0*=utf-8''%C3; n*1*=%BC", &[("n*", "ü")]);
        check("a/b; n*=%C3%BC", &[("n*", "ü")]);
        check("a/b; n*=iso-8859-1''%FC%zz", &[("n*", "ü%zz")]);
        check("a/b; n*x=1", &[("n*x", "1")]);
        check("a/b; n*99999999999999999999=1", &[("n*99999999999999999999", "1")]);
        check("a/b; n*4294967295=1", &[("n", "1")]);
    }

    #[test]
    fn forgiven() {
        check("a/b; name=two words.pdf; x=1", &[("name", "two words.pdf"), ("x", "1")]);
        check("a/b; charset=utf-8 format=flowed", &[("charset", "utf-8"), ("format", "flowed")]);
        check("a/b; name=\"x\" y=z;;; = ; w; u=", &[("name", "x"), ("y", "z"), ("u", "")]);
        check("a/b; name=\"a\\\"b", &[("name", "a\"b")]);
        check("a/b; name=f(1).pdf", &[("name", "f(1).pdf")]);
        check("a/b charset=utf-8", &[("charset", "utf-8")]);
        check("=?us-ascii?Q?text/plain=3B_charset=3Dutf-8?=", &[("charset", "utf-8")]);
        check("a/b; name==?utf-8?Q?x?=", &[("name", "=?utf-8?Q?x?=")]);
        assert_eq!(ContentType::parse(b"multipart/mixed; boundary=\" \"").unwrap().boundary(), None);
    }

    #[test]
    fn disposition() {
        let parsed =
            Disposition::parse(b"attachment; filename=genome.jpeg;\r\n modification-date=\"Wed, 12 Feb 1997\"")
                .unwrap();
        assert_eq!(parsed.kind, "attachment");
        assert_eq!(parsed.params.get("FILENAME"), Some(b"genome.jpeg".as_slice()));
        assert_eq!(Disposition::parse(b""), None);
    }

    proptest! {
        #[test]
        fn never_panics_nor_hangs(value in "[a-c*/;=\"\\\\()' \r\n%0-9?ü]{0,80}") {
            let _ = ContentType::parse(format!("a/b;{value}").as_bytes());
            let _ = Disposition::parse(value.as_bytes());
        }
    }
}
