//! How SEARCH compares text: a superset of i;unicode-casemap (RFC 5051), which IMAP4rev2 asks for.
//!
//! RFC 5051 maps each character to its titlecase and then takes it apart by its (compatibility)
//! decomposition. Here each character is taken apart, lower-cased, upper-cased,
//! lower-cased and taken apart again.
//! What is equal there is equal here; here also `ß` equals `ss`, and the halves of `Ǆ` have no case.

use unicode_normalization::char::decompose_compatible;

/// Appends the mapped form of a text. Characters are mapped one by one, so a text may be cut anywhere.
pub fn casemap(text: &str, out: &mut String) {
    let mut rest = text;
    while !rest.is_empty() {
        let ascii = rest.bytes().position(|b| !b.is_ascii()).unwrap_or(rest.len());
        let (plain, other) = rest.split_at_checked(ascii).unwrap_or((rest, ""));
        let start = out.len();
        out.push_str(plain);
        if let Some(added) = out.get_mut(start..) {
            added.make_ascii_lowercase();
        }
        let mut characters = other.chars();
        while let Some(character) = characters.next() {
            map(character, out);
            if characters.as_str().bytes().next().is_none_or(|b| b.is_ascii()) {
                break;
            }
        }
        rest = characters.as_str();
    }
}

fn map(character: char, out: &mut String) {
    decompose_compatible(character, |part| {
        for lower in part.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase) {
            decompose_compatible(lower, |part| out.push(part));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(text: &str) -> String {
        let mut out = String::new();
        casemap(text, &mut out);
        out
    }

    #[test]
    fn equal_texts() {
        for (a, b) in [
            ("HELLO", "hello"),
            ("Ä", "a\u{308}"),
            ("ΣΑΣ", "σας"),
            ("Straße", "STRASSE"),
            ("ﬁn", "FIN"),
            ("Ｆｕｌｌ", "full"),
            ("привет", "ПРИВЕТ"),
            ("ı", "I"),
            ("K", "k"),
            ("각", "\u{1100}\u{1161}\u{11a8}"),
            ("x²", "X2"),
        ] {
            assert_eq!(mapped(a), mapped(b), "{a} {b}");
        }
        assert_ne!(mapped("a"), mapped("ä"));
    }

    /// What the steps of RFC 5051 §2 make equal must be equal here: a character and its case forms and
    /// its decomposition all map to the same. (Titlecase is not in `std`; it is the uppercase wherever
    /// that is one character, but for the digraphs, which decompose.)
    #[test]
    fn a_superset_of_rfc_5051() {
        // Above the compatibility ideographs nothing has a case or comes apart.
        for c in (0..=0x2_fa1f).filter_map(char::from_u32) {
            let map = mapped(&c.to_string());
            assert_eq!(mapped(&map), map, "{c:?} twice");
            let mut upper = c.to_uppercase();
            if let (Some(upper), None) = (upper.next(), upper.next()) {
                assert_eq!(mapped(&upper.to_string()), map, "{c:?} upper");
            }
            let mut apart = String::new();
            decompose_compatible(c, |part| apart.push(part));
            assert_eq!(mapped(&apart), map, "{c:?} apart");
        }
    }
}
