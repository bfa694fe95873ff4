//! Whether a group waits for company.
//!
//! Who has just been answered comes back with the next change a little later, when those who came meanwhile are on
//! their way already: two halves that take turns, and everybody waits for two syncs, or, where the disk is fast, many
//! groups of two or three, each with a sync and a part of a page of its own. So a group waits for half as long as the
//! one before took (a quarter, where the disk is fast), until all are there. Nobody waits who is alone, nor, on a fast
//! disk, who has much to write: there it is not the sync that takes the time.

use std::time::Duration;

/// A disk whose sync takes longer is slow.
const SLOW: Duration = Duration::from_millis(2);

/// What takes no longer is not worth waiting for: to wait takes as long.
const BRIEF: Duration = Duration::from_micros(100);

/// As long as an octet takes at most besides: 100 MB/s.
const OCTET: Duration = Duration::from_nanos(10);

/// As long as a group waits at most.
const MOST: Duration = Duration::from_millis(5);

/// Octets of a group that is worth a sync on a fast disk.
const ENOUGH: usize = 64 * 1024;

/// What the group before tells.
#[derive(Default)]
pub(crate) struct Company {
    /// How many batches it had.
    batches: usize,
    /// How many octets they brought.
    octets: usize,
    /// How long it took to be durable.
    took: Duration,
}

impl Company {
    /// After a group.
    pub(crate) fn of(batches: usize, octets: usize, took: Duration) -> Self {
        Self { batches, octets, took }
    }

    /// How many batches the next group waits for: as many as there are when all are back, of which `queued` came while
    /// the last group was on its way.
    pub(crate) fn wanted(&self, queued: usize) -> usize {
        let all = self.batches + queued;
        if self.slow() { all } else { all.min(self.batches * ENOUGH / self.octets.max(1)) }
    }

    /// How long to wait for them.
    pub(crate) fn patience(&self) -> Duration {
        match self.took {
            took if self.slow() => (took / 2).min(MOST),
            took if took > BRIEF => took / 4,
            _ => Duration::ZERO,
        }
    }

    fn slow(&self) -> bool {
        self.took >= SLOW + OCTET.saturating_mul(u32::try_from(self.octets).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_micros(200);

    /// Sixteen clients that come back in no time: the groups that are made, of `queued` at the first.
    fn groups(mut queued: usize, octets: usize, took: Duration) -> Vec<usize> {
        let mut company = Company::of(16 - queued, (16 - queued) * octets, took);
        let mut groups = vec![];
        for _ in 0..3 {
            let (waiting, back) = (queued, company.batches);
            let group = waiting + company.wanted(queued).saturating_sub(waiting).min(back);
            queued = 16 - group;
            company = Company::of(group, group * octets, took);
            groups.push(group);
        }
        groups
    }

    #[test]
    fn two_halves_become_one_group() {
        assert_eq!(groups(8, 5_000, 2 * SLOW), [16, 16, 16]);
        assert_eq!(groups(8, 3_000, FAST), [16, 16, 16]);
    }

    #[test]
    fn on_a_fast_disk_nobody_waits_who_has_much() {
        assert_eq!(groups(8, 50_000, FAST), [8, 8, 8]);
        assert_eq!(groups(8, 500_000, 2 * SLOW), [8, 8, 8], "much takes its time on any disk");
        assert_eq!(Company::of(9, 9 * 5_000, FAST).wanted(9), 13);
    }

    #[test]
    fn nobody_waits_who_is_alone_nor_for_long() {
        let slow = Company::of(1, 5_000, Duration::from_secs(1));
        assert_eq!((slow.wanted(0), slow.patience()), (1, MOST));
        assert!(Company::default().wanted(1) <= 1, "nobody was there before");
        assert_eq!(Company::of(9, 45_000, FAST).patience(), FAST / 4);
        assert_eq!(Company::of(9, 45_000, BRIEF).patience(), Duration::ZERO);
    }
}
