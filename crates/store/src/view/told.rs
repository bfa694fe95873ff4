//! The messages a client knows, in order: the only place that turns sequence numbers into UIDs.

use types::{IdSet, SeqNum, Uid};

/// A set of UIDs, each with its position.
#[derive(Clone, Debug, Default)]
pub struct Told {
    uids: IdSet<Uid>,
    /// For each range of `uids`: its first UID and how many messages stand before it.
    before: Vec<(Uid, u32)>,
    len: u32,
    largest_ever: Option<Uid>,
}

impl Told {
    pub(super) fn new(uids: &IdSet<Uid>) -> Self {
        let mut told = Self { uids: uids.clone(), largest_ever: uids.last(), ..Self::default() };
        told.index();
        told
    }

    /// How many messages.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// True where the client knows no message.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The UIDs.
    pub fn uids(&self) -> &IdSet<Uid> {
        &self.uids
    }

    /// The largest UID.
    pub fn last(&self) -> Option<Uid> {
        self.uids.last()
    }

    pub(super) fn largest_ever(&self) -> Option<Uid> {
        self.largest_ever
    }

    /// The sequence number of a message.
    pub fn number(&self, uid: Uid) -> Option<SeqNum> {
        let at = self.before.partition_point(|&(first, _)| first <= uid).checked_sub(1)?;
        let &(first, before) = self.before.get(at)?;
        let number = before.checked_add(uid.get() - first.get())?.checked_add(1)?;
        if self.uids.contains(uid) { SeqNum::new(number) } else { None }
    }

    /// The message with a sequence number.
    pub fn uid(&self, number: SeqNum) -> Option<Uid> {
        if number.get() > self.len {
            return None;
        }
        let at = self.before.partition_point(|&(_, before)| before < number.get()).checked_sub(1)?;
        let &(first, before) = self.before.get(at)?;
        Uid::new(first.get().checked_add(number.get() - before - 1)?)
    }

    /// The messages with these sequence numbers; numbers above the last are skipped.
    pub(super) fn uids_at(&self, numbers: &IdSet<SeqNum>) -> IdSet<Uid> {
        let mut uids = IdSet::new();
        let ends = self.before.iter().skip(1).map(|&(_, before)| before).chain([self.len]);
        for (&(first, before), end) in self.before.iter().zip(ends) {
            let (Some(low), Some(high)) = (SeqNum::new(before.saturating_add(1)), SeqNum::new(end)) else { continue };
            for (a, b) in numbers.ranges_within(low, high) {
                let uid = |n: SeqNum| Uid::new(first.get().saturating_add(n.get() - before - 1));
                if let (Some(a), Some(b)) = (uid(a), uid(b)) {
                    uids.insert_range(a, b);
                }
            }
        }
        uids
    }

    /// The sequence numbers of these messages.
    pub fn numbers_of(&self, uids: &IdSet<Uid>) -> IdSet<SeqNum> {
        let mut numbers = IdSet::new();
        for ((first, last), &(_, before)) in self.uids.ranges().zip(&self.before) {
            if let Some(to) = SeqNum::new(before.saturating_add(1)) {
                numbers.extend_moved(uids, first, last, to);
            }
        }
        numbers
    }

    /// Adds messages behind all others.
    pub(super) fn append(&mut self, uids: &IdSet<Uid>) {
        for (a, b) in uids.ranges() {
            self.uids.insert_range(a, b);
        }
        self.largest_ever = self.largest_ever.max(self.uids.last());
        self.index();
    }

    /// Takes messages out; gives each with its number at the moment of its own EXPUNGE, when the
    /// smaller ones of this removal are gone already (RFC 9051 §7.5.1).
    pub(super) fn remove(&mut self, gone: &IdSet<Uid>) -> Vec<(SeqNum, Uid)> {
        let mut out = Vec::new();
        for uid in gone.iter() {
            let before = u32::try_from(out.len()).unwrap_or(u32::MAX);
            if let Some(number) = self.number(uid).and_then(|n| SeqNum::new(n.get() - before)) {
                out.push((number, uid));
            }
        }
        if !out.is_empty() {
            self.uids = self.uids.difference(gone);
            self.index();
        }
        out
    }

    fn index(&mut self) {
        self.before.clear();
        let mut count = 0u32;
        for (a, b) in self.uids.ranges() {
            self.before.push((a, count));
            count = count.saturating_add(b.get() - a.get()).saturating_add(1);
        }
        self.len = count;
    }
}
