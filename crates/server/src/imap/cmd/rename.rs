//! RENAME (RFC 9051 §6.3.6).

use proto::imap::command::Rename;

use super::list::tell_spelling;
use crate::imap::answer::{Answer, Outcome};
use crate::imap::state::Authenticated;
use crate::imap::wire::Wire;

/// Inferiors go along, subscriptions stay. INBOX gives its messages away and stays.
pub(crate) async fn rename(user: &Authenticated, wire: &mut Wire, rename: Rename) -> Outcome {
    let Rename { from, to, old_name } = rename;
    wire.meanwhile(user.account.rename_mailbox(&user.principal, &from, to.clone())).await??;
    tell_spelling(user, wire, &to, old_name.as_deref().filter(|_| !from.is_inbox()));
    Ok(Answer::ok("Renamed"))
}
