//! What one commit will do to an account, as the verbs build it up.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use engine::{AccountBatch, Batch, BlobId, CommitNumber, NewBlob, ReadView, Upload, Write};
use message::Card;
use rpds::HashTrieMapSync;
use types::{EmailId, Limits, MailboxId, MailboxName, ThreadId, UnixTime};

use crate::account::AccountCell;
use crate::blocking::{blocking, brief};
use crate::cards::Pack;
use crate::error::{Error, Result};
use crate::key;
use crate::known_ids::KnownIds;
use crate::quota::{self, Quota};
use crate::snapshot::{Snapshot, Version};
use crate::source::Source;
use crate::tree::{Entry, Tree};
use crate::writer::{Counters, WriterState, batch_of};

/// See the module. Verbs read and change it; nothing is seen outside before the commit.
pub(crate) struct Txn {
    account: Arc<AccountCell>,
    /// The number of the commit that will write what the verbs make.
    pub(crate) version: Version,
    pub(crate) now: UnixTime,
    expect: CommitNumber,
    base_counters: Counters,
    base_tree: Arc<Tree>,
    /// The account as the verbs so far have made it.
    state: State,
    out: Output,
    view: Option<Box<dyn ReadView>>,
}

/// What a savepoint copies: everything in it is shared until changed.
#[derive(Clone)]
struct State {
    counters: Counters,
    tree: Tree,
    mailboxes: HashTrieMapSync<MailboxId, Arc<Snapshot>>,
    threads: HashTrieMapSync<u64, ThreadId>,
    removed: Vec<MailboxId>,
    /// Mailboxes that were in no tree: what they hold is in the store.
    revived: Vec<MailboxId>,
    gone: bool,
}

/// What a savepoint cuts back: it only ever grows.
#[derive(Default)]
struct Output {
    essential: Vec<Write>,
    derived: Vec<Write>,
    /// Of the bodies among the blobs.
    cards: Pack,
    blobs: Vec<NewBlob>,
    dropped: Vec<BlobId>,
    others: Vec<AccountBatch>,
}

/// Where to go back to when a verb fails.
pub(crate) struct Savepoint {
    state: State,
    lengths: [usize; 6],
}

/// What to publish once the commit is durable.
pub(crate) struct Done {
    commit: CommitNumber,
    counters: Counters,
    tree: Option<Tree>,
    mailboxes: Vec<Arc<Snapshot>>,
    removed: Vec<MailboxId>,
    gone: bool,
}

impl Txn {
    pub(crate) fn new(account: &Arc<AccountCell>, at: WriterState) -> Self {
        let tree = Arc::clone(&account.tree.borrow());
        Self {
            account: Arc::clone(account),
            version: at.commit.0 + 1,
            now: account.shared.clock.now(),
            expect: at.commit,
            base_counters: at.counters,
            state: State {
                counters: at.counters,
                tree: (*tree).clone(),
                mailboxes: HashTrieMapSync::new_sync(),
                threads: HashTrieMapSync::new_sync(),
                removed: vec![],
                revived: vec![],
                gone: false,
            },
            base_tree: tree,
            out: Output::default(),
            view: None,
        }
    }

    pub(crate) fn savepoint(&self) -> Savepoint {
        let Output { essential, derived, cards, blobs, dropped, others } = &self.out;
        let lengths = [essential.len(), derived.len(), cards.len(), blobs.len(), dropped.len(), others.len()];
        Savepoint { state: self.state.clone(), lengths }
    }

    pub(crate) fn roll_back(&mut self, to: Savepoint) {
        let [essential, derived, cards, blobs, dropped, others] = to.lengths;
        self.state = to.state;
        self.out.essential.truncate(essential);
        self.out.derived.truncate(derived);
        self.out.cards.truncate(cards);
        self.out.blobs.truncate(blobs);
        self.out.dropped.truncate(dropped);
        self.out.others.truncate(others);
    }

    pub(crate) fn limits(&self) -> Arc<Limits> {
        Arc::clone(&self.account.shared.limits)
    }

    pub(crate) fn counters(&mut self) -> &mut Counters {
        &mut self.state.counters
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.state.tree
    }

    pub(crate) fn tree_mut(&mut self) -> &mut Tree {
        &mut self.state.tree
    }

    /// The account's quota as the verbs so far have made it.
    pub(crate) fn quota(&self) -> Quota {
        Quota::of(&self.state.tree, &self.account.shared)
    }

    /// Refuses every verb once the account is deleted.
    pub(crate) fn alive(&self) -> Result<()> {
        if self.account.is_gone() || self.state.gone { Err(Error::NoSuchAccount) } else { Ok(()) }
    }

    /// The value of a key as the verbs so far have made it.
    pub(crate) fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        if let Some(write) = self.out.essential.iter().rev().find(|write| write.key == key) {
            return Ok(write.value.clone());
        }
        Ok(self.view()?.get(key)?)
    }

    /// Where the account's values come from.
    pub(crate) fn source(&self) -> Arc<Source> {
        Arc::clone(&self.account.source)
    }

    /// The account as the last commit left it.
    pub(crate) fn view(&mut self) -> Result<&dyn ReadView> {
        if self.view.is_none() {
            self.view = Some(brief(|| self.account.source.read())?);
        }
        self.view.as_deref().ok_or(Error::Internal)
    }

    /// The entry of a mailbox that exists.
    pub(crate) fn entry(&self, name: &MailboxName) -> Result<Arc<Entry>> {
        self.state.tree.get(name).cloned().ok_or(Error::NoSuchMailbox)
    }

    /// The mailbox as the verbs so far have made it.
    pub(crate) fn mailbox(&mut self, id: MailboxId) -> Result<Arc<Snapshot>> {
        if let Some(snapshot) = self.state.mailboxes.get(&id) {
            return Ok(Arc::clone(snapshot));
        }
        self.state.tree.by_id(id).ok_or(Error::NoSuchMailbox)?;
        let snapshot = self.account.mailbox(id).snapshot()?;
        self.state.mailboxes.insert_mut(id, Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// A deleted mailbox, or one that is being filled, as the verbs so far have made it: in no tree.
    pub(crate) fn hidden(&mut self, id: MailboxId) -> Result<Arc<Snapshot>> {
        if let Some(snapshot) = self.state.mailboxes.get(&id) {
            return Ok(Arc::clone(snapshot));
        }
        let snapshot = self.account.mailbox(id).snapshot()?;
        self.state.revived.push(id);
        self.state.mailboxes.insert_mut(id, Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// Whether a mailbox that this commit touches has this UIDVALIDITY.
    pub(crate) fn is_pending_uid_validity(&self, uid_validity: types::UidValidity) -> bool {
        self.state.mailboxes.values().any(|mailbox| mailbox.uid_validity() == uid_validity)
    }

    /// Puts what a verb made of a mailbox.
    pub(crate) fn put(&mut self, snapshot: Snapshot) {
        self.state.tree.summarise(&snapshot);
        self.state.mailboxes.insert_mut(snapshot.mailbox(), Arc::new(snapshot));
    }

    /// Adds an empty mailbox.
    pub(crate) fn create(&mut self, entry: Entry) {
        let source = Arc::clone(&self.account.source);
        let snapshot = Snapshot::empty(entry.id, entry.uid_validity, source);
        self.state.tree.insert(entry);
        self.put(snapshot);
    }

    /// Takes a mailbox out of the tree. Its messages stay where they are, for undelete.
    pub(crate) fn remove(&mut self, entry: &Entry) {
        self.state.tree.remove(&entry.name);
        self.state.removed.push(entry.id);
    }

    /// Brings a deleted mailbox back, as it was.
    pub(crate) fn revive(&mut self, entry: Entry) {
        self.state.removed.retain(|id| *id != entry.id);
        self.state.revived.push(entry.id);
        self.state.tree.insert(entry);
    }

    /// The thread of a message id, by its hash, from this commit or an earlier one.
    pub(crate) fn thread_of(&mut self, hash: u64) -> Result<Option<ThreadId>> {
        if let Some(&thread) = self.state.threads.get(&hash) {
            return Ok(Some(thread));
        }
        if self.account.known_ids.lock().lack(hash) {
            return Ok(None);
        }
        let value = self.view()?.get(&key::thread(hash))?;
        if value.is_none() && self.account.known_ids.lock().missed(self.state.tree.usage().message) {
            self.learn_ids()?;
        }
        Ok(value.and_then(|v| v.try_into().ok()).map(|v| ThreadId(u64::from_be_bytes(v))))
    }

    /// Reads all message ids of the account.
    fn learn_ids(&mut self) -> Result<()> {
        let new = self.state.threads.keys().copied().collect();
        let view = self.view()?;
        let ids = blocking(|| KnownIds::read(view, new));
        *self.account.known_ids.lock() = ids;
        Ok(())
    }

    pub(crate) fn put_thread(&mut self, hash: u64, thread: ThreadId) {
        // A message may refer to the same one twice.
        if self.state.threads.get(&hash) != Some(&thread) {
            self.state.threads.insert_mut(hash, thread);
            self.account.known_ids.lock().add(hash);
            let value = Some(thread.0.to_be_bytes().to_vec());
            self.out.derived.push(Write { key: key::thread(hash), value });
        }
    }

    pub(crate) fn essential(&mut self) -> &mut Vec<Write> {
        &mut self.out.essential
    }

    pub(crate) fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.out.essential.push(Write { key, value });
    }

    /// Puts the card of a new body.
    pub(crate) fn put_card(&mut self, email: EmailId, card: Card) {
        self.out.cards.push(email, card);
    }

    /// Changes what could be made anew.
    pub(crate) fn derived(&mut self) -> &mut Vec<Write> {
        &mut self.out.derived
    }

    /// A body without octets.
    pub(crate) fn empty_upload(&self) -> Result<Upload> {
        Ok(blocking(|| self.account.source.engine.upload().and_then(|writer| writer.finish()))?)
    }

    /// Takes a body away, which nothing refers to any more.
    pub(crate) fn drop_blob(&mut self, blob: BlobId) {
        self.out.dropped.push(blob);
    }

    pub(crate) fn blob(&mut self, blob: NewBlob) {
        self.out.blobs.push(blob);
    }

    /// Makes the commit change another account too, one that nobody has loaded.
    pub(crate) fn with(&mut self, other: AccountBatch) {
        self.out.others.push(other);
    }

    /// Ends the account: everything in it goes.
    pub(crate) fn clear(&mut self) {
        self.state.gone = true;
    }

    /// Everything as one batch, or `None` where nothing changed.
    pub(crate) fn finish(self) -> Option<(Batch, Done)> {
        let Self { account, version, expect, base_counters, base_tree, state, out, .. } = self;
        let mut batch = AccountBatch::new(account.id(), expect);
        let commit = CommitNumber(version);
        if state.gone {
            batch.clear = true;
            let removed = base_tree.entries().map(|entry| entry.id).collect();
            let tree = Some(Tree::default());
            let done = Done { commit, counters: base_counters, tree, mailboxes: vec![], removed, gone: true };
            return Some((batch_of(batch, out.others), done));
        }

        batch.essential = out.essential;
        batch.derived = out.derived;
        batch.from_blobs = out.cards.finish();
        batch.blobs = out.blobs;
        batch.dropped = out.dropped;
        let mut mailboxes = vec![];
        for (&id, snapshot) in state.mailboxes.iter() {
            let cell = account.mailbox(id);
            let stored = base_tree.by_id(id).is_some() || state.revived.contains(&id);
            let base = stored.then(|| cell.snapshot().ok()).flatten();
            if base.as_ref().is_some_and(|base| Arc::ptr_eq(base, snapshot)) {
                continue;
            }
            // The watermark of \Recent goes to disk with whatever else does.
            let mut snapshot = (**snapshot).clone();
            snapshot.head.recent = snapshot.head.recent.max(cell.recent().unwrap_or(snapshot.head.recent));
            snapshot.writes(base.as_deref(), version, &mut batch.essential);
            mailboxes.push(Arc::new(snapshot));
        }
        if state.counters != base_counters {
            batch.essential.push(Write { key: key::COUNTERS.to_vec(), value: Some(state.counters.encode()) });
        }
        let nothing = batch.essential.is_empty()
            && batch.derived.is_empty()
            && batch.from_blobs.is_empty()
            && batch.blobs.is_empty()
            && batch.dropped.is_empty()
            && out.others.is_empty();
        let done = Done {
            commit,
            counters: state.counters,
            tree: Some(state.tree),
            mailboxes,
            removed: state.removed,
            gone: false,
        };
        (!nothing).then(|| (batch_of(batch, out.others), done))
    }
}

impl Done {
    /// Shows the world what the commit did: mailboxes first, then the tree that points to them.
    pub(crate) fn publish(self, account: &AccountCell) -> WriterState {
        if self.gone {
            account.gone.store(true, Ordering::Release);
        }
        for snapshot in self.mailboxes {
            account.mailbox(snapshot.mailbox()).publish(snapshot);
        }
        if let Some(tree) = self.tree {
            let after = Arc::new(tree);
            let before = account.tree.send_replace(Arc::clone(&after));
            if !self.gone {
                quota::announce(account.id(), &account.shared, &before, &after);
            }
        }
        for id in self.removed {
            account.mailbox(id).remove();
            account.mailboxes.lock().remove(&id);
        }
        WriterState { commit: self.commit, counters: self.counters }
    }
}

/// Blobs have the number of their email.
pub(crate) fn blob_id(email: EmailId) -> BlobId {
    BlobId(email.0)
}
