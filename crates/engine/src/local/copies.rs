//! Hot copies of the index: whole SQLite files in `copies/`, made while everything goes on.
//!
//! ```text
//! store/copies/0000000007.db  a copy; the largest number is the newest
//! store/copies/making.db      one that is being made, or was when the power went
//! ```
//!
//! * A copy shows one commit. It is read in one transaction, so neither readers nor the writer wait;
//!   the log of the index grows meanwhile.
//! * A copy gets its name once it was verified and synced. What cannot be verified is no copy, and the
//!   older ones stay: an index that rots must not push its last good copy out.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::segments::{Room, Segments};
use super::{Barrier, index};
use crate::Error;

/// When copies are made, and how many stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Copies {
    /// The time between two.
    pub every: Duration,
    /// The newest so many stay; at least one.
    pub keep: usize,
}

/// Pages of one step, and the pause after it: at most about 50 MB in a second.
const STEP: i32 = 64;
const PAUSE: Duration = Duration::from_millis(10);

const MAKING: &str = "making.db";

/// What makes the copies of a store.
pub(crate) struct Copier {
    pub(crate) store: PathBuf,
    pub(crate) segments: Arc<Segments>,
    pub(crate) barrier: Barrier,
    pub(crate) copies: Copies,
}

impl Copier {
    /// The thread that makes copies, until the other end of the channel goes.
    pub(crate) fn run(&self, end: &Receiver<()>) {
        let age = newest(&self.store).and_then(|copy| fs::metadata(copy).ok()?.modified().ok()?.elapsed().ok());
        let mut wait = self.copies.every.saturating_sub(age.unwrap_or(self.copies.every));
        let mut seen = None;
        while end.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            wait = self.copies.every;
            let goes_on = || end.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout);
            match self.make(&mut seen, goes_on) {
                Ok(Some(path)) => tracing::debug!(path = %path.display(), "the index was copied"),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "the index could not be copied; the older copies stay"),
            }
        }
    }

    /// Makes a copy, unless nothing has changed since `seen`, or it is told not to go on.
    pub(crate) fn make(&self, seen: &mut Option<u64>, goes_on: impl FnMut() -> bool) -> Result<Option<PathBuf>, Error> {
        self.barrier.flush()?;
        let source = index::open_reader(&self.store).map_err(index::error)?;
        let state = commits(&source)?;
        if *seen == Some(state) {
            return Ok(None);
        }
        let dir = dir(&self.store);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(|e| failed(&dir, &e))?;
        if self.segments.room()? < Room::Blobs {
            return Err(Error::Full);
        }
        let making = dir.join(MAKING);
        if !write(&source, &making, goes_on)? {
            return Ok(None);
        }
        let number = numbers(&self.store).last().map_or(1, |last| last + 1);
        let path = dir.join(file_name(number));
        fs::rename(&making, &path).and_then(|()| File::open(&dir)?.sync_all()).map_err(|e| failed(&path, &e))?;
        *seen = Some(state);
        self.prune()?;
        Ok(Some(path))
    }

    fn prune(&self) -> Result<(), Error> {
        let numbers = numbers(&self.store);
        let surplus = numbers.len().saturating_sub(self.copies.keep.max(1));
        for &number in numbers.iter().take(surplus) {
            let path = dir(&self.store).join(file_name(number));
            fs::remove_file(&path).map_err(|e| failed(&path, &e))?;
        }
        Ok(())
    }
}

/// Copies what `source` shows to the file `to`, verifies and syncs it; `false` where it was told not to
/// go on, and then there is no file.
pub(crate) fn write(source: &Connection, to: &Path, mut goes_on: impl FnMut() -> bool) -> Result<bool, Error> {
    match fs::remove_file(to) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(to, &e)),
        _ => {}
    }
    let done = write_new(source, to, &mut goes_on);
    if !matches!(done, Ok(true)) {
        // What is left of it is no copy; the next one begins by removing it.
        let _ = fs::remove_file(to);
    }
    done
}

fn write_new(source: &Connection, to: &Path, goes_on: &mut dyn FnMut() -> bool) -> Result<bool, Error> {
    // Held through all steps: without it every commit would make the copy begin anew.
    let transaction = source.unchecked_transaction().map_err(index::error)?;
    commits(&transaction)?;
    let mut target = Connection::open(to).map_err(index::error)?;
    // It is verified and synced as a whole at the end.
    target.pragma_update(None, "synchronous", "OFF").map_err(index::error)?;
    {
        let backup = Backup::new(&transaction, &mut target).map_err(index::error)?;
        while backup.step(STEP).map_err(index::error)? != StepResult::Done {
            if !goes_on() {
                return Ok(false);
            }
        }
    }
    drop(transaction);
    index::verify_all(&target)?;
    // One file, without a log of its own.
    target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).map_err(index::error)?;
    target.close().map_err(|(_, e)| index::error(e))?;
    File::open(to).and_then(|file| file.sync_all()).map_err(|e| failed(to, &e))?;
    Ok(true)
}

/// Changes with every commit.
fn commits(connection: &Connection) -> Result<u64, Error> {
    let sum = "SELECT ifnull(sum(number), 0) FROM account";
    connection.query_row(sum, [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned).map_err(index::error)
}

/// Up to which group of commits the newest copy has everything; `None` where there is none that says so.
pub(crate) fn covered(store: &Path) -> Option<u64> {
    let copy = Connection::open_with_flags(newest(store)?, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    index::flushed(&copy).ok()?
}

/// The newest copy of a store.
pub(crate) fn newest(store: &Path) -> Option<PathBuf> {
    all(store).into_iter().next()
}

/// The copies of a store, newest first.
pub(crate) fn all(store: &Path) -> Vec<PathBuf> {
    numbers(store).into_iter().rev().map(|number| dir(store).join(file_name(number))).collect()
}

fn dir(store: &Path) -> PathBuf {
    store.join("copies")
}

fn file_name(number: u64) -> String {
    format!("{number:010}.db")
}

/// Ascending.
fn numbers(store: &Path) -> Vec<u64> {
    let names =
        fs::read_dir(dir(store)).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut numbers: Vec<u64> = names.filter_map(|name| name.strip_suffix(".db")?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

fn failed(path: &Path, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full,
        _ => Error::Io(format!("{}: {error}", path.display()).into()),
    }
}
