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

/// See the module. Messages are in the order of the mailbox.
#[derive(Default)]
pub(crate) struct Table {
    /// Seconds.
    pub(super) sent: Vec<i64>,
    pub(super) received: Vec<i64>,
    pub(super) subjects: Texts,
    pub(super) is_reply: Vec<bool>,
    pub(super) ids: Vec<Option<IdNumber>>,
    references: Vec<IdNumber>,
    /// Where in `references` each message's end.
    ends: Vec<usize>,
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
        self.ids.push(card.and_then(CardRef::message_id).map(|id| self.numbers.of(id)));
        if let Some(card) = card {
            self.references.extend(card.references().map(|id| self.numbers.of(id)));
        }
        self.ends.push(self.references.len());
        self.id_count = self.numbers.known.len();
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
            selected.ends.push(selected.references.len());
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
        self.numbers.known.shrink_to_fit();
    }

    /// Octets, about.
    pub(crate) fn memory(&self) -> usize {
        let ids = self.id_count * 40 + size_of_val(self.references.as_slice());
        self.len() * 40 + ids + self.subjects.memory()
    }

    /// What a message refers to, the nearest last.
    pub(super) fn references(&self, at: usize) -> &[IdNumber] {
        let end = |at: usize| self.ends.get(at).copied().unwrap_or(0);
        let start = at.checked_sub(1).map_or(0, end);
        self.references.get(start..end(at)).unwrap_or_default()
    }
}

/// Numbers for message ids. What is kept of an id are two keyed hashes, of keys that nobody knows:
/// 128 bits that are equal only where the ids are, whatever senders try, and that are never long.
#[derive(Default)]
struct Numbers {
    keys: (RandomState, RandomState),
    known: HashMap<(u64, u64), IdNumber>,
}

impl Numbers {
    fn of(&mut self, id: &[u8]) -> IdNumber {
        let next = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        *self.known.entry((self.keys.0.hash_one(id), self.keys.1.hash_one(id))).or_insert(next)
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
        self.ids.push(message.id.map(|id| self.numbers.of(&[id])));
        self.references.extend(message.references.iter().map(|id| self.numbers.of(&[*id])));
        self.ends.push(self.references.len());
        self.id_count = self.numbers.known.len();
    }

    /// The id and the references of one message.
    pub(super) fn push_ids(&mut self, id: u32, references: impl Iterator<Item = u32>) {
        self.ids.push(Some(self.numbers.of(&id.to_be_bytes())));
        for id in references {
            let id = self.numbers.of(&id.to_be_bytes());
            self.references.push(id);
        }
        self.ends.push(self.references.len());
        self.id_count = self.numbers.known.len();
    }
}
