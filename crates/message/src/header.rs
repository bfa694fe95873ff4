//! Header blocks: their fields in order, as they stand, and subsets of them.
//!
//! A field is a name, a colon, and a value that may go on over further lines that begin with white
//! space. Lines that are no field are not fields of any name: they are passed over, together with
//! their continuations.

use std::borrow::Cow;

use memchr::memchr;

use crate::words;

/// A header block, with or without the blank line that ends it. Borrowed and never copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    bytes: &'a [u8],
}

/// A field of a header, as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// All of it, with its last line end.
    pub raw: &'a [u8],
    /// What stands before the colon, without white space.
    pub name: &'a [u8],
    /// What stands behind the colon, folded as it is, without the last line end.
    pub value: &'a [u8],
}

/// Which fields a subset of a header keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// `HEADER.FIELDS`: those that are named.
    Named,
    /// `HEADER.FIELDS.NOT`: those that are not named.
    Unnamed,
}

/// Room for [`Field::lower`].
pub(crate) type LowerName = [u8; 32];

impl<'a> Header<'a> {
    /// A block that begins with its first field.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The block as it stands.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The fields in their order.
    pub fn fields(self) -> Fields<'a> {
        Fields { rest: self.bytes }
    }

    /// The first field of this name, in any case.
    pub fn first(self, name: &str) -> Option<Field<'a>> {
        self.all(name).next()
    }

    /// All fields of this name, in any case.
    pub fn all(self, name: &str) -> impl Iterator<Item = Field<'a>> {
        self.fields().filter(move |field| field.is(name.as_bytes()))
    }

    /// Appends a subset of the fields as they stand, in their order, and the blank line that ends
    /// the block, where there is one: "the blank line is included in all header fetches, except in the
    /// case of a message that has no body and no blank line" (RFC 9051 §6.4.5.1).
    pub fn select<N: AsRef<[u8]>>(self, keep: Keep, names: &[N], out: &mut Vec<u8>) {
        let named = |field: &Field<'_>| names.iter().any(|name| field.is(name.as_ref()));
        self.select_where(|field| named(field) == (keep == Keep::Named), out);
    }

    /// As [`Header::select`], by any rule.
    pub(crate) fn select_where(self, keep: impl Fn(&Field<'_>) -> bool, out: &mut Vec<u8>) {
        let mut fields = self.fields();
        for field in fields.by_ref().filter(keep) {
            out.extend_from_slice(field.raw);
        }
        out.extend_from_slice(fields.rest);
    }
}

impl<'a> Field<'a> {
    /// Whether this is its name: "case-insensitive but otherwise exact" (RFC 9051 §6.4.5.1).
    pub fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The name in lower case; empty where it is longer than any that we look for.
    pub(crate) fn lower<'b>(&self, buffer: &'b mut LowerName) -> &'b [u8] {
        let Some(lower) = buffer.get_mut(..self.name.len()) else { return b"" };
        lower.copy_from_slice(self.name);
        lower.make_ascii_lowercase();
        lower
    }

    /// The value on one line, without white space around it; encoded words stay as they are.
    pub fn unfolded(&self) -> Cow<'a, [u8]> {
        match unfold(self.value) {
            Cow::Borrowed(value) => Cow::Borrowed(value.trim_ascii()),
            Cow::Owned(value) => Cow::Owned(value.trim_ascii().to_vec()),
        }
    }

    /// The value as text: unfolded, encoded words decoded (RFC 2047).
    pub fn decoded(&self) -> String {
        words::decode(&self.unfolded())
    }
}

impl<'a> Fields<'a> {
    /// What follows the fields: the blank line, where there is one.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

/// See [`Header::fields`].
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            if self.rest.is_empty() || is_blank_line(self.rest) {
                return None;
            }
            let mut end = line_end(self.rest);
            while let Some(b' ' | b'\t') = self.rest.get(end) {
                end += line_end(self.rest.get(end..).unwrap_or_default());
            }
            let (raw, rest) = self.rest.split_at_checked(end)?;
            self.rest = rest;
            if let Some((name, value)) = split_name(raw) {
                return Some(Field { raw, name, value: without_line_end(value) });
            }
        }
    }
}

/// The name, if a line that begins like this begins a field. White space before the colon is
/// obsolete, not wrong (RFC 5322 §4.5.8).
pub(crate) fn field_name(line: &[u8]) -> Option<&[u8]> {
    split_name(line).map(|(name, _)| name)
}

/// The name, and what stands behind the colon.
fn split_name(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', line)?;
    let name = line.get(..colon)?.trim_ascii_end();
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    is_name.then_some((name, line.get(colon + 1..)?))
}

/// Whether the next line ends the header. Lone CRs before the line end are forgiven.
pub(crate) fn is_blank_line(bytes: &[u8]) -> bool {
    bytes.iter().find(|&&b| b != b'\r') == Some(&b'\n')
}

/// RFC 5322 §2.2.3: unfolding removes the line ends and nothing else.
pub(crate) fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len());
    for line in value.split_inclusive(|&b| b == b'\n') {
        out.extend_from_slice(without_line_end(line));
    }
    Cow::Owned(out)
}

fn line_end(bytes: &[u8]) -> usize {
    memchr(b'\n', bytes).map_or(bytes.len(), |i| i + 1)
}

fn without_line_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r\n").or_else(|| line.strip_suffix(b"\n")).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"Subject: one\r\n two\r\nX-A : b\r\ngarbage\r\n more\r\nTO: c\nFrom:\r\n\r\n";

    #[test]
    fn fields_in_order() {
        let fields: Vec<_> = Header::new(HEADER).fields().collect();
        let names: Vec<_> = fields.iter().map(|f| f.name).collect();
        assert_eq!(names, [b"Subject".as_slice(), b"X-A", b"TO", b"From"]);
        assert_eq!(fields[0].raw, b"Subject: one\r\n two\r\n");
        assert_eq!(&*fields[0].unfolded(), b"one two");
        assert_eq!(&*fields[3].unfolded(), b"");
    }

    // RFC 9051 §6.4.5.1
    #[test]
    fn subsets_keep_what_stands() {
        let select = |bytes, keep, names: &[&str]| {
            let mut out = Vec::new();
            Header::new(bytes).select(keep, names, &mut out);
            out
        };
        assert_eq!(select(HEADER, Keep::Named, &["to", "SUBJECT", "none"]), b"Subject: one\r\n two\r\nTO: c\n\r\n");
        assert_eq!(select(HEADER, Keep::Unnamed, &["to", "subject"]), b"X-A : b\r\nFrom:\r\n\r\n");
        assert_eq!(select(HEADER, Keep::Named, &["none"]), b"\r\n");
        assert_eq!(select(b"To: a\r\n", Keep::Named, &["to"]), b"To: a\r\n", "no blank line, none added");
        assert_eq!(select(b"", Keep::Unnamed, &["to"]), b"");
    }
}
