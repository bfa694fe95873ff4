//! Names of mailboxes: Unicode inside, `/` between levels, INBOX in capitals.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// The name of a mailbox: UTF-8 in NFC, levels separated by `/`.
///
/// Two spellings of one name are equal because both are normalised here (RFC 9051 §5.1, RFC 5198
/// §3). The first level is `INBOX` in capitals whatever was written (RFC 9051 §5.1.1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MailboxName(Arc<str>);

/// Why a text is no mailbox name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    /// Nothing there, or nothing between two separators.
    #[error("a mailbox name and each of its levels need at least one character")]
    Empty,
    /// C0, DEL, C1, U+2028, U+2029 (RFC 9051 §5.1, RFC 5198 §2).
    #[error("a mailbox name cannot contain control characters")]
    Control,
    /// `*` and `%` would be wildcards in LIST (RFC 9051 §5.1).
    #[error("a mailbox name cannot contain the wildcards * and %")]
    Wildcard,
    /// More than [`MailboxName::MAX_LEN`] octets or [`MailboxName::MAX_LEVELS`] levels.
    #[error("a mailbox name has at most {len} octets and {levels} levels", len = MailboxName::MAX_LEN, levels = MailboxName::MAX_LEVELS)]
    TooLong,
}

impl MailboxName {
    /// The hierarchy separator.
    pub const SEPARATOR: char = '/';
    /// In octets of UTF-8.
    pub const MAX_LEN: usize = 1000;
    /// Levels of hierarchy.
    pub const MAX_LEVELS: usize = 50;

    /// Normalises and checks. A trailing separator, which a client may send to say that it is going
    /// to create inferiors (RFC 9051 §6.3.4), is dropped.
    pub fn new(text: &str) -> Result<Self, NameError> {
        // Length first: normalising must not be a way to spend our memory.
        if text.len() > Self::MAX_LEN {
            return Err(NameError::TooLong);
        }
        let text = text.strip_suffix(Self::SEPARATOR).unwrap_or(text);
        let text = if is_nfc(text) { text.to_owned() } else { text.nfc().collect() };
        if text.len() > Self::MAX_LEN || text.split(Self::SEPARATOR).count() > Self::MAX_LEVELS {
            return Err(NameError::TooLong);
        }
        if text.split(Self::SEPARATOR).any(str::is_empty) {
            return Err(NameError::Empty);
        }
        if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            return Err(NameError::Control);
        }
        if text.contains(['*', '%']) {
            return Err(NameError::Wildcard);
        }
        Ok(Self(inbox_in_capitals(text).into()))
    }

    /// `INBOX`, which every account has.
    pub fn inbox() -> Self {
        Self("INBOX".into())
    }

    /// True for INBOX itself, false for its inferiors.
    pub fn is_inbox(&self) -> bool {
        &*self.0 == "INBOX"
    }

    /// In NFC, INBOX in capitals.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The levels from the top.
    pub fn levels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split(Self::SEPARATOR)
    }

    /// The name one level up.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once(Self::SEPARATOR).map(|(parent, _)| Self(parent.into()))
    }

    /// All names above this one, nearest first.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }

    /// True where this name is somewhere below `other`.
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.strip_prefix(other.as_str()).is_some_and(|rest| rest.starts_with(Self::SEPARATOR))
    }

    /// This name with the prefix `from` replaced by `to`; `None` where it is neither `from` nor below it.
    pub fn moved(&self, from: &Self, to: &Self) -> Option<Result<Self, NameError>> {
        let rest = self.0.strip_prefix(from.as_str())?;
        (rest.is_empty() || rest.starts_with(Self::SEPARATOR)).then(|| Self::new(&format!("{to}{rest}")))
    }
}

/// RFC 9051 §5.1.1: INBOX is case-insensitive, and so are inferiors in their first level.
fn inbox_in_capitals(mut text: String) -> String {
    let first = text.split(MailboxName::SEPARATOR).next().unwrap_or_default();
    if first.eq_ignore_ascii_case("INBOX") {
        let len = first.len();
        text.replace_range(..len, "INBOX");
    }
    text
}

impl Borrow<str> for MailboxName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> MailboxName {
        MailboxName::new(text).unwrap()
    }

    #[test]
    fn inbox_is_one_mailbox_however_it_is_written() {
        assert_eq!(name("inbox"), MailboxName::inbox());
        assert_eq!(name("iNbOx/Work/Inbox").as_str(), "INBOX/Work/Inbox");
        assert_eq!(name("inboxes").as_str(), "inboxes");
        assert!(name("InBox").is_inbox() && !name("INBOX/a").is_inbox());
    }

    #[test]
    fn composed_and_decomposed_spellings_are_one_name() {
        assert_eq!(name("Entw\u{fc}rfe"), name("Entwu\u{308}rfe"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert_eq!(MailboxName::new(""), Err(NameError::Empty));
        assert_eq!(MailboxName::new("/"), Err(NameError::Empty));
        assert_eq!(MailboxName::new("a//b"), Err(NameError::Empty));
        assert_eq!(MailboxName::new("a\rb"), Err(NameError::Control));
        assert_eq!(MailboxName::new("a*"), Err(NameError::Wildcard));
        assert_eq!(MailboxName::new(&"x".repeat(1001)), Err(NameError::TooLong));
        assert_eq!(MailboxName::new(&"x/".repeat(51)), Err(NameError::TooLong));
        assert!(MailboxName::new(&"x/".repeat(50)).is_ok());
    }

    #[test]
    fn hierarchy() {
        let n = name("a/b/c");
        assert_eq!(n.ancestors().map(|n| n.to_string()).collect::<Vec<_>>(), ["a/b", "a"]);
        assert!(n.is_below(&name("a")) && !n.is_below(&n) && !name("ab").is_below(&name("a")));
        assert_eq!(n.moved(&name("a"), &name("x/y")).unwrap().unwrap().as_str(), "x/y/b/c");
        assert_eq!(name("ab").moved(&name("a"), &name("x")), None);
    }
}
