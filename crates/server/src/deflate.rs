//! DEFLATE (RFC 1951) as COMPRESS uses it (RFC 4978): octets to octets, without I/O.
//!
//! * Outwards nothing is remembered: what goes out at one time is blocks of their own that end at an
//!   octet boundary, as after a full flush, so the client can read all of it at once. A compressor
//!   that remembers would save 4 to 10 per cent; this way no connection holds one.
//! * Inwards one step gives at most [`STEP`] octets, however many a few compressed ones stand for,
//!   and stops at the end of each block, so that a command is carried out before what follows it.
//! * Between blocks only the window is kept: what the client has sent, at most 32 KiB, and less than
//!   one octet of the next block. Within a block it is the decoder's tables, too.

use miniz_oxide::DataFormat;
use miniz_oxide::deflate::core::{CompressionStrategy, CompressorOxide, TDEFLFlush, compress_to_output};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{BlockBoundaryState, DecompressorOxide, decompress};
use parking_lot::Mutex;

/// Octets that one step of inflating gives at most.
pub(crate) const STEP: usize = 16 << 10;

/// RFC 1951 §2: how far back a copy can reach.
const WINDOW: usize = 32 << 10;

/// RFC 4978 §4: "keep it at 1-5".
const LEVEL: u8 = 3;

/// RFC 4978 §4: the format of zlib with -15 window bits.
const WINDOW_BITS: u8 = 15;

/// Compressors that wait for work: some hundred KiB each, so only as many as can work at one time.
static COMPRESSORS: Mutex<Vec<Box<CompressorOxide>>> = Mutex::new(Vec::new());
const COMPRESSORS_KEPT: usize = 8;

/// What follows in the same direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Then {
    /// More blocks.
    More,
    /// Nothing: the last block is marked as the final one.
    End,
}

/// Compresses `octets` so that the receiver can read all of them at once.
pub(crate) fn deflate(octets: &[u8], then: Then) -> Vec<u8> {
    let waiting = COMPRESSORS.lock().pop();
    let mut compressor = waiting.unwrap_or_else(|| {
        Box::new(CompressorOxide::with_params(DataFormat::Raw, LEVEL, CompressionStrategy::Default, WINDOW_BITS))
    });
    let flush = if then == Then::End { TDEFLFlush::Finish } else { TDEFLFlush::Sync };
    let mut out = Vec::with_capacity(octets.len() / 3 + 64);
    // It takes all of them, and cannot fail as long as the callback does not.
    compress_to_output(&mut compressor, octets, flush, |piece| {
        out.extend_from_slice(piece);
        true
    });
    compressor.reset();
    let mut waiting = COMPRESSORS.lock();
    if waiting.len() < COMPRESSORS_KEPT {
        waiting.push(compressor);
    }
    out
}

/// What came is not DEFLATE.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("what came is not compressed by DEFLATE")]
pub(crate) struct Malformed;

/// The octets of one peer, as they are decoded.
pub(crate) struct Inflater {
    /// What came and is not yet decoded; `taken` of it is.
    input: Vec<u8>,
    taken: usize,
    place: Place,
    window: Vec<u8>,
    ending: Ending,
}

/// Where the decoder is.
enum Place {
    /// Before the first block, and after a final one (RFC 1951 §3.2.3): a client may begin anew.
    Start,
    /// Between two blocks.
    Between(BlockBoundaryState),
    /// In a block; `more` can be given without further input.
    Within { decoder: Box<DecompressorOxide>, more: bool },
}

/// How far the end of the compressed data is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    /// Nobody thinks of it.
    No,
    /// No text comes any more, but the block that had the last of it is still open.
    BlockOpen,
    /// The empty block that ends the client's last flush is still to come.
    FlushOpen,
    /// From here on the input is what it is.
    Now,
}

impl Inflater {
    /// For data that begins with these octets.
    pub(crate) fn new(input: Vec<u8>) -> Self {
        Self { input, taken: 0, place: Place::Start, window: Vec::new(), ending: Ending::No }
    }

    /// Takes more input: call it when [`Inflater::step`] has given nothing.
    pub(crate) fn push(&mut self, octets: &[u8]) {
        self.input.drain(..self.taken.min(self.input.len()));
        self.taken = 0;
        self.input.extend_from_slice(octets);
    }

    /// Appends the next octets to `text`, at most [`STEP`], and says how many; none where input is
    /// missing.
    pub(crate) fn step(&mut self, text: &mut Vec<u8>) -> Result<usize, Malformed> {
        while self.can_go_on() {
            let given = self.decode(text)?;
            if given > 0 {
                return Ok(given);
            }
        }
        Ok(0)
    }

    /// RFC 8437 §4.1: the client has sent its last compressed command. What ends its last flush (an
    /// empty block, or the final one) still belongs to the compressed data; it may be on the way.
    pub(crate) fn end(&mut self) {
        self.ending = match self.place {
            Place::Start => Ending::Now,
            Place::Between(_) => Ending::FlushOpen,
            Place::Within { .. } => Ending::BlockOpen,
        };
    }

    /// After [`Inflater::end`]: what came behind the compressed data, once that has ended.
    pub(crate) fn rest(&self) -> Option<Vec<u8>> {
        let rest = self.input.get(self.taken..).unwrap_or_default();
        (self.ending == Ending::Now).then(|| rest.to_vec())
    }

    /// Gives back what is not needed to wait.
    pub(crate) fn release(&mut self) {
        if self.taken >= self.input.len() {
            (self.input, self.taken) = (Vec::new(), 0);
        }
        self.window.shrink_to_fit();
    }

    /// Octets of memory that are held.
    #[cfg(test)]
    fn memory(&self) -> usize {
        let decoder = if matches!(self.place, Place::Within { .. }) { size_of::<DecompressorOxide>() } else { 0 };
        size_of::<Self>() + self.input.capacity() + self.window.capacity() + decoder
    }

    fn can_go_on(&self) -> bool {
        let more = matches!(self.place, Place::Within { more: true, .. });
        self.ending != Ending::Now && (more || self.taken < self.input.len())
    }

    /// One call of the decoder: until a block ends, the input ends, or a step is full.
    fn decode(&mut self, text: &mut Vec<u8>) -> Result<usize, Malformed> {
        const FLAGS: u32 =
            TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
        let mut decoder = match std::mem::replace(&mut self.place, Place::Start) {
            Place::Start => Box::default(),
            Place::Between(state) => Box::new(DecompressorOxide::from_block_boundary_state(&state)),
            Place::Within { decoder, .. } => decoder,
        };
        let input = self.input.get(self.taken..).unwrap_or_default();
        let known = self.window.len();
        self.window.reserve_exact(STEP);
        self.window.resize(known + STEP, 0);
        let (status, read, given) = decompress(&mut decoder, input, &mut self.window, known, FLAGS);
        self.taken += read;
        self.window.truncate(known + given);
        text.extend_from_slice(self.window.get(known..).unwrap_or_default());
        self.window.drain(..self.window.len().saturating_sub(WINDOW));
        match status {
            TINFLStatus::NeedsMoreInput => self.place = Place::Within { decoder, more: false },
            TINFLStatus::HasMoreOutput => self.place = Place::Within { decoder, more: true },
            TINFLStatus::BlockBoundary => {
                self.place = Place::Between(decoder.block_boundary_state().unwrap_or_default());
            }
            TINFLStatus::Done => self.window = Vec::new(),
            _ => return Err(Malformed),
        }
        if self.ending != Ending::No && given > 0 {
            return Err(Malformed);
        }
        self.ending = match (self.ending, &self.place) {
            (Ending::No, _) => Ending::No,
            (Ending::BlockOpen, Place::Between(_)) => Ending::FlushOpen,
            (open, Place::Within { .. }) => open,
            _ => Ending::Now,
        };
        Ok(given)
    }
}

#[cfg(test)]
mod tests;
