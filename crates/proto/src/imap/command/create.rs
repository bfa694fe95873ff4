//! CREATE (RFC 9051 §6.3.4) with special use (RFC 6154 §3).

use types::{MailboxName, SpecialUse};

/// `create = "CREATE" SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Create {
    /// The new mailbox.
    pub mailbox: MailboxName,
    /// What it is for.
    pub special_use: Vec<SpecialUse>,
}
