//! What the server tells, and what that does to the picture.

use std::collections::BTreeSet;

use super::picture::Kept;
use super::wire::{between, number_after, numbers};
use super::{Device, Gone};

/// A command whose answer is owed.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) tag: String,
    pub(super) text: String,
    pub(super) then: Then,
}

/// What the answer to a command means beyond what it says.
#[derive(Clone, Debug)]
pub(super) enum Then {
    Nothing,
    Select {
        name: String,
        writable: bool,
    },
    Close,
    /// A search for all messages.
    Census,
    /// A STORE.SILENT of these messages.
    Silent {
        uids: BTreeSet<u32>,
        add: bool,
        flag: String,
    },
    /// A STORE of the keyword that only this device sets.
    Own {
        validity: u32,
        uid: u32,
        keyword: String,
        add: bool,
    },
    /// An APPEND to a place from which nothing is removed, where `keep`.
    Append {
        keep: bool,
    },
}

/// The selected mailbox.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) name: String,
    pub(super) writable: bool,
    pub(super) numbers: Numbers,
    /// What becomes of HIGHESTMODSEQ when the mailbox has been synchronised; until then the device
    /// would start from the old one again.
    pub(super) pending: Option<u64>,
}

/// What the device knows of message numbers.
#[derive(Debug)]
pub(super) enum Numbers {
    /// The UID of each message; `None` for one that was not fetched yet.
    Known(Vec<Option<u32>>),
    /// RFC 9586: only how many there are.
    Count(usize),
}

/// The answer to a command.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) ok: bool,
    /// The messages that a FETCH response named by UID.
    pub(super) fetched: BTreeSet<u32>,
    /// `[MODIFIED]`: numbers or UIDs, as the command had them.
    pub(super) modified: BTreeSet<u32>,
    /// `[APPENDUID]` of one message.
    pub(super) appended: Option<(u32, u32)>,
    pub(super) mailboxes: Vec<Listed>,
    told: Option<u64>,
    seen: u64,
}

/// A mailbox in LIST RETURN (STATUS).
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) validity: u32,
    /// HIGHESTMODSEQ, where it was asked for.
    pub(super) modseq: Option<u64>,
}

impl Device {
    /// Reads the answer to the command that was sent first of those that are owed.
    pub(super) async fn hear(&mut self) -> Result<Reply, Gone> {
        let asked = self.online()?.owed.pop_front().ok_or(Gone::HungUp)?;
        let mut reply = Reply::default();
        self.begin(&asked.then);
        loop {
            let line = self.online()?.wire.response().await?;
            self.log('S', &line);
            if let Some(tagged) = line.strip_prefix(&asked.tag).and_then(|rest| rest.strip_prefix(' ')) {
                assert!(!tagged.starts_with("BAD"), "{}: {line}", asked.text);
                reply.ok = tagged.starts_with("OK");
                self.codes(&line, &asked.then, &mut reply);
                self.finish(&asked.then, &reply);
                return Ok(reply);
            }
            assert!(!line.starts_with("* BAD"), "{}: {line}", asked.text);
            self.untagged(&line, &asked.then, &mut reply);
        }
    }

    /// Nothing of this command has been answered, and all of those before.
    fn begin(&mut self, then: &Then) {
        match then {
            Then::Select { name, writable } if self.selected().is_none() => self.enter(name, *writable),
            // Without mod-sequences nothing says which messages were changed; those that somebody else
            // changed as well are told behind this.
            Then::Silent { uids, add, flag } if !self.strategy.counts_changes() => {
                for uid in uids {
                    self.change(*uid, *add, flag);
                }
            }
            _ => {}
        }
    }

    fn enter(&mut self, name: &str, writable: bool) {
        let numbers = if self.strategy.has_numbers() { Numbers::Known(vec![]) } else { Numbers::Count(0) };
        let selected = Selected { name: name.to_owned(), writable, numbers, pending: Some(0) };
        self.kept.entry(name.to_owned()).or_default();
        if let Some(online) = &mut self.online {
            online.selected = Some(selected);
        }
    }

    fn leave(&mut self) {
        if let Some(online) = &mut self.online {
            online.selected = None;
        }
    }

    fn finish(&mut self, then: &Then, reply: &Reply) {
        self.promises.answered(then, reply);
        match then {
            Then::Select { .. } if !reply.ok => return self.leave(),
            Then::Close => return self.leave(),
            _ => {}
        }
        if !self.strategy.counts_changes() {
            return;
        }
        let resynced = matches!(then, Then::Select { .. }) && self.strategy.vanishes();
        let Some(selected) = self.online.as_mut().and_then(|online| online.selected.as_mut()) else { return };
        let kept = self.kept.entry(selected.name.clone()).or_default();
        if resynced {
            selected.pending = None;
            if let Numbers::Known(numbers) = &mut selected.numbers {
                // Of what was there before, the device has all that is left.
                for (number, uid) in numbers.iter_mut().zip(kept.messages.range(..kept.next)) {
                    *number = Some(*uid.0);
                }
            }
        }
        // RFC 7162 §6: the code, "even if it has seen higher mod-sequences"; otherwise the highest seen.
        let modseq = selected.pending.as_mut().unwrap_or(&mut kept.modseq);
        *modseq = reply.told.unwrap_or_else(|| (*modseq).max(reply.seen));
    }

    /// Response codes, tagged or not.
    fn codes(&mut self, line: &str, then: &Then, reply: &mut Reply) {
        if let Some(validity) = number_after(line, "[UIDVALIDITY ") {
            let validity = validity.try_into().unwrap();
            if let Some(kept) = self.here_mut().filter(|kept| kept.validity != validity) {
                *kept = Kept { validity, ..Kept::default() };
            }
        }
        if let Some(modseq) = number_after(line, "[HIGHESTMODSEQ ") {
            let known = self.here().map_or(0, |kept| kept.modseq);
            let selecting = matches!(then, Then::Select { .. });
            assert!(!selecting || modseq >= known, "{line}: the device was told {known} before");
            reply.told = Some(modseq);
        }
        if let Some(set) = between(line, "[MODIFIED ", "]") {
            reply.modified = numbers(set).collect();
        }
        if let Some((validity, uid)) = between(line, "[APPENDUID ", "]").and_then(|both| both.split_once(' ')) {
            reply.appended = validity.parse().ok().zip(uid.parse().ok());
        }
    }

    fn untagged(&mut self, line: &str, then: &Then, reply: &mut Reply) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["*", "OK", "[CLOSED]", ..] => {
                self.leave();
                if let Then::Select { name, writable } = then {
                    self.enter(name, *writable);
                }
            }
            ["*", "OK" | "NO", ..] => self.codes(line, then, reply),
            ["*", "CAPABILITY", ref names @ ..] => {
                if let Some(online) = &mut self.online {
                    online.capabilities = names.iter().map(|name| (*name).to_owned()).collect();
                }
            }
            ["*", "VANISHED", "(EARLIER)", set] => self.vanished(set, false),
            ["*", "VANISHED", set] => self.vanished(set, true),
            ["*", count, "EXISTS"] => self.exists(count.parse().unwrap()),
            ["*", number, "EXPUNGE"] => self.expunged(number.parse().unwrap(), line),
            ["*", number, "FETCH" | "UIDFETCH", ..] => {
                assert_eq!(words[2] == "FETCH", self.strategy.has_numbers(), "{line}");
                self.fetched(number.parse().unwrap(), line, then, reply);
            }
            ["*", "SEARCH", ref found @ ..] => {
                // RFC 7162 §3.1.5: (MODSEQ n) may follow.
                self.found(found.iter().map_while(|number| number.parse().ok()).collect(), then);
            }
            ["*", "ESEARCH", ..] => {
                let found = line.split_once(" ALL ").map_or("", |(_, rest)| rest.split(' ').next().unwrap_or(""));
                self.found(numbers(found).collect(), then);
            }
            ["*", "STATUS", name, ..] => reply.mailboxes.push(Listed {
                name: name.trim_matches('"').to_owned(),
                validity: number_after(line, "UIDVALIDITY ").unwrap().try_into().unwrap(),
                modseq: number_after(line, "HIGHESTMODSEQ "),
            }),
            _ => {}
        }
    }

    fn here_mut(&mut self) -> Option<&mut Kept> {
        let name = &self.online.as_ref()?.selected.as_ref()?.name;
        self.kept.get_mut(name)
    }

    fn numbers(&mut self) -> &mut Numbers {
        let selected = self.online.as_mut().and_then(|online| online.selected.as_mut());
        &mut selected.expect("no mailbox is selected").numbers
    }

    fn exists(&mut self, count: usize) {
        match self.numbers() {
            Numbers::Known(numbers) => {
                assert!(count >= numbers.len(), "EXISTS shrank from {} to {count}", numbers.len());
                numbers.resize(count, None);
            }
            Numbers::Count(before) => {
                assert!(count >= *before, "EXISTS shrank from {before} to {count}");
                *before = count;
            }
        }
    }

    fn expunged(&mut self, number: usize, line: &str) {
        assert!(!self.strategy.vanishes(), "it has to be VANISHED: {line}");
        let Numbers::Known(numbers) = self.numbers() else { return };
        if let Some(uid) = numbers.remove(number - 1) {
            self.remove(uid);
        }
    }

    fn vanished(&mut self, set: &str, counted: bool) {
        assert!(self.strategy.vanishes(), "VANISHED {set} to a device that did not enable it");
        for uid in numbers(set) {
            if counted {
                match self.numbers() {
                    Numbers::Known(numbers) => {
                        let at = numbers.iter().position(|known| *known == Some(uid)).unwrap_or_else(|| {
                            // One that was never fetched: behind those with smaller UIDs.
                            let before = numbers.iter().rposition(|known| known.is_some_and(|known| known < uid));
                            before.map_or(0, |at| at + 1)
                        });
                        let gone = numbers.remove(at);
                        assert!(gone.is_none_or(|known| known == uid), "VANISHED {uid} was not told to be there");
                    }
                    Numbers::Count(count) => *count -= 1,
                }
            }
            self.remove(uid);
        }
    }

    /// All messages in order; what is not among them is gone.
    fn found(&mut self, found: Vec<u32>, then: &Then) {
        if !matches!(then, Then::Census) {
            return;
        }
        if let Some(kept) = self.here_mut() {
            kept.messages.retain(|uid, _| found.binary_search(uid).is_ok());
        }
        if let Numbers::Known(numbers) = self.numbers() {
            assert!(numbers.len() >= found.len(), "a search found messages that were not told");
            // A message that went meanwhile is not found, and its EXPUNGE comes behind this.
            if numbers.len() == found.len() {
                *numbers = found.into_iter().map(Some).collect();
            }
        }
    }

    fn remove(&mut self, uid: u32) {
        let Some(kept) = self.here_mut() else { return };
        let (validity, known) = (kept.validity, kept.messages.remove(&uid).is_some());
        if known {
            self.promises.gone(validity, uid);
        }
    }

    fn fetched(&mut self, number: u32, line: &str, then: &Then, reply: &mut Reply) {
        let said = number_after(line, "UID ").map(|uid| uid.try_into().unwrap());
        let uid = match self.numbers() {
            Numbers::Count(_) => number,
            Numbers::Known(numbers) => {
                let slot = &mut numbers[number as usize - 1];
                // An older server need not say the UID of its own accord; such a message is fetched later.
                let Some(uid) = said.or(*slot) else { return };
                assert_eq!(*slot.get_or_insert(uid), uid, "another number than before: {line}");
                uid
            }
        };
        let modseq = number_after(line, "MODSEQ (");
        reply.seen = reply.seen.max(modseq.unwrap_or(0));
        reply.fetched.insert(uid);
        let flags = between(line, "FLAGS (", ")");
        let Some(kept) = self.here_mut() else { return };
        if let Some(flags) = flags {
            let flags = flags.split(' ').filter(|flag| !flag.is_empty() && *flag != "\\Recent");
            kept.messages.entry(uid).or_default().flags = flags.map(str::to_owned).collect();
        }
        if let Some(message) = kept.messages.get_mut(&uid) {
            message.modseq = modseq.unwrap_or(message.modseq);
            if let Some(email) = between(line, "EMAILID (", ")") {
                email.clone_into(&mut message.email);
            }
        }
        if let (None, Then::Silent { uids, add, flag }) = (flags, then)
            && uids.contains(&uid)
        {
            self.change(uid, *add, flag);
        }
    }

    /// The device's own change of a message that it knows.
    fn change(&mut self, uid: u32, add: bool, flag: &str) {
        if let Some(message) = self.here_mut().and_then(|kept| kept.messages.get_mut(&uid)) {
            if add {
                message.flags.insert(flag.to_owned());
            } else {
                message.flags.remove(flag);
            }
        }
    }
}
