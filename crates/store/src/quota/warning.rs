//! Events: a commit took an account's usage across a threshold.
//!
//! An event is made after its commit was published, and never makes anybody wait. It is about a crossing: what an account
//! uses when the store is opened is none.

use std::sync::Arc;

use tracing::warn;
use types::{AccountId, Resource};

use super::{Quota, QuotaOptions};
use crate::account::Shared;
use crate::tree::Tree;

/// The resources that mail itself uses up.
const WATCHED: [Resource; 2] = [Resource::Storage, Resource::Message];

/// An account's usage, or its limit, is now on the other side of a threshold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuotaEvent {
    /// Whose.
    pub account: AccountId,
    /// Of what.
    pub resource: Resource,
    /// Used now, in units.
    pub usage: u64,
    /// In units.
    pub limit: u64,
    /// The one of the other in whole percents.
    pub percent: u64,
    /// The threshold in percents. A commit that crosses several of them is one event: of the highest on the way up, of the
    /// lowest on the way down.
    pub threshold: u8,
    /// Up: the threshold is reached. Otherwise the usage is below it again.
    pub reached: bool,
}

/// Says what a commit crossed.
pub(crate) fn announce(account: AccountId, shared: &Shared, before: &Arc<Tree>, after: &Arc<Tree>) {
    let Some(events) = &shared.quota.events else { return };
    let (before, after) = (Quota::of(before, shared), Quota::of(after, shared));
    for event in crossings(account, &shared.quota, &before, &after) {
        if events.try_send(event).is_err() {
            warn!("quota: too many events wait, one of account {account} is lost: {event:?}");
        }
    }
}

fn crossings(account: AccountId, options: &QuotaOptions, before: &Quota, after: &Quota) -> Vec<QuotaEvent> {
    let event = |resource: Resource| {
        let reached = |quota: &Quota| {
            let percent = quota.percent(resource).filter(|_| *quota.usage.get(resource) > 0);
            move |threshold: &u8| percent.is_some_and(|percent| percent >= u64::from(*threshold))
        };
        let (was, is) = (reached(before), reached(after));
        let up = options.warnings.iter().filter(|threshold| is(threshold) && !was(threshold)).max();
        let down = options.warnings.iter().filter(|threshold| was(threshold) && !is(threshold)).min();
        let usage = resource.in_units(*after.usage.get(resource));
        // Without a limit there is no percentage; what was reached before is not now.
        let (limit, percent) = (after.limits.get(resource).unwrap_or(0), after.percent(resource).unwrap_or(0));
        let threshold = *up.or(down)?;
        Some(QuotaEvent { account, resource, usage, limit, percent, threshold, reached: up.is_some() })
    };
    WATCHED.into_iter().filter_map(event).collect()
}

#[cfg(test)]
mod tests {
    use types::Resources;

    use super::*;

    fn quota(storage: u64, limit: Option<u64>) -> Quota {
        let usage = Resources { storage, ..Resources::default() };
        Quota { usage, limits: Resources { storage: limit, ..Resources::default() } }
    }

    fn crossed(before: Quota, after: Quota) -> Option<(u8, bool, u64)> {
        let options = QuotaOptions { warnings: vec![95, 80], ..QuotaOptions::default() };
        let events = crossings(AccountId(1), &options, &before, &after);
        assert!(events.len() <= 1);
        events.first().map(|event| (event.threshold, event.reached, event.percent))
    }

    #[test]
    fn a_crossing_is_an_event_and_nothing_else_is() {
        let at = |octets| quota(octets, Some(1000));
        assert_eq!(crossed(at(0), at(819_199)), None);
        assert_eq!(crossed(at(819_199), at(819_200)), Some((80, true, 80)));
        assert_eq!(crossed(at(819_200), at(900_000)), None);
        assert_eq!(crossed(at(900_000), at(1_024_000)), Some((95, true, 100)));
        // Several at once are one.
        assert_eq!(crossed(at(1), at(1_024_000)), Some((95, true, 100)));
        assert_eq!(crossed(at(1_024_000), at(900_000)), Some((95, false, 87)));
        assert_eq!(crossed(at(1_024_000), at(0)), Some((80, false, 0)));
    }

    #[test]
    fn so_is_a_limit_that_changes() {
        assert_eq!(crossed(quota(1024, None), quota(1024, Some(1))), Some((95, true, 100)));
        assert_eq!(crossed(quota(1024, Some(1)), quota(1024, Some(2))), Some((80, false, 50)));
        assert_eq!(crossed(quota(1024, Some(1)), quota(1024, None)), Some((80, false, 0)));
        // Nothing used is nothing to warn of.
        assert_eq!(crossed(quota(0, None), quota(0, Some(0))), None);
    }
}
