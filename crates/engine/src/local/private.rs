//! A store on a file system that may only be read.
//!
//! Its index is copied into a private directory elsewhere, and there everything happens as always: SQLite's log is
//! played, a lost or damaged index is made again, commits put back what was forgotten. What would be written to segments is
//! written there, too; the segments of the store are read where they are. When the store is as it should be, writing ends.
//! The directory goes with the process; nothing of it comes back into the store.

use std::env;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::segments::random;
use super::{OpenError, Options, Reclaim, index, witness};
use crate::disk::{Disk, DiskFile};

/// Why nothing is written, and what to do.
pub(crate) const REASON: &str = "its file system may only be read: make it writable, then start again";

/// The directory; it goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Private {
    dir: PathBuf,
    /// Whoever writes into the store by another way than this file system has this file locked.
    _lock: Option<File>,
}

impl Private {
    /// Makes the directory for the store in `store`, where a copy of its index has room.
    pub(crate) fn new(store: &Path) -> Result<Self, OpenError> {
        let store = store.canonicalize()?;
        let lock = share(&store)?;
        let dir = env::temp_dir().join(format!("pillarbox-{:016x}", random()));
        let made = DirBuilder::new().mode(0o700).create(&dir);
        let private = Self { dir, _lock: lock };
        let filled = made.and_then(|()| private.fill(&store));
        filled.map_err(|error| OpenError::Private { dir: private.dir.clone(), error })?;
        tracing::warn!(
            store = %store.display(), index = %private.dir.display(),
            "the file system of the store may only be read: mail can be read, nothing can be changed; \
             the index is used as a copy in a directory that goes at the end"
        );
        Ok(private)
    }

    fn fill(&self, store: &Path) -> io::Result<()> {
        let index = index::path(store);
        for from in [witness::path(store), index.with_extension("db-wal"), index] {
            let copied = from.file_name().map_or(Ok(0), |name| fs::copy(&from, self.dir.join(name)));
            copied.map(drop).or_else(|e| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e) })?;
        }
        symlink(store.join("copies"), self.dir.join("copies"))?;
        symlink(store.join("segments"), self.dir.join(BELOW))
    }

    /// The directory, which is a store of its own.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// How that is kept.
    pub(crate) fn options(&self, options: Options) -> Options {
        let disk = Layered { disk: options.disk, above: self.dir.join("segments"), below: self.dir.join(BELOW) };
        let disk = Arc::new(disk);
        let reclaim = Reclaim { every: None, ..options.reclaim };
        Options { disk, reclaim, reserve: 0, copies: None, ..options }
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(%error, dir = %self.dir.display(), "the copy of the index could not be removed");
        }
    }
}

/// Where the segments of the store are found.
const BELOW: &str = "segments-of-the-store";

/// Keeps writers away who see the same files by another mount.
fn share(store: &Path) -> Result<Option<File>, OpenError> {
    let file = match File::open(store.join("lock")) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(store.to_owned())),
        Err(TryLockError::Error(e)) => Err(e.into()),
    }
}

/// A disk on which the directory `above` seems to have what the directory `below` has as well.
#[derive(Debug)]
struct Layered {
    disk: Arc<dyn Disk>,
    above: PathBuf,
    below: PathBuf,
}

impl Layered {
    /// What a path stands for that is not there above.
    fn lower(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.above).ok().map(|name| self.below.join(name))
    }

    /// Does something with a path, or with what it stands for.
    fn either<T>(&self, path: &Path, act: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
        match (act(path), self.lower(path)) {
            (Err(e), Some(lower)) if e.kind() == ErrorKind::NotFound => act(&lower),
            (done, _) => done,
        }
    }
}

impl Disk for Layered {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.either(path, |path| self.disk.open(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = self.disk.list(dir)?;
        if dir == self.above {
            names.extend(self.disk.list(&self.below)?);
        }
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.either(from, |from| self.disk.link(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn free(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free(dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn only_one_directory_seems_to_have_what_another_has() {
        let dir = tempfile::tempdir().unwrap();
        let [above, below, other] = ["above", "below", "other"].map(|name| dir.path().join(name));
        for place in [&above, &below, &other] {
            fs::create_dir(place).unwrap();
        }
        fs::write(below.join("1.seg"), "lower").unwrap();
        fs::write(above.join("2.seg"), "upper").unwrap();
        let disk = Layered { disk: Arc::new(RealDisk), above: above.clone(), below };
        let mut names = disk.list(&above).unwrap();
        names.sort();
        assert_eq!(names, ["1.seg", "2.seg"]);
        assert_eq!(disk.open(&above.join("1.seg")).unwrap().len().unwrap(), 5);
        disk.link(&above.join("1.seg"), &other.join("3.seg")).unwrap();
        // A backup is not mixed up with the store.
        assert_eq!(disk.list(&other).unwrap(), ["3.seg"]);
        assert!(disk.open(&other.join("1.seg")).is_err());
        assert!(disk.open(&above.join("4.seg")).is_err());
    }
}
