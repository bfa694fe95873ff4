//! Hot copies of the index.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use engine::local::{Copies, Local, Options};
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
