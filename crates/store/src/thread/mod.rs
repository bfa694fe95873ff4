//! Messages in conversations: what THREAD asks (RFC 5256 §3).
//!
//! [`Threading`] makes columns of rows and cards ([`table`]); the algorithms are functions of these
//! ([`references`], [`ordered_subject`]) that give a [`forest`]. Nothing recurses: senders choose the depth.

mod forest;
mod links;
mod ordered_subject;
mod references;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use types::{IdSet, Uid};

use crate::blocking::blocking;
use crate::error::Result;
use crate::gather::Gathering;
use crate::mailbox::Mailbox;
use crate::search::Turn;
use crate::snapshot::Snapshot;
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
    gathering: Gathering,
    algorithm: Algorithm,
    table: Table,
    uids: Vec<Uid>,
}

/// Messages in threads.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Threads {
    uids: Vec<Uid>,
    forest: Forest,
    /// Those among them whose header could not be read: nothing is known of them but their dates.
    pub damaged: IdSet<Uid>,
}

impl Threading {
    /// Threads these messages of the snapshot.
    pub fn new(mailbox: &Mailbox, snapshot: Arc<Snapshot>, uids: IdSet<Uid>, algorithm: Algorithm) -> Self {
        let gathering = Gathering::new(mailbox, snapshot, uids, true);
        Self { gathering, algorithm, table: Table::default(), uids: Vec::new() }
    }

    /// Waits for its turn to do a step; hold what this gives meanwhile.
    pub async fn turn(&self) -> Option<Turn> {
        self.gathering.turn().await
    }

    /// Looks at the next messages; false once all were looked at.
    pub fn step(&mut self) -> Result<bool> {
        let Self { gathering, table, uids, .. } = self;
        gathering.step(|row, card| {
            uids.push(row.uid);
            table.push(row, card);
        })
    }

    /// The threads.
    pub fn finish(self) -> Threads {
        let forest = blocking(|| match self.algorithm {
            Algorithm::OrderedSubject => ordered_subject::thread(&self.table),
            Algorithm::References => references::thread(&self.table),
            Algorithm::Refs => references::thread_without_subjects(&self.table),
        });
        Threads { uids: self.uids, forest, damaged: self.gathering.damaged().clone() }
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
