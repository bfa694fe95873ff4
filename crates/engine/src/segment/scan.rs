//! Finds the records of a segment when it is not known where they are, or which are damaged.
//!
//! Octets in, records out: whatever the octets, a scan ends, does not panic, and holds no more than
//! one record and a window in memory. What it cannot read or does not understand it skips, to the
//! next place where a record begins.

use std::io;

use super::{HEADER_LEN, Header, MAGIC, Record};
use crate::disk::DiskFile;

/// Where the octets come from.
pub trait Source {
    /// In octets.
    fn len(&self) -> io::Result<u64>;

    /// True where there is nothing.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `bytes`.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
}

impl Source for [u8] {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = self.get(start..start.saturating_add(bytes.len()));
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl Source for dyn DiskFile {
    fn len(&self) -> io::Result<u64> {
        self.len()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.read_at(offset, bytes)
    }
}

/// What a scan comes across.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// A record whose hashes are right.
    Record {
        /// Where it begins.
        offset: u64,
        /// Header and meta.
        record: Record,
        /// What follows them.
        body: Vec<u8>,
    },
    /// Octets that are no record, or no longer.
    Damaged {
        /// Where they begin.
        offset: u64,
        /// How many they are.
        len: u64,
        /// What the record said, where only its body is damaged.
        record: Option<Record>,
    },
}

impl Found {
    /// Where it ends.
    pub fn end(&self) -> u64 {
        match self {
            Self::Record { offset, record, body } => {
                offset.saturating_add((HEADER_LEN + record.content.meta_len() + body.len()) as u64)
            }
            Self::Damaged { offset, len, .. } => offset.saturating_add(*len),
        }
    }
}

/// The records of a segment in the order of the file, and what is damaged; zeros at its end are neither. `mark` is the segment's if it is known;
/// otherwise the first good record decides.
pub fn scan<S: Source + ?Sized>(source: &S, mark: Option<u64>) -> io::Result<Scan<'_, S>> {
    let window = Window { source, len: source.len()?, start: 0, bytes: Vec::new() };
    Ok(Scan { window, mark, at: 0 })
}

/// See [`scan`].
pub struct Scan<'a, S: ?Sized> {
    window: Window<'a, S>,
    mark: Option<u64>,
    at: u64,
}

impl<S: Source + ?Sized> Iterator for Scan<'_, S> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        let offset = self.at;
        if offset >= self.window.len {
            return None;
        }
        let found = match self.header(offset) {
            Some(header) => self.record(offset, header),
            // Nothing was written there yet.
            None if self.is_blank(offset) => {
                self.at = self.window.len;
                return None;
            }
            None => {
                let next = self.resync(offset + 1);
                Found::Damaged { offset, len: next - offset, record: None }
            }
        };
        self.at = found.end();
        Some(found)
    }
}

impl<S: Source + ?Sized> Scan<'_, S> {
    /// The header at `offset`, if one of this segment is there and the file has room for the rest.
    fn header(&mut self, offset: u64) -> Option<Header> {
        let header = Header::decode(self.window.get(offset, HEADER_LEN)?)?;
        let end = offset + (HEADER_LEN + header.rest()) as u64;
        (self.mark.is_none_or(|mark| mark == header.mark) && end <= self.window.len).then_some(header)
    }

    /// True where nothing but zeros follows.
    fn is_blank(&mut self, from: u64) -> bool {
        let mut at = from;
        while at < self.window.len {
            match self.window.from(at) {
                Some(octets) if octets.iter().all(|octet| *octet == 0) => at += octets.len() as u64,
                _ => return false,
            }
        }
        true
    }

    fn record(&mut self, offset: u64, header: Header) -> Found {
        let len = (HEADER_LEN + header.rest()) as u64;
        let meta_offset = offset + HEADER_LEN as u64;
        let body_offset = meta_offset + u64::from(header.meta_len);
        let meta = self.window.get(meta_offset, header.meta_len as usize);
        let Some(record) = meta.and_then(|meta| header.record(meta)) else {
            return Found::Damaged { offset, len, record: None };
        };
        self.mark = Some(record.mark);
        match self.window.get(body_offset, header.body_len as usize) {
            Some(body) if record.owns(body_offset, body) => Found::Record { offset, record, body: body.to_vec() },
            _ => Found::Damaged { offset, len, record: Some(record) },
        }
    }

    /// The first place from `from` on where a header of this segment stands, or the end.
    fn resync(&mut self, from: u64) -> u64 {
        let mut at = from;
        while at < self.window.len {
            match self.window.from(at) {
                Some(bytes) => match bytes.iter().position(|byte| *byte == MAGIC[0]) {
                    Some(skip) => at += skip as u64,
                    None => {
                        at += bytes.len() as u64;
                        continue;
                    }
                },
                // Unreadable: on to the next block.
                None => {
                    at = (at / BLOCK + 1) * BLOCK;
                    continue;
                }
            }
            if self.header(at).is_some() {
                return at;
            }
            at += 1;
        }
        self.window.len
    }
}

/// What a disk that has a bad spot still reads beside it.
const BLOCK: u64 = 4096;
/// How far a window reads ahead.
const WINDOW: usize = 256 * 1024;

/// A part of the source in memory.
struct Window<'a, S: ?Sized> {
    source: &'a S,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<S: Source + ?Sized> Window<'_, S> {
    /// `None` where the source ends before or cannot be read.
    fn get(&mut self, offset: u64, len: usize) -> Option<&[u8]> {
        if offset.checked_add(len as u64)? > self.len {
            return None;
        }
        if !self.holds(offset, len) {
            self.load(offset, len)?;
        }
        let at = usize::try_from(offset - self.start).ok()?;
        self.bytes.get(at..at.checked_add(len)?)
    }

    /// What can be had at once from `offset` on, at least one octet. `None` where it cannot be read.
    fn from(&mut self, offset: u64) -> Option<&[u8]> {
        self.get(offset, 1)?;
        self.bytes.get(usize::try_from(offset - self.start).ok()?..)
    }

    fn holds(&self, offset: u64, len: usize) -> bool {
        self.start <= offset && offset + len as u64 <= self.start + self.bytes.len() as u64
    }

    /// Reads ahead, and where that fails (a bad spot further on) only to the end of the block.
    fn load(&mut self, offset: u64, len: usize) -> Option<()> {
        let ahead = len.max(WINDOW) as u64;
        let block = (offset + len as u64).next_multiple_of(BLOCK) - offset;
        [ahead, block].into_iter().find_map(|want| {
            let want = usize::try_from(want.min(self.len - offset)).ok()?;
            self.start = offset;
            self.bytes.clear();
            self.bytes.resize(want, 0);
            let read = self.source.read_at(offset, &mut self.bytes);
            if read.is_err() {
                self.bytes.clear();
            }
            read.ok()
        })
    }
}
