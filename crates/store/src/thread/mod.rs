//! Messages in conversations: what THREAD asks (RFC 5256 §3).
//!
//! [`Threading`] makes columns of rows and cards ([`table`]); the algorithms are functions of these
//! ([`references`], [`ordered_subject`]) that give a [`forest`]. Nothing recurses: senders choose the depth.

mod forest;
mod links;
mod ordered_subject;
mod references;
pub(crate) mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use types::{IdSet, Uid};

use crate::blocking::blocking;
use crate::columns::Kept;
use crate::error::Result;
use crate::gather::Gathering;
use crate::mailbox::Mailbox;
use crate::snapshot::Snapshot;
use crate::steps::{Steps, Turn};
use forest::Forest;
use table::Table;

pub use forest::Step;

/// How threads are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// By base subject: "poor man's threading".
    OrderedSubject,
    /// By References, then by base subject.
    References,
    /// By References alone; the thread with the newest message last (draft-ietf-morg-inthread).
    Refs,
}

/// Threads that are being made.
pub struct Threading {
    mailbox: Mailbox,
    gathering: Gathering,
    algorithm: Algorithm,
    wanted: IdSet<Uid>,
    kept: Kept<Table>,
}

/// Messages in threads.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Threads {
    uids: Vec<Uid>,
    forest: Forest,
    /// Those among them whose header could not be read: nothing is known of them but their dates.
    pub damaged: IdSet<Uid>,
}

impl Steps for Threading {
    async fn turn(&self) -> Option<Turn> {
        self.gathering.turn().await
    }

    fn step(&mut self) -> Result<bool> {
        let Self { gathering, kept, .. } = self;
        gathering.step(|row, card| {
            kept.uids.push(row.uid);
            kept.columns.push(row, card);
        })
    }

    fn progress(&self) -> (u64, u64) {
        self.gathering.progress()
    }
}

impl Threading {
    /// Threads these messages of the snapshot.
    pub fn new(mailbox: &Mailbox, snapshot: Arc<Snapshot>, wanted: IdSet<Uid>, algorithm: Algorithm) -> Self {
        let (kept, missing) = {
            let mut columns = mailbox.cell.columns();
            columns.thread.take_if(|kept| !kept.is_worth_it(snapshot.sums().count));
            let missing = columns.thread.as_ref().and_then(|kept| kept.missing(&wanted));
            missing
                .and_then(|missing| Some((columns.thread.take()?, missing)))
                .unwrap_or_else(|| (Kept::default(), wanted.clone()))
        };
        let gathering = Gathering::new(mailbox, snapshot, missing, true);
        Self { mailbox: mailbox.clone(), gathering, algorithm, wanted, kept }
    }

    /// The threads.
    pub fn finish(self) -> Threads {
        let mut kept = self.kept;
        kept.shrink(Table::shrink);
        let positions = kept.positions(&self.wanted);
        let selected = (positions.len() < kept.uids.len()).then(|| kept.columns.select(&positions));
        let table = selected.as_ref().unwrap_or(&kept.columns);
        let forest = blocking(|| match self.algorithm {
            Algorithm::OrderedSubject => ordered_subject::thread(table),
            Algorithm::References => references::thread(table),
            Algorithm::Refs => references::thread_without_subjects(table),
        });
        let uids = positions.into_iter().filter_map(|at| kept.uids.get(at as usize).copied()).collect();
        let damaged = self.gathering.damaged().clone();
        let mut columns = self.mailbox.cell.columns();
        if damaged.is_empty() && columns.thread.as_ref().is_none_or(|other| other.uids.len() <= kept.uids.len()) {
            columns.thread = Some(kept);
        }
        Threads { uids, forest, damaged }
    }
}

impl Threads {
    /// All threads, step by step.
    pub fn steps(&self) -> impl Iterator<Item = Step<Uid>> + '_ {
        self.forest.steps().filter_map(|step| {
            Some(match step {
                Step::Open => Step::Open,
                Step::Close => Step::Close,
                Step::Message(at) => Step::Message(*self.uids.get(at as usize)?),
            })
        })
    }
}
