//! The mailboxes of an account at one moment: names, uses, subscriptions, and the head of each.
//!
//! LIST, LSUB, STATUS and LIST-STATUS read this and nothing else. Names that exist only because
//! something is below them have no entry.

use std::ops::Bound;
use std::sync::Arc;

use rpds::{HashTrieMapSync, RedBlackTreeMapSync, RedBlackTreeSetSync};
use types::{MailboxId, MailboxName, ModSeq, Resources, SpecialUse, Uid, UidValidity, UnixTime};

use crate::chunk::Sums;
use crate::codec::{Reader, Writer};
use crate::error::Result;
use crate::quota::QuotaSetting;
use crate::snapshot::Snapshot;

/// A mailbox that exists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Unchanged by RENAME.
    pub id: MailboxId,
    /// Its name.
    pub name: MailboxName,
    /// What it is for.
    pub special_use: Option<SpecialUse>,
    /// UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// When it was created.
    pub created: UnixTime,
    /// What STATUS tells.
    pub summary: Summary,
}

/// The head of a mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary {
    /// UIDNEXT.
    pub uid_next: Uid,
    /// HIGHESTMODSEQ.
    pub modseq: ModSeq,
    /// Messages, unseen and deleted ones, octets.
    pub sums: Sums,
}

/// See the module. Cloning is cheap: versions share what did not change.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    entries: RedBlackTreeMapSync<MailboxName, Arc<Entry>>,
    names: HashTrieMapSync<MailboxId, MailboxName>,
    subscriptions: RedBlackTreeSetSync<MailboxName>,
    /// The messages of all entries, and their octets.
    messages: u64,
    octets: u64,
    quota: Resources<QuotaSetting>,
}

impl Tree {
    /// The mailbox of that name.
    pub fn get(&self, name: &MailboxName) -> Option<&Arc<Entry>> {
        self.entries.get(name)
    }

    /// The mailbox with that id.
    pub fn by_id(&self, id: MailboxId) -> Option<&Arc<Entry>> {
        self.names.get(&id).and_then(|name| self.entries.get(name))
    }

    /// All mailboxes by name.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    /// How many mailboxes there are.
    pub fn len(&self) -> usize {
        self.entries.size()
    }

    /// True for an account without mailboxes, which only the directory is.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The mailboxes somewhere below a name, whether that name is a mailbox or not.
    pub fn below<'a>(&'a self, name: &MailboxName) -> impl Iterator<Item = &'a Arc<Entry>> + use<'a> {
        let prefix = format!("{name}{}", MailboxName::SEPARATOR);
        let from = (Bound::Included(prefix.as_str()), Bound::<&str>::Unbounded);
        let mut found = vec![];
        for (_, entry) in self.entries.range::<str, _>(from).take_while(|(name, _)| name.as_str().starts_with(&prefix))
        {
            found.push(entry);
        }
        found.into_iter()
    }

    /// True where a mailbox is somewhere below that name (`\HasChildren`).
    pub fn has_children(&self, name: &MailboxName) -> bool {
        let prefix = format!("{name}{}", MailboxName::SEPARATOR);
        let from = (Bound::Included(prefix.as_str()), Bound::<&str>::Unbounded);
        self.entries.range::<str, _>(from).next().is_some_and(|(name, _)| name.as_str().starts_with(&prefix))
    }

    /// The mailbox for a use, the first by name where there are several.
    pub fn by_use(&self, special_use: SpecialUse) -> Option<&Arc<Entry>> {
        self.entries().find(|entry| entry.special_use == Some(special_use))
    }

    /// True where the name is subscribed, with or without a mailbox.
    pub fn is_subscribed(&self, name: &MailboxName) -> bool {
        self.subscriptions.contains(name)
    }

    /// The subscribed names.
    pub fn subscriptions(&self) -> impl Iterator<Item = &MailboxName> {
        self.subscriptions.iter()
    }

    /// How many names are subscribed.
    pub fn subscription_count(&self) -> usize {
        self.subscriptions.size()
    }

    /// What the account uses: octets or things.
    pub(crate) fn usage(&self) -> Resources<u64> {
        // There are no annotations yet.
        Resources { storage: self.octets, message: self.messages, mailbox: self.len() as u64, annotation_storage: 0 }
    }

    /// What was set of the account's quota.
    pub(crate) fn quota(&self) -> &Resources<QuotaSetting> {
        &self.quota
    }

    pub(crate) fn set_quota(&mut self, quota: Resources<QuotaSetting>) {
        self.quota = quota;
    }

    pub(crate) fn insert(&mut self, entry: Entry) {
        self.names.insert_mut(entry.id, entry.name.clone());
        self.put(entry);
    }

    pub(crate) fn remove(&mut self, name: &MailboxName) {
        if let Some(entry) = self.entries.get(name).cloned() {
            self.names.remove_mut(&entry.id);
            self.discount(&entry);
        }
        self.entries.remove_mut(name);
    }

    /// Puts an entry in the place of the one of its name, if there is one.
    fn put(&mut self, entry: Entry) {
        if let Some(old) = self.entries.get(&entry.name).cloned() {
            self.discount(&old);
        }
        // Wrapping, so that sums from a damaged disk can be taken away again.
        self.messages = self.messages.wrapping_add(entry.summary.sums.count.into());
        self.octets = self.octets.wrapping_add(entry.summary.sums.size);
        self.entries.insert_mut(entry.name.clone(), Arc::new(entry));
    }

    fn discount(&mut self, entry: &Entry) {
        self.messages = self.messages.wrapping_sub(entry.summary.sums.count.into());
        self.octets = self.octets.wrapping_sub(entry.summary.sums.size);
    }

    pub(crate) fn subscribe(&mut self, name: MailboxName) {
        self.subscriptions.insert_mut(name);
    }

    pub(crate) fn unsubscribe(&mut self, name: &MailboxName) {
        self.subscriptions.remove_mut(name);
    }

    /// Takes over what a commit made of a mailbox.
    pub(crate) fn summarise(&mut self, snapshot: &Snapshot) {
        if let Some(entry) = self.by_id(snapshot.mailbox()) {
            let entry = Entry { summary: Summary::of(snapshot), ..(**entry).clone() };
            self.put(entry);
        }
    }
}

impl Summary {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        Self { uid_next: snapshot.uid_next(), modseq: snapshot.highest_modseq(), sums: snapshot.sums() }
    }
}

impl Entry {
    /// The part that does not change with every commit.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(1);
        let special_use = self.special_use.and_then(|u| SpecialUse::ALL.iter().position(|x| *x == u));
        w.bytes(self.name.as_str().as_bytes()).number(special_use.map_or(0, |n| n as u64 + 1));
        w.number(self.uid_validity.get().into()).signed(self.created.0);
        w.finish()
    }

    pub(crate) fn decode(id: MailboxId, value: &[u8], summary: Summary) -> Result<Self> {
        let (_, mut r) = Reader::new("a mailbox", value, 1)?;
        let name = MailboxName::new(r.text()?).ok();
        let special_use = r.small()?.checked_sub(1).and_then(|n| SpecialUse::ALL.get(n as usize)).copied();
        let uid_validity = UidValidity::new(r.small()?);
        let created = UnixTime(r.signed()?);
        let entry =
            Self { id, name: r.valid(name)?, special_use, uid_validity: r.valid(uid_validity)?, created, summary };
        r.end()?;
        Ok(entry)
    }
}
