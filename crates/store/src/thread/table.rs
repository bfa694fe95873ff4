//! What THREAD compares of each message, in columns.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use message::CardRef;

use crate::chunk::Row;
use crate::sort::column::Texts;
use crate::sort::sent;

/// A message id, numbered as it first came.
pub(super) type IdNumber = u32;

const NONE: IdNumber = IdNumber::MAX;

/// See the module. Messages are in the order of the mailbox.
#[derive(Default)]
pub(crate) struct Table {
    /// Seconds.
    pub(super) sent: Vec<i64>,
    pub(super) received: Vec<i64>,
    pub(super) subjects: Texts,
    pub(super) is_reply: Vec<bool>,
    /// [`NONE`] where a message has no id.
    ids: Vec<IdNumber>,
    references: Vec<IdNumber>,
    /// Where in `references` each message's end.
    ends: Vec<u32>,
    numbers: Numbers,
    /// How many different message ids.
    pub(super) id_count: usize,
}

impl Table {
    pub(super) fn push(&mut self, row: &Row, card: Option<CardRef<'_>>) {
        self.sent.push(sent(row, card));
        self.received.push(row.internal_date.time.0);
        self.subjects.push(card.map_or("", CardRef::base_subject));
        self.is_reply.push(card.is_some_and(CardRef::is_reply));
        self.ids.push(card.and_then(CardRef::message_id).map_or(NONE, |id| self.numbers.of(id)));
        if let Some(card) = card {
            self.references.extend(card.references().map(|id| self.numbers.of(id)));
        }
        self.end();
        self.id_count = self.numbers.hashes.len();
    }

    /// How many messages.
    pub(super) fn len(&self) -> usize {
        self.sent.len()
    }

    /// Only these messages. Nothing can be pushed to what this gives.
    pub(super) fn select(&self, positions: &[u32]) -> Self {
        let mut selected =
            Self { subjects: self.subjects.select(positions), id_count: self.id_count, ..Self::default() };
        for at in positions.iter().map(|&at| at as usize) {
            selected.sent.extend(self.sent.get(at));
            selected.received.extend(self.received.get(at));
            selected.is_reply.extend(self.is_reply.get(at));
            selected.ids.extend(self.ids.get(at));
            selected.references.extend_from_slice(self.references(at));
            selected.end();
        }
        selected
    }

    /// Gives back what it has taken to grow.
    pub(crate) fn shrink(&mut self) {
        self.sent.shrink_to_fit();
        self.received.shrink_to_fit();
        self.subjects.shrink();
        self.is_reply.shrink_to_fit();
        self.ids.shrink_to_fit();
        self.references.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.numbers.shrink();
    }

    /// Octets, about.
    pub(crate) fn memory(&self) -> usize {
        let ids = self.id_count * size_of::<Hash>() + size_of_val(self.references.as_slice());
        self.len() * (2 * size_of::<i64>() + 2 * size_of::<u32>() + 1) + ids + self.subjects.memory()
    }

    /// The ids of all messages.
    pub(super) fn ids(&self) -> impl Iterator<Item = Option<IdNumber>> + '_ {
        self.ids.iter().map(|&id| (id != NONE).then_some(id))
    }

    /// The references of a message end here.
    fn end(&mut self) {
        self.ends.push(u32::try_from(self.references.len()).unwrap_or(u32::MAX));
    }

    /// What a message refers to, the nearest last.
    pub(super) fn references(&self, at: usize) -> &[IdNumber] {
        let end = |at: usize| self.ends.get(at).map_or(0, |end| *end as usize);
        let start = at.checked_sub(1).map_or(0, end);
        self.references.get(start..end(at)).unwrap_or_default()
    }
}

/// Numbers for message ids. What is kept of an id are two keyed hashes, of keys that nobody knows:
/// 128 bits that are equal only where the ids are, whatever senders try, and that are never long.
#[derive(Default)]
struct Numbers {
    keys: (RandomState, RandomState),
    /// Of each number.
    hashes: Vec<Hash>,
    /// The numbers of the hashes. It takes several times their room, and is there only while numbers are asked for.
    known: HashMap<Hash, IdNumber>,
}

type Hash = (u64, u64);

impl Numbers {
    fn of(&mut self, id: &[u8]) -> IdNumber {
        if self.known.is_empty() {
            self.known = self.hashes.iter().copied().zip(0..).collect();
        }
        let hash = (self.keys.0.hash_one(id), self.keys.1.hash_one(id));
        let next = u32::try_from(self.hashes.len()).unwrap_or(NONE);
        *self.known.entry(hash).or_insert_with(|| {
            self.hashes.push(hash);
            next
        })
    }

    fn shrink(&mut self) {
        self.hashes.shrink_to_fit();
        self.known = HashMap::new();
    }
}

#[cfg(test)]
impl Table {
    /// One message by hand.
    pub(super) fn push_plain(&mut self, message: &super::tests::Plain) {
        self.sent.push(message.sent);
        self.received.push(message.received);
        self.subjects.push(&message.subject);
        self.is_reply.push(message.is_reply);
        self.ids.push(message.id.map_or(NONE, |id| self.numbers.of(&[id])));
        self.references.extend(message.references.iter().map(|id| self.numbers.of(&[*id])));
        self.end();
        self.id_count = self.numbers.hashes.len();
    }

    /// The id and the references of one message.
    pub(super) fn push_ids(&mut self, id: u32, references: impl Iterator<Item = u32>) {
        self.ids.push(self.numbers.of(&id.to_be_bytes()));
        for id in references {
            let id = self.numbers.of(&id.to_be_bytes());
            self.references.push(id);
        }
        self.end();
        self.id_count = self.numbers.hashes.len();
    }
}
