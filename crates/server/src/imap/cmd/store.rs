//! STORE and UID STORE (RFC 9051 §6.4.6).

use proto::imap::Code;
use proto::imap::command::{Store, StoreMode};
use store::{FlagChange, FlagMode};

use super::expunge::writable;
use crate::imap::answer::{Answer, Outcome};
use crate::imap::state::Selected;
use crate::imap::updates::CatchUp;
use crate::imap::wire::Wire;

pub(crate) async fn store(selected: &mut Selected, wire: &mut Wire, store: Store) -> Outcome {
    writable(selected)?;
    let uids = selected.resolve(&store.ids)?;
    let by_uid = store.ids.by_uid();
    let mode = match store.mode {
        StoreMode::Replace => FlagMode::Replace,
        StoreMode::Add => FlagMode::Add,
        StoreMode::Remove => FlagMode::Remove,
    };
    let change = FlagChange { mode, flags: store.flags, unchanged_since: store.unchanged_since };
    let told = selected.view.seen();
    let stored = selected.mailbox.store_flags(&selected.user.principal, uids.clone(), change, told).await?;

    // RFC 9051 §6.4.6: the answer has the flags of every message, changed or not; with .SILENT only
    // what others did.
    let how = CatchUp {
        may_renumber: by_uid,
        by_uid,
        silent: stored.silent.as_ref().filter(|_| store.silent),
        answer: (!store.silent).then_some(&uids),
    };
    selected.catch_up(wire, how).await?;

    // RFC 9051 §6.4.9: UIDs that do not exist are ignored. By number the client meant a message, and
    // learns that it is gone (RFC 5530 §3); the others have been changed.
    if !by_uid && !stored.missing.is_empty() {
        return Ok(Answer::no(Code::ExpungeIssued, "Some of the messages no longer exist"));
    }
    if !stored.modified.is_empty() {
        return Ok(Answer { code: None, ..Answer::no(Code::Cannot, "Some of the messages have changed meanwhile") });
    }
    Ok(Answer::ok("Stored"))
}
