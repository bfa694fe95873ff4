//! FETCH and UID FETCH (RFC 9051 §6.4.5, RFC 3501 §6.4.5).
//!
//! * Messages are marked `\Seen` first, all in one commit, so that the responses tell the new flags.
//! * Responses are written for as many messages as fill the buffer, then sent; while we wait for the
//!   client no reader of the store is open.
//! * What another session has expunged and this client was not told can still be fetched
//!   (RFC 2180 §4.1.1).
//! * What cannot be delivered is left out, the rest is delivered, and the answer is NO.

mod content;
mod respond;
mod send;

use std::ops::ControlFlow;

use proto::imap::command::{Fetch, FetchItem};
use proto::imap::{Code, Dialect};
use store::{FlagChange, FlagMode, FlagsStored, Silent, Snapshot};
use types::{Flag, Flags, IdSet, Uid};

use super::qresync;
use crate::imap::answer::{Answer, Failure, Outcome};
use crate::imap::state::Selected;
use crate::imap::updates::{Brief, CatchUp};
use crate::imap::wire::Wire;
use respond::{Failed, Item, Responder};
use send::Delivery;

/// Carries out FETCH and UID FETCH.
pub(crate) async fn fetch(selected: &mut Selected, wire: &mut Wire, fetch: &Fetch) -> Outcome {
    let by_uid = fetch.ids.by_uid();
    let mut uids = selected.resolve(&fetch.ids)?;
    // RFC 9394 §3.3: first the window, then what of it has changed.
    if let Some(window) = fetch.partial {
        uids = uids.at(window.positions(uids.len()));
    }
    if let Some(since) = fetch.changed_since {
        if fetch.vanished {
            qresync::vanished(selected, wire, &fetch.ids, since)?;
        }
        // What is gone has nothing newer to tell than that.
        uids = selected.mailbox.snapshot()?.changed_since(since, &uids)?;
    }
    // What can be read is given, also where nothing can be marked any more.
    let marks = !selected.read_only && !selected.mailbox.is_read_only();
    let marked = if marks && fetch.items.iter().any(FetchItem::sets_seen) {
        wire.meanwhile(mark_seen(selected, &uids)).await??
    } else {
        FlagsStored::default()
    };

    let (failed, downgraded) = deliver(selected, wire, &items(fetch, wire.dialect()), &uids, &marked.changed).await?;

    // The responses have told the flags that this command has changed.
    if let Some(modseq) = marked.modseq.filter(|_| failed.is_empty()) {
        let silent = Silent { uids: marked.changed, modseq };
        selected.catch_up(wire, CatchUp { by_uid, silent: Some(&silent), ..CatchUp::default() }).await?;
    }
    outcome(failed, downgraded, by_uid)
}

/// Sets `\Seen` where it is not set yet.
async fn mark_seen(selected: &Selected, uids: &IdSet<Uid>) -> Result<FlagsStored, Failure> {
    let snapshot = selected.mailbox.snapshot()?;
    let mut unseen = IdSet::new();
    snapshot.walk(uids, |chunk, at, row| {
        if chunk.system_bits(at) & Flags::SEEN_BIT == 0 {
            unseen.insert(row.uid);
        }
        ControlFlow::Continue(())
    })?;
    drop(snapshot);
    if unseen.is_empty() {
        return Ok(FlagsStored::default());
    }
    let change = FlagChange { mode: FlagMode::Add, flags: Flags::from_iter([Flag::Seen]), unchanged_since: None };
    let stored = selected.mailbox.store_flags(&selected.user.principal, unseen, change, selected.view.seen()).await;
    // A full disk is no reason not to let people read.
    stored.or_else(|error| {
        tracing::warn!(%error, "messages that are read could not be marked as seen");
        Ok(FlagsStored::default())
    })
}

/// Writes and sends the responses.
async fn deliver(
    selected: &mut Selected,
    wire: &mut Wire,
    items: &[Item],
    uids: &IdSet<Uid>,
    marked: &IdSet<Uid>,
) -> Result<(Failed, IdSet<Uid>), Failure> {
    let snapshot = selected.mailbox.snapshot()?;
    // RFC 9051 §7.3.5: the client knows a flag before a message has it.
    if snapshot.keywords().len() > selected.keywords_told && items.iter().any(|item| item.is(&FetchItem::Flags)) {
        selected.tell_keywords(wire, &snapshot);
    }
    let selected = &*selected;
    let responder = Responder::new(selected, wire, &snapshot, items);
    let (out, sink) = wire.parts();
    let mut delivery = Delivery::new(out, sink, Responder { marked: Some(marked), ..responder });
    delivery.messages(&snapshot, uids).await?;
    let gone = snapshot.absent(uids);
    if !gone.is_empty() {
        delivery.ghosts(selected.view.reported(), &gone).await?;
    }
    Ok(delivery.finish())
}

/// Tells these items of these messages unasked, all of which rows and marks know: FLAGS not where they are known.
pub(crate) async fn tell(
    selected: &Selected,
    wire: &mut Wire,
    snapshot: &Snapshot,
    items: Vec<FetchItem>,
    uids: &IdSet<Uid>,
    known: Option<&Brief>,
) -> Result<(), Failure> {
    let items: Vec<_> = items.into_iter().map(Item::new).collect();
    let responder = Responder::new(selected, wire, snapshot, &items);
    let (out, sink) = wire.parts();
    let mut delivery = Delivery::new(out, sink, Responder { known, ..responder });
    delivery.messages(snapshot, uids).await?;
    let (failed, _) = delivery.finish();
    failed.error.map_or(Ok(()), |error| Err(error.into()))
}

/// The items to be answered. RFC 9051 §6.4.9: with UID FETCH the UID is one of them in any event;
/// RFC 9586 §3: but UIDFETCH has it in front.
fn items(fetch: &Fetch, dialect: Dialect) -> Vec<Item> {
    let uid = fetch.ids.by_uid() && !dialect.uid_only && !fetch.items.contains(&FetchItem::Uid);
    // RFC 7162 §3.1.4.1: CHANGEDSINCE "implicitly adds the MODSEQ FETCH message data item".
    let modseq = fetch.changed_since.is_some() && !fetch.items.contains(&FetchItem::ModSeq);
    let implied = uid.then_some(FetchItem::Uid).into_iter().chain(modseq.then_some(FetchItem::ModSeq));
    implied.chain(fetch.items.iter().cloned()).map(Item::new).collect()
}

fn outcome(failed: Failed, downgraded: IdSet<Uid>, by_uid: bool) -> Outcome {
    let Failed { error, damaged, encoding, gone } = failed;
    if !damaged.is_empty() {
        return Ok(Answer::no(Code::Corruption, format!("Damaged: UID {}; all else was delivered", named(&damaged))));
    }
    if let Some(error) = error {
        return Err(error.into());
    }
    if !encoding.is_empty() {
        // RFC 3516 §4.3
        let text = format!("Unknown Content-Transfer-Encoding: UID {}; all else was delivered", named(&encoding));
        return Ok(Answer::no(Code::UnknownCte, text));
    }
    // RFC 9051 §6.4.9: UIDs that do not exist are ignored.
    if !gone.is_empty() && !by_uid {
        return Ok(Answer::no(Code::ExpungeIssued, "Some of the messages no longer exist"));
    }
    let answer = Answer::ok("FETCH completed");
    if downgraded.is_empty() {
        return Ok(answer);
    }
    // RFC 6858 §3: for people who wonder; it need not name them all.
    Ok(answer.with(Code::Downgraded(downgraded.iter().take(1000).collect())))
}

/// The messages, in a text that does not grow with their number.
pub(crate) fn named(uids: &IdSet<Uid>) -> String {
    let first: IdSet<Uid> = uids.iter().take(10).collect();
    let more = uids.len().saturating_sub(first.len());
    if more == 0 { first.to_string() } else { format!("{first} and {more} more") }
}
