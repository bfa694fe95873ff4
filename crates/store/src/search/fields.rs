//! Header fields of a mailbox as SEARCH compares them: a column for each of the names that clients look
//! for, kept for the next time (see [`crate::columns`]).
//!
//! A column has the values of many messages in one string, so that one pass over it finds a text in all
//! of them. It is made by the way: what a search reads in cards, it leaves here. What a column does not
//! have is looked for in cards, so it may have any messages; it is never wrong about those that it has.

use std::collections::HashMap;
use std::iter::Peekable;
use std::sync::Arc;

use message::{CardHeader, FieldSet, Header, Needle, append_values};
use types::{IdSet, Uid};

use super::{Key, Query};

/// The names that have columns. Sorted, in lower case.
const NAMES: &[&str] = &["bcc", "cc", "from", "message-id", "subject", "to"];

/// Octets of the values of one message: longer ones are read in the card each time, so that what senders
/// can make us hold has an end.
const LONGEST: usize = 1000;

/// One field of some messages.
#[derive(Clone, Default)]
pub(crate) struct FieldColumn {
    uids: IdSet<Uid>,
    /// Where the values of each of them end.
    ends: Vec<usize>,
    values: Vec<u8>,
}

/// The columns of a mailbox, by name.
pub(crate) type FieldColumns = HashMap<&'static str, Arc<FieldColumn>>;

/// What one search reads.
#[derive(Default)]
pub(super) struct Learnt {
    columns: Vec<(&'static str, FieldSet, FieldColumn)>,
    /// One field as it stands.
    octets: Vec<u8>,
}

impl FieldColumn {
    /// Octets, about.
    pub(crate) fn memory(&self) -> usize {
        self.values.capacity() + self.ends.capacity() * size_of::<usize>()
    }

    /// The messages in which a text was found.
    fn find(&self, needle: &Needle) -> IdSet<Uid> {
        let mut found = IdSet::new();
        let next = |from| needle.find(self.values.get(from..)?).map(|at| from + at);
        let mut hit = next(0);
        for (uid, &end) in self.uids.iter().zip(&self.ends) {
            let Some(at) = hit else { break };
            if at < end {
                found.insert(uid);
                hit = next(end);
            }
        }
        found
    }

    /// Adds a message behind those that are here.
    fn push(&mut self, uid: Uid, header: Header<'_>, name: &str) {
        let start = self.values.len();
        append_values(header, name, &mut self.values);
        if self.values.len() - start > LONGEST || self.uids.last().is_some_and(|last| last >= uid) {
            self.values.truncate(start);
        } else {
            self.end(uid);
        }
    }

    fn end(&mut self, uid: Uid) {
        self.uids.insert(uid);
        self.ends.push(self.values.len());
    }

    /// The messages and their values.
    fn iter(&self) -> impl Iterator<Item = (Uid, &[u8])> {
        let starts = std::iter::once(&0).chain(&self.ends);
        let values = starts.zip(&self.ends).map(|(&start, &end)| self.values.get(start..end).unwrap_or_default());
        self.uids.iter().zip(values)
    }

    /// Adds what another column of the field has.
    fn merge(&mut self, other: &Self) {
        if other.uids.first() > self.uids.last() {
            other.iter().for_each(|(uid, values)| self.append(uid, values));
            return;
        }
        let mut merged = Self::default();
        let (mut a, mut b) = (self.iter().peekable(), other.iter().peekable());
        while let Some((uid, values)) = lesser(&mut a, &mut b) {
            merged.append(uid, values);
        }
        drop((a, b));
        *self = merged;
    }

    fn append(&mut self, uid: Uid, values: &[u8]) {
        self.values.extend_from_slice(values);
        self.end(uid);
    }
}

/// The next of two ascending sequences; of what is in both, one.
fn lesser<'a, I: Iterator<Item = (Uid, &'a [u8])>>(
    a: &mut Peekable<I>,
    b: &mut Peekable<I>,
) -> Option<(Uid, &'a [u8])> {
    match (a.peek(), b.peek()) {
        (Some((x, _)), Some((y, _))) if x == y => {
            b.next();
            a.next()
        }
        (Some((x, _)), Some((y, _))) if x > y => b.next(),
        (None, _) => b.next(),
        _ => a.next(),
    }
}

/// The query with sets of UIDs in the place of what columns answer: for messages in `scope`, it says the same.
pub(super) fn answered(query: Query, columns: &FieldColumns, scope: &IdSet<Uid>) -> Query {
    let all = |queries: Vec<Query>| queries.into_iter().map(|query| answered(query, columns, scope)).collect();
    match query {
        Query::And(queries) => Query::And(all(queries)),
        Query::Or(queries) => Query::Or(all(queries)),
        Query::Not(query) => Query::Not(Box::new(answered(*query, columns, scope))),
        Query::Key(Key::Header { name, value }) => {
            let Some(column) = kept_name(&name).and_then(|name| columns.get(name)) else {
                return Query::Key(Key::Header { name, value });
            };
            let found = column.find(&Needle::new(&value));
            let unknown = scope.difference(&column.uids);
            let header = Query::Key(Key::Header { name, value });
            let uids = |uids| Query::Key(Key::Uids(uids));
            if unknown.is_empty() {
                return uids(found);
            }
            Query::And(vec![uids(found.union(&unknown)), Query::Or(vec![uids(found), header])])
        }
        Query::Key(key) => Query::Key(key),
    }
}

/// The name, if it has a column.
fn kept_name(name: &str) -> Option<&'static str> {
    NAMES.iter().find(|kept| kept.eq_ignore_ascii_case(name)).copied()
}

impl Learnt {
    /// Of these fields.
    pub(super) fn new<'a>(fields: impl Iterator<Item = (&'a str, FieldSet)>) -> Self {
        let mut columns: Vec<(&'static str, FieldSet, FieldColumn)> = vec![];
        for (name, set) in fields.filter_map(|(name, set)| Some((kept_name(name)?, set))) {
            if columns.iter().all(|(other, ..)| *other != name) {
                columns.push((name, set, FieldColumn::default()));
            }
        }
        Self { columns, octets: vec![] }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.columns.iter().all(|(_, _, learnt)| learnt.uids.is_empty())
    }

    /// Takes what is needed of a message; messages come ascending.
    pub(super) fn take(&mut self, uid: Uid, header: CardHeader<'_>) {
        for (name, set, column) in &mut self.columns {
            self.octets.clear();
            header.select(*set, &mut self.octets);
            column.push(uid, Header::new(&self.octets), name);
        }
    }

    /// Whether the message that was taken last has a text in this field; `None` where that was not kept.
    pub(super) fn holds(&self, uid: Uid, name: &str, needle: &Needle) -> Option<bool> {
        let (.., column) = self.columns.iter().find(|(kept, ..)| kept.eq_ignore_ascii_case(name))?;
        if column.uids.last() != Some(uid) {
            return None;
        }
        let start = column.ends.iter().rev().nth(1).copied().unwrap_or(0);
        Some(needle.find(column.values.get(start..)?).is_some())
    }

    /// Joins it with what is kept, in a mailbox of so many messages.
    pub(super) fn keep(self, columns: &mut FieldColumns, messages: u32) {
        for (name, _, learnt) in self.columns.into_iter().filter(|(.., learnt)| !learnt.uids.is_empty()) {
            let column = columns.entry(name).or_default();
            // Most of it is of messages that are gone.
            if column.ends.len() > 1000 + 2 * messages as usize {
                *column = Arc::default();
            }
            let column = Arc::make_mut(column);
            column.merge(&learnt);
            column.ends.shrink_to_fit();
            column.values.shrink_to_fit();
        }
    }
}
