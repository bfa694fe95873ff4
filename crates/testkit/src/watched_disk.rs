//! The disk of the operating system, of which we know at any moment what a power cut would leave.
//!
//! Where files are written by others as well (SQLite writes its own), [`crate::fault_disk`] cannot stand in for the
//! disk. This one passes everything on to real files, and keeps beside them what was synced: the octets of a file at its last
//! sync, the names of a directory at its last sync. What the others have written counts as not synced until somebody syncs it here.
//!
//! The power goes at a chosen changing call: it fails and so does every one after it, and [`WatchedDisk::after_cut`] makes
//! a directory as it may be found then: what was not synced is there wholly, in part or not at all. Or one call fails, and
//! everything goes on. Directories count as durable.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Error};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::disk::{Disk, DiskFile, RealDisk};
use parking_lot::Mutex;

use crate::fault_disk::Random;

/// See the module's description. Clones are the same disk.
#[derive(Clone)]
pub struct WatchedDisk(Arc<Mutex<State>>);

struct State {
    random: Random,
    /// Changing calls so far.
    operations: u64,
    cut_at: Option<u64>,
    fail_at: Option<u64>,
    power: bool,
    /// Which file has a name, durably. A directory that was never synced has no names here.
    names: BTreeMap<PathBuf, u64>,
    /// What files have, durably. They stay open so that no other file gets their number.
    files: BTreeMap<u64, (File, Vec<u8>)>,
}

impl WatchedDisk {
    /// `seed` decides what becomes of what is not synced.
    pub fn new(seed: u64) -> Self {
        let (names, files) = (BTreeMap::new(), BTreeMap::new());
        let random = Random::new(seed);
        Self(Arc::new(Mutex::new(State {
            random,
            operations: 0,
            cut_at: None,
            fail_at: None,
            power: true,
            names,
            files,
        })))
    }

    /// Everything that is in `root` counts as durable.
    pub fn settle(&self, root: &Path) -> io::Result<()> {
        let mut live = BTreeMap::new();
        walk(root, &mut live)?;
        let mut state = self.0.lock();
        for (path, inode) in live {
            state.files.insert(inode, (File::open(&path)?, fs::read(&path)?));
            state.names.insert(path, inode);
        }
        Ok(())
    }

    /// The power is back, and no call fails any more.
    pub fn heal(&self) {
        let mut state = self.0.lock();
        (state.cut_at, state.fail_at, state.power) = (None, None, true);
    }

    /// The power goes with the changing call that is the `n`th from now (from 1).
    pub fn cut_after(&self, n: u64) {
        let mut state = self.0.lock();
        state.cut_at = Some(state.operations + n);
    }

    /// The changing call that is the `n`th from now (from 1) fails, and nothing else.
    pub fn fail_after(&self, n: u64) {
        let mut state = self.0.lock();
        state.fail_at = Some(state.operations + n);
    }

    /// True after the power has gone.
    pub fn is_cut(&self) -> bool {
        !self.0.lock().power
    }

    /// True after the call has failed that shall.
    pub fn has_failed(&self) -> bool {
        let state = self.0.lock();
        state.fail_at.is_some_and(|at| at <= state.operations)
    }

    /// What is in `root` when the power is back, in the new directory `to`.
    pub fn after_cut(&self, root: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        let mut live = BTreeMap::new();
        walk(root, &mut live)?;
        let durable = state.names.iter().filter(|(path, _)| path.starts_with(root));
        let durable: BTreeMap<PathBuf, u64> = durable.map(|(path, inode)| (path.clone(), *inode)).collect();
        let paths: BTreeSet<&PathBuf> = live.keys().chain(durable.keys()).collect();
        fs::create_dir_all(to)?;
        for path in paths {
            let target = to.join(path.strip_prefix(root).map_err(Error::other)?);
            target.parent().map_or(Ok(()), fs::create_dir_all)?;
            let (now, then) = (live.get(path), durable.get(path));
            let inode = if now == then || state.random.chance(2) { now } else { then };
            // Which of its names is live does not matter for what a file has.
            let Some(inode) = inode else { continue };
            let octets = state.octets_after_cut(*inode, &live)?;
            fs::write(target, octets)?;
        }
        Ok(())
    }

    /// Counts a changing call; says no when the power is off or the call shall fail.
    fn change(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        state.operations += 1;
        if state.cut_at.is_some_and(|at| at <= state.operations) {
            state.power = false;
        }
        if !state.power {
            return Err(Error::other("the power is off"));
        }
        if state.fail_at == Some(state.operations) {
            return Err(Error::other("an error that was asked for"));
        }
        Ok(())
    }

    fn watch(&self, file: File) -> Arc<dyn DiskFile> {
        Arc::new(WatchedFile { disk: self.clone(), file })
    }
}

impl State {
    /// A file after the cut: as it was synced, as it is now, or something between.
    fn octets_after_cut(&mut self, inode: u64, live: &BTreeMap<PathBuf, u64>) -> io::Result<Vec<u8>> {
        let synced = self.files.get(&inode).map(|(_, octets)| octets.clone());
        let path = live.iter().find(|(_, other)| **other == inode).map(|(path, _)| path);
        let now = path.map(fs::read).transpose()?;
        let (Some(mut now), was) = (now.clone(), synced.unwrap_or_default()) else {
            return Ok(self.files.get(&inode).map(|(_, octets)| octets.clone()).unwrap_or_default());
        };
        if now == was {
            return Ok(now);
        }
        match self.random.below(4) {
            0 => Ok(was),
            1 => Ok(now),
            // The file has its length already, and not yet what follows.
            2 => {
                let from = was.len() + self.random.below((now.len().saturating_sub(was.len()) + 1) as u64) as usize;
                now.get_mut(from..).unwrap_or_default().fill(0);
                Ok(now)
            }
            _ => {
                now.truncate(was.len().max(self.random.below(now.len() as u64 + 1) as usize));
                Ok(now)
            }
        }
    }
}

fn walk(dir: &Path, found: &mut BTreeMap<PathBuf, u64>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let (path, metadata) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
        if metadata.is_dir() {
            walk(&path, found)?;
        } else {
            found.insert(path, metadata.ino());
        }
    }
    Ok(())
}

impl Disk for WatchedDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.change()?;
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        Ok(self.watch(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.watch(File::open(path)?))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change()?;
        RealDisk.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change()?;
        RealDisk.link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change()?;
        RealDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change()?;
        let mut state = self.0.lock();
        state.names.retain(|path, _| path.parent() != Some(dir));
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_file() {
                state.names.insert(entry.path(), metadata.ino());
                // Empty until it is synced; open from now on.
                let file = File::open(entry.path())?;
                state.files.entry(metadata.ino()).or_insert((file, Vec::new()));
            }
        }
        Ok(())
    }

    fn free(&self, dir: &Path) -> io::Result<u64> {
        RealDisk.free(dir)
    }
}

struct WatchedFile {
    disk: WatchedDisk,
    file: File,
}

impl DiskFile for WatchedFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.change()?;
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.change()?;
        let mut octets = vec![0; usize::try_from(self.file.len()?).map_err(Error::other)?];
        self.file.read_at(0, &mut octets)?;
        let inode = self.file.metadata()?.ino();
        self.disk.0.lock().files.insert(inode, (self.file.try_clone()?, octets));
        Ok(())
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.disk.change()?;
        self.file.cut(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

impl fmt::Debug for WatchedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WatchedDisk")
    }
}

impl fmt::Debug for WatchedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WatchedFile({:?})", self.file)
    }
}
