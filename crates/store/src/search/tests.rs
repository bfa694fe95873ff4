use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use engine::{Batch, Blob, BlobId, BlobWriter, CommitNumber, Each, Engine, Entry, Pending, ReadView, Upload};
use proptest::prelude::*;
use types::{
    AccountId, AccountName, DateTime, EmailId, Flag, Flags, IdSet, MailboxName, Principal, ThreadId, Uid, UnixTime,
};

use super::*;
use crate::{Account, NewMessage, Options, Store};

/// An engine that counts what is read of bodies and cards, and can pretend that bodies are damaged.
#[derive(Default)]
struct Watch {
    octets: AtomicU64,
    values: AtomicU64,
    broken: AtomicBool,
}

struct Watched(engine::memory::Memory, Arc<Watch>);
struct WatchedView(Box<dyn ReadView>, Arc<Watch>);
struct WatchedBlob(Arc<dyn Blob>, Arc<Watch>);

impl Engine for Watched {
    fn read(&self, account: AccountId) -> Result<Box<dyn ReadView>, engine::Error> {
        Ok(Box::new(WatchedView(self.0.read(account)?, Arc::clone(&self.1))))
    }
    fn upload(&self) -> Result<Box<dyn BlobWriter>, engine::Error> {
        self.0.upload()
    }
    fn duplicate(&self, upload: &Upload) -> Result<Upload, engine::Error> {
        self.0.duplicate(upload)
    }
    fn commit(&self, batch: Batch) -> Pending {
        self.0.commit(batch)
    }
    fn read_only(&self) -> Option<Arc<str>> {
        None
    }
    fn check(&self) -> Result<Vec<String>, engine::Error> {
        self.0.check()
    }
}

impl ReadView for WatchedView {
    fn commit_number(&self) -> CommitNumber {
        self.0.commit_number()
    }
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, engine::Error> {
        self.1.values.fetch_add(1, Ordering::Relaxed);
        self.0.get(key)
    }
    fn scan(&self, range: Range<&[u8]>, each: &mut Each<'_>) -> Result<(), engine::Error> {
        self.0.scan(range, each)
    }
    fn last(&self, range: Range<&[u8]>) -> Result<Option<Entry>, engine::Error> {
        self.1.values.fetch_add(1, Ordering::Relaxed);
        self.0.last(range)
    }
    fn blob(&self, id: BlobId) -> Result<Option<Arc<dyn Blob>>, engine::Error> {
        Ok(self.0.blob(id)?.map(|blob| Arc::new(WatchedBlob(blob, Arc::clone(&self.1))) as Arc<dyn Blob>))
    }
    fn blobs(&self) -> Result<Vec<BlobId>, engine::Error> {
        self.0.blobs()
    }
}

impl Blob for WatchedBlob {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn read(&self, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), engine::Error> {
        if self.1.broken.load(Ordering::Relaxed) {
            return Err(engine::Error::Damaged("a test".into()));
        }
        self.1.octets.fetch_add(range.end - range.start, Ordering::Relaxed);
        self.0.read(range, out)
    }
}

/// A message, described by what a search can know of it.
#[derive(Clone, Debug)]
struct Sample {
    subject: Option<&'static str>,
    from: &'static str,
    /// A field that no card keeps.
    custom: Option<&'static str>,
    sent: Option<i64>,
    received: DateTime,
    flags: Vec<&'static str>,
    text: &'static str,
    /// How the text is encoded.
    encoding: u8,
    /// The message is inside another one, whose subject is "outer".
    wrapped: bool,
}

const WORDS: [&str; 6] = ["alpha", "Beta", "grüße", "ALPHABET", "привет", ""];
const FLAGS: [&str; 4] = ["\\Seen", "\\Deleted", "$Junk", "work"];

impl Sample {
    fn octets(&self) -> String {
        let mut out = format!("From: {}@example.org\r\n", self.from);
        if let Some(day) = self.sent {
            // Late in the evening, far in the west: the day there is the one that counts.
            out += &format!("Date: {} Jan 2026 23:30:00 -1000\r\n", day - FIRST_DAY + 1);
        }
        if let Some(subject) = self.subject {
            let words: String = subject.bytes().map(|b| format!("={b:02X}")).collect();
            out += &format!("Subject: =?utf-8?Q?{words}?=\r\n");
        }
        if let Some(custom) = self.custom {
            out += &format!("X-Custom:\r\n {custom}\r\n");
        }
        let (name, text) = match self.encoding {
            0 => ("8bit", format!("{}\r\n", self.text)),
            1 => ("base64", base64(self.text.as_bytes())),
            _ => ("quoted-printable", self.text.bytes().map(|b| format!("={b:02X}=\r\n")).collect()),
        };
        out += &format!("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {name}\r\n\r\n{text}");
        if !self.wrapped {
            return out;
        }
        format!("Subject: outer\r\nContent-Type: message/rfc822\r\n\r\n{out}")
    }

    fn matches(&self, uid: Uid, query: &Query) -> bool {
        let has = |text: &str, value: &str| text.to_lowercase().contains(&value.to_lowercase());
        let inner = |value: &str| {
            self.subject.is_some_and(|s| has(s, value))
                || has(self.from, value)
                || self.custom.is_some_and(|s| has(s, value))
        };
        match query {
            Query::And(all) => all.iter().all(|query| self.matches(uid, query)),
            Query::Or(any) => any.iter().any(|query| self.matches(uid, query)),
            Query::Not(query) => !self.matches(uid, query),
            Query::Key(key) => match key {
                Key::Uids(uids) => uids.contains(uid),
                Key::Flag(flag) => self.flags.iter().any(|f| Flag::parse(f).unwrap() == *flag),
                Key::Larger(size) => self.octets().len() as u64 > *size,
                Key::Smaller(size) => (self.octets().len() as u64) < *size,
                // Every message is new and answers none, so it has the id of its UID and a thread of its own.
                Key::Email(email) => email.0 == u64::from(uid.get()),
                Key::Thread(thread) => thread.0 == u64::from(uid.get()),
                Key::Saved(when) => when.holds(SAVED_DAY),
                Key::Received(when) => when.holds(self.received.day_number()),
                Key::Until(time) => self.received.time.0 <= time.0,
                Key::From(time) => self.received.time.0 >= time.0,
                Key::Sent(when) => !self.wrapped && self.sent.is_some_and(|day| when.holds(day)),
                Key::Header { name, value } => match (name.as_str(), self.wrapped) {
                    ("SUBJECT", true) => has("outer", value),
                    ("SUBJECT", false) => self.subject.is_some_and(|s| has(s, value)),
                    ("From", false) => has(self.from, value),
                    ("x-custom", false) => self.custom.is_some_and(|s| has(s, value)),
                    _ => false,
                },
                Key::Body(text) => has(self.text, text) || self.wrapped && inner(text),
                Key::Text(text) => has(self.text, text) || inner(text) || self.wrapped && has("outer", text),
            },
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for triple in bytes.chunks(3) {
        let n = (0..3).fold(0_u32, |n, i| n << 8 | u32::from(triple.get(i).copied().unwrap_or(0)));
        for i in 0..=triple.len() {
            out.push(char::from(DIGITS[(n >> (18 - 6 * i)) as usize & 63]));
        }
    }
    out
}

/// 2026-01-01
const FIRST_DAY: i64 = 20_454;

/// When everything comes into the mailbox.
const SAVED_DAY: i64 = FIRST_DAY + 9;

struct OneDay;

impl crate::Clock for OneDay {
    fn now(&self) -> UnixTime {
        UnixTime(SAVED_DAY * 86_400 + 40_000)
    }
}

fn sample() -> impl Strategy<Value = Sample> {
    let word = || proptest::sample::select(&WORDS[..]);
    use proptest::option::of as maybe;
    let received = (0i64..5, -700i16..700)
        .prop_map(|(day, zone)| DateTime { time: UnixTime((FIRST_DAY + day) * 86_400 + 43_000), zone });
    let flags = proptest::sample::subsequence(&FLAGS[..], 0..=FLAGS.len());
    (
        maybe(word()),
        word(),
        maybe(word()),
        maybe(FIRST_DAY..FIRST_DAY + 5),
        received,
        flags,
        word(),
        0u8..3,
        any::<bool>(),
    )
        .prop_map(|(subject, from, custom, sent, received, flags, text, encoding, wrapped)| Sample {
            subject,
            from,
            custom,
            sent,
            received,
            flags,
            text,
            encoding,
            wrapped,
        })
}

fn key() -> impl Strategy<Value = Key> {
    let text = || {
        proptest::sample::select(vec!["alpha", "BETA", "GRÜß", "вет", "bet", "outer", "nowhere"]).prop_map(String::from)
    };
    let value = prop_oneof![4 => text(), 1 => Just(String::new())];
    let day = || FIRST_DAY - 1..FIRST_DAY + 6;
    let when = || prop_oneof![day().prop_map(When::Before), day().prop_map(When::On), day().prop_map(When::Since)];
    let flag = proptest::sample::select(vec!["\\Seen", "\\Deleted", "$JUNK", "work", "never"]);
    let name = proptest::sample::select(vec!["SUBJECT", "From", "x-custom", "X-None"]).prop_map(String::from);
    let uids = proptest::collection::vec((1u32..400).prop_map(|n| Uid::new(n).unwrap()), 0..200);
    prop_oneof![
        uids.prop_map(|uids| Key::Uids(uids.into_iter().collect())),
        flag.prop_map(|flag| Key::Flag(Flag::parse(flag).unwrap())),
        (100u64..250).prop_map(Key::Larger),
        (0u64..9).prop_map(|n| Key::Email(EmailId(n))),
        (0u64..9).prop_map(|n| Key::Thread(ThreadId(n))),
        (SAVED_DAY - 1..SAVED_DAY + 2).prop_flat_map(|day| {
            proptest::sample::select(vec![When::Before(day), When::On(day), When::Since(day)]).prop_map(Key::Saved)
        }),
        (100u64..250).prop_map(Key::Smaller),
        when().prop_map(Key::Received),
        (-1i64..4, any::<bool>()).prop_map(|(day, until)| {
            let time = UnixTime((FIRST_DAY + day) * 86_400);
            if until { Key::Until(time) } else { Key::From(time) }
        }),
        when().prop_map(Key::Sent),
        (name, value).prop_map(|(name, value)| Key::Header { name, value }),
        text().prop_map(Key::Body),
        text().prop_map(Key::Text),
    ]
}

fn query() -> impl Strategy<Value = Query> {
    key().prop_map(Query::Key).prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Query::And),
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Query::Or),
            inner.prop_map(|query| Query::Not(Box::new(query))),
        ]
    })
}

struct World {
    watch: Arc<Watch>,
    mailbox: Mailbox,
}

impl World {
    /// `octets` are the messages, each with its flags and date.
    async fn new(messages: impl IntoIterator<Item = (Vec<u8>, Flags, DateTime)>) -> Self {
        let watch = Arc::<Watch>::default();
        let engine = Arc::new(Watched(engine::memory::Memory::new(), Arc::clone(&watch)));
        let store = Store::open(engine, Arc::new(OneDay), Options::default()).unwrap();
        let id = store.create_account(&AccountName::new("a").unwrap(), "hash".into()).await.unwrap();
        let (account, who, inbox) =
            (store.account(id).unwrap(), Principal { account: id }, MailboxName::new("INBOX").unwrap());
        let messages = messages.into_iter().map(|(octets, flags, date)| new_message(&account, &octets, flags, date));
        account.append(&who, &inbox, messages.collect()).await.unwrap();
        let mailbox = account.open(&who, &inbox).unwrap();
        watch.octets.store(0, Ordering::Relaxed);
        watch.values.store(0, Ordering::Relaxed);
        Self { watch, mailbox }
    }

    async fn of(samples: &[Sample]) -> Self {
        Self::new(samples.iter().map(|sample| {
            let flags = sample.flags.iter().map(|flag| Flag::parse(flag).unwrap()).collect();
            (sample.octets().into_bytes(), flags, sample.received)
        }))
        .await
    }

    fn begin(&self, query: Query) -> Search {
        let snapshot = self.mailbox.snapshot().unwrap();
        let scope = snapshot.uids();
        Search::new(&self.mailbox, snapshot, query, scope)
    }

    fn search(&self, query: Query) -> Found {
        let mut search = self.begin(query);
        while search.step().unwrap() {}
        search.finish()
    }

    /// The last matches, at least so many where there are.
    fn last(&self, matches: u64, query: Query) -> Found {
        let mut search = self.begin(query).from_the_end();
        while search.found().uids.len() < matches && search.step().unwrap() {
            let (done, goal) = search.progress();
            assert!(done < goal, "{done} of {goal}");
        }
        search.finish()
    }

    fn read(&self) -> (u64, u64) {
        (self.watch.values.load(Ordering::Relaxed), self.watch.octets.load(Ordering::Relaxed))
    }
}

fn new_message(account: &Account, octets: &[u8], flags: Flags, date: DateTime) -> NewMessage {
    let mut incoming = account.receive().unwrap();
    incoming.push(octets).unwrap();
    NewMessage { content: incoming.finish().unwrap(), flags, internal_date: Some(date) }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn uids(numbers: &[u32]) -> IdSet<Uid> {
    numbers.iter().map(|&n| Uid::new(n).unwrap()).collect()
}

fn now() -> DateTime {
    DateTime::utc(UnixTime(FIRST_DAY * 86_400))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn finds_what_a_naive_search_finds(
        samples in proptest::collection::vec(sample(), 1..12),
        times in 1usize..30,
        queries in proptest::collection::vec(query(), 20),
    ) {
        // Repeated, so that there are several chunks.
        let samples: Vec<_> = samples.iter().cycle().take(samples.len() * times).cloned().collect();
        let world = run(World::of(&samples));
        for query in queries {
            let expected: IdSet<Uid> = samples.iter().zip((1..).filter_map(Uid::new))
                .filter(|(sample, uid)| sample.matches(*uid, &query)).map(|(_, uid)| uid).collect();
            let found = world.search(query.clone());
            prop_assert_eq!(&found.uids, &expected, "{:?}", query);
            prop_assert!(found.damaged.is_empty());
            prop_assert_eq!(&world.last(u64::MAX, query.clone()).uids, &expected, "{:?}", query);
            let last = world.last(3, query.clone()).uids;
            prop_assert!(last.len() >= expected.len().min(3), "{:?}", query);
            let from = last.first().unwrap_or(Uid::MAX);
            prop_assert_eq!(last, expected.within(from, Uid::MAX), "{:?}", query);
        }
    }
}

fn two_kinds() -> World {
    let seen = Flags::from_iter([Flag::Seen]);
    run(World::new((0..300).map(|n| {
        let flags = if n % 100 == 0 { seen.clone() } else { Flags::NONE };
        (format!("Subject: s{n}\r\nX-Other: o{n}\r\n\r\ntext {n}\r\n").into_bytes(), flags, now())
    })))
}

fn header(name: &str, value: &str) -> Query {
    Query::Key(Key::Header { name: name.into(), value: value.into() })
}

// DESIGN, "Reading paths": SEARCH by flag, date, size and UID touches the snapshot alone.
#[test]
fn rows_are_enough_for_what_they_know() {
    let world = two_kinds();
    let rows = [
        Query::ALL,
        Query::Key(Key::Flag(Flag::Seen)),
        Query::Not(Box::new(Query::Key(Key::Flag(Flag::parse("$x").unwrap())))),
        Query::Key(Key::Larger(30)),
        Query::Key(Key::Received(When::Since(FIRST_DAY))),
        Query::Key(Key::Uids(uids(&[1, 5, 299]))),
    ];
    let query = Query::And(vec![rows[1].clone(), Query::Or(rows.to_vec())]);
    assert_eq!(world.search(query).uids, uids(&[1, 101, 201]));
    for query in rows {
        world.search(query);
    }
    assert_eq!(world.read(), (0, 0));
}

#[test]
fn cheap_keys_spare_the_dear_ones() {
    let world = two_kinds();
    let seen = || Query::Key(Key::Flag(Flag::Seen));
    // Written the other way round, and hidden in an OR.
    let body = |text: &str| Query::Key(Key::Body(text.into()));
    let found = world.search(Query::And(vec![body("text 100"), Query::Or(vec![body("nowhere"), seen()]), seen()]));
    assert_eq!(found.uids, uids(&[101]));
    let (_, octets) = world.read();
    assert!(octets <= 3 * 50, "three bodies were enough, not {octets} octets");

    let world = two_kinds();
    assert_eq!(world.search(header("subject", "s29")).uids.len(), 11);
    assert_eq!(world.read().1, 0, "the card has the subject");
    assert_eq!(world.search(Query::And(vec![header("x-other", "o29"), header("subject", "s299")])).uids, uids(&[300]));
    let (_, octets) = world.read();
    assert!(octets <= 40, "one header was enough, not {octets} octets");
}

#[test]
fn fields_that_were_read_are_kept() {
    let world = two_kinds();
    let rest = || Query::Key(Key::Uids(IdSet::range(Uid::new(100).unwrap(), Uid::MAX)));
    // First some of the messages, among others the last, then all: nothing is lacking, nothing is twice.
    assert_eq!(world.search(Query::And(vec![header("Subject", "S29"), rest()])).uids.len(), 10);
    assert_eq!(world.search(header("subject", "s29")).uids.len(), 11);
    let (cards, _) = world.read();
    assert_eq!(world.search(header("SUBJECT", "s29")).uids.len(), 11);
    assert_eq!(world.search(Query::Not(Box::new(header("SUBJECT", "s29")))).uids.len(), 289);
    assert_eq!(world.search(Query::Or(vec![header("SUBJECT", "s7"), header("SUBJECT", "s29")])).uids.len(), 22);
    assert_eq!(world.search(header("SUBJECT", "")).uids.len(), 300);
    assert_eq!(world.read().0, cards, "no card was read");
    world.search(header("from", "s29"));
    assert!(world.read().0 > cards, "another field");
}

#[test]
fn the_last_matches_are_found_without_a_look_at_the_first_messages() {
    let custom = |n: u32| format!("Subject: s\r\nX-Custom: {}\r\n\r\n", n % 10).into_bytes();
    let world = run(World::new((1..=3000).map(|n| (custom(n), Flags::NONE, now()))));
    let all = world.search(header("X-Custom", "7")).uids;
    let (cards, octets) = world.read();
    let last = world.last(5, header("X-Custom", "7"));
    assert_eq!(last.uids, all.within(last.uids.first().unwrap(), Uid::MAX));
    assert!((5..=13).contains(&last.uids.len()), "{:?}", last.uids);
    let (more_cards, more_octets) = world.read();
    assert!(more_cards - cards < cards, "{} values, {cards} for all", more_cards - cards);
    assert!((more_octets - octets) * 20 < octets, "{} octets, {octets} for all", more_octets - octets);
    // Fields that were learnt portion by portion, from the end, are all kept.
    assert_eq!(world.last(u64::MAX, header("Subject", "s")).uids.len(), 3000);
    let (cards, _) = world.read();
    assert_eq!(world.search(header("Subject", "s")).uids.len(), 3000);
    assert_eq!(world.read().0, cards, "no card was read");
}

#[test]
fn new_messages_join_kept_fields() {
    let long = format!("Subject: {} end\r\n\r\n", "long ".repeat(300)).into_bytes();
    let world = run(World::new([(long, Flags::NONE, now()), (b"Subject: one\r\n\r\n".to_vec(), Flags::NONE, now())]));
    for subject in ["two", "three end"] {
        assert_eq!(world.search(header("subject", "END")).uids, uids(&[1]));
        let (account, inbox) = (world.mailbox.account(), MailboxName::new("INBOX").unwrap());
        let octets = format!("Subject: {subject}\r\nSubject: x{subject}\r\n\r\n");
        let message = new_message(account, octets.as_bytes(), Flags::NONE, now());
        run(account.append(&Principal { account: account.id() }, &inbox, vec![message])).unwrap();
    }
    for _ in 0..2 {
        assert_eq!(world.search(header("subject", "end")).uids, uids(&[1, 4]));
        assert_eq!(world.search(header("subject", "xt")).uids, uids(&[3, 4]));
        assert_eq!(world.search(header("subject", "twox")).uids, uids(&[]));
        assert_eq!(world.search(header("subject", "e")).uids, uids(&[1, 2, 4]));
    }
}

#[test]
fn long_messages_are_read_in_pieces_and_only_as_far_as_needed() {
    let mut long = b"Subject: x\r\n\r\n".to_vec();
    long.extend_from_slice(b"early\r\n");
    (0..400_000).for_each(|n: u32| long.extend_from_slice(format!("{n:08}\r\n").as_bytes()));
    long.extend_from_slice(b"late\r\n");
    let world = run(World::new([(long.clone(), Flags::NONE, now()), (long, Flags::NONE, now())]));
    assert_eq!(world.search(Query::Key(Key::Body("EARLY".into()))).uids.len(), 2);
    assert!(world.read().1 <= 2 * (engine::segment::PIECE_MAX as u64 + 100));
    // Steps are bounded: one such message is more than a step.
    let snapshot = world.mailbox.snapshot().unwrap();
    let mut search = Search::new(&world.mailbox, snapshot, Query::Key(Key::Text("late".into())), uids(&[1, 2]));
    assert!(search.step().unwrap());
    assert_eq!(search.found().uids, uids(&[1]));
    assert!(!search.step().unwrap());
    assert_eq!(search.found().uids, uids(&[1, 2]));
    assert!(!search.step().unwrap());
}

#[test]
fn damaged_messages_are_named_and_not_found() {
    let world = two_kinds();
    world.watch.broken.store(true, Ordering::Relaxed);
    let body = Query::Key(Key::Body("text".into()));
    let found = world.search(Query::And(vec![body, Query::Key(Key::Uids(uids(&[3, 7])))]));
    assert_eq!((found.uids, found.damaged), (uids(&[]), uids(&[3, 7])));
    // Undecided is not "no": the opposite is not found either.
    let found = world.search(Query::Not(Box::new(Query::Key(Key::Text("text".into())))));
    assert!(found.uids.is_empty() && found.damaged.len() == 300);
    // What can be decided without the body is.
    let seen = Query::Key(Key::Flag(Flag::Seen));
    let found = world.search(Query::Or(vec![Query::Key(Key::Body("text".into())), seen]));
    assert_eq!((found.uids, found.damaged.len()), (uids(&[1, 101, 201]), 297));
}

// RFC 9051 §6.4.4: "the empty string is a substring".
#[test]
fn the_empty_string_is_everywhere() {
    let world = run(World::new([
        (b"Subject:\r\n\r\n".to_vec(), Flags::NONE, now()),
        (b"Content-Type: image/png\r\n\r\nx".to_vec(), Flags::NONE, now()),
        (vec![], Flags::NONE, now()),
    ]));
    for query in [Query::Key(Key::Body(String::new())), Query::Key(Key::Text(String::new())), Query::ALL] {
        assert_eq!(world.search(query).uids.len(), 3);
    }
    assert_eq!(world.search(header("SUBJECT", "")).uids, uids(&[1]));
    assert_eq!(world.search(header("X-None", "")).uids, uids(&[]));
}
