//! What is not in the journal because it can be made again of the bodies, after a crash.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use engine::local::Local;
use store::{Account, CardsOfBodies, FlagChange, FlagMode, NewMessage, Options, Retention, Store, SystemClock};
use types::{AccountId, AccountName, Flags, IdSet, Limits, MailboxName, ModSeq, Principal, Uid};

fn open(dir: &Path, makes_cards: bool) -> (Arc<Local>, Store) {
    // As an administrator may have set them: cards depend on them.
    let limits = Arc::new(Limits { mime_parts: 2, ..Limits::default() });
    let from_blobs = makes_cards.then(|| Arc::new(CardsOfBodies(Arc::clone(&limits))) as _);
    let options = engine::local::Options { reserve: 0, from_blobs, ..Default::default() };
    let engine = Arc::new(Local::open(dir, options).unwrap());
    let store = Store::open(engine.clone(), Arc::new(SystemClock), Options { limits, ..Options::default() }).unwrap();
    (engine, store)
}

fn message(account: &Account, subject: &str, octets: usize) -> NewMessage {
    let mut incoming = account.receive().unwrap();
    let parted = "Content-Type: multipart/mixed; boundary=b";
    let header = format!("Subject: {subject}\r\nList-Help: {}\r\n{parted}\r\n\r\n", "h".repeat(300));
    incoming.push(header.as_bytes()).unwrap();
    incoming.push("--b\r\n\r\npart\r\n".repeat(5).as_bytes()).unwrap();
    incoming.push(&vec![b'x'; octets]).unwrap();
    NewMessage { content: incoming.finish().unwrap(), flags: Flags::NONE, internal_date: None }
}

/// Messages that come alone, at once with others, many in one command, and large; some of them are purged.
async fn fill(engine: &Local, store: &Store) -> AccountId {
    let id = store.create_account(&AccountName::new("alice").unwrap(), "hash".into()).await.unwrap();
    let (account, who) = (store.account(id).unwrap(), Principal { account: id });
    let inbox = MailboxName::inbox();
    let deliver = |subject: &'static str, count: usize, octets: usize| {
        let messages = (0..count).map(|n| message(&account, &format!("{subject} {n}"), octets)).collect();
        let (account, who, inbox) = (account.clone(), who.clone(), inbox.clone());
        async move { account.append(&who, &inbox, messages).await.unwrap() }
    };
    deliver("alone", 1, 90).await;
    engine.copy_index(1).unwrap().unwrap();
    tokio::join!(deliver("one", 1, 90), deliver("two", 1, 90), deliver("three", 2, 90));
    deliver("many", 100, 90).await;
    deliver("large", 2, 90_000).await;
    let mailbox = account.open(&who, &inbox).unwrap();
    let gone: IdSet<Uid> = [1, 3, 7, 8, 9, 60, 106].into_iter().map(|uid| Uid::new(uid).unwrap()).collect();
    let change =
        FlagChange { mode: FlagMode::Add, flags: Flags::from_parts(Flags::DELETED_BIT, []), unchanged_since: None };
    mailbox.store_flags(&who, gone, change, ModSeq::ZERO).await.unwrap();
    mailbox.expunge(&who, None).await.unwrap();
    let nothing = Retention { expunged: Duration::ZERO, history: Duration::ZERO };
    assert_eq!(store.purge(id, nothing).await.unwrap().messages, 7);
    id
}

/// The store as a crash would leave it now.
fn crashed(dir: &Path) -> tempfile::TempDir {
    let left = tempfile::tempdir().unwrap();
    for sub in ["", "segments", "copies"] {
        fs::create_dir_all(left.path().join(sub)).unwrap();
        for entry in fs::read_dir(dir.join(sub)).unwrap().map(Result::unwrap) {
            let name = entry.file_name();
            if entry.file_type().unwrap().is_file() && name != "lock" && name != "index.db-shm" {
                fs::copy(entry.path(), left.path().join(sub).join(name)).unwrap();
            }
        }
    }
    left
}

fn entries(engine: &dyn Engine, account: AccountId) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut entries = BTreeMap::new();
    let each = &mut |key: &[u8], value: &[u8]| {
        entries.insert(key.to_vec(), value.to_vec());
        ControlFlow::Continue(())
    };
    engine.read(account).unwrap().scan(&[]..&[0xff; 20], each).unwrap();
    entries
}

fn cards(entries: &BTreeMap<Vec<u8>, Vec<u8>>) -> usize {
    entries.keys().filter(|key| b"cfe".contains(&key[0])).count()
}

/// Subjects, by cards where there are some.
fn subjects(store: &Store, id: AccountId) -> Vec<String> {
    let (account, who) = (store.account(id).unwrap(), Principal { account: id });
    let mailbox = account.open(&who, &MailboxName::inbox()).unwrap();
    let snapshot = mailbox.snapshot().unwrap();
    let (mut reader, mut subjects) = (mailbox.reader(), vec![]);
    snapshot
        .walk(&snapshot.uids(), |_, _, row| {
            subjects.push(String::from_utf8(reader.card(row.email).unwrap().base_subject().into()).unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
    subjects
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cards_that_a_crash_has_taken_are_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, store) = open(dir.path(), true);
    let id = fill(&engine, &store).await;
    let left = crashed(dir.path());
    let (before, listed) = (entries(&*engine, id), subjects(&store, id));
    assert_eq!(listed.len(), 100);

    // Whoever cannot make them has lost them, but for those of large bodies, and those that were changed afterwards.
    let without = crashed(left.path());
    let (engine, store) = open(without.path(), false);
    let lost = entries(&*engine, id);
    assert!(cards(&lost) < cards(&before), "{} of {}", cards(&lost), cards(&before));
    assert!(lost.iter().all(|(key, value)| before.get(key) == Some(value)));
    assert_eq!(lost.len() - cards(&lost), before.len() - cards(&before));
    assert_eq!(subjects(&store, id), listed);

    let (engine, store) = open(left.path(), true);
    assert_eq!(entries(&*engine, id), before);
    assert_eq!(subjects(&store, id), listed);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_catches_up_has_all_cards() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, store) = open(dir.path(), true);
    let id = fill(&engine, &store).await;
    let (left, before) = (crashed(dir.path()), entries(&*engine, id));
    for name in ["index.db", "index.db-wal"] {
        fs::remove_file(left.path().join(name)).unwrap();
    }
    let (engine, _store) = open(left.path(), true);
    assert!(engine.setback().unwrap().unwrap().said.iter().any(|line| line.ends_with("nothing is lost")));
    assert_eq!(entries(&*engine, id), before);
}

/// A body that cannot be read costs the cards of its commit, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_body_keeps_no_store_from_opening() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, store) = open(dir.path(), true);
    let id = fill(&engine, &store).await;
    let (left, listed) = (crashed(dir.path()), subjects(&store, id));
    let segment = fs::read_dir(left.path().join("segments")).unwrap().next().unwrap().unwrap().path();
    let mut octets = fs::read(&segment).unwrap();
    let mark = b"Subject: many 20\r\n";
    let at = octets.windows(mark.len()).position(|window| window == mark).unwrap();
    octets[at] ^= 1;
    fs::write(&segment, octets).unwrap();

    let (engine, store) = open(left.path(), true);
    let (account, who) = (store.account(id).unwrap(), Principal { account: id });
    let snapshot = account.open(&who, &MailboxName::inbox()).unwrap().snapshot().unwrap();
    assert_eq!(snapshot.uids().len(), listed.len() as u64);
    assert!(cards(&entries(&*engine, id)) > 0, "those of other commits");
}
