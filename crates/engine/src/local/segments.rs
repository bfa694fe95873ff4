//! The segment files of a store: the one that grows, and the others to read from.
//!
//! * Space is given out under a lock, octets are written outside it: the writer of a group and the
//!   uploads of large blobs write into the same segment at the same time, each in its own place.
//! * A place is used once. What is not named by the index is dead space.
//! * After a failed write or sync nothing is written any more until the store is opened again.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::Error;
use crate::disk::{Disk, DiskFile};
use crate::segment::{Content, Record};

/// Open files of segments that nobody writes to any more.
const OPEN_FILES: usize = 128;

/// All segments of a store.
pub(crate) struct Segments {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    size: u64,
    reserve: u64,
    growing: Mutex<Growing>,
    files: Mutex<Files>,
    stopped: OnceLock<Arc<str>>,
    group: AtomicU64,
    uploads: AtomicU64,
}

/// A segment that is, or was, written to by this process.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: u32,
    pub(crate) mark: u64,
    file: Arc<dyn DiskFile>,
    /// Something may not be durable yet.
    dirty: AtomicBool,
}

struct Growing {
    segment: Option<Arc<Segment>>,
    /// How much of it is given out.
    end: u64,
    /// The number of the next segment.
    next: u32,
    news: Vec<News>,
}

/// What the index does not know yet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum News {
    Created { id: u32, mark: u64 },
    Sealed { id: u32, end: u64, group: u64 },
}

/// What the disk has room for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Room {
    /// A quarter of the reserve is left: reading goes on.
    Nothing,
    /// Less than the reserve is left, which is for changes without new bodies, such as deleting.
    Keys,
    /// Everything.
    Blobs,
}

impl Segments {
    /// `next` and `group` are the numbers of the next segment and of the next group of commits.
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, size: u64, reserve: u64, next: u32, group: u64) -> Self {
        Self {
            disk,
            dir,
            size,
            reserve,
            growing: Mutex::new(Growing { segment: None, end: 0, next, news: Vec::new() }),
            files: Mutex::default(),
            stopped: OnceLock::new(),
            group: AtomicU64::new(group),
            uploads: AtomicU64::new(random()),
        }
    }

    /// Why nothing is written any more.
    pub(crate) fn stopped(&self) -> Option<Arc<str>> {
        self.stopped.get().cloned()
    }

    /// Says no where nothing is written any more.
    pub(crate) fn writable(&self) -> Result<(), Error> {
        self.stopped().map_or(Ok(()), |reason| Err(Error::ReadOnly(reason)))
    }

    /// Ends all writing. The first reason counts.
    pub(crate) fn stop(&self, reason: &str) -> Error {
        let reason: Arc<str> = reason.into();
        if self.stopped.set(Arc::clone(&reason)).is_ok() {
            tracing::error!(%reason, "the store is read-only until it is opened again");
        }
        Error::Io(reason)
    }

    /// What the disk has room for at the moment.
    pub(crate) fn room(&self) -> Result<Room, Error> {
        let free = self.disk.free(&self.dir);
        let free = free.map_err(|e| Error::Io(format!("cannot ask for free space: {e}").into()))?;
        Ok(match free {
            _ if free >= self.reserve => Room::Blobs,
            _ if free >= self.reserve / 4 => Room::Keys,
            _ => Room::Nothing,
        })
    }

    /// Says no where the disk has no room for new bodies.
    pub(crate) fn room_for_blobs(&self) -> Result<(), Error> {
        if self.room()? == Room::Blobs { Ok(()) } else { Err(Error::Full) }
    }

    /// The number of the group that is being written.
    pub(crate) fn group(&self) -> u64 {
        self.group.load(Ordering::Relaxed)
    }

    /// What is written from now on belongs to the next group.
    pub(crate) fn next_group(&self) {
        self.group.fetch_add(1, Ordering::Relaxed);
    }

    /// A number for an upload: the pieces of one upload are found by it.
    pub(crate) fn next_upload(&self) -> u64 {
        self.uploads.fetch_add(1, Ordering::Relaxed)
    }

    /// A place for `len` octets that is nobody else's.
    pub(crate) fn claim(&self, len: u64) -> Result<(Arc<Segment>, u64), Error> {
        self.writable()?;
        let mut growing = self.growing.lock();
        let full = growing.end.saturating_add(len) > self.size;
        let segment = match &growing.segment {
            Some(segment) if !full => Arc::clone(segment),
            _ => self.begin(&mut growing)?,
        };
        let offset = growing.end;
        growing.end += len;
        Ok((segment, offset))
    }

    /// Begins a segment: a file with its first record, its name durable.
    fn begin(&self, growing: &mut Growing) -> Result<Arc<Segment>, Error> {
        let (id, mark) = (growing.next, random());
        let path = self.dir.join(file_name(id));
        // A file that could not be begun keeps its number: it is never written to again.
        growing.next += 1;
        let mut record = Vec::new();
        Record { mark, group: self.group(), content: Content::Segment { id } }.encode(0, &mut record);
        let file = self.disk.create(&path).map_err(|e| self.failed("create", id, &e))?;
        file.write_at(0, &record).map_err(|e| self.failed("write", id, &e))?;
        self.disk.sync_dir(&self.dir).map_err(|e| self.unsynced(id, &e))?;

        if let Some(old) = growing.segment.take() {
            growing.news.push(News::Sealed { id: old.id, end: growing.end, group: self.group() });
        }
        growing.news.push(News::Created { id, mark });
        growing.end = record.len() as u64;
        self.files.lock().insert(id, Arc::clone(&file));
        let segment = Arc::new(Segment { id, mark, file, dirty: AtomicBool::new(true) });
        growing.segment = Some(Arc::clone(&segment));
        Ok(segment)
    }

    /// Writes into a place that was claimed.
    pub(crate) fn write(&self, segment: &Segment, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.writable()?;
        let written = segment.file.write_at(offset, bytes);
        // After the write: a sync that began before it must not count for it.
        segment.dirty.store(true, Ordering::Release);
        written.map_err(|e| self.failed("write", segment.id, &e))
    }

    /// Makes durable what was written into a segment before this call.
    pub(crate) fn sync(&self, segment: &Segment) -> Result<(), Error> {
        self.writable()?;
        if segment.dirty.swap(false, Ordering::AcqRel) {
            segment.file.sync().map_err(|e| self.unsynced(segment.id, &e))?;
        }
        Ok(())
    }

    /// What the index does not know yet, oldest first.
    pub(crate) fn news(&self) -> Vec<News> {
        self.growing.lock().news.clone()
    }

    /// The index knows the `count` oldest news now.
    pub(crate) fn told(&self, count: usize) {
        self.growing.lock().news.drain(..count);
    }

    /// The segments that nobody writes to any more, ascending.
    pub(crate) fn sealed(&self) -> Result<Vec<u32>, Error> {
        let growing = self.growing.lock().segment.as_ref().map(|segment| segment.id);
        let mut ids =
            list(&*self.disk, &self.dir).map_err(|e| Error::Io(format!("cannot list the segments: {e}").into()))?;
        ids.retain(|id| Some(*id) != growing);
        Ok(ids)
    }

    /// At the end: where the segment that grows has come to, if there is one.
    pub(crate) fn seal(&self) -> Option<News> {
        let mut growing = self.growing.lock();
        let (segment, end) = (growing.segment.take()?, growing.end);
        Some(News::Sealed { id: segment.id, end, group: self.group() })
    }

    /// A segment to read from.
    pub(crate) fn file(&self, id: u32) -> Result<Arc<dyn DiskFile>, Error> {
        if let Some(file) = self.files.lock().open.get(&id) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&self.dir.join(file_name(id))).map_err(|e| match e.kind() {
            ErrorKind::NotFound => Error::Damaged(format!("segment {id} is missing")),
            _ => Error::Io(format!("cannot open segment {id}: {e}").into()),
        })?;
        self.files.lock().insert(id, Arc::clone(&file));
        Ok(file)
    }

    /// A full disk is no reason to stop: what was to be written is dead space, and named by nobody.
    fn failed(&self, what: &str, id: u32, error: &io::Error) -> Error {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::Full,
            _ => self.stop(&format!("cannot {what} segment {id}: {error}")),
        }
    }

    /// After a failed sync nobody knows what is on the disk, and asking again may lie.
    fn unsynced(&self, id: u32, error: &io::Error) -> Error {
        self.stop(&format!("cannot sync segment {id}: {error}"))
    }
}

/// A few open files, the longest open given up first.
#[derive(Default)]
struct Files {
    open: HashMap<u32, Arc<dyn DiskFile>>,
    order: VecDeque<u32>,
}

impl Files {
    fn insert(&mut self, id: u32, file: Arc<dyn DiskFile>) {
        if self.open.insert(id, file).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > OPEN_FILES
            && let Some(oldest) = self.order.pop_front()
        {
            self.open.remove(&oldest);
        }
    }
}

/// How the file of a segment is called.
pub(crate) fn file_name(id: u32) -> String {
    format!("{id:010}.seg")
}

/// The numbers of the segments in a directory, ascending.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<u32>> {
    let names = disk.list(dir)?;
    let mut ids: Vec<u32> = names.iter().filter_map(|name| name.strip_suffix(".seg")?.parse().ok()).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// For marks: nobody outside can guess it.
fn random() -> u64 {
    // Where the system has no randomness left to give, marks are only as good as a counter.
    getrandom::u64().unwrap_or(0)
}
