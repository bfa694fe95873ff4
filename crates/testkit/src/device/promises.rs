//! What the server has said and must keep to, whatever happens to it: an answer `OK` comes after the
//! commit, and so does whatever a session is told.

use std::collections::{BTreeMap, BTreeSet};

use super::picture::Picture;
use super::told::{Reply, Then};

/// UIDVALIDITY and UID.
type Place = (u32, u32);

/// A keyword that nobody takes away, on messages that nobody removes.
pub(super) const KEEP: &str = "$keep";

/// The keyword that only this device sets.
pub(super) fn own_keyword(device: usize) -> String {
    format!("$d{device}")
}

#[derive(Debug, Default)]
pub(super) struct Promises {
    /// Of the device's own keyword: was it set or taken away by the last command that was answered OK?
    keyword: BTreeMap<Place, (String, bool)>,
    /// Messages that were told to be gone.
    gone: BTreeSet<Place>,
    /// Messages with [`KEEP`] that were appended.
    appended: BTreeSet<Place>,
}

impl Promises {
    /// From here on until the answer, two states are right.
    pub(super) fn asked(&mut self, then: &Then) {
        if let Then::Own { validity, uid, .. } = then {
            self.keyword.remove(&(*validity, *uid));
        }
    }

    pub(super) fn answered(&mut self, then: &Then, reply: &Reply) {
        match then {
            // RFC 7162 §3.1.3: MODIFIED is an OK that did nothing.
            Then::Own { validity, uid, keyword, add } if reply.ok && reply.modified.is_empty() => {
                self.keyword.insert((*validity, *uid), (keyword.clone(), *add));
            }
            Then::Append { keep: true } => self.appended.extend(reply.appended),
            _ => {}
        }
    }

    pub(super) fn gone(&mut self, validity: u32, uid: u32) {
        self.gone.insert((validity, uid));
    }

    /// What is not kept. Forgets mailboxes that are no more.
    pub(super) fn broken(&mut self, truth: &Picture) -> Vec<String> {
        let boxes: BTreeMap<u32, _> = truth.values().map(|kept| (kept.validity, &kept.messages)).collect();
        self.keyword.retain(|(validity, _), _| boxes.contains_key(validity));
        self.gone.retain(|(validity, _)| boxes.contains_key(validity));
        let message = |&(validity, uid): &Place| boxes.get(&validity).and_then(|messages| messages.get(&uid));
        let mut broken = vec![];
        for place in self.gone.iter().filter(|place| message(place).is_some()) {
            broken.push(format!("{place:?} was told to be gone, and is back"));
        }
        for place in self.appended.iter().filter(|place| message(place).is_none()) {
            broken.push(format!("{place:?} was appended, and is gone"));
        }
        for (place, (keyword, set)) in &self.keyword {
            if message(place).is_some_and(|message| message.flags.contains(keyword) != *set) {
                broken.push(format!("{place:?} must have {keyword}: {set}"));
            }
        }
        broken
    }
}
