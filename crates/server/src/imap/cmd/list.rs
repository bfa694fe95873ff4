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
        // Thousands of names against long patterns take a while; others have their turn.
        tokio::task::consume_budget().await;
        if !search.matches(name) {
            continue;
        }
        let selected = search.selects(name);
        let child_subscribed = search.has_subscribed_child(name);
        let listed = selected || child_subscribed && search.has_hidden_child(name);
        if !listed {
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

/// RFC 9051 §6.3.9.7: a client that spells a name in another way than we do learns how we spell it.
/// `old_name` is its own spelling. IMAP4rev1 knows no such answer.
pub(crate) fn tell_spelling(user: &Authenticated, wire: &mut Wire, name: &MailboxName, old_name: Option<&str>) {
    if let Some(old_name) = old_name.filter(|_| wire.dialect().rev2) {
        let attributes = attributes(&user.account.tree(), name);
        let entry = ListEntry { attributes: &attributes, name, child_subscribed: false, old_name: Some(old_name) };
        wire.encoder().list(entry);
    }
}

/// What a LIST looks for, and where.
struct Search<'a> {
    tree: &'a Tree,
    list: &'a List,
    /// Names without a mailbox that may be listed: levels, and subscriptions.
    missing: BTreeSet<MailboxName>,
    /// Names above a subscribed one, where RECURSIVEMATCH asks for them.
    above_subscribed: BTreeSet<MailboxName>,
    /// Those above a subscribed one that is not listed itself.
    above_hidden: BTreeSet<MailboxName>,
}

impl<'a> Search<'a> {
    fn new(tree: &'a Tree, list: &'a List) -> Self {
        let select = &list.select;
        let mut above_subscribed = BTreeSet::new();
        if select.recursive_match {
            add_ancestors(&mut above_subscribed, tree.subscriptions());
        }
        // What only exists by name has no special use.
        let mut missing = BTreeSet::new();
        if select.subscribed {
            missing.extend(tree.subscriptions().cloned());
        } else if !select.special_use {
            add_ancestors(&mut missing, tree.entries().map(|entry| &entry.name));
        }
        missing.extend(above_subscribed.iter().cloned());
        missing.retain(|name| tree.get(name).is_none());
        let mut search = Self { tree, list, missing, above_subscribed, above_hidden: BTreeSet::new() };
        if select.recursive_match {
            let mut above_hidden = BTreeSet::new();
            add_ancestors(&mut above_hidden, tree.subscriptions().filter(|name| !search.shows(name)));
            search.above_hidden = above_hidden;
        }
        search
    }

    fn shows(&self, name: &MailboxName) -> bool {
        self.matches(name) && self.selects(name)
    }

    /// Every name that may be listed, in order.
    fn names(&self) -> impl Iterator<Item = &MailboxName> {
        merge(self.tree.entries().map(|entry| &entry.name), self.missing.iter())
    }

    fn matches(&self, name: &MailboxName) -> bool {
        // A level is shown to who asks for levels; with selection options those decide.
        let hidden = self.missing.contains(name) && !self.list.select.subscribed;
        let mut patterns = self.list.patterns.iter().filter(|pattern| !hidden || asks_for_levels(pattern));
        patterns.any(|pattern| pattern.matches(name))
    }

    /// RFC 5258 §3: all selection options hold, but RECURSIVEMATCH and REMOTE, which widen.
    fn selects(&self, name: &MailboxName) -> bool {
        let select = &self.list.select;
        let has_use = || self.tree.get(name).is_some_and(|entry| entry.special_use.is_some());
        (!select.subscribed || self.tree.is_subscribed(name)) && (!select.special_use || has_use())
    }

    /// RFC 9051 §6.3.9.6 CHILDINFO: whether or not the child matches the pattern.
    fn has_subscribed_child(&self, name: &MailboxName) -> bool {
        self.above_subscribed.contains(name)
    }

    /// RFC 9051 §6.3.9.6: CHILDINFO alone is no reason to list a name whose children are listed anyway.
    fn has_hidden_child(&self, name: &MailboxName) -> bool {
        self.above_hidden.contains(name)
    }
}

/// The names above each of these. Above one that is known, all are.
fn add_ancestors<'n>(set: &mut BTreeSet<MailboxName>, names: impl Iterator<Item = &'n MailboxName>) {
    for name in names {
        for ancestor in name.ancestors() {
            if !set.insert(ancestor) {
                break;
            }
        }
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
