//! A second store in another directory, made while this one is at work, and brought up to date again.
//!
//! ```text
//! DIR/index.db       the index as one commit left it, verified
//! DIR/segments/*.seg every segment that it names
//! ```
//!
//! * The index first, then the segments that it names: a body is on the disk before the index names it.
//!   A read transaction is open all the while, so that no segment goes that this index names.
//! * A sealed segment never changes: one that an earlier backup has is not copied again. On the same file
//!   system a backup shares it with the store (a hard link), and so also what may happen to that file.
//! * The index gets its name last. A backup that is cut off leaves the one before it as it was.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use types::AccountId;

use super::blob::read_piece;
use super::index::{self, Places};
use super::segments::file_name;
use super::{OpenError, copies, rebuild};
use crate::disk::DiskFile;
use crate::{Backup, BlobId};

/// A segment as the index of a backup knows it.
struct Named {
    id: u32,
    mark: i64,
    sealed: bool,
}

/// Makes or renews the backup in `to` of what `source` shows; segments are in `segments`.
pub(crate) fn write(source: &Connection, segments: &Path, to: &Path) -> Result<Backup, OpenError> {
    let target = to.join("segments");
    DirBuilder::new().recursive(true).mode(0o700).create(&target)?;
    let _lock = super::lock(to)?;
    let before = match fs::exists(index::path(to))? {
        // Who writes over something must know what it is.
        true => named(&open(&index::path(to))?)?,
        false => BTreeMap::new(),
    };
    let fresh = to.join("index.new");
    copies::write(source, &fresh, || true).map_err(|e| OpenError::Io(io::Error::other(e.to_string())))?;
    let index = open(&fresh)?;
    // A segment that grows may hold more than the index knows of: no journal counts.
    index::set_flushed(&index, None)?;
    let now = named(&index)?;
    let mut backup = Backup { segments: now.len() as u64, ..Backup::default() };
    let mut new = BTreeMap::new();
    for segment in now.values() {
        let path = target.join(file_name(segment.id));
        let known = before.get(&segment.id).is_some_and(|b| b.sealed && b.mark == segment.mark);
        if known && path.exists() {
            continue;
        }
        match bring(&segments.join(file_name(segment.id)), &path, segment.sealed) {
            Ok(octets) => {
                backup.new += 1;
                backup.octets += octets;
                new.insert(segment.id, File::open(&path)?);
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                backup.damaged.push(format!("segment {} is missing", segment.id));
            }
            Err(e) => return Err(e.into()),
        }
    }
    verify(&index, &new, &mut backup.damaged)?;
    drop(index);
    File::open(&target)?.sync_all()?;
    rebuild::remove_log(to)?;
    fs::rename(&fresh, index::path(to))?;
    File::open(to)?.sync_all()?;
    for entry in fs::read_dir(&target)? {
        let entry = entry?;
        let id = entry.file_name().to_string_lossy().strip_suffix(".seg").and_then(|id| id.parse().ok());
        if id.is_some_and(|id: u32| !now.contains_key(&id)) {
            fs::remove_file(entry.path())?;
            backup.gone += 1;
        }
    }
    Ok(backup)
}

fn open(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    index::verify_identity(&connection, path)?;
    Ok(connection)
}

/// The segments with something in them that the index names.
fn named(index: &Connection) -> rusqlite::Result<BTreeMap<u32, Named>> {
    let mut select = index.prepare("SELECT id, mark, end IS NOT NULL FROM segment WHERE live > 0")?;
    let rows = select.query_map([], |row| {
        let id = row.get(0)?;
        Ok((id, Named { id, mark: row.get(1)?, sealed: row.get(2)? }))
    })?;
    rows.collect()
}

/// A segment by another name, or its octets in another file, durable.
fn bring(from: &Path, to: &Path, sealed: bool) -> io::Result<u64> {
    let making = to.with_extension("new");
    for path in [&making, &to.to_owned()] {
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    // What still grows must not grow in the backup.
    if sealed && fs::hard_link(from, to).is_ok() {
        return fs::metadata(to).map(|metadata| metadata.len());
    }
    let octets = fs::copy(from, &making)?;
    File::open(&making)?.sync_all()?;
    fs::rename(&making, to)?;
    Ok(octets)
}

/// Reads in the backup whatever the index names in the segments that came new.
fn verify(index: &Connection, new: &BTreeMap<u32, File>, damaged: &mut Vec<String>) -> rusqlite::Result<()> {
    let mut select = index.prepare("SELECT account, id, form, hash, places FROM blob")?;
    let mut rows = select.query([])?;
    let mut bytes = Vec::new();
    while let Some(row) = rows.next()? {
        let (account, id, form, hash, places): (i64, i64, i64, i64, Vec<u8>) = row.try_into()?;
        let (account, id) = (AccountId(account.cast_unsigned()), BlobId(id.cast_unsigned()));
        let Ok(places) = Places::from_row(account, id, form, hash, &places) else { continue };
        for piece in &places.pieces {
            let Some(file) = new.get(&piece.segment) else { continue };
            bytes.clear();
            if let Err(what) = read_piece(piece, file as &dyn DiskFile, 0..piece.len, &mut bytes) {
                damaged.push(format!("account {account}, blob {}: {what}", id.0));
            }
        }
    }
    Ok(())
}

/// Makes a store of a backup, in a directory where there is none.
pub(crate) fn restore(from: &Path, store: &Path, keep: bool) -> Result<(), OpenError> {
    drop(open(&index::path(from))?);
    DirBuilder::new().recursive(true).mode(0o700).create(store)?;
    let _lock = super::lock(store)?;
    let inside = fs::read_dir(store)?.filter_map(|entry| Some(entry.ok()?.file_name()));
    if inside.into_iter().any(|name| name != "lock") {
        return Err(OpenError::NotEmpty(store.to_owned()));
    }
    let (source, target) = (from.join("segments"), store.join("segments"));
    DirBuilder::new().mode(0o700).create(&target)?;
    for entry in fs::read_dir(&source)? {
        let entry = entry?;
        let path = target.join(entry.file_name());
        fs::copy(entry.path(), &path)?;
        File::open(&path)?.sync_all()?;
    }
    File::open(&target)?.sync_all()?;
    // The index last: before it is there, this is no store.
    let fresh = store.join("index.new");
    fs::copy(index::path(from), &fresh)?;
    let connection = Connection::open(&fresh)?;
    if !keep {
        rebuild::mark(&connection)?;
        rebuild::note(&connection, &[format!("the store was restored from the backup {}", from.display())])?;
    }
    connection.close().map_err(|(_, e)| e)?;
    File::open(&fresh)?.sync_all()?;
    fs::rename(&fresh, index::path(store))?;
    File::open(store)?.sync_all()?;
    Ok(())
}
