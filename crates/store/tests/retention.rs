//! Random verbs, time that passes and purges, against a model that knows what must still be there.
//!
//! The model keeps, for each message that was ever in a mailbox, when it went. After each purge the engine
//! holds exactly the bodies that something still needs: a mailbox, a removal or a deletion that is young
//! enough, or a session that was not told yet. Nothing that is needed is missing, nothing else is there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use engine::Engine;
use proptest::prelude::*;
use store::{
    Account, Attendance, Clock, FlagChange, FlagMode, LostQuery, Mailbox, Missing, NewMessage, Options, Purged,
    Retention, Store, View,
};
use types::{AccountName, Flag, Flags, IdSet, Limits, MailboxName, ModSeq, Principal, Uid, UnixTime};

const DAY: u64 = 24 * 60 * 60;
const BOXES: [&str; 3] = ["INBOX", "a", "b"];

/// Shared with the store.
#[derive(Clone, Default)]
struct Hand(Arc<AtomicI64>);

impl Clock for Hand {
    fn now(&self) -> UnixTime {
        UnixTime(1_700_000_000 + self.0.load(Ordering::Relaxed))
    }
}

#[derive(Clone, Debug)]
enum Op {
    Append { to: usize, count: usize },
    Expunge { from: usize, picks: Vec<u8> },
    Copy { from: usize, to: usize, picks: Vec<u8>, take_out: bool },
    Delete { mailbox: usize },
    Wait { days: u64 },
    Purge { days: u64, history: u64 },
    Select { session: usize, mailbox: usize },
    CatchUp { session: usize, may_renumber: bool },
    Leave { session: usize },
    Restore { picks: Vec<u8>, to: Option<usize> },
    Revive { pick: u8, name: Option<usize> },
}

fn op() -> impl Strategy<Value = Op> {
    let mailbox = || 0..BOXES.len();
    let picks = || proptest::collection::vec(any::<u8>(), 1..5);
    prop_oneof![
        5 => (mailbox(), 1usize..5).prop_map(|(to, count)| Op::Append { to, count }),
        1 => (mailbox(), 130usize..300).prop_map(|(to, count)| Op::Append { to, count }),
        5 => (mailbox(), picks()).prop_map(|(from, picks)| Op::Expunge { from, picks }),
        1 => mailbox().prop_map(|from| Op::Expunge { from, picks: (0..=255).collect() }),
        4 => (mailbox(), mailbox(), picks(), any::<bool>())
            .prop_map(|(from, to, picks, take_out)| Op::Copy { from, to, picks, take_out }),
        2 => mailbox().prop_map(|mailbox| Op::Delete { mailbox }),
        3 => (1u64..9).prop_map(|days| Op::Wait { days }),
        4 => (0u64..15, 0u64..30).prop_map(|(days, history)| Op::Purge { days, history }),
        2 => (0usize..2, mailbox()).prop_map(|(session, mailbox)| Op::Select { session, mailbox }),
        4 => (0usize..2, any::<bool>()).prop_map(|(session, may_renumber)| Op::CatchUp { session, may_renumber }),
        1 => (0usize..2).prop_map(|session| Op::Leave { session }),
        3 => (picks(), proptest::option::of(mailbox())).prop_map(|(picks, to)| Op::Restore { picks, to }),
        2 => (any::<u8>(), proptest::option::of(mailbox())).prop_map(|(pick, name)| Op::Revive { pick, name }),
    ]
}

/// A message in a mailbox: its content is its number.
#[derive(Clone, Copy, Debug)]
struct Message {
    uid: u32,
    content: u32,
}

/// A message that went.
#[derive(Clone, Copy, Debug)]
struct Gone {
    modseq: ModSeq,
    when: i64,
    message: Message,
    moved: bool,
    purged: bool,
}

#[derive(Clone, Default)]
struct Kept {
    messages: Vec<Message>,
    gone: Vec<Gone>,
    /// Ids and names are never mixed up.
    id: u64,
    name: &'static str,
    next: u32,
    deleted: Option<i64>,
}

struct Session {
    mailbox: Mailbox,
    view: View,
    attendance: Attendance,
}

struct World {
    engine: Arc<dyn Engine>,
    store: Store,
    account: Account,
    who: Principal,
    clock: Hand,
    boxes: BTreeMap<&'static str, Kept>,
    deleted: Vec<Kept>,
    sessions: [Option<Session>; 2],
    contents: u32,
}

fn name(at: usize) -> MailboxName {
    MailboxName::new(BOXES[at]).unwrap()
}

fn uid(n: u32) -> Uid {
    Uid::new(n).unwrap()
}

fn open(engine: &Arc<dyn Engine>, clock: &Hand) -> Store {
    let limits = Limits { change_records: 5, ..Limits::default() };
    let options = Options { limits: limits.into(), default_mailboxes: vec![], ..Options::default() };
    Store::open(Arc::clone(engine), Arc::new(clock.clone()), options).unwrap()
}

impl World {
    async fn new(engine: Arc<dyn Engine>) -> Self {
        let clock = Hand::default();
        let store = open(&engine, &clock);
        let id = store.create_account(&AccountName::new("a").unwrap(), "hash".into()).await.unwrap();
        let (account, who) = (store.account(id).unwrap(), Principal { account: id });
        let inbox = account.tree().get(&name(0)).unwrap().id.0;
        let boxes = BTreeMap::from([("INBOX", Kept { next: 1, id: inbox, name: "INBOX", ..Kept::default() })]);
        Self { engine, store, account, who, clock, boxes, deleted: vec![], sessions: [None, None], contents: 0 }
    }

    fn now(&self) -> i64 {
        self.clock.now().0
    }

    async fn apply(&mut self, op: &Op) {
        match op {
            Op::Append { to, count } => self.append(*to, *count).await,
            Op::Expunge { from, picks } => {
                let Some(chosen) = self.chosen(*from, picks) else { return };
                let mailbox = self.account.open(&self.who, &name(*from)).unwrap();
                let deleted = Flags::from_iter([Flag::Deleted]);
                let change = FlagChange { mode: FlagMode::Add, flags: deleted, unchanged_since: None };
                mailbox.store_flags(&self.who, chosen.clone(), change, ModSeq::ZERO).await.unwrap();
                assert_eq!(mailbox.expunge(&self.who, None).await.unwrap(), chosen);
                self.take_out(*from, &chosen, false);
            }
            Op::Copy { from, to, picks, take_out } => {
                let Some(chosen) = self.chosen(*from, picks).filter(|_| self.boxes.contains_key(BOXES[*to])) else {
                    return;
                };
                let mailbox = self.account.open(&self.who, &name(*from)).unwrap();
                let copied = if *take_out {
                    mailbox.relocate(&self.who, chosen.clone(), &name(*to), Missing::Refuse).await.unwrap()
                } else {
                    mailbox.copy(&self.who, chosen.clone(), &name(*to), Missing::Refuse).await.unwrap()
                };
                let source = self.boxes[BOXES[*from]].messages.clone();
                let contents = source.iter().filter(|m| chosen.contains(uid(m.uid))).map(|m| m.content);
                let target = self.boxes.get_mut(BOXES[*to]).unwrap();
                for (content, new) in contents.zip(copied.to.iter()) {
                    target.messages.push(Message { uid: new.get(), content });
                    target.next = new.get() + 1;
                }
                if *take_out {
                    self.take_out(*from, &chosen, true);
                }
            }
            Op::Delete { mailbox: 0 } => {}
            Op::Delete { mailbox } => {
                let Some(mut kept) = self.boxes.remove(BOXES[*mailbox]) else { return };
                let at = self.account.open(&self.who, &name(*mailbox)).unwrap().at();
                self.account.delete_mailbox(&self.who, &name(*mailbox)).await.unwrap();
                kept.deleted = Some(self.now());
                // A session hears of it and leaves.
                for session in &mut self.sessions {
                    session.take_if(|session| session.mailbox.at() == at);
                }
                self.deleted.push(kept);
            }
            Op::Wait { days } => {
                self.clock.0.fetch_add((days * DAY) as i64, Ordering::Relaxed);
            }
            Op::Purge { days, history } => self.purge(*days, *history).await,
            Op::Select { session, mailbox } => {
                let Ok(mailbox) = self.account.open(&self.who, &name(*mailbox)) else { return };
                let (attendance, snapshot) = mailbox.attend().unwrap();
                self.sessions[*session] = Some(Session { mailbox, view: View::new(&snapshot), attendance });
            }
            Op::CatchUp { session, may_renumber } => {
                if let Some(Session { mailbox, view, attendance }) = &mut self.sessions[*session] {
                    view.advance(&mailbox.snapshot().unwrap(), *may_renumber, None).unwrap();
                    attendance.told(view.reported());
                }
            }
            Op::Leave { session } => self.sessions[*session] = None,
            Op::Restore { picks, to } => self.restore(picks, *to).await,
            Op::Revive { pick, name } => self.revive(*pick, *name).await,
        }
    }

    async fn append(&mut self, to: usize, count: usize) {
        if to > 0 && !self.boxes.contains_key(BOXES[to]) {
            let id = self.account.create_mailbox(&self.who, name(to), None).await.unwrap().0;
            self.boxes.insert(BOXES[to], Kept { next: 1, id, name: BOXES[to], ..Kept::default() });
        }
        let model = self.boxes.get_mut(BOXES[to]).unwrap();
        let mut messages = vec![];
        for _ in 0..count {
            self.contents += 1;
            let content = self.contents;
            let mut incoming = self.account.receive().unwrap();
            // Every third continues the thread of the one before.
            let answer =
                if content.is_multiple_of(3) { format!("References: <{}@x>\r\n", content - 1) } else { String::new() };
            incoming.push(format!("Message-ID: <{content}@x>\r\n{answer}\r\n{content}").as_bytes()).unwrap();
            messages.push(NewMessage { content: incoming.finish().unwrap(), flags: Flags::NONE, internal_date: None });
            model.messages.push(Message { uid: model.next, content });
            model.next += 1;
        }
        self.account.append(&self.who, &name(to), messages).await.unwrap();
    }

    fn chosen(&self, from: usize, picks: &[u8]) -> Option<IdSet<Uid>> {
        let all = &self.boxes.get(BOXES[from])?.messages;
        let set: IdSet<Uid> =
            picks.iter().filter_map(|&pick| Some(uid(all.get(usize::from(pick) % all.len().max(1))?.uid))).collect();
        (!set.is_empty()).then_some(set)
    }

    fn take_out(&mut self, from: usize, chosen: &IdSet<Uid>, moved: bool) {
        let now = self.now();
        let modseq = self.account.open(&self.who, &name(from)).unwrap().snapshot().unwrap().highest_modseq();
        let kept = self.boxes.get_mut(BOXES[from]).unwrap();
        let (out, stay) = kept.messages.iter().partition(|m| chosen.contains(uid(m.uid)));
        kept.messages = stay;
        let out: Vec<Message> = out;
        let gone = |message| Gone { modseq, when: now, message, moved, purged: false };
        kept.gone.extend(out.into_iter().map(gone));
    }

    /// The lost messages by the model: content, and where it was last.
    fn lost(&self) -> BTreeMap<u32, &'static str> {
        let living: BTreeSet<u32> = self.boxes.values().flat_map(|kept| &kept.messages).map(|m| m.content).collect();
        let mut last: BTreeMap<u32, (i64, u64, ModSeq, u32, &'static str)> = BTreeMap::new();
        for (name, kept) in &self.boxes {
            for gone in kept.gone.iter().filter(|gone| !gone.purged && !gone.moved) {
                let Message { uid, content } = gone.message;
                let place = (gone.when, kept.id, gone.modseq, uid, *name);
                let known = last.entry(content).or_insert(place);
                *known = place.max(*known);
            }
        }
        last.into_iter().filter(|(content, _)| !living.contains(content)).map(|(c, place)| (c, place.4)).collect()
    }

    async fn restore(&mut self, picks: &[u8], to: Option<usize>) {
        let stored = self.stored();
        let (listed, count) = self.account.lost(&self.who, &LostQuery::default(), usize::MAX).unwrap();
        assert_eq!(count, listed.len());
        let lost = self.lost();
        let names: Vec<String> = listed.iter().map(|lost| lost.mailbox.to_string()).collect();
        let shown = listed.iter().zip(&names).map(|(lost, name)| (stored[&lost.email.0], name.as_str()));
        assert_eq!(shown.collect::<BTreeMap<_, _>>(), lost);
        let chosen: BTreeSet<_> =
            picks.iter().filter_map(|&pick| Some(listed.get(usize::from(pick) % listed.len().max(1))?.email)).collect();
        let expected: BTreeSet<u32> = chosen.iter().map(|email| stored[&email.0]).collect();
        let target = to.map(name);
        let query = LostQuery { emails: Some(chosen.clone()), ..LostQuery::default() };
        let restored = self.account.restore(&self.who, &query, target.as_ref()).await.unwrap();
        assert_eq!(restored.messages.values().sum::<u64>() as usize, chosen.len());
        if let Some(to) = to.filter(|to| !chosen.is_empty() && !self.boxes.contains_key(BOXES[*to])) {
            let id = self.account.tree().get(&name(to)).unwrap().id.0;
            self.boxes.insert(BOXES[to], Kept { next: 1, id, name: BOXES[to], ..Kept::default() });
        }
        // What came where, in the order in which the store has it; each of them once, behind all others.
        let mut came = BTreeSet::new();
        let names: Vec<_> = self.boxes.keys().copied().collect();
        for name in names {
            let mailbox = self.account.open(&self.who, &MailboxName::new(name).unwrap()).unwrap();
            let kept = self.boxes.get_mut(name).unwrap();
            let before = kept.next;
            for (uid, content, flags) in contents(&mailbox, &stored).into_iter().filter(|(uid, ..)| *uid >= before) {
                assert_eq!(uid, kept.next);
                assert!(!flags.contains(&Flag::Deleted) && came.insert(content));
                assert_eq!(to.map_or(lost[&content], |to| BOXES[to]), name);
                kept.messages.push(Message { uid, content });
                kept.next += 1;
            }
        }
        assert_eq!(came, expected);
    }

    async fn revive(&mut self, pick: u8, to: Option<usize>) {
        let listed = self.account.deleted_mailboxes(&self.who).unwrap();
        let shown: BTreeSet<_> = listed.iter().map(|d| (d.id.0, d.name.to_string(), d.messages as usize)).collect();
        let known = self.deleted.iter().map(|kept| (kept.id, kept.name.to_owned(), kept.messages.len()));
        assert_eq!(shown, known.collect());
        if self.deleted.is_empty() {
            return;
        }
        let at = usize::from(pick) % self.deleted.len();
        let wanted = to.map_or(self.deleted[at].name, |to| BOXES[to]);
        let id = types::MailboxId(self.deleted[at].id);
        let done = self.account.restore_mailbox(&self.who, id, to.map(name)).await;
        if self.boxes.contains_key(wanted) {
            assert!(matches!(done, Err(store::Error::MailboxExists)), "{done:?}");
            return;
        }
        assert_eq!(done.unwrap().to_string(), wanted);
        let kept = self.deleted.remove(at);
        self.boxes.insert(wanted, Kept { deleted: None, name: wanted, ..kept });
        let again = self.account.restore_mailbox(&self.who, id, to.map(name)).await;
        assert!(matches!(again, Err(store::Error::NoSuchMailbox)), "{again:?}");
    }

    async fn purge(&mut self, days: u64, history: u64) {
        let cutoff = self.now() - (days * DAY) as i64;
        let before: BTreeSet<u32> = self.stored().into_values().collect();
        let retention =
            Retention { expunged: Duration::from_secs(days * DAY), history: Duration::from_secs(history * DAY) };
        let purged = self.store.purge(self.account.id(), retention).await.unwrap();
        let mailboxes = self.deleted.len();
        self.deleted.retain(|kept| kept.deleted.unwrap() > cutoff);
        assert!(purged.mailboxes as usize <= mailboxes - self.deleted.len());
        for (name, kept) in &mut self.boxes {
            let at = self.account.open(&self.who, &MailboxName::new(name).unwrap()).unwrap().at();
            let sessions = self.sessions.iter().flatten().filter(|session| session.mailbox.at() == at);
            let needed = sessions.map(|session| session.view.reported()).min();
            age(kept, cutoff, needed);
        }
        self.deleted.iter_mut().for_each(|kept| age(kept, cutoff, None));

        // Exactly what is needed is there.
        let all = self.boxes.values().chain(&self.deleted);
        let needed: BTreeSet<u32> = all
            .flat_map(|kept| {
                let gone = kept.gone.iter().filter(|gone| !gone.purged).map(|gone| gone.message.content);
                kept.messages.iter().map(|m| m.content).chain(gone).collect::<Vec<_>>()
            })
            .collect();
        let after: BTreeSet<u32> = self.stored().into_values().collect();
        assert_eq!(after, needed);
        assert_eq!(purged.messages as usize, before.len() - after.len());
        assert_eq!(self.store.check().unwrap(), Vec::<String>::new());
        let again = self.store.purge(self.account.id(), retention).await.unwrap();
        assert_eq!(again, Purged::default());
    }

    /// The bodies that the engine holds: blob and content.
    fn stored(&self) -> BTreeMap<u64, u32> {
        let view = self.engine.read(self.account.id()).unwrap();
        let content = |id| {
            let blob = view.blob(id).unwrap().unwrap();
            let mut octets = vec![];
            blob.read(0..blob.size(), &mut octets).unwrap();
            let text = String::from_utf8(octets).unwrap();
            text.rsplit("\r\n").next().unwrap().parse().unwrap()
        };
        view.blobs().unwrap().into_iter().map(|id| (id.0, content(id))).collect()
    }

    fn verify(&self) {
        let stored = self.stored();
        for (name, kept) in &self.boxes {
            let mailbox = self.account.open(&self.who, &MailboxName::new(name).unwrap()).unwrap();
            let snapshot = mailbox.snapshot().unwrap();
            let shown: Vec<_> =
                contents(&mailbox, &stored).into_iter().map(|(uid, content, _)| (uid, content)).collect();
            assert_eq!(snapshot.uid_next().get(), kept.next);
            assert_eq!(shown, kept.messages.iter().map(|m| (m.uid, m.content)).collect::<Vec<_>>());
            let mut reader = mailbox.reader();
            for chunk in snapshot.chunks(&snapshot.uids()) {
                for row in chunk.unwrap().rows() {
                    let id = format!("<{}@x>", stored[&row.email.0]);
                    let card = reader.card(row.email).unwrap();
                    assert_eq!(
                        card.message_id().map(String::from_utf8_lossy).as_deref(),
                        Some(id.trim_matches(['<', '>']))
                    );
                }
            }
            // VANISHED from any moment: all that went since, and nothing that is there.
            for since in [ModSeq::ZERO, ModSeq::new(snapshot.highest_modseq().get() / 2).unwrap()] {
                let told = mailbox.vanished(&snapshot, since, &snapshot.uids_given()).unwrap();
                let gone = kept.gone.iter().filter(|gone| gone.modseq > since);
                let gone: IdSet<Uid> = gone.map(|gone| uid(gone.message.uid)).collect();
                assert!(gone.difference(&told).is_empty(), "{gone} went after {since}, told was {told}");
                assert!(told.intersection(&snapshot.uids()).is_empty());
            }
        }
        // What a session was not told of can still be read.
        for session in self.sessions.iter().flatten() {
            let ghosts = session.view.ghosts();
            let found = session.mailbox.removed(session.view.reported(), ghosts).unwrap();
            assert_eq!(found.len() as u64, ghosts.len());
            for (chunk, at) in found {
                assert!(session.mailbox.body(chunk.rows()[at].email).unwrap().is_some());
            }
        }
    }
}

impl World {
    /// An account whose mail is all gone has no keys that speak of mail.
    async fn nothing_is_left_of_nothing(&mut self) {
        self.apply(&Op::Expunge { from: 0, picks: (0..=255).collect() }).await;
        let inbox = self.account.open(&self.who, &name(0)).unwrap();
        let rest = inbox.snapshot().unwrap().uids();
        let change =
            FlagChange { mode: FlagMode::Add, flags: Flags::from_iter([Flag::Deleted]), unchanged_since: None };
        inbox.store_flags(&self.who, rest, change, ModSeq::ZERO).await.unwrap();
        inbox.expunge(&self.who, None).await.unwrap();
        for mailbox in 1..BOXES.len() {
            let _ = self.account.delete_mailbox(&self.who, &name(mailbox)).await;
        }
        let retention = Retention { expunged: Duration::ZERO, history: Duration::ZERO };
        self.store.purge(self.account.id(), retention).await.unwrap();
        let view = self.engine.read(self.account.id()).unwrap();
        let mut letters = vec![];
        view.scan(&b""[..]..&[0xff][..], &mut |key, _| {
            letters.push(char::from(key[0]));
            ControlFlow::Continue(())
        })
        .unwrap();
        letters.dedup();
        let mail = |letter: &char| !"ahlmsw".contains(*letter);
        assert_eq!(letters.into_iter().filter(mail).collect::<String>(), "");
        assert_eq!(view.blobs().unwrap(), vec![]);
    }
}

/// The messages of a mailbox: UIDs, contents and flags.
fn contents(mailbox: &Mailbox, stored: &BTreeMap<u64, u32>) -> Vec<(u32, u32, Flags)> {
    let snapshot = mailbox.snapshot().unwrap();
    let mut shown = vec![];
    snapshot
        .walk(&snapshot.uids(), |chunk, at, row| {
            shown.push((row.uid.get(), stored[&row.email.0], chunk.flags(at, snapshot.keywords())));
            ControlFlow::Continue(())
        })
        .unwrap();
    shown
}

/// What a purge does to the removals of a mailbox: in their order, until one must stay.
fn age(kept: &mut Kept, cutoff: i64, needed: Option<ModSeq>) {
    for gone in &mut kept.gone {
        if gone.when > cutoff || needed.is_some_and(|told| gone.modseq > told) {
            break;
        }
        gone.purged = true;
    }
}

fn run(ops: &[Op], engine: Arc<dyn Engine>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(Arc::clone(&engine)).await;
        for op in ops {
            world.apply(op).await;
            world.verify();
        }
        world.sessions = [None, None];
        world.apply(&Op::Purge { days: 0, history: 0 }).await;
        assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
        let live: BTreeSet<u32> = world.boxes.values().flat_map(|kept| &kept.messages).map(|m| m.content).collect();
        assert_eq!(world.stored().into_values().collect::<BTreeSet<_>>(), live);
        world.store = open(&engine, &world.clock);
        world.account = world.store.account(world.account.id()).unwrap();
        world.verify();
        assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
        world.nothing_is_left_of_nothing().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exactly_what_is_needed_is_kept_in_memory(ops in proptest::collection::vec(op(), 1..60)) {
        run(&ops, Arc::new(engine::memory::Memory::new()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 50, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exactly_what_is_needed_is_kept_on_disk(ops in proptest::collection::vec(op(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        run(&ops, Arc::new(engine::local::Local::open(dir.path(), engine::local::Options::default()).unwrap()));
    }
}

/// An engine that takes so many commits more and then none: what a crash leaves of a purge.
struct Mortal {
    inner: Arc<dyn Engine>,
    left: AtomicI64,
}

impl Engine for Mortal {
    fn read(&self, account: types::AccountId) -> Result<Box<dyn engine::ReadView>, engine::Error> {
        self.inner.read(account)
    }

    fn upload(&self) -> Result<Box<dyn engine::BlobWriter>, engine::Error> {
        self.inner.upload()
    }

    fn duplicate(&self, upload: &engine::Upload) -> Result<engine::Upload, engine::Error> {
        self.inner.duplicate(upload)
    }

    fn commit(&self, batch: engine::Batch) -> engine::Pending {
        if self.left.fetch_sub(1, Ordering::Relaxed) > 0 {
            return self.inner.commit(batch);
        }
        let (answer, pending) = engine::Pending::new();
        let _ = answer.send(Err(engine::CommitError::Failed(engine::Error::Io("dead".into()))));
        pending
    }

    fn read_only(&self) -> Option<Arc<str>> {
        None
    }

    fn check(&self) -> Result<Vec<String>, engine::Error> {
        self.inner.check()
    }
}

/// Wherever a purge is cut short, the store is in order, what lives is there, and the next purge ends it.
#[test]
fn a_purge_that_is_cut_short_anywhere() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut commits = 0;
        for cut in 0.. {
            let mortal =
                Arc::new(Mortal { inner: Arc::new(engine::memory::Memory::new()), left: AtomicI64::new(i64::MAX) });
            let mut world = World::new(Arc::clone(&mortal) as Arc<dyn Engine>).await;
            for op in [
                Op::Append { to: 0, count: 1000 },
                Op::Append { to: 1, count: 900 },
                Op::Copy { from: 0, to: 2, picks: vec![], take_out: false },
                Op::Append { to: 2, count: 300 },
                Op::Copy { from: 1, to: 0, picks: (0..200).collect(), take_out: false },
                Op::Copy { from: 2, to: 0, picks: (0..100).collect(), take_out: true },
                Op::Expunge { from: 2, picks: (50..150).collect() },
                Op::Delete { mailbox: 1 },
                Op::Expunge { from: 0, picks: (3..250).collect() },
            ] {
                world.apply(&op).await;
            }
            // Records that only have UIDs, some of which will be forgotten.
            for pick in 0..10 {
                world.apply(&Op::Expunge { from: 0, picks: vec![pick] }).await;
            }
            mortal.left.store(cut, Ordering::Relaxed);
            let retention = Retention { expunged: Duration::ZERO, history: Duration::ZERO };
            let done = world.store.purge(world.account.id(), retention).await.is_ok();
            mortal.left.store(i64::MAX, Ordering::Relaxed);
            for reopened in [false, true] {
                if reopened {
                    world.store = open(&world.engine, &world.clock);
                    world.account = world.store.account(world.account.id()).unwrap();
                }
                world.verify();
                assert_eq!(world.store.check().unwrap(), Vec::<String>::new(), "after {cut} commits");
            }
            world.apply(&Op::Purge { days: 0, history: 0 }).await;
            world.verify();
            world.nothing_is_left_of_nothing().await;
            if done {
                commits = cut;
                break;
            }
        }
        assert!(commits > 6, "{commits}");
    });
}
