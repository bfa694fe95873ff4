//! GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208 §4.1). An account is one quota root, by its own name.

use proto::imap::command::{QuotaRoot, SetQuota};
use proto::imap::{Capability, Code};
use store::Quota;
use types::MailboxName;

use crate::context::Context;
use crate::imap::answer::{Answer, Failure, Outcome};
use crate::imap::state::Authenticated;
use crate::imap::wire::Wire;

pub(crate) fn get(user: &Authenticated, wire: &mut Wire, server: &Context, QuotaRoot(root): &QuotaRoot) -> Outcome {
    let quota = server.store.quota_root(&user.principal, root)?;
    tell(wire, root, &quota);
    Ok(Answer::ok("That is the quota"))
}

/// RFC 9208 §4.1.2: the mailbox need not exist, and all that are or could be here have the same root.
pub(crate) fn get_root(user: &Authenticated, wire: &mut Wire, mailbox: &MailboxName) -> Answer {
    let root = user.name.as_str();
    wire.encoder().quota_root(mailbox, root);
    tell(wire, root, &user.account.quota());
    Answer::ok("That is the quota root")
}

pub(crate) async fn set(user: &Authenticated, wire: &mut Wire, server: &Context, set: SetQuota) -> Outcome {
    let SetQuota { root: QuotaRoot(root), limits, unknown } = set;
    if let Some(name) = unknown {
        return Err(Failure::no(Code::Cannot, format!("{name} cannot be limited here")));
    }
    let quota = server.store.set_quota_root(&user.principal, &root, limits).await?;
    tell(wire, &root, &quota);
    Ok(Answer::ok("The quota is set"))
}

/// RFC 9208 §3.1.2: only resources that are announced.
fn tell(wire: &mut Wire, root: &str, quota: &Quota) {
    let off = wire.off().clone();
    let limited = quota.limited().filter(|&(resource, ..)| !off.has(&Capability::QuotaRes(resource)));
    wire.encoder().quota(root, limited);
}
