//! What a process that ended without sealing its segment has left behind.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::Connection;
use types::AccountId;

use super::OpenError;
use super::index::sql;
use super::segments::{file_name, list};
use crate::BlobId;
use crate::disk::{Disk, DiskFile};
use crate::segment::{Content, Found, scan};

/// The numbers from which a process goes on.
pub(crate) struct Next {
    pub(crate) segment: u32,
    pub(crate) group: u64,
    /// There are bodies of commits that were followed by another and that the index does not know.
    pub(crate) forgotten: bool,
}

/// Decides where each segment ends that was growing, makes that durable, and writes it down. Such a
/// segment is never written to again. Rows of segments that were given up and are gone go too.
pub(crate) fn seal(connection: &Connection, disk: &dyn Disk, dir: &Path) -> Result<Next, OpenError> {
    let files = list(disk, dir)?;
    let known: HashMap<u32, Known> = {
        let mut select = connection.prepare("SELECT id, mark, end IS NOT NULL, last_group FROM segment")?;
        let known = |mark: i64, sealed, last: Option<i64>| Known {
            mark: mark.cast_unsigned(),
            sealed,
            last_group: last.map(i64::cast_unsigned),
        };
        let rows = select.query_map([], |row| Ok((row.get(0)?, known(row.get(1)?, row.get(2)?, row.get(3)?))))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    let mut forgotten = false;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for &id in &files {
        let known = known.get(&id);
        if known.is_some_and(|known| known.sealed) {
            continue;
        }
        let file = disk.open(&dir.join(file_name(id)))?;
        let Ended { mark, end, group, bodies } = look(&*file, known.map(|known| known.mark))?;
        // The last group may have been cut off before its commit. What came before it was committed.
        let last = known.map_or(Some(0), |known| known.last_group);
        for &(_, account, id) in bodies.iter().filter(|(body, ..)| last.is_some_and(|l| l < *body && *body < group)) {
            forgotten |= is_newer(connection, account, id)?;
        }
        file.sync()?;
        let statement = "INSERT INTO segment (id, mark, end, last_group) VALUES (?1, ?2, ?3, ?4)
            ON CONFLICT (id) DO UPDATE SET end = excluded.end, last_group = excluded.last_group";
        connection.execute(statement, (id, sql(mark), sql(end), sql(group)))?;
    }
    let last_row = known.keys().max();
    for id in known.keys().filter(|id| files.binary_search(id).is_err() && Some(*id) != last_row) {
        connection.execute("DELETE FROM segment WHERE id = ?1 AND live = 0", [id])?;
    }
    connection.execute_batch("COMMIT")?;
    let last = files.iter().chain(known.keys()).max();
    let group: i64 = connection.query_row("SELECT ifnull(max(last_group), 0) FROM segment", [], |row| row.get(0))?;
    Ok(Next { segment: last.map_or(1, |last| last + 1), group: group.cast_unsigned() + 1, forgotten })
}

/// True where the index knows no body of the account that is as new. One that reclaiming has copied and
/// whose new place the index does not know yet is older than others.
fn is_newer(connection: &Connection, account: AccountId, id: BlobId) -> rusqlite::Result<bool> {
    let mut select = connection.prepare_cached("SELECT max(id) FROM blob WHERE account = ?1")?;
    let last: Option<i64> = select.query_row([sql(account.0)], |row| row.get(0))?;
    Ok(last.is_none_or(|last| last.cast_unsigned() < id.0))
}

/// What the index says of a segment.
struct Known {
    mark: u64,
    sealed: bool,
    /// The last group of commits with bodies here.
    last_group: Option<u64>,
}

/// What is found in a segment.
struct Ended {
    mark: u64,
    end: u64,
    group: u64,
    /// Group, account and number of each body.
    bodies: Vec<(u64, AccountId, BlobId)>,
}

fn look(file: &dyn DiskFile, mark: Option<u64>) -> Result<Ended, OpenError> {
    let mut ended = Ended { mark: mark.unwrap_or(0), end: 0, group: 0, bodies: Vec::new() };
    for found in scan(file, mark)? {
        let end = found.end();
        if let Found::Record { record, .. } = found {
            ended.end = end;
            ended.group = ended.group.max(record.group);
            match record.content {
                Content::Segment { .. } => ended.mark = record.mark,
                Content::Blob { account, id, .. } => ended.bodies.push((record.group, account, id)),
                Content::Piece { .. } => {}
            }
        }
    }
    Ok(ended)
}
