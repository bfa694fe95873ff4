//! `kill -9` of a process that commits: every acknowledged commit is found again, none by half.
//!
//! The process is this test's own binary, told by a variable to be the one that is killed.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::env;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use engine::local::{Local, Options};
use engine::{AccountBatch, Batch, BlobId, CommitNumber, Engine, NewBlob, Write};
use types::AccountId;

const DIR: &str = "PILLARBOX_TEST_KILLED_IN";
const WRITERS: u64 = 4;

#[test]
fn acknowledged_commits_survive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = [0; WRITERS as usize];
    for round in 1..=6 {
        work_until_killed(dir.path(), 40 * round, &mut acknowledged);
        let engine = open(dir.path());
        for (account, number) in (0..WRITERS).zip(&mut acknowledged) {
            let found = whole_commits(&engine, AccountId(account));
            assert!(found >= *number, "account {account}: {number} acknowledged, {found} found");
            *number = found;
        }
        assert_eq!(engine.check().unwrap(), Vec::<String>::new());
    }
}

/// Kills it after so many acknowledgements, and notes all that it managed to say.
fn work_until_killed(dir: &Path, after: usize, acknowledged: &mut [u64]) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "the_process_that_is_killed", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines.map_while(Result::ok).filter_map(|line| {
        let (account, number) = line.strip_prefix("committed ")?.split_once(' ')?;
        Some((account.parse::<usize>().ok()?, number.strip_suffix(';')?.parse::<u64>().ok()?))
    });
    let mut count = 0;
    for (account, number) in said {
        if let Some(last) = acknowledged.get_mut(account) {
            *last = number;
        }
        count += 1;
        if count == after {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(count >= after);
}

/// How many commits the account has; each must be there as a whole.
fn whole_commits(engine: &Local, account: AccountId) -> u64 {
    let view = engine.read(account).unwrap();
    let number = view.commit_number().0;
    assert_eq!(view.get(b"number").unwrap(), (number > 0).then(|| number.to_be_bytes().to_vec()));
    assert_eq!(view.blobs().unwrap(), (1..=number).map(BlobId).collect::<Vec<_>>());
    for id in 1..=number {
        let blob = view.blob(BlobId(id)).unwrap().unwrap();
        let mut bytes = Vec::new();
        blob.read(0..blob.size(), &mut bytes).unwrap();
        assert_eq!(bytes, body(id));
    }
    number
}

#[test]
fn the_process_that_is_killed() {
    let Some(dir) = env::var_os(DIR) else { return };
    let engine = open(Path::new(&dir));
    thread::scope(|scope| {
        for account in 0..WRITERS {
            let engine = &engine;
            scope.spawn(move || commit_for_ever(engine, AccountId(account)));
        }
    });
}

fn commit_for_ever(engine: &Local, account: AccountId) {
    let mut number = engine.read(account).unwrap().commit_number().0;
    loop {
        let mut writer = engine.upload().unwrap();
        writer.write(&body(number + 1)).unwrap();
        let blob = NewBlob { id: BlobId(number + 1), upload: writer.finish().unwrap(), label: vec![] };
        let value = (number + 1).to_be_bytes().to_vec();
        let change = AccountBatch {
            essential: vec![Write { key: b"number".to_vec(), value: Some(value) }],
            blobs: vec![blob],
            ..AccountBatch::new(account, CommitNumber(number))
        };
        engine.commit(Batch { accounts: vec![change] }).wait().unwrap();
        number += 1;
        // One write, so that a kill leaves whole lines; nobody listens once the test has failed.
        let said = std::io::stdout().write_all(format!("committed {account} {number};\n").as_bytes());
        if said.is_err() {
            return;
        }
    }
}

/// Every tenth is large.
fn body(id: u64) -> Vec<u8> {
    let len = if id.is_multiple_of(10) { 70_000 } else { 3000 };
    (0..len).map(|n| (n * 7 + id) as u8).collect()
}

fn open(dir: &Path) -> Local {
    Local::open(dir, Options { reserve: 0, checkpoint_pages: 50, ..Options::default() }).unwrap()
}
