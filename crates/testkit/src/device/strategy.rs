//! How devices synchronise.

use super::picture::Kept;
use super::told::{Listed, Numbers, Then};
use super::wire::set;
use super::{Device, Gone};

/// How a device finds out what changed while it was away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// Forgets what it has and fetches everything.
    Full,
    /// RFC 4549 §4.3: fetches the flags of what it has, some UIDs at a time; what does not come is gone.
    Window,
    /// RFC 7162 §3.1: fetches what changed, and searches for what is left.
    CondStore,
    /// RFC 7162 §3.2: says what it knows and is told the rest.
    QResync,
    /// The same without message numbers (RFC 9586).
    UidOnly,
}

/// What is fetched of a message that is new.
const NEW: &str = "UID FLAGS EMAILID";

impl Strategy {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::Full, Self::Window, Self::CondStore, Self::QResync, Self::UidOnly];

    /// What the server must have for it.
    pub fn needs(self) -> &'static str {
        match self {
            Self::Full | Self::Window => "IMAP4rev1",
            Self::CondStore => "CONDSTORE",
            Self::QResync => "QRESYNC",
            Self::UidOnly => "UIDONLY",
        }
    }

    /// What it enables.
    pub(super) fn enables(self) -> &'static [&'static str] {
        match self {
            Self::Full | Self::Window => &[],
            Self::CondStore => &["CONDSTORE"],
            Self::QResync => &["QRESYNC"],
            Self::UidOnly => &["UIDONLY", "QRESYNC"],
        }
    }

    /// Does it keep mod-sequences?
    pub(super) fn counts_changes(self) -> bool {
        !matches!(self, Self::Full | Self::Window)
    }

    /// Is it told VANISHED?
    pub(super) fn vanishes(self) -> bool {
        matches!(self, Self::QResync | Self::UidOnly)
    }

    pub(super) fn has_numbers(self) -> bool {
        self != Self::UidOnly
    }
}

impl Device {
    /// All mailboxes; the one that is selected by what it is told.
    pub(super) async fn synchronise(&mut self) -> Result<(), Gone> {
        self.hear_all().await?;
        let mut mailboxes = self.survey().await?;
        let selected = self.selected().map(|selected| selected.name.clone());
        if let Some(name) = selected.as_ref().filter(|name| mailboxes.iter().all(|listed| listed.name != **name)) {
            // It has another name now, or is gone.
            self.ask_then("UNSELECT", Then::Close).await?;
            self.kept.remove(name);
        }
        // The selected one first: selecting another ends it.
        mailboxes.sort_by_key(|listed| Some(&listed.name) != selected.as_ref());
        for Listed { name, validity, modseq } in mailboxes {
            let kept = self.kept.get(&name).filter(|kept| kept.validity == validity);
            let live = selected.as_ref() == Some(&name);
            match kept {
                // A mailbox with another UIDVALIDITY is another one under the same name.
                Some(_) if live && self.selected().is_some_and(|selected| selected.name == name) => {
                    self.ask("NOOP").await?;
                    self.fetch_new().await?;
                }
                Some(kept) if kept.whole && Some(kept.modseq) == modseq && self.strategy.counts_changes() => {}
                _ => drop(self.open(&name).await?),
            }
        }
        Ok(())
    }

    /// Which mailboxes there are; forgets the others.
    pub(super) async fn survey(&mut self) -> Result<Vec<Listed>, Gone> {
        let modseq = if self.strategy.counts_changes() { " HIGHESTMODSEQ" } else { "" };
        let reply = self.ask(&format!("LIST \"\" * RETURN (STATUS (UIDVALIDITY{modseq}))")).await?;
        let there = |name: &String, validity| reply.mailboxes.iter().any(|l| l.name == *name && l.validity == validity);
        let selected = self.selected().map(|selected| selected.name.clone());
        self.kept.retain(|name, kept| there(name, kept.validity) || Some(name) == selected.as_ref());
        Ok(reply.mailboxes)
    }

    /// Selects a mailbox and ends with its picture; false where there is none.
    pub(super) async fn open(&mut self, name: &str) -> Result<bool, Gone> {
        // Now and then it is only looked at.
        let writable = !self.connections.is_multiple_of(5);
        let verb = if writable { "SELECT" } else { "EXAMINE" };
        let how = match self.strategy {
            Strategy::Full | Strategy::Window => String::new(),
            Strategy::CondStore => " (CONDSTORE)".to_owned(),
            Strategy::QResync | Strategy::UidOnly => self.qresync(name),
        };
        let then = Then::Select { name: name.to_owned(), writable };
        if !self.ask_then(&format!("{verb} {name}{how}"), then).await?.ok {
            self.kept.remove(name);
            return Ok(false);
        }
        match self.strategy {
            Strategy::Full => self.forget_all(),
            Strategy::Window => self.fetch_windows().await?,
            Strategy::CondStore => self.fetch_changes().await?,
            Strategy::QResync | Strategy::UidOnly => {}
        }
        self.fetch_new().await?;
        Ok(true)
    }

    fn forget_all(&mut self) {
        if let Some(kept) = self.opened() {
            kept.messages.clear();
            kept.next = 0;
        }
    }

    fn opened(&mut self) -> Option<&mut Kept> {
        let name = self.selected()?.name.clone();
        self.kept.get_mut(&name)
    }

    async fn fetch_windows(&mut self) -> Result<(), Gone> {
        let Some(kept) = self.opened() else { return Ok(()) };
        let (next, window) = (kept.next, 5 + kept.messages.len() as u32 / 2);
        let mut from = 1;
        while from < next {
            let to = (from + window).min(next) - 1;
            let reply = self.ask(&format!("UID FETCH {from}:{to} (UID FLAGS)")).await?;
            let Some(kept) = self.opened() else { return Ok(()) };
            kept.messages.retain(|uid, _| !(from..=to).contains(uid) || reply.fetched.contains(uid));
            from = to + 1;
        }
        Ok(())
    }

    async fn fetch_changes(&mut self) -> Result<(), Gone> {
        let Some((name, told)) = self.selected().map(|s| (s.name.clone(), s.pending)) else { return Ok(()) };
        let Some(kept) = self.kept.get(&name).cloned() else { return Ok(()) };
        // Where nothing changed, nothing came or went either: each change has a mod-sequence.
        if !(kept.whole && told == Some(kept.modseq)) {
            if kept.modseq > 0 {
                let (last, modseq) = (kept.next.max(2) - 1, kept.modseq);
                self.ask(&format!("UID FETCH 1:{last} (UID FLAGS) (CHANGEDSINCE {modseq})")).await?;
            }
            self.ask_then("UID SEARCH ALL", Then::Census).await?;
        }
        // The new HIGHESTMODSEQ holds from here on.
        let Some(selected) = self.online()?.selected.as_mut() else { return Ok(()) };
        let pending = selected.pending.take();
        if let (Some(kept), Some(modseq)) = (self.opened(), pending) {
            kept.modseq = modseq;
        }
        Ok(())
    }

    /// RFC 7162 §3.2.5, with or without what it allows to say about the known messages.
    fn qresync(&self, name: &str) -> String {
        let Some(kept) = self.kept.get(name).filter(|kept| kept.modseq > 0) else {
            return " (CONDSTORE)".to_owned();
        };
        // Only of these the device knows that it has all that there were.
        let known: Vec<u32> = kept.messages.range(..kept.next).map(|(uid, _)| *uid).collect();
        let (all, n) = (set(kept.messages.keys().copied()), known.len());
        let matches = match self.connections % 4 {
            _ if known.is_empty() => String::new(),
            1 => format!(" {all}"),
            2 if self.strategy.has_numbers() => format!(" (1:{n} {})", set(known.iter().copied())),
            3 if self.strategy.has_numbers() => {
                let every_other = || (0..n).step_by(2);
                format!(
                    " {all} ({} {})",
                    set(every_other().map(|at| at as u32 + 1)),
                    set(every_other().map(|at| known[at]))
                )
            }
            _ => String::new(),
        };
        format!(" (QRESYNC ({} {}{matches}))", kept.validity, kept.modseq)
    }

    /// Fetches what is new in the selected mailbox. RFC 7162 §6: "At this point, the client is
    /// synchronized, except for maybe the new messages."
    pub(super) async fn fetch_new(&mut self) -> Result<(), Gone> {
        let mut asked = 0;
        while let Some(from) = self.first_unknown() {
            asked += 1;
            assert!(asked < 100, "from {from} on: {:?} {:?}", self.selected(), self.here());
            let modseq = if self.strategy.counts_changes() { " MODSEQ" } else { "" };
            self.ask(&format!("UID FETCH {from}:* ({NEW}{modseq})")).await?;
            self.number_known();
        }
        if let Some(kept) = self.opened() {
            kept.next = kept.next.max(kept.messages.keys().last().map_or(1, |uid| uid + 1));
            kept.whole = true;
        }
        Ok(())
    }

    /// From which UID on there may be messages that were never fetched.
    fn first_unknown(&mut self) -> Option<u32> {
        self.number_known();
        let (selected, kept) = (self.selected()?, self.here()?);
        let complete = match &selected.numbers {
            Numbers::Known(numbers) => numbers.len() == kept.messages.len() && numbers.iter().all(Option::is_some),
            Numbers::Count(count) => *count == kept.messages.len(),
        };
        let fetched = kept.messages.values().all(|message| !message.email.is_empty());
        (!complete || !fetched).then_some(kept.next.max(1))
    }

    /// The numbers of known messages follow from their UIDs, once all are known.
    fn number_known(&mut self) {
        let Some(selected) = self.online.as_mut().and_then(|online| online.selected.as_mut()) else { return };
        let Some(kept) = self.kept.get(&selected.name) else { return };
        match &mut selected.numbers {
            Numbers::Known(numbers) if numbers.len() == kept.messages.len() => {
                for (number, uid) in numbers.iter_mut().zip(kept.messages.keys()) {
                    assert_eq!(*number.get_or_insert(*uid), *uid, "a number means another message");
                }
            }
            Numbers::Known(numbers) => {
                assert!(numbers.len() > kept.messages.len(), "the device keeps what the server does not have");
            }
            Numbers::Count(count) => {
                assert!(*count >= kept.messages.len(), "the device keeps what the server does not have");
            }
        }
    }
}
