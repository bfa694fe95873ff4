//! Names for what stands in the log and is told to a peer: a delivery, a fault.
//!
//! They must not count. A message shows the id of its delivery, and whoever has two of them would know
//! how much mail came for others in between.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Always of the same length, so that nobody's sizes depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct LogId(u64);

impl LogId {
    /// Another one. What has been given does not tell what comes: a keyed hash (SipHash) of a counter, under a key
    /// that the process draws at its start.
    pub(crate) fn next() -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        static COUNT: AtomicU64 = AtomicU64::new(0);
        Self(KEY.hash_one(COUNT.fetch_add(1, Ordering::Relaxed)))
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_differ_and_do_not_count() {
        let ids: Vec<LogId> = (0..1000).map(|_| LogId::next()).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        assert!(ids.iter().all(|id| id.to_string().len() == 16));
        let ascending = ids.windows(2).filter(|pair| pair[0].0 < pair[1].0).count();
        assert!((300..700).contains(&ascending), "{ascending} of 999 are greater than the one before");
    }
}
