//! `engine::local` when the power goes, the disk fails or the disk is full.
//!
//! What is cut: every operation on segment files and their directory, one after the other, with
//! everything that was not synced lost, torn or kept as chance has it; SQLite's files as they are at
//! that moment, or as they were: of its log only what was moved to its file is sure to be there. What is
//! not cut: a move itself (SQLite's tests do that), and disks that lie about a sync. `kill -9` of the
//! whole server comes on top elsewhere.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use engine::disk::Disk;
use engine::local::{Local, Options, Reclaim};
use engine::{AccountBatch, Blob, BlobId, Codec, CommitError, CommitNumber, Engine, Error, FromBlobs, Upload, Write};
use testkit::engine_suite::{Model, commit, content, new_blob, puts};
use testkit::fault_disk::{Call, Fault, FaultDisk, Random};
use types::AccountId;

const A: AccountId = AccountId(1);
const B: AccountId = AccountId(2);
const PLENTY: u64 = 1 << 30;

type Models = BTreeMap<AccountId, Model>;

fn open(dir: &Path, disk: &FaultDisk) -> Result<Local, engine::local::OpenError> {
    let options = Options {
        disk: Arc::new(disk.clone()),
        segment_size: 200_000,
        // Of two bodies one can be compressed.
        codec: Codec::Zstd,
        reserve: 1 << 20,
        checkpoint_pages: 1_000_000,
        reclaim: Reclaim { rate: u64::MAX, every: None, ..Reclaim::default() },
        from_blobs: Some(Arc::new(Sums)),
        ..Options::default()
    };
    Local::open(dir, options)
}

/// What this owner makes of blobs: one value for those of a commit, with the number and the hash of each.
#[derive(Debug)]
struct Sums;

impl FromBlobs for Sums {
    fn make(&self, _: AccountId, blobs: &[(BlobId, Arc<dyn Blob>)]) -> Result<Vec<Write>, Error> {
        let mut read = Vec::with_capacity(blobs.len());
        for (id, blob) in blobs {
            let mut octets = vec![];
            blob.read(0..blob.size(), &mut octets)?;
            read.push((*id, octets));
        }
        Ok(sums(read.iter().map(|(id, octets)| (*id, octets))).into_iter().collect())
    }
}

/// Of the blobs of one commit.
fn sums<'a>(blobs: impl Iterator<Item = (BlobId, &'a Vec<u8>)>) -> Option<Write> {
    let (mut key, mut sums) = (None, vec![]);
    for (id, octets) in blobs {
        key.get_or_insert_with(|| sums_of(id));
        sums.extend(id.0.to_be_bytes());
        let mut hasher = DefaultHasher::new();
        octets.hash(&mut hasher);
        sums.extend(hasher.finish().to_be_bytes());
    }
    key.map(|key| Write { key, value: Some(sums) })
}

/// The key of the value of the commit that has brought a blob.
fn sums_of(id: BlobId) -> Vec<u8> {
    format!("sums/{}", id.0 / 100).into_bytes()
}

/// One commit of a workload: changes to one account or two.
#[derive(Clone, Default)]
struct Change {
    account: u64,
    also: Option<u64>,
    clear: bool,
    blobs: Vec<usize>,
    drop_oldest: bool,
    /// Drops the oldest blob and brings it again, so that it lies elsewhere.
    moves_oldest: bool,
    /// Gives space back afterwards.
    reclaim: bool,
}

/// Both ways of storing blobs, ends of segments, dropping, clearing, two accounts at once.
fn short_workload() -> Vec<Change> {
    let one = |account, blobs: &[usize]| Change { account, blobs: blobs.to_vec(), ..Change::default() };
    vec![
        one(1, &[]),
        one(1, &[5000]),
        one(2, &[0, 60_000, 70_000]),
        one(1, &[300, 20]),
        Change { moves_oldest: true, ..one(1, &[]) },
        Change { drop_oldest: true, ..one(1, &[]) },
        Change { moves_oldest: true, ..one(1, &[]) },
        Change { also: Some(2), blobs: vec![3000], ..one(1, &[]) },
        Change { drop_oldest: true, ..one(2, &[]) },
        one(1, &[400_000, 10]),
        Change { also: Some(1), ..one(2, &[100_000]) },
        Change { clear: true, ..one(2, &[20]) },
        one(1, &[40_000, 40_000]),
    ]
}

/// Commits one change, and does it to the models where it is acknowledged. `false` where not.
fn apply(engine: &dyn Engine, change: &Change, step: u64, models: &mut Models) -> (bool, Models) {
    let mut after = models.clone();
    let mut batches = Vec::new();
    for account in [Some(change.account), change.also].into_iter().flatten().map(AccountId) {
        let model = after.entry(account).or_default();
        match batch(engine, account, change, step, model) {
            Ok(batch) => batches.push(batch),
            // The upload failed: nothing was committed.
            Err(_) => return (false, models.clone()),
        }
    }
    let done = commit(engine, batches).is_ok();
    if done {
        models.clone_from(&after);
    }
    (done, after)
}

fn batch(
    engine: &dyn Engine,
    account: AccountId,
    change: &Change,
    step: u64,
    model: &mut Model,
) -> Result<AccountBatch, Error> {
    let mut batch = AccountBatch { clear: change.clear, ..AccountBatch::new(account, CommitNumber(model.number)) };
    model.number += 1;
    if change.clear {
        model.entries.clear();
        model.blobs.clear();
    }
    if change.drop_oldest
        && let Some((id, _)) = model.blobs.pop_first()
    {
        batch.dropped.push(id);
        // What is said of it goes with it; this is in the journal.
        let key = sums_of(id);
        let others = sums(model.blobs.iter().filter(|(id, _)| sums_of(**id) == key).map(|(id, octets)| (*id, octets)));
        model.put(&mut batch.derived, Write { key, value: others.and_then(|write| write.value) });
    }
    if change.moves_oldest
        && let Some((id, bytes)) = model.blobs.first_key_value()
    {
        batch.dropped.push(*id);
        batch.blobs.push(engine::NewBlob { id: *id, upload: upload(engine, bytes)?, label: b"label".to_vec() });
    }
    for key in [format!("same/{account}"), format!("step/{step}")] {
        let value = format!("{step} of {account}").into_bytes();
        model.put(&mut batch.essential, Write { key: key.into_bytes(), value: Some(value) });
    }
    for (n, size) in change.blobs.iter().enumerate() {
        let id = step * 100 + n as u64;
        let mut random = Random::new(id ^ account.0 << 32);
        let bytes = if step.is_multiple_of(2) { random.text(*size) } else { random.bytes(*size) };
        let mut upload = upload(engine, &bytes)?;
        if id.is_multiple_of(3) {
            engine.write_out(&mut [&mut upload])?;
        }
        batch.blobs.push(engine::NewBlob { id: BlobId(id), upload, label: b"label".to_vec() });
        model.blobs.insert(BlobId(id), bytes);
    }
    let new = model.blobs.range(BlobId(step * 100)..).map(|(id, octets)| (*id, octets));
    if let Some(write) = sums(new) {
        model.put(&mut batch.from_blobs, write);
    }
    Ok(batch)
}

/// In two pieces.
fn upload(engine: &dyn Engine, bytes: &[u8]) -> Result<Upload, Error> {
    let (one, two) = bytes.split_at(bytes.len() / 10);
    let mut writer = engine.upload()?;
    writer.write(one)?;
    writer.cut()?;
    writer.write(two)?;
    writer.finish()
}

/// The engine holds exactly one of the two states, for all accounts together.
fn holds_either(engine: &dyn Engine, acknowledged: &Models, possible: &Models) -> Models {
    let found: Models =
        [A, B].into_iter().map(|account| (account, Model::of(&*engine.read(account).unwrap()))).collect();
    let full = |models: &Models| -> Models {
        [A, B].into_iter().map(|account| (account, models.get(&account).cloned().unwrap_or_default())).collect()
    };
    assert!(found == full(acknowledged) || found == full(possible), "{}", differences(&found, &full(acknowledged)));
    found
}

fn differences(found: &Models, expected: &Models) -> String {
    let shown = |models: &Models| {
        let brief = |(id, model): (&AccountId, &Model)| {
            let sizes: Vec<_> = model.blobs.iter().map(|(id, bytes)| (id.0, bytes.len())).collect();
            format!("account {id}: commit {}, {} keys, blobs {sizes:?}", model.number, model.entries.len())
        };
        models.iter().map(brief).collect::<Vec<_>>().join("; ")
    };
    format!("found {}, expected {}", shown(found), shown(expected))
}

fn clean(engine: &dyn Engine) {
    assert_eq!(engine.check().unwrap(), Vec::<String>::new());
}

const INDEX: [&str; 2] = ["index.db", "index.db-wal"];

/// SQLite's files as they are now, the log with them.
fn copy_index(from: &Path, to: &Path) {
    for name in INDEX {
        match fs::copy(from.join(name), to.join(name)) {
            Err(e) if e.kind() != ErrorKind::NotFound => panic!("{e}"),
            _ => {}
        }
    }
}

/// What a power cut leaves of SQLite's log in `dir`: it is synced before it is moved to the file, and not before
/// that. `shared` are the octets of SQLite's shared memory at that moment.
fn tear_log(dir: &Path, shared: &[u8], random: &mut Random) {
    let number = |at: usize| u32::from_ne_bytes(shared[at..at + 4].try_into().unwrap()) as u64;
    let (frames, moved) = (number(16), number(96));
    let log = dir.join(INDEX[1]);
    if moved >= frames || !log.exists() {
        return;
    }
    let bytes = fs::read(&log).unwrap();
    let page = u32::from_be_bytes(bytes[8..12].try_into().unwrap());
    let frame = 24 + u64::from(page);
    let at = 32 + frame * (moved + random.below(frames - moved + 1));
    let file = fs::File::options().write(true).open(&log).unwrap();
    // What was written later may be there all the same.
    if random.chance(2) {
        file.set_len(at).unwrap();
    } else if at < bytes.len() as u64 {
        file.write_all_at(&vec![0; frame as usize / 2], at).unwrap();
    }
}

/// Works until the power goes. What was acknowledged, and what may be there as well.
fn work_until_cut(
    engine: &dyn Engine,
    disk: &FaultDisk,
    changes: &[Change],
    first: u64,
    models: &mut Models,
) -> Models {
    for (step, change) in changes.iter().enumerate() {
        let (done, possible) = apply(engine, change, first + step as u64, models);
        assert!(done || disk.is_cut(), "nothing fails before the cut");
        if done && change.reclaim {
            let reclaimed = engine.reclaim().wait();
            assert!(reclaimed.is_ok() || disk.is_cut(), "{reclaimed:?}");
        }
        if disk.is_cut() {
            return possible;
        }
    }
    models.clone()
}

/// A store between two of its lives.
struct Store {
    /// What it holds.
    models: Models,
    disk: FaultDisk,
    dir: tempfile::TempDir,
}

impl Store {
    fn new(seed: u64) -> Self {
        Self { models: Models::new(), disk: FaultDisk::new(seed), dir: tempfile::tempdir().unwrap() }
    }

    /// Opens, works, loses its power at `cut`; then what is left is looked at.
    fn live(&mut self, changes: &[Change], first: u64, cut: u64) {
        let left = tempfile::tempdir().unwrap();
        let (from, to) = (self.dir.path().to_owned(), left.path().to_owned());
        let mut random = Random::new(cut ^ first << 32);
        self.disk.cut_at(cut, move || {
            copy_index(&from, &to);
            if let Ok(shared) = fs::read(from.join("index.db-shm")) {
                tear_log(&to, &shared, &mut random);
            }
        });
        let mut possible = self.models.clone();
        match open(self.dir.path(), &self.disk) {
            Ok(engine) => possible = work_until_cut(&engine, &self.disk, changes, first, &mut self.models),
            Err(e) => assert!(self.disk.is_cut(), "{e}"),
        }
        if self.disk.is_cut() {
            for name in INDEX {
                // Whatever SQLite wrote after the cut is undone.
                drop(fs::remove_file(self.dir.path().join(name)));
            }
            copy_index(left.path(), self.dir.path());
        }
        self.disk = self.disk.after_cut();
        let engine = open(self.dir.path(), &self.disk).unwrap();
        assert_eq!(engine.setback().unwrap(), None, "a power cut is no damage");
        self.models = holds_either(&engine, &self.models, &possible);
        clean(&engine);
    }
}

#[test]
fn every_cut_of_a_short_life() {
    let changes = short_workload();
    let whole = FaultDisk::new(0);
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), &whole).unwrap();
    let mut models = Models::new();
    work_until_cut(&engine, &whole, &changes, 1, &mut models);
    clean(&engine);
    drop(engine);
    let operations = whole.operations();
    assert!(operations > 25, "{operations}");

    for cut in 1..=operations + 1 {
        for seed in [cut, 1000 + cut] {
            let mut store = Store::new(seed);
            store.live(&changes, 1, cut);
            // The store is as good as a new one: it works on, and is cut once more.
            store.live(&changes, 50, 1 + seed % 20);
        }
    }
}

/// Bodies of both kinds that go and that stay, in segments that are given up one after the other.
fn workload_that_reclaims() -> Vec<Change> {
    let one = |account, blobs: &[usize]| Change { account, blobs: blobs.to_vec(), ..Change::default() };
    let drop = |account| Change { drop_oldest: true, ..one(account, &[]) };
    vec![
        one(1, &[50_000, 3000, 0]),
        one(2, &[90_000, 60_000, 120_000]),
        one(1, &[30_000]),
        drop(1),
        drop(2),
        Change { reclaim: true, ..drop(2) },
        // The copies are given up as well.
        one(1, &[150_000, 150_000]),
        Change { reclaim: true, ..Change { clear: true, ..one(2, &[10]) } },
        Change { drop_oldest: true, reclaim: true, ..one(1, &[70_000]) },
    ]
}

#[test]
fn every_cut_of_a_reclaim() {
    let changes = workload_that_reclaims();
    let whole = FaultDisk::new(0);
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), &whole).unwrap();
    work_until_cut(&engine, &whole, &changes, 1, &mut Models::new());
    clean(&engine);
    let figures = engine.figures().unwrap();
    assert!(figures.reclaimed > 280_000 && figures.copied > 40_000, "{figures:?}");
    drop(engine);
    let operations = whole.operations();
    assert!(operations > 50, "{operations}");

    for cut in 1..=operations + 1 {
        for seed in [cut, 1000 + cut, 2000 + cut] {
            let mut store = Store::new(seed);
            store.live(&changes, 1, cut);
            // Half a reclaim is gone on with, and what is left of it is found.
            store.live(&[Change { account: 1, reclaim: true, ..Change::default() }], 50, 1 + seed % 15);
            for _ in 0..2 {
                let engine = open(store.dir.path(), &store.disk).unwrap();
                engine.reclaim().wait().unwrap();
                clean(&engine);
                store.models = holds_either(&engine, &store.models, &store.models);
            }
            tidy(&store);
        }
    }
}

/// Nothing is left of what was given up: besides the newest segment no file is all dead.
fn tidy(store: &Store) {
    let engine = open(store.dir.path(), &store.disk).unwrap();
    let figures = engine.figures().unwrap();
    let files = store.disk.paths().into_iter().filter(|path| path.extension().is_some_and(|e| e == "seg")).count();
    assert_eq!(files as u64, figures.segments, "a file for each row");
    assert!(figures.dead < 300_000, "{figures:?}");
}

#[test]
fn many_lives() {
    let mut random = Random::new(11);
    let mut store = Store::new(5);
    for n in 1..=25 {
        let changes: Vec<_> = (0..12).map(|_| random_change(&mut random)).collect();
        store.live(&changes, n * 100, 1 + random.below(40));
    }
}

fn random_change(random: &mut Random) -> Change {
    let account = 1 + random.below(2);
    let size = |random: &mut Random| match random.below(6) {
        0 => 60_000 + random.below(10_000) as usize,
        1 => random.below(500_000) as usize,
        _ => random.below(9000) as usize,
    };
    Change {
        account,
        also: random.chance(4).then_some(3 - account),
        clear: random.chance(20),
        blobs: (0..random.below(3)).map(|_| size(random)).collect(),
        drop_oldest: random.chance(2),
        moves_oldest: random.chance(4),
        reclaim: random.chance(4),
    }
}

/// Here SQLite's files stay in place: its commits after the cut, of batches without bodies, count.
#[test]
fn a_cut_under_many_writers() {
    for seed in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultDisk::new(seed);
        disk.cut_at(20 + seed * 17, || {});
        let engine = open(dir.path(), &disk).unwrap();
        let writer = |account: u64| {
            let (engine, disk) = (&engine, &disk);
            move || {
                let mut random = Random::new(seed * 100 + account);
                let mut models = Models::new();
                for step in 0..200 {
                    let change = Change { account, also: None, ..random_change(&mut random) };
                    let (done, possible) = apply(engine, &change, step, &mut models);
                    if !done {
                        assert!(disk.is_cut());
                        return (models, possible);
                    }
                }
                (models.clone(), models)
            }
        };
        let ends: Vec<(Models, Models)> = thread::scope(|scope| {
            let threads: Vec<_> = (1..=4).map(|account| scope.spawn(writer(account))).collect();
            // Space is given back all the time; after the cut that fails.
            while engine.reclaim().wait().is_ok() && !threads.iter().all(thread::ScopedJoinHandle::is_finished) {}
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        drop(engine);
        let disk = disk.after_cut();
        let engine = open(dir.path(), &disk).unwrap();
        assert_eq!(engine.setback().unwrap(), None, "a power cut is no damage");
        for (account, (acknowledged, possible)) in (1..=4).map(AccountId).zip(ends) {
            let found = Model::of(&*engine.read(account).unwrap());
            let is = |models: &Models| found == models.get(&account).cloned().unwrap_or_default();
            assert!(is(&acknowledged) || is(&possible), "account {account}, seed {seed}");
        }
        clean(&engine);
    }
}

/// Cannot be compressed.
fn large() -> Vec<u8> {
    Random::new(2).bytes(100_000)
}

/// A store with one commit in each account.
fn begun(disk: &FaultDisk) -> (tempfile::TempDir, Local) {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), disk).unwrap();
    for account in [A, B] {
        let blobs = vec![new_blob(&engine, 1, b"first"), new_blob(&engine, 2, &large())];
        commit(&engine, vec![AccountBatch { blobs, ..puts(account, 0, &[(b"k", Some(b"v"))]) }]).unwrap();
    }
    (dir, engine)
}

fn with_blob(engine: &Local, account: AccountId, expect: u64) -> Result<(), CommitError> {
    let blobs = vec![new_blob(engine, 100 + expect, b"more")];
    commit(engine, vec![AccountBatch { blobs, ..puts(account, expect, &[(b"k", Some(b"w"))]) }])
}

#[test]
fn a_failed_write_or_sync_ends_writing_until_the_store_is_opened_again() {
    for (call, short) in [(Call::Write, false), (Call::Write, true), (Call::Sync, false)] {
        let disk = FaultDisk::new(1);
        let (dir, engine) = begun(&disk);
        disk.fail(Fault { short, ..Fault::next(call, ErrorKind::Other) });
        assert!(matches!(with_blob(&engine, A, 1), Err(CommitError::Failed(Error::Io(_)))), "{call:?}");
        // The disk is well again, but nobody knows what is on it.
        let reason = engine.read_only().unwrap();
        assert!(reason.contains("segment"), "{reason}");
        let refused = commit(&engine, vec![puts(B, 1, &[(b"k", Some(b"w"))])]);
        assert!(matches!(refused, Err(CommitError::Failed(Error::ReadOnly(r))) if r == reason));
        assert!(matches!(engine.upload(), Err(Error::ReadOnly(_))));
        for account in [A, B] {
            let view = engine.read(account).unwrap();
            assert_eq!(view.get(b"k").unwrap().as_deref(), Some(&b"v"[..]));
            assert_eq!(content(&*view.blob(BlobId(1)).unwrap().unwrap()), b"first");
        }
        drop(engine);
        let engine = open(dir.path(), &disk.after_cut()).unwrap();
        assert_eq!(engine.read_only(), None);
        // What could not be synced may be on the disk, wholly or not at all.
        let number = engine.read(A).unwrap().commit_number().0;
        assert!(number == 1 || call == Call::Sync && number == 2, "{number} after {call:?}");
        assert_eq!(engine.read(A).unwrap().blob(BlobId(101)).unwrap().is_some(), number == 2);
        with_blob(&engine, A, number).unwrap();
        with_blob(&engine, B, 1).unwrap();
        clean(&engine);
    }
}

#[test]
fn a_failed_piece_of_an_upload_ends_writing_too() {
    let disk = FaultDisk::new(2);
    let (_dir, engine) = begun(&disk);
    let mut upload = engine.upload().unwrap();
    upload.write(&[1; 100_000]).unwrap();
    disk.fail(Fault::next(Call::Write, ErrorKind::Other));
    assert!(matches!(upload.write(&[1; 400_000]), Err(Error::Io(_))));
    assert!(matches!(upload.finish(), Err(Error::ReadOnly(_))));
    assert!(matches!(commit(&engine, vec![puts(A, 1, &[])]), Err(CommitError::Failed(Error::ReadOnly(_)))));
}

#[test]
fn a_full_disk_is_refused_early_and_service_resumes() {
    let disk = FaultDisk::new(3);
    let (_dir, engine) = begun(&disk);
    let upload = engine.upload().unwrap();
    // Less than the reserve: no bodies, but everything else.
    disk.set_free((1 << 20) - 1);
    let before = disk.operations();
    assert!(matches!(engine.upload(), Err(Error::Full)));
    let blobs = vec![engine::NewBlob { id: BlobId(50), upload: upload.finish().unwrap(), label: vec![] }];
    let refused = commit(&engine, vec![AccountBatch { blobs, ..puts(A, 1, &[]) }]);
    assert!(matches!(refused, Err(CommitError::Failed(Error::Full))));
    assert_eq!(disk.operations(), before, "nothing was tried");
    commit(&engine, vec![AccountBatch { dropped: vec![BlobId(1)], ..puts(A, 1, &[(b"k", None)]) }]).unwrap();
    // A quarter of the reserve: reading goes on.
    disk.set_free((1 << 18) - 1);
    let refused = commit(&engine, vec![puts(A, 2, &[(b"k", None)])]);
    assert!(matches!(refused, Err(CommitError::Failed(Error::Full))));
    assert_eq!(content(&*engine.read(B).unwrap().blob(BlobId(1)).unwrap().unwrap()), b"first");
    assert_eq!(engine.read_only(), None);

    disk.set_free(PLENTY);
    with_blob(&engine, A, 2).unwrap();
    clean(&engine);
}

#[test]
fn a_disk_that_is_full_all_the_same_does_not_end_writing() {
    for short in [false, true] {
        for call in [Call::Write, Call::Create] {
            let disk = FaultDisk::new(4);
            let (dir, engine) = begun(&disk);
            disk.fail(Fault { short, ..Fault::next(call, ErrorKind::StorageFull) });
            let body = Random::new(9).bytes(60_000);
            let blobs = vec![new_blob(&engine, 9, &body), new_blob(&engine, 10, &body)];
            let result = commit(&engine, vec![AccountBatch { blobs, ..puts(A, 1, &[]) }]);
            assert!(matches!(result, Err(CommitError::Failed(Error::Full))), "{call:?}");
            assert_eq!(engine.read_only(), None);
            with_blob(&engine, A, 1).unwrap();
            clean(&engine);
            drop(engine);
            let engine = open(dir.path(), &disk.after_cut()).unwrap();
            with_blob(&engine, A, 2).unwrap();
            clean(&engine);
        }
    }
}

#[test]
fn a_failed_sync_of_the_directory_ends_writing() {
    let disk = FaultDisk::new(6);
    disk.fail(Fault::next(Call::SyncDir, ErrorKind::Other));
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), &disk).unwrap();
    assert!(matches!(with_blob(&engine, A, 0), Err(CommitError::Failed(Error::Io(_)))));
    assert!(engine.read_only().is_some());
}

#[test]
fn damage_is_named_and_the_rest_can_be_read() {
    let disk = FaultDisk::new(7);
    let (dir, engine) = begun(&disk);
    let path = disk.paths().into_iter().next().unwrap();
    let at = disk.content(&path).unwrap().windows(5).position(|w| w == b"first").unwrap();
    disk.damage(&path, at + 2);
    let mut engine = Some(engine);
    for _ in 0..2 {
        let engine = engine.take().unwrap_or_else(|| open(dir.path(), &disk).unwrap());
        let blob = engine.read(A).unwrap().blob(BlobId(1)).unwrap().unwrap();
        let mut out = b"before".to_vec();
        let error = blob.read(0..5, &mut out).unwrap_err();
        assert_eq!(out, b"before", "never a wrong octet");
        assert!(matches!(&error, Error::Damaged(what) if what.starts_with("account 1, blob 1:")), "{error}");
        assert_eq!(content(&*engine.read(B).unwrap().blob(BlobId(1)).unwrap().unwrap()), b"first");
        assert!(content(&*engine.read(A).unwrap().blob(BlobId(2)).unwrap().unwrap()) == large());
        let wrong = engine.check().unwrap();
        assert!(wrong.len() == 1 && wrong[0].starts_with("account 1, blob 1:"), "{wrong:?}");
    }
}

#[test]
fn a_missing_segment_is_named() {
    let disk = FaultDisk::new(8);
    let (dir, engine) = begun(&disk);
    drop(engine);
    let path = disk.paths().into_iter().next().unwrap();
    disk.remove(&path).unwrap();
    let engine = open(dir.path(), &disk).unwrap();
    assert!(matches!(engine.read(A).unwrap().blob(BlobId(1)), Err(Error::Damaged(_))));
    assert!(engine.check().unwrap().iter().any(|line| line.contains("segment 1 is missing")));
    with_blob(&engine, A, 1).unwrap();
}

#[test]
fn a_bad_spot_on_the_disk_is_damage_not_an_empty_body() {
    let disk = FaultDisk::new(9);
    let (_dir, engine) = begun(&disk);
    let blob = engine.read(A).unwrap().blob(BlobId(1)).unwrap().unwrap();
    disk.fail(Fault::next(Call::Read, ErrorKind::Other));
    assert!(matches!(blob.read(0..5, &mut Vec::new()), Err(Error::Damaged(_))));
    assert_eq!(content(&*blob), b"first");
    assert_eq!(engine.read_only(), None);
}
