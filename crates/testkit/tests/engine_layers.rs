//! Views of `engine::local` over what is in the index, on its way there, and not yet.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use engine::local::{Local, Options};
use engine::memory::Memory;
use engine::{AccountBatch, BlobId, CommitNumber, Engine, ReadView, Write};
use testkit::engine_suite::{blobs, commit, entries, new_blob};
use testkit::fault_disk::{FaultDisk, Random};
use types::AccountId;

fn open(dir: &Path, disk: &FaultDisk, overlay: usize) -> Local {
    let disk = Arc::new(disk.clone());
    let (reserve, segment_size, checkpoint_pages) = (0, 200_000, 100);
    Local::open(dir, Options { disk, reserve, overlay, segment_size, checkpoint_pages, ..Options::default() }).unwrap()
}

/// Everything that a view can be asked gives the same.
fn assert_same(found: &dyn ReadView, expected: &dyn ReadView, random: &mut Random, context: &str) {
    assert_eq!(found.commit_number(), expected.commit_number(), "{context}");
    assert_eq!(entries(found), entries(expected), "{context}");
    assert_eq!(blobs(found), blobs(expected), "{context}");
    for _ in 0..10 {
        let [from, to] = [key(random), key(random)];
        assert_eq!(found.get(&from).unwrap(), expected.get(&from).unwrap(), "{context}");
        assert_eq!(found.last(&from..&to).unwrap(), expected.last(&from..&to).unwrap(), "{context}");
        let keys = |view: &dyn ReadView| {
            let mut keys = vec![];
            let each = &mut |key: &[u8]| {
                keys.push(key.to_vec());
                std::ops::ControlFlow::Continue(())
            };
            view.keys(&from..&to, each).unwrap();
            keys
        };
        assert_eq!(keys(found), keys(expected), "{context}");
    }
}

fn key(random: &mut Random) -> Vec<u8> {
    format!("{:02}", random.below(40)).into_bytes()
}

/// A batch of one account, twice.
fn change(
    engines: [&dyn Engine; 2],
    account: AccountId,
    random: &mut Random,
    blob: &mut u64,
    live: &mut Vec<u64>,
) -> [AccountBatch; 2] {
    let number = CommitNumber(engines[1].read(account).unwrap().commit_number().0);
    let mut batches = [AccountBatch::new(account, number), AccountBatch::new(account, number)];
    let clear = random.chance(15);
    if clear {
        live.clear();
    }
    let writes: Vec<Write> = (0..random.below(8))
        .map(|_| {
            let len = random.below(60) as usize;
            Write { key: key(random), value: (!random.chance(3)).then(|| random.bytes(len)) }
        })
        .collect();
    let brings = random.chance(2).then(|| {
        *blob += 1;
        (*blob, random.bytes(50))
    });
    let drops = (!clear && random.chance(3)).then(|| live.pop()).flatten();
    for (batch, engine) in batches.iter_mut().zip(engines) {
        batch.clear = clear;
        let (derived, essential): (Vec<_>, Vec<_>) = writes.iter().cloned().partition(|write| write.key[1] == b'7');
        (batch.essential, batch.derived) = (essential, derived);
        batch.blobs = brings.iter().map(|(id, bytes)| new_blob(engine, *id, bytes)).collect();
        batch.dropped = drops.map(BlobId).into_iter().collect();
    }
    live.extend(brings.map(|(id, _)| id));
    batches
}

/// A view, one of the same commit of the engine in memory, and when they began.
type Held = (Box<dyn ReadView>, Box<dyn ReadView>, usize);

/// Views are held while layers come and go; what they show is what the engine in memory shows.
#[test]
fn views_hold_still_over_layers() {
    for seed in 0..6 {
        let mut random = Random::new(seed);
        let dir = tempfile::tempdir().unwrap();
        let (disk, memory) = (FaultDisk::new(seed), Memory::new());
        // Flushed when told so, or by itself after a group or some.
        let overlay = [usize::MAX >> 8, 1, 3000][seed as usize % 3];
        let mut local = Some(open(dir.path(), &disk, overlay));
        let mut held: Vec<Held> = vec![];
        let (mut blob, mut live) = (0, [vec![], vec![], vec![]]);
        for step in 0..100 {
            let engine = local.as_ref().unwrap();
            let account = AccountId(random.below(3));
            let [ours, theirs] =
                change([engine, &memory], account, &mut random, &mut blob, &mut live[account.0 as usize]);
            commit(engine, vec![ours]).unwrap();
            commit(&memory, vec![theirs]).unwrap();
            if random.chance(5) {
                engine.flush().unwrap();
            }
            let account = AccountId(random.below(3));
            held.push((engine.read(account).unwrap(), memory.read(account).unwrap(), step));
            let at = random.below(held.len() as u64) as usize;
            let (found, expected, since) = &held[at];
            assert_same(
                &**found,
                &**expected,
                &mut random,
                &format!("seed {seed}, view of step {since} at step {step}"),
            );
            if held.len() > 8 {
                held.swap_remove(at);
            }
            if random.chance(40) {
                held.clear();
                // In the one case all is flushed at the end; what a journal brings back another test shows.
                drop(local.take());
                local = Some(open(dir.path(), &disk, overlay));
            }
        }
        assert_eq!(local.unwrap().check().unwrap(), Vec::<String>::new());
    }
}

/// Whoever looks while all of it goes on sees one commit: every key says which.
#[test]
fn no_view_sees_two_commits() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), &FaultDisk::new(1), 2000);
    let account = AccountId(1);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let view = engine.read(account).unwrap();
                    let number = view.commit_number().0;
                    assert!(number >= last, "no view goes back");
                    last = number;
                    let values = entries(&*view);
                    assert_eq!(values.len(), if number == 0 { 0 } else { 20 });
                    assert!(values.values().all(|value| *value == number.to_be_bytes()), "commit {number}: {values:?}");
                }
            });
        }
        for number in 0..150u64 {
            let value = Some((number + 1).to_be_bytes().to_vec());
            let write = |n| Write { key: vec![n], value: value.clone() };
            let essential = (0..20).map(write).collect();
            let batch = AccountBatch { essential, ..AccountBatch::new(account, CommitNumber(number)) };
            commit(&engine, vec![batch]).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(engine.check().unwrap(), Vec::<String>::new());
}
