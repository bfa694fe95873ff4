//! Random verbs on a store against a simple model, with sessions that catch up at random moments.
//!
//! The model keeps plain lists. After every step: the store shows what the model shows; a session
//! that catches up is told exactly what turns its client's picture into the truth, and its client
//! never sees a sequence number change without an EXPUNGE. At the end the store checks itself, and
//! a store opened anew on the same engine shows the same.
//!
//! Small quotas come and go: a verb that would raise what the model uses above one fails, and nothing of it happened.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use engine::Engine;
use proptest::prelude::*;
use store::{
    Account, Clock, FlagChange, FlagMode, Mailbox, Missing, NewMessage, Options, QuotaSetting, Silent, Store, View,
};
use types::{
    AccountName, Flag, Flags, IdSet, MailboxName, ModSeq, Principal, Resource, Resources, SeqNum, SequenceSet,
    SetBound, Uid, UnixTime,
};

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> UnixTime {
        UnixTime(1_700_000_000)
    }
}

const BOXES: [&str; 5] = ["INBOX", "Archive", "Work", "Work/Old", "x"];
const FLAGS: [&str; 5] = ["\\Seen", "\\Deleted", "\\Flagged", "$Junk", "work"];

#[derive(Clone, Debug)]
enum Op {
    Append { mailbox: usize, count: usize, flags: u8 },
    Store { mailbox: usize, uids: Vec<u8>, mode: u8, flags: u8, session: usize, silent: bool },
    Expunge { mailbox: usize, among: Option<Vec<u8>> },
    Copy { from: usize, to: usize, uids: Vec<u8>, take_out: bool },
    Replace { from: usize, to: usize, pick: u8, flags: u8, gone: bool },
    Create { mailbox: usize },
    Delete { mailbox: usize },
    Rename { from: usize, to: usize },
    Quota { resource: usize, limit: Option<u8> },
    Select { session: usize, mailbox: usize },
    CatchUp { session: usize, may_renumber: bool },
}

fn op() -> impl Strategy<Value = Op> {
    let mailbox = 0..BOXES.len();
    let uids = || proptest::collection::vec(any::<u8>(), 0..6);
    prop_oneof![
        4 => (mailbox.clone(), 1usize..5, any::<u8>()).prop_map(|(mailbox, count, flags)| Op::Append { mailbox, count, flags }),
        1 => (mailbox.clone(), 100usize..300, any::<u8>()).prop_map(|(mailbox, count, flags)| Op::Append { mailbox, count, flags }),
        6 => (mailbox.clone(), uids(), 0u8..3, any::<u8>(), 0usize..3, any::<bool>())
            .prop_map(|(mailbox, uids, mode, flags, session, silent)| Op::Store { mailbox, uids, mode, flags, session, silent }),
        3 => (mailbox.clone(), proptest::option::of(uids())).prop_map(|(mailbox, among)| Op::Expunge { mailbox, among }),
        3 => (mailbox.clone(), mailbox.clone(), uids(), any::<bool>())
            .prop_map(|(from, to, uids, take_out)| Op::Copy { from, to, uids, take_out }),
        3 => (mailbox.clone(), mailbox.clone(), any::<u8>(), any::<u8>(), any::<bool>())
            .prop_map(|(from, to, pick, flags, gone)| Op::Replace { from, to, pick, flags, gone }),
        1 => mailbox.clone().prop_map(|mailbox| Op::Create { mailbox }),
        1 => mailbox.clone().prop_map(|mailbox| Op::Delete { mailbox }),
        1 => (mailbox.clone(), mailbox.clone()).prop_map(|(from, to)| Op::Rename { from, to }),
        2 => (0usize..3, proptest::option::of(any::<u8>())).prop_map(|(resource, limit)| Op::Quota { resource, limit }),
        3 => (0usize..3, mailbox).prop_map(|(session, mailbox)| Op::Select { session, mailbox }),
        8 => (0usize..3, any::<bool>()).prop_map(|(session, may_renumber)| Op::CatchUp { session, may_renumber }),
    ]
}

/// A message as the model knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Message {
    uid: u32,
    flags: Flags,
    size: u64,
}

type Model = BTreeMap<&'static str, Box_>;

#[derive(Clone, Default)]
struct Box_ {
    next: u32,
    messages: Vec<Message>,
}

/// A client: what it knows of each message, by position.
struct Client {
    mailbox: Mailbox,
    view: View,
    picture: Vec<(Uid, Flags)>,
}

struct World {
    store: Store,
    account: Account,
    who: Principal,
    model: Model,
    limits: Resources<Option<u64>>,
    clients: [Option<Client>; 3],
}

fn name(at: usize) -> MailboxName {
    MailboxName::new(BOXES[at]).unwrap()
}

fn flags(bits: u8) -> Flags {
    FLAGS.iter().enumerate().filter(|(n, _)| bits & (1 << n) != 0).map(|(_, f)| Flag::parse(f).unwrap()).collect()
}

fn uids(model: &Box_, picks: &[u8]) -> IdSet<Uid> {
    let all = &model.messages;
    picks.iter().filter(|_| !all.is_empty()).map(|&p| Uid::new(all[usize::from(p) % all.len()].uid).unwrap()).collect()
}

fn content(subject: usize) -> String {
    format!("Subject: {subject}\r\n\r\ntext\r\n")
}

fn used(model: &Model) -> Resources<u64> {
    let messages = || model.values().flat_map(|mailbox| &mailbox.messages);
    Resources {
        storage: messages().map(|message| message.size).sum(),
        message: messages().count() as u64,
        mailbox: model.len() as u64,
        annotation_storage: 0,
    }
}

fn add(model: &mut Model, name: &'static str) {
    if name == "Work/Old" {
        model.entry("Work").or_insert(Box_ { next: 1, messages: vec![] });
    }
    model.entry(name).or_insert(Box_ { next: 1, messages: vec![] });
}

impl World {
    async fn new(engine: Arc<dyn Engine>) -> Self {
        let options = Options { default_mailboxes: vec![], ..Options::default() };
        let store = Store::open(engine, Arc::new(FixedClock), options).unwrap();
        let id = store.create_account(&AccountName::new("a").unwrap(), "hash".into()).await.unwrap();
        let account = store.account(id).unwrap();
        let model = BTreeMap::from([("INBOX", Box_ { next: 1, messages: vec![] })]);
        let limits = Resources::default();
        Self { store, account, who: Principal { account: id }, model, limits, clients: [None, None, None] }
    }

    /// Whether the quota is in the way of what the model would become.
    fn refuses(&self, after: &Model) -> bool {
        let (before, after) = (used(&self.model), used(after));
        let exceeds = |resource: Resource| {
            let amount = *after.get(resource);
            let octets_or_things = self.limits.get(resource).map(|limit| limit * resource.unit());
            amount > *before.get(resource) && octets_or_things.is_some_and(|limit| amount > limit)
        };
        Resource::ALL.into_iter().any(exceeds)
    }

    async fn apply(&mut self, op: &Op) {
        match op {
            Op::Append { mailbox, count, flags: bits } => {
                let messages = (0..*count).map(|n| self.message(n, *bits));
                let result = self.account.append(&self.who, &name(*mailbox), messages.collect()).await;
                let mut after = self.model.clone();
                let Some(model) = after.get_mut(BOXES[*mailbox]) else {
                    assert!(matches!(result, Err(store::Error::NoSuchTarget)));
                    return;
                };
                let expected: Vec<u32> = (model.next..model.next + *count as u32).collect();
                let new = expected.iter().zip(0..);
                model.messages.extend(new.map(|(&uid, n)| Message {
                    uid,
                    flags: flags(*bits),
                    size: content(n).len() as u64,
                }));
                model.next += *count as u32;
                if self.refuses(&after) {
                    assert!(matches!(result, Err(store::Error::OverQuota(_))), "{result:?}");
                    return;
                }
                let given: Vec<u32> = result.unwrap().uids.iter().map(Uid::get).collect();
                assert_eq!(given, expected);
                self.model = after;
            }
            Op::Store { mailbox, uids: picks, mode, flags: bits, session, silent } => {
                let Some(model) = self.model.get_mut(BOXES[*mailbox]) else { return };
                let chosen = uids(model, picks);
                let mode = [FlagMode::Add, FlagMode::Remove, FlagMode::Replace][usize::from(*mode)];
                let handle = self.account.open(&self.who, &name(*mailbox)).unwrap();
                let mine = self.clients[*session].as_mut().filter(|c| c.mailbox.at() == handle.at());
                let told = mine.as_ref().map_or(ModSeq::ZERO, |c| c.view.seen());
                let change = FlagChange { mode, flags: flags(*bits), unchanged_since: None };
                let stored = handle.store_flags(&self.who, chosen.clone(), change, told).await.unwrap();
                assert!(stored.missing.is_empty());
                for message in model.messages.iter_mut().filter(|m| chosen.contains(Uid::new(m.uid).unwrap())) {
                    message.flags = match mode {
                        FlagMode::Add => message.flags.union(&flags(*bits)),
                        FlagMode::Remove => message.flags.difference(&flags(*bits)),
                        FlagMode::Replace => flags(*bits),
                    };
                }
                if let (Some(client), true) = (mine, *silent) {
                    // The client applies its own change to what it knows and hears nothing of it.
                    for (uid, known) in &mut client.picture {
                        if chosen.contains(*uid) {
                            *known = match mode {
                                FlagMode::Add => known.union(&flags(*bits)),
                                FlagMode::Remove => known.difference(&flags(*bits)),
                                FlagMode::Replace => flags(*bits),
                            };
                        }
                    }
                    catch_up(client, false, stored.silent.as_ref());
                }
            }
            Op::Expunge { mailbox, among } => {
                let Some(model) = self.model.get_mut(BOXES[*mailbox]) else { return };
                let among = among.as_ref().map(|picks| uids(model, picks));
                let handle = self.account.open(&self.who, &name(*mailbox)).unwrap();
                let gone = handle.expunge(&self.who, among.clone()).await.unwrap();
                let goes = |m: &Message| {
                    m.flags.contains(&Flag::Deleted)
                        && among.as_ref().is_none_or(|set| set.contains(Uid::new(m.uid).unwrap()))
                };
                let expected: IdSet<Uid> =
                    model.messages.iter().filter(|m| goes(m)).map(|m| Uid::new(m.uid).unwrap()).collect();
                assert_eq!(gone, expected);
                model.messages.retain(|m| !goes(m));
            }
            Op::Copy { from, to, uids: picks, take_out } => {
                let Some(source) = self.model.get(BOXES[*from]).cloned() else { return };
                let chosen = uids(&source, picks);
                let handle = self.account.open(&self.who, &name(*from)).unwrap();
                let result = if *take_out {
                    handle.relocate(&self.who, chosen.clone(), &name(*to), Missing::Refuse).await
                } else {
                    handle.copy(&self.who, chosen.clone(), &name(*to), Missing::Refuse).await
                };
                let mut after = self.model.clone();
                let Some(target) = after.get_mut(BOXES[*to]) else {
                    assert!(matches!(result, Err(store::Error::NoSuchTarget)));
                    return;
                };
                let mut expected = vec![];
                for message in source.messages.iter().filter(|m| chosen.contains(Uid::new(m.uid).unwrap())) {
                    expected.push(target.next);
                    target.messages.push(Message { uid: target.next, ..message.clone() });
                    target.next += 1;
                }
                if *take_out {
                    let source = after.get_mut(BOXES[*from]).unwrap();
                    source.messages.retain(|m| !chosen.contains(Uid::new(m.uid).unwrap()));
                }
                if self.refuses(&after) {
                    assert!(matches!(result, Err(store::Error::OverQuota(_))), "{result:?}");
                    return;
                }
                let copied = result.unwrap();
                assert_eq!(copied.from, chosen);
                assert_eq!(copied.to.iter().map(Uid::get).collect::<Vec<_>>(), expected);
                self.model = after;
            }
            Op::Replace { from, to, pick, flags, gone } => self.replace(*from, *to, *pick, *flags, *gone).await,
            Op::Create { mailbox } => {
                let result = self.account.create_mailbox(&self.who, name(*mailbox), None).await;
                let mut after = self.model.clone();
                add(&mut after, BOXES[*mailbox]);
                let refused = self.model.contains_key(BOXES[*mailbox]) || self.refuses(&after);
                assert_eq!(result.is_err(), refused, "{result:?}");
                if result.is_ok() {
                    self.model = after;
                }
            }
            Op::Delete { mailbox } => {
                let result = self.account.delete_mailbox(&self.who, &name(*mailbox)).await;
                let known = *mailbox != 0 && self.model.contains_key(BOXES[*mailbox]);
                assert_eq!(result.is_ok(), known, "{result:?}");
                if known {
                    self.model.remove(BOXES[*mailbox]);
                }
            }
            Op::Rename { from, to } => self.rename(*from, *to).await,
            Op::Quota { resource, limit } => {
                let resource = Resource::ALL[*resource];
                // So small that they are in the way often.
                let most = *Resources { storage: 8, message: 250, mailbox: 7, annotation_storage: 1 }.get(resource);
                let limit = limit.map(|limit| u64::from(limit) % most);
                let mut change = Resources::default();
                *change.get_mut(resource) = Some(limit.map_or(QuotaSetting::Unlimited, QuotaSetting::Limit));
                self.store.set_quota(&AccountName::new("a").unwrap(), change).await.unwrap();
                *self.limits.get_mut(resource) = limit;
            }
            Op::Select { session, mailbox } => {
                let handle = self.account.open(&self.who, &name(*mailbox));
                assert_eq!(handle.is_ok(), self.model.contains_key(BOXES[*mailbox]));
                self.clients[*session] = handle.ok().map(|mailbox| {
                    let snapshot = mailbox.snapshot().unwrap();
                    let view = View::new(&snapshot);
                    let picture = shown(&mailbox);
                    Client { mailbox, view, picture }
                });
            }
            Op::CatchUp { session, may_renumber } => {
                if let Some(client) = self.clients[*session].as_mut().filter(|c| !c.mailbox.is_gone()) {
                    catch_up(client, *may_renumber, None);
                }
            }
        }
    }

    fn message(&self, subject: usize, bits: u8) -> NewMessage {
        let mut incoming = self.account.receive().unwrap();
        incoming.push(content(subject).as_bytes()).unwrap();
        NewMessage { content: incoming.finish().unwrap(), flags: flags(bits), internal_date: None }
    }

    /// `gone`: the message is one that was never there.
    async fn replace(&mut self, from: usize, to: usize, pick: u8, bits: u8, gone: bool) {
        let Some(source) = self.model.get(BOXES[from]).cloned() else { return };
        let chosen = uids(&source, &[pick]).iter().next().filter(|_| !gone);
        let uid = chosen.unwrap_or(Uid::new(source.next).unwrap());
        let handle = self.account.open(&self.who, &name(from)).unwrap();
        // Longer and shorter than the others.
        let subject = 10usize.pow(u32::from(pick % 9));
        let result = handle.replace(&self.who, uid, &name(to), self.message(subject, bits)).await;
        let known = self.model.contains_key(BOXES[to]);
        if !known || chosen.is_none() {
            let error = result.unwrap_err();
            let right = if known {
                matches!(error, store::Error::Expunged)
            } else {
                matches!(error, store::Error::NoSuchTarget)
            };
            assert!(right, "{error}");
            return;
        }
        let mut after = self.model.clone();
        after.get_mut(BOXES[from]).unwrap().messages.retain(|m| m.uid != uid.get());
        let target = after.get_mut(BOXES[to]).unwrap();
        let given = target.next;
        target.messages.push(Message { uid: given, flags: flags(bits), size: content(subject).len() as u64 });
        target.next += 1;
        if self.refuses(&after) {
            assert!(matches!(result, Err(store::Error::OverQuota(_))), "{result:?}");
            return;
        }
        assert_eq!(result.unwrap().uids.iter().map(Uid::get).collect::<Vec<_>>(), [given]);
        self.model = after;
    }

    async fn rename(&mut self, from: usize, to: usize) {
        let result = self.account.rename_mailbox(&self.who, &name(from), name(to)).await;
        let (from, to) = (BOXES[from], BOXES[to]);
        // Renames that would move inferiors to names outside of the model are not modelled.
        if from == "Work" && result.is_ok() {
            let (from, to) = (MailboxName::new(from).unwrap(), MailboxName::new(to).unwrap());
            self.account.rename_mailbox(&self.who, &to, from).await.unwrap();
            return;
        }
        let possible = self.model.contains_key(from) && !self.model.contains_key(to) && from != to;
        if from == "Work" {
            return;
        }
        if !possible {
            assert!(result.is_err(), "{from} to {to}");
            return;
        }
        let mut after = self.model.clone();
        add(&mut after, to);
        if from == "INBOX" {
            let messages = std::mem::take(&mut after.get_mut("INBOX").unwrap().messages);
            let target = after.get_mut(to).unwrap();
            for message in messages {
                target.messages.push(Message { uid: target.next, ..message });
                target.next += 1;
            }
        } else {
            let moved = after.remove(from).unwrap();
            after.insert(to, moved);
        }
        if self.refuses(&after) {
            assert!(matches!(result, Err(store::Error::OverQuota(_))), "{from} to {to}: {result:?}");
            return;
        }
        result.unwrap();
        self.model = after;
    }

    fn verify(&self) {
        let tree = self.account.tree();
        let names: Vec<String> = tree.entries().map(|entry| entry.name.to_string()).collect();
        assert_eq!(names, self.model.keys().map(ToString::to_string).collect::<Vec<_>>());
        let quota = self.account.quota();
        assert_eq!(quota.usage, used(&self.model));
        assert_eq!((quota.limits.storage, quota.limits.message), (self.limits.storage, self.limits.message));
        for (name, model) in &self.model {
            let mailbox = self.account.open(&self.who, &MailboxName::new(name).unwrap()).unwrap();
            let shown: Vec<_> = shown(&mailbox).into_iter().map(|(uid, flags)| (uid.get(), flags)).collect();
            let expected: Vec<_> = model.messages.iter().map(|m| (m.uid, m.flags.clone())).collect();
            assert_eq!(shown, expected, "{name}");
            let snapshot = mailbox.snapshot().unwrap();
            assert_eq!(snapshot.uid_next().get(), model.next);
            let sums = snapshot.sums();
            let count = |flag: &Flag| model.messages.iter().filter(|m| m.flags.contains(flag)).count();
            assert_eq!(sums.count as usize, model.messages.len());
            assert_eq!(sums.deleted as usize, count(&Flag::Deleted));
            let deleted = model.messages.iter().filter(|m| m.flags.contains(&Flag::Deleted));
            assert_eq!(snapshot.deleted_size().unwrap(), deleted.map(|m| m.size).sum::<u64>());
            assert_eq!(sums.unseen as usize, model.messages.len() - count(&Flag::Seen));
            let first_unseen = model.messages.iter().find(|m| !m.flags.contains(&Flag::Seen)).map(|m| m.uid);
            assert_eq!(snapshot.first_unseen().unwrap().map(Uid::get), first_unseen);
        }
    }
}

fn shown(mailbox: &Mailbox) -> Vec<(Uid, Flags)> {
    let snapshot = mailbox.snapshot().unwrap();
    let mut all = vec![];
    snapshot
        .walk(&snapshot.uids(), |chunk, at, row| {
            all.push((row.uid, chunk.flags(at, snapshot.keywords())));
            ControlFlow::Continue(())
        })
        .unwrap();
    all
}

/// Applies what the view says to what the client knows, as a client would.
fn catch_up(client: &mut Client, may_renumber: bool, silent: Option<&Silent>) {
    let current = client.mailbox.snapshot().unwrap();
    let before = client.picture.len();
    let updates = client.view.advance(&current, may_renumber, silent).unwrap();
    for (number, uid) in &updates.expunged {
        assert!(may_renumber);
        let (gone, _) = client.picture.remove(number.get() as usize - 1);
        assert_eq!(gone, *uid, "the number of the EXPUNGE means another message to the client");
    }
    if let Some(exists) = updates.exists {
        assert!(exists as usize >= client.picture.len(), "EXISTS shrank");
        for uid in updates.arrived.iter() {
            // The client fetches what came.
            let (chunk, at) = current.find(uid).unwrap().unwrap();
            client.picture.push((uid, chunk.flags(at, current.keywords())));
        }
        assert_eq!(client.picture.len(), exists as usize);
    }
    if !may_renumber {
        assert!(client.picture.len() >= before);
    }
    for uid in updates.changed.iter() {
        let number = client.view.number(uid).unwrap().get() as usize;
        let (chunk, at) = current.find(uid).unwrap().expect("a ghost does not change");
        let slot = &mut client.picture[number - 1];
        assert_eq!(slot.0, uid);
        slot.1 = chunk.flags(at, current.keywords());
    }

    // The client's numbers are the view's.
    assert_eq!(client.view.exists() as usize, client.picture.len());
    for (at, (uid, known)) in client.picture.iter().enumerate() {
        let number = SeqNum::new(at as u32 + 1).unwrap();
        assert_eq!(client.view.told().uid(number), Some(*uid));
        assert_eq!(client.view.number(*uid), Some(number));
        match current.find(*uid).unwrap() {
            Some((chunk, at)) => {
                assert_eq!(*known, chunk.flags(at, current.keywords()), "UID {uid}: the client has old flags");
                assert!(!client.view.ghosts().contains(*uid));
            }
            None => assert!(!may_renumber && client.view.ghosts().contains(*uid)),
        }
    }
    if let Some(last) = SeqNum::new(client.view.exists()) {
        let all = SequenceSet::new(vec![(SetBound::Number(SeqNum::MIN), SetBound::Last)]).unwrap();
        assert_eq!(client.view.resolve(&all).unwrap(), client.picture.iter().map(|(uid, _)| *uid).collect());
        let beyond = SequenceSet::new(vec![(SetBound::Number(last.next().unwrap()), SetBound::Last)]).unwrap();
        assert_eq!(client.view.resolve(&beyond), None);
    }
    // Every ghost can still be read.
    let ghosts = client.mailbox.removed(client.view.reported(), client.view.ghosts()).unwrap();
    let found: IdSet<Uid> = ghosts.iter().map(|(chunk, at)| chunk.rows()[*at].uid).collect();
    assert_eq!(found, *client.view.ghosts());
    for (chunk, at) in ghosts {
        assert!(client.mailbox.body(chunk.rows()[at].email).unwrap().is_some());
    }
}

/// Lets the verbs loose on a store, then opens it anew: `open` gives the engine, each time.
fn run(ops: &[Op], open: impl Fn() -> Arc<dyn Engine>) {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (id, who, model, limits) = runtime().block_on(async {
        let mut world = World::new(open()).await;
        for op in ops {
            world.apply(op).await;
            world.verify();
        }
        for client in world.clients.iter_mut().flatten().filter(|c| !c.mailbox.is_gone()) {
            catch_up(client, true, None);
        }
        assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
        (world.account.id(), world.who, world.model, world.limits)
    });
    runtime().block_on(async {
        let store = Store::open(open(), Arc::new(FixedClock), Options::default()).unwrap();
        let account = store.account(id).unwrap();
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
        World { store, account, who, model, limits, clients: [None, None, None] }.verify();
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_does_in_memory(ops in proptest::collection::vec(op(), 1..80)) {
        let engine: Arc<dyn Engine> = Arc::new(engine::memory::Memory::new());
        run(&ops, || Arc::clone(&engine));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_does_on_disk(ops in proptest::collection::vec(op(), 1..80)) {
        let dir = tempfile::tempdir().unwrap();
        run(&ops, || Arc::new(engine::local::Local::open(dir.path(), engine::local::Options::default()).unwrap()));
    }
}
