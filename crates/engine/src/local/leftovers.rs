//! What a process that ended without sealing its segments has left behind, journals among it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rusqlite::Connection;

use super::OpenError;
use super::index::sql;
use super::segments::{file_name, list};
use crate::disk::{Disk, DiskFile};
use crate::segment::{Content, Found, HEADER_LEN, JOURNAL_META_LEN, scan};

/// What was found in segments.
pub(crate) struct Leftovers {
    /// The number of the next segment.
    pub(crate) segment: u32,
    /// The last group of which there is anything.
    pub(crate) seen: u64,
    /// The whole journals of groups that may not be in the index.
    pub(crate) journals: BTreeMap<u64, Journal>,
    /// Something was written since the last orderly end.
    pub(crate) unclean: bool,
}

/// Where the journal of a group is.
pub(crate) struct Journal {
    pub(crate) segment: u32,
    /// Where its octets begin, and how many there are, part by part.
    pub(crate) parts: Vec<(u64, usize)>,
}

/// Decides where each segment ends that was growing, makes that durable, and writes it down. Such a
/// segment is never written to again. Rows of segments that were given up and are gone go too. Looks for
/// journals wherever there may be some of groups after `flushed`.
pub(crate) fn seal(
    connection: &Connection,
    disk: &dyn Disk,
    dir: &Path,
    flushed: Option<u64>,
) -> Result<Leftovers, OpenError> {
    let files = list(disk, dir)?;
    let known: HashMap<u32, Known> = {
        let mut select = connection.prepare("SELECT id, mark, end IS NOT NULL, last_group FROM segment")?;
        let known = |mark: i64, sealed, last: Option<i64>| Known {
            mark: mark.cast_unsigned(),
            sealed,
            last_group: last.unwrap_or(0).cast_unsigned(),
        };
        let rows = select.query_map([], |row| Ok((row.get(0)?, known(row.get(1)?, row.get(2)?, row.get(3)?))))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    let last = files.iter().chain(known.keys()).max();
    let seen = known.values().map(|known| known.last_group).max().unwrap_or(0);
    let segment = last.map_or(1, |last| last + 1);
    let mut left = Leftovers { segment, seen, journals: BTreeMap::new(), unclean: false };
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for &id in &files {
        let known = known.get(&id);
        let sealed = known.is_some_and(|known| known.sealed);
        if sealed && known.zip(flushed).is_none_or(|(known, flushed)| known.last_group <= flushed) {
            continue;
        }
        let file = disk.open(&dir.join(file_name(id)))?;
        let Ended { mark, end, group } = look(id, &*file, known.map(|known| known.mark), &mut left.journals)?;
        left.seen = left.seen.max(group);
        left.unclean = true;
        if sealed {
            continue;
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
    Ok(left)
}

/// What the index says of a segment.
struct Known {
    mark: u64,
    sealed: bool,
    /// The last group that may have something here.
    last_group: u64,
}

/// What is found in a segment.
struct Ended {
    mark: u64,
    end: u64,
    group: u64,
}

fn look(
    segment: u32,
    file: &dyn DiskFile,
    mark: Option<u64>,
    journals: &mut BTreeMap<u64, Journal>,
) -> Result<Ended, OpenError> {
    let mut ended = Ended { mark: mark.unwrap_or(0), end: 0, group: 0 };
    let mut begun: Option<(u64, Journal)> = None;
    for found in scan(file, mark)? {
        let end = found.end();
        let (mut before, Found::Record { offset, record, body }) = (begun.take(), found) else { continue };
        ended.end = end;
        // The first record may be lost, where nothing behind it counts either.
        ended.mark = record.mark;
        ended.group = ended.group.max(record.group);
        match record.content {
            Content::Journal { part, parts, .. } => {
                if part == 0 {
                    before = Some((record.group, Journal { segment, parts: vec![] }));
                }
                // The parts of one stand one after the other.
                let Some((group, mut journal)) =
                    before.filter(|(group, journal)| *group == record.group && journal.parts.len() == part as usize)
                else {
                    continue;
                };
                journal.parts.push((offset + (HEADER_LEN + JOURNAL_META_LEN) as u64, body.len()));
                if part + 1 == parts {
                    journals.insert(group, journal);
                } else {
                    begun = Some((group, journal));
                }
            }
            Content::Segment { .. } | Content::Blob { .. } | Content::Piece { .. } => {}
        }
    }
    Ok(ended)
}
