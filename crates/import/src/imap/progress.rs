//! How far an import is, for whoever waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Counts while an import is at work; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    mailboxes: AtomicU64,
    mailboxes_done: AtomicU64,
    messages: AtomicU64,
    messages_done: AtomicU64,
    octets: AtomicU64,
}

/// One look at it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Shown {
    /// Mailboxes there are.
    pub mailboxes: u64,
    /// Of these, the ones that are whole or given up.
    pub mailboxes_done: u64,
    /// Messages there are, as far as is known.
    pub messages: u64,
    /// Of these, the ones that are here, from this run or an earlier one, or were given up.
    pub messages_done: u64,
    /// Octets that came in this run.
    pub octets: u64,
}

impl Progress {
    /// How far it is.
    pub fn show(&self) -> Shown {
        let Counts { mailboxes, mailboxes_done, messages, messages_done, octets } = &*self.0;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Shown {
            mailboxes: read(mailboxes),
            mailboxes_done: read(mailboxes_done),
            messages: read(messages),
            messages_done: read(messages_done),
            octets: read(octets),
        }
    }

    pub(super) fn plan(&self, mailboxes: u64, messages: u64) {
        self.0.mailboxes.fetch_add(mailboxes, Ordering::Relaxed);
        self.0.messages.fetch_add(messages, Ordering::Relaxed);
    }

    pub(super) fn mailbox_done(&self) {
        self.0.mailboxes_done.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn messages_done(&self, many: u64) {
        self.0.messages_done.fetch_add(many, Ordering::Relaxed);
    }

    pub(super) fn octets(&self, many: u64) {
        self.0.octets.fetch_add(many, Ordering::Relaxed);
    }
}
