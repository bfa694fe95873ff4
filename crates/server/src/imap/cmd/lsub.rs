//! LSUB (RFC 3501 §6.3.9): the subscribed names, as older clients ask for them.

use std::collections::BTreeSet;

use proto::imap::command::Lsub;
use proto::imap::response::{ListAttribute, ListEntry};
use types::MailboxName;

use super::list::attributes;
use crate::imap::answer::{Answer, Outcome};
use crate::imap::state::Authenticated;
use crate::imap::wire::Wire;

pub(crate) async fn lsub(user: &Authenticated, wire: &mut Wire, lsub: &Lsub) -> Outcome {
    let pattern = &lsub.pattern;
    if pattern.is_empty() {
        wire.encoder().lsub_delimiter();
        return Ok(Answer::ok("That is the delimiter"));
    }
    let tree = user.account.tree();
    // RFC 3501 §6.3.9: where `%` stops above a subscribed name, the level there is returned with
    // \Noselect, subscribed or not.
    let mut levels: BTreeSet<MailboxName> = BTreeSet::new();
    if pattern.ends_in_percent() {
        let above = tree.subscriptions().flat_map(MailboxName::ancestors);
        levels.extend(above.filter(|name| !tree.is_subscribed(name) && pattern.matches(name)));
    }
    let names: BTreeSet<&MailboxName> =
        tree.subscriptions().filter(|name| pattern.matches(name)).chain(&levels).collect();
    for name in names {
        let attributes = if levels.contains(name) {
            vec![ListAttribute::NoSelect]
        } else {
            // Outlook 2013 looks for special uses here.
            attributes(&tree, name)
        };
        wire.encoder().lsub(ListEntry { attributes: &attributes, name, child_subscribed: false, old_name: None });
        wire.relieve().await?;
    }
    Ok(Answer::ok("That is all"))
}
