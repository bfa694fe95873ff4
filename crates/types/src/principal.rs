//! Who asks, and for what.

use crate::id::{AccountId, MailboxId};

/// Who a session acts for. Every store verb takes one, and decides rights by it alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    /// The account that logged in.
    pub account: AccountId,
}

/// A mailbox of somebody: the owner's account, and the mailbox in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct MailboxRef {
    /// Whose it is.
    pub owner: AccountId,
    /// Which of the owner's.
    pub mailbox: MailboxId,
}
