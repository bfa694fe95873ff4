//! One account: its tree, its mailboxes, and the queue to its one writer.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::ReadView;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use types::{AccountId, Limits, MailboxId, MailboxName, MailboxRef, ModSeq, Principal, UnixTime};

use crate::blocking::brief;
use crate::clock::Clock;
use crate::damage;
use crate::error::{Error, Result};
use crate::key;
use crate::known_ids::KnownIds;
use crate::mailbox::{Mailbox, MailboxCell};
use crate::quota::{self, QuotaOptions};
use crate::retention::Retention;
use crate::rights;
use crate::snapshot::Snapshot;
use crate::source::Source;
use crate::tree::{Entry, Summary, Tree};
use crate::writer::{Counters, Queue, WriterState};

/// What all accounts of a store have in common.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) quota: QuotaOptions,
    pub(crate) retention: Retention,
    /// Searches that read messages at this moment.
    pub(crate) searches: Arc<Semaphore>,
}

/// An account in memory: one for all who use it.
pub(crate) struct AccountCell {
    pub(crate) source: Arc<Source>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: Mutex<Queue>,
    pub(crate) tree: watch::Sender<Arc<Tree>>,
    pub(crate) mailboxes: Mutex<HashMap<MailboxId, Arc<MailboxCell>>>,
    pub(crate) gone: AtomicBool,
    /// See [`crate::known_ids`].
    pub(crate) known_ids: Mutex<KnownIds>,
    /// See [`crate::attendance`].
    pub(crate) attending: Mutex<BTreeMap<(MailboxId, ModSeq), usize>>,
    /// Whoever purges or restores holds it: what nothing refers to stays so meanwhile.
    pub(crate) bin: tokio::sync::Mutex<()>,
    /// Whoever imports holds it.
    pub(crate) importing: Arc<tokio::sync::Mutex<()>>,
}

/// A handle to an account. Everything that changes it is a verb that takes the [`Principal`].
#[derive(Clone)]
pub struct Account(pub(crate) Arc<AccountCell>);

impl AccountCell {
    /// Reads the tree: one record and one head a mailbox.
    pub(crate) fn load(source: Arc<Source>, shared: Arc<Shared>) -> Result<Self> {
        let (state, tree) = read_all(&source)?;
        Ok(Self {
            source,
            shared,
            queue: Mutex::new(Queue { jobs: VecDeque::new(), idle: Some(state) }),
            tree: watch::Sender::new(Arc::new(tree)),
            mailboxes: Mutex::default(),
            gone: AtomicBool::new(false),
            known_ids: Mutex::default(),
            attending: Mutex::default(),
            bin: tokio::sync::Mutex::default(),
            importing: Arc::default(),
        })
    }

    /// Forgets what is in memory and reads what is there.
    pub(crate) fn reload(&self) -> Result<WriterState> {
        let (state, tree) = read_all(&self.source)?;
        *self.known_ids.lock() = KnownIds::default();
        for mailbox in self.mailboxes.lock().values() {
            mailbox.forget();
        }
        self.tree.send_replace(Arc::new(tree));
        Ok(state)
    }

    pub(crate) fn id(&self) -> AccountId {
        self.source.account
    }

    /// The cell of a mailbox that exists.
    pub(crate) fn mailbox(&self, id: MailboxId) -> Arc<MailboxCell> {
        let mut mailboxes = self.mailboxes.lock();
        Arc::clone(mailboxes.entry(id).or_insert_with(|| Arc::new(MailboxCell::new(id, Arc::clone(&self.source)))))
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}

fn read_all(source: &Source) -> Result<(WriterState, Tree)> {
    let view = source.read()?;
    let counters = undamaged(Counters::read(&*view), "its counters", || damage::counters(&*view))?;
    let tree = undamaged(read_tree(&*view), "a mailbox or a subscription", || damage::tree(&*view))?;
    Ok((WriterState { commit: view.commit_number(), counters }, tree))
}

/// What was read, or, where it is damaged, what can be made of it.
pub(crate) fn undamaged<T>(read: Result<T>, what: &str, other: impl FnOnce() -> Result<T>) -> Result<T> {
    match read {
        Err(Error::Damaged(error)) => {
            tracing::error!(error, "an account is damaged ({what}); `pillarbox check` says how");
            other()
        }
        read => read,
    }
}

fn read_tree(view: &dyn ReadView) -> Result<Tree> {
    let mut tree = Tree::default();
    each(view, b"m", |key, value| {
        let id = key::number(key, 0).map(MailboxId).ok_or_else(|| Error::Damaged("a mailbox has no id".into()))?;
        let head = view.get(&key::head(id))?;
        let head = head.ok_or_else(|| Error::Damaged(format!("mailbox {id} has no head")))?;
        let (head, sums) = Snapshot::read_summary(&head)?;
        let summary = Summary { uid_next: head.uid_next, modseq: head.modseq, sums };
        tree.insert(Entry::decode(id, value, summary)?);
        Ok(())
    })?;
    if let Some(value) = view.get(key::QUOTA)? {
        tree.set_quota(quota::decode(&value)?);
    }
    each(view, b"s", |key, _| {
        let name = key::text(key).and_then(|name| MailboxName::new(name).ok());
        tree.subscribe(name.ok_or_else(|| Error::Damaged("a subscription is no mailbox name".into()))?);
        Ok(())
    })?;
    Ok(tree)
}

/// Calls `f` with every key that begins so.
pub(crate) fn each(view: &dyn ReadView, prefix: &[u8], mut f: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
    let range = key::below(prefix.to_vec());
    let mut result = Ok(());
    view.scan(&range.start..&range.end, &mut |key, value| {
        result = f(key, value);
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result
}

impl Account {
    /// Whose this is.
    pub fn id(&self) -> AccountId {
        self.0.id()
    }

    /// True once the account was deleted: sessions end.
    pub fn is_gone(&self) -> bool {
        self.0.is_gone()
    }

    /// The mailboxes as they are now.
    pub fn tree(&self) -> Arc<Tree> {
        Arc::clone(&self.0.tree.borrow())
    }

    /// Learns of every change to names, uses, subscriptions and heads; a slow reader sees the latest.
    pub fn watch_tree(&self) -> watch::Receiver<Arc<Tree>> {
        self.0.tree.subscribe()
    }

    /// Opens a mailbox for reading by name.
    pub fn open(&self, who: &Principal, name: &MailboxName) -> Result<Mailbox> {
        rights::may_see(who, self.id())?;
        let tree = self.tree();
        let entry = tree.get(name).ok_or(Error::NoSuchMailbox)?;
        Ok(self.handle(entry.id))
    }

    /// Opens a mailbox for reading by id.
    pub fn open_by_id(&self, who: &Principal, id: MailboxId) -> Result<Mailbox> {
        rights::may_see(who, self.id())?;
        self.tree().by_id(id).ok_or(Error::NoSuchMailbox)?;
        Ok(self.handle(id))
    }

    fn handle(&self, id: MailboxId) -> Mailbox {
        let at = MailboxRef { owner: self.id(), mailbox: id };
        Mailbox { at, cell: self.0.mailbox(id), account: self.clone() }
    }

    /// The limits that hold for this account.
    pub fn limits(&self) -> &Limits {
        &self.0.shared.limits
    }

    /// What time it is for this account's store.
    pub fn now(&self) -> UnixTime {
        self.0.shared.clock.now()
    }

    /// A view of what the engine holds of this account.
    pub(crate) fn read(&self) -> Result<Box<dyn ReadView>> {
        brief(|| self.0.source.read())
    }
}
