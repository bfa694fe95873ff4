//! SUBSCRIBE and UNSUBSCRIBE (RFC 9051 §6.3.7, §6.3.8).

use types::MailboxName;

use crate::imap::answer::{Answer, Outcome};
use crate::imap::state::Authenticated;

pub(crate) async fn subscribe(user: &Authenticated, name: MailboxName) -> Outcome {
    user.account.subscribe(&user.principal, name).await?;
    Ok(Answer::ok("Subscribed"))
}

pub(crate) async fn unsubscribe(user: &Authenticated, name: MailboxName) -> Outcome {
    user.account.unsubscribe(&user.principal, &name).await?;
    Ok(Answer::ok("Unsubscribed"))
}
