//! Brings an index up to date from the journals in the segments.
//!
//! What the index has not is in the journals of the groups that follow, one after the other without a gap. The
//! last group may have been cut off: its journal is not whole, or a body that it names is not. Nobody was told
//! of it. Any other group is followed by something, and so was durable: where its journal cannot be read,
//! commits are lost, which is said.
//!
//! A copy of an index that is lost catches up in the same way ([`catch_up`]), where it can be shown that nothing is
//! missing between it and the end. It is much longer behind, so more is asked: no group may be lacking, and each
//! commit of an account must be the one after its last. An account that has lost commits once has got others with
//! the same numbers since, before anybody was served; then nobody can say from here which of them count.

use std::collections::{BTreeSet, HashMap};
use std::io;

use rusqlite::{Connection, OptionalExtension};
use types::AccountId;

use super::OpenError;
use super::blob::examine;
use super::index::{self, sql};
use super::indexer::{self, Live};
use super::journal::{self, Change};
use super::leftovers::{Journal, Leftovers};
use super::overlay::Layer;
use super::remake::remake;
use super::segments::Segments;
use crate::{CommitNumber, Error, FromBlobs};

/// Brings the index up to date, in one transaction. `flushed` is the last group that it has: `None` where no
/// journal counts. What was lost, in plain words.
pub(crate) fn replay(
    connection: &Connection,
    segments: &Segments,
    flushed: Option<u64>,
    left: &Leftovers,
    from_blobs: Option<&dyn FromBlobs>,
) -> Result<Vec<String>, OpenError> {
    let now = flushed.map_or(left.seen, |flushed| flushed.max(left.seen));
    if flushed == Some(now) {
        return Ok(vec![]);
    }
    let mut replay = Replay::new(connection, segments, from_blobs);
    let mut layer = Layer::new(flushed.unwrap_or(now));
    match flushed {
        Some(flushed) => replay.groups(flushed, left, &mut layer)?,
        // What was taken over from a damaged index as it was at its end may have been behind these.
        None if !left.journals.is_empty() => replay.distrust(None)?,
        None => {}
    }
    let mut live = Live::new();
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let put = indexer::put_layer(connection, &layer, &mut live).and_then(|()| indexer::put_live(connection, live));
    put.map_err(failed)?;
    index::set_flushed(connection, Some(now))?;
    for account in std::mem::take(&mut replay.behind) {
        replay.distrust(Some(account))?;
    }
    connection.execute_batch("COMMIT")?;
    Ok(replay.said)
}

/// Brings a copy of the index, which has everything up to group `flushed`, to its end. False where that cannot be
/// shown to be the end, and then the copy is of no use any more: it may have been brought half way.
/// `acknowledged` is the last group that was.
pub(crate) fn catch_up(
    connection: &Connection,
    segments: &Segments,
    flushed: u64,
    acknowledged: u64,
    left: &Leftovers,
    from_blobs: Option<&dyn FromBlobs>,
) -> Result<bool, OpenError> {
    let mut replay = Replay::new(connection, segments, from_blobs);
    let (mut last, mut layer) = (flushed, Layer::new(flushed));
    let mut journals = left.journals.range(flushed + 1..).peekable();
    while let Some((&group, journal)) = journals.next() {
        let octets = replay.read(journal).map_err(failed)?;
        // What was put into the index already is what differences begin from, too.
        let before =
            |account, key: &[u8]| layer.recent(account, key).or_else(|| index::value(connection, account, key));
        let Some(changes) = journal::decode(&octets, before) else { return Ok(false) };
        // Where a process ended, the last group may have been cut off, and then it never was in an index.
        let ends = journals.peek().is_none_or(|(_, next)| next.segment != journal.segment);
        if ends && !replay.is_whole(&changes)? {
            return Ok(group == left.seen
                && group == last + 1
                && acknowledged <= last
                && put(connection, &layer, last)?);
        }
        if group != last + 1 {
            return Ok(false);
        }
        for change in changes {
            if change.number.0 != replay.number(change.account)?.0 + 1 {
                return Ok(false);
            }
            replay.apply(change, &mut layer);
        }
        last = group;
        if layer.size() > PORTION {
            put(connection, &layer, last)?;
            layer = Layer::new(last);
        }
    }
    // Of the last group there may be bodies without a journal: nobody was told of it.
    let is_end = acknowledged <= last && left.seen <= last + 1;
    Ok(is_end && put(connection, &layer, last)?)
}

/// Octets of memory that are put into the index at one time.
const PORTION: usize = 16 << 20;

fn put(connection: &Connection, layer: &Layer, last: u64) -> Result<bool, OpenError> {
    let mut live = Live::new();
    connection.execute_batch("BEGIN IMMEDIATE")?;
    indexer::put_layer(connection, layer, &mut live)
        .and_then(|()| indexer::put_live(connection, live))
        .map_err(failed)?;
    index::set_flushed(connection, Some(last))?;
    connection.execute_batch("COMMIT")?;
    Ok(true)
}

fn failed(error: Error) -> OpenError {
    OpenError::Io(io::Error::other(error.to_string()))
}

struct Replay<'a> {
    connection: &'a Connection,
    segments: &'a Segments,
    /// At which commits accounts are.
    numbers: HashMap<AccountId, CommitNumber>,
    /// Accounts that lack commits before some that are there.
    behind: BTreeSet<AccountId>,
    said: Vec<String>,
    /// Makes what the journals lack.
    from_blobs: Option<&'a dyn FromBlobs>,
}

impl<'a> Replay<'a> {
    fn new(connection: &'a Connection, segments: &'a Segments, from_blobs: Option<&'a dyn FromBlobs>) -> Self {
        Self { connection, segments, numbers: HashMap::new(), behind: BTreeSet::new(), said: vec![], from_blobs }
    }

    /// Does a change, with what its journal lacks.
    fn apply(&mut self, mut change: Change, layer: &mut Layer) {
        if let Some(from_blobs) = self.from_blobs {
            remake(&mut change, self.segments, from_blobs);
        }
        self.numbers.insert(change.account, change.number);
        layer.apply(change);
    }

    fn groups(&mut self, flushed: u64, left: &Leftovers, layer: &mut Layer) -> Result<(), OpenError> {
        let mut expected = flushed + 1;
        for (&group, journal) in left.journals.range(expected..) {
            let octets = self.read(journal).map_err(failed)?;
            let Some(changes) = journal::decode(&octets, |account, key| layer.recent(account, key)) else { continue };
            // What follows a group proves that it was durable.
            if group == left.seen && !self.is_whole(&changes)? {
                break;
            }
            self.gap(expected, group)?;
            expected = group + 1;
            for change in changes {
                self.change(change, layer)?;
            }
        }
        self.gap(expected, left.seen)
    }

    /// Groups from `from` on and before `to` cannot be read.
    fn gap(&mut self, from: u64, to: u64) -> Result<(), OpenError> {
        if from < to {
            let of = if to - from == 1 { "a group".to_owned() } else { format!("{} groups", to - from) };
            self.said.push(format!("commits are lost: the journal of {of} cannot be read"));
            self.distrust(None)?;
        }
        Ok(())
    }

    /// Takes a change where it follows what is there. In an index that was made again it may not.
    fn change(&mut self, change: Change, layer: &mut Layer) -> Result<(), OpenError> {
        let number = self.number(change.account)?;
        if change.number.0 > number.0 + 1 {
            self.behind.insert(change.account);
            return Ok(());
        }
        self.apply(change, layer);
        Ok(())
    }

    /// The last commit of an account.
    fn number(&self, account: AccountId) -> rusqlite::Result<CommitNumber> {
        if let Some(number) = self.numbers.get(&account) {
            return Ok(*number);
        }
        let mut select = self.connection.prepare_cached("SELECT number FROM account WHERE id = ?1")?;
        let number = select.query_row([sql(account.0)], |row| row.get::<_, i64>(0)).optional()?;
        Ok(CommitNumber(number.unwrap_or(0).cast_unsigned()))
    }

    /// Of this account, or of all, nobody can say any more that nothing is lost.
    fn distrust(&mut self, account: Option<AccountId>) -> Result<(), OpenError> {
        let there = "SELECT count(*) FROM sqlite_schema WHERE name = 'recovery'";
        if self.connection.query_row(there, [], |row| row.get::<_, i64>(0))? == 0 {
            if let Some(account) = account {
                self.said.push(format!("account {account}: the journal has commits that do not follow those before"));
            }
            return Ok(());
        }
        let statement = "DELETE FROM recovery WHERE current IS NOT NULL AND (?1 IS NULL OR current = ?1)";
        self.connection.execute(statement, [account.map(|account| sql(account.0))])?;
        Ok(())
    }

    fn read(&self, journal: &Journal) -> Result<Vec<u8>, Error> {
        let file = self.segments.file(journal.segment)?;
        let mut octets = Vec::new();
        for &(offset, len) in &journal.parts {
            let before = octets.len();
            octets.resize(before + len, 0);
            let read = file.read_at(offset, octets.get_mut(before..).unwrap_or_default());
            read.map_err(|e| Error::Io(format!("cannot read segment {}: {e}", journal.segment).into()))?;
        }
        Ok(octets)
    }

    /// True where all bodies are there that changes name, with their records.
    fn is_whole(&self, changes: &[Change]) -> rusqlite::Result<bool> {
        let mut select = self.connection.prepare("SELECT id, mark FROM segment")?;
        let marks: HashMap<u32, i64> = select.query_map([], |row| row.try_into())?.collect::<rusqlite::Result<_>>()?;
        let mark = |segment: u32| marks.get(&segment).map(|mark| mark.cast_unsigned());
        let mut blobs = changes.iter().flat_map(|c| c.blobs.iter().map(|(id, places)| (c.account, *id, places)));
        Ok(blobs.all(|(account, id, places)| examine(self.segments, &mark, account, id, places).is_empty()))
    }
}
