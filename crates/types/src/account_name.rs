//! The names by which people log in.

use std::fmt;
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;

/// The name of an account: NFC, lower case, no white space or control characters.
///
/// `Alice@Example.org` and `alice@example.org` are one account: mail clients and MTAs disagree about
/// the case of local parts, and nobody wants two people who differ in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AccountName(Arc<str>);

/// Why a text is no account name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AccountNameError {
    /// Nothing there.
    #[error("an account name cannot be empty")]
    Empty,
    /// White space, control characters, or one of `/ * % " \`.
    #[error("an account name cannot contain {0:?}")]
    Character(char),
    /// More than [`AccountName::MAX_LEN`] octets.
    #[error("an account name has at most {max} octets", max = AccountName::MAX_LEN)]
    TooLong,
}

impl AccountName {
    /// In octets.
    pub const MAX_LEN: usize = 255;

    /// Normalises and checks.
    pub fn new(text: &str) -> Result<Self, AccountNameError> {
        // Length first: normalising must not be a way to spend our memory.
        if text.len() > Self::MAX_LEN {
            return Err(AccountNameError::TooLong);
        }
        let name: String = match text.is_ascii() {
            true => text.to_ascii_lowercase(),
            false => text.nfc().flat_map(char::to_lowercase).nfc().collect(),
        };
        if name.len() > Self::MAX_LEN {
            return Err(AccountNameError::TooLong);
        }
        if name.is_empty() {
            return Err(AccountNameError::Empty);
        }
        let forbidden = |c: &char| c.is_control() || c.is_whitespace() || "/*%\"\\".contains(*c);
        match name.chars().find(forbidden) {
            Some(c) => Err(AccountNameError::Character(c)),
            None => Ok(Self(name.into())),
        }
    }

    /// Normalised.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_composition_do_not_make_two_accounts() {
        assert_eq!(AccountName::new("J\u{f6}rg@Example.ORG"), AccountName::new("jo\u{308}rg@example.org"));
        assert_eq!(AccountName::new("a b"), Err(AccountNameError::Character(' ')));
        assert_eq!(AccountName::new(""), Err(AccountNameError::Empty));
    }
}
