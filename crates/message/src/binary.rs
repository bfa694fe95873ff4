//! Binary parts on their way in: those with NULs are stored as base64.
//!
//! RFC 3516 §6: FETCH BODY and BODYSTRUCTURE show a message in an encoding that IMAP4rev1 has, and NUL is
//! in none of its strings. §4.4: the server may change the encoding, and loses nothing by it. §6: it
//! should not without need, since signatures break: so a part without NUL stays as it is, as far as we
//! can wait for one ([`LOOK_AHEAD`]).
//!
//! The structure is that of [`Parser`]: lines go through it, and it says to which part they belong.

use types::Limits;

use crate::{Header, Parser, transfer::Base64Encoder};

/// Octets of a part that wait for a NUL. A longer part is encoded in any event.
const LOOK_AHEAD: usize = 64 << 10;

/// A line that is longer is looked at by its beginning.
const LONG_LINE: usize = 2048;

/// A longer header is not changed, and nor is its part.
const MOST_HEADER: usize = 256 << 10;

/// Takes a message in pieces and gives it with its binary parts as base64.
#[derive(Debug)]
pub struct BinaryParts {
    parser: Parser,
    /// The beginning of a line that has not ended.
    line: Vec<u8>,
    /// The lines so far of the header that we are in.
    header: Vec<u8>,
    part: Part,
}

/// What becomes of the part that we are in.
#[derive(Debug)]
enum Part {
    /// It stays as it is.
    Plain,
    /// It says that it is binary, and no NUL has come yet; `place` is its place in the layout.
    Undecided { place: usize, header: Vec<u8>, body: Vec<u8> },
    /// It is encoded; the line end that may belong to a boundary is held back.
    Encoded { place: usize, encoder: Base64Encoder, held: Vec<u8> },
}

impl BinaryParts {
    /// At the beginning of a message.
    pub fn new(limits: &Limits) -> Self {
        Self { parser: Parser::new(limits), line: Vec::new(), header: Vec::new(), part: Part::Plain }
    }

    /// Takes the next octets and appends what can be said of them.
    pub fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        for piece in octets.split_inclusive(|&b| b == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.take_line(&line, out);
                self.line = line;
                self.line.clear();
            } else if self.line.len() > LONG_LINE {
                self.take_beginning(out);
            }
        }
    }

    /// Ends the message.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.line);
        if self.parser.is_delimiter(&line) {
            self.end_part(true, out);
        }
        self.content(&line, out);
        self.end_part(false, out);
    }

    fn take_line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let before = self.parser.innermost();
        self.parser.push(line);
        let now = self.parser.innermost();
        match self.part {
            Part::Undecided { place, .. } | Part::Encoded { place, .. } if now == Some(place) => {
                self.content(line, out)
            }
            Part::Undecided { .. } | Part::Encoded { .. } => {
                self.end_part(true, out);
                out.extend_from_slice(line);
            }
            Part::Plain => {
                self.header.extend_from_slice(line);
                match self.parser.binary_part().filter(|_| self.parser.is_at_body()) {
                    Some(place) if self.header.len() <= MOST_HEADER => {
                        let header = std::mem::take(&mut self.header);
                        self.part = Part::Undecided { place, header, body: Vec::new() };
                    }
                    // Lines of one header are kept together, those of a body are not.
                    _ if self.parser.is_in_header() && now == before && self.header.len() <= MOST_HEADER => {}
                    _ => out.append(&mut self.header),
                }
            }
        }
    }

    /// A line is too long to wait for its end.
    fn take_beginning(&mut self, out: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.line);
        if self.parser.is_delimiter(&line) {
            self.end_part(true, out);
        }
        self.parser.push(&line);
        self.content(&line, out);
    }

    /// Octets of the part that we are in, perhaps with a line end.
    fn content(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        match &mut self.part {
            Part::Plain => {
                out.append(&mut self.header);
                out.extend_from_slice(octets);
            }
            Part::Undecided { place, header, body } => {
                body.extend_from_slice(octets);
                if !octets.contains(&0) && body.len() <= LOOK_AHEAD {
                    return;
                }
                let (place, body) = (*place, std::mem::take(body));
                let encoder = Base64Encoder::default();
                match with_base64(header) {
                    Some(header) => {
                        out.extend_from_slice(&header);
                        self.part = Part::Encoded { place, encoder, held: Vec::new() };
                    }
                    None => {
                        out.append(header);
                        self.part = Part::Plain;
                    }
                }
                self.content(&body, out);
            }
            Part::Encoded { encoder, held, .. } => {
                encoder.push(held, out);
                let end = octets.len() - line_end(octets);
                let (text, rest) = octets.split_at_checked(end).unwrap_or((octets, &[]));
                encoder.push(text, out);
                held.clear();
                held.extend_from_slice(rest);
            }
        }
    }

    /// The part has ended, by a boundary or with the message.
    fn end_part(&mut self, by_boundary: bool, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.part, Part::Plain) {
            Part::Plain => out.append(&mut self.header),
            Part::Undecided { mut header, mut body, .. } => {
                out.append(&mut header);
                out.append(&mut body);
            }
            Part::Encoded { mut encoder, held, .. } => {
                // RFC 2046 §5.1.1: the line end before a boundary belongs to it.
                if !by_boundary {
                    encoder.push(&held, out);
                }
                encoder.finish(out);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// The header with another encoding; `None` where it names none.
fn with_base64(header: &[u8]) -> Option<Vec<u8>> {
    let field = Header::new(header).first("Content-Transfer-Encoding")?.raw;
    let at = memchr::memmem::find(header, field)?;
    let (before, rest) = header.split_at_checked(at)?;
    let after = rest.get(field.len()..)?;
    Some([before, b"Content-Transfer-Encoding: base64\r\n", after].concat())
}

fn line_end(octets: &[u8]) -> usize {
    match octets {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Decoder, parse};

    fn converted(message: &[u8], piece: usize) -> Vec<u8> {
        let (mut parts, mut out) = (BinaryParts::new(&Limits::default()), Vec::new());
        message.chunks(piece).for_each(|octets| parts.push(octets, &mut out));
        parts.finish(&mut out);
        out
    }

    /// The decoded leaves of a message.
    fn leaves(message: &[u8]) -> Vec<Vec<u8>> {
        let parsed = parse(message, &Limits::default());
        let leaves = parsed.layout().places().iter().filter(|place| place.below == 0);
        let decoded = leaves.map(|place| {
            let mut out = Vec::new();
            let Ok(mut decoder) = Decoder::new(place.encoding) else { return out };
            decoder.push(&message[place.body as usize..place.end as usize], &mut out);
            decoder.finish(&mut out);
            out
        });
        decoded.collect()
    }

    const HEAD: &str = "Content-Type: application/x\r\ncontent-transfer-encoding: binary\r\nX: y\r\n\r\n";

    #[test]
    fn a_whole_message() {
        let message = format!("{HEAD}a\0b\r\n");
        let expected = "Content-Type: application/x\r\nContent-Transfer-Encoding: base64\r\nX: y\r\n\r\nYQBiDQo=\r\n";
        for piece in 1..message.len() {
            assert_eq!(String::from_utf8(converted(message.as_bytes(), piece)).unwrap(), expected);
        }
    }

    #[test]
    fn a_part_between_others() {
        let message = format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n{HEAD}\0\r\n\0\r\n--b\r\n{HEAD}no NUL\r\n--b--\r\nend"
        );
        let expected = message.replace("\0\r\n\0\r\n", "AA0KAA==\r\n").replacen(
            "content-transfer-encoding: binary",
            "Content-Transfer-Encoding: base64",
            1,
        );
        for piece in 1..message.len() {
            assert_eq!(String::from_utf8(converted(message.as_bytes(), piece)).unwrap(), expected, "{piece}");
        }
    }

    #[test]
    fn what_is_long_is_encoded_in_lines() {
        let message = format!("{HEAD}{}", "x".repeat(LOOK_AHEAD + 1));
        let out = converted(message.as_bytes(), 5000);
        assert!(out.split(|&b| b == b'\n').all(|line| line.len() <= 77));
        assert_eq!(leaves(&out)[0], "x".repeat(LOOK_AHEAD + 1).as_bytes());
        let short = format!("{HEAD}{}", "x".repeat(LOOK_AHEAD));
        assert_eq!(converted(short.as_bytes(), 5000), short.as_bytes());
    }

    fn any_message() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(HEAD.to_owned()),
            Just("Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_owned()),
            Just("Content-Type: message/rfc822\r\n\r\n".to_owned()),
            Just("Content-Transfer-Encoding: 8bit\r\n\r\n".to_owned()),
            Just("\r\n--b\r\n".to_owned()),
            Just("\r\n--b--\r\n".to_owned()),
            Just("\0".to_owned()),
            Just("\r\n".to_owned()),
            Just("--b".to_owned()),
            "[a-z \r\n\u{0}]{0,20}",
        ];
        proptest::collection::vec(piece, 0..25).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn nothing_is_lost(message in any_message(), piece in 1_usize..40) {
            let out = converted(&message, piece);
            prop_assert_eq!(&out, &converted(&message, 1 << 20));
            if !message.contains(&0) {
                prop_assert_eq!(&out, &message);
            }
            prop_assert_eq!(leaves(&out), leaves(&message));
        }
    }
}
