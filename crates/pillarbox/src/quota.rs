//! `pillarbox account set-quota` and `usage`: amounts as people write them, and what is printed.

use anyhow::{Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Quota, QuotaSetting};
use types::{Resource, Resources};

use crate::config::units::parse_size;

/// The limits to set; those that are left out stay as they are.
#[derive(Args, Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[group(required = true, multiple = true)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// The size of all messages: a size such as 5G or 500MB, `none`, or `default` for what the configuration says.
    #[arg(long, value_name = "SIZE", value_parser = parse_octets)]
    storage: Option<Amount>,
    /// Messages: a number, `none` or `default`.
    #[arg(long, value_name = "NUMBER", value_parser = parse_count)]
    messages: Option<Amount>,
    /// Mailboxes: a number, `none` or `default`.
    #[arg(long, value_name = "NUMBER", value_parser = parse_count)]
    mailboxes: Option<Amount>,
    /// The size of all annotations: a size, `none` or `default`.
    #[arg(long, value_name = "SIZE", value_parser = parse_octets)]
    annotation_storage: Option<Amount>,
}

/// One limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Amount {
    Default,
    None,
    /// In units of the resource.
    Limit(u64),
}

fn parse_octets(text: &str) -> Result<Amount> {
    parse(text, |text| parse_size(text).map(|octets| Resource::Storage.in_units(octets)), "a size such as 5G or 500MB")
}

fn parse_count(text: &str) -> Result<Amount> {
    parse(text, |text| text.parse().ok(), "a number")
}

fn parse(text: &str, number: impl FnOnce(&str) -> Option<u64>, expected: &str) -> Result<Amount> {
    match text {
        "default" => Ok(Amount::Default),
        "none" => Ok(Amount::None),
        text => match number(text).filter(|&number| number <= Resource::MAX_LIMIT) {
            Some(number) => Ok(Amount::Limit(number)),
            None => bail!("write {expected}, none or default"),
        },
    }
}

impl Change {
    /// As the store takes it.
    pub(crate) fn settings(&self) -> Resources<Option<QuotaSetting>> {
        let setting = |amount: Amount| match amount {
            Amount::Default => QuotaSetting::Default,
            Amount::None => QuotaSetting::Unlimited,
            Amount::Limit(limit) => QuotaSetting::Limit(limit.min(Resource::MAX_LIMIT)),
        };
        Resources {
            storage: self.storage.map(setting),
            message: self.messages.map(setting),
            mailbox: self.mailboxes.map(setting),
            annotation_storage: self.annotation_storage.map(setting),
        }
    }
}

/// One line for people.
pub(crate) fn line(name: &str, quota: &Quota) -> String {
    let one = |resource: Resource| {
        let (usage, limit) = (*quota.usage.get(resource), limit_in_full(quota, resource));
        if resource == Resource::AnnotationStorage && limit.is_none() && usage == 0 {
            return None;
        }
        let show = |amount: u64| if resource.unit() > 1 { size(amount) } else { amount.to_string() };
        let percent = quota.percent(resource).unwrap_or(0);
        let limit = limit.map_or(String::new(), |limit| format!(" of {} ({percent}%)", show(limit)));
        Some(format!("{resource} {}{limit}", show(usage)))
    };
    format!("{name}: {}", Resource::ALL.into_iter().filter_map(one).collect::<Vec<_>>().join(", "))
}

/// For programs: octets and numbers; a limit that does not exist is null.
pub(crate) fn object(name: &str, quota: &Quota) -> Value {
    let one = |resource| json!({ "usage": quota.usage.get(resource), "limit": limit_in_full(quota, resource) });
    json!({
        "account": name,
        "storage": one(Resource::Storage),
        "messages": one(Resource::Message),
        "mailboxes": one(Resource::Mailbox),
        "annotation_storage": one(Resource::AnnotationStorage),
    })
}

/// In octets or things.
fn limit_in_full(quota: &Quota, resource: Resource) -> Option<u64> {
    quota.limits.get(resource).map(|limit| limit.saturating_mul(resource.unit()))
}

/// In the largest unit of which there is at least one.
fn size(octets: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, bits) in UNITS {
        let whole = octets >> bits;
        if whole > 0 {
            let tenths = ((octets >> (bits - 10)) % 1024) * 10 / 1024;
            return if tenths == 0 { format!("{whole} {unit}") } else { format!("{whole}.{tenths} {unit}") };
        }
    }
    format!("{octets} octets")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        assert_eq!(parse_octets("5G").unwrap(), Amount::Limit(5 << 20));
        assert_eq!(parse_octets("1").unwrap(), Amount::Limit(1));
        assert_eq!(parse_octets("none").unwrap(), Amount::None);
        assert_eq!(parse_count("default").unwrap(), Amount::Default);
        assert_eq!(parse_count("9223372036854775807").unwrap(), Amount::Limit(Resource::MAX_LIMIT));
        for text in ["9223372036854775808", "-1", "5G", "", "None"] {
            assert!(parse_count(text).unwrap_err().to_string().contains("none or default"), "{text}");
        }
        assert!(parse_octets("lots").is_err());
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!((size(0), size(1023)), ("0 octets".to_owned(), "1023 octets".to_owned()));
        assert_eq!((size(1024), size(1536)), ("1 KiB".to_owned(), "1.5 KiB".to_owned()));
        assert_eq!((size(5 << 30), size(u64::MAX)), ("5 GiB".to_owned(), "16777215.9 TiB".to_owned()));
    }

    #[test]
    fn lines_and_objects() {
        let usage = Resources { storage: 512 << 10, message: 3, mailbox: 6, annotation_storage: 0 };
        let limits = Resources { storage: Some(1024), mailbox: Some(10), ..Resources::default() };
        let quota = Quota { usage, limits };
        assert_eq!(line("alice", &quota), "alice: storage 512 KiB of 1 MiB (50%), messages 3, mailboxes 6 of 10 (60%)");
        let object = object("alice", &quota);
        assert_eq!(object["storage"], json!({ "usage": 524_288, "limit": 1_048_576 }));
        assert_eq!(object["messages"], json!({ "usage": 3, "limit": null }));
    }
}
