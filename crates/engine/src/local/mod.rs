//! The engine of one machine: SQLite for what is small, append-only segment files for bodies.
//!
//! ```text
//! store/lock           held by the process that owns the store
//! store/index.db       SQLite: see `index`
//! store/segments/*.seg bodies, and the journal of what is not in the index yet: see [`crate::segment`]
//! store/acknowledged   the last group that was acknowledged: see `witness`
//! store/copies/*.db    copies of the index: see `copies`
//! store/damaged/*.seg  segments that nobody refers to and that could not be read everywhere
//! ```
//!
//! * What was acknowledged has been synced: the bodies and the journal of their group, with one sync of a
//!   segment. The index follows when it is worth it, or somebody wants to look at it: until then, what is
//!   committed is in the overlay; after a crash it is replayed.
//! * A segment is only ever written to by the process that created it. When a store is opened, the
//!   segments that were growing are sealed where they end, and a new one begins.
//! * A failed write or sync ends all writing until the store is opened again; reading goes on. A
//!   full disk does not: it is refused early, and writing goes on when there is room again.

mod archive;
mod backup;
mod blob;
mod check;
mod checkpoint;
mod company;
mod copies;
mod figures;
mod flusher;
mod index;
mod indexer;
mod journal;
mod leftovers;
mod overlay;
mod prepared;
mod private;
mod queue;
mod reader;
mod rebuild;
mod reclaim;
mod remake;
mod replay;
mod segments;
mod strays;
mod version;
mod wal;
mod witness;
mod writer;

use std::collections::{BTreeSet, HashMap};
use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use types::AccountId;

pub use self::archive::Archive;
use self::company::Company;
use self::copies::Copier;
pub use self::copies::Copies;
use self::figures::Counted;
use self::flusher::Flusher;
use self::indexer::Indexer;
use self::overlay::Overlay;
use self::prepared::Prepared;
use self::private::Private;
use self::reader::{Readers, Reading, View};
use self::rebuild::Site;
pub use self::reclaim::Options as Reclaim;
use self::reclaim::{Order, Reclaimer, Shared};
use self::segments::Segments;
use self::witness::Witness;
use self::writer::{Job, Waiting, Writer};
use crate::disk::{Disk, RealDisk};
use crate::{
    Backup, Batch, BlobWriter, Codec, CommitError, Engine, Error, Figures, FromBlobs, Pending, ReadView, Reclaimed,
    Setback, Strays, Upload,
};

/// The directory of the segments, in that of the store.
const SEGMENTS: &str = "segments";

/// How a store is kept. The defaults suit small machines and large ones.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the segment files are.
    pub disk: Arc<dyn Disk>,
    /// Octets after which a new segment begins.
    pub segment_size: u64,
    /// How bodies are stored from now on.
    pub codec: Codec,
    /// Octets of free disk that new bodies leave untouched. Three quarters of them are for changes
    /// that bring no body, such as deleting.
    pub reserve: u64,
    /// Octets after which a group of commits ends and is made durable.
    pub group_bytes: usize,
    /// Batches of one group at most.
    pub group_batches: usize,
    /// Octets of memory for what is committed and not in the index yet. At most four times as much is used.
    pub overlay: usize,
    /// Pages of SQLite's log after which they are moved to its file.
    pub checkpoint_pages: u32,
    /// Connections for read views that stay open when nobody reads.
    pub idle_readers: usize,
    /// Octets of a page of SQLite; counts when the store is made.
    pub page_size: u32,
    /// When and how fast the space of dropped blobs is given back.
    pub reclaim: Reclaim,
    /// When the index is copied; never, if `None`.
    pub copies: Option<Copies>,
    /// What knows how to make again what came from blobs; without it all of that is written to the journal.
    pub from_blobs: Option<Arc<dyn FromBlobs>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            disk: Arc::new(RealDisk),
            segment_size: 64 << 20,
            codec: Codec::None,
            reserve: 128 << 20,
            group_bytes: 4 << 20,
            group_batches: 1024,
            overlay: 16 << 20,
            checkpoint_pages: 8192,
            idle_readers: 8,
            page_size: 8192,
            reclaim: Reclaim::default(),
            copies: None,
            from_blobs: None,
        }
    }
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or this one, has it open.
    #[error("the store {0} is in use: only one process can own it")]
    Locked(PathBuf),
    /// Nothing is written over a store.
    #[error("{0} is not empty: a backup is restored into a new directory")]
    NotEmpty(PathBuf),
    /// What is there now must stay whole until it is replaced.
    #[error("{0} has a backup of another store, or of a time that this one does not know: choose another directory")]
    OtherBackup(PathBuf),
    /// It is not all there.
    #[error("a backup was being restored to {0} and is not all there: restore it again")]
    Restoring(PathBuf),
    /// It was written by a later version.
    #[error("the store has format {found}; this version knows formats up to {known}")]
    Format {
        /// The store's.
        found: u16,
        /// The latest of ours.
        known: u16,
    },
    /// There is a file that is not ours.
    #[error("{0} is not the index of a store")]
    Foreign(PathBuf),
    /// Linked with an SQLite that may lose commits.
    #[error("SQLite {0} is too old: 3.51.3 is the first without the WAL-reset bug")]
    Sqlite(&'static str),
    /// SQLite said no.
    #[error("cannot open the index: {0}")]
    Index(#[from] rusqlite::Error),
    /// The file system may only be read, and there is no room for a copy of the index elsewhere.
    #[error(
        "the file system of the store may only be read, and its index cannot be copied to {dir}: {error}; \
         make it writable, or set TMPDIR to a directory with room"
    )]
    Private {
        /// Where it was to go.
        dir: PathBuf,
        /// Why it cannot.
        error: io::Error,
    },
    /// The disk said no.
    #[error("cannot open the store: {0}")]
    Io(#[from] io::Error),
}

/// The engine of one machine. Dropping it finishes what was queued.
pub struct Local {
    /// There until the end; without it the writer ends.
    queue: Option<queue::Sender<Job>>,
    segments: Arc<Segments>,
    codec: Codec,
    /// Whether what is made of blobs can be made again after a crash.
    makes_again: bool,
    overlay: Arc<Overlay>,
    readers: Arc<Readers>,
    /// There until the end; without it reclaiming ends.
    orders: Option<mpsc::Sender<Order>>,
    counted: Arc<Counted>,
    reclaim: Arc<Shared>,
    /// Without it the thread that makes copies ends.
    copying: Option<mpsc::Sender<()>>,
    store: PathBuf,
    /// The one that makes copies, the one that reclaims, the one that commits, and that of the index: they end in
    /// this order.
    threads: Vec<JoinHandle<()>>,
    /// What is read and never written: the store is elsewhere.
    private: Option<Private>,
    /// The last to go.
    _lock: Option<File>,
}

impl Local {
    /// Opens the store in the directory `store`, or makes one there. Where its file system may only be read,
    /// so may the store.
    pub fn open(store: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        Self::open_with(store.as_ref(), options, false)
    }

    /// As [`Local::open`], of an index that is made again first because parts of it cannot be read: see [`Local::rebuild`].
    pub fn open_anew(store: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        Self::open_with(store.as_ref(), options, true)
    }

    fn open_with(store: &Path, options: Options, anew: bool) -> Result<Self, OpenError> {
        // Mail is nobody else's business.
        DirBuilder::new().recursive(true).mode(0o700).create(store)?;
        match lock(store) {
            Err(OpenError::Io(e)) if e.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                backup::verify_whole(store)?;
                let private = Private::new(store)?;
                let options = private.options(options);
                let mut local = Self::begin(private.dir(), options, anew, None)?;
                // What was found goes right first.
                if rebuild::setback(&index::open_reader(private.dir())?)?.is_none() {
                    local.segments.stop(private::REASON);
                }
                local.private = Some(private);
                Ok(local)
            }
            lock => Self::begin(store, options, anew, Some(lock?)),
        }
    }

    fn begin(store: &Path, options: Options, anew: bool, lock: Option<File>) -> Result<Self, OpenError> {
        backup::verify_whole(store)?;
        let dir = store.join(SEGMENTS);
        options.disk.create_dir(&dir)?;
        let from_blobs = options.from_blobs.clone();
        let from_blobs = from_blobs.as_deref();
        let site = Site { store, disk: &options.disk, segments: &dir, page_size: options.page_size, from_blobs };
        if anew {
            rebuild::rebuild(site, &BTreeSet::new(), rebuild::DEMANDED)?;
        }
        let (mut connection, next) = rebuild::open(site)?;
        let witness = Witness::begin(store, next.flushed)?;
        sync_names(store)?;

        let Options { checkpoint_pages, disk, segment_size, reserve, group_bytes, group_batches, .. } = options;
        let group = next.flushed + 1;
        let segments = Arc::new(Segments::new(disk, dir, segment_size, reserve, next.segment, group));
        let overlay = Arc::new(Overlay::new(next.flushed));
        let readers = Arc::new(Readers::new(store.to_owned(), options.idle_readers));
        let counted = Arc::new(Counted::default());
        checkpoint::count(&mut connection, Arc::clone(&counted))?;

        let ((queue, jobs), (to_index, orders)) = (queue::queue(), mpsc::channel());
        let (done, flushed) = mpsc::channel();
        let indexer = {
            let (segments, readers, counted) = (Arc::clone(&segments), Arc::clone(&readers), Arc::clone(&counted));
            Indexer { connection, segments, readers, counted, checkpoint_pages, flushed: Ok(()) }
        };
        let writer = {
            let (segments, overlay, counted) = (Arc::clone(&segments), Arc::clone(&overlay), Arc::clone(&counted));
            let connection = index::open_reader(store)?;
            let (accounts, company) = (HashMap::new(), Company::default());
            let flusher = Flusher::new(to_index, flushed, options.overlay);
            Writer {
                connection,
                segments,
                overlay,
                counted,
                witness,
                group_bytes,
                group_batches,
                accounts,
                flusher,
                company,
                octets: vec![],
            }
        };
        let (to_reclaimer, ordered) = mpsc::channel();
        let reclaim = Arc::new(Shared::default());
        let reclaimer = {
            let (segments, readers) = (Arc::clone(&segments), Arc::clone(&readers));
            Reclaimer::new(
                store.to_owned(),
                segments,
                readers,
                Barrier(queue.clone()),
                options.reclaim,
                Arc::clone(&reclaim),
            )
        };
        let mut threads = Vec::new();
        let mut copying = None;
        if let Some(copies) = options.copies {
            let (segments, barrier) = (Arc::clone(&segments), Barrier(queue.clone()));
            let copier = Copier { store: store.to_owned(), segments, barrier, copies };
            let (sender, end) = mpsc::channel();
            threads.push(spawn("copies", move || copier.run(&end))?);
            copying = Some(sender);
        }
        threads.push(spawn("reclaim", move || reclaimer.run(&ordered))?);
        threads.push(spawn("commit", move || writer.run(&jobs))?);
        threads.push(spawn("index", move || indexer.run(&orders, &done))?);
        let (queue, orders, store) = (Some(queue), Some(to_reclaimer), store.to_owned());
        Ok(Self {
            queue,
            segments,
            codec: options.codec,
            makes_again: options.from_blobs.is_some(),
            overlay,
            readers,
            orders,
            counted,
            reclaim,
            copying,
            store,
            threads,
            private: None,
            _lock: lock,
        })
    }

    /// Makes the index of a store again although it can be opened, because parts of it cannot be read. What
    /// is there is put aside. What it says of accounts in `distrusted` does not count, also where it can be
    /// read. Says in plain words what was done; [`Engine::setback`] says it again.
    pub fn rebuild(
        store: impl AsRef<Path>,
        options: &Options,
        distrusted: &BTreeSet<AccountId>,
    ) -> Result<Vec<String>, OpenError> {
        let store = store.as_ref();
        let _lock = lock(store)?;
        let (disk, segments) = (&options.disk, &store.join(SEGMENTS));
        let from_blobs = options.from_blobs.as_deref();
        let site = Site { store, disk, segments, page_size: options.page_size, from_blobs };
        rebuild::rebuild(site, distrusted, rebuild::DEMANDED)
    }

    /// Makes a store in a new directory of the backup in another. Unless `keep`, the owner is told of a
    /// [`Engine::setback`]: the store has gone back in time.
    pub fn restore(
        backup: impl AsRef<Path>,
        store: impl AsRef<Path>,
        options: &Options,
        keep: bool,
    ) -> Result<(), OpenError> {
        backup::restore(&*options.disk, backup.as_ref(), store.as_ref(), keep)
    }

    /// Copies the index now, as the thread does that makes copies; `keep` of them stay.
    pub fn copy_index(&self, keep: usize) -> Result<Option<PathBuf>, Error> {
        let copies = Copies { every: Duration::ZERO, keep };
        let (segments, barrier) = (Arc::clone(&self.segments), self.barrier()?);
        let copier = Copier { store: self.store.clone(), segments, barrier, copies };
        copier.make(&mut None, || true)
    }

    /// Has everything that is committed so far written to the index. It is as durable as before.
    pub fn flush(&self) -> Result<(), Error> {
        self.barrier()?.flush()
    }

    fn barrier(&self) -> Result<Barrier, Error> {
        self.queue.clone().map(Barrier).ok_or_else(|| Error::Io("the store is closing".into()))
    }

    /// A reading of the index with everything that is committed so far, as far as it can be written there.
    fn reading(&self) -> Result<Reading, Error> {
        // What cannot be flushed is not seen; the reason is in `read_only`, or it is a full disk.
        if let Err(error) = self.flush() {
            tracing::warn!(%error, "the index lacks the last commits");
        }
        self.readers.begin()
    }
}

/// For whoever wants to look at the index itself, or have something done to it.
#[derive(Clone)]
pub(crate) struct Barrier(queue::Sender<Job>);

impl Barrier {
    /// Has everything that is committed so far written to the index.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        self.work(|indexer| indexer.flushed.clone())
    }

    /// The same, then has the thread of the index do something, and waits for it.
    pub(crate) fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Indexer) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = sync_channel(1);
        let work = move |indexer: &Indexer| {
            // We wait for it.
            let _ = answer.send(work(indexer));
        };
        let ended = || Error::Io("the thread that commits has ended".into());
        self.0.send(Job::Between(Box::new(work))).map_err(|_| ended())?;
        answered.recv().map_err(|_| ended())?
    }
}

impl Engine for Local {
    fn read(&self, account: AccountId) -> Result<Box<dyn ReadView>, Error> {
        Ok(Box::new(View::begin(&self.readers, &self.segments, Some(&self.overlay), account)?))
    }

    fn upload(&self) -> Result<Box<dyn BlobWriter>, Error> {
        Ok(Box::new(blob::Writer::new(Arc::clone(&self.segments), self.codec)?))
    }

    fn duplicate(&self, upload: &Upload) -> Result<Upload, Error> {
        blob::duplicate(&self.segments, self.codec, upload)
    }

    fn write_out(&self, uploads: &mut [&mut Upload]) -> Result<(), Error> {
        blob::write_out(&self.segments, uploads)
    }

    fn commit(&self, batch: Batch) -> Pending {
        let (answer, pending) = Pending::new();
        let batch = Prepared::new(batch, self.makes_again);
        let job = Job::Commit(Waiting { batch, answer });
        let unsent = match &self.queue {
            Some(queue) => queue.send(job).err(),
            None => Some(job),
        };
        if let Some(Job::Commit(Waiting { answer, .. })) = unsent {
            let reason = self.segments.stop("the thread that commits has ended");
            drop(answer.send(Err(CommitError::Failed(reason))));
        }
        pending
    }

    fn read_only(&self) -> Option<Arc<str>> {
        self.segments.stopped()
    }

    fn check(&self) -> Result<Vec<String>, Error> {
        check::check(&self.reading()?, &self.segments)
    }

    fn backup(&self, directory: &Path) -> Result<Backup, Error> {
        // While this is open, no segment goes that the backup's index may name.
        let view = self.reading()?;
        // It begins with the first thing that it reads.
        view.prepare("SELECT flushed FROM journal")?.exists([]).map_err(index::error)?;
        let failed = |error: OpenError| Error::Io(format!("the backup: {error}").into());
        let source = index::open_reader(&self.store).map_err(index::error)?;
        let backup = backup::write(&source, &self.segments, directory).map_err(failed);
        drop(view);
        backup
    }

    fn accounts(&self) -> Result<BTreeSet<AccountId>, Error> {
        let reading = self.reading()?;
        let mut select = reading.prepare("SELECT DISTINCT account FROM entry")?;
        let ids = select.query_map([], |row| row.get::<_, i64>(0)).map_err(index::error)?;
        ids.map(|id| id.map(|id| AccountId(id.cast_unsigned())).map_err(index::error)).collect()
    }

    fn figures(&self) -> Result<Figures, Error> {
        figures::figures(&self.reading()?, &self.segments, &self.counted, &self.reclaim)
    }

    fn reclaim(&self) -> Pending<Reclaimed, Error> {
        let (order, pending) = Pending::new();
        // Unsent, the order reads as failed.
        self.orders.as_ref().map(|orders| orders.send(order));
        pending
    }

    fn setback(&self) -> Result<Option<Setback>, Error> {
        index::open_reader(&self.store).and_then(|connection| rebuild::setback(&connection)).map_err(index::error)
    }

    fn strays(&self) -> Result<Strays, Error> {
        strays::find(&self.readers, &self.segments, &self.barrier()?)
    }

    fn settle(&self) -> Result<(), Error> {
        self.segments.writable()?;
        // From here on space is given back: the index has to know what was put back where it lay.
        self.flush()?;
        index::open_checkpointer(&self.store)
            .and_then(|connection| rebuild::settle(&connection))
            .map_err(index::error)?;
        if self.private.is_some() {
            self.segments.stop(private::REASON);
        }
        Ok(())
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.reclaim.stop();
        // Nobody can order any more, once the threads before have ended.
        (self.queue, self.orders, self.copying) = (None, None, None);
        self.readers.close();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store has panicked");
            }
        }
    }
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Local").field("read_only", &self.read_only()).finish_non_exhaustive()
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

fn lock(store: &Path) -> Result<File, OpenError> {
    let file = File::options().create(true).truncate(false).write(true).open(store.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(store.to_owned())),
        Err(TryLockError::Error(e)) => Err(e.into()),
    }
}

/// Makes durable that the store is there, and what is in it.
fn sync_names(store: &Path) -> io::Result<()> {
    let store = store.canonicalize()?;
    File::open(&store)?.sync_all()?;
    store.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}
