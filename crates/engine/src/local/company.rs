//! Whether a group waits for company.
//!
//! Who has just been answered comes back with the next change a little later, when those who came meanwhile are on
//! their way already: two halves that take turns, and everybody waits for two syncs, or, where the disk is fast, many
//! groups of two or three, each with a sync and a part of a page of its own. So a group waits for half as long as the
//! one before took, until all are there. Nobody waits who is alone.

use std::time::Duration;

/// As long as a group waits at most.
const MOST: Duration = Duration::from_millis(5);

/// What the group before tells.
#[derive(Default)]
pub(crate) struct Company {
    /// How many batches it had.
    batches: usize,
    /// How long it took to be durable.
    took: Duration,
}

impl Company {
    /// After a group.
    pub(crate) fn of(batches: usize, took: Duration) -> Self {
        Self { batches, took }
    }

    /// How many batches the next group has when all are there: `queued` came while the last group was on its way.
    pub(crate) fn all(&self, queued: usize) -> usize {
        self.batches + queued
    }

    /// How long to wait for them.
    pub(crate) fn patience(&self) -> Duration {
        (self.took / 2).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixteen clients that come back in no time: the groups that are made, of `queued` at the first.
    fn groups(mut queued: usize) -> Vec<usize> {
        let took = Duration::from_millis(5);
        let mut company = Company::of(16 - queued, took);
        let mut groups = vec![];
        for _ in 0..3 {
            let (waiting, back) = (queued, company.batches);
            let group = waiting + (company.all(queued) - waiting).min(back);
            queued = 16 - group;
            company = Company::of(group, took);
            groups.push(group);
        }
        groups
    }

    #[test]
    fn two_halves_become_one_group() {
        assert_eq!(groups(8), [16, 16, 16]);
    }

    #[test]
    fn nobody_waits_who_is_alone_nor_for_long() {
        let slow = Company::of(1, Duration::from_secs(1));
        assert_eq!((slow.all(0), slow.patience()), (1, MOST));
        assert_eq!(Company::default().all(1), 1, "nobody was there before");
        assert_eq!(Company::of(9, Duration::from_micros(400)).patience(), Duration::from_micros(200));
    }
}
