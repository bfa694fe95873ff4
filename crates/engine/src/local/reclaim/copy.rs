//! Finds what is alive in segments that are given up, and copies it forward.
//!
//! A copy has the account, the id, the label and, in pieces, the upload and the numbers of what it
//! is a copy of, and is compressed where that is. Each octet is verified on the way.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use types::AccountId;

use super::Marks;
use crate::local::blob::{read_record, read_stored};
use crate::local::index::{self, Places};
use crate::local::reader::{Reading, bytes, form_and_hash};
use crate::local::segments::{Lane, Segment, Segments};
use crate::segment::{Content, PIECE_META_LEN, Piece, blob_meta_len};
use crate::{BlobId, Error};

/// A blob that uses something of the segments that are given up.
pub(crate) struct Living {
    account: AccountId,
    id: BlobId,
    pub(crate) places: Places,
}

/// What the index has to learn.
pub(crate) struct Move {
    pub(crate) account: AccountId,
    pub(crate) id: BlobId,
    pub(crate) from: Places,
    pub(crate) to: Places,
}

/// What was copied and is not named yet.
#[derive(Default)]
pub(crate) struct Copies {
    pub(crate) moves: Vec<Move>,
    /// What was written.
    pub(crate) octets: u64,
    used: HashMap<u32, Arc<Segment>>,
}

impl Copies {
    /// Makes them durable.
    pub(crate) fn sync(&self, segments: &Segments) -> Result<(), Error> {
        self.used.values().try_for_each(|segment| segments.sync(segment))
    }
}

/// The blobs that use something of `victims`, in the order in which they lie there, and the marks
/// of all segments. A blob whose places are damaged is not among them: `live` of its segments
/// never comes down to nothing.
pub(crate) fn living(reading: &Reading, victims: &HashSet<u32>) -> Result<(Vec<Living>, Marks), Error> {
    let mut living = Vec::new();
    let mut select = reading.prepare("SELECT account, id, form, hash, places FROM blob")?;
    let mut rows = select.query([]).map_err(index::error)?;
    while let Some(row) = rows.next().map_err(index::error)? {
        let account = AccountId(row.get::<_, i64>(0).map_err(index::error)?.cast_unsigned());
        let id = BlobId(row.get::<_, i64>(1).map_err(index::error)?.cast_unsigned());
        let (form, hash) = form_and_hash(row, 2)?;
        if let Ok(places) = Places::from_row(account, id, form, hash, bytes(row, 4)?)
            && places.footprint().any(|(segment, _)| victims.contains(&segment))
        {
            living.push(Living { account, id, places });
        }
    }
    living.sort_unstable_by_key(|blob| (blob.places.segment, blob.places.offset));
    let mut select = reading.prepare("SELECT id, mark FROM segment")?;
    let marks = select.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())));
    let marks = marks.and_then(|rows| rows.collect()).map_err(index::error)?;
    Ok((living, marks))
}

/// Copies blobs out of segments.
pub(crate) struct Copier<'a> {
    pub(crate) segments: Arc<Segments>,
    pub(crate) marks: Marks,
    pub(crate) victims: &'a HashSet<u32>,
}

/// What was read of a blob's record.
struct Head {
    upload: u64,
    label: Vec<u8>,
}

impl Copier<'_> {
    /// Copies what of a blob lies in the victims, and the record that names it. The inner error
    /// says what can not be read; then nothing of it counts.
    pub(crate) fn copy(&self, blob: &Living, copies: &mut Copies) -> Result<Result<(), String>, Error> {
        let named = |what: String| format!("account {}, blob {}: {what}", blob.account, blob.id.0);
        let head = match self.head(blob) {
            Ok(head) => head,
            Err(what) => return Ok(Err(named(what))),
        };
        // A small body lies in the record itself, whole.
        let inside = blob.places.pieces.iter().all(|piece| blob.places.inside(piece));
        let copied = if inside { self.record_with_body(blob, head, copies)? } else { self.pieces(blob, head, copies)? };
        Ok(copied.map_err(named))
    }

    fn head(&self, blob: &Living) -> Result<Head, String> {
        let Places { segment, offset, .. } = blob.places;
        let mark = self.marks.get(&segment).ok_or_else(|| format!("segment {segment} is unknown to the index"))?;
        match read_record(&self.segments, segment, *mark, offset)?.content {
            Content::Blob { account, id, upload, label, pieces }
                if (account, id) == (blob.account, blob.id) && pieces == blob.places.pieces =>
            {
                Ok(Head { upload, label })
            }
            _ => Err(format!("the record at {offset} of segment {segment} names another blob")),
        }
    }

    fn record_with_body(&self, blob: &Living, head: Head, copies: &mut Copies) -> Result<Result<(), String>, Error> {
        let mut body = Vec::new();
        for piece in &blob.places.pieces {
            if let Err(what) = self.read(piece, &mut body) {
                return Ok(Err(what));
            }
        }
        self.record(blob, head, &blob.places.pieces, &body, copies)?;
        Ok(Ok(()))
    }

    fn pieces(&self, blob: &Living, head: Head, copies: &mut Copies) -> Result<Result<(), String>, Error> {
        let mut pieces = blob.places.pieces.clone();
        let mut body = Vec::new();
        for (index, piece) in pieces.iter_mut().enumerate().filter(|(_, piece)| self.victims.contains(&piece.segment)) {
            body.clear();
            if let Err(what) = self.read(piece, &mut body) {
                return Ok(Err(what));
            }
            let content = piece.content(head.upload, index as u32);
            let place = |segment, offset| {
                (piece.segment, piece.offset) = (segment, offset);
                content
            };
            let (segment, offset) = self.segments.append(Lane::Forward, PIECE_META_LEN, &body, place)?;
            copies.octets += piece.offset - offset + u64::from(piece.len);
            copies.used.insert(segment.id, segment);
        }
        self.record(blob, head, &pieces, &[], copies)?;
        Ok(Ok(()))
    }

    /// Writes the record that names the copy; with a body, the pieces lie in it.
    fn record(
        &self,
        blob: &Living,
        Head { upload, label }: Head,
        pieces: &[Piece],
        body: &[u8],
        copies: &mut Copies,
    ) -> Result<(), Error> {
        let (account, id) = (blob.account, blob.id);
        let mut pieces = pieces.to_vec();
        let meta_len = blob_meta_len(label.len(), &pieces);
        let mut end = 0;
        let content = |segment, mut offset| {
            if !body.is_empty() {
                for piece in &mut pieces {
                    (piece.segment, piece.offset) = (segment, offset);
                    offset += u64::from(piece.len);
                }
            }
            end = offset;
            Content::Blob { account, id, upload, label, pieces: pieces.clone() }
        };
        let (segment, offset) = self.segments.append(Lane::Forward, meta_len, body, content)?;
        let len = (end - offset) as u32;
        copies.octets += u64::from(len);
        let to = Places { segment: segment.id, offset, len, pieces };
        copies.moves.push(Move { account, id, from: blob.places.clone(), to });
        copies.used.insert(segment.id, segment);
        Ok(())
    }

    fn read(&self, piece: &Piece, out: &mut Vec<u8>) -> Result<(), String> {
        let file = self.segments.file(piece.segment).map_err(|e| e.to_string())?;
        read_stored(piece, &*file, out)
    }
}
