//! MOVE and UID MOVE (RFC 9051 §6.4.8, RFC 6851).

use types::MailboxName;

use crate::imap::Ids;

/// `move = "MOVE" SP sequence-set SP mailbox`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Move {
    /// Which messages.
    pub ids: Ids,
    /// Where to.
    pub to: MailboxName,
}
