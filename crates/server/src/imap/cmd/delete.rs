//! DELETE (RFC 9051 §6.3.5).

use types::MailboxName;

use crate::imap::answer::{Answer, Outcome};
use crate::imap::state::Authenticated;

/// Inferiors and subscriptions stay.
pub(crate) async fn delete(user: &Authenticated, name: &MailboxName) -> Outcome {
    user.account.delete_mailbox(&user.principal, name).await?;
    Ok(Answer::ok("Deleted"))
}
