//! Identifiers of mailboxes, messages and threads (RFC 8474).

use std::fmt;

/// `objectid = 1*255(ALPHA / DIGIT / "_" / "-")` (RFC 8474 §7). Case counts.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ObjectId(String);

impl ObjectId {
    /// `None` where the grammar does not allow it.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let is_right = (1..=255).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        is_right.then_some(Self(text))
    }

    /// A letter and two numbers: the kind, the account, the object in it.
    pub fn numbered(kind: char, account: u64, number: u64) -> Self {
        Self(format!("{}{account}-{number}", if kind.is_ascii_alphabetic() { kind } else { 'X' }))
    }

    /// What [`ObjectId::numbered`] was given, if this is of that kind.
    pub fn numbers(&self, kind: char) -> Option<(u64, u64)> {
        let (account, number) = self.0.strip_prefix(kind)?.split_once('-')?;
        let (account, number) = (account.parse().ok()?, number.parse().ok()?);
        // "+7" and "07" are other identifiers than "7".
        (Self::numbered(kind, account, number) == *self).then_some((account, number))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let id = ObjectId::numbered('E', 3, 17);
        assert_eq!((id.as_str(), id.numbers('E'), id.numbers('T')), ("E3-17", Some((3, 17)), None));
        for other in ["E3", "E3-", "E3-017", "E03-17", "e3-17", "E3-17-1", "x"] {
            assert_eq!(ObjectId::new(other).unwrap().numbers('E'), None, "{other}");
        }
        for wrong in [String::new(), "a b".into(), "a.b".into(), "\u{fc}".into(), "x".repeat(256)] {
            assert_eq!(ObjectId::new(wrong), None);
        }
        assert!(ObjectId::new("x".repeat(255)).is_some());
    }
}
