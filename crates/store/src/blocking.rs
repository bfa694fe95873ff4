//! Calls that may wait for the disk, made from async code.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs `work`, which may wait for the disk, without keeping other tasks of this thread waiting.
/// On a runtime of one thread (tests) and outside a runtime it simply runs.
pub fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}
