//! Moves what has been committed from SQLite's write-ahead log to its file.
//!
//! A thread of its own does nearly all of it, beside readers and the writer. As the writer goes on
//! meanwhile, a last bit always remains, and the log can only begin anew when none does: this bit
//! the writer moves, between two groups.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

use rusqlite::{Connection, ErrorCode};

use super::figures::Counted;
use super::segments::Segments;

/// What the checkpoint thread and the writer tell each other.
#[derive(Default)]
pub(crate) struct Checkpoint {
    /// The writer shall move what remains.
    remains: AtomicBool,
}

impl Checkpoint {
    /// The checkpoint thread: moves when it is told to, and at the end.
    pub(crate) fn run(&self, connection: &Connection, segments: &Segments, wake: &Receiver<()>) {
        while wake.recv().is_ok() {
            step(connection, segments, "PRAGMA wal_checkpoint(PASSIVE)");
            self.remains.store(true, Ordering::Release);
        }
        // Unless a view is still open, the log is empty now.
        step(connection, segments, "PRAGMA wal_checkpoint(TRUNCATE)");
    }

    /// For the writer, between two groups.
    pub(crate) fn finish(&self, connection: &Connection, segments: &Segments) {
        if self.remains.swap(false, Ordering::AcqRel) {
            step(connection, segments, "PRAGMA wal_checkpoint(PASSIVE)");
        }
    }
}

/// Wakes the checkpoint thread each time that the log has grown by `every` pages; counts what is
/// written to the log, and to the file when the log begins anew: each page of it at most once.
pub(crate) fn wake_every(
    connection: &mut Connection,
    every: u32,
    wake: SyncSender<()>,
    counted: Arc<Counted>,
) -> rusqlite::Result<()> {
    const FRAME_HEADER: u64 = 24;
    let every = i32::try_from(every).unwrap_or(i32::MAX).max(1);
    let page: u64 = connection.query_row("PRAGMA page_size", [], |row| row.get::<_, u32>(0))?.into();
    let mut before = 0;
    connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
        let (moved, logged) = if pages >= before { (0, pages - before) } else { (before, pages) };
        let octets = |pages: i32, each: u64| u64::from(pages.max(0).cast_unsigned()) * each;
        counted.index.fetch_add(octets(moved, page) + octets(logged, page + FRAME_HEADER), Ordering::Relaxed);
        if pages / every > before / every {
            // Full means that it is awake.
            let _ = wake.try_send(());
        }
        before = pages;
        Ok(())
    }))
}

/// Moves what can be moved without waiting for anybody.
fn step(connection: &Connection, segments: &Segments, pragma: &str) {
    if segments.writable().is_err() {
        return;
    }
    if let Err(e) = connection.query_row(pragma, [], |_| Ok(())) {
        // A full disk or another checkpoint: the log keeps what could not be moved.
        let harmless = [ErrorCode::DiskFull, ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked];
        if !e.sqlite_error_code().is_some_and(|code| harmless.contains(&code)) {
            segments.stop(&format!("cannot move the log of the index into its file: {e}"));
        }
    }
}
