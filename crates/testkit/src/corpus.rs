//! Mail that nobody wrote: messages made from a seed, as varied as a real mailbox.
//!
//! Message `n` of a seed is always the same octets, whichever were made before: plain text, HTML
//! alternatives, attachments, attached messages, header and body text in many charsets, threads by
//! References, log-normal sizes. Lines end with CRLF and are no longer than 998 octets.

mod rng;
mod words;

use encoding_rs::Encoding;
use rng::Rng;
use words::{LANGUAGES, Language};

/// Messages of one seed.
#[derive(Clone, Debug)]
pub struct Corpus {
    seed: u64,
    median: f64,
}

/// How far back an answer may reach, and how many ids References holds.
const REACH: u64 = 200;
const REFERENCES: usize = 10;

/// Spread of the sizes: sigma of the normal distribution of their logarithm.
const SPREAD: f64 = 1.2;

/// No message is much larger than this.
const LARGEST: f64 = 20_000_000.0;

impl Corpus {
    /// With a median size of 12 KB.
    pub fn new(seed: u64) -> Self {
        Self { seed, median: 12_000.0 }
    }

    /// With another median size, in octets.
    pub fn with_median(self, median: f64) -> Self {
        Self { median, ..self }
    }

    /// All messages from the first, without end.
    pub fn messages(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        (0..).map(|n| self.message(n))
    }

    /// Message `n`.
    pub fn message(&self, n: u64) -> Vec<u8> {
        let mut rng = Rng::new(self.seed, n);
        let size = (self.median * (SPREAD * rng.normal()).exp()).clamp(200.0, LARGEST) as usize;
        let language = self.language(n);
        let mut out = Vec::with_capacity(size + 1024);
        self.header(n, language, &mut rng, &mut out);
        match rng.below(10) {
            0..=3 => text_part(language, &mut rng, size, &mut out),
            4..=6 => alternative(language, &mut rng, size, &mut out),
            7..=8 => attachment(language, &mut rng, size, &mut out),
            _ => self.forwarded(n, language, &mut rng, size, &mut out),
        }
        out
    }

    /// The message that message `n` answers, if it answers one.
    pub fn answers(&self, n: u64) -> Option<u64> {
        let mut rng = Rng::new(self.seed ^ 0xA5, n);
        (n > 0 && rng.below(3) > 0).then(|| n - 1 - rng.below(REACH.min(n)))
    }

    fn language(&self, n: u64) -> &'static Language {
        // A thread stays in its language.
        let first = std::iter::successors(Some(n), |n| self.answers(*n)).last().unwrap_or(n);
        let at = Rng::new(self.seed ^ 0x5A, first).below(LANGUAGES.len() as u64);
        LANGUAGES.iter().cycle().nth(at as usize).unwrap_or(&words::ENGLISH)
    }

    fn id(&self, n: u64) -> String {
        format!("<{n}.{:x}@corpus.example>", self.seed)
    }

    fn header(&self, n: u64, language: &Language, rng: &mut Rng, out: &mut Vec<u8>) {
        let ancestors: Vec<u64> =
            std::iter::successors(self.answers(n), |n| self.answers(*n)).take(REFERENCES).collect();
        let first = ancestors.last().copied().unwrap_or(n);
        let subject = Rng::new(self.seed, first).pick(language.words).copied().unwrap_or("mail");
        let prefix = if ancestors.is_empty() { "" } else { "Re: " };
        let from = rng.pick(language.names).copied().unwrap_or("Ann");
        let to = rng.pick(language.names).copied().unwrap_or("Bob");
        line(out, &format!("Message-ID: {}", self.id(n)));
        line(out, &format!("Date: {}", date(n)));
        line(out, &format!("From: {} <sender{}@corpus.example>", language.word(from, rng), rng.below(50)));
        line(out, &format!("To: {} <user{}@corpus.example>", language.word(to, rng), rng.below(9)));
        line(out, &format!("Subject: {prefix}{} {first}", language.word(subject, rng)));
        if let Some(parent) = ancestors.first() {
            line(out, &format!("In-Reply-To: {}", self.id(*parent)));
            let ids: Vec<String> = ancestors.iter().rev().map(|a| self.id(*a)).collect();
            line(out, &format!("References: {}", ids.join("\r\n ")));
        }
        line(out, "MIME-Version: 1.0");
    }

    /// A text, and another message of this corpus attached.
    fn forwarded(&self, n: u64, language: &Language, rng: &mut Rng, size: usize, out: &mut Vec<u8>) {
        let boundary = multipart(out, "mixed", rng);
        text_part(language, rng, 300, out);
        open(out, &boundary);
        line(out, "Content-Type: message/rfc822");
        line(out, "");
        // The attached one is small and attaches nothing itself.
        let inner = self.language(n / 2);
        self.header(n / 2, inner, rng, out);
        text_part(inner, rng, size, out);
        close(out, &boundary);
    }
}

/// A text part of about `size` octets: its header fields, a blank line, its lines.
fn text_part(language: &Language, rng: &mut Rng, size: usize, out: &mut Vec<u8>) {
    let mut text = String::new();
    while text.len() < size {
        let mut length = 0;
        while length < 60 {
            let word = rng.pick(language.words).copied().unwrap_or("");
            text.push_str(word);
            text.push(' ');
            length += word.chars().count() + 1;
        }
        text.push('\n');
    }
    encoded(language, "text/plain", &text, rng, out);
}

fn encoded(language: &Language, kind: &str, text: &str, rng: &mut Rng, out: &mut Vec<u8>) {
    let charset = rng.pick(language.charsets).copied().unwrap_or("utf-8");
    let encoding = Encoding::for_label(charset.as_bytes()).unwrap_or(encoding_rs::UTF_8);
    let (octets, ..) = encoding.encode(text);
    line(out, &format!("Content-Type: {kind}; charset={charset}"));
    match rng.below(3) {
        0 => {
            line(out, "Content-Transfer-Encoding: base64");
            line(out, "");
            base64(&octets, out);
        }
        1 => {
            line(out, "Content-Transfer-Encoding: quoted-printable");
            line(out, "");
            quoted_printable(&octets, out);
        }
        _ => {
            line(out, &format!("Content-Transfer-Encoding: {}", if octets.is_ascii() { "7bit" } else { "8bit" }));
            line(out, "");
            for text in octets.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
                out.extend(text);
                out.extend(b"\r\n");
            }
        }
    }
}

fn alternative(language: &Language, rng: &mut Rng, size: usize, out: &mut Vec<u8>) {
    let boundary = multipart(out, "alternative", rng);
    text_part(language, rng, size / 3, out);
    open(out, &boundary);
    let words = (0..size / 12).map(|i| {
        let word = rng.pick(language.words).copied().unwrap_or("");
        if i % 10 == 9 { format!("<b>{word}</b><br>\n") } else { format!("{word} ") }
    });
    let html = format!("<html><body><p>\n{}\n</p></body></html>\n", words.collect::<String>());
    encoded(language, "text/html", &html, rng, out);
    close(out, &boundary);
}

fn attachment(language: &Language, rng: &mut Rng, size: usize, out: &mut Vec<u8>) {
    let boundary = multipart(out, "mixed", rng);
    text_part(language, rng, 500, out);
    open(out, &boundary);
    line(out, "Content-Type: application/octet-stream; name=\"data.bin\"");
    line(out, "Content-Disposition: attachment; filename=\"data.bin\"");
    line(out, "Content-Transfer-Encoding: base64");
    line(out, "");
    let octets: Vec<u8> = (0..size / 8 * 6).map(|_| rng.below(256) as u8).collect();
    base64(&octets, out);
    close(out, &boundary);
}

/// Ends the header with a multipart type and begins the first part.
fn multipart(out: &mut Vec<u8>, kind: &str, rng: &mut Rng) -> String {
    let boundary = format!("=_{:016x}", rng.next());
    line(out, &format!("Content-Type: multipart/{kind}; boundary=\"{boundary}\""));
    line(out, "");
    line(out, "This is a message in several parts.");
    open(out, &boundary);
    boundary
}

fn open(out: &mut Vec<u8>, boundary: &str) {
    line(out, "");
    line(out, &format!("--{boundary}"));
}

fn close(out: &mut Vec<u8>, boundary: &str) {
    line(out, "");
    line(out, &format!("--{boundary}--"));
}

fn line(out: &mut Vec<u8>, text: &str) {
    out.extend(text.as_bytes());
    out.extend(b"\r\n");
}

/// RFC 2045 §6.8: lines of 76.
fn base64(octets: &[u8], out: &mut Vec<u8>) {
    use base64::Engine;
    for piece in octets.chunks(57) {
        line(out, &base64::engine::general_purpose::STANDARD.encode(piece));
    }
}

/// RFC 2045 §6.7: lines of at most 76.
fn quoted_printable(octets: &[u8], out: &mut Vec<u8>) {
    for text in octets.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        let mut column = 0;
        for (at, byte) in text.iter().enumerate() {
            let last = at + 1 == text.len();
            let plain = byte.is_ascii_graphic() && *byte != b'=' || *byte == b' ' && !last;
            let piece = if plain { vec![*byte] } else { format!("={byte:02X}").into_bytes() };
            if column + piece.len() > 75 {
                out.extend(b"=\r\n");
                column = 0;
            }
            column += piece.len();
            out.extend(piece);
        }
        out.extend(b"\r\n");
    }
}

/// Five minutes from message to message, from 1 January 2024.
fn date(n: u64) -> String {
    let (days, minutes) = (n * 5 / 1440, n * 5 % 1440);
    // Years of twelve months of 28 days: any valid date will do, as long as it ascends.
    let (year, month, day) = (2024 + days / 336 % 70, days / 28 % 12, days % 28 + 1);
    let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let name = names.get(month as usize).copied().unwrap_or("Jan");
    format!("{day} {name} {year} {:02}:{:02}:00 +0000", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_messages() {
        let (a, b) = (Corpus::new(1), Corpus::new(1));
        assert_eq!(a.message(77), b.message(77));
        assert_eq!(a.messages().nth(5), Some(b.message(5)));
        assert_ne!(a.message(77), Corpus::new(2).message(77));
    }

    #[test]
    fn every_line_is_one_a_server_must_take() {
        for message in Corpus::new(3).with_median(3000.0).messages().take(300) {
            assert!(message.ends_with(b"\r\n") && !message.contains(&0));
            for line in message.split_inclusive(|b| *b == b'\n') {
                assert!(line.ends_with(b"\r\n") && line.len() <= 1000, "{}", String::from_utf8_lossy(line));
                assert_eq!(line.iter().filter(|b| **b == b'\r').count(), 1);
            }
        }
    }

    #[test]
    fn there_is_something_of_everything() {
        let texts: Vec<String> = Corpus::new(4)
            .with_median(2000.0)
            .messages()
            .take(300)
            .map(|m| String::from_utf8_lossy(&m).into_owned())
            .collect();
        let with = |what: &str| texts.iter().filter(|t| t.contains(what)).count();
        for what in [
            "multipart/alternative",
            "message/rfc822",
            "attachment;",
            "References:",
            "=?",
            "koi8-r",
            "iso-2022-jp",
            "base64",
            "quoted-printable",
            "8bit",
        ] {
            assert!(with(what) > 3, "{what}");
        }
        let answers = with("In-Reply-To:");
        assert!((100..280).contains(&answers), "{answers}");
    }

    #[test]
    fn sizes_are_spread_around_their_median() {
        let mut sizes: Vec<usize> = Corpus::new(5).messages().take(200).map(|m| m.len()).collect();
        sizes.sort_unstable();
        assert!((5_000..30_000).contains(&sizes[100]), "{}", sizes[100]);
        assert!(sizes[190] > sizes[10] * 10);
    }
}
