//! One mailbox of the source into one mailbox here.
//!
//! Where the mailbox here is missing or empty, its messages keep their UIDs, and nobody can select it until it is
//! whole. Else messages come behind those that are there, and flags that changed at the source since the last run change
//! here. What was deleted here does not come again, and what was deleted there stays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use store::{Account, Entry, Filling, FlagChange, FlagMode, NewMessage};
use types::{Flags, IdSet, Keyword, MailboxId, ModSeq, Principal, Uid, UidValidity};

use super::mailboxes::Planned;
use super::memory::{Head, MAX_PIECE, Memory, Piece, Source};
use super::progress::Progress;
use super::receiver::{Arrived, Outcome, Receiver};
use super::response::{Answer, Status};
use super::session::{Messages, Opened, Session};
use super::{Failure, Server, matching};
use crate::Report;

/// Octets of the messages that are asked for at a time, as far as the server has told.
const BATCH_OCTETS: u64 = 8 << 20;

/// A message of which nothing is known counts as so many.
const USUAL_SIZE: u64 = 64 << 10;

/// So often a connection may be lost over one message.
const STRIKES: u32 = 2;

/// See the module. It goes on from attempt to attempt, over several connections.
pub(super) struct Transfer<'a> {
    pub(super) account: &'a Account,
    pub(super) who: &'a Principal,
    pub(super) server: &'a Server,
    pub(super) plan: &'a Planned,
    pub(super) progress: &'a Progress,
    pub(super) report: Report,
    /// Messages that are asked for at a time: one, after something went wrong, and then more and more.
    batch: usize,
    /// How often each message has ended a connection.
    strikes: BTreeMap<Uid, u32>,
    /// Those that cannot be had.
    given_up: BTreeSet<Uid>,
    keywords: BTreeSet<Keyword>,
    /// Messages that the bar has been told of.
    counted: u64,
    /// Something came since this was last false.
    pub(super) advanced: bool,
}

/// Where messages go.
struct Target {
    place: Place,
    source: Source,
    memory: Memory,
    uid_validity: u32,
}

enum Place {
    /// Nobody can see it until it is whole.
    Hidden(Filling),
    /// It was there. With the same UIDVALIDITY, UIDs mean the same as there.
    Seen { id: MailboxId, same: bool },
}

impl<'a> Transfer<'a> {
    pub(super) fn new(
        account: &'a Account,
        who: &'a Principal,
        server: &'a Server,
        plan: &'a Planned,
        progress: &'a Progress,
    ) -> Self {
        Self {
            account,
            who,
            server,
            plan,
            progress,
            report: Report::default(),
            batch: MAX_PIECE as usize,
            strikes: BTreeMap::new(),
            given_up: BTreeSet::new(),
            keywords: BTreeSet::new(),
            counted: 0,
            advanced: false,
        }
    }

    /// Does all that is left to do. `false` where it has to begin again, because somebody put mail into the mailbox.
    pub(super) async fn attempt(&mut self, session: &mut Session) -> Result<bool, Failure> {
        let opened = session.examine(&self.plan.source).await?;
        let listed = if opened.exists == 0 { Messages::new() } else { session.messages().await? };
        let mut target = self.target(&opened).await?;
        if let Place::Seen { id, .. } = target.place {
            if target.memory.known.is_empty() {
                self.recognise(&mut target, id, &listed, session).await?;
            }
            self.update_flags(&mut target, id, &listed).await?;
        }
        let first = match &target.place {
            Place::Hidden(filling) => filling.uid_next()?,
            Place::Seen { .. } => Uid::MIN,
        };
        let is_new = |uid: &&Uid| **uid >= first && !target.memory.known.contains(**uid);
        let rest: Vec<Uid> =
            listed.keys().filter(is_new).filter(|uid| !self.given_up.contains(*uid)).copied().collect();
        self.count(((listed.len() - rest.len()) as u64).saturating_sub(self.counted));
        self.bring(&target, &rest, &listed, session).await?;
        self.finish(target, &opened, &listed).await
    }

    async fn target(&mut self, opened: &Opened) -> Result<Target, Failure> {
        let uid_validity = opened.uid_validity;
        let source = Source::new(self.server, &self.plan.source, uid_validity);
        let there = self.account.tree().get(&self.plan.name).cloned();
        if let Some(entry) = there {
            let memory = source.read(self.account, self.who, entry.id)?;
            if entry.summary.sums.count > 0 || memory.head.is_some() {
                return self.seen(&entry, source, memory, uid_validity);
            }
        }
        for deleted in self.account.deleted_mailboxes(self.who)? {
            if deleted.name == self.plan.name {
                let memory = source.read(self.account, self.who, deleted.id)?;
                let is_it = |head: &Head| head.uid_validity == uid_validity && !head.whole;
                if memory.head.as_ref().is_some_and(is_it) {
                    self.learn_keywords(&memory);
                    let place = Place::Hidden(self.account.refill(self.who, deleted.id).await?);
                    return Ok(Target { place, source, memory, uid_validity });
                }
            }
        }
        let head = self.head(uid_validity, false);
        let (name, wanted) = (self.plan.name.clone(), UidValidity::new(uid_validity));
        let notes = vec![source.head(&head)];
        let filling = self.account.fill(self.who, name, self.plan.special_use, wanted, notes).await?;
        if wanted != Some(filling.uid_validity()?) {
            self.remark("another mailbox has its UIDVALIDITY: clients that knew it at the source must fetch it anew");
        }
        let memory = Memory { head: Some(head), pieces: vec![], known: IdSet::new() };
        Ok(Target { place: Place::Hidden(filling), source, memory, uid_validity })
    }

    fn seen(
        &mut self,
        entry: &Arc<Entry>,
        source: Source,
        memory: Memory,
        uid_validity: u32,
    ) -> Result<Target, Failure> {
        if memory.head.as_ref().is_some_and(|head| head.uid_validity != uid_validity) {
            self.remark("the source has numbered it anew (UIDVALIDITY): what is here already is found by its content");
        }
        let snapshot = self.account.open_by_id(self.who, entry.id)?.snapshot()?;
        self.keywords.extend(snapshot.keywords().iter().cloned());
        let place = Place::Seen { id: entry.id, same: entry.uid_validity.get() == uid_validity };
        Ok(Target { place, source, memory, uid_validity })
    }

    fn head(&self, uid_validity: u32, whole: bool) -> Head {
        let Server { user, host, .. } = self.server;
        let source = format!("{user}@{host} {}", String::from_utf8_lossy(&self.plan.source));
        Head { source, uid_validity, whole }
    }

    /// Notes which messages are here already, all in one commit.
    async fn recognise(
        &mut self,
        target: &mut Target,
        id: MailboxId,
        listed: &Messages,
        session: &mut Session,
    ) -> Result<(), Failure> {
        let found = matching::find(self.account, self.who, id, listed, session).await?;
        let mut notes = vec![target.source.head(&self.head(target.uid_validity, true))];
        for some in found.chunks(MAX_PIECE as usize) {
            // Their flags here are their own until they change there.
            let flags =
                |uid: &Uid| listed.get(uid).and_then(|message| message.flags.as_deref().cloned()).unwrap_or_default();
            let messages: Vec<_> = some.iter().map(|(there, here)| (*there, *here, flags(there))).collect();
            let piece = Piece::new(messages.iter().map(|(there, here, flags)| (*there, *here, flags)));
            if let Some((first, _)) = some.first() {
                notes.push(target.source.piece(first.get().into(), &piece));
            }
            target.memory.known.extend(some.iter().map(|(there, _)| *there));
        }
        self.account.note(self.who, id, notes).await?;
        Ok(())
    }

    /// What was set or cleared at the source since the last run is set or cleared here; what was set or cleared here
    /// stays, unless the source did the opposite.
    async fn update_flags(&mut self, target: &mut Target, id: MailboxId, listed: &Messages) -> Result<(), Failure> {
        let mailbox = self.account.open_by_id(self.who, id)?;
        for (number, piece) in std::mem::take(&mut target.memory.pieces) {
            let mut messages = piece.messages();
            let mut changes: BTreeMap<(bool, Vec<String>), (Flags, IdSet<Uid>)> = BTreeMap::new();
            for (there, here, before) in &mut messages {
                let Some(flags) = listed.get(there).and_then(|message| message.flags.as_deref()) else { continue };
                let flags = self.trimmed(flags.clone());
                for (add, change) in [(true, flags.difference(before)), (false, before.difference(&flags))] {
                    if !change.is_empty() {
                        let key = (add, change.iter().map(|flag| flag.to_string()).collect());
                        changes.entry(key).or_insert((change, IdSet::new())).1.insert(*here);
                    }
                }
                *before = flags;
            }
            if changes.is_empty() {
                continue;
            }
            for ((add, _), (flags, uids)) in changes {
                let mode = if add { FlagMode::Add } else { FlagMode::Remove };
                let change = FlagChange { mode, flags, unchanged_since: None };
                let stored = mailbox.store_flags(self.who, uids, change, ModSeq::ZERO).await?;
                self.report.flags += stored.changed.len();
            }
            // After the change: cut short in between, it is made again.
            let piece = Piece::new(messages.iter().map(|(there, here, flags)| (*there, *here, flags)));
            self.account.note(self.who, id, vec![target.source.piece(number, &piece)]).await?;
        }
        Ok(())
    }

    /// Brings these messages, ascending, batch after batch.
    async fn bring(
        &mut self,
        target: &Target,
        mut rest: &[Uid],
        listed: &Messages,
        session: &mut Session,
    ) -> Result<(), Failure> {
        while let Some(&first) = rest.first() {
            if self.strikes.get(&first).is_some_and(|strikes| *strikes >= STRIKES) {
                self.give_up(first, "the connection ends whenever it is asked for");
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let size = |uid: &Uid| listed.get(uid).and_then(|message| message.size).unwrap_or(USUAL_SIZE);
            let mut octets = 0u64;
            let fits = |uid: &&Uid| {
                octets = octets.saturating_add(size(uid));
                octets <= BATCH_OCTETS && self.strikes.get(uid).is_none_or(|strikes| *strikes < STRIKES)
            };
            let many = rest.iter().take(self.batch).take_while(fits).count().max(1);
            let (now, later) = rest.split_at(many);
            let asked: IdSet<Uid> = now.iter().copied().collect();
            let mut receiver = Receiver::new(self.account, &asked, listed, self.progress);
            let answer = session.fetch(&asked, &mut receiver).await;
            let mut outcomes = receiver.outcomes;
            let result = match answer {
                Ok(answer) => self.rest_of(&asked, &answer, &mut outcomes, listed, session).await,
                Err(failure) => Err(failure),
            };
            if result.is_err() {
                // What is missing must come before what is behind it.
                let missing = now.iter().find(|uid| !outcomes.contains_key(*uid)).copied();
                if let Some(missing) = missing {
                    outcomes.split_off(&missing);
                    if matches!(result, Err(Failure::Lost(_))) && self.batch == 1 {
                        *self.strikes.entry(missing).or_insert(0) += 1;
                    }
                }
                self.batch = 1;
            }
            if !matches!(result, Err(Failure::Store(_))) {
                self.put(target, outcomes).await?;
            }
            result?;
            self.batch = (self.batch * 2).min(MAX_PIECE as usize);
            rest = later;
        }
        Ok(())
    }

    /// Asks one by one for what a batch did not bring: what the server cannot deliver, and what is gone.
    async fn rest_of(
        &mut self,
        asked: &IdSet<Uid>,
        answer: &Answer,
        outcomes: &mut BTreeMap<Uid, Outcome>,
        listed: &Messages,
        session: &mut Session,
    ) -> Result<(), Failure> {
        if answer.is_for_later() && answer.status != Status::Ok {
            return Err(Failure::Refused(answer.clone()));
        }
        let missing: Vec<Uid> = asked.iter().filter(|uid| !outcomes.contains_key(uid)).collect();
        for uid in missing {
            let one = IdSet::range(uid, uid);
            let mut receiver = Receiver::new(self.account, &one, listed, self.progress);
            let answer = if asked.len() == 1 { answer.clone() } else { session.fetch(&one, &mut receiver).await? };
            if answer.is_for_later() && answer.status != Status::Ok {
                return Err(Failure::Refused(answer));
            }
            outcomes.append(&mut receiver.outcomes);
            if outcomes.contains_key(&uid) {
                continue;
            }
            if answer.status == Status::Ok && !session.is_there(uid).await? {
                self.count(1);
                self.given_up.insert(uid);
            } else {
                let said = if answer.status == Status::Ok { "nothing" } else { &answer.text };
                outcomes.insert(uid, Err(format!("the server does not send it; it says: {said}")));
            }
        }
        Ok(())
    }

    /// Commits what came, and names what did not.
    async fn put(&mut self, target: &Target, outcomes: BTreeMap<Uid, Outcome>) -> Result<(), Failure> {
        let (mut came, mut octets) = (vec![], 0u64);
        for (uid, outcome) in outcomes {
            match outcome {
                Ok(Arrived { content, flags, internal_date }) => {
                    octets += u64::from(content.size());
                    let flags = self.trimmed(flags);
                    came.push((uid, NewMessage { content, flags, internal_date }));
                }
                Err(why) => self.give_up(uid, &why),
            }
        }
        let Some((first, _)) = came.first() else { return Ok(()) };
        let (first, count) = (*first, came.len() as u64);
        let there: Vec<(Uid, Flags)> = came.iter().map(|(uid, message)| (*uid, message.flags.clone())).collect();
        let source = target.source;
        let note = move |here: &IdSet<Uid>| {
            let pairs = there.iter().zip(here.iter()).map(|((there, flags), here)| (*there, here, flags));
            source.piece(first.get().into(), &Piece::new(pairs))
        };
        match &target.place {
            Place::Hidden(filling) => {
                let uids: IdSet<Uid> = came.iter().map(|(uid, _)| *uid).collect();
                filling.push(self.who, came, vec![note(&uids)]).await?;
            }
            Place::Seen { id, same } => {
                let wanted = |uid| if *same { uid } else { Uid::MIN };
                let uids: IdSet<Uid> = came.iter().map(|(uid, _)| *uid).collect();
                let came = came.into_iter().map(|(uid, message)| (wanted(uid), message)).collect();
                let appended = self.account.take_over(self.who, *id, came, note).await?;
                if *same && appended.uids != uids {
                    self.remark("it has had new mail here: clients that knew it at the source must fetch it anew");
                }
            }
        }
        self.report.messages += count;
        self.report.octets += octets;
        self.count(count);
        self.advanced = true;
        Ok(())
    }

    async fn finish(&mut self, target: Target, opened: &Opened, listed: &Messages) -> Result<bool, Failure> {
        let head = self.head(target.uid_validity, true);
        let note = target.source.head(&head);
        match target.place {
            Place::Hidden(filling) => {
                self.make_room().await?;
                let behind = listed.keys().next_back().and_then(|last| last.next());
                let uid_next = behind.max(opened.uid_next).unwrap_or(Uid::MIN);
                match filling.finish(self.who, uid_next, vec![note]).await {
                    Ok(_) => {}
                    Err(store::Error::MailboxExists) => {
                        self.remark("it has had new mail meanwhile: messages come behind that, with other UIDs");
                        return Ok(false);
                    }
                    Err(error) => return Err(error.into()),
                }
                if self.plan.subscribed {
                    self.account.subscribe(self.who, self.plan.name.clone()).await?;
                }
            }
            Place::Seen { id, .. } if target.memory.head.as_ref() != Some(&head) => {
                self.account.note(self.who, id, vec![note]).await?;
            }
            Place::Seen { .. } => {}
        }
        self.report.mailboxes += 1;
        Ok(true)
    }

    /// A mailbox that every account has from its first day, and that never held anything, gives way to the one that had
    /// its use at the source, whatever that is called.
    async fn make_room(&self) -> Result<(), Failure> {
        let tree = self.account.tree();
        let holder = self.plan.special_use.and_then(|special_use| tree.by_use(special_use));
        if let Some(entry) = holder
            && entry.name != self.plan.name
            && entry.summary.uid_next == Uid::MIN
            && !tree.has_children(&entry.name)
        {
            self.account.delete_mailbox(self.who, &entry.name).await?;
            self.account.unsubscribe(self.who, &entry.name).await?;
        }
        Ok(())
    }

    /// As many keywords as a mailbox and a message can have here.
    fn trimmed(&mut self, flags: Flags) -> Flags {
        let limits = self.account.limits();
        let mut kept: Vec<Keyword> = vec![];
        for keyword in flags.keywords().iter().take(limits.keywords_per_message) {
            if self.keywords.len() < limits.keywords {
                self.keywords.insert(keyword.clone());
            }
            if self.keywords.contains(keyword) {
                kept.push(keyword.clone());
            }
        }
        if kept.len() < flags.keywords().len() {
            self.remark("it has more keywords than a mailbox or a message can have here: some are left out");
        }
        Flags::from_parts(flags.system_bits(), kept)
    }

    fn learn_keywords(&mut self, memory: &Memory) {
        for (_, piece) in &memory.pieces {
            let flags = piece.messages().into_iter().map(|(_, _, flags)| flags);
            flags.for_each(|flags| self.keywords.extend(flags.keywords().iter().cloned()));
        }
    }

    fn give_up(&mut self, uid: Uid, why: &str) {
        self.report.problem(format!("{}, UID {uid} at the source: {why}", self.plan.name));
        self.given_up.insert(uid);
        self.count(1);
        self.advanced = true;
    }

    fn remark(&mut self, what: &str) {
        let remark = format!("{}: {what}", self.plan.name);
        if !self.report.remarks.contains(&remark) {
            self.report.remark(remark);
        }
    }

    /// Tells the bar of messages, each once over all attempts.
    fn count(&mut self, many: u64) {
        self.counted += many;
        self.progress.messages_done(many);
    }
}
