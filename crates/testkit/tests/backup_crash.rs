//! A backup or a restore of `engine::local` when the power goes at any of its steps, or any call fails.
//!
//! A backup that was cut off never looks whole when it is not, and the one before it is as it was. A store
//! that was not restored to its end is not opened, and restoring it again makes it whole. What SQLite writes is on real files here,
//! and counts as not synced until the engine has synced it (`testkit::watched_disk`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::local::{Archive, Local, OpenError, Options, Reclaim};
use engine::{AccountBatch, Engine, Write};
use testkit::engine_suite::{Model, commit, new_blob};
use testkit::fault_disk::Random;
use testkit::watched_disk::WatchedDisk;
use types::AccountId;

const ACCOUNTS: [AccountId; 2] = [AccountId(1), AccountId(2)];

type Models = BTreeMap<AccountId, Model>;

fn options(disk: &WatchedDisk) -> Options {
    Options {
        disk: Arc::new(disk.clone()),
        segment_size: 100_000,
        reserve: 0,
        reclaim: Reclaim { rate: u64::MAX, every: None, ..Reclaim::default() },
        ..Options::default()
    }
}

fn models(engine: &dyn Engine) -> Models {
    ACCOUNTS.iter().map(|&account| (account, Model::of(&*engine.read(account).unwrap()))).collect()
}

/// So many commits of each account, each with a message or two; every third drops the oldest.
fn work(engine: &Local, first: u64, steps: u64) {
    for step in first..first + steps {
        for account in ACCOUNTS {
            let view = engine.read(account).unwrap();
            let mut batch = AccountBatch::new(account, view.commit_number());
            let value = format!("{step} of {account}").into_bytes();
            batch.essential.push(Write { key: format!("key/{}", step % 5).into_bytes(), value: Some(value) });
            let size = [300, 5_000, 30_000, 70_000][step as usize % 4];
            batch.blobs.push(new_blob(engine, step, &Random::new(step ^ account.0 << 32).bytes(size)));
            if step % 3 == 2 {
                batch.dropped.extend(view.blobs().unwrap().first());
            }
            drop(view);
            commit(engine, vec![batch]).unwrap();
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A whole backup as it reads, verified; `None` where there is none.
fn read(backup: &Path) -> Option<Models> {
    if !backup.join("index.db").exists() {
        return None;
    }
    let archive = Archive::open(backup).unwrap();
    assert_eq!(archive.check().unwrap(), Vec::<String>::new(), "{}", backup.display());
    Some(models(&archive))
}

/// Runs `attempt` on copies of `before` until nothing more can happen to it, with every kind of trouble at every step. `look` is
/// given what is left, and whether the attempt said yes. How many steps there were.
fn everywhere(
    disk: &WatchedDisk,
    before: Option<&Path>,
    attempt: impl Fn(&Path) -> bool,
    look: impl Fn(&Path, bool, &str),
) -> u64 {
    let mut steps = 0;
    for cuts in [true, false] {
        for n in 1.. {
            let dir = tempfile::tempdir().unwrap();
            let (place, after) = (dir.path().join("place"), dir.path().join("after"));
            fs::create_dir(&place).unwrap();
            if let Some(before) = before {
                copy(before, &place);
            }
            disk.settle(&place).unwrap();
            let trouble = format!("{} at step {n}", if cuts { "a cut" } else { "a failure" });
            if cuts {
                disk.cut_after(n)
            } else {
                disk.fail_after(n)
            }
            let done = attempt(&place);
            let happened = disk.is_cut() || disk.has_failed();
            let left = if disk.is_cut() {
                disk.after_cut(&place, &after).unwrap();
                after
            } else {
                place
            };
            disk.heal();
            look(&left, done, &trouble);
            if !happened {
                assert!(done, "nothing was in the way");
                break;
            }
            steps += 1;
        }
    }
    steps
}

fn names(dir: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into()).collect();
    names.sort();
    names
}

#[test]
fn a_backup_that_is_cut_off_harms_no_backup() {
    for seed in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let disk = WatchedDisk::new(seed);
        let engine = Local::open(dir.path().join("store"), options(&disk)).unwrap();
        let attempt = |to: &Path| engine.backup(to).is_ok();
        let earlier = dir.path().join("earlier");

        work(&engine, 0, 9);
        let first = models(&engine);
        let steps = everywhere(&disk, None, attempt, |left, done, trouble| {
            let found = read(left);
            assert!(
                if done { found.as_ref() == Some(&first) } else { found.is_none() || found.as_ref() == Some(&first) },
                "{trouble:?}"
            );
            engine.backup(left).unwrap();
            assert_eq!(read(left).as_ref(), Some(&first), "{trouble:?}: again");
        });
        assert!(steps > 20, "{steps}");
        engine.backup(&earlier).unwrap();

        // Some of its segments grow, some go, some come.
        work(&engine, 9, 8);
        engine.reclaim().wait().unwrap();
        let second = models(&engine);
        assert!(first != second);
        let whole = dir.path().join("whole");
        engine.backup(&whole).unwrap();
        let wanted = names(&whole.join("segments"));
        assert_ne!(names(&earlier.join("segments")), wanted);
        everywhere(&disk, Some(&earlier), attempt, |left, done, trouble| {
            let found = read(left).expect("the earlier backup is there");
            assert!(found == second || !done && found == first, "{trouble:?}");
            engine.backup(left).unwrap();
            assert_eq!(read(left).as_ref(), Some(&second), "{trouble:?}: again");
            assert_eq!(names(&left.join("segments")), wanted, "{trouble:?}: nothing is left lying about");
        });
    }
}

#[test]
fn a_restore_that_is_cut_off_is_no_store_and_can_be_repeated() {
    for seed in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let disk = WatchedDisk::new(seed);
        let backup = dir.path().join("backup");
        let engine = Local::open(dir.path().join("store"), options(&disk)).unwrap();
        work(&engine, 0, 9);
        engine.backup(&backup).unwrap();
        let wanted = models(&engine);
        let attempt = |to: &Path| Local::restore(&backup, to, &options(&disk), true).is_ok();
        let steps = everywhere(&disk, None, attempt, |left, done, trouble| {
            let opened = || Local::open(left, Options { reserve: 0, ..Options::default() });
            if left.join("restoring").exists() {
                assert!(matches!(opened(), Err(OpenError::Restoring(_))), "{trouble:?}");
            }
            if done || left.join("index.db").exists() && !left.join("restoring").exists() {
                assert!(models(&opened().unwrap()) == wanted, "{trouble:?}");
                return;
            }
            let restarted = Local::restore(&backup, left, &options(&disk), true);
            assert!(restarted.is_ok(), "{trouble:?}: {restarted:?}");
            assert!(models(&opened().unwrap()) == wanted, "{trouble:?}: again");
        });
        assert!(steps > 20, "{steps}");
    }
}

/// Segments of two stores have the same numbers: the backup of one is not renewed from the other.
#[test]
fn the_backup_of_another_store_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let disk = WatchedDisk::new(1);
    let backup = dir.path().join("backup");
    let stores = ["one", "other"].map(|name| {
        let engine = Local::open(dir.path().join(name), options(&disk)).unwrap();
        work(&engine, 0, 3);
        engine
    });
    stores[0].backup(&backup).unwrap();
    let wanted = models(&stores[0]);
    let refused = stores[1].backup(&backup).unwrap_err().to_string();
    assert!(refused.contains("choose another directory"), "{refused}");
    assert_eq!(read(&backup), Some(wanted));
}
