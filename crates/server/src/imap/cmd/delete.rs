//! DELETE (RFC 9051 §6.3.5).

use proto::imap::command::Delete;

use super::list::tell_spelling;
use crate::imap::answer::{Answer, Outcome};
use crate::imap::state::Authenticated;
use crate::imap::wire::Wire;

/// Inferiors and subscriptions stay.
pub(crate) async fn delete(user: &Authenticated, wire: &mut Wire, delete: &Delete) -> Outcome {
    wire.meanwhile(user.account.delete_mailbox(&user.principal, &delete.mailbox)).await??;
    tell_spelling(user, wire, &delete.mailbox, delete.old_name.as_deref());
    Ok(Answer::ok("Deleted"))
}
