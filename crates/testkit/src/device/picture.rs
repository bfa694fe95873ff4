//! What a device has on its disk, and how that is compared with the server.

use std::collections::{BTreeMap, BTreeSet};

/// The mailboxes of an account by name.
pub type Picture = BTreeMap<String, Kept>;

/// One mailbox.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Kept {
    /// UIDVALIDITY; 0 before the mailbox was selected once.
    pub validity: u32,
    /// HIGHESTMODSEQ as RFC 7162 §6 has it; 0 before the first synchronisation.
    pub modseq: u64,
    /// By UID.
    pub messages: BTreeMap<u32, Message>,
    /// All messages below this UID have been fetched once.
    pub(super) next: u32,
    /// The connection was in order when it was last heard: nothing is known to be missing.
    pub(super) whole: bool,
}

impl Kept {
    /// As somebody has it who knows everything.
    pub fn whole(validity: u32, modseq: u64, messages: BTreeMap<u32, Message>) -> Self {
        Self { validity, modseq, messages, next: 0, whole: true }
    }
}

/// One message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Message {
    /// Without `\Recent`.
    pub flags: BTreeSet<String>,
    /// MODSEQ; 0 where nobody asked.
    pub modseq: u64,
    /// EMAILID, or what else tells this message from all others.
    pub email: String,
}

/// What is not as it should be.
#[derive(Debug, Default)]
pub struct Differences {
    /// One line each.
    pub found: Vec<String>,
    /// Which message of the truth an EMAILID has been seen with.
    emails: BTreeMap<String, String>,
}

impl Differences {
    /// Compares what `who` has with the truth; mod-sequences too where it counts them.
    pub fn compare(&mut self, who: &str, kept: &Picture, truth: &Picture, modseqs: bool) {
        let names = |picture: &Picture| picture.keys().cloned().collect::<Vec<_>>();
        if names(kept) != names(truth) {
            self.found.push(format!("{who} has the mailboxes {:?}, there are {:?}", names(kept), names(truth)));
        }
        for (name, has) in kept {
            let Some(is) = truth.get(name) else { continue };
            if has.validity != is.validity {
                self.found.push(format!("{who}: UIDVALIDITY of {name} is {}, not {}", is.validity, has.validity));
                continue;
            }
            if modseqs && has.modseq > is.modseq {
                let (has, is) = (has.modseq, is.modseq);
                self.found.push(format!("{who}: HIGHESTMODSEQ of {name} is {is}, and the device was told {has}"));
            }
            let uids: BTreeSet<_> = has.messages.keys().chain(is.messages.keys()).collect();
            for uid in uids {
                self.message(&format!("{who}: {name} {uid}"), has.messages.get(uid), is.messages.get(uid), modseqs);
            }
        }
    }

    fn message(&mut self, which: &str, has: Option<&Message>, is: Option<&Message>, modseqs: bool) {
        match (has, is) {
            (Some(has), Some(is)) => {
                let same_email = self.emails.entry(has.email.clone()).or_insert_with(|| is.email.clone()) == &is.email;
                if has.flags != is.flags || !same_email || (modseqs && has.modseq != is.modseq) {
                    self.found.push(format!("{which} is {is:?}, the device has {has:?}"));
                }
            }
            (Some(_), None) => self.found.push(format!("{which} is gone, and the device has it")),
            (None, Some(_)) => self.found.push(format!("{which} is there, and the device does not know")),
            (None, None) => {}
        }
    }
}
