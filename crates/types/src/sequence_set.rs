//! A `sequence-set` as a client writes it, before anybody knows what `*` is.

use std::fmt;
use std::marker::PhantomData;

use crate::id::Number;
use crate::idset::IdSet;

/// One end of a range: a number, or `*`, the largest number in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum SetBound<T> {
    /// A number, in use or not.
    Number(T),
    /// `*`
    Last,
}

/// `sequence-set` of RFC 9051 §9: at least one range, bounds in any order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SequenceSet<T> {
    ranges: Vec<(SetBound<T>, SetBound<T>)>,
    kind: PhantomData<T>,
}

impl<T: Number> SequenceSet<T> {
    /// `None` for no range at all, which the grammar does not allow.
    pub fn new(ranges: Vec<(SetBound<T>, SetBound<T>)>) -> Option<Self> {
        (!ranges.is_empty()).then_some(Self { ranges, kind: PhantomData })
    }

    /// One number.
    pub fn one(bound: SetBound<T>) -> Self {
        Self { ranges: vec![(bound, bound)], kind: PhantomData }
    }

    /// The ranges as written.
    pub fn ranges(&self) -> &[(SetBound<T>, SetBound<T>)] {
        &self.ranges
    }

    /// The numbers meant, where `last` is the largest in use (RFC 9051 §9, `seq-range`: `3:*` names
    /// the last one also where it is smaller than 3). In an empty mailbox (`None`), `*` names nothing.
    pub fn resolve(&self, last: Option<T>) -> IdSet<T> {
        let mut set = IdSet::new();
        for &(a, b) in &self.ranges {
            let bound = |x| match x {
                SetBound::Number(n) => Some(n),
                SetBound::Last => last,
            };
            if let (Some(a), Some(b)) = (bound(a), bound(b)) {
                set.insert_range(a, b);
            }
        }
        set
    }

    /// The largest number written out, without `*`: a sequence number above EXISTS is an error.
    pub fn largest_number(&self) -> Option<T> {
        let numbers = self.ranges.iter().flat_map(|&(a, b)| [a, b]);
        numbers
            .filter_map(|bound| match bound {
                SetBound::Number(n) => Some(n),
                SetBound::Last => None,
            })
            .max()
    }
}

impl<T: Number> From<&IdSet<T>> for Option<SequenceSet<T>> {
    fn from(set: &IdSet<T>) -> Self {
        SequenceSet::new(set.ranges().map(|(a, b)| (SetBound::Number(a), SetBound::Number(b))).collect())
    }
}

impl<T: Number> fmt::Display for SetBound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{}", n.get()),
            Self::Last => f.write_str("*"),
        }
    }
}

impl<T: Number> fmt::Display for SequenceSet<T> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Uid;

    #[test]
    fn a_star_range_names_the_last_message_even_below_its_start() {
        let set = SequenceSet::new(vec![(SetBound::Number(Uid::new(559).unwrap()), SetBound::Last)]).unwrap();
        assert_eq!(set.resolve(Uid::new(7)).to_string(), "7:559");
        assert!(set.resolve(Uid::new(7)).contains(Uid::new(7).unwrap()));
        assert!(set.resolve(None).is_empty());
    }
}
