//! Character sets: by their names in mail, to Unicode, in one go or in pieces.
//!
//! `encoding_rs` knows what the web knows; UTF-7 is mail's own. What nobody knows is read as UTF-8 and,
//! where that fails, as windows-1252: so are text that says it is ASCII and raw 8-bit headers.

use std::borrow::Cow;

use encoding_rs::{UTF_8, WINDOWS_1252};

use crate::utf7::Utf7;

/// A character set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Charset(Inner);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Inner {
    /// US-ASCII, or nothing was said, or nobody knows the name: a guess.
    Guess,
    Utf7,
    Web(&'static encoding_rs::Encoding),
}

impl Charset {
    /// What mail is written in where it says nothing (RFC 2046 §4.1.2), read leniently.
    pub const ASCII: Self = Self(Inner::Guess);
    /// UTF-8.
    pub const UTF_8: Self = Self(Inner::Web(UTF_8));

    /// The charset of this name, in any case; `None` where nobody knows it: SEARCH then answers BADCHARSET.
    pub fn named(name: &[u8]) -> Option<Self> {
        let name = name.trim_ascii();
        if ["us-ascii", "ascii", "ansi_x3.4-1968"].iter().any(|ascii| name.eq_ignore_ascii_case(ascii.as_bytes())) {
            return Some(Self::ASCII);
        }
        if ["utf-7", "unicode-1-1-utf-7"].iter().any(|utf7| name.eq_ignore_ascii_case(utf7.as_bytes())) {
            return Some(Self(Inner::Utf7));
        }
        // What is "replacement" to the web is a security measure there: for us nobody knows it.
        let known = encoding_rs::Encoding::for_label(name).filter(|&e| e != encoding_rs::REPLACEMENT);
        known.or_else(|| alias(name)).map(|e| Self(Inner::Web(e)))
    }

    /// The charset of this name, or the guess.
    pub fn named_or_guess(name: &[u8]) -> Self {
        Self::named(name).unwrap_or(Self::ASCII)
    }

    /// A name that [`Charset::named`] understands.
    pub fn name(self) -> &'static str {
        match self.0 {
            Inner::Guess => "US-ASCII",
            Inner::Utf7 => "UTF-7",
            Inner::Web(encoding) => encoding.name(),
        }
    }

    /// The text, with U+FFFD for what is not of this charset.
    pub fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        match self.0 {
            Inner::Guess => guess(bytes),
            Inner::Utf7 => {
                let mut out = String::new();
                let mut decoder = Utf7::default();
                decoder.push(bytes, &mut out);
                decoder.finish(&mut out);
                Cow::Owned(out)
            }
            Inner::Web(encoding) => encoding.decode_without_bom_handling(bytes).0,
        }
    }

    /// Decodes in pieces.
    pub fn decoder(self) -> TextDecoder {
        TextDecoder(match self.0 {
            Inner::Guess => State::Guess(Vec::new()),
            Inner::Utf7 => State::Utf7(Utf7::default()),
            Inner::Web(encoding) => State::Web(Box::new(encoding.new_decoder_without_bom_handling())),
        })
    }
}

/// Names seen in mail that the web does not use.
fn alias(name: &[u8]) -> Option<&'static encoding_rs::Encoding> {
    let label: &[u8] = match name.to_ascii_lowercase().as_slice() {
        b"cp932" | b"ms932" => b"shift_jis",
        b"cp949" | b"ks_c_5601" | b"ms949" => b"euc-kr",
        b"cp936" | b"ms936" | b"gb_2312" => b"gbk",
        b"cp950" | b"ms950" => b"big5",
        b"cp65001" | b"utf_8" | b"utf8mb4" => b"utf-8",
        b"latin-1" | b"iso8859_1" | b"8859_1" => b"iso-8859-1",
        b"iso-2022-jp-ms" | b"cp50220" | b"cp50221" => b"iso-2022-jp",
        b"iso_8859-1-e" => b"iso-8859-1",
        _ => return None,
    };
    encoding_rs::Encoding::for_label(label)
}

/// UTF-8 if it is UTF-8, else windows-1252.
pub(crate) fn guess(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}

impl std::fmt::Debug for TextDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TextDecoder")
    }
}

/// Takes octets in pieces and gives text. The memory it holds between pieces is a few octets.
pub struct TextDecoder(State);

enum State {
    /// The beginning of a UTF-8 sequence that is not complete yet.
    Guess(Vec<u8>),
    Utf7(Utf7),
    Web(Box<encoding_rs::Decoder>),
}

impl TextDecoder {
    /// Takes the next octets, appends the text.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        match &mut self.0 {
            State::Utf7(decoder) => decoder.push(bytes, out),
            State::Web(decoder) => run(decoder, bytes, false, out),
            State::Guess(held) if held.is_empty() => guess_pieces(bytes, held, out),
            State::Guess(held) => {
                let mut joined = std::mem::take(held);
                joined.extend_from_slice(bytes);
                guess_pieces(&joined, held, out);
            }
        }
    }

    /// Ends the text.
    pub fn finish(self, out: &mut String) {
        match self.0 {
            State::Utf7(decoder) => decoder.finish(out),
            State::Web(mut decoder) => run(&mut decoder, b"", true, out),
            State::Guess(held) => out.push_str(&WINDOWS_1252.decode_without_bom_handling(&held).0),
        }
    }
}

fn run(decoder: &mut encoding_rs::Decoder, bytes: &[u8], last: bool, out: &mut String) {
    // Enough for every input of this length, so that one call takes all of it.
    out.reserve(decoder.max_utf8_buffer_length(bytes.len()).unwrap_or(bytes.len()));
    let _ = decoder.decode_to_string(bytes, out, last);
}

/// The guess for each octet that is not UTF-8 by itself: text arrives in pieces, and a decision about
/// all of it would need all of it.
fn guess_pieces(bytes: &[u8], held: &mut Vec<u8>, out: &mut String) {
    for chunk in Utf8Runs(bytes) {
        match chunk {
            Run::Text(text) => out.push_str(text),
            Run::Other(octets) => out.push_str(&WINDOWS_1252.decode_without_bom_handling(octets).0),
            Run::Open(octets) => held.extend_from_slice(octets),
        }
    }
}

/// UTF-8 and what lies between.
struct Utf8Runs<'a>(&'a [u8]);

enum Run<'a> {
    Text(&'a str),
    Other(&'a [u8]),
    /// A sequence that could still become a character.
    Open(&'a [u8]),
}

impl<'a> Iterator for Utf8Runs<'a> {
    type Item = Run<'a>;

    fn next(&mut self) -> Option<Run<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let error = match std::str::from_utf8(self.0) {
            Ok(text) => {
                self.0 = &[];
                return Some(Run::Text(text));
            }
            Err(error) => error,
        };
        let (valid, rest) = self.0.split_at_checked(error.valid_up_to())?;
        if !valid.is_empty() {
            self.0 = rest;
            return std::str::from_utf8(valid).ok().map(Run::Text);
        }
        let Some(length) = error.error_len() else {
            self.0 = &[];
            return Some(Run::Open(rest));
        };
        let (other, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(Run::Other(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names() {
        for name in ["utf-8", "ISO-8859-15", "koi8-r", "GB2312", "iso-2022-jp", "us-ascii", "UTF-7", "cp1252", "CP949"]
        {
            let charset = Charset::named(name.as_bytes()).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(Charset::named(charset.name().as_bytes()), Some(charset));
        }
        assert_eq!(Charset::named(b"x-unknown"), None);
        assert_eq!(Charset::named(b"hz-gb-2312"), None);
    }

    #[test]
    fn text() {
        assert_eq!(Charset::named(b"koi8-r").unwrap().decode(b"\xf0\xf2\xe9"), "ПРИ");
        assert_eq!(Charset::ASCII.decode("grün".as_bytes()), "grün");
        assert_eq!(Charset::ASCII.decode(b"gr\xfcn"), "grün");
    }

    proptest! {
        #[test]
        fn splitting_changes_nothing(bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), Just(b'+'), Just(b'-'), Just(0xc3), Just(0xbc), Just(0x1b), Just(b'$')], 0..40), at in 0_usize..40) {
            let (a, b) = bytes.split_at(at.min(bytes.len()));
            for name in ["us-ascii", "utf-8", "utf-7", "iso-2022-jp", "shift_jis", "gb18030", "utf-16le"] {
                let charset = Charset::named(name.as_bytes()).unwrap();
                let decode = |pieces: &[&[u8]]| {
                    let (mut out, mut decoder) = (String::new(), charset.decoder());
                    pieces.iter().for_each(|piece| decoder.push(piece, &mut out));
                    decoder.finish(&mut out);
                    out
                };
                prop_assert_eq!(decode(&[&bytes]), decode(&[a, b]));
            }
        }
    }
}
