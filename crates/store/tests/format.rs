//! Stores of each format version, as they were written then, open and hold what they held.
//!
//! `STORE_FIXTURE=tests/fixtures/store-vN cargo test -p store --test format` writes the store of the present
//! version and its list, once for each version; never over one that is there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::fmt::Write as _;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::Codec;
use engine::local::{Local, OpenError};
use store::{Clock, FlagChange, FlagMode, Missing, NewMessage, Options, Store};
use types::{AccountName, DateTime, Flag, Flags, IdSet, MailboxName, ModSeq, Principal, SpecialUse, Uid, UnixTime};

/// The same time at every run.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> UnixTime {
        UnixTime(1_800_000_000)
    }
}

fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

fn uids(from: u32, to: u32) -> IdSet<Uid> {
    IdSet::range(Uid::new(from).unwrap(), Uid::new(to).unwrap())
}

fn flags(words: &[&str]) -> Flags {
    words.iter().map(|word| Flag::parse(word).unwrap()).collect()
}

fn open(dir: &Path, codec: Codec) -> Store {
    let from_blobs = Some(Arc::new(store::CardsOfBodies::default()) as _);
    let options = engine::local::Options { reserve: 0, page_size: 1024, codec, from_blobs, ..Default::default() };
    loop {
        match Local::open(dir, options.clone()) {
            Err(OpenError::Locked(_)) => std::thread::yield_now(),
            engine => return Store::open(Arc::new(engine.unwrap()), Arc::new(Still), Options::default()).unwrap(),
        }
    }
}

/// Something of everything that a store can hold.
async fn fill(store: &Store) {
    let id = store.create_account(&AccountName::new("alice@example.org").unwrap(), "$argon2id$…".into()).await.unwrap();
    let (account, who) = (store.account(id).unwrap(), Principal { account: id });
    account.create_mailbox(&who, name("Lists/räksmörgås"), None).await.unwrap();
    account.subscribe(&who, name("gone")).await.unwrap();
    for n in 1..=6u32 {
        let mut incoming = account.receive().unwrap();
        incoming.push(format!("Message-ID: <{n}@x>\r\nSubject: number {n}\r\n\r\n").as_bytes()).unwrap();
        let size = if n == 5 { 70_000 } else { 40 };
        incoming.push("text\r\n".repeat(size / 6).as_bytes()).unwrap();
        let date = DateTime { time: UnixTime(1_700_000_000 + i64::from(n)), zone: 60 };
        let content = incoming.finish().unwrap();
        let message = NewMessage { content, flags: flags(&["\\Seen", "$Later"]), internal_date: Some(date) };
        account.append(&who, &name("INBOX"), vec![message]).await.unwrap();
    }
    let inbox = account.open(&who, &name("INBOX")).unwrap();
    let change = FlagChange { mode: FlagMode::Replace, flags: flags(&["\\Deleted"]), unchanged_since: None };
    inbox.store_flags(&who, uids(2, 2), change, ModSeq::ZERO).await.unwrap();
    inbox.expunge(&who, None).await.unwrap();
    inbox.copy(&who, uids(3, 5), &name("Lists/räksmörgås"), Missing::Refuse).await.unwrap();
    inbox.relocate(&who, uids(4, 4), &name("Trash"), Missing::Refuse).await.unwrap();
    account.delete_mailbox(&who, &name("Junk")).await.unwrap();
    store.create_account(&AccountName::new("empty").unwrap(), "hash".into()).await.unwrap();
}

/// Everything that a client could see, and the bodies by their hash.
fn list(store: &Store) -> String {
    let mut out = String::new();
    for record in store.accounts().unwrap() {
        writeln!(out, "account {} {} {} {}", record.id, record.name, record.password_hash, record.created.0).unwrap();
        let (account, who) = (store.account(record.id).unwrap(), Principal { account: record.id });
        let tree = account.tree();
        tree.subscriptions().for_each(|name| writeln!(out, "  subscribed {name}").unwrap());
        for entry in tree.entries() {
            let mailbox = account.open(&who, &entry.name).unwrap();
            let snapshot = mailbox.snapshot().unwrap();
            let special = entry.special_use.map_or("", SpecialUse::as_str);
            let head = (snapshot.uid_validity().get(), snapshot.uid_next().get(), snapshot.highest_modseq().get());
            writeln!(out, "  mailbox {} {} {special} {head:?}", entry.id, entry.name).unwrap();
            let each = snapshot.walk(&snapshot.uids(), |chunk, at, row| {
                let blob = mailbox.body(row.email).unwrap().unwrap();
                let mut body = vec![];
                blob.read(0..blob.size(), &mut body).unwrap();
                let hash = xxhash_rust::xxh3::xxh3_64(&body);
                let flags: Vec<_> = chunk.flags(at, snapshot.keywords()).iter().map(|f| f.to_string()).collect();
                let (date, saved) = (row.internal_date, row.saved.0);
                let ids = (row.email, row.thread, chunk.modseq(at).get());
                writeln!(
                    out,
                    "    {} {} octets {hash:016x} {} {} {saved} {} {} {} {flags:?}",
                    row.uid, row.size, date.time.0, date.zone, ids.0, ids.1, ids.2
                )
                .unwrap();
                ControlFlow::Continue(())
            });
            each.unwrap();
        }
    }
    out
}

/// What rows say of who takes only ASCII, all that occurs.
fn international(store: &Store) -> Vec<Option<bool>> {
    let record = store.accounts().unwrap().remove(0);
    let (account, who) = (store.account(record.id).unwrap(), Principal { account: record.id });
    let mut found = vec![];
    for entry in account.tree().entries() {
        let snapshot = account.open(&who, &entry.name).unwrap().snapshot().unwrap();
        let each = snapshot.walk(&snapshot.uids(), |_, _, row| {
            found.push(row.international);
            ControlFlow::Continue(())
        });
        each.unwrap();
    }
    found.dedup();
    found
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("segments")).unwrap();
    for sub in ["", "segments"] {
        for entry in fs::read_dir(from.join(sub)).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.join(sub).join(entry.file_name())).unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_of_every_version_open_and_hold_what_they_held() {
    if let Ok(new) = std::env::var("STORE_FIXTURE") {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(new);
        assert!(!dir.exists(), "a fixture is written once");
        let open_store = tempfile::tempdir().unwrap();
        let store = open(open_store.path(), Codec::Zstd);
        fill(&store).await;
        // As a crash would leave it: what was committed is to be found in the segments.
        copy(open_store.path(), &dir);
        drop(fs::remove_file(dir.join("index.db-shm")));
        fs::write(dir.join("list.txt"), list(&store)).unwrap();
    }
    let mut versions = 0;
    for entry in fs::read_dir(fixtures()).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("store-v") {
            let dir = tempfile::tempdir().unwrap();
            copy(&entry.path(), dir.path());
            let store = open(dir.path(), Codec::None);
            assert_eq!(list(&store), fs::read_to_string(entry.path().join("list.txt")).unwrap());
            let known = (entry.file_name() != "store-v1").then_some(false);
            assert_eq!(international(&store), [known]);
            assert_eq!(store.check().unwrap(), Vec::<String>::new());
            versions += 1;
        }
    }
    assert!(versions >= 1);
    // What is written today is what was written then, as far as it can be seen.
    for codec in [Codec::None, Codec::Zstd] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), codec);
        fill(&store).await;
        assert_eq!(list(&store), fs::read_to_string(fixtures().join("store-v1/list.txt")).unwrap());
    }
}
