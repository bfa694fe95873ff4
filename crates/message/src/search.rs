//! SEARCH's comparison (RFC 9051 §6.4.4): substrings of decoded text, without regard to case as
//! [`casemap`] has it.
//!
//! A [`Matcher`] looks for many needles at once in text that arrives in pieces. It holds one piece,
//! decoded, and as much of the text before it as the longest needle is long.

use memchr::memmem::Finder;

use crate::{Decoder, Encoding, Header, Reading, TextDecoder, casemap};

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Needle {
    finder: Finder<'static>,
}

impl Needle {
    /// A text in any case.
    pub fn new(text: &str) -> Self {
        let mut mapped = String::with_capacity(text.len());
        casemap(text, &mut mapped);
        Self { finder: Finder::new(mapped.as_bytes()).into_owned() }
    }

    /// Whether it is the empty text, which is in every text: `HEADER` then asks whether the field is
    /// there at all.
    pub fn is_empty(&self) -> bool {
        self.finder.needle().is_empty()
    }

    /// Whether a text holds it.
    pub fn is_in(&self, text: &str) -> bool {
        let mut mapped = String::with_capacity(text.len());
        casemap(text, &mut mapped);
        self.finder.find(mapped.as_bytes()).is_some()
    }

    /// Whether a field of this name holds it: `HEADER field string`, and `FROM`, `SUBJECT`, ….
    pub fn is_in_field(&self, header: Header<'_>, name: &str) -> bool {
        header.all(name).any(|field| self.is_empty() || self.is_in(&field.decoded()))
    }

    /// The first place at which it is in what [`append_values`] has made: never across two values.
    pub fn find(&self, values: &[u8]) -> Option<usize> {
        self.finder.find(values).filter(|&at| at < values.len())
    }
}

/// Stands behind a value: it is in no text.
const END: u8 = 0xff;

/// Appends the values of all fields of this name, so that [`Needle::find`] finds in them what
/// [`Needle::is_in_field`] finds in the header.
pub fn append_values(header: Header<'_>, name: &str, out: &mut Vec<u8>) {
    let mut mapped = String::new();
    for field in header.all(name) {
        mapped.clear();
        casemap(&field.decoded(), &mut mapped);
        out.extend_from_slice(mapped.as_bytes());
        out.push(END);
    }
}

/// Octets that are decoded at a time.
const PIECE: usize = 8 << 10;

/// Octets of one header that are looked at.
const HEADER: usize = 1 << 20;

/// Looks for needles in the areas of a message, one area after the other.
#[derive(Debug)]
pub struct Matcher<'n> {
    needles: Vec<&'n Needle>,
    found: Vec<bool>,
    /// Octets of mapped text that could be the beginning of a match.
    tail: usize,
    area: Area,
    octets: Vec<u8>,
    text: String,
    /// Mapped text: the tail and the newest piece.
    window: String,
}

/// What is being read.
#[derive(Debug, Default)]
enum Area {
    #[default]
    None,
    Header(Vec<u8>),
    Text(Decoder, Box<TextDecoder>),
}

impl<'n> Matcher<'n> {
    /// Before the first area. The empty needle is found at once.
    pub fn new(needles: impl IntoIterator<Item = &'n Needle>) -> Self {
        let needles: Vec<_> = needles.into_iter().collect();
        let longest = needles.iter().map(|needle| needle.finder.needle().len()).max().unwrap_or(0);
        Self {
            found: needles.iter().map(|needle| needle.is_empty()).collect(),
            needles,
            tail: longest.saturating_sub(1),
            area: Area::None,
            octets: Vec::new(),
            text: String::new(),
            window: String::new(),
        }
    }

    /// Begins an area. Nothing is found across its edges.
    pub fn begin(&mut self, reading: Reading) {
        self.end();
        self.area = match reading {
            Reading::Header => Area::Header(Vec::new()),
            Reading::Text(encoding, charset) => {
                // What nobody can decode is searched as it is.
                let decoder = Decoder::new(encoding).unwrap_or_else(|_| Decoder::identity());
                Area::Text(decoder, Box::new(charset.decoder()))
            }
        };
    }

    /// Takes the next octets of the area, as they stand in the message.
    pub fn push(&mut self, bytes: &[u8]) {
        match &mut self.area {
            Area::None => {}
            Area::Header(held) => {
                let room = HEADER.saturating_sub(held.len());
                held.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
            }
            Area::Text(decoder, charset) => {
                for piece in bytes.chunks(PIECE) {
                    self.octets.clear();
                    self.text.clear();
                    decoder.push(piece, &mut self.octets);
                    charset.push(&self.octets, &mut self.text);
                    look(&self.needles, &mut self.found, &self.text, &mut self.window);
                    forget(&mut self.window, self.tail);
                }
            }
        }
    }

    /// Ends the area.
    pub fn end(&mut self) {
        match std::mem::take(&mut self.area) {
            Area::None => {}
            Area::Header(held) => self.header(Header::new(&held)),
            Area::Text(decoder, charset) => {
                self.octets.clear();
                self.text.clear();
                let mut charset = charset;
                decoder.finish(&mut self.octets);
                charset.push(&self.octets, &mut self.text);
                charset.finish(&mut self.text);
                look(&self.needles, &mut self.found, &self.text, &mut self.window);
            }
        }
        self.window.clear();
    }

    /// Whether the needle with this index has been found in any area that has ended.
    pub fn found(&self, index: usize) -> bool {
        self.found.get(index).copied().unwrap_or(false)
    }

    /// Whether there is nothing left to look for.
    pub fn all_found(&self) -> bool {
        self.found.iter().all(|&found| found)
    }

    /// Each field is a text of its own: its name, a colon, and its decoded value.
    fn header(&mut self, header: Header<'_>) {
        for field in header.fields() {
            self.text.clear();
            self.text.push_str(&String::from_utf8_lossy(field.name));
            self.text.push_str(": ");
            self.text.push_str(&field.decoded());
            self.window.clear();
            look(&self.needles, &mut self.found, &self.text, &mut self.window);
        }
    }
}

/// Looks for what has not been found yet in the window with a new text at its end.
fn look(needles: &[&Needle], found: &mut [bool], text: &str, window: &mut String) {
    casemap(text, window);
    for (needle, found) in needles.iter().zip(found).filter(|(_, found)| !**found) {
        *found = needle.finder.find(window.as_bytes()).is_some();
    }
}

/// Keeps the last octets of the window, a little more where that would cut a character.
fn forget(window: &mut String, tail: usize) {
    let mut start = window.len().saturating_sub(tail);
    while !window.is_char_boundary(start) {
        start -= 1;
    }
    window.drain(..start);
}

impl From<Encoding> for Reading {
    /// Text whose charset nobody named.
    fn from(encoding: Encoding) -> Self {
        Self::Text(encoding, crate::Charset::ASCII)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use types::Limits;

    use super::*;
    use crate::{Charset, Layout, SearchArea};

    /// Which needles are found in a text that comes in pieces.
    fn found(reading: Reading, pieces: &[&[u8]], needles: &[&str]) -> Vec<bool> {
        let needles: Vec<_> = needles.iter().map(|text| Needle::new(text)).collect();
        let mut matcher = Matcher::new(&needles);
        matcher.begin(reading);
        pieces.iter().for_each(|piece| matcher.push(piece));
        matcher.end();
        (0..needles.len()).map(|i| matcher.found(i)).collect()
    }

    #[test]
    fn needles() {
        assert!(Needle::new("STRASSE").is_in("Hauptstraße 1"));
        assert!(Needle::new("ПРИВЕТ").is_in("всем привет!"));
        assert!(Needle::new("").is_in(""));
        assert!(!Needle::new("ab").is_in("a b"));
        let header = Header::new(b"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n aus Wien\r\nX-Empty:\r\n\r\n");
        assert!(Needle::new("grüsse aus").is_in_field(header, "subject"));
        assert!(Needle::new("").is_in_field(header, "x-empty"));
        assert!(!Needle::new("").is_in_field(header, "x-none"));
        assert!(!Needle::new("a").is_in_field(header, "x-empty"));
    }

    #[test]
    fn decoded_text() {
        let qp = Reading::Text(Encoding::QuotedPrintable, Charset::UTF_8);
        assert_eq!(found(qp, &[b"Gr=C3=", b"\r\n=BC=C3=9Fe"], &["grüße", "grusse", "=c3"]), [true, false, false]);
        let koi8 = Charset::named(b"koi8-r").unwrap();
        assert_eq!(found(Reading::Text(Encoding::Base64, koi8), &[b"8PLp9+X0"], &["привет"]), [true]);
        assert_eq!(found(Encoding::Unknown.into(), &[b"As it IS"], &["as it is"]), [true]);
        let jp = Charset::named(b"iso-2022-jp").unwrap();
        assert_eq!(found(Reading::Text(Encoding::SevenBit, jp), &[b"\x1b$BF|K", b"\\8l\x1b(B"], &["日本語"]), [true]);
    }

    #[test]
    fn values_of_fields() {
        let header = Header::new(b"To: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nTo:\r\nCc: a\r\nTO: X\r\n\r\n");
        let mut values = b"before\xff".to_vec();
        append_values(header, "to", &mut values);
        let values = &values[7..];
        let find = |text| Needle::new(text).find(values);
        assert_eq!(
            (find("GRÜSSE"), find("x"), find("ex"), find("a"), find("")),
            (Some(0), Some(10), None, None, Some(0))
        );
        assert_eq!(Needle::new("").find(b""), None, "no field, no value");
    }

    const MESSAGE: &str = "Subject: outer subject\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\
        Content-Type: text/html\r\nX-Part: parthead\r\n\r\n<b>html</b>\r\n--b\r\nContent-Type: image/png\r\n\r\nimagetext\r\n\
        --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner subject\r\n\r\ninner body\r\n\
        --b\r\nContent-Type: message/delivery-status\r\n\r\nAction: failed\r\n--b--\r\n";

    /// Whether a text is found in these areas of the message.
    fn in_areas(areas: impl Iterator<Item = SearchArea>, needle: &str) -> bool {
        let needles = [Needle::new(needle)];
        let mut matcher = Matcher::new(&needles);
        for area in areas {
            matcher.begin(area.reading);
            matcher.push(&MESSAGE.as_bytes()[area.range.start as usize..area.range.end as usize]);
        }
        matcher.end();
        matcher.all_found()
    }

    // RFC 9051 §6.4.4: BODY and TEXT.
    #[test]
    fn areas_of_body_and_text() {
        let layout: Layout = crate::parse(MESSAGE.as_bytes(), &Limits::default()).layout().clone();
        for (needle, body, text) in [
            ("HTML</b>", true, true),
            ("subject: inner", true, true),
            ("inner body", true, true),
            ("outer", false, true),
            ("parthead", false, true),
            ("imagetext", false, false),
            ("action: failed", true, true),
            ("preamble", false, false),
            ("subjectinner", false, false),
            ("", true, true),
        ] {
            assert_eq!(in_areas(layout.body_areas(), needle), body, "BODY {needle}");
            assert_eq!(in_areas(layout.text_areas(), needle), text, "TEXT {needle}");
        }
    }

    #[test]
    fn long_texts_across_pieces() {
        let text = format!("{}needle{}", "ä".repeat(PIECE), "x".repeat(PIECE * 3));
        assert_eq!(found(Encoding::EightBit.into(), &[text.as_bytes()], &["äneedlex", "needley"]), [true, false]);
    }

    proptest! {
        #[test]
        fn pieces_find_what_the_whole_has(text in "[aAbäÄß]{0,40}", needle in "[abäs]{1,4}", cuts in proptest::collection::vec(0_usize..80, 0..5)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            let whole = Needle::new(&needle).is_in(&text);
            prop_assert_eq!(found(Reading::Text(Encoding::EightBit, Charset::UTF_8), &pieces, &[&needle, "zz"]), vec![whole, false]);
        }
    }
}
