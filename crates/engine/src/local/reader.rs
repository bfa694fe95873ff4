//! Read views: read transactions of SQLite on connections from a pool.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{CachedStatement, Connection, Row, ToSql};
use types::AccountId;

use super::blob::Stored;
use super::index::{self, Places, sql};
use super::segments::Segments;
use crate::{Blob, BlobId, CommitNumber, Each, Error, ReadView};

/// Connections for read views. When all are in use there is one more, for as long as it is needed.
///
/// What a view may name stays where it is for as long as the view is open: whoever wants to take
/// it away asks for a [`Readers::turn`] and waits until it has [ended](Readers::ended).
pub(crate) struct Readers {
    store: PathBuf,
    idle: Mutex<Vec<Connection>>,
    keep: usize,
    views: Mutex<Views>,
}

/// The read transactions that are open, by the era in which they began.
#[derive(Default)]
struct Views {
    era: u64,
    open: BTreeMap<u64, usize>,
}

impl Readers {
    /// `keep` connections stay open when nobody needs them.
    pub(crate) fn new(store: PathBuf, keep: usize) -> Self {
        Self { store, idle: Mutex::default(), keep, views: Mutex::default() }
    }

    /// Begins an era: whoever begins to read from now on sees all that is committed by now.
    pub(crate) fn turn(&self) -> u64 {
        let mut views = self.views.lock();
        views.era += 1;
        views.era
    }

    /// True when nobody reads any more who began before this era.
    pub(crate) fn ended(&self, era: u64) -> bool {
        self.views.lock().open.first_key_value().is_none_or(|(oldest, _)| *oldest >= era)
    }

    /// A connection in a read transaction, which begins with the first thing that it reads.
    pub(crate) fn begin(self: &Arc<Self>) -> Result<Reading, Error> {
        let mut reading = Reading { connection: None, readers: Arc::clone(self), era: self.enter() };
        let idle = self.idle.lock().pop();
        let connection = idle.map_or_else(|| index::open_reader(&self.store), Ok).map_err(index::error)?;
        execute(&connection, "BEGIN").map_err(index::error)?;
        reading.connection = Some(connection);
        Ok(reading)
    }

    fn enter(&self) -> u64 {
        let mut views = self.views.lock();
        let era = views.era;
        *views.open.entry(era).or_default() += 1;
        era
    }

    fn leave(&self, era: u64) {
        let mut views = self.views.lock();
        if let Entry::Occupied(mut open) = views.open.entry(era) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }

    /// Closes the connections that nobody uses.
    pub(crate) fn close(&self) {
        self.idle.lock().clear();
    }
}

/// A read transaction; its connection goes back to the pool at the end.
pub(crate) struct Reading {
    /// There until it is dropped.
    connection: Option<Connection>,
    readers: Arc<Readers>,
    /// When it began.
    era: u64,
}

impl Reading {
    pub(crate) fn prepare(&self, statement: &str) -> Result<CachedStatement<'_>, Error> {
        let connection = self.connection.as_ref().ok_or(rusqlite::Error::InvalidQuery);
        connection.and_then(|c| c.prepare_cached(statement)).map_err(index::error)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && execute(&connection, "COMMIT").is_ok()
        {
            let mut idle = self.readers.idle.lock();
            if idle.len() < self.readers.keep {
                idle.push(connection);
            }
        }
        self.readers.leave(self.era);
    }
}

fn execute(connection: &Connection, statement: &str) -> rusqlite::Result<usize> {
    connection.prepare_cached(statement)?.execute([])
}

/// One account as one commit left it.
pub(crate) struct View {
    reading: Reading,
    segments: Arc<Segments>,
    account: AccountId,
    number: CommitNumber,
}

impl View {
    pub(crate) fn new(reading: Reading, segments: Arc<Segments>, account: AccountId) -> Result<Self, Error> {
        let number = {
            let mut select = reading.prepare("SELECT number FROM account WHERE id = ?1")?;
            let mut rows = select.query([sql(account.0)]).map_err(index::error)?;
            let row = rows.next().map_err(index::error)?;
            row.map_or(Ok(0), |row| row.get::<_, i64>(0)).map_err(index::error)?.cast_unsigned()
        };
        Ok(Self { reading, segments, account, number: CommitNumber(number) })
    }

    /// Calls `each` with the verified keys and values of rows (key, form, hash, value).
    fn each(&self, statement: &str, params: &[&dyn ToSql], each: &mut Each<'_>) -> Result<(), Error> {
        let mut select = self.reading.prepare(statement)?;
        let mut rows = select.query(params).map_err(index::error)?;
        while let Some(row) = rows.next().map_err(index::error)? {
            let key = bytes(row, 0)?;
            let (form, hash) = form_and_hash(row, 1)?;
            let value = bytes(row, 3)?;
            index::verify(self.account, key, form, hash, value)?;
            if each(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The octets in a column.
pub(crate) fn bytes<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a [u8], Error> {
    let value = row.get_ref(column).map_err(index::error)?;
    value.as_bytes().map_err(|e| Error::Damaged(format!("the index ({e})")))
}

/// The form in a column and the hash in the next.
pub(crate) fn form_and_hash(row: &Row<'_>, column: usize) -> Result<(i64, i64), Error> {
    Ok((row.get(column).map_err(index::error)?, row.get(column + 1).map_err(index::error)?))
}

impl ReadView for View {
    fn commit_number(&self) -> CommitNumber {
        self.number
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let mut found = None;
        let statement = "SELECT key, form, hash, value FROM entry WHERE account = ?1 AND key = ?2";
        self.each(statement, &[&sql(self.account.0), &key], &mut |_, value| {
            found = Some(value.to_vec());
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn scan(&self, range: Range<&[u8]>, each: &mut Each<'_>) -> Result<(), Error> {
        let statement = "SELECT key, form, hash, value FROM entry
            WHERE account = ?1 AND key >= ?2 AND key < ?3 ORDER BY key";
        self.each(statement, &[&sql(self.account.0), &range.start, &range.end], each)
    }

    fn keys(&self, range: Range<&[u8]>, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Error> {
        let statement = "SELECT key FROM entry WHERE account = ?1 AND key >= ?2 AND key < ?3 ORDER BY key";
        let mut select = self.reading.prepare(statement)?;
        let params: [&dyn ToSql; 3] = [&sql(self.account.0), &range.start, &range.end];
        let mut rows = select.query(params).map_err(index::error)?;
        while let Some(row) = rows.next().map_err(index::error)? {
            if each(bytes(row, 0)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn last(&self, range: Range<&[u8]>) -> Result<Option<crate::Entry>, Error> {
        let mut found = None;
        let statement = "SELECT key, form, hash, value FROM entry
            WHERE account = ?1 AND key >= ?2 AND key < ?3 ORDER BY key DESC LIMIT 1";
        self.each(statement, &[&sql(self.account.0), &range.start, &range.end], &mut |key, value| {
            found = Some((key.to_vec(), value.to_vec()));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn blob(&self, id: BlobId) -> Result<Option<Arc<dyn Blob>>, Error> {
        let mut select = self.reading.prepare("SELECT form, hash, places FROM blob WHERE account = ?1 AND id = ?2")?;
        let mut rows = select.query([sql(self.account.0), sql(id.0)]).map_err(index::error)?;
        let Some(row) = rows.next().map_err(index::error)? else { return Ok(None) };
        let (form, hash) = form_and_hash(row, 0)?;
        let places = Places::from_row(self.account, id, form, hash, bytes(row, 2)?)?;
        Ok(Some(Arc::new(Stored::open(&self.segments, self.account, id, &places)?)))
    }

    fn blobs(&self) -> Result<Vec<BlobId>, Error> {
        let mut select = self.reading.prepare("SELECT id FROM blob WHERE account = ?1")?;
        let rows = select.query_map([sql(self.account.0)], |row| row.get::<_, i64>(0)).map_err(index::error)?;
        let ids: rusqlite::Result<Vec<_>> = rows.map(|id| Ok(BlobId(id?.cast_unsigned()))).collect();
        let mut ids = ids.map_err(index::error)?;
        // SQLite's integers have a sign.
        ids.sort_unstable();
        Ok(ids)
    }
}
