//! Bodies in the segments that the index does not name, or names where they are not.
//!
//! Reads every segment from its beginning to its end. A body that was dropped, or whose commit failed,
//! looks like one whose commit was forgotten: which of them count is for the owner to say.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::OptionalExtension;
use types::AccountId;

use super::Barrier;
use super::blob::{Stored, Uploaded};
use super::index::{self, Places, sql};
use super::reader::{Readers, bytes, form_and_hash};
use super::segments::Segments;
use crate::segment::{Content, Found, HEADER_LEN, Header, Piece, Record, scan};
use crate::{BlobId, Error, Stray, Strays, Upload};

/// The record of a body that may be a stray.
#[derive(Clone, Copy)]
struct At {
    segment: u32,
    offset: u64,
    group: u64,
    /// Its own octets are as they were written, and what it names elsewhere is there.
    whole: bool,
    /// The index names this body, at another place.
    named: bool,
}

impl At {
    /// The better of two records of one body: whole, then late.
    fn better(self, other: Self) -> Self {
        let rank = |at: &Self| (at.whole, at.group, at.segment, at.offset);
        if rank(&self) >= rank(&other) { self } else { other }
    }
}

type Records = BTreeMap<AccountId, BTreeMap<BlobId, At>>;

/// See the module.
pub(crate) fn find(readers: &Arc<Readers>, segments: &Arc<Segments>, barrier: &Barrier) -> Result<Strays, Error> {
    let mut found = Records::new();
    let mut unreadable = Vec::new();
    for id in segments.sealed()? {
        let before = unreadable.len();
        // The segment takes no more, and so the index knows then whatever was committed in it.
        barrier.flush()?;
        let known = Known::begin(readers, segments)?;
        let file = match segments.file(id) {
            Ok(file) => file,
            // It was given up since the list was made: nothing in it counts.
            Err(Error::Damaged(_)) => continue,
            Err(error) => return Err(error),
        };
        let scan = scan(&*file, None).map_err(|e| Error::Io(format!("cannot read segment {id}: {e}").into()))?;
        for each in scan {
            match each {
                Found::Record { offset, record, .. } => known.note(id, offset, &record, true, &mut found)?,
                Found::Damaged { offset, record: Some(record), .. } if is_blob(&record) => {
                    known.note(id, offset, &record, false, &mut found)?;
                }
                Found::Damaged { offset, len, .. } => {
                    unreadable.push(format!("segment {id}: {len} octets at {offset} cannot be read as what they were"));
                }
            }
        }
        if unreadable.len() > before + MAX_LINES {
            let more = unreadable.len() - before - MAX_LINES;
            unreadable.truncate(before + MAX_LINES);
            unreadable.push(format!("segment {id}: and so at {more} more places"));
        }
    }
    let known = Known::begin(readers, segments)?;
    found.retain(|&account, blobs| {
        // What the index names and finds is no stray.
        blobs.retain(|&id, at| !(at.named && known.is_there(account, id)));
        !blobs.is_empty()
    });
    let ids = found.iter().map(|(account, blobs)| (*account, blobs.keys().copied().collect())).collect();
    let segments = Arc::clone(segments);
    let open = move |account: AccountId, id: BlobId| {
        let at = found.get(&account).and_then(|blobs| blobs.get(&id));
        at.map(|at| open(&segments, account, id, at)).transpose()
    };
    Ok(Strays::new(ids, unreadable, open))
}

/// Damaged places of one segment that are told one by one.
const MAX_LINES: usize = 20;

fn is_blob(record: &Record) -> bool {
    matches!(record.content, Content::Blob { .. })
}

/// What the index knows.
struct Known {
    reading: super::reader::Reading,
    segments: Arc<Segments>,
}

impl Known {
    fn begin(readers: &Arc<Readers>, segments: &Arc<Segments>) -> Result<Self, Error> {
        Ok(Self { reading: readers.begin()?, segments: Arc::clone(segments) })
    }

    /// Where the index says that a body is. What it says may be damaged.
    fn places(&self, account: AccountId, id: BlobId) -> Result<Option<Option<Places>>, Error> {
        let mut select = self.reading.prepare("SELECT form, hash, places FROM blob WHERE account = ?1 AND id = ?2")?;
        let row = select.query_row([sql(account.0), sql(id.0)], |row| {
            let parts = form_and_hash(row, 0).and_then(|(form, hash)| Ok((form, hash, bytes(row, 2)?)));
            Ok(parts.and_then(|(form, hash, places)| Places::from_row(account, id, form, hash, places)).ok())
        });
        row.optional().map_err(index::error)
    }

    /// Notes a record that is not the one which the index names.
    fn note(&self, segment: u32, offset: u64, record: &Record, whole: bool, found: &mut Records) -> Result<(), Error> {
        let Content::Blob { account, id, .. } = record.content else { return Ok(()) };
        let places = self.places(account, id)?;
        if places.as_ref().is_some_and(|p| p.as_ref().is_some_and(|p| (p.segment, p.offset) == (segment, offset))) {
            return Ok(());
        }
        let whole = whole && has_pieces(&self.segments, &record.content);
        let at = At { segment, offset, group: record.group, whole, named: places.is_some() };
        found.entry(account).or_default().entry(id).and_modify(|best| *best = best.better(at)).or_insert(at);
        Ok(())
    }

    /// True where the record stands that the index names, with its pieces.
    fn is_there(&self, account: AccountId, id: BlobId) -> bool {
        let Ok(Some(Some(places))) = self.places(account, id) else { return false };
        let record = read(&self.segments, places.segment, places.offset);
        record.is_ok_and(|(record, _)| match &record.content {
            Content::Blob { account: a, id: i, pieces, .. } => {
                (*a, *i) == (account, id) && *pieces == places.pieces && has_pieces(&self.segments, &record.content)
            }
            _ => false,
        })
    }
}

/// True unless the pieces of a body are records of their own, of which one is missing: then the segment of that has been
/// given up since, and another record names the copies.
fn has_pieces(segments: &Segments, content: &Content) -> bool {
    let Content::Blob { upload, pieces, .. } = content else { return false };
    let stands = |index, piece: &Piece| {
        let found = read(segments, piece.segment, piece.record_offset());
        found.is_ok_and(|(record, _)| record.content == piece.content(*upload, index))
    };
    *upload == 0 || (0..).zip(pieces).all(|(index, piece)| stands(index, piece))
}

/// The record at a place, and how long it is with its body.
fn read(segments: &Segments, segment: u32, offset: u64) -> Result<(Record, u32), Error> {
    let damaged = || Error::Damaged(format!("the record at {offset} of segment {segment}"));
    let file = segments.file(segment)?;
    let mut header = [0; HEADER_LEN];
    file.read_at(offset, &mut header).map_err(|_| damaged())?;
    let header = Header::decode(&header).ok_or_else(damaged)?;
    let mut meta = vec![0; header.meta_len as usize];
    file.read_at(offset.saturating_add(HEADER_LEN as u64), &mut meta).map_err(|_| damaged())?;
    let record = header.record(&meta).ok_or_else(damaged)?;
    Ok((record, (HEADER_LEN + header.rest()) as u32))
}

fn open(segments: &Arc<Segments>, account: AccountId, id: BlobId, at: &At) -> Result<Stray, Error> {
    let (record, len) = read(segments, at.segment, at.offset)?;
    let Content::Blob { label, pieces, .. } = record.content else {
        return Err(Error::Damaged(format!("the record at {} of segment {}", at.offset, at.segment)));
    };
    let places = Places { segment: at.segment, offset: at.offset, len, pieces };
    let blob = Stored::open(segments, account, id, &places)?;
    let size = places.pieces.iter().map(|piece| u64::from(piece.size)).sum();
    let upload = Upload::new(size, Uploaded::There { places });
    Ok(Stray { label, blob: Arc::new(blob), upload, named: at.named })
}
