//! Who commits: the thread whose work it is, which takes everything that is waiting as one group; or, where nobody
//! else commits and the disk is quick, whoever comes, on the spot.
//!
//! To wake the thread and to be woken by it costs more than to write and sync little. But who commits on the spot keeps
//! the other tasks of its thread waiting for one sync, so that is left alone for a while after a sync that took long, and
//! after a group of several: whoever waits for a sync together needs only one.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::indexer::Work;
use super::writer::{Writer, size};
use crate::{Batch, CommitError};

/// What the thread is asked to do.
pub(crate) enum Job {
    /// A batch that waits for its group.
    Commit(Waiting),
    /// Housekeeping, once everything that was committed before is in the index.
    Between(Work),
}

/// A batch, and who waits for it.
pub(crate) struct Waiting {
    pub(crate) batch: Batch,
    pub(crate) answer: oneshot::Sender<Result<(), CommitError>>,
}

/// See the module.
pub(crate) struct Committer {
    writer: Writer,
    /// Octets of a group: it ends with the batch that reaches them.
    group_bytes: usize,
    /// Batches of a group.
    group_batches: usize,
    /// How many groups are left to the thread from now on.
    shy: u32,
    /// When the last group was committed.
    last: Instant,
}

/// How long nobody must have anything to commit before what is in the overlay goes to the index.
const IDLE: Duration = Duration::from_secs(2);

/// A commit that takes longer is none to wait for on the spot.
const BRIEF: Duration = Duration::from_millis(1);

/// How many groups are left to the thread after one that was not brief: others wait for one slow sync of so many.
const AFTER_SLOW: u32 = 64;

/// The same after one of several batches.
const AFTER_SEVERAL: u32 = 8;

/// Octets that are not too many to be written on the spot.
const LITTLE: usize = 64 << 10;

impl Committer {
    pub(crate) fn new(writer: Writer, group_bytes: usize, group_batches: usize) -> Self {
        Self { writer, group_bytes, group_batches, shy: 0, last: Instant::now() }
    }

    /// The thread: until nobody can send any more; what was sent is done.
    pub(crate) fn run(this: &Mutex<Self>, jobs: &Receiver<Job>) {
        loop {
            let job = jobs.recv_timeout(IDLE);
            let mut committer = this.lock();
            let between = match job {
                Ok(Job::Commit(first)) => {
                    committer.writer.flush_if_due();
                    committer.collect(first, jobs)
                }
                Ok(Job::Between(work)) => Some(work),
                Err(RecvTimeoutError::Timeout) => {
                    if committer.last.elapsed() >= IDLE {
                        committer.writer.flush();
                    }
                    None
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Some(work) = between {
                committer.writer.flush_before(work);
            }
        }
        this.lock().writer.flush();
    }

    /// Commits on the spot, if it is the time for that; gives back what is for the thread.
    pub(crate) fn commit_here(this: &Mutex<Self>, waiting: Waiting) -> Option<Waiting> {
        let Some(mut committer) = this.try_lock() else { return Some(waiting) };
        // Only the thread waits for the index.
        if committer.shy > 0 || size(&waiting.batch) > LITTLE || committer.writer.is_flush_due() {
            return Some(waiting);
        }
        committer.group(vec![waiting]);
        None
    }

    /// Makes a group of what is waiting and commits it; gives back the housekeeping that ended it.
    fn collect(&mut self, first: Waiting, jobs: &Receiver<Job>) -> Option<Work> {
        let mut bytes = size(&first.batch);
        let mut waiting = vec![first];
        let mut between = None;
        while bytes < self.group_bytes
            && waiting.len() < self.group_batches
            && between.is_none()
            && let Ok(job) = jobs.try_recv()
        {
            match job {
                Job::Commit(next) => {
                    bytes += size(&next.batch);
                    waiting.push(next);
                }
                Job::Between(work) => between = Some(work),
            }
        }
        self.group(waiting);
        between
    }

    fn group(&mut self, waiting: Vec<Waiting>) {
        let begin = Instant::now();
        let several = waiting.len() > 1;
        self.writer.group(waiting);
        self.last = Instant::now();
        let shy = match () {
            () if self.last - begin > BRIEF => AFTER_SLOW,
            () if several => AFTER_SEVERAL,
            () => 0,
        };
        self.shy = self.shy.saturating_sub(1).max(shy);
    }
}
