//! What a group of commits has changed, as octets: the body of the records of kind 3 that end it.
//!
//! ```text
//! journal = version:1 count change* places*               ; numbers are LEB128 where nothing else is said
//! change  = account number clear:1 count blob* count write* count blob*   ; dropped, written, new
//! write   = 0 text                                        ; a key that goes
//!         / 1 text text / 2 text text                     ; an essential, a derived key and its value
//!         / 3 text skip keep text / 4 text skip keep text ; the same: so much of the beginning and of the
//!                                                         ; end of the value before, with a text between
//! places  = text                                          ; of the new blobs, in order: see [`Places`]
//! text    = length octet*
//! ```
//!
//! A value of which the first octets (a stamp, a count) have changed and others behind what stayed is written twice: first
//! with its new beginning and what followed the old one, and then as a difference to that.
//!
//! A value is only written as a difference to one that a group before has written since the index was
//! last brought up to date: so the journal needs nothing but itself, wherever in it one begins that is a
//! state of the index.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use types::AccountId;
use xxhash_rust::xxh3::xxh3_64;

use super::index::{DERIVED, ESSENTIAL, Places};
use crate::segment::{BODY_MAX, Content, HEADER_LEN, Input, JOURNAL_META_LEN, Record};
use crate::{BlobId, CommitNumber};

const VERSION: u8 = 1;

const GONE: u8 = 0;
const ESSENTIAL_VALUE: u8 = 1;
const DERIVED_VALUE: u8 = 2;
const ESSENTIAL_PART: u8 = 3;
const DERIVED_PART: u8 = 4;

/// What a commit does to one account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Change {
    pub(crate) account: AccountId,
    /// Of the commit.
    pub(crate) number: CommitNumber,
    /// Whatever the account had goes first.
    pub(crate) clear: bool,
    pub(crate) dropped: Vec<BlobId>,
    /// In order; a later write of a key wins.
    pub(crate) writes: Vec<(Arc<[u8]>, Option<Value>)>,
    pub(crate) blobs: Vec<(BlobId, Arc<Places>)>,
}

/// A value, and what kind of key it has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Value {
    pub(crate) kind: Kind,
    pub(crate) bytes: Arc<Vec<u8>>,
}

/// What becomes of a value in a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// It is in the journal.
    Essential,
    /// It is in the journal, and could be recomputed.
    Derived,
    /// It is not: it is made again of the blobs that came with it ([`crate::FromBlobs`]).
    FromBlobs,
}

impl Value {
    /// As the index writes it down.
    pub(crate) fn form(&self) -> i64 {
        if self.kind == Kind::Essential { ESSENTIAL } else { DERIVED }
    }

    fn is_journaled(&self) -> bool {
        self.kind != Kind::FromBlobs
    }
}

/// A journal in which only the places are missing: how long they are is known, and so is its length.
pub(crate) struct Draft {
    octets: Vec<u8>,
    places: usize,
}

impl Draft {
    /// `places` are how long the places of each of the new blobs are, in order. `before` is the value that a key had
    /// until now, where the journal has it.
    pub(crate) fn new(
        changes: &[Change],
        places: impl IntoIterator<Item = usize>,
        before: impl Fn(AccountId, &[u8]) -> Option<Value>,
    ) -> Self {
        let places = places.into_iter().map(|len| len_of(len as u64) + len).sum();
        let journaled = |value: &Option<Value>| value.as_ref().is_none_or(Value::is_journaled);
        let octets = |(key, value): &(Arc<[u8]>, Option<Value>)| {
            WRITE + key.len() + value.as_ref().map_or(0, |value| value.bytes.len())
        };
        let of_change = |change: &Change| {
            CHANGE + change.writes.iter().filter(|(_, value)| journaled(value)).map(octets).sum::<usize>()
        };
        let most: usize = changes.iter().map(of_change).sum();
        let mut draft = Self { octets: Vec::with_capacity(most + places + HEADER_LEN), places };
        draft.octets.push(VERSION);
        let count = changes.iter().map(|change| change.writes.len()).sum();
        let (out, mut values) = (&mut draft.octets, Values::new(count, before));
        let mut writes = Vec::new();
        put(changes.len() as u64, out);
        for change in changes {
            put(change.account.0, out);
            put(change.number.0, out);
            out.push(change.clear.into());
            if change.clear {
                values.clear(change.account);
            }
            put_blobs(change.dropped.iter(), out);
            let mut count = 0;
            for (key, value) in &change.writes {
                if journaled(value) {
                    count += write(key, value.as_ref(), values.get(change.account, key), &mut writes);
                }
                values.set(change.account, key, value.clone());
            }
            put(count, out);
            out.append(&mut writes);
            put_blobs(change.blobs.iter().map(|(id, _)| id), out);
        }
        draft
    }

    /// In octets, with the heads of the records that it takes.
    pub(crate) fn len(&self) -> usize {
        let len = self.octets.len() + self.places;
        len + len.div_ceil(BODY_MAX) * (HEADER_LEN + JOURNAL_META_LEN)
    }

    /// The records, for a segment with this mark.
    pub(crate) fn finish<'a>(
        mut self,
        places: impl Iterator<Item = &'a Arc<Places>>,
        mark: u64,
        group: u64,
        out: &mut Vec<u8>,
    ) {
        places.for_each(|places| text(&places.encode(), &mut self.octets));
        let parts = self.octets.len().div_ceil(BODY_MAX) as u32;
        for (part, body) in (0..).zip(self.octets.chunks(BODY_MAX)) {
            let content = Content::Journal { part, parts, hash: xxh3_64(body) };
            Record { mark, group, content }.encode(body.len() as u32, out);
            out.extend_from_slice(body);
        }
    }
}

/// The changes of a group. `before` is as it was for [`Draft::new`]. `None` where this is no journal that we
/// understand.
pub(crate) fn decode(octets: &[u8], before: impl Fn(AccountId, &[u8]) -> Option<Value>) -> Option<Vec<Change>> {
    let (mut input, mut values) = (Input(octets), Values::new(0, before));
    if input.take(1)? != [VERSION] {
        return None;
    }
    let count = number(&mut input)?;
    let mut changes = Vec::new();
    for _ in 0..count {
        changes.push(change(&mut input, &mut values)?);
    }
    for blob in changes.iter_mut().flat_map(|change| &mut change.blobs) {
        blob.1 = Arc::new(Places::decode(read_text(&mut input)?)?);
    }
    input.0.is_empty().then_some(changes)
}

fn change<'a>(
    input: &mut Input<'a>,
    values: &mut Values<'a, impl Fn(AccountId, &[u8]) -> Option<Value>>,
) -> Option<Change> {
    let (account, commit) = (AccountId(number(input)?), CommitNumber(number(input)?));
    let clear = match input.take(1)? {
        [0] => false,
        [1] => true,
        _ => return None,
    };
    if clear {
        values.clear(account);
    }
    let dropped = blobs(input)?;
    let mut writes = Vec::new();
    for _ in 0..number(input)? {
        let kind = *input.take(1)?.first()?;
        let key = read_text(input)?;
        let bytes = match kind {
            GONE => None,
            ESSENTIAL_VALUE | DERIVED_VALUE => Some(read_text(input)?.to_vec()),
            ESSENTIAL_PART | DERIVED_PART => {
                let (begin, end) = (usize::try_from(number(input)?).ok()?, usize::try_from(number(input)?).ok()?);
                let before = values.get(account, key)?;
                let (begin, rest) = before.bytes.split_at_checked(begin)?;
                let end = rest.get(rest.len().checked_sub(end)?..)?;
                Some([begin, read_text(input)?, end].concat())
            }
            _ => return None,
        };
        let derived = kind == DERIVED_VALUE || kind == DERIVED_PART;
        let kind = if derived { Kind::Derived } else { Kind::Essential };
        let value = bytes.map(|bytes| Value { kind, bytes: Arc::new(bytes) });
        values.set(account, key, value.clone());
        writes.push((key.into(), value));
    }
    let nowhere = Arc::new(Places::nowhere());
    let blobs = blobs(input)?.into_iter().map(|id| (id, Arc::clone(&nowhere))).collect();
    Some(Change { account, number: commit, clear, dropped, writes, blobs })
}

/// The values of keys while a group is written or read.
struct Values<'a, B> {
    /// What the group has done so far.
    written: HashMap<(AccountId, &'a [u8]), Option<Value>>,
    /// The accounts that it has cleared.
    cleared: HashSet<AccountId>,
    /// What they were before the group.
    before: B,
}

impl<'a, B: Fn(AccountId, &[u8]) -> Option<Value>> Values<'a, B> {
    /// For about so many writes.
    fn new(count: usize, before: B) -> Self {
        Self { written: HashMap::with_capacity(count), cleared: HashSet::new(), before }
    }

    fn clear(&mut self, account: AccountId) {
        self.cleared.insert(account);
        self.written.retain(|(of, _), _| *of != account);
    }

    /// Where the journal has it.
    fn get(&self, account: AccountId, key: &'a [u8]) -> Option<Value> {
        let value = match self.written.get(&(account, key)) {
            Some(value) => value.clone(),
            None if self.cleared.contains(&account) => None,
            None => (self.before)(account, key),
        };
        value.filter(Value::is_journaled)
    }

    fn set(&mut self, account: AccountId, key: &'a [u8], value: Option<Value>) {
        self.written.insert((account, key), value);
    }
}

fn put_blobs<'a>(ids: impl ExactSizeIterator<Item = &'a BlobId>, out: &mut Vec<u8>) {
    put(ids.len() as u64, out);
    ids.for_each(|id| put(id.0, out));
}

fn blobs(input: &mut Input<'_>) -> Option<Vec<BlobId>> {
    (0..number(input)?).map(|_| number(input).map(BlobId)).collect()
}

/// A write, or two, whichever is shortest; how many.
fn write(key: &[u8], value: Option<&Value>, before: Option<Value>, out: &mut Vec<u8>) -> u64 {
    let Some(value) = value else {
        out.push(GONE);
        text(key, out);
        return 1;
    };
    let Some(before) = before else {
        write_value(key, value, None, out);
        return 1;
    };
    match between(key, &before.bytes, &value.bytes) {
        Some(bytes) => {
            let between = Value { kind: value.kind, bytes: Arc::new(bytes) };
            write_value(key, &between, Some(&before), out);
            write_value(key, value, Some(&between), out);
            2
        }
        None => {
            write_value(key, value, Some(&before), out);
            1
        }
    }
}

/// The new beginning of a value and what followed the old one, where it is shorter to write that first.
fn between(key: &[u8], before: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let between = [value.get(..BEGINNING)?, before.get(BEGINNING..)?].concat();
    let rest = |(begin, end): (usize, usize)| value.len() - begin - end;
    let (once, twice) = (rest(common(before, value)), rest(common(&between, value)));
    (twice + BEGINNING + key.len() + TWICE < once).then_some(between)
}

/// Octets at the beginning of a value that change by themselves.
const BEGINNING: usize = 12;

/// Octets that a write takes besides key and value, about.
const WRITE: usize = 8;

/// Octets that a change takes besides its writes, about.
const CHANGE: usize = 32;

/// Octets that a second write costs besides its key and text, at most, for values of less than 2 MiB.
const TWICE: usize = 16;

/// A write of a value as the shorter of its two forms.
fn write_value(key: &[u8], value: &Value, before: Option<&Value>, out: &mut Vec<u8>) {
    let bytes = value.bytes.as_slice();
    let common = before.map(|before| common(&before.bytes, bytes)).filter(|(begin, end)| begin + end > WORTH);
    let kind = match (value.kind != Kind::Essential, common.is_some()) {
        (false, false) => ESSENTIAL_VALUE,
        (true, false) => DERIVED_VALUE,
        (false, true) => ESSENTIAL_PART,
        (true, true) => DERIVED_PART,
    };
    out.push(kind);
    text(key, out);
    let (begin, end) = common.unwrap_or_default();
    if common.is_some() {
        put(begin as u64, out);
        put(end as u64, out);
    }
    text(bytes.get(begin..bytes.len() - end).unwrap_or_default(), out);
}

/// Octets that a difference must save.
const WORTH: usize = 8;

/// How many octets two texts have in common at their beginning, and then at their end.
fn common(one: &[u8], two: &[u8]) -> (usize, usize) {
    let same = |(a, b): &(&u8, &u8)| a == b;
    let begin = one.iter().zip(two).take_while(same).count();
    let rest = one.len().min(two.len()) - begin;
    (begin, one.iter().rev().zip(two.iter().rev()).take(rest).take_while(same).count())
}

fn put(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// How many octets [`put`] makes of a number.
fn len_of(number: u64) -> usize {
    (64 - number.leading_zeros()).div_ceil(7).max(1) as usize
}

fn number(input: &mut Input<'_>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let octet = u64::from(*input.take(1)?.first()?);
        let bits = octet & 0x7f;
        number |= bits << shift;
        if bits << shift >> shift != bits {
            return None;
        }
        if octet < 0x80 {
            return Some(number);
        }
    }
    None
}

fn text(octets: &[u8], out: &mut Vec<u8>) {
    put(octets.len() as u64, out);
    out.extend_from_slice(octets);
}

fn read_text<'a>(input: &mut Input<'a>) -> Option<&'a [u8]> {
    let len = number(input)?;
    input.take(usize::try_from(len).ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::segment::{Found, Piece, scan};

    fn value() -> impl Strategy<Value = Option<Value>> {
        let bytes = prop_oneof![
            proptest::collection::vec(0..3u8, 0..40),
            (0..40usize, any::<u8>()).prop_map(|(n, last)| [vec![7; n], vec![last], vec![9; n]].concat()),
            // A stamp, and something that grows.
            (any::<[u8; 8]>(), 0..200usize, any::<u8>()).prop_map(|(stamp, n, last)| [
                &stamp[..],
                &vec![7; n],
                &[last]
            ]
            .concat()),
        ];
        let kind = prop_oneof![Just(Kind::Essential), Just(Kind::Derived), Just(Kind::FromBlobs)];
        proptest::option::weighted(0.8, (kind, bytes))
            .prop_map(|value| value.map(|(kind, bytes)| Value { kind, bytes: Arc::new(bytes) }))
    }

    fn change() -> impl Strategy<Value = Change> {
        let key = proptest::collection::vec(0..3u8, 0..2).prop_map(Arc::from);
        let writes = proptest::collection::vec((key, value()), 0..6);
        let blobs = proptest::collection::vec((any::<u64>(), 0..3u32), 0..3);
        let dropped = proptest::collection::vec(any::<u64>(), 0..3);
        (0..3u64, any::<u64>(), proptest::bool::weighted(0.2), dropped, writes, blobs).prop_map(
            |(account, number, clear, dropped, writes, blobs)| {
                let piece = |n| Piece { segment: n, offset: 5, len: 100, hash: u64::from(n), size: 100 + n % 2 };
                let places = |n| Places { segment: 1, offset: 9, len: 100, pieces: (0..n).map(piece).collect() };
                let blobs = blobs.into_iter().map(|(id, n)| (BlobId(id), Arc::new(places(n)))).collect();
                let (account, number) = (AccountId(account), CommitNumber(number));
                Change { account, number, clear, dropped: dropped.into_iter().map(BlobId).collect(), writes, blobs }
            },
        )
    }

    /// What keys had before; some keys had nothing.
    fn before(account: AccountId, key: &[u8]) -> Option<Value> {
        let bytes = [vec![7; 20], vec![account.0 as u8], vec![9; 20]].concat();
        (key != [1]).then(|| Value { kind: Kind::Essential, bytes: Arc::new(bytes) })
    }

    /// The same changes with what is in a journal: the last write of each key, since one value may have been written in
    /// two steps, and nothing that is made of blobs.
    fn effect(mut changes: Vec<Change>) -> Vec<Change> {
        for change in &mut changes {
            let journaled = |(_, value): &(_, Option<Value>)| value.as_ref().is_none_or(Value::is_journaled);
            let last: std::collections::BTreeMap<_, _> = change.writes.drain(..).filter(journaled).collect();
            change.writes.extend(last);
        }
        changes
    }

    /// The octets in the records of a journal, and the length that was told in advance.
    fn written(changes: &[Change]) -> (Vec<u8>, usize, usize) {
        let places: Vec<_> = changes.iter().flat_map(|c| &c.blobs).map(|(_, places)| Arc::clone(places)).collect();
        let draft = Draft::new(changes, places.iter().map(|p| Places::encoded_len(&p.pieces)), before);
        let (len, mut records) = (draft.len(), Vec::new());
        draft.finish(places.iter(), 5, 6, &mut records);
        let mut octets = Vec::new();
        for (n, found) in scan(&records[..], Some(5)).unwrap().enumerate() {
            let Found::Record { record, body, .. } = found else { panic!("{found:?}") };
            assert!(matches!(record.content, Content::Journal { part, .. } if part as usize == n));
            assert_eq!(record.group, 6);
            octets.extend(body);
        }
        (octets, len, records.len())
    }

    proptest! {
        #[test]
        fn journals_there_and_back(changes in proptest::collection::vec(change(), 0..5)) {
            let (octets, told, len) = written(&changes);
            prop_assert_eq!(told, len);
            prop_assert_eq!(decode(&octets, before).map(effect), Some(effect(changes)));
            prop_assert_eq!(decode(&octets[..octets.len() - 1], before), None);
        }

        #[test]
        fn noise_is_read_without_harm(changes in proptest::collection::vec(change(), 0..5), at: proptest::sample::Index, octet: u8) {
            let (mut octets, ..) = written(&changes);
            let at = at.index(octets.len());
            octets[at] = octet;
            let _ = decode(&octets, before);
            let _ = decode(&octets, |_, _| None);
        }
    }

    #[test]
    fn a_large_journal_has_parts_and_a_value_that_grows_is_written_once() {
        let write =
            |n: usize| (b"key"[..].into(), Some(Value { kind: Kind::Derived, bytes: Arc::new(vec![n as u8; n]) }));
        let grown =
            |n: usize| (b"rows"[..].into(), Some(Value { kind: Kind::Essential, bytes: Arc::new(vec![3; 1000 + n]) }));
        let change = |number: u64, writes| Change {
            account: AccountId(1),
            number: CommitNumber(number),
            clear: false,
            dropped: vec![],
            writes,
            blobs: vec![],
        };
        let changes =
            [change(1, (1..5).map(|n| write(n * 100_000)).collect()), change(2, (0..50).map(grown).collect())];
        let (octets, told, len) = written(&changes);
        assert_eq!(told, len);
        assert!(len > octets.len() + 3 * HEADER_LEN, "four parts");
        assert!((1_000_000..1_003_000).contains(&octets.len()), "{}", octets.len());
        assert_eq!(decode(&octets, before).map(effect), Some(effect(changes.to_vec())));
    }

    #[test]
    fn a_value_that_changes_at_its_beginning_and_its_end_is_not_written_whole() {
        let rows = |n: u8| {
            let bytes = [&[0, 0, 0, 0, 0, 0, 9, n, 2, n][..], &[5; 600], &vec![6; n.into()], &[n]].concat();
            (b"rows of a chunk"[..].into(), Some(Value { kind: Kind::Essential, bytes: Arc::new(bytes) }))
        };
        let change = |number: u8| Change {
            account: AccountId(1),
            number: CommitNumber(number.into()),
            clear: false,
            dropped: vec![],
            writes: vec![rows(number)],
            blobs: vec![],
        };
        let changes: Vec<_> = (1..=100).map(change).collect();
        let (octets, told, len) = written(&changes);
        assert_eq!(told, len);
        assert!(octets.len() < 700 + 100 * 80, "{}", octets.len());
        assert_eq!(decode(&octets, before).map(effect), Some(effect(changes)));
    }

    #[test]
    fn lengths_of_numbers() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = vec![];
            put(number, &mut out);
            assert_eq!(out.len(), len_of(number));
            assert_eq!(self::number(&mut Input(&out)), Some(number));
        }
    }
}
