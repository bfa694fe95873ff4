//! RENAME (RFC 9051 §6.3.6).

use proto::imap::command::Rename;

use crate::imap::answer::{Answer, Outcome};
use crate::imap::state::Authenticated;

/// Inferiors go along, subscriptions stay. INBOX gives its messages away and stays.
pub(crate) async fn rename(user: &Authenticated, rename: Rename) -> Outcome {
    user.account.rename_mailbox(&user.principal, &rename.from, rename.to).await?;
    Ok(Answer::ok("Renamed"))
}
