//! LIST patterns.

use types::MailboxName;
use unicode_normalization::UnicodeNormalization;

use super::{Dialect, mailbox};

/// A mailbox name with wildcards (RFC 9051 §6.3.9): `*` is anything, `%` anything within a level.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListPattern(Vec<char>);

impl ListPattern {
    /// Joins the reference and the pattern, both as they came. Modified UTF-7 that is wrong stands
    /// for itself, since a pattern may well match nothing.
    pub(super) fn new(reference: &str, octets: &[u8], dialect: Dialect) -> Self {
        let pattern = mailbox::decode_text(octets, dialect).unwrap_or_else(|_| String::from_utf8_lossy(octets).into());
        let mut chars: Vec<char> = reference.chars().chain(pattern.chars()).nfc().collect();
        // "**" is "*".
        chars.dedup_by(|a, b| *a == '*' && *b == '*');
        // No name is longer, so no more is worth keeping.
        chars.truncate(2 * MailboxName::MAX_LEN + 2);
        Self(chars)
    }

    /// True where there is no pattern at all: it matches nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True where the pattern ends in `%`: levels of hierarchy that are no mailboxes are returned as
    /// well (RFC 9051 §6.3.9).
    pub fn ends_in_percent(&self) -> bool {
        self.0.last() == Some(&'%')
    }

    /// True where the pattern is more than one name.
    pub fn has_wildcards(&self) -> bool {
        self.0.iter().any(|c| matches!(c, '*' | '%'))
    }

    /// True where the pattern names the mailbox.
    pub fn matches(&self, name: &MailboxName) -> bool {
        self.matches_text(name.as_str())
    }

    fn matches_text(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        // RFC 9051 §6.3.9: INBOX is case-insensitive, and here with it the first level below which
        // its inferiors are.
        let inbox = matches!(name.as_slice(), ['I', 'N', 'B', 'O', 'X'] | ['I', 'N', 'B', 'O', 'X', '/', ..]);
        let same = |at: usize, c: char, p: char| c == p || inbox && at < 5 && c.eq_ignore_ascii_case(&p);

        let (mut n, mut p) = (0, 0);
        // Where the last "*" and the last "%" after it stand in the pattern, and how much of the
        // name they have taken. The shortest choice for a wildcard that is followed by another one
        // leaves that one the most, so only the last of each kind ever has to take more.
        let (mut star, mut percent) = (None, None);
        while let Some(&c) = name.get(n) {
            match self.0.get(p) {
                Some('*') => {
                    (star, percent) = (Some((p, n)), None);
                    p += 1;
                }
                Some('%') => {
                    percent = Some((p, n));
                    p += 1;
                }
                Some(&wanted) if same(n, c, wanted) => (n, p) = (n + 1, p + 1),
                _ => match (percent, star) {
                    (Some((at, taken)), _) if name.get(taken) != Some(&MailboxName::SEPARATOR) => {
                        percent = Some((at, taken + 1));
                        (n, p) = (taken + 1, at + 1);
                    }
                    (_, Some((at, taken))) => {
                        (star, percent) = (Some((at, taken + 1)), None);
                        (n, p) = (taken + 1, at + 1);
                    }
                    _ => return false,
                },
            }
        }
        !self.0.is_empty() && self.0.iter().skip(p).all(|c| matches!(c, '*' | '%'))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> ListPattern {
        ListPattern::new("", text.as_bytes(), Dialect { rev2: true, ..Dialect::REV1 })
    }

    /// The definition, without thinking of time.
    fn naive(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            (['*', rest @ ..], _) => naive(rest, name) || !name.is_empty() && naive(pattern, &name[1..]),
            (['%', rest @ ..], _) => {
                naive(rest, name) || !name.is_empty() && name[0] != '/' && naive(pattern, &name[1..])
            }
            ([p, prest @ ..], [n, nrest @ ..]) => p == n && naive(prest, nrest),
            _ => false,
        }
    }

    #[test]
    fn wildcards() {
        for (p, yes, no) in [
            ("*", &["a", "a/b"][..], &[][..]),
            ("%", &["a"], &["a/b"]),
            ("a/%", &["a/b"], &["a", "a/b/c"]),
            ("%/%", &["a/b"], &["a", "a/b/c"]),
            ("a*c", &["abc", "a/b/c", "ac"], &["ab"]),
            ("*b%", &["abc", "a/b"], &["a/b/c"]),
            ("inbox", &["INBOX"], &["INBOX/a"]),
            ("inbox/%", &["INBOX/a"], &["INBOX/a/b"]),
            ("In*", &["INBOX", "Inside"], &["inside"]),
            ("Entwu\u{308}rfe", &["Entw\u{fc}rfe"], &[]),
            ("", &[], &["a"]),
        ] {
            for name in yes {
                assert!(pattern(p).matches(&MailboxName::new(name).unwrap()), "{p} {name}");
            }
            for name in no {
                assert!(!pattern(p).matches(&MailboxName::new(name).unwrap()), "{p} {name}");
            }
        }
    }

    #[test]
    fn the_reference_comes_first_and_the_encoding_is_undone() {
        let p = ListPattern::new("Entwürfe/", b"&APw-%", Dialect::default());
        assert!(p.matches(&MailboxName::new("Entwürfe/üb").unwrap()));
        let broken = ListPattern::new("", b"R&D*", Dialect::default());
        assert!(broken.matches(&MailboxName::new("R&D/x").unwrap()));
    }

    #[test]
    fn a_hostile_pattern_ends_soon() {
        let name = MailboxName::new(&"a".repeat(1000)).unwrap();
        assert!(!pattern(&format!("{}b", "*a".repeat(900))).matches(&name));
        assert!(!pattern(&format!("{}b", "%a".repeat(900))).matches(&name));
        assert!(!pattern(&format!("{}b", "*%a".repeat(600))).matches(&name));
    }

    proptest! {
        #[test]
        fn as_defined(p in "[ab/*%]{1,8}", n in "[ab/]{0,10}") {
            let (chars, name): (Vec<char>, Vec<char>) = (p.chars().collect(), n.chars().collect());
            prop_assert_eq!(pattern(&p).matches_text(&n), naive(&chars, &name));
        }
    }
}
