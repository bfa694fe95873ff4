//! STORE and UID STORE (RFC 9051 §6.4.6, RFC 7162 §3.1.3).

use proto::imap::Code;
use proto::imap::command::{Store, StoreMode};
use store::{FlagChange, FlagMode, FlagsStored};
use types::{IdSet, ModSeq, Uid};

use super::expunge::writable;
use crate::imap::answer::{Answer, Outcome};
use crate::imap::state::Selected;
use crate::imap::updates::{Brief, CatchUp};
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
    let stored =
        wire.meanwhile(selected.mailbox.store_flags(&selected.user.principal, uids.clone(), change, told)).await??;

    // RFC 9051 §6.4.6: the answer has the flags of every message, changed or not; with .SILENT only
    // what others did. RFC 7162 §3.1.3: and the new mod-sequences; where there was a condition, of
    // every message, with the flags of those that did not meet it.
    let condstore = wire.dialect().condstore;
    let brief = brief(&uids, &stored, told);
    let how = CatchUp {
        may_renumber: by_uid,
        by_uid,
        silent: stored.silent.as_ref().filter(|_| store.silent && !condstore),
        brief: Some(&brief).filter(|_| store.silent && condstore),
        answer: (!store.silent || store.unchanged_since.is_some()).then_some(&uids),
    };
    selected.catch_up(wire, how).await?;

    let modified = (!stored.modified.is_empty()).then(|| {
        if by_uid {
            Code::ModifiedUids(stored.modified)
        } else {
            Code::Modified(selected.view.told().numbers_of(&stored.modified))
        }
    });
    // RFC 9051 §6.4.9: UIDs that do not exist are ignored. By number the client meant a message, and
    // learns that it is gone (RFC 5530 §3); the others have been changed.
    if !by_uid && !stored.missing.is_empty() {
        return Ok(Answer::no(modified.unwrap_or(Code::ExpungeIssued), "Some of the messages no longer exist"));
    }
    Ok(match modified {
        Some(code) => Answer::ok("Some of the messages have changed meanwhile").with(code),
        None => Answer::ok("Stored"),
    })
}

/// The messages whose flags the client knows after STORE.SILENT: what it changed itself, knowing the
/// state before, and what was so already.
fn brief(uids: &IdSet<Uid>, stored: &FlagsStored, known: ModSeq) -> Brief {
    let own = stored.silent.as_ref().map(|silent| &silent.uids);
    let same = uids.difference(&stored.changed).difference(&stored.modified);
    Brief { uids: own.map_or_else(|| same.clone(), |own| own.union(&same)), own: stored.modseq, known }
}
