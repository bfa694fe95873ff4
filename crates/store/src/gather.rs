//! Reads the rows and cards of some messages, step by step, for whoever makes columns of them.

use std::sync::Arc;

use message::CardRef;
use types::{IdSet, Uid};

use crate::blocking::blocking;
use crate::chunk::Row;
use crate::error::{Error, Result};
use crate::mailbox::Mailbox;
use crate::snapshot::Snapshot;
use crate::steps::Turn;

/// Messages in a step: some milliseconds.
const STEP: usize = 1000;

/// See the module. Messages come ascending.
pub(crate) struct Gathering {
    mailbox: Mailbox,
    snapshot: Arc<Snapshot>,
    uids: IdSet<Uid>,
    with_cards: bool,
    next: Option<Uid>,
    damaged: IdSet<Uid>,
}

impl Gathering {
    pub(crate) fn new(mailbox: &Mailbox, snapshot: Arc<Snapshot>, uids: IdSet<Uid>, with_cards: bool) -> Self {
        let next = uids.first();
        Self { mailbox: mailbox.clone(), snapshot, uids, with_cards, next, damaged: IdSet::new() }
    }

    /// Waits for its turn to do a step, among the searches; hold what this gives meanwhile. Nobody
    /// waits who reads no cards.
    pub(crate) async fn turn(&self) -> Option<Turn> {
        if self.with_cards { self.mailbox.turn().await } else { None }
    }

    /// Calls `each` with the next messages; true where some are left. A message whose card can
    /// neither be read nor made anew comes without one, and is in [`Gathering::damaged`].
    pub(crate) fn step(&mut self, each: impl FnMut(&Row, Option<CardRef<'_>>)) -> Result<bool> {
        let Some(from) = self.next.take() else { return Ok(false) };
        if self.with_cards { blocking(|| self.messages(from, each)) } else { self.messages(from, each) }
    }

    /// How many messages were read, of how many.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let left = self.next.map_or(0, |next| self.uids.within(next, Uid::MAX).len());
        (self.uids.len() - left, self.uids.len())
    }

    /// What could not be read.
    pub(crate) fn damaged(&self) -> &IdSet<Uid> {
        &self.damaged
    }

    fn messages(&mut self, from: Uid, mut each: impl FnMut(&Row, Option<CardRef<'_>>)) -> Result<bool> {
        let rest = self.uids.within(from, Uid::MAX);
        let snapshot = Arc::clone(&self.snapshot);
        let mut cards = if self.with_cards { Some(self.mailbox.reader()) } else { None };
        let mut done = 0;
        for chunk in snapshot.chunks(&rest) {
            let chunk = chunk?;
            for row in chunk.rows().iter().filter(|row| rest.contains(row.uid)) {
                if done == STEP {
                    self.next = Some(row.uid);
                    return Ok(true);
                }
                done += 1;
                match cards.as_mut().map(|cards| cards.card(row.email)).transpose() {
                    Ok(card) => each(row, card),
                    Err(Error::Damaged(what)) => {
                        tracing::error!(uid = %row.uid, what, "a message is put in order without its header");
                        self.damaged.insert(row.uid);
                        each(row, None);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(false)
    }
}
