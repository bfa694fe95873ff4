//! `pillarbox.json`: what neither Maildir nor mbox can say of a mailbox.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use store::Account;
use types::{MailboxName, SpecialUse};

use crate::{At, Result};

pub(crate) const FILE: &str = "pillarbox.json";

/// The whole file: mailboxes by name.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Details {
    mailboxes: BTreeMap<String, Mailbox>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Mailbox {
    /// RFC 6154, as in LIST.
    #[serde(skip_serializing_if = "Option::is_none")]
    special_use: Option<String>,
    subscribed: bool,
}

impl Details {
    pub(crate) fn of(account: &Account) -> Self {
        let tree = account.tree();
        let mailbox = |entry: &store::Entry| Mailbox {
            special_use: entry.special_use.map(|special_use| special_use.as_str().to_owned()),
            subscribed: tree.is_subscribed(&entry.name),
        };
        Self { mailboxes: tree.entries().map(|entry| (entry.name.to_string(), mailbox(entry))).collect() }
    }

    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let path = directory.join(FILE);
        let json = serde_json::to_vec_pretty(self).unwrap_or_default();
        std::fs::write(&path, json).at(&path)
    }

    /// None is as good as an empty one; so is one that says something else.
    pub(crate) fn read(directory: &Path) -> Self {
        let text = std::fs::read(directory.join(FILE)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub(crate) fn special_use(&self, name: &MailboxName) -> Option<SpecialUse> {
        self.mailboxes.get(name.as_str()).and_then(|mailbox| SpecialUse::parse(mailbox.special_use.as_deref()?))
    }

    /// Of a mailbox of which nothing is said, people want to see what they had.
    pub(crate) fn subscribed(&self, name: &MailboxName) -> bool {
        self.mailboxes.get(name.as_str()).is_none_or(|mailbox| mailbox.subscribed)
    }
}
