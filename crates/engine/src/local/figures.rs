//! Figures of a store: what is in it, and what this process has written.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::index;
use super::reader::Reading;
use super::reclaim::Shared;
use super::segments::Segments;
use crate::{Error, Figures};

/// What the threads that write count.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Octets of blobs that were committed.
    pub(crate) bodies: AtomicU64,
    /// Octets written to the index.
    pub(crate) index: AtomicU64,
    /// Pages that are in SQLite's log.
    pub(crate) log: AtomicU32,
}

/// As the last commit left it.
pub(crate) fn figures(
    reading: &Reading,
    segments: &Segments,
    counted: &Counted,
    reclaim: &Shared,
) -> Result<Figures, Error> {
    let mut select = reading.prepare("SELECT count(*), ifnull(sum(live), 0), ifnull(sum(end), 0) FROM segment")?;
    let (count, live, sealed): (i64, i64, i64) = select.query_row([], |row| row.try_into()).map_err(index::error)?;
    let mut select = reading.prepare("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")?;
    let file: i64 = select.query_row([], |row| row.get(0)).map_err(index::error)?;
    let (live, total) = (live.max(0).cast_unsigned(), sealed.max(0).cast_unsigned() + segments.growing());
    let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
    Ok(Figures {
        live,
        dead: total.saturating_sub(live),
        segments: count.cast_unsigned(),
        index: file.cast_unsigned(),
        free: segments.free().ok(),
        reserve: segments.reserve(),
        bodies: get(&counted.bodies),
        segments_written: segments.written(),
        index_written: get(&counted.index),
        copied: get(&reclaim.copied),
        reclaimed: get(&reclaim.reclaimed),
        waiting: get(&reclaim.waiting),
    })
}
