//! Modified UTF-7, the encoding of mailbox names in IMAP4rev1 (RFC 3501 §5.1.3, RFC 9051 Appendix A.1).
//!
//! Each name has exactly one spelling: what would not come back the same is refused.

use std::borrow::Cow;

use base64::alphabet::IMAP_MUTF7;
use base64::engine::Engine;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

const BASE64: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// Why octets are not modified UTF-7.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the mailbox name is not in modified UTF-7")]
pub struct Mutf7Error;

/// Text to modified UTF-7, which is ASCII.
pub(crate) fn encode(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| is_direct(c) && c != '&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let direct = is_direct(first);
        let (run, after) = rest.split_at(rest.find(|c| is_direct(c) != direct).unwrap_or(rest.len()));
        if direct {
            out.push_str(&run.replace('&', "&-"));
        } else {
            let utf16: Vec<u8> = run.encode_utf16().flat_map(u16::to_be_bytes).collect();
            out.push('&');
            BASE64.encode_string(utf16, &mut out);
            out.push('-');
        }
        rest = after;
    }
    Cow::Owned(out)
}

/// Modified UTF-7 to text.
pub(crate) fn decode(octets: &[u8]) -> Result<String, Mutf7Error> {
    let text = std::str::from_utf8(octets).map_err(|_| Mutf7Error)?;
    if !text.contains('&') {
        return text.chars().all(is_direct).then(|| text.to_owned()).ok_or(Mutf7Error);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((direct, shifted)) = rest.split_once('&') {
        let (base64, after) = shifted.split_once('-').ok_or(Mutf7Error)?;
        out.push_str(direct);
        if base64.is_empty() {
            out.push('&');
        } else {
            out.push_str(&decode_shifted(base64)?);
        }
        rest = after;
    }
    out.push_str(rest);
    // One spelling for each name (RFC 9051 Appendix A.1): no encoded ASCII, no superfluous shifts,
    // no stray bits. Comparing with our own spelling finds all of them.
    if encode(&out) == text { Ok(out) } else { Err(Mutf7Error) }
}

fn decode_shifted(base64: &str) -> Result<String, Mutf7Error> {
    let octets = BASE64.decode(base64).map_err(|_| Mutf7Error)?;
    let pairs = octets.chunks(2).map(|pair| <[u8; 2]>::try_from(pair).map(u16::from_be_bytes));
    let utf16: Vec<u16> = pairs.collect::<Result<_, _>>().map_err(|_| Mutf7Error)?;
    String::from_utf16(&utf16).map_err(|_| Mutf7Error)
}

/// What represents itself; `&` does so as `&-`.
fn is_direct(c: char) -> bool {
    (' '..='~').contains(&c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 9051 Appendix A.1
        assert_eq!(decode(b"~peter/mail/&U,BTFw-/&ZeVnLIqe-").unwrap(), "~peter/mail/台北/日本語");
        assert_eq!(encode("~peter/mail/台北/日本語"), "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
        assert_eq!(decode(b"&Jjo-!").unwrap(), "\u{263a}!");
        assert!(decode(b"&Jjo!").is_err(), "no shift back");
        assert!(decode(b"&U,BTFw-&ZeVnLIqe-").is_err(), "superfluous shift");
        assert_eq!(decode(b"&U,BTF2XlZyyKng-").unwrap(), "台北日本語");
        assert_eq!(decode(b"a &- b").unwrap(), "a & b");
    }

    #[test]
    fn what_has_another_spelling_is_refused() {
        for bad in [
            &b"&"[..],
            b"a&b",
            b"&AGE-",    // encodes "a"
            b"&APx-",    // stray bits
            b"&APw=-",   // padding
            b"&2D0-",    // half a surrogate pair
            b"&AP-",     // half a code unit
            b"\xc3\xbc", // not ASCII
            b"&U/BTFw-", // the other alphabet
            b"a\x01",    // control characters are encoded
        ] {
            assert!(decode(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }

    proptest! {
        #[test]
        fn there_and_back(text in any::<String>()) {
            let encoded = encode(&text);
            prop_assert!(encoded.bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert_eq!(decode(encoded.as_bytes()), Ok(text));
        }

        #[test]
        fn whatever_decodes_encodes_to_the_same(octets in "[&A-Za-z0-9+,/ -]{0,20}") {
            if let Ok(text) = decode(octets.as_bytes()) {
                prop_assert_eq!(encode(&text), octets);
            }
        }
    }
}
