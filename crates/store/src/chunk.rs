//! About a hundred neighbouring messages of a mailbox: immutable rows, and marks that change.
//!
//! Rows and marks stand side by side, the n-th mark belongs to the n-th row, rows ascend by UID.
//! A flag change makes new marks over the same rows.

use std::ops::Range;
use std::sync::Arc;

use types::{DateTime, EmailId, Flags, IdSet, Keyword, ModSeq, ThreadId, Uid, UnixTime};

use crate::codec::{Reader, Writer};
use crate::error::Result;
use crate::keywords::Keywords;

/// A chunk is split when it would have more messages than this. 128 messages make rows of about
/// 2 KiB, which is what a single delivery rewrites.
pub(crate) const MAX_ROWS: usize = 128;

/// What a message in a mailbox is, for as long as it is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its number in this mailbox.
    pub uid: Uid,
    /// RFC822.SIZE in octets.
    pub size: u32,
    /// INTERNALDATE, with the zone that APPEND gave.
    pub internal_date: DateTime,
    /// When it came into this mailbox (RFC 8514).
    pub saved: UnixTime,
    /// Its content.
    pub email: EmailId,
    /// Its conversation.
    pub thread: ThreadId,
    /// Whether those who take only ASCII in headers see it differently, so that the others need no card to
    /// know ([`message::CardRef::is_international`]). `None` of rows that were written before they said so.
    pub international: Option<bool>,
}

/// The flags of some messages of a chunk, as stored: system bits and keyword ids.
#[derive(Clone, Eq, Debug, Default)]
pub(crate) struct FlagSet {
    pub(crate) system: u8,
    /// Ascending.
    pub(crate) keywords: Box<[u32]>,
}

impl PartialEq for FlagSet {
    fn eq(&self, other: &Self) -> bool {
        // One by one, not as slices: those go to `memcmp`, and most are empty. What reads no octet of an address
        // where nothing is (an empty slice has such a one) takes it 80 ns on processors with AVX-512.
        self.system == other.system && self.keywords.iter().eq(&other.keywords)
    }
}

/// A message's state: when it last changed, and which of the chunk's flag sets it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mark {
    modseq: ModSeq,
    set: u16,
}

/// The states of a chunk's messages.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Marks {
    sets: Vec<Held>,
    marks: Vec<Mark>,
}

/// A flag set and the messages that have it: who looks for a flag looks at the sets.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Held {
    set: FlagSet,
    by: Positions,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub(crate) rows: Arc<[Row]>,
    pub(crate) marks: Arc<Marks>,
}

/// What can be said of a chunk without opening it; sums of these make up the spine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sums {
    /// Messages.
    pub count: u32,
    /// Messages without `\Seen`.
    pub unseen: u32,
    /// Messages with `\Deleted`.
    pub deleted: u32,
    /// Octets.
    pub size: u64,
    /// The latest change.
    pub modseq: ModSeq,
}

impl Sums {
    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            unseen: self.unseen.saturating_add(other.unseen),
            deleted: self.deleted.saturating_add(other.deleted),
            size: self.size.saturating_add(other.size),
            modseq: self.modseq.max(other.modseq),
        }
    }
}

impl Chunk {
    /// How many messages.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Chunks in a snapshot never are.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, ascending by UID.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The position of a UID.
    pub(crate) fn position(&self, uid: Uid) -> Option<usize> {
        self.rows.binary_search_by_key(&uid, |row| row.uid).ok()
    }

    /// When the message at this position last changed.
    pub fn modseq(&self, at: usize) -> ModSeq {
        self.marks.marks.get(at).map_or(ModSeq::ZERO, |m| m.modseq)
    }

    /// The system flags of the message at this position, as [`Flags::system_bits`].
    pub fn system_bits(&self, at: usize) -> u8 {
        self.flag_set(at).map_or(0, |set| set.system)
    }

    /// The ids of the keywords of the message at this position, ascending.
    pub fn keyword_ids(&self, at: usize) -> &[u32] {
        self.flag_set(at).map_or(&[], |set| &set.keywords)
    }

    pub(crate) fn flag_set(&self, at: usize) -> Option<&FlagSet> {
        self.marks.marks.get(at).and_then(|m| self.marks.sets.get(usize::from(m.set))).map(|held| &held.set)
    }

    /// The flags of the message at this position.
    pub fn flags(&self, at: usize, names: &Keywords) -> Flags {
        let keywords = self.keyword_ids(at).iter().filter_map(|&id| names.name(id)).cloned();
        Flags::from_parts(self.system_bits(at), keywords)
    }

    /// The positions of the messages whose last change `holds` says yes to.
    pub(crate) fn changed(&self, holds: impl Fn(ModSeq) -> bool) -> Positions {
        Positions::of(&self.marks.marks, |mark| holds(mark.modseq))
    }

    /// The positions of those of these messages that are here.
    pub(crate) fn among(&self, uids: &IdSet<Uid>) -> Positions {
        let ends = self.rows.first().zip(self.rows.last()).map(|(first, last)| (first.uid, last.uid));
        match ends {
            // Mostly all of them.
            Some((first, last)) if uids.has_all(first, last) => Positions::first(self.rows.len()),
            _ => Positions::of(&self.rows, |row| uids.contains(row.uid)),
        }
    }

    /// Adds the messages at these positions to a set.
    pub(crate) fn uids_at(&self, positions: Positions, to: &mut IdSet<Uid>) {
        let (Some(start), Some(end)) = (self.rows.first(), self.rows.last()) else { return };
        if span(start.uid, end.uid) == self.rows.len() as u64 {
            // No UID is missing between the rows: they need not be looked at.
            let uid = |at: usize| Uid::new(start.uid.get().saturating_add(at as u32));
            for run in positions.runs() {
                if let (Some(first), Some(last)) = (uid(run.start), uid(run.end - 1)) {
                    to.insert_range(first, last);
                }
            }
            return;
        }
        for row in positions.runs().flat_map(|run| self.rows.get(run).unwrap_or_default()) {
            to.insert(row.uid);
        }
    }

    pub(crate) fn sums(&self) -> Sums {
        Sums {
            count: u32::try_from(self.rows.len()).unwrap_or(u32::MAX),
            unseen: self.marks.positions(|set| set.system & Flags::SEEN_BIT == 0).len(),
            deleted: self.marks.positions(|set| set.system & Flags::DELETED_BIT != 0).len(),
            size: self.rows.iter().map(|row| u64::from(row.size)).sum(),
            modseq: self.marks.marks.iter().map(|mark| mark.modseq).max().unwrap_or_default(),
        }
    }
}

/// Some of a chunk's messages, by their position.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Positions(u128);

const _: () = assert!(MAX_ROWS <= u128::BITS as usize);

impl Positions {
    /// The first so many.
    pub(crate) fn first(count: usize) -> Self {
        let others = u128::BITS.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
        Self(u128::MAX.checked_shr(others).unwrap_or(0))
    }

    /// Those of the items, one for each message, that `holds` says yes to.
    pub(crate) fn of<T>(items: &[T], holds: impl Fn(&T) -> bool) -> Self {
        // Half by half: that is faster than 128 bits.
        let half = |items: &[T]| items.iter().rev().fold(0, |half, item| half << 1 | u64::from(holds(item)));
        Self(items.chunks(64).rev().fold(0, |all, items| all << 64 | u128::from(half(items))))
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many.
    pub(crate) fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Those from one position to another, which is not among them.
    pub(crate) fn range(range: Range<usize>) -> Self {
        Self::first(range.end).without(Self::first(range.start))
    }

    pub(crate) fn contains(self, at: usize) -> bool {
        !self.and(Self(1 << at.min(127))).is_empty()
    }

    /// In both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// In either.
    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// In `self` alone.
    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Neighbouring positions, ascending; what goes across the middle comes in two pieces.
    pub(crate) fn runs(self) -> impl Iterator<Item = Range<usize>> {
        // Half by half, again.
        let halves = [(0, self.0 as u64), (64, (self.0 >> 64) as u64)];
        halves.into_iter().flat_map(|(before, mut half)| {
            std::iter::from_fn(move || {
                let start = (half != 0).then(|| half.trailing_zeros())?;
                let end = start + (!(half >> start)).trailing_zeros();
                half &= u64::MAX.checked_shl(end).unwrap_or(0);
                Some(before + start as usize..before + end as usize)
            })
        })
    }
}

/// How many numbers there are from one to the other.
fn span(first: Uid, last: Uid) -> u64 {
    u64::from(last.get() - first.get()) + 1
}

/// Collects messages for one chunk or more.
#[derive(Default)]
pub(crate) struct ChunkBuilder {
    rows: Vec<Row>,
    marks: Marks,
}

impl ChunkBuilder {
    /// With all that is in a chunk.
    pub(crate) fn with(chunk: &Chunk) -> Self {
        let more = chunk.rows.len() + 1;
        let mut builder = Self { rows: Vec::with_capacity(more), marks: Marks::default() };
        builder.rows.extend_from_slice(&chunk.rows);
        builder.marks.sets.clone_from(&chunk.marks.sets);
        builder.marks.marks.reserve(more);
        builder.marks.marks.extend_from_slice(&chunk.marks.marks);
        builder
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn push(&mut self, row: Row, modseq: ModSeq, set: &FlagSet) {
        self.rows.push(row);
        self.marks.push(modseq, set);
    }

    /// Takes over the messages of a chunk that `keep` says yes to.
    pub(crate) fn extend(&mut self, chunk: &Chunk, mut keep: impl FnMut(usize, &Row) -> bool) {
        for (at, row) in chunk.rows.iter().enumerate() {
            if let Some(set) = chunk.flag_set(at)
                && keep(at, row)
            {
                self.push(*row, chunk.modseq(at), set);
            }
        }
    }

    pub(crate) fn finish(self) -> Chunk {
        Chunk { rows: self.rows.into(), marks: Arc::new(self.marks) }
    }
}

impl Marks {
    pub(crate) fn push(&mut self, modseq: ModSeq, set: &FlagSet) {
        let set = self.set(set);
        self.add(1, Mark { modseq, set });
    }

    /// Adds the mark of so many messages.
    fn add(&mut self, count: usize, mark: Mark) {
        let start = self.marks.len();
        self.marks.resize(start + count, mark);
        if let Some(held) = self.sets.get_mut(usize::from(mark.set)) {
            held.by = held.by.or(Positions::range(start..start + count));
        }
    }

    /// The index of a set, which is added where it is new.
    fn set(&mut self, set: &FlagSet) -> u16 {
        let known = self.sets.iter().position(|held| held.set == *set).unwrap_or_else(|| {
            self.sets.push(Held { set: set.clone(), by: Positions::default() });
            self.sets.len() - 1
        });
        // A chunk has at most MAX_ROWS messages, so no more sets.
        u16::try_from(known).unwrap_or(u16::MAX)
    }

    /// These marks with the flags that `change` makes of theirs, and a new mod-sequence, at those of these positions
    /// where that makes a difference. Gives also where it does; `None` where it makes none.
    pub(crate) fn changed(
        &self,
        wanted: Positions,
        modseq: ModSeq,
        change: impl Fn(&FlagSet) -> FlagSet,
    ) -> Option<(Self, Positions)> {
        let new: Vec<FlagSet> = self.sets.iter().map(|held| change(&held.set)).collect();
        let different = self.sets.iter().zip(&new).filter(|(held, new)| held.set != **new);
        let concerned = different.fold(Positions::default(), |all, (held, _)| all.or(held.by)).and(wanted);
        if concerned.is_empty() {
            return None;
        }
        let mut marks = Self { sets: vec![], marks: Vec::with_capacity(self.marks.len()) };
        // Where the sets of `self`, and those that become of them, are in `marks`.
        let mut places = vec![[None; 2]; new.len()];
        for (at, mark) in self.marks.iter().enumerate() {
            let index = usize::from(mark.set);
            let (Some(old), Some(new), Some(places)) = (self.sets.get(index), new.get(index), places.get_mut(index))
            else {
                continue;
            };
            let [kept, replaced] = places;
            let (set, place, modseq) =
                if concerned.contains(at) { (new, replaced, modseq) } else { (&old.set, kept, mark.modseq) };
            let set = *place.get_or_insert_with(|| marks.set(set));
            marks.add(1, Mark { modseq, set });
        }
        Some((marks, concerned))
    }

    /// The positions whose flag set `holds` says yes to.
    pub(crate) fn positions(&self, holds: impl Fn(&FlagSet) -> bool) -> Positions {
        let held = self.sets.iter().filter(|held| holds(&held.set));
        held.fold(Positions::default(), |all, held| all.or(held.by))
    }

    /// Runs of equal marks, then the sets they point to.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(1);
        w.number(self.sets.len() as u64);
        for Held { set, .. } in &self.sets {
            w.number(set.system.into()).number(set.keywords.len() as u64);
            for &id in &set.keywords {
                w.number(id.into());
            }
        }
        w.number(self.marks.len() as u64);
        let mut last = ModSeq::ZERO;
        for run in self.marks.chunk_by(|a, b| a == b) {
            if let Some(mark) = run.first() {
                let step = mark.modseq.get().cast_signed() - last.get().cast_signed();
                w.number(run.len() as u64).signed(step).number(mark.set.into());
                last = mark.modseq;
            }
        }
        w.finish()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self> {
        let (_, mut r) = Reader::new("the marks of a chunk", value, 1)?;
        let mut sets = Vec::new();
        for _ in 0..r.count()? {
            let system = r.number()? as u8;
            let keywords = (0..r.count()?).map(|_| r.small()).collect::<Result<_>>()?;
            sets.push(Held { set: FlagSet { system, keywords }, by: Positions::default() });
        }
        let total = r.small()? as usize;
        r.valid((total <= MAX_ROWS).then_some(()))?;
        let mut marks = Self { sets, marks: Vec::with_capacity(total) };
        let mut modseq = 0i64;
        while marks.len() < total {
            let run = r.small()? as usize;
            modseq = modseq.wrapping_add(r.signed()?);
            let set = r.small()?;
            let mark = Mark {
                modseq: r.valid(u64::try_from(modseq).ok().and_then(ModSeq::new))?,
                set: r.valid(u16::try_from(set).ok().filter(|&s| usize::from(s) < marks.sets.len()))?,
            };
            r.valid((run > 0 && run <= total - marks.len()).then_some(()))?;
            marks.add(run, mark);
        }
        r.end()?;
        Ok(marks)
    }

    pub(crate) fn len(&self) -> usize {
        self.marks.len()
    }
}

/// The layout of rows that know whether they are international, and of those that do not.
const ROWS: u8 = 2;
const WITHOUT_INTERNATIONAL: u8 = 1;

/// Differences between neighbours, which are small; then runs of who is international.
pub(crate) fn encode_rows(rows: &[Row]) -> Vec<u8> {
    let mut w = Writer::sized(ROWS, 16 * (rows.len() + 1));
    w.number(rows.len() as u64);
    let (mut uid, mut date, mut saved, mut email, mut thread) = (0, 0, 0, 0, 0);
    for row in rows {
        let (row_uid, row_email, row_thread) =
            (i64::from(row.uid.get()), row.email.0.cast_signed(), row.thread.0.cast_signed());
        w.signed(row_uid - uid).number(row.size.into());
        w.signed(row.internal_date.time.0.wrapping_sub(date)).signed(row.internal_date.zone.into());
        w.signed(row.saved.0.wrapping_sub(saved));
        w.signed(row_email.wrapping_sub(email)).signed(row_thread.wrapping_sub(thread));
        (uid, date, saved, email, thread) = (row_uid, row.internal_date.time.0, row.saved.0, row_email, row_thread);
    }
    for run in rows.chunk_by(|a, b| a.international == b.international) {
        let kind = match run.first().and_then(|row| row.international) {
            None => 0,
            Some(false) => 1,
            Some(true) => 2,
        };
        w.number(run.len() as u64).number(kind);
    }
    w.finish()
}

pub(crate) fn decode_rows(value: &[u8]) -> Result<Arc<[Row]>> {
    let (layout, mut r) = Reader::new("the rows of a chunk", value, ROWS)?;
    let count = r.count()?;
    r.valid((count <= MAX_ROWS).then_some(()))?;
    let mut rows = Vec::with_capacity(count);
    let (mut uid, mut date, mut saved, mut email, mut thread) = (0i64, 0i64, 0i64, 0i64, 0i64);
    for _ in 0..count {
        uid = uid.wrapping_add(r.signed()?);
        let size = r.small()?;
        date = date.wrapping_add(r.signed()?);
        let zone = r.signed()?;
        saved = saved.wrapping_add(r.signed()?);
        email = email.wrapping_add(r.signed()?);
        thread = thread.wrapping_add(r.signed()?);
        rows.push(Row {
            uid: r.valid(u32::try_from(uid).ok().and_then(Uid::new))?,
            size,
            internal_date: DateTime { time: UnixTime(date), zone: r.valid(i16::try_from(zone).ok())? },
            saved: UnixTime(saved),
            email: EmailId(email.cast_unsigned()),
            thread: ThreadId(thread.cast_unsigned()),
            international: None,
        });
    }
    r.valid(rows.is_sorted_by(|a, b| a.uid < b.uid).then_some(()))?;
    if layout > WITHOUT_INTERNATIONAL {
        read_international(&mut r, &mut rows)?;
    }
    r.end()?;
    Ok(rows.into())
}

fn read_international(r: &mut Reader<'_>, mut rows: &mut [Row]) -> Result<()> {
    while !rows.is_empty() {
        let run = r.small()? as usize;
        let international = match r.number()? {
            0 => Some(None),
            1 => Some(Some(false)),
            2 => Some(Some(true)),
            _ => None,
        };
        let international = r.valid(international)?;
        let (concerned, rest) = r.valid(rows.split_at_mut_checked(run).filter(|_| run > 0))?;
        concerned.iter_mut().for_each(|row| row.international = international);
        rows = rest;
    }
    Ok(())
}

/// The flag set of some flags, in a mailbox whose keyword table is `names`; the table grows.
pub(crate) fn flag_set(flags: &Flags, names: &mut Keywords) -> FlagSet {
    let mut keywords: Vec<u32> = flags.keywords().iter().map(|k: &Keyword| names.id_or_insert(k)).collect();
    keywords.sort_unstable();
    FlagSet { system: flags.system_bits(), keywords: keywords.into() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn positions() -> impl Strategy<Value = BTreeSet<usize>> {
        proptest::collection::btree_set(0..MAX_ROWS, 0..=MAX_ROWS)
    }

    fn plain(uid: u32) -> Row {
        let (email, thread) = (EmailId(1), ThreadId(1));
        let (internal_date, saved) = (DateTime::utc(UnixTime(0)), UnixTime(0));
        Row { uid: Uid::new(uid).unwrap(), size: 1, internal_date, saved, email, thread, international: None }
    }

    prop_compose! {
        fn row()(size: u32, date in -1i64 << 40..1 << 40, zone in -1439i16..1439, saved in 0i64..1 << 40, email: u64, thread: u64, international: Option<bool>) -> Row {
            Row { uid: Uid::MIN, size, internal_date: DateTime { time: UnixTime(date), zone }, saved: UnixTime(saved),
                  email: EmailId(email), thread: ThreadId(thread), international }
        }
    }

    proptest! {
        #[test]
        fn chunks_are_read_as_written(
            rows in proptest::collection::vec(row(), 1..MAX_ROWS),
            marks in proptest::collection::vec((0u64..50, 0u8..32, proptest::collection::btree_set(0u32..9, 0..4)), MAX_ROWS),
            gaps in proptest::collection::vec(1u32..1000, MAX_ROWS),
        ) {
            let mut builder = ChunkBuilder::default();
            let mut uid = 0;
            for ((row, (modseq, system, keywords)), gap) in rows.iter().zip(&marks).zip(gaps) {
                uid += gap;
                let set = FlagSet { system: *system, keywords: keywords.iter().copied().collect() };
                builder.push(Row { uid: Uid::new(uid).unwrap(), ..*row }, ModSeq::new(*modseq).unwrap(), &set);
            }
            let chunk = builder.finish();
            prop_assert_eq!(&decode_rows(&encode_rows(&chunk.rows)).unwrap(), &chunk.rows);
            prop_assert_eq!(&Marks::decode(&chunk.marks.encode()).unwrap(), &*chunk.marks);
        }

        #[test]
        fn positions_are_a_set(a in positions(), b in positions(), count in 0..=MAX_ROWS) {
            let set = |these: &BTreeSet<usize>| Positions::of(&(0..MAX_ROWS).collect::<Vec<_>>(), |at| these.contains(at));
            let list = |these: Positions| these.runs().flatten().collect::<BTreeSet<_>>();
            let (x, y) = (set(&a), set(&b));
            prop_assert_eq!(list(x), a.clone());
            prop_assert_eq!(list(x.and(y)), &a & &b);
            prop_assert_eq!(list(x.or(y)), &a | &b);
            prop_assert_eq!(list(x.without(y)), &a - &b);
            prop_assert_eq!(list(Positions::first(count)), (0..count).collect());
            prop_assert!((0..MAX_ROWS).all(|at| x.contains(at) == a.contains(&at)));
            // Runs do not touch, but in the middle.
            prop_assert!(x.runs().zip(x.runs().skip(1)).all(|(a, b)| a.end < b.start || a.end == 64 && b.start == 64));
            prop_assert_eq!(x.len() as usize, a.len());
        }

        #[test]
        fn uids_at_positions(a in positions(), gaps in proptest::collection::vec(1u32..3, MAX_ROWS)) {
            let mut builder = ChunkBuilder::default();
            let mut uid = 0;
            for gap in gaps {
                uid += gap;
                builder.push(plain(uid), ModSeq::ZERO, &FlagSet::default());
            }
            let chunk = builder.finish();
            let expected: IdSet<Uid> = a.iter().map(|&at| chunk.rows[at].uid).collect();
            let mut found = IdSet::new();
            let positions = chunk.among(&expected);
            chunk.uids_at(positions, &mut found);
            prop_assert_eq!(found, expected);
            prop_assert_eq!(positions.runs().flatten().collect::<BTreeSet<_>>(), a);
        }

        #[test]
        fn marks_change_message_by_message(
            old in proptest::collection::vec((0u64..9, 0u8..4), 1..MAX_ROWS), allowed in positions(), bit in 0u8..4,
        ) {
            let new = ModSeq::new(99).unwrap();
            let (mut marks, mut expected, mut different) = (Marks::default(), Marks::default(), BTreeSet::new());
            for (at, &(modseq, system)) in old.iter().enumerate() {
                let modseq = ModSeq::new(modseq).unwrap();
                let set = |system| FlagSet { system, ..FlagSet::default() };
                marks.push(modseq, &set(system));
                let differs = allowed.contains(&at) && system | bit != system;
                let (modseq, system) = if differs { (new, system | bit) } else { (modseq, system) };
                different.extend(differs.then_some(at));
                expected.push(modseq, &set(system));
            }
            let change = |set: &FlagSet| FlagSet { system: set.system | bit, ..set.clone() };
            let wanted = Positions::of(&(0..MAX_ROWS).collect::<Vec<_>>(), |at| allowed.contains(at));
            let changed = marks.changed(wanted, new, change);
            prop_assert_eq!(changed.is_none(), different.is_empty());
            if let Some((marks, at)) = changed {
                prop_assert_eq!(marks, expected);
                prop_assert_eq!(at.runs().flatten().collect::<BTreeSet<_>>(), different);
            }
        }

        #[test]
        fn rows_of_layout_1_are_read(rows in proptest::collection::vec(row(), 1..MAX_ROWS)) {
            let rows: Vec<Row> = rows.iter().zip(1..).map(|(row, uid)| {
                Row { uid: Uid::new(uid).unwrap(), international: None, ..*row }
            }).collect();
            // Layout 2 has the runs behind the rest: here one run of all rows.
            let mut value = encode_rows(&rows);
            value[0] = WITHOUT_INTERNATIONAL;
            let mut run = Writer::default();
            run.number(rows.len() as u64).number(0);
            value.truncate(value.len() - run.finish().len());
            prop_assert_eq!(&decode_rows(&value).unwrap()[..], &rows[..]);
        }

        #[test]
        fn rubbish_is_an_error_not_a_panic(mut bytes: Vec<u8>, layout in 1..=ROWS) {
            if let Some(first) = bytes.first_mut() { *first = layout; }
            let _ = (decode_rows(&bytes), Marks::decode(&bytes));
        }
    }
}
