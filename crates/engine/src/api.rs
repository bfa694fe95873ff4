//! What every engine offers. The conformance suite in `testkit` says what it means, call by call.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use types::AccountId;

use crate::segment::PIECE_MAX;

/// How many commits an account has seen; zero is an account without content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct CommitNumber(pub u64);

/// A blob of an account. The caller chooses the number and never uses it again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BlobId(pub u64);

/// Why a read or an upload failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// What is stored does not match its hash, or cannot be read: named, never guessed.
    #[error("damaged: {0}")]
    Damaged(String),
    /// The disk or the database said no.
    #[error("{0}")]
    Io(Arc<str>),
    /// No space for more: reading and deleting still work.
    #[error("the disk is full")]
    Full,
    /// Writing has stopped after a failure, or was never possible; restart the server once the cause is mended.
    #[error("the store is read-only: {0}")]
    ReadOnly(Arc<str>),
}

/// Why a batch was not committed. Nothing of it happened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// An account is at another commit than expected: load it again and apply again.
    #[error("the account was changed by somebody else")]
    Conflict,
    /// It could not be written.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Octets of the largest blob that an engine may hold in memory until its commit.
pub const SMALL_MAX: usize = 64 * 1024;

/// Ordered key-value with read views and atomic durable batches, plus blobs.
pub trait Engine: Send + Sync + 'static {
    /// A view of one account as one commit left it. Short-lived: it may hold a database snapshot.
    fn read(&self, account: AccountId) -> Result<Box<dyn ReadView>, Error>;

    /// Begins a blob. Its pieces go to disk as they arrive, unreferenced until a batch names them.
    fn upload(&self) -> Result<Box<dyn BlobWriter>, Error>;

    /// A second upload of the same content, for a second account: blobs are never shared.
    fn duplicate(&self, upload: &Upload) -> Result<Upload, Error>;

    /// Writes what is held in memory of uploads to the disk and makes it durable, before a batch names it: whoever brings
    /// much in one batch need not hold all of it until then, nor wait for all of it then. For an engine that gains nothing
    /// by it there is nothing to do.
    fn write_out(&self, _uploads: &mut [&mut Upload]) -> Result<(), Error> {
        Ok(())
    }

    /// Queues a batch. When the [`Pending`] says `Ok`, the batch is durable and every
    /// [`Engine::read`] begun from then on sees it.
    fn commit(&self, batch: Batch) -> Pending;

    /// Why the engine takes no more writes, if it does not.
    fn read_only(&self) -> Option<Arc<str>>;

    /// Everything that is wrong with what is stored, in plain words, one line each. Reads all of it. A line
    /// about a blob begins as [`about_blob`] reads it.
    fn check(&self) -> Result<Vec<String>, Error>;

    /// Makes a backup in a directory, or brings the one that is there up to date, while everything goes on.
    fn backup(&self, _directory: &Path) -> Result<Backup, Error> {
        Err(Error::Io("there is nothing on a disk to back up".into()))
    }

    /// The accounts that have keys; none, from an engine that is not asked.
    fn accounts(&self) -> Result<BTreeSet<AccountId>, Error> {
        Ok(BTreeSet::new())
    }

    /// What is stored, and what it has cost.
    fn figures(&self) -> Result<Figures, Error> {
        Ok(Figures::default())
    }

    /// Gives the space of dropped blobs back now, as far as it is worth the work. Queues it; the
    /// [`Pending`] tells when it is done. Everything else goes on meanwhile.
    fn reclaim(&self) -> Pending<Reclaimed, Error> {
        // Where nothing is ever left of what was dropped.
        let (answer, pending) = Pending::new();
        // The receiver is in `pending`.
        let _ = answer.send(Ok(Reclaimed::default()));
        pending
    }

    /// What the engine found when it was opened and its index had to be made again, or had forgotten
    /// commits. Until [`Engine::settle`] it is said again.
    fn setback(&self) -> Result<Option<Setback>, Error> {
        Ok(None)
    }

    /// The blobs that are stored and that no commit names, as far as the engine knows any more. Reads all
    /// that is stored.
    fn strays(&self) -> Result<Strays, Error> {
        Ok(Strays::none())
    }

    /// The owner has put right what [`Engine::setback`] says.
    fn settle(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// What an engine holds at the moment, and what it has done since it was opened; in octets where
/// nothing else is said. An engine says nothing (zero) of what it does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// What blobs use of the segments, with what it takes to find them.
    pub live: u64,
    /// The rest of the segments.
    pub dead: u64,
    /// How many segments there are.
    pub segments: u64,
    /// The index (SQLite's file and its log).
    pub index: u64,
    /// Free on the disk.
    pub free: Option<u64>,
    /// What new blobs leave free on the disk.
    pub reserve: u64,
    /// Since opened: the blobs that were committed.
    pub bodies: u64,
    /// Since opened: what was written to segments.
    pub segments_written: u64,
    /// Since opened: what was written to the index, at most.
    pub index_written: u64,
    /// Since opened: what was copied forward to give segments up; a part of what was written.
    pub copied: u64,
    /// Since opened: segments that were given back to the disk.
    pub reclaimed: u64,
    /// Segments that are given up and go when the last reader has ended.
    pub waiting: u64,
}

impl Figures {
    /// How often an octet of a blob was written, all told, if there was one.
    pub fn write_amplification(&self) -> Option<f64> {
        let written = self.segments_written + self.index_written;
        (self.bodies > 0).then(|| written as f64 / self.bodies as f64)
    }
}

/// What a [reclaim](Engine::reclaim) has done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reclaimed {
    /// Segments that are gone.
    pub segments: u64,
    /// Their octets.
    pub octets: u64,
    /// Octets that were copied to get there.
    pub copied: u64,
    /// Segments that go as soon as the last reader has ended.
    pub waiting: u64,
    /// What could not be read, and therefore stays where it is. One line each.
    pub damaged: Vec<String>,
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// What looks at the entries of a scan, each a key and its value, until it breaks.
pub type Each<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// One account as one commit left it.
pub trait ReadView: Send {
    /// The commit that this view shows.
    fn commit_number(&self) -> CommitNumber;

    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// The keys in `range` in order, until `each` breaks.
    fn scan(&self, range: Range<&[u8]>, each: &mut Each<'_>) -> Result<(), Error>;

    /// The keys in `range` in order, also those whose values are damaged, until `each` breaks.
    fn keys(&self, range: Range<&[u8]>, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Error> {
        self.scan(range, &mut |key, _| each(key))
    }

    /// The largest key in `range` and its value.
    fn last(&self, range: Range<&[u8]>) -> Result<Option<Entry>, Error>;

    /// A blob, readable for as long as the handle lives, also after the view is gone and the blob
    /// was dropped. `None` where there is no such blob; [`Error::Damaged`] where there should be.
    fn blob(&self, id: BlobId) -> Result<Option<Arc<dyn Blob>>, Error>;

    /// The ids of all blobs of the account, ascending.
    fn blobs(&self) -> Result<Vec<BlobId>, Error>;
}

/// The bytes of a blob.
pub trait Blob: Send + Sync {
    /// In octets.
    fn size(&self) -> u64;

    /// Appends the octets of `range`, which must lie within the blob, to `out`. Reads and verifies
    /// only the pieces concerned.
    fn read(&self, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), Error>;

    /// Where a reader who goes on at `at` best stops: the end of a piece, as far as [`PIECE_MAX`] octets reach. Who
    /// stops elsewhere has the engine read and verify a piece twice.
    fn piece_end(&self, at: u64) -> u64 {
        self.size().min(at.saturating_add(PIECE_MAX as u64))
    }
}

/// A blob that is arriving. Dropped without [`BlobWriter::finish`], it leaves nothing that counts.
pub trait BlobWriter: Send {
    /// Takes the next octets.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error>;

    /// Ends a piece here, so that what came before can be read without what follows.
    fn cut(&mut self) -> Result<(), Error>;

    /// Octets of memory that are held.
    fn memory(&self) -> usize;

    /// Ends the blob.
    fn finish(self: Box<Self>) -> Result<Upload, Error>;
}

/// A whole blob that no batch has named yet. Dropped, its space is dead.
pub struct Upload {
    size: u64,
    inner: Box<dyn Any + Send + Sync>,
}

impl Upload {
    /// For engines: wraps what the engine needs to know.
    pub fn new(size: u64, inner: impl Any + Send + Sync) -> Self {
        Self { size, inner: Box::new(inner) }
    }

    /// In octets.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// For engines: what the engine put in, if it was this engine.
    pub fn inner<T: Any>(&self) -> Option<&T> {
        self.inner.downcast_ref()
    }

    /// For engines: takes what the engine put in.
    pub fn into_inner<T: Any>(self) -> Option<T> {
        self.inner.downcast::<T>().ok().map(|x| *x)
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({} octets)", self.size)
    }
}

/// What a backup did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Backup {
    /// Segments that it has.
    pub segments: u64,
    /// Those of them that came with this run.
    pub new: u64,
    /// Octets of those.
    pub octets: u64,
    /// Segments of earlier runs that the store does not use any more.
    pub gone: u64,
    /// What was found to be damaged in the store, in plain words.
    pub damaged: Vec<String>,
}

/// The engine has lost commits that it had acknowledged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Setback {
    /// What happened, in plain words.
    pub said: Vec<String>,
    /// The accounts of which nothing was lost. All others may be as they were at an earlier commit.
    pub current: BTreeSet<AccountId>,
}

/// Which blob a line of [`Engine::check`] is about (`account A, blob B: what`), and what it says of it.
pub fn about_blob(line: &str) -> Option<(AccountId, BlobId, &str)> {
    let (account, rest) = line.strip_prefix("account ")?.split_once(", blob ")?;
    let (blob, what) = rest.split_once(": ")?;
    Some((AccountId(account.parse().ok()?), BlobId(blob.parse().ok()?), what))
}

/// Blobs that are stored and that no commit names.
pub struct Strays {
    ids: BTreeMap<AccountId, Vec<BlobId>>,
    unreadable: Vec<String>,
    open: Box<OpenStray>,
}

type OpenStray = dyn Fn(AccountId, BlobId) -> Result<Option<Stray>, Error> + Send + Sync;

/// One of [`Strays`].
pub struct Stray {
    /// What its owner said of it.
    pub label: Vec<u8>,
    /// Its content.
    pub blob: Arc<dyn Blob>,
    /// For a batch that names it (again).
    pub upload: Upload,
    /// True where a commit names it but it is not where it should be: a batch must drop and name it.
    pub named: bool,
}

impl Strays {
    /// For engines.
    pub fn new(
        ids: BTreeMap<AccountId, Vec<BlobId>>,
        unreadable: Vec<String>,
        open: impl Fn(AccountId, BlobId) -> Result<Option<Stray>, Error> + Send + Sync + 'static,
    ) -> Self {
        Self { ids, unreadable, open: Box::new(open) }
    }

    /// An engine that loses nothing has none.
    pub fn none() -> Self {
        Self::new(BTreeMap::new(), vec![], |_, _| Ok(None))
    }

    /// The accounts that have some.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> + '_ {
        self.ids.keys().copied()
    }

    /// Those of an account, ascending.
    pub fn of(&self, account: AccountId) -> &[BlobId] {
        self.ids.get(&account).map_or(&[], Vec::as_slice)
    }

    /// One of them; `None` where it is none.
    pub fn get(&self, account: AccountId, id: BlobId) -> Result<Option<Stray>, Error> {
        (self.open)(account, id)
    }

    /// What could not be read on the way, one line each.
    pub fn unreadable(&self) -> &[String] {
        &self.unreadable
    }
}

/// A key and its new value; `None` deletes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Write {
    /// Ordered bytewise within the account.
    pub key: Vec<u8>,
    /// The new value.
    pub value: Option<Vec<u8>>,
}

/// A blob that the batch makes part of the account.
#[derive(Debug)]
pub struct NewBlob {
    /// Its number from now on.
    pub id: BlobId,
    /// Its content.
    pub upload: Upload,
    /// What the owner wants to know of it if nothing but the segment file is left (opaque here).
    pub label: Vec<u8>,
}

/// What a batch does to one account.
#[derive(Debug)]
pub struct AccountBatch {
    /// Whose.
    pub account: AccountId,
    /// The commit this builds on; the account will be at the next one.
    pub expect: CommitNumber,
    /// Deletes every key and blob of the account before the rest is applied. The commit number goes on.
    pub clear: bool,
    /// The truth. In order; a later write of a key wins.
    pub essential: Vec<Write>,
    /// What could be recomputed.
    pub derived: Vec<Write>,
    /// What [`FromBlobs`] makes of [`AccountBatch::blobs`], and of nothing else: an engine that can ask it need not write
    /// this down before it says that the commit is durable, and after a crash it may be missing where a blob is damaged.
    pub from_blobs: Vec<Write>,
    /// Blobs that come.
    pub blobs: Vec<NewBlob>,
    /// Blobs that go.
    pub dropped: Vec<BlobId>,
}

impl AccountBatch {
    /// Nothing to do yet.
    pub fn new(account: AccountId, expect: CommitNumber) -> Self {
        Self {
            account,
            expect,
            clear: false,
            essential: vec![],
            derived: vec![],
            from_blobs: vec![],
            blobs: vec![],
            dropped: vec![],
        }
    }
}

/// Makes [`AccountBatch::from_blobs`] again, where a crash has taken it: the owner knows what blobs mean.
pub trait FromBlobs: fmt::Debug + Send + Sync {
    /// Exactly what the commit wrote that has brought these blobs, which ascend, to an account.
    fn make(&self, account: AccountId, blobs: &[(BlobId, Arc<dyn Blob>)]) -> Result<Vec<Write>, Error>;
}

/// Changes to one or more accounts that happen together or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    /// Each account at most once.
    pub accounts: Vec<AccountBatch>,
}

/// Work under way, a commit where nothing else is said: a future, or [`Pending::wait`] outside
/// async code.
#[derive(Debug)]
pub struct Pending<T = (), E = CommitError>(oneshot::Receiver<Result<T, E>>);

impl<T, E: From<Error>> Pending<T, E> {
    /// For engines: the end to answer on, and the work under way. An end dropped without an answer
    /// reads as failed.
    pub fn new() -> (oneshot::Sender<Result<T, E>>, Self) {
        let (tx, rx) = oneshot::channel();
        (tx, Self(rx))
    }

    /// Blocks until the work is done (a commit: durable) or refused. Not for async code.
    pub fn wait(self) -> Result<T, E> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(stopped()))
    }
}

impl<T, E: From<Error>> Future for Pending<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|r| r.unwrap_or_else(|_| Err(stopped())))
    }
}

fn stopped<E: From<Error>>() -> E {
    Error::Io("the engine was stopped".into()).into()
}
