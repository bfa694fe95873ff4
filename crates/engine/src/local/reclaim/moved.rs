//! What the thread of the index does for a reclaim.

use rusqlite::params;

use super::copy::Move;
use crate::Error;
use crate::local::index::{self, ESSENTIAL, seal, sql};
use crate::local::indexer::{Indexer, Live};

impl Indexer {
    /// Has the index name the new places of blobs, durably, or none of them. A blob that was
    /// dropped meanwhile stays dropped: its copy is dead space.
    pub(super) fn move_blobs(&self, moves: &[Move]) -> Result<(), Error> {
        self.segments.writable()?;
        let done = self.execute("BEGIN IMMEDIATE").and_then(|()| self.update_places(moves));
        self.settled(done)
    }

    fn update_places(&self, moves: &[Move]) -> Result<(), Error> {
        let mut live = Live::new();
        let mut update = self.prepare(
            "UPDATE blob SET form = ?3, hash = ?4, places = ?5 WHERE account = ?1 AND id = ?2 AND places = ?6",
        )?;
        for Move { account, id, from, to } in moves {
            let places = to.encode();
            let hash = seal(*account, &id.0.to_be_bytes(), ESSENTIAL, &places);
            let row = params![sql(account.0), sql(id.0), ESSENTIAL, hash, places, from.encode()];
            if update.execute(row).map_err(index::error)? == 1 {
                from.footprint()
                    .for_each(|(segment, octets)| *live.entry(segment).or_default() -= octets.cast_signed());
                to.footprint().for_each(|(segment, octets)| *live.entry(segment).or_default() += octets.cast_signed());
            }
        }
        self.finish(live)
    }

    /// Those of the segments in which nothing is alive, without the newest.
    pub(super) fn empty_segments(&self, ids: &[u32]) -> Result<Vec<u32>, Error> {
        let mut select =
            self.prepare("SELECT 1 FROM segment WHERE id = ?1 AND live = 0 AND id < (SELECT max(id) FROM segment)")?;
        let mut empty = Vec::new();
        for id in ids {
            if select.exists([id]).map_err(index::error)? {
                empty.push(*id);
            }
        }
        Ok(empty)
    }

    /// Moves all of SQLite's log into its file, and has that synced. `false` where a reader that
    /// began before the last commit is in the way.
    pub(super) fn settle(&self) -> Result<bool, Error> {
        self.segments.writable()?;
        let mut checkpoint = self.prepare("PRAGMA wal_checkpoint(PASSIVE)")?;
        // Whether somebody else is at it, pages in the log, pages moved.
        let (busy, log, moved): (i64, i64, i64) =
            checkpoint.query_row([], |row| row.try_into()).map_err(index::error)?;
        Ok(busy == 0 && log == moved)
    }

    /// The file of a segment is gone.
    pub(super) fn forget_segment(&self, id: u32) -> Result<(), Error> {
        self.segments.writable()?;
        let mut delete = self.prepare("DELETE FROM segment WHERE id = ?1 AND live = 0")?;
        let deleted = delete.execute([id]).map(drop).map_err(index::error);
        self.settled(deleted)
    }
}
