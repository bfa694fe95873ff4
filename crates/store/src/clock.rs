//! Where the store learns what time it is.

use std::time::UNIX_EPOCH;

use types::UnixTime;

/// The time of day. Tests bring their own.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> UnixTime;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    fn now(&self) -> UnixTime {
        let now = std::time::SystemTime::now();
        let seconds = |d: std::time::Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
        match now.duration_since(UNIX_EPOCH) {
            Ok(after) => UnixTime(seconds(after)),
            Err(before) => UnixTime(-seconds(before.duration())),
        }
    }
}
