//! How SORT orders text: i;unicode-casemap (RFC 5051), octet for octet.
//!
//! RFC 5051 §2: each character is mapped to its titlecase form by UnicodeData.txt, where that says
//! so, then taken apart by its decomposition; what comes out is compared as UTF-8. Unlike
//! [`crate::casemap`], which only says what is equal, this also says what comes first: `_` stands
//! behind all letters of ASCII, since these are capitals.

use unicode_normalization::char::decompose_compatible;

/// Appends the form of a text that is compared, octet for octet.
pub fn collation_key(text: &str, out: &mut String) {
    if text.is_ascii() {
        let start = out.len();
        out.push_str(text);
        if let Some(added) = out.get_mut(start..) {
            added.make_ascii_uppercase();
        }
        return;
    }
    for character in text.chars() {
        decompose_compatible(titlecase(character), |part| out.push(part));
    }
}

/// The titlecase mapping of UnicodeData.txt, which maps one character to one. `std` has the uppercase
/// of SpecialCasing.txt; they differ where a character has more than two cases, where it becomes
/// several, and in Georgian, whose capitals begin no sentence.
fn titlecase(character: char) -> char {
    let fixed = match character {
        '\u{1c4}'..='\u{1c6}' => Some('\u{1c5}'),
        '\u{1c7}'..='\u{1c9}' => Some('\u{1c8}'),
        '\u{1ca}'..='\u{1cc}' => Some('\u{1cb}'),
        '\u{1f1}'..='\u{1f3}' => Some('\u{1f2}'),
        '\u{10d0}'..='\u{10ff}' => Some(character),
        '\u{1f80}'..='\u{1faf}' => char::from_u32(u32::from(character) | 8),
        '\u{1fb3}' => Some('\u{1fbc}'),
        '\u{1fc3}' => Some('\u{1fcc}'),
        '\u{1ff3}' => Some('\u{1ffc}'),
        _ => None,
    };
    let single = || {
        let mut upper = character.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(upper), None) => upper,
            _ => character,
        }
    };
    fixed.unwrap_or_else(single)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> String {
        let mut out = String::new();
        collation_key(text, &mut out);
        out
    }

    // RFC 5051 §2
    #[test]
    fn order_and_equality() {
        for (a, b) in [("hello", "HELLO"), ("ä", "A\u{308}"), ("привет", "ПРИВЕТ"), ("ǆ", "ǅ"), ("ς", "Σ"), ("ᾳ", "ᾼ")]
        {
            assert_eq!(key(a), key(b), "{a} {b}");
        }
        // Titlecase maps no ß and no ligature; the ligature comes apart afterwards.
        assert_eq!((key("ß").as_str(), key("ﬁ").as_str(), key("ǆ").as_str()), ("ß", "fi", "Dz\u{30c}"));
        assert_eq!(key("ა"), "ა");
        let ordered = ["", "1", "a", "B", "z", "[", "_", "ß", "ж"];
        assert!(ordered.windows(2).all(|w| key(w[0]) < key(w[1])));
    }
}
