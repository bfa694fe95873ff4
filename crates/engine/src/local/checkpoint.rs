//! Moves what has been committed from SQLite's write-ahead log to its file.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, ErrorCode};

use super::figures::Counted;
use super::segments::Segments;

/// Counts what is written to the log, and to the file when the log begins anew: each page of it at most once.
pub(crate) fn count(connection: &mut Connection, counted: Arc<Counted>) -> rusqlite::Result<()> {
    const FRAME_HEADER: u64 = 24;
    let page: u64 = connection.query_row("PRAGMA page_size", [], |row| row.get::<_, u32>(0))?.into();
    connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
        let pages = pages.max(0).cast_unsigned();
        let before = counted.log.swap(pages, Ordering::Relaxed);
        let (moved, logged) = if pages >= before { (0, pages - before) } else { (before, pages) };
        let octets = u64::from(moved) * page + u64::from(logged) * (page + FRAME_HEADER);
        counted.index.fetch_add(octets, Ordering::Relaxed);
        Ok(())
    }))
}

/// Moves what can be moved without waiting for anybody.
pub(crate) fn step(connection: &Connection, segments: &Segments, pragma: &str) {
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
