//! LSUB (RFC 3501 §6.3.9).

use crate::imap::ListPattern;

/// `lsub = "LSUB" SP mailbox SP list-mailbox`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lsub {
    /// Which names, with the reference in front.
    pub pattern: ListPattern,
}
