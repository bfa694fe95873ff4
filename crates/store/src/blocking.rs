//! Calls that may wait for the disk, made from async code.
//!
//! Moving the other tasks of a thread out of the way costs more than most reads, whose data is in memory:
//! two threads are woken, and this one loses its place. So what is [`brief`] is simply done, as long as the
//! disk did not keep us waiting lately.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};

/// What takes longer was not brief: a disk that moves, and no thread that waited for a processor.
const BRIEF: Duration = Duration::from_millis(4);

/// How many calls are distrusted after one that was not brief: others wait for one slow read of so many.
const DISTRUSTED: u32 = 64;

static TRUST: Trust = Trust(AtomicU32::new(0));

/// Whether what should be brief is so at the moment: how many of the next calls are distrusted. Where two
/// threads count at the same time, one call more or less is.
struct Trust(AtomicU32);

impl Trust {
    fn trusts_next(&self) -> bool {
        let distrusted = self.0.load(Ordering::Relaxed);
        self.0.store(distrusted.saturating_sub(1), Ordering::Relaxed);
        distrusted == 0
    }

    fn took(&self, time: Duration) {
        if time > BRIEF {
            self.0.store(DISTRUSTED, Ordering::Relaxed);
        }
    }
}

/// Runs `work`, which may wait for the disk or takes long, without keeping other tasks of this thread waiting.
/// On a runtime of one thread (tests) and outside a runtime it simply runs.
pub fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// As [`blocking`], for work that is done in much less than a millisecond where it finds its data in memory.
pub fn brief<T>(work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let done = if TRUST.trusts_next() { work() } else { blocking(work) };
    TRUST.took(begin.elapsed());
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_one_that_was_slow_some_are_distrusted() {
        let trust = Trust(AtomicU32::new(0));
        assert!(trust.trusts_next());
        trust.took(BRIEF);
        assert!(trust.trusts_next());
        trust.took(BRIEF * 2);
        assert!((0..DISTRUSTED).all(|_| !trust.trusts_next()));
        assert!(trust.trusts_next());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_was_thought_to_be_brief_is_done_either_way() {
        for _ in 0..3 {
            TRUST.took(BRIEF * 2);
            assert_eq!(brief(|| brief(|| 1) + blocking(|| 1)), 2);
        }
    }
}
