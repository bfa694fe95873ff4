//! COPY and UID COPY (RFC 9051 §6.4.7).

use types::MailboxName;

use crate::imap::Ids;

/// `copy = "COPY" SP sequence-set SP mailbox`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Copy {
    /// Which messages.
    pub ids: Ids,
    /// Where to.
    pub to: MailboxName,
}
