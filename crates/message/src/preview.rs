//! Previews: the first words of a message, for a list of messages (RFC 8970 §3.3).
//!
//! Made while the message passes by, from its text parts in their order: the first in which somebody
//! can read something gives the preview. Attachments are passed over, and what is encrypted has no
//! text part. Memory is bounded by a constant, and so are the octets that are looked at.

mod entity;
mod html;
mod plain;

use crate::{Charset, Decoder, Encoding, TextDecoder};
use html::Html;
use plain::Plain;

/// RFC 8970 §3.3: "The server SHOULD limit the length of the preview text to 200 preview characters."
pub(crate) const LONGEST: usize = 200;

/// Octets of text parts, as they are encoded, that are looked at: more than any style sheet has.
const MOST: usize = 256 << 10;

/// Octets that are decoded at a time: few, for the first are mostly enough.
const PIECE: usize = 512;

/// How a text part is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// `text/plain` and what can be read like it.
    Plain,
    /// `text/html`
    Html,
}

/// Takes the text parts of a message, one after the other.
#[derive(Debug)]
pub(crate) struct Previewer {
    /// What is known so far; empty where that is nothing.
    preview: String,
    part: Option<Box<Part>>,
    /// Octets that may still be looked at.
    left: usize,
}

/// The part that is being read.
#[derive(Debug)]
struct Part {
    decoder: Decoder,
    charset: TextDecoder,
    reader: Reader,
    octets: Vec<u8>,
    text: String,
}

#[derive(Debug)]
enum Reader {
    Plain(Plain),
    Html(Html),
}

impl Previewer {
    pub(crate) fn new() -> Self {
        Self { preview: String::new(), part: None, left: MOST }
    }

    /// Whether what comes cannot change the preview any more.
    pub(crate) fn is_known(&self) -> bool {
        self.part.is_none() && (!self.preview.is_empty() || self.left == 0)
    }

    /// A text part begins.
    pub(crate) fn begin(&mut self, kind: Kind, encoding: Encoding, charset: Charset) {
        self.end();
        if self.is_known() {
            return;
        }
        // What nobody can decode, nobody can read.
        let Ok(decoder) = Decoder::new(encoding) else { return };
        let reader = match kind {
            Kind::Plain => Reader::Plain(Plain::default()),
            Kind::Html => Reader::Html(Html::default()),
        };
        let (octets, text) = (Vec::new(), String::new());
        self.part = Some(Box::new(Part { decoder, charset: charset.decoder(), reader, octets, text }));
    }

    /// The next octets of the part that has begun, if it is of any interest.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let Some(part) = &mut self.part else { return };
        let bytes = bytes.get(..self.left).unwrap_or(bytes);
        for piece in bytes.chunks(PIECE) {
            part.push(piece);
            self.left -= piece.len();
            if self.left == 0 || part.reader.is_full() {
                return self.end();
            }
        }
    }

    /// The part has ended.
    pub(crate) fn end(&mut self) {
        if let Some(part) = self.part.take() {
            self.preview = part.finish();
        }
    }

    /// The preview: at most [`LONGEST`] characters in one line, perhaps none.
    pub(crate) fn finish(mut self) -> String {
        self.end();
        self.preview
    }
}

impl Part {
    fn push(&mut self, piece: &[u8]) {
        self.octets.clear();
        self.text.clear();
        self.decoder.push(piece, &mut self.octets);
        self.charset.push(&self.octets, &mut self.text);
        self.reader.push(&self.text);
    }

    fn finish(mut self) -> String {
        self.octets.clear();
        self.text.clear();
        self.decoder.finish(&mut self.octets);
        self.charset.push(&self.octets, &mut self.text);
        self.charset.finish(&mut self.text);
        self.reader.push(&self.text);
        match self.reader {
            Reader::Plain(plain) => plain.finish(),
            Reader::Html(html) => html.finish(),
        }
    }
}

impl Reader {
    fn push(&mut self, text: &str) {
        match self {
            Self::Plain(plain) => plain.push(text),
            Self::Html(html) => html.push(text),
        }
    }

    fn is_full(&self) -> bool {
        match self {
            Self::Plain(plain) => plain.is_full(),
            Self::Html(html) => html.is_full(),
        }
    }
}

/// Text in one line: white space collapsed, what cannot be seen left out, cut at [`LONGEST`].
#[derive(Debug, Default)]
struct Squeezed {
    text: String,
    chars: usize,
    /// White space stands before the next character.
    space: bool,
}

impl Squeezed {
    fn push_str(&mut self, text: &str) {
        text.chars().for_each(|c| self.push(c));
    }

    fn push(&mut self, c: char) {
        if c.is_whitespace() {
            self.space();
        } else if !self.is_invisible(c) && !self.is_full() {
            if self.text.is_empty() {
                self.text.reserve(LONGEST);
            }
            let space = self.space && self.chars > 0;
            // A space and nothing behind it would be no text.
            if self.chars + usize::from(space) == LONGEST {
                self.chars = LONGEST;
                return;
            }
            if space {
                self.text.push(' ');
            }
            self.text.push(c);
            self.chars += 1 + usize::from(space);
            self.space = false;
        }
    }

    fn space(&mut self) {
        self.space = true;
    }

    fn is_full(&self) -> bool {
        self.chars >= LONGEST
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Controls, and what mailers fill previews with or could turn the text around with.
    fn is_invisible(&self, c: char) -> bool {
        match c {
            // They join or part letters and emoji; between spaces they are only filling.
            '\u{200c}' | '\u{200d}' => self.space || self.text.is_empty(),
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{feff}' => true,
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => true,
            c => c.is_control(),
        }
    }
}

/// What somebody wrote, and what he quoted: that counts only where there is nothing else.
#[derive(Debug, Default)]
struct Words {
    own: Squeezed,
    quoted: Squeezed,
}

impl Words {
    fn finish(self) -> String {
        if self.own.is_empty() { self.quoted.text } else { self.own.text }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use types::Limits;

    use super::*;
    use crate::{Parser, parse};

    fn preview(message: &str) -> String {
        parse(message.as_bytes(), &Limits::default()).preview().to_owned()
    }

    /// The preview of a part of this type.
    fn of(kind: &str, text: &str) -> String {
        preview(&format!("Content-Type: {kind}\r\n\r\n{text}"))
    }

    #[test]
    fn one_line_of_two_hundred_characters() {
        assert_eq!(
            of("text/plain", "\r\n  Two\tlines,\r\n\r\n one\u{a0}\u{a0}text \0\u{7}.\r\n"),
            "Two lines, one text ."
        );
        let long = "\u{e4}\u{1f600} ".repeat(150);
        let cut = of("text/plain; charset=utf-8", &long);
        assert_eq!((cut.chars().count(), cut.ends_with(' ')), (200, false));
        assert!(long.starts_with(&cut));
        assert_eq!(of("text/plain", &"x".repeat(201)).len(), 200);
        assert_eq!(of("text/plain", &"x".repeat(200)).len(), 200);
        // The two hundredth would be a space.
        assert_eq!(of("text/plain", &format!("{} y", "x".repeat(199))).len(), 199);
    }

    #[test]
    fn what_cannot_be_seen_is_not_there() {
        let filled = format!("\u{feff}Sale{}\u{200b}!", "\u{a0}\u{200c}\u{34f}".repeat(500));
        assert_eq!(of("text/plain; charset=utf-8", &filled), "Sale !");
        // A family, a word of Persian, and a text that would run from right to left.
        assert_eq!(of("text/plain; charset=utf-8", "\u{1f468}\u{200d}\u{1f467}"), "\u{1f468}\u{200d}\u{1f467}");
        assert_eq!(of("text/plain; charset=utf-8", "\u{645}\u{6cc}\u{200c}\u{634}"), "\u{645}\u{6cc}\u{200c}\u{634}");
        assert_eq!(of("text/plain; charset=utf-8", "a\u{202e}b"), "ab");
    }

    #[test]
    fn encodings_and_charsets() {
        let body = |head: &str, body: &str| preview(&format!("{head}\r\n\r\n{body}"));
        let qp = "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable";
        assert_eq!(body(qp, "Gr=FC=\r\n=DFe"), "Grüße");
        let koi8 = "Content-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: base64";
        assert_eq!(body(koi8, "8P\r\nLp\r\n9+X0"), "привет".to_uppercase());
        let jp = "Content-Type: text/plain; charset=iso-2022-jp";
        assert_eq!(body(jp, "\x1b$BF|K\\8l\x1b(B."), "日本語.");
        assert_eq!(body("Content-Type: text/plain; charset=x-nobody-knows", "gr\u{fc}n"), "grün");
        assert_eq!(body("Content-Transfer-Encoding: x-nobody-knows", "abc"), "");
    }

    #[test]
    fn which_part_it_is() {
        let mixed = |parts: &[(&str, &str)]| {
            let part = |(head, body): &(&str, &str)| format!("--b\r\n{head}\r\n\r\n{body}\r\n");
            let parts: String = parts.iter().map(part).collect();
            preview(&format!("Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n{parts}--b--\r\nepilogue"))
        };
        let (plain, html) = ("Content-Type: text/plain", "Content-Type: text/html");
        assert_eq!(mixed(&[(plain, "first"), (html, "<p>second")]), "first");
        assert_eq!(mixed(&[(plain, " \r\n \r\n"), (html, "<p>second")]), "second");
        assert_eq!(mixed(&[(html, "<title>x</title>"), (plain, "footer")]), "footer");
        let attached = "Content-Type: text/plain\r\nContent-Disposition: attachment; filename=x";
        assert_eq!(mixed(&[(attached, "not this"), (plain, "this")]), "this");
        assert_eq!(mixed(&[(attached, "not this"), ("Content-Type: image/png", "nor this")]), "");
        assert_eq!(mixed(&[("Content-Type: text/calendar", "BEGIN:VCALENDAR"), (plain, "come")]), "come");
        assert_eq!(mixed(&[("Content-Type: message/rfc822", "Subject: x\r\n\r\ninside")]), "inside");
        assert_eq!(
            mixed(&[(plain, "see below"), ("Content-Type: message/rfc822", "Subject: x\r\n\r\ninside")]),
            "see below"
        );
        let encrypted = ("Content-Type: application/octet-stream", "-----BEGIN PGP MESSAGE-----\r\n\r\nhQ");
        assert_eq!(mixed(&[("Content-Type: application/pgp-encrypted", "Version: 1"), encrypted]), "");
        // A part whose body runs into the boundary, and one that has no body.
        assert_eq!(mixed(&[(plain, ""), (plain, "end")]), "end");
        assert_eq!(
            preview("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nbody without a head\r\n--b--"),
            "body without a head"
        );
        assert_eq!(preview(""), "");
        assert_eq!(preview("no header at all"), "no header at all");
        assert_eq!(preview("Content-Type: multipart/mixed; boundary=b\r\n\r\nno part"), "");
        assert_eq!(preview("Content-Type: application/pkcs7-mime\r\n\r\nMIAGC"), "");
    }

    #[test]
    fn no_more_is_looked_at_than_allowed() {
        let html = |style: usize| of("text/html", &format!("<style>{}</style><p>seen", "a{} ".repeat(style / 4)));
        assert_eq!(html(MOST - 100), "seen");
        assert_eq!(html(MOST), "");
        let mut previewer = Previewer::new();
        previewer.begin(Kind::Plain, Encoding::SevenBit, Charset::ASCII);
        previewer.push(&b" ".repeat(MOST - 1));
        assert!(!previewer.is_known());
        previewer.push(b" x");
        assert!(previewer.is_known());
        assert_eq!(previewer.finish(), "");
    }

    #[test]
    fn it_is_known_before_the_message_ends() {
        let mut parser = Parser::new(&Limits::default());
        parser.push(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nshort\r\n");
        assert!(!parser.knows_preview());
        parser.push(b"--b\r\n");
        assert!(parser.knows_preview());
        assert_eq!(parser.finish().preview(), "short");
    }

    /// Lines that could be boundaries, text, headers, and long ones.
    fn messages() -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![
            Just(b"--b\r\n".to_vec()),
            Just(b"--b--\r\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"> quoted\n".to_vec()),
            Just(b"-- \r\n".to_vec()),
            Just(b"Content-Type: text/html\r\n".to_vec()),
            Just(b"Content-Type: message/rfc822\r\n".to_vec()),
            Just(b"Content-Transfer-Encoding: base64\r\n".to_vec()),
            Just(b"<b>bold</b> &amp; <!-- no --> \xc3\xa9 text\r\n".to_vec()),
            (1000_usize..1100).prop_map(|n| [b"--b".to_vec(), b"- ".repeat(n / 2), b"\r\n".to_vec()].concat()),
            (1000_usize..1100).prop_map(|n| [b"--".to_vec(), b"- ".repeat(n / 2), b"z\r\n".to_vec()].concat()),
            (1020_usize..1030).prop_map(|n| [b" ".repeat(n), b"end\r\n".to_vec()].concat()),
            proptest::collection::vec(any::<u8>(), 0..9),
        ];
        proptest::collection::vec(line, 0..12).prop_map(|lines| {
            [b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".to_vec(), lines.concat()].concat()
        })
    }

    proptest! {
        #[test]
        fn how_it_was_cut_cannot_matter(message in messages(), cuts in proptest::collection::vec(1_usize..1200, 1..8)) {
            let whole = parse(&message, &Limits::default());
            let mut parser = Parser::new(&Limits::default());
            let (mut rest, mut cuts) = (message.as_slice(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                parser.push(piece);
                rest = after;
            }
            let cut = parser.finish();
            prop_assert_eq!(cut.preview(), whole.preview());
            let text = whole.preview();
            prop_assert!(text.chars().count() <= LONGEST && !text.contains("  ") && text.trim() == text);
            prop_assert!(!text.chars().any(char::is_control), "{:?}", text);
        }

        #[test]
        fn strange_html_does_no_harm(text in "(<|>|/|!|--|\"|'|=|&|;|#|x[0-9a-f]|[0-9]{1,8}|amp|nbsp|script|style|p|b|blockquote|[a-z ]{1,5}){0,40}") {
            let text = of("text/html; charset=utf-8", &text);
            prop_assert!(text.chars().count() <= LONGEST);
        }
    }
}
