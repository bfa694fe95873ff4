//! Read views: read transactions of SQLite on connections from a pool, and what lies over them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::{Bound, ControlFlow, Range};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{CachedStatement, Connection, Row};
use types::AccountId;

use super::blob::Stored;
use super::index::{self, Places, sql};
use super::overlay::{Over, Overlay};
use super::segments::Segments;
use crate::{Blob, BlobId, CommitNumber, Each, Error, ReadView};

/// Connections for read views. When all are in use there is one more, for as long as it is needed.
///
/// What a view may name stays where it is for as long as the view is open: whoever wants to take
/// it away asks for a [`Readers::turn`] and waits until it has [ended](Readers::ended).
///
/// To begin and to end a transaction costs more than to look for a key. So a view leaves its transaction open for the
/// next one, until the index changes ([`Readers::rest`]).
pub(crate) struct Readers {
    store: PathBuf,
    idle: Mutex<Idle>,
    keep: usize,
    views: Mutex<Views>,
}

/// What nobody uses at the moment.
#[derive(Default)]
struct Idle {
    /// How often the index has changed, or was about to.
    changes: u64,
    connections: Vec<Connection>,
    /// In a transaction of a time since which the index has not changed.
    open: Vec<Transaction>,
}

/// A read transaction.
struct Transaction {
    connection: Connection,
    /// When it began, for [`Readers::ended`].
    era: u64,
    /// The changes of the index before it began.
    changes: u64,
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
        let era = {
            let mut views = self.views.lock();
            views.era += 1;
            views.era
        };
        self.rest();
        era
    }

    /// True when nobody reads any more who began before this era.
    pub(crate) fn ended(&self, era: u64) -> bool {
        self.views.lock().open.first_key_value().is_none_or(|(oldest, _)| *oldest >= era)
    }

    /// The index changes: no transaction stays open that nobody uses.
    pub(crate) fn rest(&self) {
        let open = {
            let mut idle = self.idle.lock();
            idle.changes += 1;
            std::mem::take(&mut idle.open)
        };
        open.into_iter().for_each(|transaction| self.end(transaction));
    }

    /// A connection in a read transaction, which begins with the first thing that it reads.
    pub(crate) fn begin(self: &Arc<Self>) -> Result<Reading, Error> {
        let transaction = Some(self.transaction()?);
        Ok(Reading { transaction, readers: Arc::clone(self), stays: false })
    }

    /// The same, for a view: the transaction may have begun earlier, and stays open.
    fn resume(self: &Arc<Self>) -> Result<Reading, Error> {
        let open = self.idle.lock().open.pop();
        let transaction = Some(open.map_or_else(|| self.transaction(), Ok)?);
        Ok(Reading { transaction, readers: Arc::clone(self), stays: true })
    }

    fn transaction(&self) -> Result<Transaction, Error> {
        let (idle, changes) = {
            let mut idle = self.idle.lock();
            (idle.connections.pop(), idle.changes)
        };
        let connection = idle.map_or_else(|| index::open_reader(&self.store), Ok).map_err(index::error)?;
        execute(&connection, "BEGIN").map_err(index::error)?;
        Ok(Transaction { connection, era: self.enter(), changes })
    }

    /// Takes back what the next view may go on with.
    fn put(&self, transaction: Transaction) {
        {
            let mut idle = self.idle.lock();
            // What has failed may have ended it.
            let whole = !transaction.connection.is_autocommit();
            if whole && transaction.changes == idle.changes && idle.open.len() < self.keep {
                idle.open.push(transaction);
                return;
            }
        }
        self.end(transaction);
    }

    fn end(&self, Transaction { connection, era, .. }: Transaction) {
        if execute(&connection, "COMMIT").is_ok() {
            let mut idle = self.idle.lock();
            if idle.connections.len() < self.keep {
                idle.connections.push(connection);
            }
        }
        self.leave(era);
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
        self.rest();
        self.idle.lock().connections.clear();
    }
}

/// A read transaction; its connection goes back to the pool at the end.
pub(crate) struct Reading {
    /// There until it is dropped.
    transaction: Option<Transaction>,
    readers: Arc<Readers>,
    /// Whether it is left open.
    stays: bool,
}

impl Reading {
    pub(crate) fn prepare(&self, statement: &str) -> Result<CachedStatement<'_>, Error> {
        let transaction = self.transaction.as_ref().ok_or(rusqlite::Error::InvalidQuery);
        transaction.and_then(|open| open.connection.prepare_cached(statement)).map_err(index::error)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        match self.transaction.take() {
            Some(transaction) if self.stays => self.readers.put(transaction),
            Some(transaction) => self.readers.end(transaction),
            None => {}
        }
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
    over: Over,
}

/// How often a view begins again, because more than one layer went to the index while it began.
const ATTEMPTS: usize = 100;

impl View {
    /// Without an overlay, the index says everything itself.
    pub(crate) fn begin(
        readers: &Arc<Readers>,
        segments: &Arc<Segments>,
        overlay: Option<&Overlay>,
        account: AccountId,
    ) -> Result<Self, Error> {
        for attempt in 0..ATTEMPTS {
            // What lies over the index says whether a transaction is too old.
            let reading = if overlay.is_some() && attempt == 0 { readers.resume() } else { readers.begin() }?;
            let (flushed, number) = state(&reading, account, overlay.is_some())?;
            let over = match overlay {
                Some(overlay) => overlay.over(flushed, account, number),
                None => Some(Over::nothing(number)),
            };
            if let Some(over) = over {
                return Ok(Self { reading, segments: Arc::clone(segments), account, over });
            }
        }
        Err(Error::Io("a view could not begin: the index changes all the time".into()))
    }

    /// Calls `each` with the keys in `range` in order, each with the octets that `value` finds in a row, or with
    /// what lies over it, until it breaks. The rows have the key first.
    fn each(
        &self,
        statement: &str,
        Range { start, end }: Range<&[u8]>,
        value: impl for<'a> Fn(&'a Row<'_>) -> Result<&'a [u8], Error>,
        each: &mut Each<'_>,
    ) -> Result<(), Error> {
        let mut at: Bound<Vec<u8>> = Bound::Included(start.to_vec());
        // What of the layers comes before a row, or before the end.
        let mut over = |before: &[u8], each: &mut Each<'_>| {
            while let Some((key, value)) = self.over.first(at.as_ref().map(Vec::as_slice), before) {
                at = Bound::Excluded(key.to_vec());
                if each(&key, &value.bytes).is_break() {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        };
        if !self.over.hides_index() {
            let mut select = self.reading.prepare(statement)?;
            let mut rows = select.query((sql(self.account.0), start, end)).map_err(index::error)?;
            while let Some(row) = rows.next().map_err(index::error)? {
                let key = bytes(row, 0)?;
                if over(key, each).is_break() {
                    return Ok(());
                }
                if self.over.entry(key).is_none() && each(key, value(row)?).is_break() {
                    return Ok(());
                }
            }
        }
        // Broken or not, it is the end.
        let _ = over(end, each);
        Ok(())
    }

    /// The value in a row (key, form, hash, value).
    fn verified<'a>(&self, row: &'a Row<'_>) -> Result<&'a [u8], Error> {
        let (form, hash) = form_and_hash(row, 1)?;
        let value = bytes(row, 3)?;
        index::verify(self.account, bytes(row, 0)?, form, hash, value)?;
        Ok(value)
    }
}

/// Up to which group the index of a reading has everything, and at which commit an account is there.
fn state(reading: &Reading, account: AccountId, journaled: bool) -> Result<(u64, CommitNumber), Error> {
    // A backup may be of a format that has no journal.
    let statement = if journaled {
        "SELECT (SELECT flushed FROM journal), (SELECT number FROM account WHERE id = ?1)"
    } else {
        "SELECT NULL, (SELECT number FROM account WHERE id = ?1)"
    };
    let mut select = reading.prepare(statement)?;
    let row = select.query_row([sql(account.0)], |row| row.try_into()).map_err(index::error)?;
    let (flushed, number): (Option<i64>, Option<i64>) = row;
    Ok((flushed.unwrap_or(0).cast_unsigned(), CommitNumber(number.unwrap_or(0).cast_unsigned())))
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
        self.over.number
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        if let Some(known) = self.over.entry(key) {
            return Ok(known.map(|value| value.bytes.to_vec()));
        }
        let statement = "SELECT key, form, hash, value FROM entry WHERE account = ?1 AND key = ?2";
        let mut select = self.reading.prepare(statement)?;
        let mut rows = select.query((sql(self.account.0), key)).map_err(index::error)?;
        let row = rows.next().map_err(index::error)?;
        row.map(|row| self.verified(row).map(<[u8]>::to_vec)).transpose()
    }

    fn scan(&self, range: Range<&[u8]>, each: &mut Each<'_>) -> Result<(), Error> {
        let statement = "SELECT key, form, hash, value FROM entry
            WHERE account = ?1 AND key >= ?2 AND key < ?3 ORDER BY key";
        self.each(statement, range, |row| self.verified(row), each)
    }

    fn keys(&self, range: Range<&[u8]>, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Error> {
        let statement = "SELECT key FROM entry WHERE account = ?1 AND key >= ?2 AND key < ?3 ORDER BY key";
        self.each(statement, range, |_| Ok(&[]), &mut |key, _| each(key))
    }

    fn last(&self, range: Range<&[u8]>) -> Result<Option<crate::Entry>, Error> {
        let over = self.over.last(range.clone()).map(|(key, value)| (key.to_vec(), value.bytes.to_vec()));
        if self.over.hides_index() {
            return Ok(over);
        }
        let statement = "SELECT key, form, hash, value FROM entry
            WHERE account = ?1 AND key >= ?2 AND key < ?3 ORDER BY key DESC";
        let mut select = self.reading.prepare(statement)?;
        let mut rows = select.query((sql(self.account.0), range.start, range.end)).map_err(index::error)?;
        while let Some(row) = rows.next().map_err(index::error)? {
            let key = bytes(row, 0)?;
            if over.as_ref().is_some_and(|(over, _)| over.as_slice() >= key) {
                break;
            }
            // A layer may know that it is gone.
            if self.over.entry(key).is_none() {
                return Ok(Some((key.to_vec(), self.verified(row)?.to_vec())));
            }
        }
        Ok(over)
    }

    fn blob(&self, id: BlobId) -> Result<Option<Arc<dyn Blob>>, Error> {
        let places = match self.over.blob(id) {
            Some(None) => return Ok(None),
            Some(Some(places)) => places,
            None => {
                let statement = "SELECT form, hash, places FROM blob WHERE account = ?1 AND id = ?2";
                let mut select = self.reading.prepare(statement)?;
                let mut rows = select.query([sql(self.account.0), sql(id.0)]).map_err(index::error)?;
                let Some(row) = rows.next().map_err(index::error)? else { return Ok(None) };
                let (form, hash) = form_and_hash(row, 0)?;
                Arc::new(Places::from_row(self.account, id, form, hash, bytes(row, 2)?)?)
            }
        };
        Ok(Some(Arc::new(Stored::open(&self.segments, self.account, id, &places)?)))
    }

    fn blobs(&self) -> Result<Vec<BlobId>, Error> {
        let over = self.over.blobs();
        let mut ids: Vec<_> = over.iter().filter(|(_, there)| **there).map(|(id, _)| *id).collect();
        if !self.over.hides_index() {
            let mut select = self.reading.prepare("SELECT id FROM blob WHERE account = ?1")?;
            let mut rows = select.query([sql(self.account.0)]).map_err(index::error)?;
            while let Some(row) = rows.next().map_err(index::error)? {
                let id = BlobId(row.get::<_, i64>(0).map_err(index::error)?.cast_unsigned());
                if !over.contains_key(&id) {
                    ids.push(id);
                }
            }
        }
        // SQLite's integers have a sign.
        ids.sort_unstable();
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::{Local, Options};
    use crate::{AccountBatch, Batch, Engine, Write};

    const A: AccountId = AccountId(1);

    fn put(engine: &Local, number: u64) {
        let mut batch = AccountBatch::new(A, CommitNumber(number));
        batch.essential.push(Write { key: vec![b'k'], value: Some(number.to_be_bytes().to_vec()) });
        engine.commit(Batch { accounts: vec![batch] }).wait().unwrap();
    }

    fn is(engine: &Local) -> Option<Vec<u8>> {
        engine.read(A).unwrap().get(b"k").unwrap()
    }

    fn open(dir: &tempfile::TempDir) -> Local {
        Local::open(dir.path(), Options { reserve: 0, ..Options::default() }).unwrap()
    }

    #[test]
    fn what_a_view_leaves_open_shows_nothing_old() {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(&dir);
        assert_eq!(is(&engine), None);
        for number in 0..4 {
            put(&engine, number);
            let now = Some(number.to_be_bytes().to_vec());
            assert_eq!(is(&engine), now);
            let view = engine.read(A).unwrap();
            engine.flush().unwrap();
            assert_eq!((is(&engine), view.get(b"k").unwrap()), (now.clone(), now.clone()));
            drop(view);
            assert_eq!(is(&engine), now);
        }
    }

    #[test]
    fn what_a_view_leaves_open_keeps_nobody_waiting() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(&dir));
        let readers = Arc::new(Readers::new(dir.path().to_owned(), 2));
        let left = || readers.idle.lock().open.len();
        drop(readers.begin().unwrap());
        assert_eq!(left(), 0, "others want to see all that is there");
        drop(readers.resume().unwrap());
        assert_eq!(left(), 1, "the next view goes on with it");
        let (view, other) = (readers.resume().unwrap(), readers.resume().unwrap());
        assert_eq!(left(), 0, "but no two views do");
        drop(other);
        let era = readers.turn();
        assert!(left() == 0 && !readers.ended(era), "it is in use");
        drop(view);
        assert!(left() == 0 && readers.ended(era), "the index may have changed meanwhile");
        drop(readers.resume().unwrap());
        readers.rest();
        assert_eq!(left(), 0);
    }
}
