//! Who may do what: the one place where it is decided.
//!
//! Everybody has all rights to the own account and none to any other. A mailbox that a principal
//! may not see does not exist for it: the answer is the same.

use types::{AccountId, Principal};

use crate::error::{Error, Result};

/// May this principal know that the account has mailboxes?
pub(crate) fn may_see(who: &Principal, owner: AccountId) -> Result<()> {
    if who.account == owner { Ok(()) } else { Err(Error::NoSuchMailbox) }
}

/// May this principal know what an account uses and may use?
pub(crate) fn may_see_quota(who: &Principal, owner: AccountId, administrators: &[AccountId]) -> Result<()> {
    let may = who.account == owner || may_administer_quotas(who, administrators).is_ok();
    if may { Ok(()) } else { Err(Error::NoSuchQuotaRoot) }
}

/// May this principal set quotas?
pub(crate) fn may_administer_quotas(who: &Principal, administrators: &[AccountId]) -> Result<()> {
    if administrators.contains(&who.account) { Ok(()) } else { Err(Error::NotPermitted) }
}

/// May this principal change mailboxes and messages of the account?
pub(crate) fn may_change(who: &Principal, owner: AccountId) -> Result<()> {
    may_see(who, owner)
}
