//! The octets that a body item means: read in pieces, decoded, cut to the part that was asked for.
//!
//! Nothing here holds more than [`KEPT`] octets and a piece as the engine stores it, whatever the size of
//! the message. What an item says before its octets (how many, and whether a NUL is among them) is found
//! by reading them once: that also proves that nothing of them is damaged before the first one is sent.
//! What is longer than [`KEPT`] is read again to send it. What is shorter and goes out as it is stored is
//! announced first and read into the response, which forgets the announcement if that fails.

use std::ops::Range;
use std::sync::Arc;

use message::{Decoder, Encoding};
use proto::imap::Partial;
use store::Blob;

/// Octets of an item that are kept once they have been read: most messages are read once.
pub(super) const KEPT: usize = 256 << 10;

/// Where the octets of an item come from, and what becomes of them on their way.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) blob: Arc<dyn Blob>,
    /// In the message as it is stored.
    pub(super) range: Range<u64>,
    pub(super) form: Form,
    pub(super) partial: Option<Partial>,
    /// Ascending.
    pub(super) edits: Arc<[Edit]>,
}

/// What is shown instead of a header that the client does not take.
pub(super) struct Edit {
    /// In the message as it is stored.
    pub(super) range: Range<u64>,
    pub(super) text: Vec<u8>,
}

/// What becomes of the octets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// As they are, but no NUL: RFC 9051 §9 `CHAR8` is any octet except NUL, so 0x80 stands for it.
    Stored,
    /// Content-Transfer-Encoding undone.
    Decoded {
        /// Which.
        encoding: Encoding,
        /// RFC 9051 §7.5.2: "textual line-oriented sections are always transmitted using the IMAP CRLF
        /// line termination syntax".
        lines: bool,
    },
}

/// The octets of an item once they have been read for the first time.
pub(super) enum Content {
    /// So few octets, as they are stored, that they need not be read to be announced.
    Plain(Plain),
    /// So few that they were kept, in the buffer that was given.
    Kept,
    /// Too many to be kept.
    Long(Long),
}

/// See [`Content::Plain`].
pub(super) struct Plain {
    blob: Arc<dyn Blob>,
    range: Range<u64>,
}

/// What was too long to be kept.
pub(super) struct Long {
    /// How many octets.
    pub(super) octets: u64,
    /// A NUL is among them.
    pub(super) nul: bool,
    source: Source,
}

impl Source {
    /// Reads everything once, unless what is there is known without. What is short is left in `buffer`,
    /// which must be empty.
    pub(super) fn open(self, buffer: &mut Vec<u8>) -> Result<Content, Unreadable> {
        if let Some(range) = self.plain().filter(|range| range.end - range.start <= KEPT as u64) {
            return Ok(Content::Plain(Plain { blob: self.blob, range }));
        }
        let mut reader = Reader::new(self.clone())?;
        while buffer.len() <= KEPT {
            if !reader.read(buffer)? {
                return Ok(Content::Kept);
            }
        }
        let mut long = Long { octets: 0, nul: false, source: self };
        loop {
            long.octets += buffer.len() as u64;
            long.nul |= memchr::memchr(0, buffer).is_some();
            buffer.clear();
            if !reader.read(buffer)? {
                return Ok(Content::Long(long));
            }
        }
    }

    /// The octets of the blob that go out as they are stored, where nothing else does.
    fn plain(&self) -> Option<Range<u64>> {
        if self.form != Form::Stored || !self.edits.is_empty() {
            return None;
        }
        let (offset, length) = self.window();
        // RFC 9051 §6.4.5: beyond the end there is nothing, and reading stops at the end.
        let Range { start, end } = self.range;
        let start = start.saturating_add(offset).min(end);
        Some(start..start.saturating_add(length).min(end))
    }

    /// How many octets are left out at the beginning, and how many follow at most.
    fn window(&self) -> (u64, u64) {
        self.partial.map_or((0, u64::MAX), |partial| (partial.offset, partial.length.get()))
    }

    /// How many octets have to be read.
    pub(super) fn cost(&self) -> u64 {
        let octets = self.range.end.saturating_sub(self.range.start);
        match (self.form, self.partial) {
            (Form::Stored, Some(partial)) if self.edits.is_empty() => octets.min(partial.length.get()),
            _ => octets,
        }
    }

    /// How many octets there are.
    pub(super) fn count(self) -> Result<u64, Unreadable> {
        let mut buffer = Vec::new();
        Ok(match self.open(&mut buffer)? {
            Content::Plain(plain) => plain.octets(),
            Content::Kept => buffer.len() as u64,
            Content::Long(long) => long.octets,
        })
    }
}

impl Plain {
    /// How many octets.
    pub(super) fn octets(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Appends them; none where they cannot be had.
    pub(super) fn read(self, out: &mut Vec<u8>) -> Result<(), store::Error> {
        let from = out.len();
        self.blob.read(self.range, out)?;
        mask_nuls(out.get_mut(from..).unwrap_or_default());
        Ok(())
    }
}

impl Long {
    /// Reads the octets again, to send them.
    pub(super) fn reader(&self) -> Result<Reader, Unreadable> {
        Reader::new(self.source.clone())
    }
}

/// Why the octets cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// RFC 3516 §4.3: answered NO `[UNKNOWN-CTE]`.
    #[error(transparent)]
    Encoding(#[from] message::Error),
    /// The store cannot give them.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Reads the octets of a [`Source`] piece by piece.
pub(super) struct Reader {
    stored: Stored,
    /// Decodes what was read; `None` for what goes out as it is stored, and at the end.
    decoding: Option<Decoding>,
    /// Octets to be left out, and then how many to be given.
    skip: u64,
    left: u64,
}

/// The octets of a part of a message, with the edits in it.
struct Stored {
    blob: Arc<dyn Blob>,
    range: Range<u64>,
    edits: Arc<[Edit]>,
    /// The edit that is next, and how much of its text was given.
    next: usize,
    given: usize,
}

struct Decoding {
    decoder: Decoder,
    lines: Option<Lines>,
    stored: Vec<u8>,
    decoded: Vec<u8>,
}

impl Reader {
    fn new(mut source: Source) -> Result<Self, Unreadable> {
        let (offset, length) = source.window();
        let (decoding, skip, left) = match (source.plain(), source.form) {
            (Some(range), _) => {
                source.range = range;
                (None, 0, u64::MAX)
            }
            (None, Form::Stored) => (None, offset, length),
            (None, Form::Decoded { encoding, lines }) => {
                let decoder = Decoder::new(encoding)?;
                let lines = lines.then(Lines::default);
                (Some(Decoding { decoder, lines, stored: vec![], decoded: vec![] }), offset, length)
            }
        };
        let Source { blob, range, edits, .. } = source;
        Ok(Self { stored: Stored { blob, range, edits, next: 0, given: 0 }, decoding, skip, left })
    }

    /// Appends the octets of the next piece, perhaps none; false at the end.
    pub(super) fn read(&mut self, out: &mut Vec<u8>) -> Result<bool, store::Error> {
        if self.left == 0 || self.stored.range.is_empty() && self.decoding.is_none() {
            return Ok(false);
        }
        let Some(mut decoding) = self.decoding.take() else {
            let from = out.len();
            self.stored.read(out)?;
            mask_nuls(out.get_mut(from..).unwrap_or_default());
            // Otherwise the range is the part that was asked for.
            if self.skip > 0 || self.left < u64::MAX {
                let read = out.split_off(from);
                self.window(&read, out);
            }
            return Ok(true);
        };
        decoding.stored.clear();
        self.stored.read(&mut decoding.stored)?;
        if self.stored.range.is_empty() {
            self.window(&decoding.last(), out);
        } else {
            self.window(decoding.next(), out);
            self.decoding = Some(decoding);
        }
        Ok(true)
    }

    /// Appends what of the decoded octets lies in the part that was asked for.
    fn window(&mut self, decoded: &[u8], out: &mut Vec<u8>) {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(decoded.len());
        self.skip -= skipped as u64;
        let rest = decoded.get(skipped..).unwrap_or_default();
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
        self.left -= taken as u64;
        out.extend_from_slice(rest.get(..taken).unwrap_or_default());
    }
}

impl Stored {
    /// Appends the octets of the next piece; none at the end.
    fn read(&mut self, out: &mut Vec<u8>) -> Result<(), store::Error> {
        let Range { start, end } = self.range;
        while self.edits.get(self.next).is_some_and(|edit| edit.range.start < start) {
            self.next += 1;
        }
        let edit = self.edits.get(self.next).filter(|edit| edit.range.end <= end);
        if let Some(edit) = edit.filter(|edit| edit.range.start == start) {
            let rest = edit.text.get(self.given..).unwrap_or_default();
            let piece = rest.get(..KEPT).unwrap_or(rest);
            out.extend_from_slice(piece);
            self.given += piece.len();
            if piece.len() == rest.len() {
                (self.range.start, self.next, self.given) = (edit.range.end, self.next + 1, 0);
            }
            return Ok(());
        }
        let end = edit.map_or(end, |edit| edit.range.start).min(self.blob.piece_end(start));
        self.range.start = end;
        Ok(self.blob.read(start..end, out)?)
    }
}

impl Decoding {
    /// What the stored octets mean.
    fn next(&mut self) -> &[u8] {
        self.decoded.clear();
        self.decoder.push(&self.stored, &mut self.decoded);
        if let Some(lines) = &mut self.lines {
            self.decoded = lines.end(&self.decoded);
        }
        &self.decoded
    }

    /// What the last stored octets mean.
    fn last(mut self) -> Vec<u8> {
        self.decoded.clear();
        self.decoder.push(&self.stored, &mut self.decoded);
        self.decoder.finish(&mut self.decoded);
        match &mut self.lines {
            Some(lines) => lines.end(&self.decoded),
            None => self.decoded,
        }
    }
}

/// RFC 9051 §9 `CHAR8`: any octet except NUL, so 0x80 stands for it.
pub(super) fn mask_nuls(octets: &mut [u8]) {
    if memchr::memchr(0, octets).is_some() {
        octets.iter_mut().filter(|octet| **octet == 0).for_each(|octet| *octet = 0x80);
    }
}

/// Ends lines with CRLF where they end with LF alone.
#[derive(Default)]
struct Lines {
    /// The octet before was CR.
    cr: bool,
}

impl Lines {
    fn end(&mut self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + text.len() / 32);
        for &octet in text {
            if octet == b'\n' && !self.cr {
                out.push(b'\r');
            }
            self.cr = octet == b'\r';
            out.push(octet);
        }
        out
    }
}
