//! GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208 §4.1). An account is one quota root, by its own name.

use proto::imap::Code;
use proto::imap::command::{QuotaRoot, SetQuota};
use types::MailboxName;

use crate::context::Context;
use crate::imap::answer::{Answer, Failure, Outcome};
use crate::imap::state::Authenticated;
use crate::imap::wire::Wire;

pub(crate) fn get(user: &Authenticated, wire: &mut Wire, server: &Context, QuotaRoot(root): &QuotaRoot) -> Outcome {
    let quota = server.store.quota_root(&user.principal, root)?;
    wire.encoder().quota(root, quota.limited());
    Ok(Answer::ok("That is the quota"))
}

/// RFC 9208 §4.1.2: the mailbox need not exist, and all that are or could be here have the same root.
pub(crate) fn get_root(user: &Authenticated, wire: &mut Wire, mailbox: &MailboxName) -> Answer {
    let root = user.name.as_str();
    wire.encoder().quota_root(mailbox, root);
    wire.encoder().quota(root, user.account.quota().limited());
    Answer::ok("That is the quota root")
}

pub(crate) async fn set(user: &Authenticated, wire: &mut Wire, server: &Context, set: SetQuota) -> Outcome {
    let SetQuota { root: QuotaRoot(root), limits, unknown } = set;
    if let Some(name) = unknown {
        return Err(Failure::no(Code::Cannot, format!("{name} cannot be limited here")));
    }
    let quota = server.store.set_quota_root(&user.principal, &root, limits).await?;
    wire.encoder().quota(&root, quota.limited());
    Ok(Answer::ok("The quota is set"))
}
