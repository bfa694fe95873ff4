//! CREATE (RFC 9051 §6.3.4) with a special use (RFC 6154 §3).

use proto::imap::Code;
use proto::imap::command::Create;

use super::list::tell_spelling;
use crate::imap::answer::{Answer, Failure, Outcome};
use crate::imap::object_id;
use crate::imap::state::Authenticated;
use crate::imap::wire::Wire;

pub(crate) async fn create(user: &Authenticated, wire: &mut Wire, create: Create) -> Outcome {
    let special_use = match *create.special_use.as_slice() {
        [] => None,
        [one] => Some(one),
        // RFC 6154 §3: uses that cannot be given together.
        _ => return Err(Failure::no(Code::UseAttr, "A mailbox has one special use")),
    };
    let id =
        wire.meanwhile(user.account.create_mailbox(&user.principal, create.mailbox.clone(), special_use)).await??;
    tell_spelling(user, wire, &create.mailbox, create.old_name.as_deref());
    // RFC 8474 §4.1
    Ok(Answer::ok("Created").with(Code::MailboxId(object_id::mailbox(user.account.id(), id))))
}
