//! What is special about the local engine: its files, its lock, its damage, its end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use engine::local::{Local, OpenError, Options};
use engine::{AccountBatch, Batch, BlobId, CommitNumber, Engine, Error, NewBlob, Upload, Write};
use rusqlite::Connection;
use types::AccountId;

const A: AccountId = AccountId(1);

fn open(dir: &Path) -> Local {
    Local::open(dir, Options { reserve: 0, ..Options::default() }).unwrap()
}

fn upload(engine: &Local, head: &[u8], rest: &[u8]) -> Upload {
    let mut writer = engine.upload().unwrap();
    writer.write(head).unwrap();
    writer.cut().unwrap();
    writer.write(rest).unwrap();
    writer.finish().unwrap()
}

/// The commit after `number`.
fn batch(number: u64) -> AccountBatch {
    let write = |key: &str| Write { key: key.into(), value: Some(number.to_be_bytes().to_vec()) };
    let (essential, derived) = (vec![write("truth")], vec![write("card")]);
    AccountBatch { essential, derived, ..AccountBatch::new(A, CommitNumber(number)) }
}

fn with_blob(engine: &Local, number: u64, head: &[u8], rest: &[u8]) -> AccountBatch {
    let blob = NewBlob { id: BlobId(number), upload: upload(engine, head, rest), label: vec![] };
    AccountBatch { blobs: vec![blob], ..batch(number) }
}

fn commit(engine: &Local, batch: AccountBatch) {
    engine.commit(Batch { accounts: vec![batch] }).wait().unwrap();
}

fn sqlite(dir: &Path) -> Connection {
    Connection::open(dir.join("index.db")).unwrap()
}

/// What is committed, in the index.
fn flush(engine: &Local) {
    engine.flush().unwrap();
}

#[test]
fn one_process_owns_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let second = Local::open(dir.path(), Options::default()).unwrap_err();
    assert!(matches!(second, OpenError::Locked(_)), "{second}");
    assert!(second.to_string().contains("in use"));
    drop(first);
    open(dir.path());
}

#[test]
fn other_formats_and_other_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    // 4, and 4 inverted in the upper half.
    sqlite(dir.path()).execute_batch(&format!("PRAGMA user_version = {}", 0xfffb_0004_u32.cast_signed())).unwrap();
    let later = Local::open(dir.path(), Options::default()).unwrap_err();
    assert_eq!(later.to_string(), "the store has format 4; this version knows formats up to 3");

    let dir = tempfile::tempdir().unwrap();
    sqlite(dir.path()).execute_batch("CREATE TABLE recipe (name TEXT)").unwrap();
    assert!(matches!(Local::open(dir.path(), Options::default()), Err(OpenError::Foreign(_))));

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("index.db"), b"not a database, but long enough to look like one".repeat(100)).unwrap();
    assert!(matches!(Local::open(dir.path(), Options::default()), Err(OpenError::Index(_))));
}

#[test]
fn a_damaged_value_is_named_and_its_neighbours_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    commit(&engine, batch(0));
    for (key, other, hint) in [("card", "truth", true), ("truth", "card", false)] {
        flush(&engine);
        let damage = "UPDATE entry SET value = zeroblob(9) WHERE key = CAST(?1 AS BLOB)";
        assert_eq!(sqlite(dir.path()).execute(damage, [key]).unwrap(), 1);
        let view = engine.read(A).unwrap();
        let error = view.get(key.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), format!("damaged: account 1, key {key}"));
        assert!(view.get(other.as_bytes()).unwrap().is_some());
        let scan = view.scan(&[]..&[0xff], &mut |_, _| ControlFlow::Continue(()));
        assert!(matches!(scan, Err(Error::Damaged(_))));
        let wrong = engine.check().unwrap();
        assert_eq!(wrong.len(), 1);
        assert!(wrong[0].contains(key) && wrong[0].contains("computed again") == hint, "{wrong:?}");
        // Written again, it is well again.
        let number = view.commit_number().0;
        drop(view);
        commit(&engine, batch(number));
        assert_eq!(engine.check().unwrap(), Vec::<String>::new());
    }
}

#[test]
fn damaged_places_are_named_and_can_be_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    commit(&engine, with_blob(&engine, 0, b"head", b"rest"));
    flush(&engine);
    sqlite(dir.path()).execute_batch("UPDATE blob SET places = zeroblob(40)").unwrap();
    let Err(error) = engine.read(A).unwrap().blob(BlobId(0)) else { panic!("read") };
    assert_eq!(error.to_string(), "damaged: account 1, the places of blob 0");
    assert_eq!(engine.check().unwrap().len(), 2, "the blob, and the octets that nobody uses");
    commit(&engine, AccountBatch { dropped: vec![BlobId(0)], ..batch(1) });
    assert!(engine.read(A).unwrap().blob(BlobId(0)).unwrap().is_none());
}

#[test]
fn the_header_can_be_read_where_the_body_is_damaged() {
    for rest in [10_000, 500_000] {
        let dir = tempfile::tempdir().unwrap();
        let engine = open(dir.path());
        commit(&engine, with_blob(&engine, 0, b"Subject: here\r\n\r\n", &vec![b'x'; rest]));
        let file = fs::read_dir(dir.path().join("segments")).unwrap().next().unwrap().unwrap().path();
        let at = fs::read(&file).unwrap().windows(4).position(|w| w == b"xxxx").unwrap();
        fs::File::options().write(true).open(&file).unwrap().write_all_at(b"y", at as u64).unwrap();

        let blob = engine.read(A).unwrap().blob(BlobId(0)).unwrap().unwrap();
        let mut out = Vec::new();
        blob.read(0..17, &mut out).unwrap();
        assert_eq!(out, b"Subject: here\r\n\r\n");
        assert!(matches!(blob.read(17..18, &mut out), Err(Error::Damaged(_))));
        // Only the piece with the damage is lost.
        let last = blob.size() - 1;
        assert_eq!(blob.read(last..last + 1, &mut out).is_ok(), rest == 500_000);
        assert_eq!(engine.check().unwrap().len(), 1);
    }
}

#[test]
fn what_is_queued_is_done_before_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let queue = |n| engine.commit(Batch { accounts: vec![with_blob(&engine, n, b"h", b"r")] });
    let pending: Vec<_> = (0..50).map(queue).collect();
    drop(engine);
    pending.into_iter().for_each(|pending| pending.wait().unwrap());
    assert!(!dir.path().join("index.db-wal").exists(), "the log is empty at an orderly end");
    let engine = open(dir.path());
    assert_eq!(engine.read(A).unwrap().commit_number(), CommitNumber(50));
    assert_eq!(engine.check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_view_outlives_its_engine() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    commit(&engine, with_blob(&engine, 0, b"head", b"rest"));
    let view = engine.read(A).unwrap();
    let begun = Instant::now();
    drop(engine);
    assert!(begun.elapsed() < Duration::from_secs(8), "the end waits for the view");
    assert!(view.get(b"truth").unwrap().is_some());
    assert_eq!(view.blob(BlobId(0)).unwrap().unwrap().size(), 8);
}

#[test]
fn the_log_does_not_grow_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { checkpoint_pages: 10, reserve: 0, ..Options::default() };
    let engine = Local::open(dir.path(), options).unwrap();
    for n in 0..200 {
        commit(&engine, batch(n));
        flush(&engine);
    }
    // Each commit writes three pages of 8 KiB: without checkpoints the log would have 5 MB.
    let log = fs::metadata(dir.path().join("index.db-wal")).unwrap().len();
    assert!(log < 1_500_000, "{log}");
}

#[test]
fn segments_count_what_is_alive() {
    let dir = tempfile::tempdir().unwrap();
    let options = || Options { segment_size: 100_000, reserve: 0, ..Options::default() };
    let engine = Local::open(dir.path(), options()).unwrap();
    for n in 0..10 {
        commit(&engine, with_blob(&engine, n, b"head", &[1; 30_000]));
    }
    commit(&engine, AccountBatch { dropped: (0..9).map(BlobId).collect(), ..batch(10) });
    drop(engine);
    let rows: Vec<(i64, i64, i64)> = {
        let connection = sqlite(dir.path());
        let mut select = connection.prepare("SELECT id, live, end FROM segment ORDER BY id").unwrap();
        select.query_map([], |row| row.try_into()).unwrap().collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(rows.len(), 4);
    for (id, live, end) in &rows {
        let file = dir.path().join(format!("segments/{id:010}.seg"));
        assert_eq!(fs::metadata(file).unwrap().len() as i64, *end, "an orderly end leaves nothing to decide");
        assert_eq!((*live > 30_000, *live == 0), (*id == 4, *id != 4));
    }
    // The next process begins a segment of its own.
    let engine = Local::open(dir.path(), options()).unwrap();
    commit(&engine, with_blob(&engine, 11, b"head", b"rest"));
    assert!(dir.path().join("segments/0000000005.seg").exists());
    assert_eq!(engine.check().unwrap(), Vec::<String>::new());
}

/// How long the files of segments are.
fn lengths(dir: &Path) -> Vec<u64> {
    let mut files: Vec<_> = fs::read_dir(dir.join("segments")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| fs::metadata(path).unwrap().len()).collect()
}

/// A file that takes little at a time grows ahead of it, and who finds it so takes the zeros for nothing.
#[test]
fn little_is_written_where_zeros_are() {
    let (dir, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = open(dir.path());
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..400 {
        commit(&engine, with_blob(&engine, n, b"head", &[1; 2000]));
        seen.extend(lengths(dir.path()));
    }
    assert!((5..20).contains(&seen.len()), "how often it grew: {seen:?}");
    let written = engine.figures().unwrap().dead + engine.figures().unwrap().live;
    assert!(*seen.last().unwrap() > written + 10_000, "{seen:?}, {written}");
    // As it is when the process is killed.
    fs::create_dir(killed.path().join("segments")).unwrap();
    for file in ["index.db", "index.db-wal", "acknowledged", "segments/0000000001.seg"] {
        fs::copy(dir.path().join(file), killed.path().join(file)).unwrap();
    }
    drop(engine);
    assert!(lengths(dir.path())[0] <= written, "at an orderly end the zeros go");
    let engine = open(killed.path());
    assert_eq!(engine.setback().unwrap(), None);
    assert_eq!(engine.read(A).unwrap().blobs().unwrap().len(), 400);
    assert_eq!(engine.check().unwrap(), Vec::<String>::new());
    assert_eq!(engine.strays().unwrap().unreadable(), Vec::<String>::new());
    let figures = engine.figures().unwrap();
    assert!(figures.live + figures.dead <= written, "zeros are no dead space: {figures:?}, {written}");
}

/// What comes in large pieces is not written twice.
#[test]
fn much_is_not_written_over_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    for n in 0..20 {
        commit(&engine, with_blob(&engine, n, b"head", &[1; 300_000]));
    }
    let figures = engine.figures().unwrap();
    assert!(figures.segments_written < figures.bodies + figures.bodies / 20, "{figures:?}");
}

#[test]
fn check_finds_wrong_figures_and_strangers() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    commit(&engine, with_blob(&engine, 0, b"head", b"rest"));
    flush(&engine);
    sqlite(dir.path()).execute_batch("UPDATE segment SET live = live + 1; DELETE FROM account").unwrap();
    let wrong = engine.check().unwrap();
    for part in ["octets in use, blobs use", "account 1 has keys but no commit", "account 1 has blobs but no commit"] {
        assert!(wrong.iter().any(|line| line.contains(part)), "{part}: {wrong:?}");
    }
    assert_eq!(wrong.len(), 3);
}
