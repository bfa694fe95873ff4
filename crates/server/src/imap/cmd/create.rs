//! CREATE (RFC 9051 §6.3.4) with a special use (RFC 6154 §3).

use proto::imap::Code;
use proto::imap::command::Create;
use proto::imap::response::ListEntry;

use super::list::attributes;
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
    let id = user.account.create_mailbox(&user.principal, create.mailbox.clone(), special_use).await?;
    // RFC 9051 §6.3.4: the client learns under which name it will find what it has created.
    if let Some(old_name) = create.old_name.filter(|_| wire.dialect().rev2) {
        let name = &create.mailbox;
        let attributes = attributes(&user.account.tree(), name);
        let entry = ListEntry { attributes: &attributes, name, child_subscribed: false, old_name: Some(&old_name) };
        wire.encoder().list(entry);
    }
    // RFC 8474 §4.1
    Ok(Answer::ok("Created").with(Code::MailboxId(object_id::mailbox(user.account.id(), id))))
}
