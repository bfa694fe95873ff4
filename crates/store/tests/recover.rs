//! The index is lost: every message comes back, and the list says what may be older.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use engine::local::{Local, OpenError};
use store::{
    Account, CardsOfBodies, FlagChange, FlagMode, Missing, NewMessage, Options, QuotaSetting, Store, SystemClock,
};
use types::{AccountName, Flag, Flags, IdSet, MailboxName, ModSeq, Principal, Resources, Uid, UidValidity};

fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

fn open(dir: &Path) -> (Arc<Local>, Store) {
    let from_blobs = Some(Arc::new(CardsOfBodies::default()) as _);
    let options = engine::local::Options { reserve: 0, segment_size: 50_000, from_blobs, ..Default::default() };
    // The writer of an account lets go of the engine a moment after it has answered.
    let engine = loop {
        match Local::open(dir, options.clone()) {
            Err(OpenError::Locked(_)) => std::thread::yield_now(),
            opened => break Arc::new(opened.unwrap()),
        }
    };
    let store = Store::open(engine.clone(), Arc::new(SystemClock), Options::default()).unwrap();
    (engine, store)
}

async fn account(store: &Store, who: &str) -> (Account, Principal) {
    let who = AccountName::new(who).unwrap();
    let id = match store.find_account(&who).unwrap() {
        Some(record) => record.id,
        None => store.create_account(&who, format!("hash of {who}")).await.unwrap(),
    };
    (store.account(id).unwrap(), Principal { account: id })
}

async fn append(account: &(Account, Principal), to: &str, subjects: &[&str], flags: &[&str]) {
    let (account, who) = account;
    let new = |subject: &&str| {
        let mut incoming = account.receive().unwrap();
        let size = if subject.starts_with("large") { 90_000 } else { 90 };
        incoming.push(format!("Subject: {subject}\r\n\r\n{}\r\n", "x".repeat(size)).as_bytes()).unwrap();
        let flags = flags.iter().map(|flag| Flag::parse(flag).unwrap()).collect();
        NewMessage { content: incoming.finish().unwrap(), flags, internal_date: None }
    };
    account.append(who, &name(to), subjects.iter().map(new).collect()).await.unwrap();
}

/// Mailbox → (UID, subject, flags); bodies are read to their end.
fn contents((account, who): &(Account, Principal)) -> BTreeMap<String, Vec<(u32, String, String)>> {
    let mut all = BTreeMap::new();
    for entry in account.tree().entries() {
        let mailbox = account.open(who, &entry.name).unwrap();
        let snapshot = mailbox.snapshot().unwrap();
        let mut reader = mailbox.reader();
        let mut messages = vec![];
        snapshot
            .walk(&snapshot.uids(), |chunk, at, row| {
                let blob = mailbox.body(row.email).unwrap().unwrap();
                let mut body = vec![];
                blob.read(0..blob.size(), &mut body).unwrap();
                assert_eq!(body.len(), row.size as usize);
                let subject = String::from_utf8(reader.card(row.email).unwrap().base_subject().into()).unwrap();
                let flags = chunk.flags(at, snapshot.keywords());
                let flags: Vec<String> = flags.iter().map(|flag| flag.to_string()).collect();
                messages.push((row.uid.get(), subject, flags.join(" ")));
                ControlFlow::Continue(())
            })
            .unwrap();
        if !messages.is_empty() {
            all.insert(entry.name.to_string(), messages);
        }
    }
    all
}

fn validity((account, _): &(Account, Principal), mailbox: &str) -> UidValidity {
    account.tree().get(&name(mailbox)).unwrap().uid_validity
}

fn message(uid: u32, subject: &str, flags: &str) -> (u32, String, String) {
    (uid, subject.to_owned(), flags.to_owned())
}

fn one(uid: u32) -> IdSet<Uid> {
    IdSet::range(Uid::new(uid).unwrap(), Uid::new(uid).unwrap())
}

/// What is there when the copy is made, and what happens after it.
async fn fill(dir: &Path, copy: bool) {
    let (engine, store) = open(dir);
    let alice = account(&store, "alice").await;
    append(&alice, "INBOX", &["one", "two", "three"], &[]).await;
    alice.0.create_mailbox(&alice.1, name("Lists/rust"), None).await.unwrap();
    append(&alice, "Lists/rust", &["a", "large b"], &["\\Seen", "$Later"]).await;
    if copy {
        engine.copy_index(1).unwrap().unwrap();
    }
    append(&alice, "INBOX", &["four", "large five"], &["\\Flagged"]).await;
    let inbox = alice.0.open(&alice.1, &name("INBOX")).unwrap();
    let change =
        FlagChange { mode: FlagMode::Add, flags: Flags::from_parts(Flags::DELETED_BIT, []), unchanged_since: None };
    inbox.store_flags(&alice.1, one(1), change, ModSeq::ZERO).await.unwrap();
    inbox.expunge(&alice.1, None).await.unwrap();
    inbox.relocate(&alice.1, one(4), &name("Archive"), Missing::Refuse).await.unwrap();
    alice.0.create_mailbox(&alice.1, name("New"), None).await.unwrap();
    append(&alice, "New", &["first"], &[]).await;
    let bob = account(&store, "bob").await;
    append(&bob, "INBOX", &["hello bob"], &[]).await;
}

/// The index, and the note without which nobody can say that the journal is all there.
fn lose(dir: &Path) {
    fs::remove_file(dir.join("index.db")).unwrap();
    fs::remove_file(dir.join("acknowledged")).unwrap();
}

/// Nothing goes back in time where the journal has all that came after the copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_copy_and_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), true).await;
    let state = async |store: &Store| {
        let (alice, bob) = (account(store, "alice").await, account(store, "bob").await);
        let validities = ["INBOX", "Archive", "New"].map(|mailbox| validity(&alice, mailbox));
        (contents(&alice), validities, contents(&bob))
    };
    let before = {
        let (_engine, store) = open(dir.path());
        state(&store).await
    };
    assert_eq!(before.0["Archive"], [message(1, "four", "\\Flagged")]);
    fs::remove_file(dir.path().join("index.db")).unwrap();
    let (_engine, store) = open(dir.path());
    let said = store.recover().await.unwrap();
    assert_eq!(said.len(), 3, "{said:#?}");
    assert!(said[0] == "the index is missing" && said[2].ends_with("nothing is lost"), "{said:#?}");
    assert_eq!(state(&store).await, before);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    append(&account(&store, "alice").await, "INBOX", &["six"], &[]).await;
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_copy_and_the_segments() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), true).await;
    let before = {
        let (_engine, store) = open(dir.path());
        let alice = account(&store, "alice").await;
        (validity(&alice, "INBOX"), validity(&alice, "New"))
    };
    lose(dir.path());
    let (_engine, store) = open(dir.path());
    let said = store.recover().await.unwrap();
    let alice = account(&store, "alice").await;
    // What was expunged and what was moved after the copy is back where it was; nothing is lost.
    let expected = [
        (
            "INBOX".to_owned(),
            vec![
                message(1, "one", ""),
                message(2, "two", ""),
                message(3, "three", ""),
                message(4, "four", "\\Flagged"),
                message(5, "large five", "\\Flagged"),
            ],
        ),
        ("Lists/rust".to_owned(), vec![message(1, "a", "\\Seen $Later"), message(2, "large b", "\\Seen $Later")]),
        ("New".to_owned(), vec![message(1, "first", "")]),
    ];
    assert_eq!(contents(&alice), expected.into());
    assert!(validity(&alice, "INBOX") > before.1.max(before.0) && validity(&alice, "New") > before.1);
    let bob = account(&store, "bob").await;
    assert_eq!(contents(&bob), [("INBOX".to_owned(), vec![message(1, "hello bob", "")])].into());
    let hash = store.find_account(&AccountName::new("bob").unwrap()).unwrap().unwrap().password_hash;
    assert_eq!(hash, "hash of bob", "bob came after the copy, and can log in all the same");
    for part in [
        "the index is missing",
        "account bob was put back",
        "account alice: may be older than it was",
        "account alice: mailbox INBOX: 2 messages were put back, with the flags that they came with: UIDs 4:5",
        "account alice: mailbox New: 1 messages were put back",
    ] {
        assert!(said.iter().any(|line| line.starts_with(part)), "{part}: {said:#?}");
    }
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
    assert_eq!(store.recover().await.unwrap(), Vec::<String>::new(), "it is done");
    // Life goes on.
    append(&alice, "INBOX", &["six"], &[]).await;
    account(&store, "carol").await;
    assert_eq!(contents(&alice)["INBOX"].last().unwrap().0, 6);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_keeps_nothing_away_that_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let quota = |message| Resources { message: Some(QuotaSetting::Limit(message)), ..Resources::default() };
    {
        let (engine, store) = open(dir.path());
        let alice = account(&store, "alice").await;
        append(&alice, "INBOX", &["one"], &[]).await;
        store.set_quota(&AccountName::new("alice").unwrap(), quota(1)).await.unwrap();
        engine.copy_index(1).unwrap().unwrap();
        store.set_quota(&AccountName::new("alice").unwrap(), quota(2)).await.unwrap();
        append(&alice, "INBOX", &["two"], &[]).await;
    }
    lose(dir.path());
    let (_engine, store) = open(dir.path());
    store.recover().await.unwrap();
    let alice = account(&store, "alice").await;
    assert_eq!(contents(&alice)["INBOX"], [message(1, "one", ""), message(2, "two", "")]);
    assert!(alice.0.quota().is_over());
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_segments_alone() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), false).await;
    fs::remove_dir_all(dir.path().join("copies")).unwrap_or_default();
    lose(dir.path());
    let (_engine, store) = open(dir.path());
    let said = store.recover().await.unwrap();
    let alice = account(&store, "alice").await;
    let found = contents(&alice);
    assert_eq!(found["INBOX"].len(), 5, "{said:#?}");
    assert_eq!(found["Lists/rust"], [message(1, "a", "\\Seen $Later"), message(2, "large b", "\\Seen $Later")]);
    assert_eq!(found["New"], [message(1, "first", "")]);
    assert_eq!(contents(&account(&store, "bob").await)["INBOX"].len(), 1);
    assert_eq!(store.accounts().unwrap().len(), 2);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

/// Which parts of the files are lost does not matter: what is left of the segments comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_some_segments() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), false).await;
    lose(dir.path());
    fs::remove_file(dir.path().join("segments/0000000001.seg")).unwrap();
    let (_engine, store) = open(dir.path());
    let said = store.recover().await.unwrap();
    let names: Vec<String> = store.accounts().unwrap().iter().map(|record| record.name.to_string()).collect();
    // The record of alice was in the first segment, that of bob was not.
    assert_eq!(names, ["bob", "recovered-1"], "{said:#?}");
    assert!(said.contains(&"account recovered-1 was put back; it needs a new password".to_owned()), "{said:#?}");
    let alice = account(&store, "recovered-1").await;
    assert!(!contents(&alice).is_empty());
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_accounts_stay_deleted() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (engine, store) = open(dir.path());
        let gone = account(&store, "gone").await;
        append(&gone, "INBOX", &["secret"], &[]).await;
        account(&store, "alice").await;
        store.set_password(&AccountName::new("alice").unwrap(), "another hash".into()).await.unwrap();
        store.delete_account(&AccountName::new("gone").unwrap()).await.unwrap();
        engine.copy_index(1).unwrap().unwrap();
    }
    lose(dir.path());
    let (_engine, store) = open(dir.path());
    store.recover().await.unwrap();
    let accounts = store.accounts().unwrap();
    assert_eq!(accounts.len(), 1, "{accounts:?}");
    assert_eq!(accounts[0].password_hash, "another hash");
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_body_is_named_and_the_message_is_there() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), false).await;
    lose(dir.path());
    for entry in fs::read_dir(dir.path().join("segments")).unwrap().map(Result::unwrap) {
        let mut bytes = fs::read(entry.path()).unwrap();
        if let Some(at) = bytes.windows(8).position(|w| w == b"ct: two\r") {
            bytes[at + 20] ^= 1;
            fs::write(entry.path(), bytes).unwrap();
        }
    }
    let (_engine, store) = open(dir.path());
    let said = store.recover().await.unwrap();
    let named =
        said.iter().find(|line| line.starts_with("account alice: mailbox INBOX: UID 2: damaged: account 1, blob 2"));
    assert!(named.is_some(), "{said:#?}");
    let (account, who) = account(&store, "alice").await;
    let inbox = account.open(&who, &name("INBOX")).unwrap();
    assert_eq!(inbox.snapshot().unwrap().uids().len(), 5);
}

/// A mailbox that was deleted before the copy and restored after it, with mail that the copy does not know: when it
/// is restored once more, nobody takes it for the one that had that mail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_mailbox_went_back_in_time_too() {
    let dir = tempfile::tempdir().unwrap();
    let (id, before) = {
        let (engine, store) = open(dir.path());
        let alice = account(&store, "alice").await;
        alice.0.create_mailbox(&alice.1, name("Work"), None).await.unwrap();
        append(&alice, "Work", &["one"], &[]).await;
        let (id, before) = (alice.0.tree().get(&name("Work")).unwrap().id, validity(&alice, "Work"));
        alice.0.delete_mailbox(&alice.1, &name("Work")).await.unwrap();
        engine.copy_index(1).unwrap().unwrap();
        alice.0.restore_mailbox(&alice.1, id, None).await.unwrap();
        append(&alice, "Work", &["two"], &[]).await;
        (id, before)
    };
    lose(dir.path());
    let (_engine, store) = open(dir.path());
    store.recover().await.unwrap();
    let alice = account(&store, "alice").await;
    assert_eq!(contents(&alice)["Work"], [message(2, "two", "")]);
    alice.0.restore_mailbox(&alice.1, id, Some(name("Old"))).await.unwrap();
    assert_eq!(contents(&alice)["Old"], [message(1, "one", "")]);
    let (work, old) = (validity(&alice, "Work"), validity(&alice, "Old"));
    assert!(old > before && work > before && old != work);
    let mailbox = alice.0.open(&alice.1, &name("Old")).unwrap();
    assert_eq!(mailbox.snapshot().unwrap().uid_validity(), old);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}
