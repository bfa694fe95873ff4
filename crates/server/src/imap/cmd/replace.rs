//! REPLACE and UID REPLACE (RFC 8508).
//!
//! Whether the message that has to go is there is looked at before the new one is read, and decided
//! by the store afterwards.

use proto::imap::command::AppendHead;
use proto::imap::response::Condition;
use proto::imap::{Code, Ids};
use store::{Error, Growth};
use types::Uid;

use super::append::append_uid;
use super::expunge::writable;
use super::list::tell_spelling;
use crate::context::Context;
use crate::imap::answer::{Answer, Failure, Outcome};
use crate::imap::state::Selected;
use crate::imap::updates::CatchUp;
use crate::imap::upload::Upload;
use crate::imap::wire::Wire;

/// `ids` names the message that has to go.
pub(crate) async fn replace(
    selected: &mut Selected,
    wire: &mut Wire,
    server: &Context,
    ids: &Ids,
    head: AppendHead,
) -> Outcome {
    let AppendHead { mailbox, old_name, message, .. } = head;
    let (uid, permitted) = match find(selected, wire, ids).await {
        // RFC 8508 §3.4: the quota is about the difference.
        Ok((uid, size)) => (Some(uid), Ok(Growth { messages: -1, octets: -i64::from(size) })),
        Err(failure) => (None, Err(failure)),
    };
    let upload = Upload::new(&selected.user, server, &mailbox, permitted);
    let (mut messages, _turn) = upload.receive(wire, message).await?;
    let (Some(uid), Some(message)) = (uid, messages.pop()) else {
        return Err(Failure::bad("REPLACE needs a message"));
    };
    let appended = wire.meanwhile(selected.mailbox.replace(&selected.user.principal, uid, &mailbox, message)).await??;
    tell_spelling(&selected.user, wire, &mailbox, old_name.as_deref());
    // RFC 8508 §4.3: APPENDUID comes untagged, before the EXPUNGE of the view that catches up next.
    wire.encoder().untagged(Condition::Ok, Some(&append_uid(appended)), "The new message is there");
    Ok(Answer::ok("Replaced"))
}

/// The message that has to go and its octets, as it looks now.
async fn find(selected: &mut Selected, wire: &mut Wire, ids: &Ids) -> Result<(Uid, u32), Failure> {
    writable(selected)?;
    let mut uids = selected.resolve(ids)?;
    if uids.is_empty() {
        // A client may have appended the message on another connection, and know its UID from there.
        selected.catch_up(wire, CatchUp { may_renumber: true, by_uid: true, ..CatchUp::default() }).await?;
        uids = selected.resolve(ids)?;
    }
    // RFC 5530 §3: what was never there, and what is there no more.
    let uid = uids.iter().next().ok_or_else(|| Failure::no(Code::NonExistent, "There is no message with that UID"))?;
    let (chunk, at) = selected.mailbox.snapshot()?.find(uid)?.ok_or(Error::Expunged)?;
    let row = chunk.rows().get(at).ok_or(Error::Internal)?;
    Ok((uid, row.size))
}
