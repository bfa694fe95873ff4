//! A client that comes back learns what changed while it was away (RFC 7162 §3.2.5, §3.2.6).

use proto::imap::Ids;
use proto::imap::command::Qresync;
use store::Snapshot;
use types::{IdSet, ModSeq, SeqNum, Uid};

use crate::imap::answer::Failure;
use crate::imap::state::Selected;
use crate::imap::updates::CatchUp;
use crate::imap::wire::Wire;

/// Answers `SELECT (QRESYNC (…))` behind what every SELECT answers.
pub(crate) async fn resync(
    selected: &Selected,
    wire: &mut Wire,
    snapshot: &Snapshot,
    client: &Qresync,
) -> Result<(), Failure> {
    // RFC 7162 §3.2.5: another UIDVALIDITY, and the rest is ignored.
    if client.uid_validity != snapshot.uid_validity() {
        return Ok(());
    }
    let known = client.known.clone().unwrap_or_else(|| snapshot.uids_given());
    let open = match matched(selected, client) {
        None => known.clone(),
        Some(last) => last.next().map_or_else(IdSet::new, |from| known.within(from, Uid::MAX)),
    };
    let gone = selected.mailbox.vanished(snapshot, client.modseq, &open)?;
    wire.encoder().vanished_earlier(&gone);
    wire.relieve().await?;

    // A mod-sequence that we never gave says nothing.
    let since = if client.modseq > snapshot.highest_modseq() { ModSeq::ZERO } else { client.modseq };
    let changed = snapshot.changed_since(since, &known)?;
    selected.tell_flags(wire, snapshot, &changed, CatchUp { by_uid: true, ..CatchUp::default() }).await
}

/// Up to which message the client knows everything that is gone (RFC 7162 §3.2.5.2). Where the n-th
/// message is the one that the client thinks, none before it is missing; so the first pair that does
/// not match ends it.
fn matched(selected: &Selected, client: &Qresync) -> Option<Uid> {
    let (numbers, uids) = client.matches.as_ref()?;
    let is = |(number, uid): &(SeqNum, Uid)| selected.view.told().uid(*number) == Some(*uid);
    numbers.iter().zip(uids.iter()).take_while(is).last().map(|(_, uid)| uid)
}

/// Answers `UID FETCH … (CHANGEDSINCE n VANISHED)` before the FETCH responses. What the client still
/// counts among its messages is told by a VANISHED that takes its number away.
pub(crate) fn vanished(selected: &Selected, wire: &mut Wire, ids: &Ids, since: ModSeq) -> Result<(), Failure> {
    let snapshot = selected.mailbox.snapshot()?;
    let given = snapshot.uids_given();
    let among = match ids {
        // `*` includes what was last and is gone.
        Ids::Uid(set) => set.resolve(given.last()),
        Ids::Saved { .. } => selected.saved.clone(),
        // RFC 7162 §3.2.6: the grammar has no VANISHED here.
        Ids::Seq(_) => IdSet::new(),
    };
    let gone = selected.mailbox.vanished(&snapshot, since, &among)?;
    wire.encoder().vanished_earlier(&gone.difference(selected.view.told().uids()));
    Ok(())
}
