//! LIST (RFC 9051 §6.3.9, RFC 5258, RFC 5819, RFC 6154): read from the account's tree.
//!
//! A *level* is a name that exists only because something is below it. It is listed where a pattern
//! asks for it: by name, or by a `%` at its end (RFC 9051 §6.3.9).

use std::collections::BTreeSet;

use proto::imap::ListPattern;
use proto::imap::command::List;
use proto::imap::response::{ListAttribute, ListEntry};
use store::Tree;
use types::MailboxName;

use super::status;
use crate::context::Context;
use crate::imap::answer::{Answer, Outcome};
use crate::imap::state::Authenticated;
use crate::imap::wire::Wire;

pub(crate) async fn list(user: &Authenticated, wire: &mut Wire, server: &Context, list: &List) -> Outcome {
    if list.delimiter_only {
        wire.encoder().list_delimiter();
        return Ok(Answer::ok("That is the delimiter"));
    }
    let tree = user.account.tree();
    let search = Search::new(&tree, list);
    for name in search.names() {
        let selected = search.selects(name);
        let child_subscribed = list.select.recursive_match && has_subscribed_below(&tree, name);
        if !selected && !child_subscribed {
            continue;
        }
        let mut attributes = attributes(&tree, name);
        // RFC 9051 §6.3.9.1: the selection option implies the return option.
        if (list.returns.subscribed || list.select.subscribed) && tree.is_subscribed(name) {
            attributes.insert(0, ListAttribute::Subscribed);
        }
        wire.encoder().list(ListEntry { attributes: &attributes, name, child_subscribed, old_name: None });
        // RFC 5819 §2: only for what can be selected, and not for what only has children that match.
        if let Some(entry) = tree.get(name)
            && selected
            && !list.returns.status.is_empty()
        {
            let values = status::values(user, server, entry, &list.returns.status)?;
            wire.encoder().status(name, &values);
        }
        wire.relieve().await?;
    }
    Ok(Answer::ok("That is all"))
}

/// The attributes of a name, without `\Subscribed`: RFC 9051 §7.3.1, RFC 3348, RFC 6154 §2. Those of
/// children and use are given unasked: they cost nothing and many clients do not ask.
pub(crate) fn attributes(tree: &Tree, name: &MailboxName) -> Vec<ListAttribute> {
    let mut attributes = Vec::new();
    let entry = tree.get(name);
    if entry.is_none() {
        // RFC 9051 §7.3.1: \NonExistent implies \Noselect, which older clients know.
        attributes.extend([ListAttribute::NonExistent, ListAttribute::NoSelect]);
    }
    attributes.push(if tree.has_children(name) { ListAttribute::HasChildren } else { ListAttribute::HasNoChildren });
    attributes.extend(entry.and_then(|entry| entry.special_use).map(ListAttribute::SpecialUse));
    attributes
}

/// True where a subscribed name is below this one, existing or not.
fn has_subscribed_below(tree: &Tree, name: &MailboxName) -> bool {
    tree.subscriptions().any(|subscribed| subscribed.is_below(name))
}

/// What a LIST looks for, and where.
struct Search<'a> {
    tree: &'a Tree,
    list: &'a List,
    /// Names without a mailbox that may be listed.
    levels: BTreeSet<MailboxName>,
}

impl<'a> Search<'a> {
    fn new(tree: &'a Tree, list: &'a List) -> Self {
        let mut search = Self { tree, list, levels: BTreeSet::new() };
        if list.select.subscribed {
            let missing = |name: &&MailboxName| tree.get(name).is_none();
            search.levels.extend(tree.subscriptions().filter(missing).cloned());
        }
        let parents_of_subscribed = tree.subscriptions().filter(|_| list.select.recursive_match);
        let parents_of_mailboxes =
            tree.entries().filter(|_| !list.select.subscribed && !list.select.special_use).map(|entry| &entry.name);
        let level = |name: &MailboxName| tree.get(name).is_none();
        for name in parents_of_subscribed.chain(parents_of_mailboxes) {
            // Nearest first: above one that is known, all are.
            let new = name.ancestors().take_while(|parent| !search.levels.contains(parent)).filter(level);
            let new: Vec<_> = new.collect();
            search.levels.extend(new);
        }
        search
    }

    /// The names that the patterns match, in order.
    fn names(&self) -> impl Iterator<Item = &MailboxName> {
        let mailboxes = self.tree.entries().map(|entry| &entry.name).filter(|name| self.matches(name, |_| true));
        let named = |name: &MailboxName| self.list.select.subscribed && self.tree.is_subscribed(name);
        let level = move |name: &&MailboxName| self.matches(name, |pattern| named(name) || asks_for_levels(pattern));
        let levels = self.levels.iter().filter(level);
        merge(mailboxes, levels)
    }

    fn matches(&self, name: &MailboxName, also: impl Fn(&ListPattern) -> bool) -> bool {
        self.list.patterns.iter().any(|pattern| also(pattern) && pattern.matches(name))
    }

    /// RFC 5258 §3: all selection options hold, but RECURSIVEMATCH and REMOTE, which widen.
    fn selects(&self, name: &MailboxName) -> bool {
        let select = &self.list.select;
        let has_use = || self.tree.get(name).is_some_and(|entry| entry.special_use.is_some());
        (!select.subscribed || self.tree.is_subscribed(name)) && (!select.special_use || has_use())
    }
}

/// RFC 9051 §6.3.9: a `%` at the end also returns levels of hierarchy; so does the very name.
fn asks_for_levels(pattern: &ListPattern) -> bool {
    pattern.ends_in_percent() || !pattern.has_wildcards()
}

/// Two ascending sequences as one. They have nothing in common.
fn merge<'n>(
    a: impl Iterator<Item = &'n MailboxName>,
    b: impl Iterator<Item = &'n MailboxName>,
) -> impl Iterator<Item = &'n MailboxName> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    std::iter::from_fn(move || match (a.peek(), b.peek()) {
        (Some(x), Some(y)) if x < y => a.next(),
        (_, Some(_)) => b.next(),
        (_, None) => a.next(),
    })
}
