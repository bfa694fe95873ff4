//! Blobs on their way in and on their way out.
//!
//! What is small is held in memory until its commit writes it as one record. What turns out larger
//! goes to the growing segment piece by piece as it arrives; its commit writes only the list of
//! places. A piece ends where the caller cuts and where it is [`PIECE_MAX`] long, and is then compressed, if that is wanted.

use std::ops::Range;
use std::sync::Arc;

use types::AccountId;
use xxhash_rust::xxh3::xxh3_64;

use super::index::Places;
use super::segments::{Lane, Segment, Segments};
use crate::codec::unpack;
use crate::disk::DiskFile;
use crate::segment::{Content, HEADER_LEN, Header, PIECE_MAX, PIECE_META_LEN, Piece, Record};
use crate::{Blob, BlobId, BlobWriter, Codec, Error, SMALL_MAX, Upload};

/// What a finished upload is to this engine.
pub(crate) enum Uploaded {
    /// What is stored of it, and its pieces, which have no place yet.
    Small { bytes: Arc<Vec<u8>>, pieces: Vec<Piece> },
    /// Pieces in segments, which must be synced before they are named.
    Large { upload: u64, pieces: Vec<Piece>, segments: Vec<Arc<Segment>> },
    /// A record that is in a segment already, durable, and that the index does not name there.
    There { places: Places },
}

impl Uploaded {
    /// Its pieces.
    pub(crate) fn pieces(&self) -> &[Piece] {
        match self {
            Self::Small { pieces, .. } | Self::Large { pieces, .. } => pieces,
            Self::There { places } => &places.pieces,
        }
    }

    /// The octets that go into the record which names it.
    pub(crate) fn body(&self) -> &[u8] {
        match self {
            Self::Small { bytes, .. } => bytes,
            Self::Large { .. } | Self::There { .. } => &[],
        }
    }
}

/// Octets that many messages have at most.
const USUAL: usize = 8 * 1024;

/// A blob that is arriving.
pub(crate) struct Writer {
    segments: Arc<Segments>,
    codec: Codec,
    upload: u64,
    /// All octets so far, before any are compressed.
    size: u64,
    /// What is in no segment yet: whole pieces, then the one that is growing.
    held: Vec<u8>,
    /// The whole pieces in `held`, which have no place yet.
    whole: Vec<Piece>,
    /// The octets of `held` that are in whole pieces.
    whole_len: usize,
    /// What is in segments.
    stored: Vec<Piece>,
    used: Vec<Arc<Segment>>,
}

impl Writer {
    pub(crate) fn new(segments: Arc<Segments>, codec: Codec) -> Result<Self, Error> {
        segments.writable()?;
        segments.room_for_blobs()?;
        let upload = segments.next_upload();
        let (held, whole, stored, used) = Default::default();
        Ok(Self { segments, codec, upload, size: 0, held, whole, whole_len: 0, stored, used })
    }

    /// Writes the pieces that are whole to the growing segment.
    fn store_whole(&mut self) -> Result<(), Error> {
        while let Some(&piece) = self.whole.first() {
            let len = piece.len;
            self.segments.room_for_blobs()?;
            let body = self.held.get(..len as usize).unwrap_or_default();
            let content = piece.content(self.upload, self.stored.len() as u32);
            let (segment, offset) = self.segments.append(Lane::New, PIECE_META_LEN, body, |_, _| content)?;
            let offset = offset + (HEADER_LEN + PIECE_META_LEN) as u64;
            self.stored.push(Piece { segment: segment.id, offset, ..piece });
            if self.used.last().is_none_or(|last| last.id != segment.id) {
                self.used.push(segment);
            }
            self.held.drain(..len as usize);
            self.whole_len -= len as usize;
            self.whole.remove(0);
        }
        Ok(())
    }
}

impl BlobWriter for Writer {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        if self.held.is_empty() {
            self.held.reserve(bytes.len().max(USUAL));
        }
        while !bytes.is_empty() {
            let room = PIECE_MAX - (self.held.len() - self.whole_len);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.held.extend_from_slice(now);
            self.size += now.len() as u64;
            bytes = later;
            if now.len() == room {
                self.cut()?;
            }
        }
        // Only now it may be known that the pieces before are those of a large blob.
        if self.size > SMALL_MAX as u64 { self.store_whole() } else { Ok(()) }
    }

    fn cut(&mut self) -> Result<(), Error> {
        let piece = self.held.get(self.whole_len..).unwrap_or_default();
        if !piece.is_empty() {
            let size = piece.len() as u32;
            if let Some(packed) = self.codec.pack(piece) {
                self.held.truncate(self.whole_len);
                self.held.extend_from_slice(&packed);
            }
            let stored = self.held.get(self.whole_len..).unwrap_or_default();
            let (len, hash) = (stored.len() as u32, xxh3_64(stored));
            self.whole.push(Piece { segment: 0, offset: 0, len, hash, size });
            self.whole_len = self.held.len();
        }
        if self.size > SMALL_MAX as u64 { self.store_whole() } else { Ok(()) }
    }

    fn memory(&self) -> usize {
        let lists = (self.whole.capacity() + self.stored.capacity()) * size_of::<Piece>();
        size_of::<Self>() + self.held.capacity() + lists
    }

    fn finish(mut self: Box<Self>) -> Result<Upload, Error> {
        self.cut()?;
        let uploaded = if self.size > SMALL_MAX as u64 {
            Uploaded::Large { upload: self.upload, pieces: self.stored, segments: self.used }
        } else {
            Uploaded::Small { bytes: Arc::new(self.held), pieces: self.whole }
        };
        Ok(Upload::new(self.size, uploaded))
    }
}

/// Makes small uploads large ones: their pieces go into the growing segment, all in one place, and are synced.
pub(crate) fn write_out(segments: &Segments, uploads: &mut [&mut Upload]) -> Result<(), Error> {
    segments.room_for_blobs()?;
    let mut small: Vec<_> =
        uploads.iter_mut().filter(|upload| matches!(upload.inner(), Some(Uploaded::Small { .. }))).collect();
    if small.is_empty() {
        return Ok(());
    }
    let pieces = small.iter().filter_map(|upload| upload.inner()).flat_map(Uploaded::pieces);
    let room = pieces.map(|piece| HEADER_LEN + PIECE_META_LEN + piece.len as usize).sum();
    let (segment, start) = segments.claim(Lane::New, room as u64)?;
    let mut octets = Vec::with_capacity(room);
    let mut large = Vec::with_capacity(small.len());
    for upload in &small {
        let Some(Uploaded::Small { bytes, pieces }) = upload.inner() else { continue };
        let (number, mut pieces, mut rest) = (segments.next_upload(), pieces.clone(), bytes.as_slice());
        for (index, piece) in (0..).zip(&mut pieces) {
            let (body, later) = rest.split_at_checked(piece.len as usize).unwrap_or((rest, &[]));
            let content = piece.content(number, index);
            Record { mark: segment.mark, group: segments.group(), content }.encode(body.len() as u32, &mut octets);
            (piece.segment, piece.offset) = (segment.id, start + octets.len() as u64);
            octets.extend_from_slice(body);
            rest = later;
        }
        large.push(Uploaded::Large { upload: number, pieces, segments: vec![Arc::clone(&segment)] });
    }
    segments.write(&segment, start, &octets)?;
    segments.sync(&segment)?;
    for (upload, large) in small.iter_mut().zip(large) {
        ***upload = Upload::new(upload.size(), large);
    }
    Ok(())
}

/// The same content once more, with pieces of its own.
pub(crate) fn duplicate(segments: &Arc<Segments>, codec: Codec, upload: &Upload) -> Result<Upload, Error> {
    let uploaded = upload.inner().ok_or_else(|| Error::Io("an upload to another engine".into()))?;
    match uploaded {
        Uploaded::Small { bytes, pieces } => {
            let again = Uploaded::Small { bytes: Arc::clone(bytes), pieces: pieces.clone() };
            Ok(Upload::new(upload.size(), again))
        }
        Uploaded::Large { pieces, .. } | Uploaded::There { places: Places { pieces, .. } } => {
            let mut writer = Box::new(Writer::new(Arc::clone(segments), codec)?);
            let mut bytes = Vec::new();
            for piece in pieces {
                bytes.clear();
                read_piece(piece, &*segments.file(piece.segment)?, 0..piece.size, &mut bytes)
                    .map_err(|what| Error::Damaged(format!("an upload: {what}")))?;
                writer.write(&bytes)?;
                writer.cut()?;
            }
            writer.finish()
        }
    }
}

/// A blob to read. It holds its files open, so that nothing can take them away.
pub(crate) struct Stored {
    account: AccountId,
    id: BlobId,
    size: u64,
    pieces: Vec<StoredPiece>,
}

struct StoredPiece {
    /// The octets of the blob that come before it.
    start: u64,
    piece: Piece,
    file: Arc<dyn DiskFile>,
}

impl StoredPiece {
    /// The octets of the blob that are in it or come before it.
    fn end(&self) -> u64 {
        self.start + u64::from(self.piece.size)
    }

    /// True where both are stored as they are, one behind the other.
    fn is_followed_by(&self, next: &Self) -> bool {
        let (piece, next) = (&self.piece, &next.piece);
        piece.codec() == Codec::None
            && next.codec() == Codec::None
            && piece.segment == next.segment
            && piece.offset + u64::from(piece.len) == next.offset
    }
}

impl Stored {
    pub(crate) fn open(segments: &Segments, account: AccountId, id: BlobId, places: &Places) -> Result<Self, Error> {
        let mut size = 0;
        let mut pieces: Vec<StoredPiece> = Vec::with_capacity(places.pieces.len());
        for &piece in &places.pieces {
            let file = match pieces.last() {
                Some(last) if last.piece.segment == piece.segment => Arc::clone(&last.file),
                _ => segments.file(piece.segment).map_err(|e| named(account, id, &e.to_string()))?,
            };
            pieces.push(StoredPiece { start: size, piece, file });
            size += u64::from(piece.size);
        }
        Ok(Self { account, id, size, pieces })
    }
}

impl Blob for Stored {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), Error> {
        if range.start > range.end || range.end > self.size {
            return Err(Error::Io(format!("a range that is not within the {} octets of the blob", self.size).into()));
        }
        let before = out.len();
        let first = self.pieces.partition_point(|p| p.end() <= range.start);
        let concerned = self.pieces.partition_point(|p| p.start < range.end).saturating_sub(first);
        let pieces = self.pieces.get(first..first + concerned).unwrap_or_default();
        for run in pieces.chunk_by(StoredPiece::is_followed_by) {
            if let Err(what) = read_run(run, &range, out) {
                out.truncate(before);
                return Err(named(self.account, self.id, &what));
            }
        }
        Ok(())
    }

    fn piece_end(&self, at: u64) -> u64 {
        // The header of a small message and its text are two pieces, which are read at once.
        let far = at.saturating_add(PIECE_MAX as u64);
        let (next, behind) =
            (self.pieces.partition_point(|p| p.end() <= at), self.pieces.partition_point(|p| p.end() <= far));
        self.pieces.get(next.max(behind.saturating_sub(1))).map_or(self.size, StoredPiece::end)
    }
}

fn named(account: AccountId, id: BlobId, what: &str) -> Error {
    Error::Damaged(format!("account {account}, blob {}: {what}", id.0))
}

/// Appends what of a range of the blob is in pieces that stand one behind the other. After an error anything may be
/// behind what was there.
fn read_run(run: &[StoredPiece], range: &Range<u64>, out: &mut Vec<u8>) -> Result<(), String> {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
    // Both within the run, of which no more is read than was asked for but for the rest of a piece at either end.
    let from = range.start.saturating_sub(first.start) as usize;
    let left_out = last.end().saturating_sub(range.end) as usize;
    let before = out.len();
    match run {
        [one] => read_piece(&one.piece, &*one.file, 0..one.piece.size, out)?,
        _ => {
            let stored = run.iter().map(|p| p.piece.len as usize).sum::<usize>();
            out.resize(before + stored, 0);
            let mut rest = out.get_mut(before..).unwrap_or_default();
            first.file.read_at(first.piece.offset, rest).map_err(|e| unread(&first.piece, &e))?;
            for StoredPiece { piece, .. } in run {
                let octets = rest.split_off_mut(..piece.len as usize).unwrap_or_default();
                verify(piece, octets)?;
            }
        }
    }
    out.truncate(out.len() - left_out);
    out.drain(before..before + from);
    Ok(())
}

/// Appends a part of a piece to `out` after verifying the whole of it. After an error anything may be behind what was there.
pub(crate) fn read_piece(
    piece: &Piece,
    file: &dyn DiskFile,
    range: Range<u32>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let before = out.len();
    match piece.codec() {
        Codec::None => read_stored(piece, file, out)?,
        Codec::Zstd => {
            let mut packed = Vec::new();
            read_stored(piece, file, &mut packed)?;
            unpack(&packed, piece.size, out).map_err(|e| format!("{} cannot be unpacked: {e}", place(piece)))?;
        }
    }
    out.truncate(before + range.end as usize);
    out.drain(before..before + range.start as usize);
    Ok(())
}

/// Appends what is stored of a piece after verifying it.
pub(crate) fn read_stored(piece: &Piece, file: &dyn DiskFile, out: &mut Vec<u8>) -> Result<(), String> {
    let before = out.len();
    out.resize(before + piece.len as usize, 0);
    let bytes = out.get_mut(before..).unwrap_or_default();
    file.read_at(piece.offset, bytes).map_err(|e| unread(piece, &e))?;
    verify(piece, bytes)
}

fn verify(piece: &Piece, stored: &[u8]) -> Result<(), String> {
    if xxh3_64(stored) == piece.hash { Ok(()) } else { Err(format!("{} have changed", place(piece))) }
}

fn unread(piece: &Piece, error: &std::io::Error) -> String {
    format!("cannot read {}: {error}", place(piece))
}

fn place(piece: &Piece) -> String {
    format!("{} octets at {} of segment {}", piece.len, piece.offset, piece.segment)
}

/// What the record at `offset` of a segment says; `mark` is the segment's.
pub(crate) fn read_record(segments: &Segments, segment: u32, mark: u64, offset: u64) -> Result<Record, String> {
    let file = segments.file(segment).map_err(|e| e.to_string())?;
    let what = |why: &str| format!("the record at {offset} of segment {segment} {why}");
    let mut header = [0; HEADER_LEN];
    file.read_at(offset, &mut header).map_err(|e| what(&format!("cannot be read: {e}")))?;
    let header = Header::decode(&header).ok_or_else(|| what("has a damaged header"))?;
    let mut meta = vec![0; header.meta_len as usize];
    let meta_offset = offset.saturating_add(HEADER_LEN as u64);
    file.read_at(meta_offset, &mut meta).map_err(|e| what(&format!("cannot be read: {e}")))?;
    let record = header.record(&meta).ok_or_else(|| what("is damaged"))?;
    if record.mark != mark {
        return Err(what("belongs to another segment"));
    }
    Ok(record)
}

/// What is wrong with a blob where it is said to be: with the record that names it, and with each piece. `mark` is
/// that of a segment.
pub(crate) fn examine(
    segments: &Segments,
    mark: &dyn Fn(u32) -> Option<u64>,
    account: AccountId,
    id: BlobId,
    places: &Places,
) -> Vec<String> {
    let record = |segment, offset| {
        let mark = mark(segment).ok_or_else(|| format!("segment {segment} is unknown to the index"))?;
        read_record(segments, segment, mark, offset)
    };
    // The record must say the same as the index, or the blob cannot be found again without it.
    let named = || match record(places.segment, places.offset)?.content {
        Content::Blob { account: a, id: i, upload, pieces, .. }
            if (a, i) == (account, id) && pieces == places.pieces =>
        {
            Ok(upload)
        }
        _ => Err(format!("the record at {} of segment {} names another blob", places.offset, places.segment)),
    };
    // A piece outside the record must belong to the same upload, so that no two blobs share it.
    let owned = |upload, index, piece: &Piece| {
        let offset = piece.record_offset();
        if record(piece.segment, offset)?.content == piece.content(upload, index) {
            return Ok(());
        }
        Err(format!("the record at {offset} of segment {} is not that of piece {index}", piece.segment))
    };
    let whole = |piece: &Piece| {
        let file = segments.file(piece.segment).map_err(|e| e.to_string())?;
        read_piece(piece, &*file, 0..piece.size, &mut Vec::new())
    };
    let outside = || places.pieces.iter().enumerate().filter(|(_, piece)| !places.inside(piece));
    let mut found = match named() {
        Ok(upload) => outside().filter_map(|(n, piece)| owned(upload, n as u32, piece).err()).collect(),
        Err(what) => vec![what],
    };
    found.extend(places.pieces.iter().filter_map(|piece| whole(piece).err()));
    found
}
