//! Names of mailboxes as names of files: modified UTF-7 (RFC 3501 §5.1.3), as Dovecot and Courier have it,
//! in which also what the layout needs for itself is encoded.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Names that a maildir has for itself.
const TAKEN: [&str; 3] = ["cur", "new", "tmp"];

/// One level of a name as a file name without dots.
pub(crate) fn encode(level: &str) -> String {
    encoded(level, |_, c| c == '.')
}

/// The same where it stands beside the folders of a maildir. Dovecot does not open what is encoded without need, so
/// dots stay; but one at the beginning would mean Maildir++.
pub(crate) fn encode_nested(level: &str) -> String {
    let taken = TAKEN.iter().any(|taken| level.eq_ignore_ascii_case(taken));
    encoded(level, |at, c| at == 0 && (taken || c == '.'))
}

/// The same between the dots of Maildir++, where Dovecot's plugin `listescape` has `\2e` for a dot. Without the plugin
/// it has no such names, and opens this one as it stands.
pub(crate) fn encode_dotted(level: &str) -> String {
    let mut out = String::new();
    for (at, c) in level.char_indices() {
        match c {
            '.' => out.push_str("\\2e"),
            '\\' if level.get(at..).and_then(escaped).is_some() => out.push_str("\\5c"),
            _ => out.push(c),
        }
    }
    encode(&out)
}

/// The level of a name that stands between the dots of Maildir++.
pub(crate) fn decode_dotted(name: &str) -> String {
    let name = decode(name);
    let (mut out, mut rest) = (String::new(), name.as_str());
    while let Some(c) = rest.chars().next() {
        let (c, length) = escaped(rest).map_or((c, c.len_utf8()), |c| (c, 3));
        out.push(c);
        rest = rest.get(length..).unwrap_or_default();
    }
    out
}

/// What `\2e` means at the beginning of a text: a backslash and two hexadecimal digits.
fn escaped(text: &str) -> Option<char> {
    let digits = text.strip_prefix('\\')?.get(..2).filter(|two| two.chars().all(|c| c.is_ascii_hexdigit()))?;
    u8::from_str_radix(digits, 16).ok().filter(u8::is_ascii).map(char::from)
}

/// In modified UTF-7, with those printable characters in base64, too, of which `hidden` says so by place and character.
fn encoded(level: &str, hidden: impl Fn(usize, char) -> bool) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for (at, c) in level.chars().enumerate() {
        if (' '..='~').contains(&c) && c != '/' && !hidden(at, c) {
            shift(&mut run, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            run.push(c);
        }
    }
    shift(&mut run, &mut out);
    out
}

fn shift(run: &mut String, out: &mut String) {
    if !run.is_empty() {
        let utf16: Vec<u8> = run.encode_utf16().flat_map(u16::to_be_bytes).collect();
        out.push('&');
        BASE64.encode_string(utf16, out);
        out.push('-');
        run.clear();
    }
}

/// The level of a name that a file name means. What is not in modified UTF-7 is taken as it stands.
pub(crate) fn decode(name: &str) -> String {
    strictly(name).unwrap_or_else(|| name.to_owned())
}

fn strictly(name: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = name;
    while let Some((direct, shifted)) = rest.split_once('&') {
        let (base64, after) = shifted.split_once('-')?;
        out.push_str(direct);
        if base64.is_empty() {
            out.push('&');
        } else {
            let octets = BASE64.decode(base64).ok()?;
            let utf16: Vec<u16> =
                octets.chunks_exact(2).filter_map(|pair| pair.try_into().ok()).map(u16::from_be_bytes).collect();
            out.push_str(&String::from_utf16(&utf16).ok()?);
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_others_have_it() {
        for (level, file) in
            [("Entwürfe", "Entw&APw-rfe"), ("a&b", "a&-b"), ("台北", "&U,BTFw-"), ("v1.0", "v1&AC4-0"), ("cur", "cur")]
        {
            assert_eq!(encode(level), file);
            assert_eq!(decode(file), level);
        }
        assert_eq!(decode("R&D"), "R&D");
        assert_eq!((encode_nested("cur"), decode("&AGM-ur")), ("&AGM-ur".to_owned(), "cur".to_owned()));
    }

    #[test]
    fn dots_as_dovecot_has_them() {
        assert_eq!(encode_nested("v1.0"), "v1.0");
        assert_eq!(encode_nested(".v1.0"), "&AC4-v1.0");
        for (level, file) in [("v1.0", "v1\\2e0"), ("a\\b", "a\\b"), ("a\\2eb", "a\\5c2eb"), ("ä.", "&AOQ-\\2e")] {
            assert_eq!(encode_dotted(level), file);
            assert_eq!(decode_dotted(file), level);
        }
        // What earlier versions exported.
        assert_eq!((decode_dotted("v1&AC4-0"), decode("v1&AC4-0")), ("v1.0".to_owned(), "v1.0".to_owned()));
    }

    proptest! {
        #[test]
        fn there_and_back(level in "\\PC{1,12}") {
            let file = encode_nested(&level);
            prop_assert!(!file.contains('/') && !file.starts_with('.') && file.is_ascii());
            prop_assert_eq!(&decode(&file), &level);
            let file = encode_dotted(&level);
            prop_assert!(!file.contains(['.', '/']) && file.is_ascii());
            prop_assert_eq!(&decode_dotted(&file), &level);
        }

        #[test]
        fn escapes_there_and_back(level in "[\\.2e5c]{1,9}") {
            prop_assert_eq!(decode_dotted(&encode_dotted(&level)), level);
        }
    }
}
