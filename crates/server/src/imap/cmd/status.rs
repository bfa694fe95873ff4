//! STATUS (RFC 9051 §6.3.11): read from the account's tree, mostly without opening the mailbox.

use proto::imap::command::{Status, StatusItem};
use proto::imap::response::StatusValue;
use store::{Entry, Error};
use types::Uid;

use crate::context::Context;
use crate::imap::answer::{Answer, Outcome};
use crate::imap::object_id;
use crate::imap::state::Authenticated;
use crate::imap::updates::count;
use crate::imap::wire::Wire;

pub(crate) fn status(user: &Authenticated, wire: &mut Wire, server: &Context, status: &Status) -> Outcome {
    let tree = user.account.tree();
    let entry = tree.get(&status.mailbox).ok_or(Error::NoSuchMailbox)?;
    let values = values(user, server, entry, &status.items)?;
    wire.encoder().status(&entry.name, &values);
    Ok(Answer::ok("That is it"))
}

/// What the items say of a mailbox.
pub(crate) fn values(
    user: &Authenticated,
    server: &Context,
    entry: &Entry,
    items: &[StatusItem],
) -> store::Result<Vec<StatusValue>> {
    let sums = entry.summary.sums;
    let value = |item: &StatusItem| {
        Ok(match item {
            StatusItem::AppendLimit => StatusValue::AppendLimit(Some(server.limits.message_size)),
            StatusItem::Deleted => StatusValue::Deleted(sums.deleted),
            // RFC 9208 §4.1.4
            StatusItem::DeletedStorage => StatusValue::DeletedStorage(deleted_storage(user, entry)?),
            // RFC 7162 §3.1.7
            StatusItem::HighestModSeq => StatusValue::HighestModSeq(entry.summary.modseq),
            StatusItem::MailboxId => StatusValue::MailboxId(object_id::mailbox(user.account.id(), entry.id)),
            StatusItem::Messages => StatusValue::Messages(sums.count),
            StatusItem::Recent => StatusValue::Recent(recent(user, entry)?),
            StatusItem::Size => StatusValue::Size(sums.size),
            StatusItem::UidNext => StatusValue::UidNext(entry.summary.uid_next),
            StatusItem::UidValidity => StatusValue::UidValidity(entry.uid_validity),
            StatusItem::Unseen => StatusValue::Unseen(sums.unseen),
        })
    };
    items.iter().map(value).collect()
}

/// RFC 9208 §4.1.4: the octets that EXPUNGE would give back, to the octet.
fn deleted_storage(user: &Authenticated, entry: &Entry) -> store::Result<u64> {
    if entry.summary.sums.deleted == 0 {
        return Ok(0);
    }
    let mailbox = user.account.open_by_id(&user.principal, entry.id)?;
    store::blocking(|| mailbox.snapshot()?.deleted_size())
}

/// RFC 3501 §6.3.10: from the mailbox itself.
fn recent(user: &Authenticated, entry: &Entry) -> store::Result<u32> {
    let mailbox = user.account.open_by_id(&user.principal, entry.id)?;
    let from = mailbox.recent_from()?;
    Ok(count(&mailbox.snapshot()?.uids().within(from, Uid::MAX)))
}
