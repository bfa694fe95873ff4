//! What a mailbox is for (RFC 6154).

use std::fmt;

/// A special-use attribute of RFC 6154 §2, or `\Important` of RFC 8457 §4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SpecialUse {
    /// `\Drafts`
    Drafts,
    /// `\Sent`
    Sent,
    /// `\Junk`
    Junk,
    /// `\Trash`
    Trash,
    /// `\Archive`
    Archive,
    /// `\All`: a view of all messages; we have none, so CREATE refuses it.
    All,
    /// `\Flagged`: a view of all flagged messages; we have none, so CREATE refuses it.
    Flagged,
    /// `\Important`
    Important,
}

impl SpecialUse {
    /// All of them; the position is what the store writes and never changes.
    pub const ALL: [Self; 8] =
        [Self::Drafts, Self::Sent, Self::Junk, Self::Trash, Self::Archive, Self::All, Self::Flagged, Self::Important];

    /// As it stands in the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drafts => "\\Drafts",
            Self::Sent => "\\Sent",
            Self::Junk => "\\Junk",
            Self::Trash => "\\Trash",
            Self::Archive => "\\Archive",
            Self::All => "\\All",
            Self::Flagged => "\\Flagged",
            Self::Important => "\\Important",
        }
    }

    /// Takes `\Sent` in any case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|u| u.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for SpecialUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
