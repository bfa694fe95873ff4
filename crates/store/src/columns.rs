//! Columns of a mailbox that SORT, THREAD and SEARCH have made, kept for the next time.
//!
//! What a message is never changes while it is in a mailbox, so a column is never wrong: new
//! messages are added behind, and those that are not asked for, or gone, are passed over. Columns
//! count with their snapshot in [`types::Limits::snapshot_memory`], and go with it, or when nobody has asked for
//! any of them for some minutes.

use std::collections::HashMap;

use types::{IdSet, Uid};

use crate::search::FieldColumns;
use crate::sort::SortKey;
use crate::sort::column::Column;
use crate::thread::table::Table;

/// Columns, and the messages that they are of, ascending.
#[derive(Default)]
pub(crate) struct Kept<T> {
    pub(crate) uids: Vec<Uid>,
    pub(crate) columns: T,
}

/// What a mailbox keeps. Whoever sorts or threads takes it out and puts it back; who comes meanwhile starts anew.
#[derive(Default)]
pub(crate) struct KeptColumns {
    pub(crate) sort: Option<Kept<HashMap<SortKey, Column>>>,
    pub(crate) thread: Option<Kept<Table>>,
    pub(crate) fields: FieldColumns,
    /// How often they have grown old since they were used.
    age: u32,
}

/// Columns that have grown old so often go: five minutes, where that happens every five seconds.
const OLD: u32 = 60;

impl<T> Kept<T> {
    /// False where most of it is of messages that are gone: so many are in the mailbox.
    pub(crate) fn is_worth_it(&self, messages: u32) -> bool {
        self.uids.len() <= 1000 + 2 * messages as usize
    }

    /// What must be read for these messages, all of it behind what is here; `None` where it is better
    /// to begin anew.
    pub(crate) fn missing(&self, wanted: &IdSet<Uid>) -> Option<IdSet<Uid>> {
        let missing = wanted.difference(&self.uids.iter().copied().collect());
        let behind = missing.first().is_none_or(|first| self.uids.last().is_none_or(|&last| first > last));
        behind.then_some(missing)
    }

    /// Gives back what it has taken to grow: `columns` does so for its part.
    pub(crate) fn shrink(&mut self, columns: impl FnOnce(&mut T)) {
        self.uids.shrink_to_fit();
        columns(&mut self.columns);
    }

    /// The positions of these messages.
    pub(crate) fn positions(&self, wanted: &IdSet<Uid>) -> Vec<u32> {
        let wanted = |&(_, uid): &(u32, &Uid)| wanted.contains(*uid);
        (0..).zip(&self.uids).filter(wanted).map(|(at, _)| at).collect()
    }
}

impl KeptColumns {
    /// Somebody uses them.
    pub(crate) fn used(&mut self) {
        self.age = 0;
    }

    /// Nobody did for a while.
    pub(crate) fn grow_old(&mut self) {
        self.age += 1;
        if self.age >= OLD {
            *self = Self::default();
        }
    }

    /// Octets, about.
    pub(crate) fn memory(&self) -> usize {
        let uids = |uids: &[Uid]| size_of_val(uids);
        let sort = self
            .sort
            .as_ref()
            .map_or(0, |kept| uids(&kept.uids) + kept.columns.values().map(Column::memory).sum::<usize>());
        let thread = self.thread.as_ref().map_or(0, |kept| uids(&kept.uids) + kept.columns.memory());
        sort + thread + self.fields.values().map(|column| column.memory()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sort::{SortBy, Sorting};
    use crate::steps::Steps as _;
    use crate::testing;

    #[tokio::test]
    async fn columns_that_nobody_asks_for_go() {
        let (store, account, who) = testing::account().await;
        let mailbox =
            testing::append(&account, &who, ["b", "a"].map(|subject| format!("Subject: {subject}\r\n\r\n"))).await;
        let sort = || {
            let snapshot = mailbox.snapshot().unwrap();
            let (uids, by) = (snapshot.uids(), SortBy { key: SortKey::Subject, reverse: false });
            let mut sorting = Sorting::new(&mailbox, snapshot, uids, &[by]);
            while sorting.step().unwrap() {}
            sorting.finish()
        };
        let first = sort();
        let with = mailbox.cell.memory();
        for _ in 0..2 {
            (1..OLD).for_each(|_| store.evict_idle());
            assert_eq!(mailbox.cell.memory(), with, "they are used now and then");
            assert_eq!(sort(), first);
        }
        (0..OLD).for_each(|_| store.evict_idle());
        assert!(mailbox.cell.memory() < with, "nobody has asked for them in five minutes");
        assert_eq!(sort(), first);
    }
}
