//! The one thread that writes to the index: it makes frozen layers part of it, and does the housekeeping.
//!
//! A layer goes in as one transaction, which says up to which group the index has everything now. It need
//! not be durable: until it is, the journal has the same. What needs it to be asks for it
//! ([`Indexer::settle`]); otherwise SQLite's log is moved to its file, and synced, when it has grown.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, params};
use types::AccountId;

use super::checkpoint;
use super::figures::Counted;
use super::index::{self, ESSENTIAL, Places, seal, sql};
use super::overlay::{Account, Layer, Step};
use super::reader::Readers;
use super::segments::{News, Segments};
use crate::{BlobId, Error};

/// What the thread is asked to do.
pub(crate) enum Order {
    /// To make a layer part of the index.
    Flush(Arc<Layer>),
    /// Housekeeping.
    Work(Work),
}

/// What the thread does when all that was committed before is in the index, or cannot be brought there.
pub(crate) type Work = Box<dyn FnOnce(&Indexer) + Send>;

/// The state of the thread.
pub(crate) struct Indexer {
    pub(crate) connection: Connection,
    pub(crate) segments: Arc<Segments>,
    pub(crate) readers: Arc<Readers>,
    pub(crate) counted: Arc<Counted>,
    /// Pages of SQLite's log after which they are moved to its file.
    pub(crate) checkpoint_pages: u32,
    /// What became of the last layer.
    pub(crate) flushed: Result<(), Error>,
}

/// By how many octets a change of the index changes what blobs use of each segment.
pub(crate) type Live = HashMap<u32, i64>;

impl Indexer {
    /// Until nobody can order any more; what was ordered is done. `done` is told of each layer what became of it.
    pub(crate) fn run(mut self, orders: &Receiver<Order>, done: &Sender<Result<(), Error>>) {
        while let Ok(order) = orders.recv() {
            // Who still reads the index as it was keeps SQLite from beginning its log anew.
            self.readers.rest();
            match order {
                Order::Flush(layer) => {
                    self.flushed = self.flush(&layer);
                    // And from moving all of it.
                    self.readers.rest();
                    // Who ordered it waits for it, or has ended.
                    let _ = done.send(self.flushed.clone());
                }
                Order::Work(work) => work(&self),
            }
            if self.counted.log.load(Ordering::Relaxed) >= self.checkpoint_pages {
                checkpoint::step(&self.connection, &self.segments, "PRAGMA wal_checkpoint(PASSIVE)");
            }
        }
        self.seal();
        self.readers.rest();
        // Unless a view is still open, the log is empty now; nobody waits for that view to end.
        let _ = self.connection.busy_timeout(Duration::ZERO);
        checkpoint::step(&self.connection, &self.segments, "PRAGMA wal_checkpoint(TRUNCATE)");
    }

    /// Makes a layer part of the index.
    pub(crate) fn flush(&self, layer: &Arc<Layer>) -> Result<(), Error> {
        let mut live = Live::new();
        let done = self
            .segments
            .writable()
            .and_then(|()| self.execute("BEGIN IMMEDIATE"))
            .and_then(|()| put_layer(&self.connection, layer, &mut live))
            .and_then(|()| index::set_flushed(&self.connection, Some(layer.last)).map_err(index::error))
            .and_then(|()| self.finish(live));
        self.settled(done)?;
        layer.unpin();
        Ok(())
    }

    /// Writes down what else has changed, and commits.
    pub(super) fn finish(&self, live: Live) -> Result<(), Error> {
        let news = self.segments.news();
        self.tell(&news)?;
        put_live(&self.connection, live)?;
        self.execute("COMMIT")?;
        self.segments.told(news.len());
        Ok(())
    }

    /// What a failure means: a full disk may have room again later, all else ends writing.
    pub(super) fn settled(&self, done: Result<(), Error>) -> Result<(), Error> {
        if let Err(error) = &done {
            let undone = self.roll_back();
            if !matches!(error, Error::Full | Error::ReadOnly(_)) || undone.is_err() {
                return Err(self.segments.stop(&error.to_string()));
            }
        }
        done
    }

    /// Tells the index which segments there are.
    fn tell(&self, news: &[News]) -> Result<(), Error> {
        for event in news {
            let done = match *event {
                News::Created { id, mark } => {
                    self.prepare("INSERT INTO segment (id, mark) VALUES (?1, ?2)")?.execute((id, sql(mark)))
                }
                News::Sealed { id, end, group } => self
                    .prepare("UPDATE segment SET end = ?2, last_group = ?3 WHERE id = ?1")?
                    .execute((id, sql(end), sql(group))),
            };
            done.map_err(index::error)?;
        }
        Ok(())
    }

    /// At an orderly end: the next start need not look for the end of the segments, nor for a journal in them.
    fn seal(&self) {
        if self.segments.writable().is_err() || self.flushed.is_err() {
            return;
        }
        let mut news = self.segments.news();
        news.extend(self.segments.seal());
        let nothing_later = "UPDATE segment SET last_group = (SELECT flushed FROM journal)
            WHERE last_group > (SELECT flushed FROM journal)";
        let done = self
            .execute("BEGIN IMMEDIATE")
            .and_then(|()| self.tell(&news))
            .and_then(|()| self.execute(nothing_later))
            .and_then(|()| self.execute("COMMIT"));
        if let Err(e) = done {
            // Harmless: the next start looks for it.
            tracing::warn!(%e, "could not write down where the last segment ends");
        }
    }

    fn roll_back(&self) -> Result<(), Error> {
        // After some errors SQLite has rolled back already.
        if self.connection.is_autocommit() { Ok(()) } else { self.execute("ROLLBACK") }
    }

    pub(super) fn prepare(&self, statement: &str) -> Result<rusqlite::CachedStatement<'_>, Error> {
        prepare(&self.connection, statement)
    }

    pub(super) fn execute(&self, statement: &str) -> Result<(), Error> {
        self.prepare(statement)?.execute([]).map(drop).map_err(index::error)
    }
}

/// Makes a layer part of an index, within a transaction.
pub(crate) fn put_layer(connection: &Connection, layer: &Layer, live: &mut Live) -> Result<(), Error> {
    let mut accounts: Vec<_> = layer.accounts.iter().collect();
    accounts.sort_unstable_by_key(|(id, _)| **id);
    accounts.into_iter().try_for_each(|(id, account)| put_account(connection, *id, account, live))
}

/// Notes what blobs use of segments.
pub(crate) fn put_live(connection: &Connection, live: Live) -> Result<(), Error> {
    let mut update = prepare(connection, "UPDATE segment SET live = live + ?2 WHERE id = ?1")?;
    live.into_iter().try_for_each(|change| update.execute(change).map(drop)).map_err(index::error)
}

fn put_account(connection: &Connection, account: AccountId, layer: &Account, live: &mut Live) -> Result<(), Error> {
    let id = sql(account.0);
    let mut number = prepare(connection, "REPLACE INTO account (id, number) VALUES (?1, ?2)")?;
    let mut replace = prepare(
        connection,
        "INSERT INTO entry VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (account, key)
            DO UPDATE SET form = excluded.form, hash = excluded.hash, value = excluded.value",
    )?;
    let mut delete = prepare(connection, "DELETE FROM entry WHERE account = ?1 AND key = ?2")?;
    layer.each(|step| {
        let done = match step {
            Step::Number(commit) => number.execute([id, sql(commit.0)]),
            Step::Clear => {
                let cleared = prepare(connection, "DELETE FROM entry WHERE account = ?1")?.execute([id]);
                return cleared.map_err(index::error).and_then(|_| remove_blobs(connection, account, None, live));
            }
            Step::Entry(key, None) => delete.execute(params![id, key]),
            Step::Entry(key, Some(value)) => {
                let hash = seal(account, key, value.form(), &value.bytes);
                replace.execute(params![id, key, value.form(), hash, value.bytes.as_slice()])
            }
            Step::Blob(blob, None) => return remove_blobs(connection, account, Some(blob), live),
            Step::Blob(blob, Some(places)) => return put_blob(connection, account, blob, places, live),
        };
        done.map(drop).map_err(index::error)
    })
}

fn put_blob(
    connection: &Connection,
    account: AccountId,
    blob: BlobId,
    places: &Places,
    live: &mut Live,
) -> Result<(), Error> {
    let mut insert = prepare(connection, "INSERT INTO blob VALUES (?1, ?2, ?3, ?4, ?5)")?;
    places.footprint().for_each(|(segment, octets)| *live.entry(segment).or_default() += octets.cast_signed());
    let places = places.encode();
    let hash = seal(account, &blob.0.to_be_bytes(), ESSENTIAL, &places);
    let row = params![sql(account.0), sql(blob.0), ESSENTIAL, hash, places];
    let inserted = match insert.execute(row) {
        // It was dropped and has come again, or the group is done once more after a crash.
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            remove_blobs(connection, account, Some(blob), live)?;
            insert.execute(row)
        }
        done => done,
    };
    inserted.map(drop).map_err(index::error)
}

/// Removes one blob or all of an account from the index; the octets they used become dead space.
fn remove_blobs(connection: &Connection, account: AccountId, id: Option<BlobId>, live: &mut Live) -> Result<(), Error> {
    let statement = match id {
        Some(_) => "DELETE FROM blob WHERE account = ?1 AND id = ?2 RETURNING id, form, hash, places",
        None => "DELETE FROM blob WHERE account = ?1 AND ?2 IS NULL RETURNING id, form, hash, places",
    };
    let mut delete = prepare(connection, statement)?;
    let mut rows = delete.query((sql(account.0), id.map(|id| sql(id.0)))).map_err(index::error)?;
    while let Some(row) = rows.next().map_err(index::error)? {
        let (id, form, hash, places): (i64, i64, i64, Vec<u8>) = row.try_into().map_err(index::error)?;
        match Places::from_row(account, BlobId(id.cast_unsigned()), form, hash, &places) {
            Ok(places) => {
                let gone = |(segment, bytes): (u32, u64)| *live.entry(segment).or_default() -= bytes.cast_signed();
                places.footprint().for_each(gone);
            }
            // Its octets count as used for ever: rather too much space than a body too few.
            Err(e) => tracing::warn!(%e, "a blob was removed without knowing where it was"),
        }
    }
    Ok(())
}

fn prepare<'a>(connection: &'a Connection, statement: &str) -> Result<rusqlite::CachedStatement<'a>, Error> {
    connection.prepare_cached(statement).map_err(index::error)
}
