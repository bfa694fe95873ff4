//! Which messages a command names.

use types::{SeqNum, SequenceSet, Uid};

/// The messages that a command names, and by what kind of number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ids {
    /// Sequence numbers: `FETCH 1:3`.
    Seq(SequenceSet<SeqNum>),
    /// Unique identifiers: `UID FETCH 1:3`.
    Uid(SequenceSet<Uid>),
    /// `$`, the result that SEARCH RETURN (SAVE) kept (RFC 5182, RFC 9051 §6.4.4.1).
    Saved {
        /// True in the UID form of the command (`UID FETCH $`).
        by_uid: bool,
    },
}

impl Ids {
    /// True for the UID form of a command: its FETCH responses carry the UID (RFC 9051 §6.4.9).
    pub fn by_uid(&self) -> bool {
        match self {
            Self::Seq(_) => false,
            Self::Uid(_) => true,
            Self::Saved { by_uid } => *by_uid,
        }
    }
}
