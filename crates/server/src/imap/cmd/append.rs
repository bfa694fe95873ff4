//! APPEND (RFC 9051 §6.3.12) and MULTIAPPEND (RFC 3502): all messages are appended, or none.

use proto::imap::Code;
use proto::imap::command::AppendHead;
use store::{Appended, Growth};

use super::list::tell_spelling;
use crate::context::Context;
use crate::imap::answer::{Answer, Outcome};
use crate::imap::state::Authenticated;
use crate::imap::upload::Upload;
use crate::imap::wire::Wire;

pub(crate) async fn append(wire: &mut Wire, server: &Context, user: &Authenticated, head: AppendHead) -> Outcome {
    let AppendHead { mailbox, old_name, message, .. } = head;
    let (messages, _turn) = Upload::new(user, server, &mailbox, Ok(Growth::default())).receive(wire, message).await?;
    let appended = wire.meanwhile(user.account.append(&user.principal, &mailbox, messages)).await??;
    tell_spelling(user, wire, &mailbox, old_name.as_deref());
    Ok(Answer::ok("Appended").with(append_uid(appended)))
}

/// RFC 4315 §3
pub(super) fn append_uid(appended: Appended) -> Code {
    Code::AppendUid(appended.uid_validity, appended.uids)
}
