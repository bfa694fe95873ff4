//! RENAME (RFC 9051 §6.3.6).

use types::MailboxName;

/// `rename = "RENAME" SP mailbox SP mailbox`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rename {
    /// The name it has.
    pub from: MailboxName,
    /// The name it gets.
    pub to: MailboxName,
}
