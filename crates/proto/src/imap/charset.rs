//! The charset of search strings (RFC 9051 §6.4.4).

use encoding_rs::{Encoding, UTF_8};

use super::{Code, ParseError};

/// What BADCHARSET lists. More is known: what WHATWG's Encoding Standard names.
const LISTED: &[&str] = &[
    "UTF-8",
    "US-ASCII",
    "ISO-8859-1",
    "ISO-8859-2",
    "ISO-8859-15",
    "windows-1252",
    "KOI8-R",
    "ISO-2022-JP",
    "Shift_JIS",
    "EUC-KR",
    "Big5",
    "GB18030",
];

/// How search strings are encoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charset(&'static Encoding);

impl Default for Charset {
    /// Where none is named. RFC 3501 §6.4.4 says US-ASCII, RFC 9051 §6.4.4 says UTF-8, which
    /// includes it and is what clients send.
    fn default() -> Self {
        Self(UTF_8)
    }
}

impl Charset {
    /// `charset = atom / quoted`; `NO [BADCHARSET (…)]` where it is unknown.
    pub(super) fn named(name: &[u8]) -> Result<Self, ParseError> {
        // The Encoding Standard reads US-ASCII as windows-1252; octets beyond ASCII in it are far
        // more likely UTF-8.
        if name.eq_ignore_ascii_case(b"US-ASCII") || name.eq_ignore_ascii_case(b"ASCII") {
            return Ok(Self(UTF_8));
        }
        let known = Encoding::for_label_no_replacement(name);
        known.map(Self).ok_or_else(|| ParseError::no(Code::BadCharset(LISTED), "unknown charset"))
    }

    /// The text of a search string.
    pub(super) fn decode(self, octets: &[u8]) -> Result<String, ParseError> {
        let text = self.0.decode_without_bom_handling_and_without_replacement(octets);
        match text {
            Some(text) => Ok(text.into_owned()),
            None => Err(ParseError::bad(format!("a search string is not in {}", self.0.name()))),
        }
    }
}
