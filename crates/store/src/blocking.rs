//! Calls that may wait for the disk, made from async code.
//!
//! Moving the other tasks of a thread out of the way costs more than most reads, whose data is in memory:
//! two threads are woken, and this one loses its place. So what is [`brief`] is simply done, as long as the
//! disk did not keep us waiting lately.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};

/// What takes longer was not brief.
const BRIEF: Duration = Duration::from_millis(1);

/// How many calls are distrusted after one that was not brief: others wait for one slow read of so many.
const DISTRUSTED: u32 = 64;

/// How many of the next calls are distrusted.
static DISTRUST: AtomicU32 = AtomicU32::new(0);

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
    // Where two threads count at the same time, one call more or less is distrusted.
    let distrust = DISTRUST.load(Ordering::Relaxed);
    let begin = Instant::now();
    let done = if distrust > 0 {
        DISTRUST.store(distrust - 1, Ordering::Relaxed);
        blocking(work)
    } else {
        work()
    };
    if begin.elapsed() > BRIEF {
        DISTRUST.store(DISTRUSTED, Ordering::Relaxed);
    }
    done
}
