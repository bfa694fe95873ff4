//! STATUS (RFC 9051 §6.3.11, RFC 3501 §6.3.10, RFC 8438, RFC 7889).

use types::MailboxName;

/// `status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Which mailbox.
    pub mailbox: MailboxName,
    /// What to say of it, without repetitions.
    pub items: Vec<StatusItem>,
}

/// `status-att` of RFC 9051 §9 and RFC 3501 §9.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StatusItem {
    /// `APPENDLIMIT` (RFC 7889)
    AppendLimit,
    /// `DELETED`
    Deleted,
    /// `MESSAGES`
    Messages,
    /// `RECENT` (RFC 3501)
    Recent,
    /// `SIZE` (RFC 8438)
    Size,
    /// `UIDNEXT`
    UidNext,
    /// `UIDVALIDITY`
    UidValidity,
    /// `UNSEEN`
    Unseen,
}
