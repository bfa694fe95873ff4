//! The index is lost, damaged, or has forgotten commits: what comes back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use engine::local::{Local, Options, Reclaim};
use engine::segment::{Content, Found, scan};
use engine::{AccountBatch, Batch, BlobId, Codec, CommitNumber, Engine, NewBlob, Write};
use rusqlite::OpenFlags;
use tempfile::TempDir;
use types::AccountId;

const A: AccountId = AccountId(1);
const B: AccountId = AccountId(2);
const LARGE: usize = 100_000;

fn options() -> Options {
    Options { reserve: 0, segment_size: 300_000, codec: Codec::Zstd, ..Options::default() }
}

fn open(dir: &Path) -> Local {
    Local::open(dir, options()).unwrap()
}

fn body(account: AccountId, number: u64) -> Vec<u8> {
    // The large ones are noise, the others can be compressed.
    if number % 3 == 2 {
        let noise = |n: u64| (n + number * 31 + account.0).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        return (0..LARGE as u64).map(|n| noise(n * n).iter().fold(0, |sum, octet| sum ^ octet)).collect();
    }
    (0..500).map(|n| (n * 7 + number * 31 + account.0) as u8).collect()
}

/// Commit `number` of an account brings blob `number` and a key.
fn put(engine: &Local, account: AccountId, number: u64) {
    put_after(engine, account, number, number);
}

fn put_after(engine: &Local, account: AccountId, number: u64, commit: u64) {
    let mut writer = engine.upload().unwrap();
    writer.write(&body(account, number)).unwrap();
    let label = format!("label {number}").into_bytes();
    let blob = NewBlob { id: BlobId(number), upload: writer.finish().unwrap(), label };
    let key = Write { key: number.to_be_bytes().to_vec(), value: Some(vec![account.0 as u8; 800]) };
    let batch =
        AccountBatch { essential: vec![key], blobs: vec![blob], ..AccountBatch::new(account, CommitNumber(commit)) };
    engine.commit(Batch { accounts: vec![batch] }).wait().unwrap();
}

fn read(engine: &Local, account: AccountId, number: u64) -> Vec<u8> {
    let blob = engine.read(account).unwrap().blob(BlobId(number)).unwrap().unwrap();
    let mut out = Vec::new();
    blob.read(0..blob.size(), &mut out).unwrap();
    out
}

/// Ten commits of each account; `copied` of them are in a copy.
fn store(copied: Option<u64>) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    for n in 0..10 {
        if copied == Some(n) {
            engine.copy_index(1).unwrap().unwrap();
        }
        put(&engine, A, n);
        put(&engine, B, n);
    }
    drop(engine);
    dir
}

/// What a `kill -9` leaves: the log of the index is not empty.
fn killed(copied: u64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    for n in 0..10 {
        if copied == n {
            engine.copy_index(1).unwrap().unwrap();
        }
        put(&engine, A, n);
        put(&engine, B, n);
    }
    let after = tempfile::tempdir().unwrap();
    for sub in ["", "segments", "copies"] {
        fs::create_dir_all(after.path().join(sub)).unwrap();
        for entry in fs::read_dir(dir.path().join(sub)).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() && !entry.file_name().to_string_lossy().ends_with("-shm") {
                fs::copy(entry.path(), after.path().join(sub).join(entry.file_name())).unwrap();
            }
        }
    }
    after
}

/// Puts every stray back, as their owner would, and verifies that all is as before.
fn recover(dir: &Path, strays: &[u64], named: bool) {
    let engine = open(dir);
    let found = engine.strays().unwrap();
    for account in [A, B] {
        let ids: Vec<u64> = found.of(account).iter().map(|id| id.0).collect();
        assert_eq!(ids, strays, "account {account}");
        let mut batch = AccountBatch::new(account, engine.read(account).unwrap().commit_number());
        for &id in found.of(account) {
            let stray = found.get(account, id).unwrap().unwrap();
            assert_eq!((stray.named, stray.label), (named, format!("label {}", id.0).into_bytes()));
            let mut out = Vec::new();
            stray.blob.read(0..stray.blob.size(), &mut out).unwrap();
            assert_eq!(out, body(account, id.0));
            if named {
                batch.dropped.push(id);
            }
            batch.blobs.push(NewBlob { id, upload: stray.upload, label: vec![] });
        }
        engine.commit(Batch { accounts: vec![batch] }).wait().unwrap();
        (0..10).for_each(|n| assert!(read(&engine, account, n) == body(account, n)));
    }
    engine.settle().unwrap();
    what_was_put_back_is_in_the_index_once_space_is_given_back(dir);
    assert_eq!(engine.setback().unwrap(), None);
    assert_eq!(engine.check().unwrap(), Vec::<String>::new());
    drop(engine);
    let engine = open(dir);
    assert_eq!((engine.setback().unwrap(), engine.check().unwrap()), (None, vec![]));
    assert_eq!(engine.strays().unwrap().accounts().count(), 0);
    let next = engine.read(A).unwrap().commit_number().0;
    put_after(&engine, A, 10, next);
    assert_eq!(engine.check().unwrap(), Vec::<String>::new());
}

/// As whoever gives space back looks at it: segment 1 was once removed with the bodies that were put back.
fn what_was_put_back_is_in_the_index_once_space_is_given_back(dir: &Path) {
    let index = rusqlite::Connection::open_with_flags(dir.join("index.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let blobs: i64 = index.query_row("SELECT count(*) FROM blob", [], |row| row.get(0)).unwrap();
    assert_eq!(blobs, 20);
}

/// The index, and the note of what was acknowledged: nobody can say that the journal is all there.
fn lose(dir: &Path) {
    lose_index(dir);
    fs::remove_file(dir.join("acknowledged")).unwrap();
}

fn lose_index(dir: &Path) {
    fs::remove_file(dir.join("index.db")).unwrap();
    let _ = fs::remove_file(dir.join("index.db-wal"));
}

#[test]
fn a_lost_index_comes_back_from_its_copy_and_the_segments() {
    let dir = store(Some(6));
    lose(dir.path());
    let engine = open(dir.path());
    let setback = engine.setback().unwrap().unwrap();
    assert_eq!(setback.said[0], "the index is missing");
    assert!(setback.said[1].contains("copies/0000000001.db"), "{:?}", setback.said);
    assert!(setback.current.is_empty());
    assert_eq!(engine.read(A).unwrap().commit_number(), CommitNumber(6));
    (0..6).for_each(|n| assert!(read(&engine, A, n) == body(A, n)));
    assert_eq!(engine.check().unwrap(), Vec::<String>::new());
    drop(engine);
    recover(dir.path(), &[6, 7, 8, 9], false);
}

/// Changes without a body, which no label tells of: what a key is after so many of them.
fn mark(engine: &Local, account: AccountId, commit: u64) {
    let write = |key: &str, value: Option<String>| Write { key: key.into(), value: value.map(String::into_bytes) };
    let mut essential = vec![write("mark", Some(format!("{commit:0900}")))];
    essential.push(write("odd", (commit % 2 == 1).then(|| "there".to_owned())));
    let batch = AccountBatch { essential, ..AccountBatch::new(account, CommitNumber(commit)) };
    engine.commit(Batch { accounts: vec![batch] }).wait().unwrap();
}

fn marked(engine: &Local, account: AccountId) -> (Option<String>, bool) {
    let view = engine.read(account).unwrap();
    (view.get(b"mark").unwrap().map(|octets| String::from_utf8(octets).unwrap()), view.get(b"odd").unwrap().is_some())
}

/// Flags, moves and expunges since the last copy were lost with the index, although the journal has them.
#[test]
fn what_was_committed_after_the_copy_is_not_lost_with_the_index() {
    for (copied_at, is_closed) in (0..12).flat_map(|n| [(n, true), (n, false)]) {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path());
        for n in 0..12 {
            if n == copied_at {
                engine.copy_index(1).unwrap().unwrap();
            }
            for account in [A, B] {
                if n % 4 == 3 { put(&engine, account, n) } else { mark(&engine, account, n) }
            }
            if n % 5 == 4 {
                engine.flush().unwrap();
            }
        }
        let killed = copied(dir.path());
        drop(engine);
        let store = if is_closed { dir } else { killed };
        lose_index(store.path());
        let engine = open(store.path());
        let setback = engine.setback().unwrap().unwrap();
        assert_eq!(setback.current, BTreeSet::from([A, B]), "{copied_at}: {:?}", setback.said);
        assert!(setback.said.last().unwrap().ends_with("nothing is lost"), "{:?}", setback.said);
        for account in [A, B] {
            assert_eq!(engine.read(account).unwrap().commit_number(), CommitNumber(12));
            assert_eq!(marked(&engine, account), (Some(format!("{:0900}", 10)), false));
            [3, 7, 11].into_iter().for_each(|n| assert!(read(&engine, account, n) == body(account, n)));
        }
        assert_eq!(engine.strays().unwrap().accounts().count(), 0);
        engine.settle().unwrap();
        assert_eq!(engine.check().unwrap(), Vec::<String>::new());
        put_after(&engine, A, 12, 12);
        drop(engine);
        let engine = open(store.path());
        assert_eq!((engine.setback().unwrap(), engine.check().unwrap()), (None, vec![]));
        assert_eq!(engine.read(A).unwrap().commit_number(), CommitNumber(13));
    }
}

#[test]
fn an_index_is_made_again_while_the_store_is_opened() {
    let dir = store(Some(6));
    let engine = Local::open_anew(dir.path(), options()).unwrap();
    let setback = engine.setback().unwrap().unwrap();
    assert_eq!((&*setback.said[0], setback.current), ("the index is made again as demanded", [A, B].into()));
    assert_eq!(engine.read(A).unwrap().commit_number(), CommitNumber(10));
    assert!(dir.path().join("damaged/index-1/index.db").exists());
}

/// Whatever is missing of the journal: the copy stays what it was, and that is said.
#[test]
fn a_journal_that_is_not_whole_brings_no_copy_to_the_end() {
    let dir = killed(5);
    for (path, at, group) in journals(dir.path()) {
        let store = copied(dir.path());
        let path = store.path().join(path.strip_prefix(dir.path()).unwrap());
        let mut bytes = fs::read(&path).unwrap();
        bytes[at.start + (group as usize * 7) % at.len()] ^= 4;
        fs::write(&path, bytes).unwrap();
        lose_index(store.path());
        let engine = open(store.path());
        let (setback, number) = (engine.setback().unwrap().unwrap(), engine.read(A).unwrap().commit_number());
        match group {
            ..=10 => assert_eq!((setback.current.len(), number), (2, CommitNumber(10))),
            _ => assert_eq!((setback.current.len(), number), (0, CommitNumber(5)), "{group}: {:?}", setback.said),
        }
    }
    for segment in fs::read_dir(dir.path().join("segments")).unwrap().map(Result::unwrap) {
        let store = copied(dir.path());
        fs::remove_file(store.path().join("segments").join(segment.file_name())).unwrap();
        lose_index(store.path());
        let setback = open(store.path()).setback().unwrap().unwrap();
        let needed = journals(dir.path()).iter().any(|(path, _, group)| *path == segment.path() && *group > 10);
        assert_eq!(setback.current.is_empty(), needed, "{:?}", setback.said);
    }
}

/// A store that has gone back in time goes another way from there: a copy of before does not lead to both.
#[test]
fn a_copy_of_before_a_loss_is_not_brought_to_what_was_given_up() {
    let dir = store(Some(6));
    lose(dir.path());
    let engine = open(dir.path());
    // What the owner does with every account that has gone back, before anything else.
    for account in [A, B] {
        assert_eq!(engine.read(account).unwrap().commit_number(), CommitNumber(6));
        mark(&engine, account, 6);
    }
    engine.settle().unwrap();
    mark(&engine, A, 7);
    drop(engine);
    lose_index(dir.path());
    let engine = open(dir.path());
    let setback = engine.setback().unwrap().unwrap();
    assert!(setback.current.is_empty(), "{:?}", setback.said);
    assert_eq!(engine.read(A).unwrap().commit_number(), CommitNumber(6));
}

/// A group that was cut off was no commit, and is none when it is looked at again with others behind it.
#[test]
fn a_group_that_was_cut_off_does_not_come_back_with_a_copy() {
    let dir = killed(5);
    let (path, at, _) = journals(dir.path()).pop().unwrap();
    // The last body of B goes, its journal stays; nobody was told of that group.
    let mut bytes = fs::read(&path).unwrap();
    let of_body = at.start - 100;
    bytes[of_body] ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::remove_file(dir.path().join("acknowledged")).unwrap();
    let engine = open(dir.path());
    assert_eq!(engine.read(B).unwrap().commit_number(), CommitNumber(9));
    assert_eq!(engine.setback().unwrap(), None);
    mark(&engine, A, 10);
    drop(engine);
    lose_index(dir.path());
    let engine = open(dir.path());
    let setback = engine.setback().unwrap().unwrap();
    assert!(setback.current.is_empty(), "{:?}", setback.said);
    assert_eq!(engine.read(B).unwrap().commit_number(), CommitNumber(5));
}

#[test]
fn without_a_copy_all_bodies_are_found() {
    let dir = store(None);
    lose(dir.path());
    recover(dir.path(), &(0..10).collect::<Vec<_>>(), false);
}

#[test]
fn an_index_of_rubbish_is_put_aside() {
    for (rubbish, why) in [
        (vec![], "too short"),
        (b"not a database, but long enough to look like one".repeat(100), "its header is damaged"),
    ] {
        let dir = store(Some(8));
        lose(dir.path());
        fs::write(dir.path().join("index.db"), &rubbish).unwrap();
        let engine = open(dir.path());
        assert!(engine.setback().unwrap().unwrap().said[0].contains(why));
        drop(engine);
        assert!(fs::read(dir.path().join("damaged/index-1/index.db")).unwrap() == rubbish);
        recover(dir.path(), &[8, 9], false);
    }
}

#[test]
fn a_copy_that_rots_gives_way_to_an_older_one() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    for n in 0..10 {
        put(&engine, A, n);
        put(&engine, B, n);
        if n == 3 || n == 7 {
            engine.copy_index(2).unwrap().unwrap();
        }
    }
    drop(engine);
    let newer = dir.path().join("copies/0000000002.db");
    let mut bytes = fs::read(&newer).unwrap();
    while let Some(at) = bytes.windows(400).position(|w| w == [2; 400]) {
        bytes[at + 200] ^= 1;
    }
    fs::write(&newer, bytes).unwrap();
    lose(dir.path());
    let said = open(dir.path()).setback().unwrap().unwrap().said;
    assert!(said[1].contains("0000000002.db cannot be used: damaged: account 2, key"), "{said:?}");
    recover(dir.path(), &[4, 5, 6, 7, 8, 9], false);
}

/// Zeroes the page of the index that holds the value of a key of an account.
fn zero_page(dir: &Path, account: AccountId) {
    let path = dir.join("index.db");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(800).rposition(|w| w == [account.0 as u8; 800]).unwrap();
    let page = at / 8192 * 8192;
    bytes[page..page + 8192].fill(0);
    fs::write(&path, bytes).unwrap();
}

#[test]
fn an_account_that_can_be_read_whole_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    for n in 0..100 {
        put(&engine, A, n);
        if n == 49 {
            engine.copy_index(1).unwrap().unwrap();
        }
    }
    (0..100).for_each(|n| put(&engine, B, n));
    drop(engine);
    zero_page(dir.path(), B);
    assert!(open(dir.path()).check().unwrap().iter().any(|line| line.contains("SQLite says")));
    // The journal says more than both.
    let whole = copied(dir.path());
    Local::rebuild(whole.path(), &options(), &BTreeSet::new()).unwrap();
    let engine = open(whole.path());
    assert_eq!(engine.setback().unwrap().unwrap().current, [A, B].into());
    assert_eq!([A, B].map(|account| engine.read(account).unwrap().commit_number()), [CommitNumber(100); 2]);
    assert_eq!(engine.check().unwrap(), Vec::<String>::new());
    drop(engine);

    let unnoted = || fs::remove_file(dir.path().join("acknowledged")).unwrap();
    unnoted();
    let said = Local::rebuild(dir.path(), &options(), &BTreeSet::new()).unwrap();
    assert!(said.iter().any(|line| line.starts_with("account 2: the damaged index cannot be read")), "{said:?}");

    let engine = open(dir.path());
    let setback = engine.setback().unwrap().unwrap();
    assert_eq!(setback.current, [A].into());
    assert_eq!(engine.read(A).unwrap().commit_number(), CommitNumber(100));
    // The copy knows nothing of account 2: its bodies are all that counts.
    assert_eq!(engine.read(B).unwrap().commit_number(), CommitNumber(0));
    assert_eq!(engine.strays().unwrap().of(B).len(), 100);
    (0..100).for_each(|n| assert!(read(&engine, A, n) == body(A, n)));
    assert_eq!(engine.check().unwrap(), Vec::<String>::new());
    drop(engine);
    // Made again once more, it is no better witness than before.
    unnoted();
    Local::rebuild(dir.path(), &options(), &BTreeSet::new()).unwrap();
    assert_eq!(open(dir.path()).setback().unwrap().unwrap().current, [A].into());
}

/// The files of a store in another directory.
fn copied(dir: &Path) -> TempDir {
    let store = tempfile::tempdir().unwrap();
    for sub in ["segments", "copies", ""] {
        fs::create_dir_all(store.path().join(sub)).unwrap();
        for entry in fs::read_dir(dir.join(sub)).into_iter().flatten().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), store.path().join(sub).join(entry.file_name())).unwrap();
            }
        }
    }
    store
}

/// All ten commits of both accounts are there, and nothing is wrong.
fn assert_whole(dir: &Path, what: &str) {
    let engine = open(dir);
    assert_eq!((engine.setback().unwrap(), engine.check().unwrap()), (None, vec![]), "{what}");
    for account in [A, B] {
        assert_eq!(engine.read(account).unwrap().commit_number(), CommitNumber(10), "{what}");
        for n in 0..10 {
            assert_eq!(engine.read(account).unwrap().get(&u64::to_be_bytes(n)).unwrap().unwrap().len(), 800, "{what}");
            assert!(read(&engine, account, n) == body(account, n), "{what}");
        }
    }
}

/// What SQLite's log has, the journal has as well.
#[test]
fn a_lost_log_loses_nothing() {
    let dir = killed(5);
    assert_whole(copied(dir.path()).path(), "as it is");
    fs::remove_file(dir.path().join("index.db-wal")).unwrap();
    assert_whole(dir.path(), "without its log");
    assert_whole(dir.path(), "once more");
}

#[test]
fn a_damaged_log_loses_nothing() {
    let dir = killed(5);
    let whole = fs::read(dir.path().join("index.db-wal")).unwrap();
    let frame = 24 + 8192;
    let frames = (whole.len() - 32) / frame;
    assert!(frames > 5, "{frames}");
    for n in 0..frames {
        let store = copied(dir.path());
        let mut bytes = whole.clone();
        bytes[32 + n * frame + 24 + 4000] ^= 0x10;
        fs::write(store.path().join("index.db-wal"), bytes).unwrap();
        assert_whole(store.path(), &format!("frame {n}"));
    }
}

/// Where the journals are: their segment files, and of each record where it begins and where it ends.
fn journals(dir: &Path) -> Vec<(PathBuf, Range<usize>, u64)> {
    let mut found = vec![];
    for entry in fs::read_dir(dir.join("segments")).unwrap().map(Result::unwrap) {
        let bytes = fs::read(entry.path()).unwrap();
        for item in scan(&bytes[..], None).unwrap() {
            let end = item.end() as usize;
            if let Found::Record { offset, record, .. } = item
                && matches!(record.content, Content::Journal { .. })
            {
                found.push((entry.path(), offset as usize..end, record.group));
            }
        }
    }
    found.sort_by_key(|(.., group)| *group);
    found
}

/// What is gone with the end of a journal looks like a power cut, but for the note of what was acknowledged.
#[test]
fn a_journal_without_its_end_is_noticed() {
    let dir = killed(5);
    let all = journals(dir.path());
    let (newest, ..) = all.last().unwrap();
    let in_newest: Vec<_> = all.iter().filter(|(path, ..)| path == newest).collect();
    for (n, (_, at, group)) in in_newest.iter().enumerate() {
        for noted in [true, false] {
            let store = copied(dir.path());
            let path = store.path().join(newest.strip_prefix(dir.path()).unwrap());
            if n == 0 {
                fs::remove_file(&path).unwrap();
            } else {
                fs::File::options().write(true).open(&path).unwrap().set_len(at.start as u64 + 1).unwrap();
            }
            if !noted {
                fs::remove_file(store.path().join("acknowledged")).unwrap();
            }
            let setback = open(store.path()).setback().unwrap();
            // Of what the index has nothing is lost.
            assert_eq!(setback.is_some(), noted && *group > 10, "group {group}: {setback:?}");
        }
    }
}

/// Nobody knows what stood in it: that is said, and all bodies are there.
#[test]
fn a_damaged_journal_is_noticed() {
    let dir = killed(5);
    let all = journals(dir.path());
    assert_eq!(all.len(), 20);
    // The first ten groups are in the index.
    for (zeros, (path, at, group)) in [false, true].into_iter().flat_map(|zeros| all.iter().map(move |j| (zeros, j))) {
        let store = copied(dir.path());
        let path = store.path().join(path.strip_prefix(dir.path()).unwrap());
        let mut bytes = fs::read(&path).unwrap();
        if zeros {
            bytes[at.clone()].fill(0);
        } else {
            bytes[at.start + (*group as usize * 7) % at.len()] ^= 4;
        }
        fs::write(&path, bytes).unwrap();
        let engine = open(store.path());
        let setback = engine.setback().unwrap();
        assert_eq!(setback.is_some(), *group > 10, "group {group}: {setback:?}");
        let (number, other) = [A, B].map(|account| engine.read(account).unwrap().commit_number().0).into();
        let strays = engine.strays().unwrap();
        match group {
            ..=10 => assert_eq!((number, other), (10, 10)),
            _ => {
                let said = setback.unwrap().said;
                assert_eq!(said[0], "commits are lost: the journal of a group cannot be read");
                // The account that the group did not change has lost nothing; of the other the bodies are there.
                let before = (group - 1) / 2;
                let (whole, hurt, account) = if group % 2 == 1 { (other, number, A) } else { (number, other, B) };
                assert_eq!((whole, hurt), (10, before));
                assert_eq!(strays.of(account).len() as u64, 10 - before);
            }
        }
        assert_eq!(engine.check().unwrap(), Vec::<String>::new());
        // Who opens it again does not take for new what was given up.
        drop(engine);
        let engine = open(store.path());
        assert_eq!(engine.read(A).unwrap().commit_number().0, number);
        put_after(&engine, A, 100, number);
        drop(engine);
        assert_eq!(open(store.path()).read(A).unwrap().commit_number().0, number + 1);
    }
}

/// The index is taken back to every state that it was in: the journal brings it to the last one.
#[test]
fn an_older_index_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let mut older = vec![];
    for n in 0..10 {
        put(&engine, A, n);
        put(&engine, B, n);
        if n % 3 == 1 {
            engine.flush().unwrap();
            older.push(copied(dir.path()));
        }
    }
    let last = copied(dir.path());
    drop(engine);
    for index in &older {
        let store = copied(last.path());
        for name in ["index.db", "index.db-wal"] {
            fs::copy(index.path().join(name), store.path().join(name)).unwrap();
        }
        assert_whole(store.path(), "killed");
        let store = copied(dir.path());
        for name in ["index.db", "index.db-wal"] {
            fs::copy(index.path().join(name), store.path().join(name)).unwrap();
        }
        assert_whole(store.path(), "closed");
    }
}

#[test]
fn a_body_that_has_moved_is_found_where_it_is() {
    let dir = store(Some(10 - 1));
    // As reclaiming does: the index of an older time names a segment that is gone.
    let segments = dir.path().join("segments");
    fs::create_dir(dir.path().join("away")).unwrap();
    for entry in fs::read_dir(&segments).unwrap().map(Result::unwrap) {
        fs::rename(entry.path(), dir.path().join("away").join(entry.file_name())).unwrap();
    }
    let engine = open(dir.path());
    let mut found = vec![];
    for (account, n) in (0..10).flat_map(|n| [(A, n), (B, n)]) {
        let mut writer = engine.upload().unwrap();
        writer.write(&body(account, n)).unwrap();
        let upload = writer.finish().unwrap();
        let blob = NewBlob { id: BlobId(n), upload, label: format!("label {n}").into_bytes() };
        let number = engine.read(account).unwrap().commit_number();
        let batch = AccountBatch { dropped: vec![BlobId(n)], blobs: vec![blob], ..AccountBatch::new(account, number) };
        engine.commit(Batch { accounts: vec![batch] }).wait().unwrap();
        found.push(n);
    }
    drop(engine);
    lose(dir.path());
    // The copy names the bodies 0 to 8 where they are not; 9 it does not name.
    let engine = open(dir.path());
    assert!(engine.read(A).unwrap().blob(BlobId(0)).is_err());
    let strays = engine.strays().unwrap();
    let named: Vec<bool> = strays.of(A).iter().map(|id| strays.get(A, *id).unwrap().unwrap().named).collect();
    assert_eq!(named, [vec![true; 9], vec![false]].concat());
}

/// A format of tomorrow is written with its inverse: what is not is damage, and the index is made again.
#[test]
fn a_damaged_format_version_is_no_later_version() {
    for version in [0, 2, 3, 4, 1 << 20, -1] {
        let dir = store(Some(6));
        let index = rusqlite::Connection::open(dir.path().join("index.db")).unwrap();
        index.pragma_update(None, "user_version", version).unwrap();
        index.close().unwrap();
        let engine = open(dir.path());
        let setback = engine.setback().unwrap().unwrap();
        assert_eq!(setback.said[0], "the index cannot be used: its header is damaged");
        assert_eq!(setback.current, BTreeSet::from([A, B]), "version {version}: nothing was lost");
        drop(engine);
        recover(dir.path(), &[], false);
    }
}

/// What a later version wrote is left alone, also where its index is lost.
#[test]
fn a_copy_of_a_later_version_is_no_copy_to_go_on_from() {
    let dir = store(Some(6));
    let copy = rusqlite::Connection::open(dir.path().join("copies/0000000001.db")).unwrap();
    copy.pragma_update(None, "user_version", 0xfffb_0004_u32.cast_signed()).unwrap();
    copy.close().unwrap();
    lose(dir.path());
    let refused = Local::open(dir.path(), options()).unwrap_err();
    assert_eq!(refused.to_string(), "the store has format 4; this version knows formats up to 3");
}

/// Its record stands where the copy says, but what it names there has been given up: the copies count.
#[test]
fn a_large_blob_whose_pieces_were_moved_after_the_copy_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let reclaim = Reclaim { every: None, ..Reclaim::default() };
    let engine = Local::open(dir.path(), Options { reclaim, ..options() }).unwrap();
    let uploaded = |number| {
        let mut writer = engine.upload().unwrap();
        writer.write(&body(A, number)).unwrap();
        NewBlob { id: BlobId(number), upload: writer.finish().unwrap(), label: vec![] }
    };
    let commit = |batch| engine.commit(Batch { accounts: vec![batch] }).wait().unwrap();
    let brings =
        |number, blob| commit(AccountBatch { blobs: vec![blob], ..AccountBatch::new(A, CommitNumber(number)) });
    // Two of them fill a segment. The second is named in the next one.
    brings(0, uploaded(2));
    let second = uploaded(5);
    brings(1, uploaded(8));
    brings(2, second);
    engine.copy_index(1).unwrap().unwrap();
    commit(AccountBatch { dropped: vec![BlobId(2)], ..AccountBatch::new(A, CommitNumber(3)) });
    assert_eq!(engine.reclaim().wait().unwrap().segments, 1);
    assert!(read(&engine, A, 5) == body(A, 5));
    drop(engine);
    fs::remove_file(dir.path().join("index.db")).unwrap();

    let engine = open(dir.path());
    let strays = engine.strays().unwrap();
    let stray = strays.get(A, BlobId(5)).unwrap().unwrap();
    let mut octets = vec![];
    stray.blob.read(0..stray.blob.size(), &mut octets).unwrap();
    assert!(stray.named && octets == body(A, 5));
    assert!(read(&engine, A, 8) == body(A, 8));
}
