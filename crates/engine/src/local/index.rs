//! The SQLite file: its tables, how connections to it are set up, and how what stands in it is
//! guarded against damage.
//!
//! | table     | row |
//! |-----------|-----|
//! | `account` | an account and the number of its last commit |
//! | `entry`   | (account, key) → value |
//! | `blob`    | (account, blob id) → [`Places`] |
//! | `segment` | a segment file: its mark, its end once it is decided, the octets in it that blobs use, and the last group that may have something in it |
//! | `journal` | one row: the last group of which everything is in the index; NULL where the journal of no group counts that is there already |
//!
//! Values and places have a `form` and a `hash`. The form is a number: version in the lowest eight
//! bits, then eight for the codec (0), one that is set for derived values, and from bit 32 on the
//! key id (0). The hash is XXH3 of the value, seeded with form, account and key, so that a value
//! that turns up in a wrong place is noticed too. SQLite itself has no checksums.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use types::AccountId;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::journal::{Kind, Value};
use super::reader::{bytes, form_and_hash};
use super::{OpenError, version};
use crate::segment::{HEADER_LEN, Input, PIECE_META_LEN, Piece, decode_pieces, encode_pieces, pieces_len};
use crate::{BlobId, Error};

/// Version 1, as it is.
pub(crate) const ESSENTIAL: i64 = 1;
/// Version 1, as it is, can be computed again.
pub(crate) const DERIVED: i64 = ESSENTIAL | 1 << 16;

const SCHEMA: &str = "
    CREATE TABLE account (id INTEGER PRIMARY KEY, number INTEGER NOT NULL) STRICT;
    CREATE TABLE entry (
        account INTEGER NOT NULL, key BLOB NOT NULL,
        form INTEGER NOT NULL, hash INTEGER NOT NULL, value BLOB NOT NULL,
        PRIMARY KEY (account, key)
    ) STRICT;
    CREATE TABLE blob (
        account INTEGER NOT NULL, id INTEGER NOT NULL,
        form INTEGER NOT NULL, hash INTEGER NOT NULL, places BLOB NOT NULL,
        PRIMARY KEY (account, id)
    ) STRICT;
    CREATE TABLE segment (
        id INTEGER PRIMARY KEY, mark INTEGER NOT NULL, live INTEGER NOT NULL DEFAULT 0,
        end INTEGER, last_group INTEGER
    ) STRICT;
";

/// What format 2 has besides. Nothing of format 1 is in a journal.
const JOURNAL: &str = "
    CREATE TABLE journal (flushed INTEGER) STRICT;
    INSERT INTO journal VALUES (NULL);
";

/// Where the SQLite file of a store is.
pub(crate) fn path(store: &Path) -> PathBuf {
    store.join("index.db")
}

/// The connection that writes. Makes the tables where there are none yet.
pub(crate) fn open_writer(store: &Path, page_size: u32) -> Result<Connection, OpenError> {
    // SQLite before 3.51.3 may lose commits when a checkpoint meets a write (the WAL-reset bug).
    if rusqlite::version_number() < 3_051_003 {
        return Err(OpenError::Sqlite(rusqlite::version()));
    }
    let connection = Connection::open(path(store))?;
    connection.pragma_update(None, "page_size", page_size)?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    set_up(&connection, 8 * 1024)?;
    // What the log of SQLite may lose is in the journal.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // A file that nobody has written anything into yet.
    let fresh = "SELECT count(*) = 0 AND (SELECT application_id FROM pragma_application_id) = 0 FROM sqlite_schema";
    match connection.query_row(fresh, [], |row| row.get(0))? {
        true => make_tables(&connection)?,
        false => {
            version::verify(&connection, &path(store))?;
            upgrade(&connection)?;
        }
    }
    Ok(connection)
}

fn make_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {SCHEMA} {JOURNAL} {} COMMIT;", version::statements()))
}

/// Makes an index of an earlier format one of the present format. What format 3 has besides is in the segments.
pub(crate) fn upgrade(connection: &Connection) -> rusqlite::Result<()> {
    if version::is_present(connection)? {
        return Ok(());
    }
    let without = "SELECT count(*) = 0 FROM sqlite_schema WHERE name = 'journal'";
    let journal = if connection.query_row(without, [], |row| row.get(0))? { JOURNAL } else { "" };
    let version = version::statements();
    connection.execute_batch(&format!("SAVEPOINT upgrade; {journal} {version} RELEASE upgrade;"))
}

/// The last group of which everything is in an index.
pub(crate) fn flushed(connection: &Connection) -> rusqlite::Result<Option<u64>> {
    let flushed: Option<i64> = connection.query_row("SELECT flushed FROM journal", [], |row| row.get(0))?;
    Ok(flushed.map(i64::cast_unsigned))
}

/// Writes it down.
pub(crate) fn set_flushed(connection: &Connection, group: Option<u64>) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached("UPDATE journal SET flushed = ?1")?;
    update.execute([group.map(sql)]).map(drop)
}

/// An index without content in a file that is not there yet.
pub(crate) fn create(path: &Path, page_size: u32) -> rusqlite::Result<()> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "page_size", page_size)?;
    make_tables(&connection)?;
    connection.close().map_err(|(_, e)| e)
}

/// A connection for a read view.
pub(crate) fn open_reader(store: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path(store), flags)?;
    // Small: SQLite empties it whenever somebody has written, and the system caches the file.
    set_up(&connection, 1024)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// A connection for checkpoints.
pub(crate) fn open_checkpointer(store: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path(store))?;
    set_up(&connection, 256)?;
    Ok(connection)
}

/// `cache` is in KiB. There is no memory mapping: a bad sector would be a signal, not an error.
fn set_up(connection: &Connection, cache: i64) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(32);
    // Plans do not depend on values: else many statements are compiled again whenever one is bound to them.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "cache_size", -cache)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)
}

/// What SQLite said, as ours.
pub(crate) fn error(error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Damaged(format!("the index (SQLite says: {error})"))
        }
        Some(_) => Error::Io(format!("the index: {error}").into()),
        // A value that is not what its column holds.
        None => Error::Damaged(format!("the index ({error})")),
    }
}

/// SQLite's integers have a sign. The same bits, so the order of very large numbers is another.
pub(crate) fn sql(number: u64) -> i64 {
    number.cast_signed()
}

/// The hash that stands beside a value.
pub(crate) fn seal(account: AccountId, key: &[u8], form: i64, value: &[u8]) -> i64 {
    let place = xxh3_64_with_seed(key, account.0 ^ form.cast_unsigned().rotate_left(32));
    sql(xxh3_64_with_seed(value, place))
}

/// The value that an index has of a key, if it is as it was stored.
pub(crate) fn value(connection: &Connection, account: AccountId, key: &[u8]) -> Option<Value> {
    let select = "SELECT form, hash, value FROM entry WHERE account = ?1 AND key = ?2";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let (form, hash, bytes): (i64, i64, Vec<u8>) =
        connection.prepare_cached(select).ok()?.query_row((sql(account.0), key), row).ok()?;
    verify(account, key, form, hash, &bytes).ok()?;
    let kind = if form == DERIVED { Kind::Derived } else { Kind::Essential };
    Some(Value { kind, bytes: Arc::new(bytes) })
}

/// Says no where a value is not the one that was stored.
pub(crate) fn verify(account: AccountId, key: &[u8], form: i64, hash: i64, value: &[u8]) -> Result<(), Error> {
    if form != ESSENTIAL && form != DERIVED {
        return Err(Error::Damaged(format!("account {account}, key {}: unknown form {form}", shown(key))));
    }
    if seal(account, key, form, value) != hash {
        return Err(Error::Damaged(format!("account {account}, key {}", shown(key))));
    }
    Ok(())
}

/// Says no where anything in an index is not as it was stored: SQLite's own structure, or a value.
pub(crate) fn verify_all(connection: &Connection) -> Result<(), Error> {
    verify_structure(connection)?;
    let mut select = connection.prepare("SELECT account, key, form, hash, value FROM entry").map_err(error)?;
    let mut rows = select.query([]).map_err(error)?;
    while let Some(row) = rows.next().map_err(error)? {
        let account = AccountId(row.get::<_, i64>(0).map_err(error)?.cast_unsigned());
        let (form, hash) = form_and_hash(row, 2)?;
        verify(account, bytes(row, 1)?, form, hash, bytes(row, 4)?)?;
    }
    let mut select = connection.prepare("SELECT account, id, form, hash, places FROM blob").map_err(error)?;
    let mut rows = select.query([]).map_err(error)?;
    while let Some(row) = rows.next().map_err(error)? {
        let (account, id): (i64, i64) = (row.get(0).map_err(error)?, row.get(1).map_err(error)?);
        let (form, hash) = form_and_hash(row, 2)?;
        let (account, id) = (AccountId(account.cast_unsigned()), BlobId(id.cast_unsigned()));
        Places::from_row(account, id, form, hash, bytes(row, 4)?)?;
    }
    Ok(())
}

/// Says no where SQLite's own structure is not sound.
pub(crate) fn verify_structure(connection: &Connection) -> Result<(), Error> {
    let structure: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(error)?;
    if structure == "ok" { Ok(()) } else { Err(Error::Damaged(format!("the index (SQLite says: {structure})"))) }
}

/// A key for people to read.
pub(crate) fn shown(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

/// Where a blob lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Places {
    /// The segment of the record that names it.
    pub(crate) segment: u32,
    /// Where that record begins.
    pub(crate) offset: u64,
    /// How long it is, with its body.
    pub(crate) len: u32,
    /// Its octets.
    pub(crate) pieces: Vec<Piece>,
}

impl Places {
    /// Of a blob that is not yet anywhere.
    pub(crate) fn nowhere() -> Self {
        Self { segment: 0, offset: 0, len: 0, pieces: vec![] }
    }

    /// How long it is, encoded, with these pieces, wherever they are.
    pub(crate) fn encoded_len(pieces: &[Piece]) -> usize {
        16 + pieces_len(pieces)
    }

    /// Octets of the blob.
    pub(crate) fn size(&self) -> u64 {
        self.pieces.iter().map(|piece| u64::from(piece.size)).sum()
    }

    /// With what it takes to store it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::encoded_len(&self.pieces));
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        encode_pieces(&self.pieces, &mut out);
        out
    }

    /// `None` where this is not what [`Places::encode`] makes.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let (segment, offset, len) = (input.u32()?, input.u64()?, input.u32()?);
        Some(Self { segment, offset, len, pieces: decode_pieces(input.rest())? })
    }

    /// From a row of `blob`.
    pub(crate) fn from_row(account: AccountId, id: BlobId, form: i64, hash: i64, places: &[u8]) -> Result<Self, Error> {
        let sound = form == ESSENTIAL && seal(account, &id.0.to_be_bytes(), form, places) == hash;
        let decoded = if sound { Self::decode(places) } else { None };
        decoded.ok_or_else(|| Error::Damaged(format!("account {account}, the places of blob {}", id.0)))
    }

    /// True where the piece is in the body of the record itself.
    pub(crate) fn inside(&self, piece: &Piece) -> bool {
        let record = self.offset..self.offset + u64::from(self.len);
        piece.segment == self.segment && record.contains(&piece.offset)
    }

    /// The octets that it takes, segment by segment, some of them more than once.
    pub(crate) fn footprint(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let outside = self.pieces.iter().filter(|piece| !self.inside(piece));
        let pieces = outside.map(|piece| (piece.segment, (HEADER_LEN + PIECE_META_LEN) as u64 + u64::from(piece.len)));
        std::iter::once((self.segment, u64::from(self.len))).chain(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_sqlite_has_the_fix_of_the_wal_reset_bug() {
        assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
    }

    /// A bound value is no reason to plan again, which costs more than the reading itself.
    #[test]
    fn statements_are_compiled_once() {
        let store = tempfile::tempdir().unwrap();
        create(&path(store.path()), 16 << 10).unwrap();
        let connection = open_reader(store.path()).unwrap();
        for n in [0_u8, 1, 2, 1, 7, 7] {
            let statement =
                "SELECT value FROM entry WHERE account = ?1 AND key >= ?2 AND key < ?3 ORDER BY key DESC LIMIT 1";
            let mut select = connection.prepare_cached(statement).unwrap();
            assert!(!select.exists((n, [n], [n + 1])).unwrap());
            assert_eq!(select.get_status(rusqlite::StatementStatus::RePrepare), 0, "{n}");
        }
    }

    #[test]
    fn a_value_in_a_wrong_place_is_noticed() {
        let (account, other) = (AccountId(1), AccountId(2));
        let hash = seal(account, b"key", ESSENTIAL, b"value");
        assert!(verify(account, b"key", ESSENTIAL, hash, b"value").is_ok());
        assert!(verify(other, b"key", ESSENTIAL, hash, b"value").is_err());
        assert!(verify(account, b"kex", ESSENTIAL, hash, b"value").is_err());
        assert!(verify(account, b"key", DERIVED, hash, b"value").is_err());
        assert!(verify(account, b"key", ESSENTIAL, hash, b"valuf").is_err());
        let message = verify(account, b"k\xff", 7, hash, b"value").unwrap_err().to_string();
        assert_eq!(message, "damaged: account 1, key k\\xff: unknown form 7");
    }

    #[test]
    fn places_there_and_back() {
        let inside = Piece { segment: 3, offset: 100, len: 50, hash: 1, size: 50 };
        let outside = Piece { segment: 2, offset: 1000, len: 200_000, hash: 2, size: 262_144 };
        let places = Places { segment: 3, offset: 10, len: 140, pieces: vec![inside, outside] };
        assert_eq!(Places::decode(&places.encode()), Some(places.clone()));
        assert_eq!(places.footprint().collect::<Vec<_>>(), [(3, 140), (2, 200_000 + 76)]);
        assert_eq!(Places::decode(&places.encode()[..41]), None);
    }
}
