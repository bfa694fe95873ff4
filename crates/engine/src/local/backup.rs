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
//! * The index gets its name last. A backup that is cut off leaves the one before it as it was: a segment
//!   takes the place of one that has grown since as a whole, and has what that had.
//! * A store that is being restored says so in a file `restoring` until it is whole; before, nobody opens it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};
use types::AccountId;

use super::blob::read_stored;
use super::index::{self, Places};
use super::segments::{Segments, file_name};
use super::{OpenError, copies, rebuild, version};
use crate::disk::{Disk, DiskFile};
use crate::{Backup, BlobId};

/// A segment as the index of a backup knows it.
struct Named {
    id: u32,
    mark: i64,
    sealed: bool,
}

/// Makes or renews the backup in `to` of what `source` shows.
pub(crate) fn write(source: &Connection, segments: &Segments, to: &Path) -> Result<Backup, OpenError> {
    let (disk, target) = (segments.disk(), to.join("segments"));
    DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    let _lock = super::lock(to)?;
    disk.create_dir(&target)?;
    let before = match fs::exists(index::path(to))? {
        // Who writes over something must know what it is.
        true => named(&open(&index::path(to))?)?,
        false => BTreeMap::new(),
    };
    let fresh = to.join(FRESH);
    copies::write(source, &fresh, || true).map_err(|e| OpenError::Io(io::Error::other(e.to_string())))?;
    let index = open(&fresh)?;
    // A segment that grows may hold more than the index knows of: no journal counts.
    index::set_flushed(&index, None)?;
    let now = named(&index)?;
    let mut backup = Backup { segments: now.len() as u64, ..Backup::default() };
    let mut new = BTreeMap::new();
    for segment in now.values() {
        let path = target.join(file_name(segment.id));
        let known = before.get(&segment.id);
        if known.is_some_and(|known| known.mark != segment.mark) {
            return Err(OpenError::OtherBackup(to.to_owned()));
        }
        if known.is_some_and(|known| known.sealed) && path.exists() {
            continue;
        }
        match bring(disk, &segments.path(segment.id), &path, segment.sealed) {
            Ok(octets) => {
                backup.new += 1;
                backup.octets += octets;
                new.insert(segment.id, disk.open(&path)?);
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                backup.damaged.push(format!("segment {} is missing", segment.id));
            }
            Err(e) => return Err(e.into()),
        }
    }
    verify(&index, &new, &mut backup.damaged)?;
    index.close().map_err(|(_, e)| e)?;
    disk.sync_dir(&target)?;
    rebuild::remove_log(to)?;
    put(disk, &fresh, &index::path(to))?;
    for name in disk.list(&target)? {
        let id = name.strip_suffix(".seg").and_then(|id| id.parse().ok());
        if id.is_some_and(|id: u32| !now.contains_key(&id)) {
            disk.remove(&target.join(name))?;
            backup.gone += 1;
        }
    }
    Ok(backup)
}

/// An index that has not got its name yet.
const FRESH: &str = "index.new";

/// Gives an index its name, when everything that it names is durable.
fn put(disk: &dyn Disk, fresh: &Path, path: &Path) -> io::Result<()> {
    disk.open(fresh)?.sync()?;
    disk.rename(fresh, path)?;
    path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir))
}

fn open(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    version::verify(&connection, path)?;
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

/// A segment by another name, or its octets in another file, durable; at once in the place of what was there.
fn bring(disk: &dyn Disk, from: &Path, to: &Path, sealed: bool) -> io::Result<u64> {
    let making = to.with_extension("new");
    remove(disk, &making)?;
    // What still grows must not grow in the backup.
    let octets = match sealed && disk.link(from, &making).is_ok() {
        true => disk.open(&making)?.len()?,
        false => copy(disk, from, &making)?,
    };
    disk.rename(&making, to)?;
    // Two names of one file stay where the one is renamed to the other.
    remove(disk, &making)?;
    Ok(octets)
}

/// The octets of a file in another that is not there yet, durable.
fn copy(disk: &dyn Disk, from: &Path, to: &Path) -> io::Result<u64> {
    let (source, target) = (disk.open(from)?, disk.create(to)?);
    let (len, mut at) = (source.len()?, 0);
    let mut bytes = vec![0; COPY];
    while at < len {
        let step = usize::try_from(len - at).unwrap_or(COPY).min(COPY);
        let part = bytes.get_mut(..step).unwrap_or_default();
        source.read_at(at, part)?;
        target.write_at(at, part)?;
        at += step as u64;
    }
    target.sync()?;
    Ok(len)
}

/// Octets of one step of a copy.
const COPY: usize = 1 << 20;

fn remove(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.remove(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Reads in the backup whatever the index names in the segments that came new.
fn verify(
    index: &Connection,
    new: &BTreeMap<u32, Arc<dyn DiskFile>>,
    damaged: &mut Vec<String>,
) -> rusqlite::Result<()> {
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
            if let Err(what) = read_stored(piece, &**file, &mut bytes) {
                damaged.push(format!("account {account}, blob {}: {what}", id.0));
            }
        }
    }
    Ok(())
}

/// Makes a store of a backup, in a directory where there is none, or where that was cut off before.
pub(crate) fn restore(disk: &dyn Disk, from: &Path, store: &Path, keep: bool) -> Result<(), OpenError> {
    drop(open(&index::path(from))?);
    DirBuilder::new().recursive(true).mode(0o700).create(store)?;
    let _lock = super::lock(store)?;
    begin(disk, store)?;
    let (source, target) = (from.join("segments"), store.join("segments"));
    disk.create_dir(&target)?;
    for name in disk.list(&source)?.iter().filter(|name| name.ends_with(".seg")) {
        copy(disk, &source.join(name), &target.join(name))?;
    }
    disk.sync_dir(&target)?;
    // The index last: it is not there before all that it names.
    let fresh = store.join(FRESH);
    fs::copy(index::path(from), &fresh)?;
    let connection = Connection::open(&fresh)?;
    if !keep {
        rebuild::mark(&connection)?;
        rebuild::note(&connection, &[format!("the store was restored from the backup {}", from.display())])?;
    }
    connection.close().map_err(|(_, e)| e)?;
    put(disk, &fresh, &index::path(store))?;
    disk.remove(&store.join(RESTORING))?;
    disk.sync_dir(store)?;
    Ok(())
}

/// Stands in a store until it is whole.
const RESTORING: &str = "restoring";

/// Says no where a store was not restored to its end.
pub(crate) fn verify_whole(store: &Path) -> Result<(), OpenError> {
    if store.join(RESTORING).exists() { Err(OpenError::Restoring(store.to_owned())) } else { Ok(()) }
}

/// Makes sure that nobody takes for a store what is none yet. What an earlier attempt has left goes.
fn begin(disk: &dyn Disk, store: &Path) -> Result<(), OpenError> {
    let again = store.join(RESTORING).exists();
    for entry in fs::read_dir(store)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        match name.to_str() {
            Some("lock" | RESTORING) => {}
            Some("segments") if again => fs::remove_dir_all(&path)?,
            Some(FRESH | "index.db") if again => remove(disk, &path)?,
            _ if again && path.extension() == Some(OsStr::new("new-journal")) => remove(disk, &path)?,
            _ => return Err(OpenError::NotEmpty(store.to_owned())),
        }
    }
    if !again {
        disk.create(&store.join(RESTORING))?.sync()?;
    }
    disk.sync_dir(store)?;
    Ok(())
}
