//! Reads all of a store and says what is wrong with it, in plain words.
//!
//! Dead space is nothing wrong: bodies that no commit has named, or that were dropped.

use std::collections::{HashMap, HashSet};

use types::AccountId;

use super::blob::examine;
use super::index::{self, DERIVED, Places, sql};
use super::reader::{Reading, bytes, form_and_hash};
use super::segments::Segments;
use crate::{BlobId, Error};

/// Everything as one commit left it.
pub(crate) fn check(reading: &Reading, segments: &Segments) -> Result<Vec<String>, Error> {
    let mut check = Check { reading, segments, wrong: Vec::new(), rows: HashMap::new(), live: HashMap::new() };
    // The first statement decides which commit the others see. Where one cannot go on, the next may.
    check.read_segments().unwrap_or_else(|e| check.wrong.push(e.to_string()));
    check.sqlite().unwrap_or_else(|e| check.wrong.push(e.to_string()));
    let accounts = check.accounts().unwrap_or_else(|e| {
        check.wrong.push(e.to_string());
        HashSet::new()
    });
    check.entries(&accounts).unwrap_or_else(|e| check.wrong.push(e.to_string()));
    check.blobs(&accounts).unwrap_or_else(|e| check.wrong.push(e.to_string()));
    check.accounting();
    Ok(check.wrong)
}

struct Check<'a> {
    reading: &'a Reading,
    segments: &'a Segments,
    wrong: Vec<String>,
    /// What the index says of each segment.
    rows: HashMap<u32, SegmentRow>,
    /// The octets of each that blobs use.
    live: HashMap<u32, u64>,
}

struct SegmentRow {
    mark: u64,
    live: i64,
    end: Option<u64>,
}

impl Check<'_> {
    fn read_segments(&mut self) -> Result<(), Error> {
        let mut select = self.reading.prepare("SELECT id, mark, live, end FROM segment")?;
        let rows = select.query_map([], |row| {
            let (id, mark, live, end): (u32, i64, i64, Option<i64>) = row.try_into()?;
            Ok((id, SegmentRow { mark: mark.cast_unsigned(), live, end: end.map(i64::cast_unsigned) }))
        });
        self.rows = rows.and_then(|rows| rows.collect()).map_err(index::error)?;
        Ok(())
    }

    fn sqlite(&mut self) -> Result<(), Error> {
        let mut pragma = self.reading.prepare("PRAGMA integrity_check")?;
        let lines = pragma.query_map([], |row| row.get::<_, String>(0)).map_err(index::error)?;
        for line in lines {
            let line = line.map_err(index::error)?;
            if line != "ok" {
                self.wrong.push(format!("index.db: SQLite says: {line}"));
            }
        }
        Ok(())
    }

    fn accounts(&self) -> Result<HashSet<AccountId>, Error> {
        let mut select = self.reading.prepare("SELECT id FROM account WHERE number > 0")?;
        let ids = select.query_map([], |row| row.get::<_, i64>(0));
        let ids = ids.and_then(|ids| ids.map(|id| Ok(AccountId(id?.cast_unsigned()))).collect());
        ids.map_err(index::error)
    }

    fn entries(&mut self, accounts: &HashSet<AccountId>) -> Result<(), Error> {
        let mut select = self.reading.prepare("SELECT account, key, form, hash, value FROM entry")?;
        let mut rows = select.query([]).map_err(index::error)?;
        let mut strangers = HashSet::new();
        while let Some(row) = rows.next().map_err(index::error)? {
            let account = AccountId(row.get::<_, i64>(0).map_err(index::error)?.cast_unsigned());
            let key = bytes(row, 1)?;
            let (form, hash) = form_and_hash(row, 2)?;
            if let Err(e) = index::verify(account, key, form, hash, bytes(row, 4)?) {
                let hint = if form == DERIVED { " (derived: it can be computed again)" } else { "" };
                self.wrong.push(format!("{e}{hint}"));
            }
            if !accounts.contains(&account) && strangers.insert(account) {
                self.wrong.push(format!("account {account} has keys but no commit"));
            }
        }
        Ok(())
    }

    fn blobs(&mut self, accounts: &HashSet<AccountId>) -> Result<(), Error> {
        let mut select = self.reading.prepare("SELECT account, id, form, hash, places FROM blob")?;
        let mut rows = select.query([]).map_err(index::error)?;
        let mut strangers = HashSet::new();
        while let Some(row) = rows.next().map_err(index::error)? {
            let account = AccountId(row.get::<_, i64>(0).map_err(index::error)?.cast_unsigned());
            let id = BlobId(row.get::<_, i64>(1).map_err(index::error)?.cast_unsigned());
            let (form, hash) = form_and_hash(row, 2)?;
            match Places::from_row(account, id, form, hash, bytes(row, 4)?) {
                Ok(places) => self.blob(account, id, &places),
                Err(e) => self.wrong.push(e.to_string()),
            }
            if !accounts.contains(&account) && strangers.insert(account) {
                self.wrong.push(format!("account {account} has blobs but no commit"));
            }
        }
        Ok(())
    }

    /// The record that names the blob, and every piece.
    fn blob(&mut self, account: AccountId, id: BlobId, places: &Places) {
        for (segment, bytes) in places.footprint() {
            *self.live.entry(segment).or_default() += bytes;
        }
        let mark = |segment: u32| self.rows.get(&segment).map(|row| row.mark);
        let found = examine(self.segments, &mark, account, id, places);
        self.wrong.extend(found.into_iter().map(|what| format!("account {account}, blob {}: {what}", id.0)));
    }

    fn accounting(&mut self) {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_unstable_by_key(|(id, _)| **id);
        for (id, row) in rows {
            let live = self.live.get(id).copied().unwrap_or(0);
            if row.live != sql(live) {
                self.wrong.push(format!("segment {id}: the index counts {} octets in use, blobs use {live}", row.live));
            }
            // A segment that was cut off is known by its bodies.
            if row.end.is_some_and(|end| live > end) && self.wrong.is_empty() {
                self.wrong.push(format!("segment {id}: blobs use {live} octets, more than there are"));
            }
        }
    }
}
