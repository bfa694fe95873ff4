//! Encoded words in header values (RFC 2047), with the language of RFC 2231 §5.
//!
//! Lenient about everything that mailers get wrong: words that are too long, that stand inside
//! words or quotes, that hold spaces or question marks, or that cut a character in two.

use crate::{
    charset::{self, Charset},
    cursor::is_space,
    transfer,
};

/// The text of an unfolded value. Never fails: what is no encoded word stands for itself, 8-bit
/// octets are UTF-8 or else windows-1252.
pub fn decode(value: &[u8]) -> String {
    let mut out = String::with_capacity(value.len());
    let mut word = Joined::default();
    let mut rest = value;
    let mut plain_from = value;
    while let Some(at) = memchr::memmem::find(rest, b"=?") {
        let start = rest.get(at..).unwrap_or_default();
        let Some((next, after)) = Word::parse(start) else {
            rest = start.get(2..).unwrap_or_default();
            continue;
        };
        let plain = plain_from.get(..plain_from.len() - start.len()).unwrap_or_default();
        // RFC 2047 §6.2: white space between two encoded words is not shown.
        if word.is_empty() || !plain.iter().all(|&b| is_space(b)) {
            word.flush(&mut out);
            out.push_str(&charset::guess(plain));
        }
        word.join(next, &mut out);
        (rest, plain_from) = (after, after);
    }
    word.flush(&mut out);
    out.push_str(&charset::guess(plain_from));
    out
}

/// One encoded word, decoded to octets.
struct Word {
    charset: Charset,
    octets: Vec<u8>,
}

/// The longest encoded text in which a stray `?` is forgiven: this bounds the work.
const FORGIVEN: usize = 300;

impl Word {
    /// `"=?" charset ["*" language] "?" encoding "?" encoded-text "?="`, and what follows it.
    fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let inner = bytes.strip_prefix(b"=?")?;
        let (charset, inner) = split(inner, 80)?;
        let (encoding, inner) = split(inner, 1)?;
        let end = text_end(inner)?;
        let text = inner.get(..end)?;
        let octets = match encoding {
            b"B" | b"b" => transfer::base64(text),
            b"Q" | b"q" => q(text),
            _ => return None,
        };
        let name = charset.split(|&b| b == b'*').next().unwrap_or_default();
        if name.is_empty() || name.iter().any(|&b| !b.is_ascii_graphic()) {
            return None;
        }
        Some((Self { charset: Charset::named_or_guess(name), octets }, inner.get(end + 2..)?))
    }
}

fn split(bytes: &[u8], longest: usize) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().take(longest + 1).position(|&b| b == b'?')?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// Where `?=` ends the text. A `?` inside is wrong but common; another word's beginning is not text.
fn text_end(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr(b'?', text.get(from..)?)?;
        if text.get(at + 1) == Some(&b'=') {
            return Some(at);
        }
        let opens_another = at > 0 && text.get(at - 1) == Some(&b'=');
        if at > FORGIVEN || opens_another {
            return None;
        }
        from = at + 1;
    }
}

/// The "Q" encoding (RFC 2047 §4.2).
fn q(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'_', _) => out.push(b' '),
            (b'=', [high, low, after @ ..]) => match (transfer::hex(*high), transfer::hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(byte),
            },
            _ => out.push(byte),
        }
    }
    out
}

/// Neighbouring words of one charset, decoded together: mailers cut characters in two.
#[derive(Default)]
struct Joined {
    word: Option<Word>,
}

impl Joined {
    fn is_empty(&self) -> bool {
        self.word.is_none()
    }

    fn join(&mut self, next: Word, out: &mut String) {
        match &mut self.word {
            Some(word) if word.charset == next.charset => word.octets.extend_from_slice(&next.octets),
            _ => {
                self.flush(out);
                self.word = Some(next);
            }
        }
    }

    fn flush(&mut self, out: &mut String) {
        if let Some(word) = self.word.take() {
            out.push_str(&word.charset.decode(&word.octets));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(value: &str, text: &str) {
        assert_eq!(decode(value.as_bytes()), text, "{value}");
    }

    // RFC 2047 §8: its table.
    #[test]
    fn rfc_2047_examples() {
        check("(=?ISO-8859-1?Q?a?=)", "(a)");
        check("(=?ISO-8859-1?Q?a?= b)", "(a b)");
        check("(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)");
        check("(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)", "(ab)");
        check("(=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=)", "(ab)");
        check("(=?ISO-8859-1?Q?a_b?=)", "(a b)");
        check("(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)");
        check("=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>");
        check("=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?= <keld@dkuug.dk>", "Keld Jørn Simonsen <keld@dkuug.dk>");
        check("=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=", "If you can read this yo");
        check("=?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=", "u understand the example.");
        check("=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?=", "םולש ןב ילטפנ");
        // RFC 2231 §5
        check("=?US-ASCII*EN?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>");
    }

    #[test]
    fn forgiven() {
        check("=?utf-8?Q?caf=C3?= =?utf-8?Q?=A9?=", "café");
        check("=?utf-8?B?w?= =?utf-8?B?6Q?=", "\u{fffd}");
        check("=?utf-8?Q?What?_now?=", "What? now");
        check("=?utf-8?Q?a b?= c", "a b c");
        check("x=?utf-8?q?y?=z", "xyz");
        check("=?utf-8?Q?open", "=?utf-8?Q?open");
        check("=?utf-8?X?a?=", "=?utf-8?X?a?=");
        check("=??Q?a?=", "=??Q?a?=");
        check("=?no-such?Q?a=C3=BC?=", "aü");
        check("=?utf-8?Q?=zz=4?=", "=zz=4");
        check("=?utf-8?Q?lost =?utf-8?Q?found?=", "=?utf-8?Q?lost found");
        check(&format!("=?utf-8?B?{}?=", "QUFB".repeat(500)), &"A".repeat(1500));
        assert_eq!(decode(b"gr\xfcn"), "grün");
        assert_eq!(decode("grün =?utf-8?Q?=C3=BC?=".as_bytes()), "grün ü");
    }

    #[test]
    fn hostile_repetition_is_linear() {
        decode(&b"=?a?q?".repeat(100_000));
        decode(&b"=?".repeat(300_000));
    }

    proptest! {
        #[test]
        fn never_panics(parts in proptest::collection::vec(prop_oneof![
            Just("=?".to_owned()), Just("?=".to_owned()), Just("?Q?".to_owned()), Just("utf-8".to_owned()), Just("=".to_owned()), any::<String>()], 0..20)) {
            decode(parts.concat().as_bytes());
        }
        #[test]
        fn every_text_survives_q(text in any::<String>()) {
            let encoded: String = text.bytes().map(|b| format!("={b:02X}")).collect();
            prop_assert_eq!(decode(format!("=?utf-8?Q?{encoded}?=").as_bytes()), text);
        }
    }
}
