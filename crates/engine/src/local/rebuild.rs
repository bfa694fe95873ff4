//! What becomes of an index that is lost or cannot be used.
//!
//! The index is put aside and made again. Where the journal in the segments brings the newest copy that is sound to
//! the very end, nothing is lost. Else it is made from that copy as it is, and from every account
//! that can still be read whole in the damaged file, which is then as it was at the end. The bodies in
//! the segments that the new index does not name are found by [`super::strays`]; putting them back into
//! mailboxes is the owner's work. Until it is done, a table `recovery` in the index says what it must know.
//!
//! Nothing is deleted: the damaged files are in `damaged/` afterwards.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, Value};
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, params};
use types::AccountId;

use super::index::{self, Places, sql};
use super::leftovers;
use super::reader::{bytes, form_and_hash};
use super::segments::{self, Segments};
use super::version::{self, Identity};
use super::witness::Witness;
use super::{OpenError, copies, replay, wal};
use crate::disk::Disk;
use crate::{BlobId, Error, FromBlobs, Setback};

/// Why the index is made again.
enum Trouble {
    Lost,
    Unusable(String),
}

/// An index of so many octets is read after an unclean end before anybody relies on it; it takes a second.
const READ_AT_START: u64 = 256 << 20;

/// Why an index is made again that can be opened.
pub(crate) const DEMANDED: &str = "the index is made again as demanded";

/// Where a store is, and what it takes to make its index.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) store: &'a Path,
    pub(crate) disk: &'a Arc<dyn Disk>,
    /// The directory of the segments.
    pub(crate) segments: &'a Path,
    pub(crate) page_size: u32,
    pub(crate) from_blobs: Option<&'a dyn FromBlobs>,
}

impl Site<'_> {
    /// Its segments, to read; `next` is the number of the next one.
    fn segments(&self, next: u32) -> Segments {
        Segments::new(Arc::clone(self.disk), self.segments.to_owned(), 0, 0, next, 0)
    }
}

/// Opens the index to write, made again where that is needed, and seals the segments.
pub(crate) fn open(site: Site<'_>) -> Result<(Connection, Next), OpenError> {
    let Site { store, disk, segments, .. } = site;
    let there = !segments::list(&**disk, segments)?.is_empty();
    let path = index::path(store);
    let len = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let unclean = len(&log_of(&path)) > 0;
    // Pages of several times may stand side by side then, although nothing is lost.
    let torn = wal::is_damaged(&log_of(&path))?;
    let mut said = look(site, there)?;
    if said.is_empty() && there && (torn || unclean && len(&path) <= READ_AT_START) {
        said = unsound(site)?.unwrap_or_default();
    }
    let (connection, next, lost) = match begin(site) {
        Err(OpenError::Index(e)) if there && is_damage(&e) => {
            said = rebuild(site, &BTreeSet::new(), &format!("the index cannot be used: {e}"))?;
            begin(site)?
        }
        begun => begun?,
    };
    said.extend(lost);
    if torn {
        recount(&connection)?;
    }
    if !said.is_empty() {
        remember(&connection, &said)?;
    }
    if unclean || next.unclean {
        // From here on what was replayed is in the index, and the numbers of the groups go on.
        settle_log(&connection)?;
    }
    Ok((connection, next))
}

/// The numbers from which a process goes on.
pub(crate) struct Next {
    pub(crate) segment: u32,
    /// The last group that is in the index.
    pub(crate) flushed: u64,
    unclean: bool,
}

/// Opens the index to write, seals the segments, and takes what is in their journals. What was lost.
fn begin(site: Site<'_>) -> Result<(Connection, Next, Vec<String>), OpenError> {
    let store = site.store;
    let connection = index::open_writer(store, site.page_size)?;
    let before = index::flushed(&connection)?;
    let mut left = leftovers::seal(&connection, &**site.disk, site.segments, before)?;
    if let Some(last) = Witness::read(store).filter(|last| before.is_some_and(|before| before < *last)) {
        // What was acknowledged was followed by something, or would have been.
        left.seen = left.seen.max(last + 1);
    }
    let lost = replay::replay(&connection, &site.segments(left.segment), before, &left, site.from_blobs)?;
    let flushed = index::flushed(&connection)?;
    let next =
        Next { segment: left.segment, flushed: flushed.unwrap_or(0), unclean: left.unclean || before != flushed };
    Ok((connection, next, lost))
}

/// Moves the log of the index into its file, durably.
fn settle_log(connection: &Connection) -> Result<(), OpenError> {
    let (busy, left): (i64, i64) =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // Nobody reads yet.
    if busy == 0 && left <= 0 { Ok(()) } else { Err(io::Error::other("somebody else has the index open").into()) }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Looks at the index before anybody opens it, and makes it again where it is lost or cannot be used.
/// `segments` says whether there are segment files. What went wrong, if anything did.
fn look(site: Site<'_>, segments: bool) -> Result<Vec<String>, OpenError> {
    // What is not a store yet cannot have lost anything.
    if !segments && copies::newest(site.store).is_none() {
        return Ok(vec![]);
    }
    match probe(site.store)? {
        Some(Trouble::Lost) => rebuild(site, &BTreeSet::new(), "the index is missing"),
        Some(Trouble::Unusable(why)) => rebuild(site, &BTreeSet::new(), &format!("the index cannot be used: {why}")),
        None => Ok(vec![]),
    }
}

/// After damage in the log, pages of several times may stand side by side: makes the index again if so.
fn unsound(site: Site<'_>) -> Result<Option<Vec<String>>, OpenError> {
    let reader = index::open_reader(site.store)?;
    let Err(e) = index::verify_structure(&reader) else { return Ok(None) };
    drop(reader);
    rebuild(site, &BTreeSet::new(), &format!("the index cannot be used: {e}")).map(Some)
}

/// `None` where the index looks like one.
fn probe(store: &Path) -> Result<Option<Trouble>, OpenError> {
    let path = index::path(store);
    let mut header = [0; 100];
    match File::open(&path).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Some(Trouble::Lost)),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(unusable("it is too short")),
        Err(e) => return Err(e.into()),
    }
    // What SQLite would take for a file that it may only read, or that is not there yet.
    let versions = matches!(header.get(18..20), Some([1, 1] | [2, 2]));
    let sound = header.starts_with(b"SQLite format 3\0") && versions && header.get(20..24) == Some(&[0, 64, 32, 32]);
    if !sound {
        return Ok(unusable("its header is damaged"));
    }
    let connection = match index::open_reader(store) {
        Ok(connection) => connection,
        Err(e) => return trouble(e),
    };
    match version::identity(&connection) {
        Ok(Identity::Ours) => {}
        Ok(Identity::Later(found)) => return Err(version::later(found)),
        // The owner of the file is another program, or one octet of its header has changed.
        Ok(Identity::Other) => return Ok(unusable("its header is damaged")),
        Err(e) => return trouble(e),
    }
    for table in ["account", "entry", "blob", "segment"] {
        if let Err(e) =
            connection.query_row(&format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1)"), [], |_| Ok(()))
        {
            return trouble(e);
        }
    }
    Ok(None)
}

fn unusable(why: &str) -> Option<Trouble> {
    Some(Trouble::Unusable(why.to_owned()))
}

/// Tells damage from what another attempt may get right.
fn trouble(error: rusqlite::Error) -> Result<Option<Trouble>, OpenError> {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) | None => {
            Ok(unusable(&error.to_string()))
        }
        Some(_) => Err(error.into()),
    }
}

/// Makes the index again. Says in plain words from what.
/// Accounts in `distrusted` are not taken from the file as it is.
pub(crate) fn rebuild(site: Site<'_>, distrusted: &BTreeSet<AccountId>, why: &str) -> Result<Vec<String>, OpenError> {
    let store = site.store;
    let mut said = vec![why.to_owned()];
    let aside = put_aside(store)?;
    let fresh = store.join("index.new");
    let copy = sound_copy(store, &mut said)?;
    let from = match &copy {
        Some(copy) => format!("the index was made again from the copy {}", copy.display()),
        None => "there is no copy of the index: the segments are all there is".to_owned(),
    };
    said.push(from);
    let damaged = Some(index::path(&aside)).filter(|damaged| damaged.exists());
    if damaged.is_some() {
        said.push(format!("the index as it was is in {}", aside.display()));
    }
    // An account that is not consistent may have been so before.
    let is_whole = match &copy {
        Some(copy) if distrusted.is_empty() => whole(site, copy, &fresh, &mut said)?,
        _ => false,
    };
    if !is_whole {
        partly(site, copy.as_deref(), damaged.as_deref(), distrusted, &fresh, &mut said)?;
    }
    File::open(&fresh)?.sync_all()?;
    remove_log(store)?;
    fs::rename(&fresh, index::path(store))?;
    File::open(store)?.sync_all()?;
    Ok(said)
}

/// Makes `fresh` from a copy and what was committed after it; false where it cannot be shown that this is all.
fn whole(site: Site<'_>, copy: &Path, fresh: &Path, said: &mut Vec<String>) -> Result<bool, OpenError> {
    let Some(acknowledged) = Witness::read(site.store) else { return Ok(false) };
    let connection = open_fresh(site, Some(copy), fresh)?;
    index::upgrade(&connection)?;
    let Some(flushed) = index::flushed(&connection)? else { return Ok(false) };
    // Made while there was something to put right: it is not a state that anybody has seen.
    if setback(&connection)?.is_some() {
        return Ok(false);
    }
    let left = leftovers::seal(&connection, &**site.disk, site.segments, Some(flushed))?;
    if !replay::catch_up(&connection, &site.segments(left.segment), flushed, acknowledged, &left, site.from_blobs)? {
        return Ok(false);
    }
    said.push("everything that was committed after that is in the journal: nothing is lost".to_owned());
    connection.execute_batch("BEGIN IMMEDIATE")?;
    mark(&connection)?;
    connection.execute_batch("INSERT INTO recovery (current) SELECT id FROM account")?;
    recount(&connection)?;
    note(&connection, said)?;
    connection.execute_batch("COMMIT")?;
    connection.close().map_err(|(_, e)| e)?;
    Ok(true)
}

/// Makes `fresh` of what there is.
fn partly(
    site: Site<'_>,
    copy: Option<&Path>,
    damaged: Option<&Path>,
    distrusted: &BTreeSet<AccountId>,
    fresh: &Path,
    said: &mut Vec<String>,
) -> Result<(), OpenError> {
    let connection = open_fresh(site, copy, fresh)?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    index::upgrade(&connection)?;
    // What a copy says of it is true of no account that is taken from somewhere else.
    index::set_flushed(&connection, None)?;
    mark(&connection)?;
    // Whatever stops this, what it has got so far is good.
    if let Some(damaged) = damaged
        && let Err(e) = salvage(damaged, &connection, distrusted, said)
    {
        said.push(format!("the damaged index cannot be read any further: {e}"));
    }
    recount(&connection)?;
    note(&connection, said)?;
    connection.execute_batch("COMMIT")?;
    connection.close().map_err(|(_, e)| e)?;
    Ok(())
}

/// The file `fresh`, a copy or without content. It is synced as a whole at the end.
fn open_fresh(site: Site<'_>, copy: Option<&Path>, fresh: &Path) -> Result<Connection, OpenError> {
    remove(fresh)?;
    match copy {
        Some(copy) => drop(fs::copy(copy, fresh)?),
        None => index::create(fresh, site.page_size)?,
    }
    let connection = Connection::open(fresh)?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.execute_batch("PRAGMA journal_mode = MEMORY")?;
    Ok(connection)
}

/// Gives the files of the index a second name in a new directory under `damaged/`.
fn put_aside(store: &Path) -> io::Result<PathBuf> {
    let damaged = store.join("damaged");
    let number = (1u32..).find(|n| !damaged.join(format!("index-{n}")).exists()).unwrap_or(u32::MAX);
    let aside = damaged.join(format!("index-{number}"));
    DirBuilder::new().recursive(true).mode(0o700).create(&aside)?;
    let path = index::path(store);
    for file in [log_of(&path), path] {
        if let Some(name) = file.file_name().filter(|_| file.exists()) {
            let to = aside.join(name);
            // The log is copied: SQLite writes into it from its beginning again.
            if to.extension().is_some_and(|e| e == "db") && fs::hard_link(&file, &to).is_ok() {
                continue;
            }
            fs::copy(&file, &to)?;
        }
    }
    File::open(&aside)?.sync_all()?;
    Ok(aside)
}

/// A log that is found beside another index would be played into it.
pub(crate) fn remove_log(store: &Path) -> io::Result<()> {
    remove(&log_of(&index::path(store)))?;
    remove(&index::path(store).with_extension("db-shm"))
}

fn log_of(index: &Path) -> PathBuf {
    index.with_extension("db-wal")
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// The newest copy that has everything as it was stored; says no where a later version has made one.
fn sound_copy(store: &Path, said: &mut Vec<String>) -> Result<Option<PathBuf>, OpenError> {
    for path in copies::all(store) {
        let verified = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .and_then(|connection| Ok((version::identity(&connection)?, connection)))
            .map_err(index::error)
            .and_then(|(identity, connection)| index::verify_all(&connection).map(|()| identity));
        match verified {
            Ok(Identity::Ours) => return Ok(Some(path)),
            Ok(Identity::Later(found)) => return Err(version::later(found)),
            Ok(Identity::Other) => {
                said.push(format!("the copy {} cannot be used: its header is damaged", path.display()))
            }
            Err(e) => said.push(format!("the copy {} cannot be used: {e}", path.display())),
        }
    }
    Ok(None)
}

/// Takes over every account that can be read whole, but for what can be computed again.
fn salvage(
    damaged: &Path,
    to: &Connection,
    distrusted: &BTreeSet<AccountId>,
    said: &mut Vec<String>,
) -> rusqlite::Result<()> {
    let from = Connection::open_with_flags(damaged, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut select = from.prepare("SELECT id, number FROM account")?;
    // An index that has gone back once is no witness of what came after.
    let before = setback(&from)?;
    let trusted = |id: i64| before.as_ref().is_none_or(|b| b.current.contains(&AccountId(id.cast_unsigned())));
    let accounts = select.query_map([], |row| <(i64, i64)>::try_from(row))?;
    let mut rows = Rows { from: &from, to };
    for account in accounts {
        let (id, number) = account?;
        if distrusted.contains(&AccountId(id.cast_unsigned())) {
            said.push(format!("account {}: its part of the index is not consistent", id.cast_unsigned()));
            continue;
        }
        let before: Option<i64> =
            to.query_row("SELECT max(number) FROM account WHERE id = ?1", [id], |row| row.get(0))?;
        to.execute_batch("SAVEPOINT account")?;
        let whole = rows.account(id, number);
        match (&whole, before) {
            // An index that is older than its copy is none to trust.
            (Ok(()), before) if before.is_none_or(|before| before <= number) => {
                if trusted(id) {
                    to.execute("INSERT INTO recovery (current) VALUES (?1)", [id])?;
                }
            }
            // A part of an account is no account: its bodies say more of it.
            _ => to.execute_batch("ROLLBACK TO account")?,
        }
        if let Err(e) = whole {
            said.push(format!("account {}: the damaged index cannot be read: {e}", id.cast_unsigned()));
        }
        to.execute_batch("RELEASE account")?;
    }
    rows.segments()?;
    // The accounts that are as they were in this index: the journal goes on from there.
    index::set_flushed(to, index::flushed(&from).unwrap_or(None))
}

/// Carries rows from one index to another.
struct Rows<'a> {
    from: &'a Connection,
    to: &'a Connection,
}

impl Rows<'_> {
    /// An error where not everything of the account can be read.
    fn account(&mut self, id: i64, number: i64) -> Result<(), Error> {
        for table in ["entry", "blob", "account"] {
            let column = if table == "account" { "id" } else { "account" };
            self.to.execute(&format!("DELETE FROM {table} WHERE {column} = ?1"), [id]).map_err(index::error)?;
        }
        self.to.execute("INSERT INTO account VALUES (?1, ?2)", [id, number]).map_err(index::error)?;
        let account = AccountId(id.cast_unsigned());
        self.rows("entry", "key", "value", id, |row| {
            let (key, (form, hash), value) = (bytes(row, 0)?, form_and_hash(row, 1)?, bytes(row, 3)?);
            match index::verify(account, key, form, hash, value) {
                Ok(()) => Ok(true),
                Err(_) if form == index::DERIVED => Ok(false),
                Err(e) => Err(e),
            }
        })?;
        // Places that are damaged are carried, too: the body is found in the segments and named anew.
        self.rows("blob", "id", "places", id, |_| Ok(true))
    }

    /// Carries the rows of an account that `good` says yes to.
    fn rows(
        &mut self,
        table: &str,
        key: &str,
        value: &str,
        account: i64,
        good: impl Fn(&Row<'_>) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let select = format!("SELECT {key}, form, hash, {value} FROM {table} WHERE account = ?1 ORDER BY {key}");
        let mut select = self.from.prepare(&select).map_err(index::error)?;
        let insert = format!("REPLACE INTO {table} VALUES (?1, ?2, ?3, ?4, ?5)");
        let mut insert = self.to.prepare(&insert).map_err(index::error)?;
        let mut rows = select.query([account]).map_err(index::error)?;
        let mut last: Option<Value> = None;
        while let Some(row) = rows.next().map_err(index::error)? {
            // Pages of several times may stand side by side, and then some rows are old.
            let key: Value = row.get(0).map_err(index::error)?;
            if !ascends(last.as_ref(), &key) {
                return Err(Error::Damaged("its rows are not in order".to_owned()));
            }
            last = Some(key);
            if good(row)? {
                let column = |n| as_it_is(row, n).map_err(index::error);
                let values = params![account, column(0)?, column(1)?, column(2)?, column(3)?];
                insert.execute(values).map_err(index::error)?;
            }
        }
        Ok(())
    }

    fn segments(&mut self) -> rusqlite::Result<()> {
        let mut select = self.from.prepare("SELECT id, mark, end, last_group FROM segment")?;
        let mut insert = self.to.prepare("REPLACE INTO segment (id, mark, end, last_group) VALUES (?1, ?2, ?3, ?4)")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            insert.execute([as_it_is(row, 0)?, as_it_is(row, 1)?, as_it_is(row, 2)?, as_it_is(row, 3)?])?;
        }
        Ok(())
    }
}

fn ascends(last: Option<&Value>, key: &Value) -> bool {
    match (last, key) {
        (None, _) => true,
        (Some(Value::Integer(last)), Value::Integer(key)) => last < key,
        (Some(Value::Blob(last)), Value::Blob(key)) => last < key,
        _ => false,
    }
}

fn as_it_is<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<ToSqlOutput<'a>> {
    row.get_ref(column).map(ToSqlOutput::Borrowed)
}

/// Counts anew what blobs use of each segment.
pub(crate) fn recount(connection: &Connection) -> rusqlite::Result<()> {
    let mut live = std::collections::HashMap::<u32, u64>::new();
    {
        let mut select = connection.prepare("SELECT account, id, form, hash, places FROM blob")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let (account, id, form, hash, places): (i64, i64, i64, i64, Vec<u8>) = row.try_into()?;
            let (account, id) = (AccountId(account.cast_unsigned()), BlobId(id.cast_unsigned()));
            if let Ok(places) = Places::from_row(account, id, form, hash, &places) {
                places.footprint().for_each(|(segment, bytes)| *live.entry(segment).or_default() += bytes);
            }
        }
    }
    connection.execute("UPDATE segment SET live = 0", [])?;
    let mut update = connection.prepare("UPDATE segment SET live = ?2 WHERE id = ?1")?;
    live.into_iter().try_for_each(|(id, live)| update.execute((id, sql(live))).map(drop))
}

/// Writes down that the owner has something to put right.
pub(crate) fn mark(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("CREATE TABLE IF NOT EXISTS recovery (current INTEGER, said TEXT) STRICT")
}

/// Writes down what happened.
pub(crate) fn note(connection: &Connection, said: &[String]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare("INSERT INTO recovery (said) VALUES (?1)")?;
    said.iter().try_for_each(|line| insert.execute([line]).map(drop))
}

/// Writes down what was found when the index was opened, unless that was done when it was made again.
fn remember(connection: &Connection, said: &[String]) -> rusqlite::Result<()> {
    let known = setback(connection)?;
    mark(connection)?;
    let news: Vec<String> =
        said.iter().filter(|line| known.as_ref().is_none_or(|k| !k.said.contains(line))).cloned().collect();
    for line in &news {
        tracing::error!("{line}");
    }
    note(connection, &news)
}

/// What was written down, if the owner has not put it right yet.
pub(crate) fn setback(connection: &Connection) -> rusqlite::Result<Option<Setback>> {
    let there = "SELECT count(*) FROM sqlite_schema WHERE name = 'recovery'";
    if connection.query_row(there, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(None);
    }
    let mut setback = Setback::default();
    let mut select = connection.prepare("SELECT current, said FROM recovery ORDER BY rowid")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        setback.current.extend(row.get::<_, Option<i64>>(0)?.map(|id| AccountId(id.cast_unsigned())));
        setback.said.extend(row.get::<_, Option<String>>(1)?);
    }
    Ok(Some(setback))
}

/// It is put right.
pub(crate) fn settle(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("DROP TABLE IF EXISTS recovery")
}
