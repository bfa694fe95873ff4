//! COPY and UID COPY (RFC 9051 §6.4.7).

use proto::imap::command::Copy;
use proto::imap::{Code, Ids};
use store::{Copied, Missing};

use crate::imap::answer::{Answer, Outcome};
use crate::imap::state::Selected;

pub(crate) async fn copy(selected: &mut Selected, copy: Copy) -> Outcome {
    let uids = selected.resolve(&copy.ids)?;
    let missing = missing(&copy.ids);
    let copied = selected.mailbox.copy(&selected.user.principal, uids, &copy.to, missing).await?;
    let answer = Answer::ok("Copied");
    Ok(match copy_uid(copied) {
        Some(code) => answer.with(code),
        None => answer,
    })
}

/// What becomes of messages that are gone although the client does not know: RFC 9051 §6.4.9, UIDs
/// that do not exist are ignored; §6.4.7, by sequence number it is all or nothing.
pub(crate) fn missing(ids: &Ids) -> Missing {
    if ids.by_uid() { Missing::Skip } else { Missing::Refuse }
}

/// RFC 4315 §3: no COPYUID where nothing was copied.
pub(crate) fn copy_uid(copied: Copied) -> Option<Code> {
    let Copied { uid_validity, from, to } = copied;
    if from.is_empty() { None } else { Some(Code::CopyUid(uid_validity, from, to)) }
}
