//! Sets of numbers as sorted ranges: what a client has been told, what a command names.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use crate::id::Number;

/// A set of numbers, held as sorted, disjoint, non-adjacent inclusive ranges.
///
/// Its size in memory is that of its ranges: "everything from 1 to 100,000" costs eight bytes.
/// `Display` writes the `uniqueid`/`sequence-set` form of RFC 9051 §9 (`1:3,7`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdSet<T> {
    ranges: Vec<(u32, u32)>,
    kind: PhantomData<T>,
}

impl<T> Default for IdSet<T> {
    fn default() -> Self {
        Self { ranges: Vec::new(), kind: PhantomData }
    }
}

impl<T: Number> IdSet<T> {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// All numbers from `first` to `last`, in either order (RFC 9051 §9: `2:4` and `4:2` are the same).
    pub fn range(first: T, last: T) -> Self {
        let (a, b) = (first.get(), last.get());
        Self { ranges: vec![(a.min(b), a.max(b))], kind: PhantomData }
    }

    /// True where the set holds no number.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many numbers the set holds.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|&(a, b)| u64::from(b - a) + 1).sum()
    }

    /// How many ranges the set is made of.
    pub fn range_count(&self) -> usize {
        self.ranges.len()
    }

    /// The smallest number.
    pub fn first(&self) -> Option<T> {
        self.ranges.first().and_then(|&(a, _)| T::new(a))
    }

    /// The largest number.
    pub fn last(&self) -> Option<T> {
        self.ranges.last().and_then(|&(_, b)| T::new(b))
    }

    /// True where `id` is in the set.
    pub fn contains(&self, id: T) -> bool {
        let id = id.get();
        let at = self.ranges.partition_point(|&(_, b)| b < id);
        self.ranges.get(at).is_some_and(|&(a, _)| a <= id)
    }

    /// How many numbers of the set lie in `first..=last`.
    pub fn count_within(&self, first: T, last: T) -> u64 {
        self.pairs_within(first, last).map(|(a, b)| u64::from(b - a) + 1).sum()
    }

    /// True where all of `first..=last` is in the set.
    pub fn has_all(&self, first: T, last: T) -> bool {
        self.pairs_within(first, last).next() == Some((first.get(), last.get()))
    }

    /// The numbers of the set that lie in `first..=last`.
    pub fn within(&self, first: T, last: T) -> Self {
        Self { ranges: self.pairs_within(first, last).collect(), kind: PhantomData }
    }

    /// True where a number of the set lies in `first..=last`.
    pub fn touches(&self, first: T, last: T) -> bool {
        self.pairs_within(first, last).next().is_some()
    }

    /// The ranges of [`IdSet::within`].
    pub fn ranges_within(&self, first: T, last: T) -> impl Iterator<Item = (T, T)> + '_ {
        self.pairs_within(first, last).map(|(a, b)| (number(a), number(b)))
    }

    fn pairs_within(&self, first: T, last: T) -> impl Iterator<Item = (u32, u32)> + '_ {
        let (first, last) = (first.get(), last.get());
        let from = self.ranges.partition_point(|&(_, b)| b < first);
        let ranges = self.ranges.iter().skip(from).take_while(move |&&(a, _)| a <= last);
        ranges.map(move |&(a, b)| (a.max(first), b.min(last)))
    }

    /// The numbers at these positions, counted from 0 with the smallest.
    pub fn at(&self, positions: Range<u64>) -> Self {
        let mut ranges = Vec::new();
        let mut before = 0;
        for &(a, b) in &self.ranges {
            if before >= positions.end {
                break;
            }
            let after = before + u64::from(b - a) + 1;
            let (from, to) = (positions.start.clamp(before, after), positions.end.clamp(before, after));
            if from < to {
                // Both are less than the length of the range, which fits.
                ranges.push((a + (from - before) as u32, b - (after - to) as u32));
            }
            before = after;
        }
        Self { ranges, kind: PhantomData }
    }

    /// Adds one number. Constant time at the end, where new mail goes.
    pub fn insert(&mut self, id: T) {
        self.insert_range(id, id);
    }

    /// Adds all numbers from `first` to `last`, in either order.
    #[inline]
    pub fn insert_range(&mut self, first: T, last: T) {
        let (a, b) = (first.get().min(last.get()), first.get().max(last.get()));
        // Sets mostly grow at their end.
        match self.ranges.last_mut() {
            Some(last) if a > last.1.saturating_add(1) => return self.ranges.push((a, b)),
            Some(last) if a >= last.0 => {
                last.1 = last.1.max(b);
                return;
            }
            _ => {}
        }
        // The ranges that touch or overlap a:b, which become one.
        let from = self.ranges.partition_point(|&(_, end)| end < a.saturating_sub(1));
        let to = self.ranges.partition_point(|&(start, _)| start <= b.saturating_add(1));
        if from >= to {
            self.ranges.insert(from, (a, b));
            return;
        }
        let low = self.ranges.get(from).map_or(a, |r| r.0.min(a));
        let high = self.ranges.get(to - 1).map_or(b, |r| r.1.max(b));
        self.ranges.splice(from..to, [(low, high)]);
    }

    /// Adds the numbers of another set that lie in `first..=last`, moved so that `first` becomes `to`: all of them behind
    /// what is here.
    pub fn extend_moved<U: Number>(&mut self, from: &IdSet<U>, first: U, last: U, to: T) {
        let (first, last, to) = (first.get(), last.get(), to.get());
        let begin = from.ranges.partition_point(|&(_, b)| b < first);
        let end = from.ranges.partition_point(|&(a, _)| a <= last);
        let moved = |n: u32| to.saturating_add(n.clamp(first, last) - first);
        let some = from.ranges.get(begin..end).unwrap_or_default();
        let mut some = some.iter().map(|&(a, b)| (moved(a), moved(b)));
        // Only the first can touch what is here.
        if let Some((a, b)) = some.next()
            && let (Some(a), Some(b)) = (T::new(a), T::new(b))
        {
            self.insert_range(a, b);
        }
        self.ranges.extend(some);
    }

    /// Takes one number out; true where it was there.
    pub fn remove(&mut self, id: T) -> bool {
        let id = id.get();
        let at = self.ranges.partition_point(|&(_, b)| b < id);
        let Some(&(a, b)) = self.ranges.get(at).filter(|&&(a, _)| a <= id) else {
            return false;
        };
        let left = (a < id).then(|| (a, id - 1));
        let right = (id < b).then(|| (id + 1, b));
        self.ranges.splice(at..=at, left.into_iter().chain(right));
        true
    }

    /// The numbers in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut out = Vec::new();
        let (mut i, mut j) = (self.ranges.iter().peekable(), other.ranges.iter().peekable());
        while let (Some(&&(a, b)), Some(&&(c, d))) = (i.peek(), j.peek()) {
            let (low, high) = (a.max(c), b.min(d));
            if low <= high {
                out.push((low, high));
            }
            if b < d {
                i.next();
            } else {
                j.next();
            }
        }
        Self { ranges: out, kind: PhantomData }
    }

    /// The numbers in this set that are not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        let mut out = Vec::new();
        let mut holes = other.ranges.iter().copied().peekable();
        for &(mut a, b) in &self.ranges {
            let mut open = true;
            while let Some((c, d)) = holes.next_if(|&(_, d)| d < b).or_else(|| holes.peek().copied()) {
                if d < a {
                    continue;
                }
                if c > b {
                    break;
                }
                if c > a {
                    out.push((a, c - 1));
                }
                if d >= b {
                    open = false;
                    break;
                }
                a = d + 1;
            }
            if open {
                out.push((a, b));
            }
        }
        Self { ranges: out, kind: PhantomData }
    }

    /// The numbers in either set.
    pub fn union(&self, other: &Self) -> Self {
        let mut all: Vec<_> = self.ranges.iter().chain(&other.ranges).copied().collect();
        all.sort_unstable();
        let mut ranges: Vec<(u32, u32)> = Vec::with_capacity(all.len());
        for (a, b) in all {
            match ranges.last_mut() {
                Some(last) if a <= last.1.saturating_add(1) => last.1 = last.1.max(b),
                _ => ranges.push((a, b)),
            }
        }
        Self { ranges, kind: PhantomData }
    }

    /// The set in parts of so many numbers, ascending; the last may have fewer.
    pub fn parts(&self, most: u32) -> impl Iterator<Item = Self> + '_ {
        let (mut ranges, mut rest) = (self.ranges.iter().copied(), None);
        std::iter::from_fn(move || {
            let (mut part, mut room) = (Vec::with_capacity(ranges.len().min(most as usize) + 1), most);
            while room > 0 {
                let Some((a, b)) = rest.take().or_else(|| ranges.next()) else { break };
                let end = b.min(a.saturating_add(room - 1));
                part.push((a, end));
                room -= end - a + 1;
                rest = (end < b).then(|| (end + 1, b));
            }
            (!part.is_empty()).then_some(Self { ranges: part, kind: PhantomData })
        })
    }

    /// The ranges, ascending, both ends included.
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = (T, T)> + ExactSizeIterator + '_ {
        self.ranges.iter().map(|&(a, b)| (number(a), number(b)))
    }

    /// The numbers, ascending. Ask [`IdSet::len`] first: a client may have written `1:4294967295`.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = T> + '_ {
        self.ranges.iter().flat_map(|&(a, b)| (a..=b).map(number))
    }
}

/// Ranges hold only numbers that came out of a `T`, so none of them is zero.
fn number<T: Number>(n: u32) -> T {
    T::new(n).expect("a set holds no zero")
}

impl<T: Number> FromIterator<T> for IdSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(ids: I) -> Self {
        let mut ids: Vec<u32> = ids.into_iter().map(T::get).collect();
        ids.sort_unstable();
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for id in ids {
            match ranges.last_mut() {
                Some(last) if id <= last.1.saturating_add(1) => last.1 = last.1.max(id),
                _ => ranges.push((id, id)),
            }
        }
        Self { ranges, kind: PhantomData }
    }
}

impl<T: Number> Extend<T> for IdSet<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, ids: I) {
        for id in ids {
            self.insert(id);
        }
    }
}

impl<T> fmt::Display for IdSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (a, b)) in self.ranges.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            if a == b {
                write!(f, "{comma}{a}")?;
            } else {
                write!(f, "{comma}{a}:{b}")?;
            }
        }
        Ok(())
    }
}

impl<T> fmt::Debug for IdSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::Uid;

    fn set(ids: &BTreeSet<u32>) -> IdSet<Uid> {
        ids.iter().filter_map(|&n| Uid::new(n)).collect()
    }

    fn numbers(set: &IdSet<Uid>) -> BTreeSet<u32> {
        set.iter().map(Uid::get).collect()
    }

    fn well_formed(set: &IdSet<Uid>) {
        for pair in set.ranges.windows(2) {
            assert!(pair[0].1.saturating_add(1) < pair[1].0, "{set:?}");
        }
        assert!(set.ranges.iter().all(|&(a, b)| a >= 1 && a <= b), "{set:?}");
    }

    fn some() -> impl Strategy<Value = BTreeSet<u32>> {
        proptest::collection::btree_set(1u32..60, 0..40)
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(a in some(), b in some(), n in 1u32..60, m in 1u32..60) {
            let (x, y) = (set(&a), set(&b));
            prop_assert_eq!(numbers(&x), a.clone());
            prop_assert_eq!(x.len(), a.len() as u64);
            let both = [x.intersection(&y), x.difference(&y), x.union(&y)];
            both.iter().for_each(well_formed);
            prop_assert_eq!(numbers(&both[0]), &a & &b);
            prop_assert_eq!(numbers(&both[1]), &a - &b);
            prop_assert_eq!(numbers(&both[2]), &a | &b);

            let (mut z, mut c) = (x.clone(), a.clone());
            z.insert_range(Uid::new(n).unwrap(), Uid::new(m).unwrap());
            c.extend(n.min(m)..=n.max(m));
            well_formed(&z);
            prop_assert_eq!(numbers(&z), c.clone());
            prop_assert_eq!(z.remove(Uid::new(n).unwrap()), c.remove(&n));
            well_formed(&z);
            prop_assert_eq!(numbers(&z), c);
            prop_assert_eq!(x.contains(Uid::new(n).unwrap()), a.contains(&n));

            let (low, high) = (Uid::new(n.min(m)).unwrap(), Uid::new(n.max(m)).unwrap());
            let inside: BTreeSet<u32> = a.range(n.min(m)..=n.max(m)).copied().collect();
            prop_assert_eq!(numbers(&x.within(low, high)), inside.clone());
            prop_assert_eq!(x.count_within(low, high), inside.len() as u64);
            prop_assert_eq!(x.touches(low, high), !inside.is_empty());
            prop_assert_eq!(x.has_all(low, high), inside.len() as u32 == high.get() - low.get() + 1);

            let mut moved = IdSet::<Uid>::range(Uid::MIN, low);
            let there: BTreeSet<u32> = (1..=low.get()).chain(inside.iter().map(|id| id + 1)).collect();
            moved.extend_moved(&x, low, high, Uid::new(low.get() + 1).unwrap());
            well_formed(&moved);
            prop_assert_eq!(numbers(&moved), there);

            let parts: Vec<_> = x.parts(n).collect();
            parts.iter().for_each(well_formed);
            let (whole, last) = parts.split_at(parts.len().saturating_sub(1));
            prop_assert!(whole.iter().all(|part| part.len() == u64::from(n)));
            prop_assert!(last.iter().all(|part| !part.is_empty() && part.len() <= u64::from(n)));
            prop_assert_eq!(parts.iter().flat_map(IdSet::iter).map(Uid::get).collect::<Vec<_>>(), a.iter().copied().collect::<Vec<_>>());

            let (from, to) = (u64::from(n.min(m)) - 1, u64::from(n.max(m)));
            let there: BTreeSet<u32> = a.iter().copied().skip(from as usize).take((to - from) as usize).collect();
            let at = x.at(from..to);
            well_formed(&at);
            prop_assert_eq!(numbers(&at), there);
        }
    }

    #[test]
    fn the_ends_of_the_range_do_not_overflow() {
        let mut s = IdSet::<Uid>::range(Uid::MAX, Uid::MIN);
        assert_eq!(s.len(), u64::from(u32::MAX));
        assert!(s.remove(Uid::MAX) && s.remove(Uid::MIN));
        s.insert(Uid::MAX);
        s.insert(Uid::MIN);
        assert_eq!(s.to_string(), "1:4294967295");
    }
}
