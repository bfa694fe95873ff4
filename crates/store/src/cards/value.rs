//! How cards become values, and values change when cards go.
//!
//! A value has some emails, ascending from the one in its key. Layout 2: the layout, how many parts of each
//! email are here (an octet each), then for each email the difference of its id to the first, and the parts,
//! each with its length. Layout 1 had no number of parts: each email had a card with the header inside.
//!
//! A commit that brings little writes one value with all parts. One that brings more writes values for each
//! part apart, so that who reads one part reads nothing of the others.

use std::ops::Range;

use engine::{ReadView, Write};
use message::Card;
use types::EmailId;

use super::Part;
use crate::codec::{Reader, Writer};
use crate::error::Result;
use crate::key;

/// Octets of a value, about: some pages of SQLite's. A reader of one card reads all of the value.
const SIZE: usize = 18_000;

/// The layout of a value.
const VERSION: u8 = 2;

/// The layout without a number of parts.
const WHOLE_CARDS: u8 = 1;

/// Collects the cards that a commit brings: what becomes of them depends on the bodies of the commit alone.
#[derive(Default)]
pub(crate) struct Pack {
    cards: Vec<(EmailId, Card)>,
}

impl Pack {
    /// Adds a card.
    pub(crate) fn push(&mut self, email: EmailId, card: Card) {
        self.cards.push((email, card));
    }

    pub(crate) fn len(&self) -> usize {
        self.cards.len()
    }

    /// Takes the last ones away, so that `len` stay.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.cards.truncate(len);
    }

    /// What there is to write.
    pub(crate) fn finish(mut self) -> Vec<Write> {
        self.cards.sort_by_key(|(email, _)| *email);
        let mut values = vec![];
        let size = |(_, card): &(_, Card)| Part::ALL.iter().map(|part| part.of(card).len()).sum::<usize>();
        if self.cards.iter().map(size).sum::<usize>() <= SIZE {
            values.extend(value(Part::Card, &Part::ALL, &self.cards));
            return values;
        }
        for part in Part::ALL {
            let (mut rest, mut size) = (self.cards.as_slice(), 0);
            while !rest.is_empty() {
                let fits = |(_, card): &&(_, Card)| {
                    size += part.of(card).len();
                    size <= SIZE
                };
                // One that is too large for any value has one of its own.
                let count = rest.iter().take_while(fits).count().max(1);
                let (now, later) = rest.split_at_checked(count).unwrap_or((rest, &[]));
                values.extend(value(part, &[part], now));
                (rest, size) = (later, 0);
            }
        }
        values
    }
}

/// The value of these emails, and its key.
fn value(place: Part, parts: &[Part], cards: &[(EmailId, Card)]) -> Option<Write> {
    let (first, _) = cards.first()?;
    let octets = |(_, card): &(_, Card)| parts.iter().map(|part| part.of(card).len() + 8).sum::<usize>();
    let mut writer = Writer::sized(VERSION, 16 + cards.iter().map(octets).sum::<usize>());
    writer.number(parts.len() as u64);
    for (email, card) in cards {
        writer.number(email.0 - first.0);
        for part in parts {
            writer.bytes(part.of(card));
        }
    }
    Some(Write { key: key::cards(place.letter(), *first), value: Some(writer.finish()) })
}

/// What a value has of an email.
pub(super) struct Entry {
    pub(super) email: EmailId,
    /// Each part, in the order of [`Part::ALL`]: those that are not here are empty. A whole card stands for all.
    parts: [Range<usize>; 3],
    /// All of them with their lengths.
    all: Range<usize>,
}

impl Entry {
    pub(super) fn part(&self, part: Part) -> Range<usize> {
        let [card, common, rare] = &self.parts;
        match part {
            Part::Card => card.clone(),
            Part::Common => common.clone(),
            Part::Rare => rare.clone(),
        }
    }
}

/// What is in the value of a key with this letter and this first email.
pub(super) fn entries(part: Part, first: u64, value: &[u8]) -> Result<Vec<Entry>> {
    let (version, mut r) = Reader::new("cards", value, VERSION)?;
    let count = if version == WHOLE_CARDS { 1 } else { r.number()? };
    let mut entries = vec![];
    while !r.is_empty() {
        let email = EmailId(first.wrapping_add(r.number()?));
        let start = value.len() - r.remaining();
        let mut next = || -> Result<Range<usize>> {
            let len = r.bytes()?.len();
            let end = value.len() - r.remaining();
            Ok(end - len..end)
        };
        let one = next()?;
        let parts = match (count, part) {
            (3, _) => [one, next()?, next()?],
            _ if version == WHOLE_CARDS => [one.clone(), one.clone(), one],
            (_, Part::Card) => [one, 0..0, 0..0],
            (_, Part::Common) => [0..0, one, 0..0],
            (_, Part::Rare) => [0..0, 0..0, one],
        };
        entries.push(Entry { email, parts, all: start..value.len() - r.remaining() });
    }
    Ok(entries)
}

/// The writes that take away the cards of these emails, ascending; those that stand beside them stay.
/// What is missing or damaged is passed over: cards are derived.
pub(crate) fn without(view: &dyn ReadView, gone: &[EmailId]) -> Result<Vec<Write>> {
    let mut writes = vec![];
    for part in Part::ALL {
        let mut done = None;
        for &email in gone {
            if done.is_some_and(|done| email <= done) {
                continue;
            }
            let end = key::cards(part.letter(), EmailId(email.0.saturating_add(1)));
            let Some((key, value)) = view.last(&key::all_cards(part.letter()).start..&end)? else { continue };
            let first = key::number(&key, 0).unwrap_or(0);
            let entries = entries(part, first, &value).unwrap_or_default();
            done = done.max(entries.last().map(|entry| entry.email));
            if done.is_none_or(|done| email > done) {
                continue;
            }
            let mut rest = Rest::of(&value);
            for entry in entries.iter().filter(|entry| gone.binary_search(&entry.email).is_err()) {
                rest.keep(entry.email.0 - first, value.get(entry.all.clone()).unwrap_or_default());
            }
            writes.push(Write { key, value: rest.finish() });
        }
    }
    Ok(writes)
}

/// What stays of a value, in its layout.
struct Rest {
    writer: Writer,
    is_empty: bool,
}

impl Rest {
    fn of(value: &[u8]) -> Self {
        let version = value.first().copied().unwrap_or(VERSION);
        let mut writer = Writer::new(version);
        if version != WHOLE_CARDS {
            // Three or one: an octet.
            writer.number(value.get(1).copied().unwrap_or(1).into());
        }
        Self { writer, is_empty: true }
    }

    fn keep(&mut self, number: u64, parts: &[u8]) {
        self.writer.number(number).raw(parts);
        self.is_empty = false;
    }

    fn finish(self) -> Option<Vec<u8>> {
        (!self.is_empty).then(|| self.writer.finish())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use engine::{AccountBatch, Batch, Engine};
    use types::{AccountId, Limits};

    use super::*;

    fn card(n: u64) -> Card {
        let message = format!("Subject: {n}\r\nList-Help: {}\r\n\r\n", "x".repeat(n as usize * 37 % 500));
        Card::from_message(&message::parse(message.as_bytes(), &Limits::default()))
    }

    type Values = BTreeMap<Vec<u8>, Vec<u8>>;

    /// Which emails have which part.
    fn there(values: &Values) -> BTreeSet<(u64, u8)> {
        let mut there = BTreeSet::new();
        for (key, value) in values {
            let place = Part::ALL.into_iter().find(|part| part.letter() == key[0]).unwrap();
            for entry in entries(place, key::number(key, 0).unwrap(), value).unwrap() {
                for part in Part::ALL {
                    let octets = &value[entry.part(part)];
                    if !octets.is_empty() {
                        assert_eq!(octets, part.of(&card(entry.email.0)));
                        assert!(there.insert((entry.email.0, part.letter())), "twice");
                    }
                }
            }
        }
        there
    }

    fn packed() -> Values {
        let mut values = Values::new();
        for commit in [1..2, 2..90, 90..95, 95..96, 200..300] {
            let mut pack = Pack::default();
            commit.for_each(|n| pack.push(EmailId(n), card(n)));
            values.extend(pack.finish().into_iter().map(|write| (write.key, write.value.unwrap())));
        }
        values
    }

    fn all(emails: impl IntoIterator<Item = u64>) -> BTreeSet<(u64, u8)> {
        emails.into_iter().flat_map(|n| Part::ALL.map(|part| (n, part.letter()))).collect()
    }

    #[test]
    fn everything_is_somewhere_once() {
        let values = packed();
        assert_eq!(there(&values), all((1..96).chain(200..300)));
        assert!(values.values().all(|value| value.len() < SIZE + 1000));
        let letters = |letter| values.keys().filter(|key| key[0] == letter).count();
        assert!(letters(b'c') > letters(b'f') && letters(b'f') >= 2, "little is one value, much is parted");
    }

    #[test]
    fn cards_go_and_their_neighbours_stay() {
        let gone: Vec<_> = [1, 3, 4, 50, 89, 92, 95].into_iter().chain(199..260).map(EmailId).collect();
        let mut values = packed();
        let engine = engine::memory::Memory::new();
        let writes = values.iter().map(|(key, value)| Write { key: key.clone(), value: Some(value.clone()) });
        let mut change = AccountBatch::new(AccountId(1), engine::CommitNumber(0));
        change.derived.extend(writes);
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(engine.commit(Batch { accounts: vec![change] }))
            .unwrap();
        for Write { key, value } in without(&*engine.read(AccountId(1)).unwrap(), &gone).unwrap() {
            match value {
                Some(value) => values.insert(key, value),
                None => values.remove(&key),
            };
        }
        let left = (1..96).chain(200..300).filter(|n| !gone.contains(&EmailId(*n)));
        assert_eq!(there(&values), all(left));
    }

    #[test]
    fn layout_1_had_whole_cards() {
        let value = [&[1, 0, 3], &b"one"[..], &[7, 3], b"two"].concat();
        let entries = entries(Part::Card, 40, &value).unwrap();
        let found: Vec<_> = entries.iter().map(|e| (e.email.0, Part::ALL.map(|part| &value[e.part(part)]))).collect();
        assert_eq!(found, [(40, [b"one"; 3].map(|b| &b[..])), (47, [b"two"; 3].map(|b| &b[..]))]);
    }
}
