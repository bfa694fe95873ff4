//! CREATE (RFC 9051 §6.3.4) with a special use (RFC 6154 §3).

use proto::imap::Code;
use proto::imap::command::Create;

use crate::imap::answer::{Answer, Failure, Outcome};
use crate::imap::state::Authenticated;

pub(crate) async fn create(user: &Authenticated, create: Create) -> Outcome {
    let special_use = match *create.special_use.as_slice() {
        [] => None,
        [one] => Some(one),
        // RFC 6154 §3: uses that cannot be given together.
        _ => return Err(Failure::no(Code::UseAttr, "A mailbox has one special use")),
    };
    user.account.create_mailbox(&user.principal, create.mailbox, special_use).await?;
    Ok(Answer::ok("Created"))
}
