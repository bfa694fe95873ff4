//! Columns of numbers and texts, and the order that they give.

use std::cmp::Ordering;

use message::collation_key;

/// Octets of a text that are compared. No line of a header is longer (RFC 5322 §2.1.1), and what a
/// sender can make us hold has an end.
const LONGEST_TEXT: usize = 1000;

/// One value for each message.
#[derive(Clone, Debug)]
pub(crate) enum Column {
    Numbers(Vec<i64>),
    Texts(Texts),
}

/// Texts as i;unicode-casemap compares them, all in one string.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    text: String,
    /// Where each ends.
    ends: Vec<u32>,
}

/// Texts with the first eight octets of each at hand: most comparisons need no more.
pub(crate) struct Compared<'a> {
    texts: &'a Texts,
    first: Vec<u64>,
}

impl Column {
    pub(crate) fn numbers() -> Self {
        Self::Numbers(Vec::new())
    }

    pub(crate) fn texts() -> Self {
        Self::Texts(Texts::default())
    }

    /// Octets, about.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::Numbers(numbers) => size_of_val(numbers.as_slice()),
            Self::Texts(texts) => texts.memory(),
        }
    }

    /// Gives back what it has taken to grow.
    pub(crate) fn shrink(&mut self) {
        match self {
            Self::Numbers(numbers) => numbers.shrink_to_fit(),
            Self::Texts(texts) => texts.shrink(),
        }
    }

    fn keys(&self) -> Keys<'_> {
        match self {
            Self::Numbers(numbers) => Keys::Numbers(numbers),
            Self::Texts(texts) => Keys::Texts(texts.compared()),
        }
    }
}

/// A column as it is compared.
enum Keys<'a> {
    Numbers(&'a [i64]),
    Texts(Compared<'a>),
}

impl Keys<'_> {
    fn compare(&self, a: usize, b: usize) -> Ordering {
        match self {
            Self::Numbers(numbers) => numbers.get(a).cmp(&numbers.get(b)),
            Self::Texts(texts) => texts.compare(a, b),
        }
    }
}

impl Texts {
    /// Adds a text that is not mapped yet.
    pub(crate) fn push(&mut self, text: &str) {
        let text = text.get(..text.floor_char_boundary(LONGEST_TEXT)).unwrap_or_default();
        collation_key(text, &mut self.text);
        self.end();
    }

    /// Octets, about.
    pub(crate) fn memory(&self) -> usize {
        self.text.len() + size_of_val(self.ends.as_slice())
    }

    /// Gives back what it has taken to grow.
    pub(crate) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// Only these messages.
    pub(crate) fn select(&self, positions: &[u32]) -> Self {
        let mut selected = Self::default();
        for &at in positions {
            selected.text.push_str(self.get(at as usize));
            selected.end();
        }
        selected
    }

    /// The text of a message ends here. What is behind 4 GiB, in a mailbox of many millions, counts as empty.
    fn end(&mut self) {
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    /// The mapped text of a message.
    pub(crate) fn get(&self, at: usize) -> &str {
        let end = |at: usize| self.ends.get(at).map_or(0, |end| *end as usize);
        let start = at.checked_sub(1).map_or(0, end);
        self.text.get(start..end(at)).unwrap_or_default()
    }

    /// For whoever is to put them in order.
    pub(crate) fn compared(&self) -> Compared<'_> {
        let first = |at| {
            let mut first = [0; 8];
            first.iter_mut().zip(self.get(at).bytes()).for_each(|(to, from)| *to = from);
            u64::from_be_bytes(first)
        };
        Compared { texts: self, first: (0..self.ends.len()).map(first).collect() }
    }
}

impl Compared<'_> {
    /// The texts of two messages.
    pub(crate) fn compare(&self, a: usize, b: usize) -> Ordering {
        let first = self.first.get(a).cmp(&self.first.get(b));
        first.then_with(|| self.texts.get(a).cmp(self.texts.get(b)))
    }
}

/// The positions in the order of the columns, of which those with `true` are descending. RFC 5256 §3: "there is an implicit sort criterion of sequence number", which REVERSE
/// does not reverse.
pub(crate) fn order(mut order: Vec<u32>, columns: &[(&Column, bool)]) -> Vec<u32> {
    let keys: Vec<_> = columns.iter().map(|(column, reverse)| (column.keys(), *reverse)).collect();
    let compare = |a: usize, b: usize| {
        let directed = |(keys, reverse): &(Keys<'_>, bool)| {
            let ordering = keys.compare(a, b);
            if *reverse { ordering.reverse() } else { ordering }
        };
        keys.iter().map(directed).find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
    };
    order.sort_unstable_by(|&a, &b| compare(a as usize, b as usize).then(a.cmp(&b)));
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn order(len: usize, columns: &[(Column, bool)]) -> Vec<u32> {
        let columns: Vec<_> = columns.iter().map(|(column, reverse)| (column, *reverse)).collect();
        super::order((0..len as u32).collect(), &columns)
    }

    fn texts(of: &[&str]) -> Column {
        let mut texts = Texts::default();
        of.iter().for_each(|text| texts.push(text));
        Column::Texts(texts)
    }

    #[test]
    fn texts_and_numbers() {
        let subjects = || texts(&["b", "A", "", "a", "abcdefghij", "abcdefghi", "_"]);
        assert_eq!(order(7, &[(subjects(), false)]), [2, 1, 3, 5, 4, 0, 6]);
        // REVERSE does not reverse the order of what is equal.
        assert_eq!(order(7, &[(subjects(), true)]), [6, 0, 4, 5, 1, 3, 2]);
        let dates = Column::Numbers(vec![0, 1, 2, 0, -5, 9, 9]);
        assert_eq!(order(7, &[(subjects(), false), (dates, false)]), [2, 3, 1, 5, 4, 0, 6]);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "ü".repeat(LONGEST_TEXT);
        let Column::Texts(texts) = texts(&[&long, &format!("x{long}")]) else { panic!() };
        assert_eq!(texts.get(0).chars().count(), LONGEST_TEXT, "u and two dots for each");
    }

    proptest! {
        /// Against sorting by whole keys, least significant first, with a stable sort.
        #[test]
        fn like_a_naive_sort(
            rows in proptest::collection::vec(("[aAbBß_é]{0,3}", -2i64..3, "[a-c]{8,10}"), 0..40),
            reverse: [bool; 3],
        ) {
            let columns = [
                (texts(&rows.iter().map(|r| r.0.as_str()).collect::<Vec<_>>()), reverse[0]),
                (Column::Numbers(rows.iter().map(|r| r.1).collect()), reverse[1]),
                (texts(&rows.iter().map(|r| r.2.as_str()).collect::<Vec<_>>()), reverse[2]),
            ];
            let key = |text: &str| { let mut out = String::new(); collation_key(text, &mut out); out };
            let mut naive: Vec<u32> = (0..rows.len() as u32).collect();
            let turned = |ordering: Ordering, reverse: bool| if reverse { ordering.reverse() } else { ordering };
            naive.sort_by(|&a, &b| turned(key(&rows[a as usize].2).cmp(&key(&rows[b as usize].2)), reverse[2]));
            naive.sort_by(|&a, &b| turned(rows[a as usize].1.cmp(&rows[b as usize].1), reverse[1]));
            naive.sort_by(|&a, &b| turned(key(&rows[a as usize].0).cmp(&key(&rows[b as usize].0)), reverse[0]));
            // The least significant sorts came first, so a stable sort by the most significant ends it.
            prop_assert_eq!(order(rows.len(), &columns), naive);
        }
    }
}
