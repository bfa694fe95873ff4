//! UTF-8 in ASCII: encoded words, extended parameters, and domains.

use crate::transfer::encode_base64;

/// Octets of text in one encoded word: `=?UTF-8?B?` + 60 + `?=` is at most 75 (RFC 2047 §2).
const WORD: usize = 45;

/// Characters of a line that folding aims at (RFC 5322 §2.1.1).
const LINE: usize = 76;

/// `text` as encoded words, with a space between them that does not belong to the text.
pub(super) fn words(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(WORD));
        if !out.is_empty() {
            out.push(' ');
        }
        let mut base64 = Vec::new();
        encode_base64(word.as_bytes(), &mut base64);
        out.push_str("=?UTF-8?B?");
        out.push_str(&String::from_utf8_lossy(&base64));
        out.push_str("?=");
        rest = after;
    }
    out
}

/// RFC 6857 §3.1.1: unstructured text; words that are ASCII stand for themselves.
pub(super) fn unstructured(text: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut run: Vec<&str> = Vec::new();
    let close = |run: &mut Vec<&str>, out: &mut Vec<String>| {
        if !run.is_empty() {
            out.push(words(&std::mem::take(run).join(" ")));
        }
    };
    for word in text.split([' ', '\t']) {
        if word.is_ascii() {
            close(&mut run, &mut out);
            out.push(word.to_owned());
        } else {
            run.push(word);
        }
    }
    close(&mut run, &mut out);
    out.join(" ")
}

/// RFC 2231 §4: `charset'language'text`, the language empty (RFC 6857 §3.1.4).
pub(super) fn extended(value: &str) -> String {
    let mut out = String::from("UTF-8''");
    for byte in value.bytes() {
        // RFC 2231 §7: attribute-char
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`{|}~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// RFC 6857 §3.1.6: a domain in A-labels; `None` where there are none for it.
pub(super) fn domain(host: &str) -> Option<String> {
    if host.is_ascii() { Some(host.to_owned()) } else { idna::domain_to_ascii(host).ok() }
}

/// `Name: value` in lines that are not long, where the value has spaces.
pub(super) fn fold(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    let mut length = name.len() + 1;
    for word in value.split(' ') {
        if length + 1 + word.len() > LINE && length > name.len() + 1 && !word.is_empty() {
            out.extend_from_slice(b"\r\n");
            length = 0;
        }
        out.push(b' ');
        out.extend_from_slice(word.as_bytes());
        length += 1 + word.len();
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn examples() {
        assert_eq!(words("ü"), "=?UTF-8?B?w7w=?=");
        assert_eq!(
            unstructured("Re: Grüße an Jörg and all"),
            "Re: =?UTF-8?B?R3LDvMOfZQ==?= an =?UTF-8?B?SsO2cmc=?= and all"
        );
        assert_eq!(extended("naïve plan.txt"), "UTF-8''na%C3%AFve%20plan.txt");
        assert_eq!(domain("müller.example").as_deref(), Some("xn--mller-kva.example"));
        assert_eq!(domain("a b").as_deref(), Some("a b"));
        let mut out = Vec::new();
        fold("Subject", &"word ".repeat(40), &mut out);
        assert!(out.split(|&b| b == b'\n').all(|line| line.len() <= LINE + 1));
    }

    proptest! {
        #[test]
        fn words_come_back(text in "\\PC{1,200}") {
            let encoded = words(&text);
            prop_assert!(encoded.is_ascii() && encoded.split(' ').all(|word| word.len() <= 75));
            prop_assert_eq!(crate::decode_words(encoded.as_bytes()), text);
        }

        #[test]
        fn unstructured_text_comes_back(text in "[a-zäöü]{1,60}( [a-zäöü]{1,60}){0,5}") {
            let encoded = unstructured(&text);
            prop_assert!(encoded.is_ascii());
            prop_assert_eq!(crate::decode_words(encoded.as_bytes()), text);
        }
    }
}
