//! Parts of a message as FETCH names them.

use std::num::{NonZeroU32, NonZeroU64};

use super::ParseError;
use super::lex::Cursor;

/// `section-part` of RFC 9051 §9: part numbers from the outside in; empty is the whole message.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct PartPath(pub Vec<NonZeroU32>);

/// `section` of RFC 9051 §9, between the brackets.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Section {
    /// Which part.
    pub part: PartPath,
    /// What of it.
    pub text: SectionText,
}

/// What of a part is asked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum SectionText {
    /// All: `BODY[]`, `BODY[1.2]`.
    #[default]
    All,
    /// `HEADER`: of the message, or of a message/rfc822 part.
    Header,
    /// `HEADER.FIELDS (…)`: at least one field name, spelled as the client did.
    HeaderFields(Vec<String>),
    /// `HEADER.FIELDS.NOT (…)`: at least one field name, spelled as the client did.
    HeaderFieldsNot(Vec<String>),
    /// `TEXT`: what follows the header.
    Text,
    /// `MIME`: the MIME header of a part; never with an empty path.
    Mime,
}

/// `partial` of RFC 9051 §9: `<offset.length>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Partial {
    /// Of the first octet, from 0; below 2^63.
    pub offset: u64,
    /// How many octets at most; below 2^63.
    pub length: NonZeroU64,
}

impl Section {
    /// `section = "[" [section-spec] "]"`
    pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        c.expect(b'[', "an opening bracket")?;
        let part = parse_part(c)?;
        // section-spec = section-msgtext / (section-part ["." section-text])
        let named = if part.0.is_empty() { c.peek() != Some(b']') } else { c.eat(b'.') };
        let text = if named { parse_text(c, &part)? } else { SectionText::All };
        c.expect(b']', "a closing bracket")?;
        Ok(Self { part, text })
    }
}

impl PartPath {
    /// `section-binary = "[" [section-part] "]"`
    pub(super) fn parse_binary(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        c.expect(b'[', "an opening bracket")?;
        let part = parse_part(c)?;
        c.expect(b']', "a closing bracket")?;
        Ok(part)
    }
}

impl Partial {
    /// `partial = "<" number64 "." nz-number64 ">"`, if it is there.
    pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Option<Self>, ParseError> {
        if !c.eat(b'<') {
            return Ok(None);
        }
        let offset = c.number64()?;
        c.expect(b'.', "a period")?;
        let start = c.clone();
        let Some(length) = NonZeroU64::new(c.number64()?) else {
            return start.expected("a number that is not zero");
        };
        c.expect(b'>', "a closing angle bracket")?;
        Ok(Some(Self { offset, length }))
    }
}

/// `section-part = nz-number *("." nz-number)`, or nothing. Leaves a period before a word.
fn parse_part(c: &mut Cursor<'_>) -> Result<PartPath, ParseError> {
    let is_digit = |c: &Cursor<'_>, at: usize| c.rest().get(at).is_some_and(u8::is_ascii_digit);
    let mut part = PartPath::default();
    if is_digit(c, 0) {
        part.0.push(parse_part_number(c)?);
        while c.peek() == Some(b'.') && is_digit(c, 1) {
            c.eat(b'.');
            part.0.push(parse_part_number(c)?);
        }
    }
    Ok(part)
}

fn parse_part_number(c: &mut Cursor<'_>) -> Result<NonZeroU32, ParseError> {
    let start = c.clone();
    let number = u32::try_from(c.number64()?).ok().and_then(NonZeroU32::new);
    number.map_or_else(|| start.expected("a part number"), Ok)
}

/// `section-text = section-msgtext / "MIME"`
fn parse_text(c: &mut Cursor<'_>, part: &PartPath) -> Result<SectionText, ParseError> {
    let start = c.clone();
    match c.word("a section")?.as_str() {
        "HEADER" => Ok(SectionText::Header),
        "HEADER.FIELDS" => parse_fields(c).map(SectionText::HeaderFields),
        "HEADER.FIELDS.NOT" => parse_fields(c).map(SectionText::HeaderFieldsNot),
        "TEXT" => Ok(SectionText::Text),
        // RFC 9051 §6.4.5.1: MIME needs a part number.
        "MIME" if !part.0.is_empty() => Ok(SectionText::Mime),
        _ => start.expected("HEADER, TEXT or, after a part number, MIME"),
    }
}

/// `SP header-list`, `header-list = "(" header-fld-name *(SP header-fld-name) ")"`
fn parse_fields(c: &mut Cursor<'_>) -> Result<Vec<String>, ParseError> {
    c.space()?;
    let (mut count, most) = (0, c.limits.fetch_items);
    c.list(false, |c| {
        count += 1;
        if count > most {
            return Err(ParseError::limit("header fields", most));
        }
        let start = c.clone();
        let name = c.astring("a header field's name")?;
        // It comes back in the answer, so it must not hold what a string there could not show.
        match std::str::from_utf8(&name) {
            Ok(text) if text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') => Ok(text.to_owned()),
            _ => start.expected("a header field's name"),
        }
    })
}
