//! Content-Transfer-Encoding (RFC 2045 §6): its names and its streaming decoders.
//!
//! Decoders never fail: octets that are not of the encoding are passed over (base64, RFC 2045 §6.8)
//! or kept as they are (quoted-printable, §6.7). Memory is bounded by a constant.

use crate::{Error, cursor::Cursor};

/// How a body is encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Encoding {
    /// Lines of ASCII; the default.
    SevenBit,
    /// Lines.
    EightBit,
    /// Anything.
    Binary,
    /// RFC 2045 §6.7.
    QuotedPrintable,
    /// RFC 2045 §6.8.
    Base64,
    /// One that nobody here knows: BINARY answers UNKNOWN-CTE.
    Unknown,
}

impl Encoding {
    /// By the value of a Content-Transfer-Encoding field. Comments and a trailing `;` are forgiven.
    pub fn of(value: &[u8]) -> Self {
        match token(value).to_ascii_lowercase().as_slice() {
            b"" | b"7bit" | b"7-bit" => Self::SevenBit,
            b"8bit" | b"8-bit" => Self::EightBit,
            b"binary" => Self::Binary,
            b"quoted-printable" => Self::QuotedPrintable,
            b"base64" => Self::Base64,
            _ => Self::Unknown,
        }
    }

    /// Whether the encoded form is the content.
    pub fn is_identity(self) -> bool {
        matches!(self, Self::SevenBit | Self::EightBit | Self::Binary)
    }
}

/// The encoding's name in the value of its field.
pub(crate) fn token(value: &[u8]) -> &[u8] {
    let mut cursor = Cursor::new(value);
    cursor.skip_comments();
    cursor.take_while(|b| b.is_ascii_graphic() && !matches!(b, b';' | b'(' | b'"'))
}

/// Appends octets as base64 (RFC 2045 §6.8), on one line.
pub(crate) fn encode_base64(octets: &[u8], out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in octets.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, &b| bits << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let index = (bits >> (18 - 6 * at)) as usize & 0x3f;
            let letter = ALPHABET.get(index).copied().unwrap_or(b'A');
            out.push(if at <= chunk.len() { letter } else { b'=' });
        }
    }
}

/// Takes content in pieces and gives it as base64 in lines of 76 characters.
#[derive(Debug, Default)]
pub(crate) struct Base64Encoder {
    /// What fills no line yet.
    rest: Vec<u8>,
    /// A line has been written.
    lines: bool,
}

impl Base64Encoder {
    /// Octets in a line.
    const LINE: usize = 57;

    /// Takes the next octets.
    pub(crate) fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        self.rest.extend_from_slice(octets);
        let whole = self.rest.len() / Self::LINE * Self::LINE;
        let rest = self.rest.split_off(whole);
        for line in std::mem::replace(&mut self.rest, rest).chunks(Self::LINE) {
            self.write(line, out);
        }
    }

    /// Ends it, without a line end.
    pub(crate) fn finish(mut self, out: &mut Vec<u8>) {
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            self.write(&rest, out);
        }
    }

    fn write(&mut self, line: &[u8], out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.lines, true) {
            out.extend_from_slice(b"\r\n");
        }
        encode_base64(line, out);
    }
}

/// Takes an encoded body in pieces and gives the content.
#[derive(Debug)]
pub struct Decoder(State);

#[derive(Debug)]
enum State {
    Identity,
    Base64(Base64),
    QuotedPrintable(QuotedPrintable),
}

impl Decoder {
    /// At the beginning of a body. [`Error::UnknownEncoding`] where nobody knows how.
    pub fn new(encoding: Encoding) -> Result<Self, Error> {
        Ok(Self(match encoding {
            Encoding::SevenBit | Encoding::EightBit | Encoding::Binary => State::Identity,
            Encoding::Base64 => State::Base64(Base64::default()),
            Encoding::QuotedPrintable => State::QuotedPrintable(QuotedPrintable::default()),
            Encoding::Unknown => return Err(Error::UnknownEncoding),
        }))
    }

    /// For an encoding that changes nothing.
    pub(crate) fn identity() -> Self {
        Self(State::Identity)
    }

    /// Takes the next octets, appends what they mean.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match &mut self.0 {
            State::Identity => out.extend_from_slice(bytes),
            State::Base64(state) => state.push(bytes, out),
            State::QuotedPrintable(state) => state.push(bytes, out),
        }
    }

    /// Ends the body.
    pub fn finish(self, out: &mut Vec<u8>) {
        if let State::QuotedPrintable(state) = self.0 {
            state.finish(out);
        }
    }
}

/// The bits of a quantum that is not complete yet.
#[derive(Debug, Default)]
struct Base64 {
    bits: u32,
    count: u8,
}

impl Base64 {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.reserve(bytes.len() / 4 * 3 + 3);
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            match rest.split_first_chunk() {
                Some((quantum, after)) if self.count == 0 && whole(quantum, out) => rest = after,
                _ => {
                    self.octet(byte, out);
                    rest = after;
                }
            }
        }
    }

    fn octet(&mut self, byte: u8, out: &mut Vec<u8>) {
        match sextet(byte) {
            value @ 0..=63 => self.sextet(value, out),
            // Padding ends a quantum; another encoding may follow, glued on by a gateway.
            _ if byte == b'=' => self.count = 0,
            // RFC 2045 §6.8: "All line breaks or other characters not found in Table 1 must be ignored".
            _ => {}
        }
    }

    /// Gives each octet as soon as its bits are there, so that missing padding loses nothing.
    fn sextet(&mut self, value: u8, out: &mut Vec<u8>) {
        self.bits = self.bits << 6 | u32::from(value);
        self.count += 6;
        if self.count >= 8 {
            self.count -= 8;
            out.push((self.bits >> self.count) as u8);
        }
    }
}

/// Decodes a quantum that is of the alphabet and nothing else, which nearly all are.
fn whole(quantum: &[u8; 4], out: &mut Vec<u8>) -> bool {
    let [a, b, c, d] = quantum.map(sextet);
    let whole = a | b | c | d < 64;
    if whole {
        out.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
    }
    whole
}

/// What an octet stands for; 64 and above is nothing.
fn sextet(byte: u8) -> u8 {
    SEXTETS.get(usize::from(byte)).copied().unwrap_or(u8::MAX)
}

static SEXTETS: [u8; 256] = {
    let mut table = [255; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut i = 0;
    while i < 64 {
        #[allow(clippy::indexing_slicing, reason = "computed by the compiler")]
        {
            table[alphabet[i] as usize] = i as u8;
        }
        i += 1;
    }
    table
};

/// ```text
/// Text ── '=' ──▶ Escape ── hex ──▶ Hex ── hex ──▶ Text (an octet)
///  ▲                ├── white space ──▶ SoftBreak ── line end ──▶ Text (nothing)
///  └────────────────┴── line end: nothing; anything else: as it stands
/// ```
#[derive(Debug, Default)]
struct QuotedPrintable {
    state: Qp,
    /// White space (and a CR) that may turn out to be the end of a line.
    held: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Qp {
    #[default]
    Text,
    Escape,
    Hex(u8),
    SoftBreak,
}

/// White space held back; a line has 76 characters, so longer runs are content.
const HELD: usize = 1000;

/// Octets looked at for a run of plain ones; bounded, because white space at its end is looked at again.
const AHEAD: usize = 4096;

impl QuotedPrintable {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.state == Qp::Text && self.held.is_empty() {
                // Up to the next octet that means something, but for white space that may end the line.
                let ahead = rest.get(..AHEAD).unwrap_or(rest);
                let end = memchr::memchr3(b'=', b'\r', b'\n', ahead).unwrap_or(ahead.len());
                let plain = ahead.get(..end).unwrap_or_default();
                let spaces = plain.iter().rev().take_while(|b| matches!(b, b' ' | b'\t')).count();
                let (plain, after) = rest.split_at_checked(end - spaces).unwrap_or((rest, &[]));
                out.extend_from_slice(plain);
                rest = after;
            }
            let Some((&byte, after)) = rest.split_first() else { return };
            self.octet(byte, out);
            rest = after;
        }
    }

    fn octet(&mut self, byte: u8, out: &mut Vec<u8>) {
        match (self.state, byte) {
            (Qp::Text, _) => self.text(byte, out),
            (Qp::Escape, _) if hex(byte).is_some() => self.state = Qp::Hex(byte),
            (Qp::Escape | Qp::SoftBreak, b' ' | b'\t' | b'\r') if self.held.len() < HELD => {
                self.held.push(byte);
                self.state = Qp::SoftBreak;
            }
            (Qp::Escape | Qp::SoftBreak, b'\n') => {
                self.held.clear();
                self.state = Qp::Text;
            }
            (Qp::Hex(high), _) if hex(byte).is_some() => {
                out.push(hex(high).unwrap_or(0) << 4 | hex(byte).unwrap_or(0));
                self.state = Qp::Text;
            }
            _ => {
                self.abandon(out);
                self.text(byte, out);
            }
        }
    }

    fn text(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'=' => {
                out.append(&mut self.held);
                self.state = Qp::Escape;
            }
            b'\n' => {
                // RFC 2045 §6.7 (3): white space at the end of a line is not content; (4): a line break is CRLF.
                self.held.clear();
                out.extend_from_slice(b"\r\n");
            }
            b' ' | b'\t' | b'\r' if self.held.len() < HELD => self.held.push(byte),
            _ => {
                out.append(&mut self.held);
                out.push(byte);
            }
        }
    }

    /// It was no escape: what was taken stands for itself.
    fn abandon(&mut self, out: &mut Vec<u8>) {
        if self.state != Qp::Text {
            out.push(b'=');
        }
        if let Qp::Hex(byte) = self.state {
            out.push(byte);
        }
        out.append(&mut self.held);
        self.state = Qp::Text;
    }

    fn finish(mut self, out: &mut Vec<u8>) {
        match self.state {
            // A soft line break at the very end, or white space at the end of the last line.
            Qp::Escape | Qp::SoftBreak | Qp::Text => {}
            Qp::Hex(_) => self.abandon(out),
        }
    }
}

/// RFC 2045 §6.7 asks for upper case; lower case is understood.
pub(crate) fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Decodes in one go.
pub(crate) fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Base64::default().push(bytes, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(encoding: Encoding, pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut decoder = Decoder::new(encoding).unwrap();
        pieces.iter().for_each(|piece| decoder.push(piece, &mut out));
        decoder.finish(&mut out);
        out
    }

    #[test]
    fn names() {
        assert_eq!(Encoding::of(b" (x) BASE64 (y)"), Encoding::Base64);
        assert_eq!(Encoding::of(b"Quoted-Printable;"), Encoding::QuotedPrintable);
        assert_eq!(Encoding::of(b""), Encoding::SevenBit);
        assert_eq!(Encoding::of(b"x-uuencode"), Encoding::Unknown);
        assert!(matches!(Decoder::new(Encoding::Unknown), Err(Error::UnknownEncoding)));
    }

    // RFC 2045 §6.8
    #[test]
    fn base64_with_junk_and_without_padding() {
        for text in ["SGVsbG8sIHdvcmxk", "SGVs\r\nbG8s!IHdv\0cmxk"] {
            assert_eq!(decode(Encoding::Base64, &[text.as_bytes()]), b"Hello, world");
        }
        assert_eq!(decode(Encoding::Base64, &[b"SGk="]), b"Hi");
        assert_eq!(decode(Encoding::Base64, &[b"SGk"]), b"Hi");
        assert_eq!(decode(Encoding::Base64, &[b"SA==SGk="]), b"HHi", "two encodings glued together");
        assert_eq!(decode(Encoding::Base64, &[b"S"]), b"");
    }

    // RFC 2045 §6.7
    #[test]
    fn quoted_printable_rules() {
        let qp = |text: &str| String::from_utf8(decode(Encoding::QuotedPrintable, &[text.as_bytes()])).unwrap();
        assert_eq!(
            qp("Now's the time =\r\nfor all folk to come=\r\n to the aid of their country."),
            "Now's the time for all folk to come to the aid of their country."
        );
        assert_eq!(qp("=C3=BC=c3=bc"), "üü");
        assert_eq!(qp("a \t\r\nb=20\r\n"), "a\r\nb \r\n", "white space at the end of a line");
        assert_eq!(qp("a=  \r\nb"), "ab", "white space behind a soft break");
        assert_eq!(qp("a\nb=\nc"), "a\r\nbc", "bare LF");
        assert_eq!(qp("1+1=2, =zz = ="), "1+1=2, =zz = ");
        assert_eq!(qp("x=4"), "x=4");
        assert_eq!(qp("x="), "x");
        assert_eq!(qp("a\rb"), "a\rb");
        assert_eq!(qp("a = b"), "a = b");
    }

    proptest! {
        #[test]
        fn splitting_changes_nothing(bytes in proptest::collection::vec(
            prop_oneof![Just(b'='), Just(b'\r'), Just(b'\n'), Just(b' '), Just(b'A'), Just(b'4'), any::<u8>()], 0..60), at in 0_usize..60) {
            let (a, b) = bytes.split_at(at.min(bytes.len()));
            for encoding in [Encoding::Base64, Encoding::QuotedPrintable] {
                prop_assert_eq!(decode(encoding, &[&bytes]), decode(encoding, &[a, b]));
            }
        }
    }
}
