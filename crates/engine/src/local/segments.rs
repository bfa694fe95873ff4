//! The segment files of a store: the one that grows, and the others to read from.
//!
//! * Space is given out under a lock, octets are written outside it: the writer of a group and the
//!   uploads of large blobs write into the same segment at the same time, each in its own place.
//! * A place is used once. What is not named by the index is dead space.
//! * While little is written at a time, the file is longer than what is in it ([`Open::make_room`]).
//! * Two segments may grow at a time: one takes what comes in, the other what is copied out of
//!   segments that are given up ([`Lane`]). What has lived long will live long, and is not mixed
//!   with what is new.
//! * After a failed write or sync nothing is written any more until the store is opened again.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use crate::Error;
use crate::disk::{Disk, DiskFile};
use crate::segment::{Content, HEADER_LEN, Record};

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
    /// Octets written so far.
    written: AtomicU64,
}

/// Which of the segments that grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lane {
    /// For bodies that come in.
    New,
    /// For bodies that are copied forward.
    Forward,
}

/// A segment that is, or was, written to by this process.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: u32,
    pub(crate) mark: u64,
    file: Arc<dyn DiskFile>,
    /// Something may not be durable yet.
    dirty: AtomicBool,
    /// Held during a sync: who finds that nothing is left to sync must not believe it before that is true.
    syncing: Mutex<()>,
}

struct Growing {
    new: Option<Open>,
    forward: Option<Open>,
    /// The number of the next segment.
    next: u32,
    news: Vec<News>,
    /// What this process has written to. As long as somebody holds a segment, what is in it may
    /// still be named.
    written: HashMap<u32, Weak<Segment>>,
}

struct Open {
    segment: Arc<Segment>,
    /// How much of it is given out.
    end: u64,
    /// Up to where zeros were written; behind that nothing is.
    zeros: u64,
    /// How many zeros come next, where little is written again.
    ahead: u64,
}

/// Octets that are little at a time: a sync of a file that grows costs two pages or three of the file system's journal.
const LITTLE: u64 = 16 << 10;

/// Octets that are written ahead: at first, and at most.
const AHEAD: Range<u64> = 4 << 10..256 << 10;

impl Open {
    /// Makes the file longer than it must be for the next `len` octets, where such a little is written time and again: a
    /// sync of octets that take the place of others is half the work of one that makes the file longer, whose length and
    /// blocks have to be written down as well. Whatever is much makes it longer itself. How many zeros were written.
    fn make_room(&mut self, len: u64, size: u64) -> io::Result<u64> {
        let from = self.zeros.max(self.end);
        if len > LITTLE {
            self.ahead = 0;
        }
        if len > LITTLE || self.end + len <= self.zeros {
            return Ok(0);
        }
        let to = (self.end + self.ahead).min(size).max(from);
        self.ahead = (self.ahead * 2).clamp(AHEAD.start, AHEAD.end);
        if to > from {
            self.segment.file.write_at(from, &vec![0; (to - from) as usize])?;
            self.zeros = to;
        }
        Ok(to - from)
    }

    /// Nothing more comes. The file gets as long as what is in it, if only for the sake of space.
    fn finish(&self) {
        if self.zeros > self.end
            && let Err(error) = self.segment.file.cut(self.end)
        {
            tracing::debug!(%error, "zeros stay behind segment {}", self.segment.id);
        }
    }
}

impl Growing {
    fn lane(&mut self, lane: Lane) -> &mut Option<Open> {
        match lane {
            Lane::New => &mut self.new,
            Lane::Forward => &mut self.forward,
        }
    }
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
            growing: Mutex::new(Growing { new: None, forward: None, next, news: Vec::new(), written: HashMap::new() }),
            files: Mutex::default(),
            stopped: OnceLock::new(),
            group: AtomicU64::new(group),
            uploads: AtomicU64::new(random()),
            written: AtomicU64::new(0),
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

    /// Where the files are.
    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// The file of a segment.
    pub(crate) fn path(&self, id: u32) -> PathBuf {
        self.dir.join(file_name(id))
    }

    /// What the disk has room for at the moment.
    pub(crate) fn room(&self) -> Result<Room, Error> {
        Ok(match self.free()? {
            free if free >= self.reserve => Room::Blobs,
            free if free >= self.reserve / 4 => Room::Keys,
            _ => Room::Nothing,
        })
    }

    /// Octets that copies may take, which are there before what they are copied from is gone.
    pub(crate) fn room_for_copies(&self) -> Result<u64, Error> {
        Ok(self.free()?.saturating_sub(self.reserve / 4))
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
    pub(crate) fn claim(&self, lane: Lane, len: u64) -> Result<(Arc<Segment>, u64), Error> {
        self.writable()?;
        let mut growing = self.growing.lock();
        let fits = |open: &Open| open.end.saturating_add(len) <= self.size;
        if !growing.lane(lane).as_ref().is_some_and(fits) {
            self.begin(&mut growing, lane)?;
        }
        let Some(open) = growing.lane(lane) else { return Err(Error::Io("no segment has begun".into())) };
        if lane == Lane::New {
            let zeros = open.make_room(len, self.size).map_err(|e| self.failed("write", open.segment.id, &e))?;
            self.written.fetch_add(zeros, Ordering::Relaxed);
        }
        let offset = open.end;
        open.end += len;
        Ok((Arc::clone(&open.segment), offset))
    }

    /// Begins a segment: a file with its first record, its name durable.
    fn begin(&self, growing: &mut Growing, lane: Lane) -> Result<(), Error> {
        let (id, mark) = (growing.next, random());
        let path = self.path(id);
        // A file that could not be begun keeps its number: it is never written to again.
        growing.next += 1;
        let mut record = Vec::new();
        Record { mark, group: self.group(), content: Content::Segment { id } }.encode(0, &mut record);
        let file = self.disk.create(&path).map_err(|e| self.failed("create", id, &e))?;
        file.write_at(0, &record).map_err(|e| self.failed("write", id, &e))?;
        self.disk.sync_dir(&self.dir).map_err(|e| self.unsynced(id, &e))?;

        let end = record.len() as u64;
        self.written.fetch_add(end, Ordering::Relaxed);
        self.files.lock().insert(id, Arc::clone(&file));
        let segment = Arc::new(Segment { id, mark, file, dirty: AtomicBool::new(true), syncing: Mutex::default() });
        growing.written.retain(|_, segment| segment.strong_count() > 0);
        growing.written.insert(id, Arc::downgrade(&segment));
        let old = growing.lane(lane).replace(Open { segment, end, zeros: end, ahead: 0 });
        growing.news.extend(old.map(|old| self.seal_of(&old)));
        growing.news.push(News::Created { id, mark });
        Ok(())
    }

    fn seal_of(&self, open: &Open) -> News {
        open.finish();
        News::Sealed { id: open.segment.id, end: open.end, group: self.group() }
    }

    /// Appends a record of a content that depends on where its body begins: `content` is told
    /// segment and offset. Gives the segment and where the record begins.
    pub(crate) fn append(
        &self,
        lane: Lane,
        meta_len: usize,
        body: &[u8],
        content: impl FnOnce(u32, u64) -> Content,
    ) -> Result<(Arc<Segment>, u64), Error> {
        let head = HEADER_LEN + meta_len;
        let (segment, offset) = self.claim(lane, (head + body.len()) as u64)?;
        let content = content(segment.id, offset + head as u64);
        let mut bytes = Vec::with_capacity(head + body.len());
        let group = match lane {
            Lane::New => self.group(),
            // A copy is no news: without it nothing would be forgotten.
            Lane::Forward => 0,
        };
        Record { mark: segment.mark, group, content }.encode(body.len() as u32, &mut bytes);
        bytes.extend_from_slice(body);
        self.write(&segment, offset, &bytes)?;
        Ok((segment, offset))
    }

    /// The segment that takes what comes in, and how much of it is given out.
    pub(crate) fn incoming(&self) -> Option<(u32, u64)> {
        self.growing.lock().new.as_ref().map(|open| (open.segment.id, open.end))
    }

    /// Ends the segment that takes what comes in, and begins another.
    pub(crate) fn roll(&self) -> Result<(), Error> {
        self.writable()?;
        self.begin(&mut self.growing.lock(), Lane::New)
    }

    /// True while something in the segment may still be named: it grows, or holds pieces of an
    /// upload that is under way.
    pub(crate) fn is_pinned(&self, id: u32) -> bool {
        self.growing.lock().written.get(&id).is_some_and(|segment| segment.strong_count() > 0)
    }

    /// Writes into a place that was claimed.
    pub(crate) fn write(&self, segment: &Segment, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.writable()?;
        let written = segment.file.write_at(offset, bytes);
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        // After the write: a sync that began before it must not count for it.
        segment.dirty.store(true, Ordering::Release);
        written.map_err(|e| self.failed("write", segment.id, &e))
    }

    /// Makes durable what was written into a segment before this call.
    pub(crate) fn sync(&self, segment: &Segment) -> Result<(), Error> {
        self.writable()?;
        let _syncing = segment.syncing.lock();
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
        let growing = {
            let growing = self.growing.lock();
            [&growing.new, &growing.forward].map(|open| open.as_ref().map(|open| open.segment.id))
        };
        let mut ids =
            list(&*self.disk, &self.dir).map_err(|e| Error::Io(format!("cannot list the segments: {e}").into()))?;
        ids.retain(|id| !growing.contains(&Some(*id)));
        Ok(ids)
    }

    /// At the end: where the segments that grow have come to.
    pub(crate) fn seal(&self) -> Vec<News> {
        let mut growing = self.growing.lock();
        let open = [growing.new.take(), growing.forward.take()];
        open.iter().flatten().map(|open| self.seal_of(open)).collect()
    }

    /// Octets that segments which still grow have given out.
    pub(crate) fn growing(&self) -> u64 {
        let growing = self.growing.lock();
        [&growing.new, &growing.forward].into_iter().flatten().map(|open| open.end).sum()
    }

    /// Octets written so far by this process.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Octets of disk that new bodies leave free.
    pub(crate) fn reserve(&self) -> u64 {
        self.reserve
    }

    /// Octets of disk that are free.
    pub(crate) fn free(&self) -> Result<u64, Error> {
        self.disk.free(&self.dir).map_err(|e| Error::Io(format!("cannot ask for free space: {e}").into()))
    }

    /// Takes a segment away that nobody refers to any more. Who reads it goes on reading.
    pub(crate) fn remove(&self, id: u32) -> Result<(), Error> {
        self.files.lock().remove(id);
        match self.disk.remove(&self.path(id)) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(Error::Io(format!("cannot remove segment {id}: {e}").into()))
            }
            _ => self.disk.sync_dir(&self.dir).map_err(|e| self.unsynced(id, &e)),
        }
    }

    /// Puts a segment that nobody refers to any more, and that is damaged, beside the others.
    pub(crate) fn set_aside(&self, id: u32) -> Result<(), Error> {
        self.files.lock().remove(id);
        let (name, aside) = (file_name(id), self.dir.with_file_name("damaged"));
        let moved = self.disk.create_dir(&aside);
        match moved.and_then(|()| self.disk.rename(&self.dir.join(&name), &aside.join(&name))) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(Error::Io(format!("cannot move segment {id} aside: {e}").into()))
            }
            _ => {
                let synced = self.disk.sync_dir(&aside).and_then(|()| self.disk.sync_dir(&self.dir));
                synced.map_err(|e| self.unsynced(id, &e))
            }
        }
    }

    /// A segment to read from.
    pub(crate) fn file(&self, id: u32) -> Result<Arc<dyn DiskFile>, Error> {
        if let Some(file) = self.files.lock().open.get(&id) {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&self.path(id)).map_err(|e| match e.kind() {
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

    fn remove(&mut self, id: u32) {
        self.open.remove(&id);
        self.order.retain(|open| *open != id);
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
pub(crate) fn random() -> u64 {
    // Where the system has no randomness left to give, marks are only as good as a counter.
    getrandom::u64().unwrap_or(0)
}
