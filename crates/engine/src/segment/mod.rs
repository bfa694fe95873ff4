//! What stands in a segment file: records that stand alone, so that bodies can be found again
//! when nothing but the file is left.
//!
//! ```text
//! record = header meta body
//! header = magic:8 mark:8 version:1 kind:1 codec:1 zero:1 key_id:4 group:8
//!          meta_len:4 body_len:4 meta_hash:8 header_hash:8          ; little-endian, 56 octets
//! meta   = kind 0, segment: id:4
//!          kind 1, blob:    account:8 blob:8 upload:8 label_len:4 label piece*
//!          kind 2, piece:   upload:8 index:4 hash:8
//!          kind 3, journal: part:4 parts:4 hash:8
//! piece  = segment:4 offset:8 len:4 hash:8                          ; 24 octets
//!        / segment:4 offset:8 len:4 hash:8 size:4                   ; 28 octets: compressed
//! ```
//!
//! * Every segment has a random *mark* in each of its records; the first record of a file has kind
//!   0. A mail that holds the octets of a record is no record: its sender does not know the mark.
//! * Hashes are XXH3 (64 bits): the header's covers the header and so the meta's, which covers the
//!   meta and so those of the pieces, which cover the body.
//! * A blob's pieces lie in its own body or else each in a record of kind 2, in any segment.
//! * The records of kind 3 that end a group, one after the other in one segment, hold in their bodies
//!   what else the group has changed: without them it was not committed.
//! * `group` counts commits: the later of two records has the larger number. A copy of a record has
//!   group 0.
//! * `codec` is 0 where pieces are stored as they are, and 1 where the piece of a record of kind 2, or one or more of
//!   those that a record of kind 1 names, is compressed with Zstandard, each by itself. Such a piece has the
//!   topmost bit of `len` set, and says how long it is when it is unpacked. Lengths and hashes are those of what is stored.
//! * `key_id` is 0 (not encrypted); other values are for later versions.

mod scan;
#[cfg(test)]
mod tests;

pub use scan::{Found, Scan, Source, scan};

use std::ops::Range;

use types::AccountId;
use xxhash_rust::xxh3::xxh3_64;

use crate::{BlobId, Codec};

/// Octets of a record's header.
pub const HEADER_LEN: usize = 56;
/// Octets of one piece at most.
pub const PIECE_MAX: usize = 256 * 1024;
/// Octets of a record's meta at most: room for the pieces of a blob of 10 GB and its label.
pub const META_MAX: usize = 1024 * 1024;
/// Octets of a record's body at most.
pub const BODY_MAX: usize = PIECE_MAX;

/// The first of them stands in no UTF-8 text, so that a search for it rarely stops in mail.
const MAGIC: [u8; 8] = *b"\xf5PbSeg\r\n";
const VERSION: u8 = 1;
const KIND_SEGMENT: u8 = 0;
const KIND_BLOB: u8 = 1;
const KIND_PIECE: u8 = 2;
const KIND_JOURNAL: u8 = 3;
/// Of the length of a piece: it is compressed.
const PACKED: u32 = 1 << 31;

/// Where a piece of a blob lies, and its hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// The number of the segment.
    pub segment: u32,
    /// Of its first octet, from the start of the segment file.
    pub offset: u64,
    /// How many octets are stored, at most [`PIECE_MAX`].
    pub len: u32,
    /// XXH3 of these.
    pub hash: u64,
    /// How many octets of the blob they are: more, where they are compressed, and at most [`PIECE_MAX`].
    pub size: u32,
}

impl Piece {
    /// How it is stored.
    pub fn codec(&self) -> Codec {
        if self.size == self.len { Codec::None } else { Codec::Zstd }
    }

    /// What its own record says, where it has one: it is number `index` of an upload.
    pub(crate) fn content(&self, upload: u64, index: u32) -> Content {
        Content::Piece { upload, index, hash: self.hash, codec: self.codec() }
    }

    /// Where its own record begins, where it has one.
    pub(crate) fn record_offset(&self) -> u64 {
        self.offset.saturating_sub((HEADER_LEN + PIECE_META_LEN) as u64)
    }
}

/// A record without its body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The mark of its segment.
    pub mark: u64,
    /// The group of commits in which it was written.
    pub group: u64,
    /// What it says.
    pub content: Content,
}

/// What a record says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// A segment begins here.
    Segment {
        /// Its number.
        id: u32,
    },
    /// A blob, whole or as a list of places.
    Blob {
        /// Whose.
        account: AccountId,
        /// Which.
        id: BlobId,
        /// The upload that wrote its pieces, where they are records of their own; else 0.
        upload: u64,
        /// The owner's word about it.
        label: Vec<u8>,
        /// In order.
        pieces: Vec<Piece>,
    },
    /// A piece of an upload, which some blob may name.
    Piece {
        /// Which upload.
        upload: u64,
        /// Which piece of it, from 0.
        index: u32,
        /// XXH3 of the body.
        hash: u64,
        /// How the body is stored.
        codec: Codec,
    },
    /// A part of what a group of commits has changed besides blobs.
    Journal {
        /// Which part of it, from 0.
        part: u32,
        /// How many there are.
        parts: u32,
        /// XXH3 of the body.
        hash: u64,
    },
}

/// What a header says of the meta and body that follow it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) mark: u64,
    pub(crate) kind: u8,
    pub(crate) codec: Codec,
    pub(crate) group: u64,
    pub(crate) meta_len: u32,
    pub(crate) body_len: u32,
    pub(crate) meta_hash: u64,
}

impl Header {
    /// Octets of meta and body.
    pub(crate) fn rest(&self) -> usize {
        self.meta_len as usize + self.body_len as usize
    }

    /// `None` where this is no header, or one that we do not understand.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes.get(..HEADER_LEN)?);
        let hashed = bytes.get(..HEADER_LEN - 8)?;
        if input.take(8)? != MAGIC {
            return None;
        }
        let mark = input.u64()?;
        let plain_version = input.u8()? == VERSION;
        let kind = input.u8()?;
        let codec = match input.u8()? {
            0 => Codec::None,
            1 => Codec::Zstd,
            _ => return None,
        };
        // Zero and key id.
        let plain = input.take(5)? == [0; 5];
        let header = Self {
            mark,
            kind,
            codec,
            group: input.u64()?,
            meta_len: input.u32()?,
            body_len: input.u32()?,
            meta_hash: input.u64()?,
        };
        let whole = input.u64()? == xxh3_64(hashed);
        let bounded = header.meta_len as usize <= META_MAX && header.body_len as usize <= BODY_MAX;
        (plain_version && plain && whole && bounded).then_some(header)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.mark.to_le_bytes());
        out.extend_from_slice(&[VERSION, self.kind, self.codec as u8, 0]);
        out.extend_from_slice(&0u32.to_le_bytes());
        out.extend_from_slice(&self.group.to_le_bytes());
        out.extend_from_slice(&self.meta_len.to_le_bytes());
        out.extend_from_slice(&self.body_len.to_le_bytes());
        out.extend_from_slice(&self.meta_hash.to_le_bytes());
        let hash = xxh3_64(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&hash.to_le_bytes());
    }

    /// What the meta says. `None` where it does not match its hash or makes no sense.
    pub(crate) fn record(&self, meta: &[u8]) -> Option<Record> {
        if xxh3_64(meta) != self.meta_hash || meta.len() != self.meta_len as usize {
            return None;
        }
        let mut input = Input(meta);
        let content = match self.kind {
            KIND_SEGMENT => Content::Segment { id: input.u32()? },
            KIND_BLOB => {
                let account = AccountId(input.u64()?);
                let id = BlobId(input.u64()?);
                let upload = input.u64()?;
                let label_len = input.u32()? as usize;
                let label = input.take(label_len)?.to_vec();
                Content::Blob { account, id, upload, label, pieces: decode_pieces(input.rest())? }
            }
            KIND_PIECE => {
                Content::Piece { upload: input.u64()?, index: input.u32()?, hash: input.u64()?, codec: self.codec }
            }
            KIND_JOURNAL => Content::Journal { part: input.u32()?, parts: input.u32()?, hash: input.u64()? },
            _ => return None,
        };
        (input.0.is_empty() && content.codec() == self.codec).then_some(Record {
            mark: self.mark,
            group: self.group,
            content,
        })
    }
}

impl Record {
    /// The octets of header and meta; the body follows them.
    pub fn encode(&self, body_len: u32, out: &mut Vec<u8>) {
        let mut meta = Vec::with_capacity(self.content.meta_len());
        let kind = match &self.content {
            Content::Segment { id } => {
                meta.extend_from_slice(&id.to_le_bytes());
                KIND_SEGMENT
            }
            Content::Blob { account, id, upload, label, pieces } => {
                meta.extend_from_slice(&account.0.to_le_bytes());
                meta.extend_from_slice(&id.0.to_le_bytes());
                meta.extend_from_slice(&upload.to_le_bytes());
                meta.extend_from_slice(&(label.len() as u32).to_le_bytes());
                meta.extend_from_slice(label);
                encode_pieces(pieces, &mut meta);
                KIND_BLOB
            }
            Content::Piece { upload, index, hash, codec: _ } => {
                meta.extend_from_slice(&upload.to_le_bytes());
                meta.extend_from_slice(&index.to_le_bytes());
                meta.extend_from_slice(&hash.to_le_bytes());
                KIND_PIECE
            }
            Content::Journal { part, parts, hash } => {
                meta.extend_from_slice(&part.to_le_bytes());
                meta.extend_from_slice(&parts.to_le_bytes());
                meta.extend_from_slice(&hash.to_le_bytes());
                KIND_JOURNAL
            }
        };
        let header = Header {
            mark: self.mark,
            kind,
            codec: self.content.codec(),
            group: self.group,
            meta_len: meta.len() as u32,
            body_len,
            meta_hash: xxh3_64(&meta),
        };
        header.encode(out);
        out.extend_from_slice(&meta);
    }

    /// True where the body that begins at `offset` in its segment is what the record says it is.
    pub fn owns(&self, offset: u64, body: &[u8]) -> bool {
        match &self.content {
            Content::Segment { .. } => body.is_empty(),
            Content::Piece { hash, .. } | Content::Journal { hash, .. } => xxh3_64(body) == *hash,
            Content::Blob { .. } if body.is_empty() => true,
            Content::Blob { pieces, .. } => {
                let mut at = 0;
                let mut fits = |piece: &Piece| {
                    let range: Range<usize> = at..at.saturating_add(piece.len as usize);
                    let right = piece.offset == offset.saturating_add(at as u64)
                        && body.get(range.clone()).is_some_and(|bytes| xxh3_64(bytes) == piece.hash);
                    at = range.end;
                    right
                };
                pieces.iter().all(&mut fits) && at == body.len()
            }
        }
    }
}

impl Content {
    /// What its header says of the pieces in it, or that it names.
    fn codec(&self) -> Codec {
        match self {
            Self::Piece { codec, .. } => *codec,
            Self::Blob { pieces, .. } if pieces.iter().any(|piece| piece.codec() == Codec::Zstd) => Codec::Zstd,
            _ => Codec::None,
        }
    }

    /// How long the meta of this record is.
    pub fn meta_len(&self) -> usize {
        match self {
            Self::Segment { .. } => 4,
            Self::Blob { label, pieces, .. } => blob_meta_len(label.len(), pieces),
            Self::Piece { .. } => PIECE_META_LEN,
            Self::Journal { .. } => JOURNAL_META_LEN,
        }
    }
}

/// Octets of the meta of a piece's record.
pub(crate) const PIECE_META_LEN: usize = 20;

/// Octets of the meta of a journal's record.
pub(crate) const JOURNAL_META_LEN: usize = 16;

/// Octets of the meta of a blob's record.
pub(crate) fn blob_meta_len(label: usize, pieces: &[Piece]) -> usize {
    28 + label + pieces_len(pieces)
}

/// Octets that the places of pieces take where they are stored.
pub(crate) fn pieces_len(pieces: &[Piece]) -> usize {
    pieces.iter().map(|piece| if piece.codec() == Codec::None { 24 } else { 28 }).sum()
}

/// The places of pieces as they are stored, here and in the index.
pub(crate) fn encode_pieces(pieces: &[Piece], out: &mut Vec<u8>) {
    for piece in pieces {
        let Piece { segment, offset, len, hash, size } = piece;
        let packed = piece.codec() == Codec::Zstd;
        out.extend_from_slice(&segment.to_le_bytes());
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&if packed { len | PACKED } else { *len }.to_le_bytes());
        out.extend_from_slice(&hash.to_le_bytes());
        if packed {
            out.extend_from_slice(&size.to_le_bytes());
        }
    }
}

/// `None` where this is no list of pieces.
pub(crate) fn decode_pieces(bytes: &[u8]) -> Option<Vec<Piece>> {
    let mut input = Input(bytes);
    let mut pieces = Vec::with_capacity(bytes.len() / 24);
    while !input.0.is_empty() {
        let (segment, offset, len, hash) = (input.u32()?, input.u64()?, input.u32()?, input.u64()?);
        let piece = match len & PACKED {
            0 => Piece { segment, offset, len, hash, size: len },
            _ => Piece { segment, offset, len: len & !PACKED, hash, size: input.u32()? },
        };
        let bounded = piece.len <= piece.size && piece.size as usize <= PIECE_MAX;
        // What is said to be packed is smaller for it.
        if !bounded || (len & PACKED != 0) != (piece.codec() == Codec::Zstd) {
            return None;
        }
        pieces.push(piece);
    }
    Some(pieces)
}

/// Reads little-endian numbers; `None` at the end.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
