//! Hot copies of the index.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use engine::local::{Copies, Local, Options, Reclaim};
use engine::{AccountBatch, Batch, BlobId, CommitNumber, Engine, NewBlob, Write};
use rusqlite::Connection;
use types::AccountId;

const A: AccountId = AccountId(1);

fn open(dir: &Path) -> Local {
    Local::open(dir, Options { reserve: 0, ..Options::default() }).unwrap()
}

fn put(engine: &Local, number: u64) {
    let mut writer = engine.upload().unwrap();
    writer.write(b"body").unwrap();
    let blob = NewBlob { id: BlobId(number), upload: writer.finish().unwrap(), label: vec![] };
    let key = Write { key: number.to_be_bytes().to_vec(), value: Some(vec![7; 1000]) };
    let batch = AccountBatch { essential: vec![key], blobs: vec![blob], ..AccountBatch::new(A, CommitNumber(number)) };
    engine.commit(Batch { accounts: vec![batch] }).wait().unwrap();
}

fn number(index: &Path) -> u64 {
    let connection = Connection::open(index).unwrap();
    connection.query_row("SELECT number FROM account", [], |row| row.get::<_, i64>(0)).unwrap() as u64
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir.join("copies")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_copy_is_what_was_committed_and_old_ones_go() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    for n in 0..5 {
        put(&engine, n);
        let copy = engine.copy_index(2).unwrap().unwrap();
        assert_eq!(number(&copy), n + 1);
    }
    assert_eq!(names(dir.path()), ["0000000004.db", "0000000005.db"]);
}

/// Brings a blob that fills more than half of a segment.
fn put_large(engine: &Local, number: u64) {
    let mut writer = engine.upload().unwrap();
    writer.write(&vec![number as u8; 12_000]).unwrap();
    let blob = NewBlob { id: BlobId(number), upload: writer.finish().unwrap(), label: vec![] };
    let batch = AccountBatch { blobs: vec![blob], ..AccountBatch::new(A, CommitNumber(number)) };
    engine.commit(Batch { accounts: vec![batch] }).wait().unwrap();
}

fn drop_blob(engine: &Local, number: u64, blob: u64) {
    let batch = AccountBatch { dropped: vec![BlobId(blob)], ..AccountBatch::new(A, CommitNumber(number)) };
    engine.commit(Batch { accounts: vec![batch] }).wait().unwrap();
}

/// With the journal of what came after the newest copy nothing is lost if the index is.
#[test]
fn a_segment_with_what_no_copy_has_stays_until_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let reclaim = Reclaim { every: Some(Duration::from_millis(1)), rate: u64::MAX, ..Reclaim::default() };
    let options = Options { reserve: 0, segment_size: 20_000, reclaim, ..Options::default() };
    let engine = Local::open(dir.path(), options).unwrap();
    let segments = || -> BTreeSet<_> {
        fs::read_dir(dir.path().join("segments")).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let wait_until_gone = |gone: &BTreeSet<_>| {
        while segments().intersection(gone).count() > 0 {
            std::thread::yield_now();
        }
    };
    (0..3).for_each(|n| put_large(&engine, n));
    let before = segments();
    engine.copy_index(1).unwrap().unwrap();
    (3..6).for_each(|n| put_large(&engine, n));
    let newest = segments().pop_last();
    let after: BTreeSet<_> = &segments() - &before;
    // All that came after the copy is dead, and then what came before it, one by one: where the last is gone, it was
    // looked for more since the first was.
    (6..8).for_each(|n| drop_blob(&engine, n, n - 3));
    for (n, first) in (8..10).zip(&before) {
        drop_blob(&engine, n, n - 8);
        wait_until_gone(&BTreeSet::from([first.clone()]));
    }
    assert!(after.is_subset(&segments()));
    engine.copy_index(1).unwrap().unwrap();
    let dead = after.into_iter().filter(|segment| Some(segment) != newest.as_ref()).collect();
    wait_until_gone(&dead);
    assert_eq!(engine.check().unwrap(), Vec::<String>::new());
}

#[test]
fn the_writer_goes_on_while_a_copy_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    (0..50).for_each(|n| put(&engine, n));
    std::thread::scope(|scope| {
        let copy = scope.spawn(|| engine.copy_index(1).unwrap().unwrap());
        (50..150).for_each(|n| put(&engine, n));
        let copied = number(&copy.join().unwrap());
        assert!((50..=150).contains(&copied), "{copied}");
    });
    assert_eq!(engine.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_damaged_index_does_not_push_its_last_good_copy_out() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    put(&engine, 0);
    engine.copy_index(1).unwrap().unwrap();
    put(&engine, 1);
    engine.flush().unwrap();
    let damage = "UPDATE entry SET value = zeroblob(1000)";
    Connection::open(dir.path().join("index.db")).unwrap().execute_batch(damage).unwrap();
    let error = engine.copy_index(1).unwrap_err();
    assert!(error.to_string().contains("damaged: account 1, key"), "{error}");
    assert_eq!(names(dir.path()), ["0000000001.db"]);
}

#[test]
fn copies_are_made_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let copies = Copies { every: Duration::from_secs(3600), keep: 1 };
    let options = Options { reserve: 0, copies: Some(copies), ..Options::default() };
    let engine = Local::open(dir.path(), options).unwrap();
    // There is none, so the first is made at once.
    while !dir.path().join("copies/0000000001.db").exists() {
        std::thread::yield_now();
    }
    drop(engine);
    assert_eq!(names(dir.path()), ["0000000001.db"]);
}
