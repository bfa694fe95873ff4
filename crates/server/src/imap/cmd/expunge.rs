//! EXPUNGE and UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9).
//!
//! What counts is `\Deleted` as it is now, not as the client was told: Outlook sets it on one
//! connection and sends EXPUNGE on another.

use proto::imap::{Code, Ids};

use crate::imap::answer::{Answer, Failure, Outcome};
use crate::imap::state::Selected;

pub(crate) async fn expunge(selected: &mut Selected) -> Outcome {
    writable(selected)?;
    selected.mailbox.expunge(&selected.user.principal, None).await?;
    Ok(Answer::ok("Expunged"))
}

pub(crate) async fn uid_expunge(selected: &mut Selected, ids: &Ids) -> Outcome {
    writable(selected)?;
    let uids = selected.resolve(ids)?;
    selected.mailbox.expunge(&selected.user.principal, Some(uids)).await?;
    Ok(Answer::ok("Expunged"))
}

/// RFC 9051 §6.3.3: nothing changes under EXAMINE.
pub(crate) fn writable(selected: &Selected) -> Result<(), Failure> {
    if selected.read_only {
        return Err(Failure::no(Code::ReadOnly, "The mailbox is selected read-only"));
    }
    Ok(())
}
