//! SELECT and EXAMINE (RFC 9051 §6.3.2, §6.3.3; parameters RFC 4466 §2.4).

use types::MailboxName;

use crate::imap::MailboxError;

/// `select = "SELECT" SP mailbox [select-params]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Select {
    /// Which mailbox. A name that cannot be is no parse error here, because a SELECT that fails
    /// also deselects (RFC 9051 §6.3.2): answer `NO [CANNOT]` and deselect.
    pub mailbox: Result<MailboxName, MailboxError>,
}
