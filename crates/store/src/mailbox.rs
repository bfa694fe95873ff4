//! A mailbox in memory, and the handle by which sessions read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use engine::Blob;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use types::{EmailId, IdSet, MailboxId, MailboxRef, ModSeq, Uid};

use crate::account::Account;
use crate::blocking::{blocking, brief};
use crate::cards::Cards;
use crate::chunk::Chunk;
use crate::columns::KeptColumns;
use crate::error::{Error, Result};
use crate::removal::Removal;
use crate::snapshot::Snapshot;
use crate::source::Source;

/// One for all who use the mailbox.
pub(crate) struct MailboxCell {
    id: MailboxId,
    source: Arc<Source>,
    /// Nothing where nobody asked yet, or where memory was short.
    snapshot: Mutex<Option<Arc<Snapshot>>>,
    /// Ticks with each new snapshot, and when the mailbox goes.
    ticks: watch::Sender<u64>,
    /// The watermark of `\Recent`; zero until the snapshot was read.
    recent: AtomicU32,
    gone: AtomicBool,
    /// See [`crate::columns`].
    columns: Mutex<KeptColumns>,
}

/// What a `\Recent` claim gives: messages from this UID on are recent to the claimer.
pub type RecentFrom = Uid;

/// A handle to a mailbox of an account. Idle holders cost nothing but the handle.
#[derive(Clone)]
pub struct Mailbox {
    pub(crate) at: MailboxRef,
    pub(crate) cell: Arc<MailboxCell>,
    pub(crate) account: Account,
}

impl MailboxCell {
    pub(crate) fn new(id: MailboxId, source: Arc<Source>) -> Self {
        Self {
            id,
            source,
            snapshot: Mutex::default(),
            ticks: watch::Sender::new(0),
            recent: AtomicU32::new(0),
            gone: AtomicBool::new(false),
            columns: Mutex::default(),
        }
    }

    pub(crate) fn snapshot(&self) -> Result<Arc<Snapshot>> {
        if let Some(snapshot) = &*self.snapshot.lock() {
            return Ok(Arc::clone(snapshot));
        }
        brief(|| {
            let mut slot = self.snapshot.lock();
            if let Some(snapshot) = &*slot {
                return Ok(Arc::clone(snapshot));
            }
            if self.is_gone() {
                return Err(Error::NoSuchMailbox);
            }
            let view = self.source.read()?;
            let read = Snapshot::read(&*view, self.id, Arc::clone(&self.source))?;
            let read = Arc::new(read.ok_or(Error::NoSuchMailbox)?);
            self.recent.fetch_max(read.head.recent.get(), Ordering::AcqRel);
            *slot = Some(Arc::clone(&read));
            Ok(read)
        })
    }

    /// What the last commit made of the mailbox.
    pub(crate) fn publish(&self, snapshot: Arc<Snapshot>) {
        self.recent.fetch_max(snapshot.head.recent.get(), Ordering::AcqRel);
        *self.snapshot.lock() = Some(snapshot);
        self.tick();
    }

    pub(crate) fn remove(&self) {
        self.gone.store(true, Ordering::Release);
        *self.snapshot.lock() = None;
        *self.columns.lock() = KeptColumns::default();
        self.tick();
    }

    /// What is in memory is not what is in the store: read it again.
    pub(crate) fn forget(&self) {
        *self.snapshot.lock() = None;
        *self.columns.lock() = KeptColumns::default();
        self.tick();
    }

    fn tick(&self) {
        self.ticks.send_modify(|tick| *tick = tick.wrapping_add(1));
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    /// The watermark to be saved with the next commit.
    pub(crate) fn recent(&self) -> Option<Uid> {
        Uid::new(self.recent.load(Ordering::Acquire))
    }

    /// What is kept in columns, for somebody who uses it.
    pub(crate) fn columns(&self) -> MutexGuard<'_, KeptColumns> {
        let mut columns = self.columns.lock();
        columns.used();
        columns
    }

    /// Time goes by: what was not used for long is given up.
    pub(crate) fn grow_old(&self) {
        self.columns.lock().grow_old();
    }

    /// Gives up the snapshot if nobody looks at it; says about how many octets that freed.
    pub(crate) fn evict(&self) -> usize {
        let mut slot = self.snapshot.lock();
        match &*slot {
            Some(snapshot) if Arc::strong_count(snapshot) == 1 => {
                let freed = snapshot.memory();
                *slot = None;
                freed + std::mem::take(&mut *self.columns.lock()).memory()
            }
            _ => 0,
        }
    }

    /// About how many octets the snapshot takes.
    pub(crate) fn memory(&self) -> usize {
        self.snapshot.lock().as_ref().map_or(0, |snapshot| snapshot.memory()) + self.columns.lock().memory()
    }
}

impl Mailbox {
    /// Which mailbox this is.
    pub fn at(&self) -> MailboxRef {
        self.at
    }

    /// The account it is in.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// True where the store takes no changes at the moment, whoever asks.
    pub fn is_read_only(&self) -> bool {
        self.account.0.source.engine.read_only().is_some()
    }

    /// True once the mailbox was deleted.
    pub fn is_gone(&self) -> bool {
        self.cell.is_gone() || self.account.is_gone()
    }

    /// The mailbox as it is now.
    pub fn snapshot(&self) -> Result<Arc<Snapshot>> {
        self.cell.snapshot()
    }

    /// Ticks after each commit to this mailbox and when it is deleted. Conflating: a slow session
    /// sees one tick for many.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.cell.ticks.subscribe()
    }

    /// Makes the caller the one session to which new messages are `\Recent` (RFC 3501 §2.3.2): gives
    /// the first UID that nobody claimed before, and claims all below `upto` (UIDNEXT). Kept in
    /// memory and saved with the next commit: SELECT itself writes nothing.
    pub fn claim_recent(&self, upto: Uid) -> Result<RecentFrom> {
        self.cell.snapshot()?;
        let before = self.cell.recent.fetch_max(upto.get(), Ordering::AcqRel);
        Ok(Uid::new(before).unwrap_or(Uid::MIN))
    }

    /// As [`Mailbox::claim_recent`] without claiming: EXAMINE and STATUS look but do not touch.
    pub fn recent_from(&self) -> Result<RecentFrom> {
        self.cell.snapshot()?;
        Ok(self.cell.recent().unwrap_or(Uid::MIN))
    }

    /// The messages among `uids` that were removed after `since`: what a session still owes its
    /// client ([`crate::View::ghosts`]). Each is a chunk and a position in it.
    pub fn removed(&self, since: ModSeq, uids: &IdSet<Uid>) -> Result<Vec<(Chunk, usize)>> {
        blocking(|| Removal::find(&*self.account.0.source.read()?, self.at.mailbox, since, uids))
    }

    /// The messages among `uids` that went after `since`, as far as `snapshot` knows. Where the history
    /// does not tell, because it is too long, damaged, or `since` is none of ours, that is every UID
    /// that was given and is not there (RFC 7162 §3.2.6): larger, never wrong.
    pub fn vanished(&self, snapshot: &Snapshot, since: ModSeq, uids: &IdSet<Uid>) -> Result<IdSet<Uid>> {
        let highest = snapshot.highest_modseq();
        if since == highest {
            return Ok(IdSet::new());
        }
        let missing = uids.intersection(&snapshot.uids_given()).difference(&snapshot.uids());
        if missing.is_empty() || since > highest {
            return Ok(missing);
        }
        let most = self.account.limits().change_records;
        let history = blocking(|| {
            let view = self.account.0.source.read()?;
            Removal::uids_between(&*view, self.at.mailbox, since, highest, most)
        });
        match history {
            Ok(Some(gone)) => Ok(missing.intersection(&gone)),
            Ok(None) => Ok(missing),
            Err(Error::Damaged(what)) => {
                tracing::error!(what, mailbox = %self.at.mailbox, "the history of a mailbox is damaged");
                Ok(missing)
            }
            Err(error) => Err(error),
        }
    }

    /// The content of a message. `None` where it is gone for good.
    pub fn body(&self, email: EmailId) -> Result<Option<Arc<dyn Blob>>> {
        brief(|| Ok(self.account.0.source.read()?.blob(engine::BlobId(email.0))?))
    }

    /// A reader of cards and bodies for many messages in a row.
    pub fn reader(&self) -> Cards {
        Cards::new(&self.account.0)
    }
}
