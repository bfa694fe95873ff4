//! A message on its way in: the body goes to the engine as it arrives, the parser looks at it as it
//! passes by, and nothing of its size is held in memory.

use std::fmt;
use std::sync::Arc;

use engine::{BlobWriter, Upload};
use message::{Card, Parser};
use types::Limits;

use crate::account::Account;
use crate::blocking::brief;
use crate::error::{Error, Result};
use crate::verb::NewMessage;

/// Beyond so many octets the engine writes to disk, a piece at a time. That goes to the page cache and is brief, until
/// the system makes whoever writes wait for the disk.
const IN_MEMORY: u64 = engine::SMALL_MAX as u64;

/// A message that is arriving. Dropped, it was never there.
pub struct Incoming {
    writer: Box<dyn BlobWriter>,
    parser: Parser,
    header: HeaderEnd,
    size: u64,
    /// Of these, the ones that the server added.
    trace: u64,
    limits: Arc<Limits>,
}

/// A message that has arrived and waits for [`Account::append`].
pub struct Received {
    pub(crate) upload: Upload,
    /// Octets of it that the engine holds in memory.
    held: usize,
    pub(crate) card: Card,
    pub(crate) size: u32,
    eight_bit_header: bool,
    /// See [`crate::Row::international`].
    pub(crate) international: bool,
    /// Hashes of the message ids that decide the thread: its own, then those it refers to, the
    /// nearest first.
    pub(crate) ids: Vec<u64>,
}

impl Account {
    /// Begins to receive a message. Refuses at once where the disk is full.
    pub fn receive(&self) -> Result<Incoming> {
        let limits = Arc::clone(&self.0.shared.limits);
        Ok(Incoming {
            writer: self.0.source.engine.upload()?,
            parser: Parser::new(&limits),
            header: HeaderEnd::default(),
            size: 0,
            trace: 0,
            limits,
        })
    }

    /// Writes messages that wait in memory for their commit to the disk: where many come together, only the last ones are
    /// held. It waits for the disk.
    pub fn write_out(&self, messages: &mut [NewMessage]) -> Result<()> {
        let mut uploads: Vec<_> = messages.iter_mut().map(|message| &mut message.content.upload).collect();
        self.0.source.engine.write_out(&mut uploads)?;
        messages.iter_mut().for_each(|message| message.content.held = 0);
        Ok(())
    }
}

impl Incoming {
    /// Takes the next octets. [`Error::TooBig`] as soon as the limit is passed.
    pub fn push(&mut self, octets: &[u8]) -> Result<()> {
        self.size += octets.len() as u64;
        let limit = self.limits.message_size.min(u32::MAX.into());
        if self.size - self.trace > limit || self.size > u32::MAX.into() {
            return Err(Error::TooBig { limit });
        }
        self.parser.push(octets);
        if self.size <= IN_MEMORY { self.write(octets) } else { brief(|| self.write(octets)) }
    }

    /// Takes trace lines that the server adds before the message: the limit is about what a client
    /// sends (RFC 1870 §5).
    pub fn push_trace(&mut self, octets: &[u8]) -> Result<()> {
        self.trace += octets.len() as u64;
        self.push(octets)
    }

    fn write(&mut self, octets: &[u8]) -> Result<()> {
        // The header is a piece of its own, so that it can be read without the body.
        let (header, body) = octets.split_at(self.header.find(octets).unwrap_or(octets.len()));
        self.writer.write(header)?;
        if !body.is_empty() {
            if self.header.just_found() {
                self.writer.cut()?;
            }
            self.writer.write(body)?;
        }
        Ok(())
    }

    /// In octets, so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Octets of memory that are held, about.
    pub fn memory(&self) -> usize {
        self.writer.memory().saturating_add(self.parser.memory())
    }

    /// The message is whole.
    pub fn finish(self) -> Result<Received> {
        let Self { writer, parser, size, limits, .. } = self;
        let message = parser.finish();
        let eight_bit_header = !message.header().bytes().is_ascii();
        let card = Card::from_message(&message);
        let (ids, international) = (thread_ids(&card), card.is_international());
        let finish = || writer.finish();
        let upload = if size <= IN_MEMORY { finish() } else { brief(finish) }?;
        // `push` has refused what does not fit.
        let size = u32::try_from(size).map_err(|_| Error::TooBig { limit: limits.message_size })?;
        let held = usize::try_from(size).ok().filter(|&size| size <= engine::SMALL_MAX).unwrap_or(0);
        Ok(Received { upload, held, card, size, eight_bit_header, international, ids })
    }
}

pub(crate) fn thread_ids(card: &Card) -> Vec<u64> {
    let own = card.message_id().into_iter();
    let others = card.references().iter().rev().map(|id| &id[..]);
    own.chain(others).map(xxhash_rust::xxh3::xxh3_64).collect()
}

impl Received {
    /// In octets.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Octets of memory that are held, about: the engine keeps small messages until they are committed.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.card.memory() + self.ids.capacity() * size_of::<u64>() + self.held
    }

    /// True where its header, not those of its parts, has octets beyond ASCII.
    pub fn has_eight_bit_header(&self) -> bool {
        self.eight_bit_header
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Received({} octets)", self.size)
    }
}

/// Looks for the empty line that ends the header, in octets that come in pieces.
#[derive(Default)]
struct HeaderEnd {
    /// Something but CR stands in this line.
    text: bool,
    found: bool,
    told: bool,
}

impl HeaderEnd {
    /// The position behind the empty line, if it is in these octets; the beginning once it was found.
    fn find(&mut self, octets: &[u8]) -> Option<usize> {
        if self.found {
            return Some(0);
        }
        let mut at = 0;
        while let Some(rest) = octets.get(at..) {
            let end = memchr::memchr(b'\n', rest);
            self.text |=
                rest.get(..end.unwrap_or(rest.len())).is_some_and(|line| line.iter().any(|&octet| octet != b'\r'));
            at += end? + 1;
            if !std::mem::take(&mut self.text) {
                self.found = true;
                return Some(at);
            }
        }
        None
    }

    fn just_found(&mut self) -> bool {
        self.found && !std::mem::replace(&mut self.told, true)
    }
}
