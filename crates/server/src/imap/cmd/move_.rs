//! MOVE and UID MOVE (RFC 9051 §6.4.8, RFC 6851).

use proto::imap::command::Move;
use proto::imap::response::Condition;

use super::copy::{copy_uid, missing};
use super::expunge::writable;
use crate::imap::answer::{Answer, Outcome};
use crate::imap::state::Selected;
use crate::imap::wire::Wire;

pub(crate) async fn move_(selected: &mut Selected, wire: &mut Wire, move_: Move) -> Outcome {
    writable(selected)?;
    let uids = selected.resolve(&move_.ids)?;
    let missing = missing(&move_.ids);
    let moved = wire.meanwhile(selected.mailbox.relocate(&selected.user.principal, uids, &move_.to, missing)).await??;
    // RFC 6851 §4.3: COPYUID comes untagged, before the EXPUNGEs of the view that catches up next.
    if let Some(code) = copy_uid(moved) {
        wire.encoder().untagged(Condition::Ok, Some(&code), "Moved");
    }
    Ok(Answer::ok("Moved"))
}
