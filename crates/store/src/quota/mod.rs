//! Quotas (RFC 9208): what an account uses, what it may use, and the one rule.
//!
//! * Usage is the sum over the heads of the mailboxes that exist, kept by the [`crate::Tree`]: a message counts with its
//!   size in each mailbox that it is in; what was expunged and what is in deleted mailboxes does not count.
//! * The rule: a verb that raises the usage of a resource fails where the usage would then be above the
//!   limit, and nothing of the verb happens. What lowers the usage or leaves it is always allowed.
//!   [`crate::Account`]'s writer applies it to every verb, so no verb knows of it.

mod warning;

use types::{AccountName, Resource, Resources};

use crate::account::Shared;
use crate::codec::{Reader, Writer};
use crate::error::{Error, Result};
use crate::tree::Tree;

pub use warning::QuotaEvent;
pub(crate) use warning::announce;

/// How a store handles quotas.
#[derive(Clone, Debug, Default)]
pub struct QuotaOptions {
    /// The limits of accounts for which nothing else was set, in units ([`Resource::unit`]).
    pub defaults: Resources<Option<u64>>,
    /// The accounts that may see and set the quotas of all others by IMAP.
    pub administrators: Vec<AccountName>,
    /// Percentages of the limits of storage and messages whose crossing is an event.
    pub warnings: Vec<u8>,
    /// Where those events go. They are dropped, and the log says so, while it is full.
    pub events: Option<tokio::sync::mpsc::Sender<QuotaEvent>>,
}

/// What was set for an account and a resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum QuotaSetting {
    /// Nothing: [`QuotaOptions::defaults`] hold.
    #[default]
    Default,
    /// There is to be no limit, whatever the default is.
    Unlimited,
    /// In units, at most [`Resource::MAX_LIMIT`].
    Limit(u64),
}

/// An account's quota at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    /// Octets or things.
    pub usage: Resources<u64>,
    /// In units ([`Resource::unit`]); `None` is no limit.
    pub limits: Resources<Option<u64>>,
}

/// By how much something will raise the usage.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Growth {
    /// How many messages there will be more.
    pub messages: i64,
    /// How many octets.
    pub octets: i64,
}

impl Growth {
    /// With one more message of so many octets.
    #[must_use]
    pub fn plus_message(self, octets: u64) -> Self {
        Self { messages: self.messages.saturating_add(1), octets: self.octets.saturating_add_unsigned(octets) }
    }
}

impl Quota {
    pub(crate) fn of(tree: &Tree, shared: &Shared) -> Self {
        let mut limits = Resources::each(|resource| match *tree.quota().get(resource) {
            QuotaSetting::Default => *shared.quota.defaults.get(resource),
            QuotaSetting::Unlimited => None,
            QuotaSetting::Limit(limit) => Some(limit),
        });
        // RFC 9208 §3.2: a limit of the system itself is told as well.
        let most = (shared.limits.mailboxes as u64).min(Resource::MAX_LIMIT);
        limits.mailbox = Some(limits.mailbox.map_or(most, |limit| limit.min(most)));
        Self { usage: tree.usage(), limits }
    }

    /// The rule: may the usage become `after`?
    pub(crate) fn permits(&self, after: &Resources<u64>) -> Result<()> {
        let refuses = |&resource: &Resource| {
            let after = *after.get(resource);
            let limit = *self.limits.get(resource);
            after > *self.usage.get(resource) && limit.is_some_and(|limit| resource.in_units(after) > limit)
        };
        Resource::ALL.into_iter().find(refuses).map_or(Ok(()), |resource| Err(Error::OverQuota(resource)))
    }

    /// Applies the rule to what is yet to come.
    pub(crate) fn permits_growth(&self, growth: Growth) -> Result<()> {
        let message = self.usage.message.saturating_add_signed(growth.messages);
        let storage = self.usage.storage.saturating_add_signed(growth.octets);
        self.permits(&Resources { message, storage, ..self.usage })
    }

    /// True where more of something is used than its limit, because the limit was lowered since.
    pub fn is_over(&self) -> bool {
        self.limited().any(|(_, usage, limit)| usage > limit)
    }

    /// The resources that are limited, each with its usage and its limit in units (RFC 9208 §4.2.1).
    pub fn limited(&self) -> impl Iterator<Item = (Resource, u64, u64)> + '_ {
        let one = |resource: Resource| {
            let limit = (*self.limits.get(resource))?;
            Some((resource, resource.in_units(*self.usage.get(resource)), limit))
        };
        Resource::ALL.into_iter().filter_map(one)
    }

    /// How much of its limit a resource uses, in whole percents; `None` without a limit.
    pub fn percent(&self, resource: Resource) -> Option<u64> {
        let limit = u128::from((*self.limits.get(resource))?) * u128::from(resource.unit());
        let percent = (u128::from(*self.usage.get(resource)) * 100).checked_div(limit);
        // Of nothing, everything is used.
        Some(percent.map_or(100, |percent| u64::try_from(percent).unwrap_or(u64::MAX)))
    }
}

/// As the store keeps them; an account for which nothing was set has no such value.
pub(crate) fn encode(settings: &Resources<QuotaSetting>) -> Vec<u8> {
    let mut w = Writer::new(1);
    for resource in Resource::ALL {
        w.number(match *settings.get(resource) {
            QuotaSetting::Default => 0,
            QuotaSetting::Unlimited => 1,
            QuotaSetting::Limit(limit) => limit.min(Resource::MAX_LIMIT) + 2,
        });
    }
    w.finish()
}

pub(crate) fn decode(value: &[u8]) -> Result<Resources<QuotaSetting>> {
    let (_, mut r) = Reader::new("the quota of an account", value, 1)?;
    let mut settings = Resources::default();
    for resource in Resource::ALL {
        *settings.get_mut(resource) = match r.number()? {
            0 => QuotaSetting::Default,
            1 => QuotaSetting::Unlimited,
            n => QuotaSetting::Limit(r.valid(Some(n - 2).filter(|&limit| limit <= Resource::MAX_LIMIT))?),
        };
    }
    r.end()?;
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10 KiB and 3 messages used, of these limits.
    fn quota(storage: Option<u64>, message: Option<u64>) -> Quota {
        let usage = Resources { storage: 10 << 10, message: 3, ..Resources::default() };
        Quota { usage, limits: Resources { storage, message, ..Resources::default() } }
    }

    fn growth(messages: i64, octets: i64) -> Growth {
        Growth { messages, octets }
    }

    fn refused(quota: Quota, growth: Growth) -> Option<Resource> {
        match quota.permits_growth(growth) {
            Ok(()) => None,
            Err(Error::OverQuota(resource)) => Some(resource),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn limits_are_exact_to_the_octet() {
        assert_eq!(refused(quota(Some(11), None), growth(1, 1024)), None);
        assert_eq!(refused(quota(Some(11), None), growth(1, 1025)), Some(Resource::Storage));
        assert_eq!(refused(quota(None, Some(4)), growth(1, i64::MAX)), None);
        assert_eq!(refused(quota(None, Some(4)), growth(2, 0)), Some(Resource::Message));
        assert_eq!(refused(quota(Some(0), Some(0)), growth(0, 0)), None);
        assert_eq!(refused(quota(Some(Resource::MAX_LIMIT), None), growth(1, i64::MAX)), None);
    }

    #[test]
    fn what_does_not_raise_the_usage_is_allowed_above_the_limit() {
        let over = quota(Some(1), Some(1));
        assert!(over.is_over() && !quota(Some(10), Some(3)).is_over());
        assert_eq!(refused(over, growth(0, 0)), None);
        assert_eq!(refused(over, growth(-1, -5)), None);
        assert_eq!(refused(over, growth(0, -20 << 10)), None);
        // A larger message in the place of a smaller one, also within the unit that is begun.
        assert_eq!(refused(over, growth(0, 1)), Some(Resource::Storage));
        assert_eq!(refused(over, growth(1, -1)), Some(Resource::Message));
    }

    #[test]
    fn percents() {
        assert_eq!(quota(Some(20), Some(0)).percent(Resource::Storage), Some(50));
        assert_eq!(quota(Some(20), Some(0)).percent(Resource::Message), Some(100));
        assert_eq!(quota(Some(20), Some(0)).percent(Resource::AnnotationStorage), None);
        assert_eq!(quota(Some(Resource::MAX_LIMIT), Some(2)).percent(Resource::Message), Some(150));
    }

    #[test]
    fn settings_are_read_as_they_were_written() {
        let settings = Resources {
            storage: QuotaSetting::Limit(Resource::MAX_LIMIT),
            message: QuotaSetting::Limit(0),
            mailbox: QuotaSetting::Unlimited,
            annotation_storage: QuotaSetting::Default,
        };
        assert_eq!(decode(&encode(&settings)).unwrap(), settings);
        for damaged in [&[][..], &[1], &[2, 0, 0, 0, 0], &[1, 0, 0, 0, 0, 0]] {
            assert!(decode(damaged).is_err(), "{damaged:?}");
        }
        let mut w = Writer::new(1);
        w.number(u64::MAX).number(0).number(0).number(0);
        assert!(decode(&w.finish()).is_err());
    }
}
