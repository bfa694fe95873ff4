//! Work on a mailbox that may take long, done step by step, so that others run in between.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::error::Result;
use crate::mailbox::Mailbox;

/// Searching, sorting, threading: whoever drives it waits for a turn, does a step, gives the turn
/// back, and may end it between two steps.
pub trait Steps {
    /// Waits for the turn to do a step; hold what this gives meanwhile. Nobody waits whose steps read
    /// no messages.
    fn turn(&self) -> impl Future<Output = Option<Turn>> + Send;

    /// Looks at the next messages; true where some are left.
    fn step(&mut self) -> Result<bool>;

    /// How many messages were looked at, of how many.
    fn progress(&self) -> (u64, u64);
}

/// The right to do a step that reads messages: as many at a time as there are processors.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held, not looked at")] OwnedSemaphorePermit);

impl Mailbox {
    /// Waits for a turn to read messages.
    pub(crate) async fn turn(&self) -> Option<Turn> {
        let turns = Arc::clone(&self.account.0.shared.searches);
        turns.acquire_owned().await.ok().map(Turn)
    }
}
