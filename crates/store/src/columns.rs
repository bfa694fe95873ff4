//! Columns of a mailbox that SORT, THREAD and SEARCH have made, kept for the next time.
//!
//! What a message is never changes while it is in a mailbox, so a column is never wrong: new
//! messages are added behind, and those that are not asked for, or gone, are passed over. Columns
//! count with their snapshot in [`types::Limits::snapshot_memory`], and go with it.

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
}

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

    /// The positions of these messages.
    pub(crate) fn positions(&self, wanted: &IdSet<Uid>) -> Vec<u32> {
        let wanted = |&(_, uid): &(u32, &Uid)| wanted.contains(*uid);
        (0..).zip(&self.uids).filter(wanted).map(|(at, _)| at).collect()
    }
}

impl KeptColumns {
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
