//! Any part of any file is flipped, zeroed, cut off or deleted: the store opens, serves what is whole, never
//! gives a wrong body, names what is damaged; and what can be put right is right after the repair.
//!
//! `DAMAGE_ROUNDS=2000 cargo test -p store --test damage` for a long run; `DAMAGE_SEED` begins elsewhere.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::Codec;
use engine::local::{Local, OpenError, Options, Reclaim};
use engine::{Engine, about_blob};
use store::{Account, FlagChange, FlagMode, Missing, NewMessage, Store, SystemClock};
use types::{AccountName, Flags, IdSet, MailboxName, ModSeq, Principal};

const ACCOUNTS: [&str; 2] = ["alice", "bob"];
const MESSAGES: usize = 40;

/// Splits a seed into choices (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }
}

fn options() -> Options {
    let reclaim = Reclaim { every: None, ..Reclaim::default() };
    Options {
        reserve: 0,
        segment_size: 80_000,
        checkpoint_pages: 40,
        codec: Codec::Zstd,
        reclaim,
        from_blobs: Some(Arc::new(store::CardsOfBodies::default())),
        ..Options::default()
    }
}

fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

/// Every message has a body of its own, which says whose it is.
fn body(account: &str, n: usize) -> Vec<u8> {
    let size = match n % 10 {
        3 => 90_000,
        7 => 20_000,
        _ => 300 + n * 37,
    };
    let line = format!("this is line %% of message {n} of {account}\r\n");
    // Of which about half can be spared.
    let noise = |at: u64| (at ^ (n as u64 * 1000)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut body = format!("Subject: {account} {n}\r\nMessage-ID: <{n}@{account}>\r\n\r\n").into_bytes();
    let mut at = 0;
    while body.len() < size {
        body.extend_from_slice(line.replace("%%", &format!("{at}, {:016x}{:016x},", noise(at), noise(!at))).as_bytes());
        at += 1;
    }
    body
}

async fn append(account: &Account, who: &Principal, to: &str, owner: &str, n: usize) {
    let mut incoming = account.receive().unwrap();
    incoming.push(&body(owner, n)).unwrap();
    let message = NewMessage { content: incoming.finish().unwrap(), flags: Flags::NONE, internal_date: None };
    account.append(who, &name(to), vec![message]).await.unwrap();
}

/// A store as `kill -9` leaves it, with a copy of the index from the middle of its life.
async fn populate(dir: &Path) -> Arc<Local> {
    let engine = Arc::new(Local::open(dir, options()).unwrap());
    let store = Store::open(engine.clone(), Arc::new(SystemClock), store::Options::default()).unwrap();
    let mut accounts = vec![];
    for owner in ACCOUNTS {
        let id = store.create_account(&AccountName::new(owner).unwrap(), "hash".into()).await.unwrap();
        accounts.push((owner, store.account(id).unwrap(), Principal { account: id }));
    }
    for n in 0..MESSAGES {
        for (owner, account, who) in &accounts {
            let to = ["INBOX", "Archive", "Sent"][n % 3];
            append(account, who, to, owner, n).await;
            let mailbox = account.open(who, &name(to)).unwrap();
            let uids = mailbox.snapshot().unwrap().uids();
            let last = IdSet::range(uids.last().unwrap(), uids.last().unwrap());
            if n % 4 == 1 {
                let seen = Flags::from_parts(Flags::SEEN_BIT, []);
                let change = FlagChange { mode: FlagMode::Add, flags: seen, unchanged_since: None };
                mailbox.store_flags(who, last.clone(), change, ModSeq::ZERO).await.unwrap();
            }
            if n % 7 == 2 {
                mailbox.copy(who, last.clone(), &name("Junk"), Missing::Refuse).await.unwrap();
            }
            if n % 9 == 5 {
                mailbox.relocate(who, last, &name("Trash"), Missing::Refuse).await.unwrap();
            }
        }
        if n == MESSAGES / 2 {
            engine.copy_index(2).unwrap().unwrap();
        }
    }
    engine
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = vec![];
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            all.extend(files(&entry.path()));
        } else {
            all.push(entry.path());
        }
    }
    all.sort();
    all
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let path = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(&file, path).unwrap();
    }
}

/// Which file, and what was done to it.
fn damage(dir: &Path, random: &mut Random) -> (PathBuf, String) {
    let mut files = files(dir);
    let wanted =
        ["index.db", "index.db", "index.db", "index.db-wal", "segments", "segments", ""][random.below(7) as usize];
    let is_wanted = |path: &PathBuf| path.strip_prefix(dir).unwrap().starts_with(wanted);
    if files.iter().any(is_wanted) {
        files.retain(is_wanted);
    }
    let path = files[random.below(files.len() as u64) as usize].clone();
    let len = fs::metadata(&path).unwrap().len();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let at = random.below(len);
    let what = match random.below(8) {
        0 => {
            fs::remove_file(&path).unwrap();
            "deleted".to_owned()
        }
        1 => {
            file.set_len(at).unwrap();
            format!("cut off at {at}")
        }
        2 | 3 => {
            let zeros = vec![0; [16, 512, 4096, 8192][random.below(4) as usize].min(len - at.min(len)) as usize];
            file.write_all_at(&zeros, at).unwrap();
            format!("{} octets zeroed at {at}", zeros.len())
        }
        _ => {
            let mut octet = [0];
            let mut said = "bits flipped at".to_owned();
            // The header is small, and says what everything else is.
            let end = if random.below(4) == 0 { len.min(100) } else { len };
            for _ in 0..1 + random.below(4) {
                let at = random.below(end);
                if file.read_exact_at(&mut octet, at).is_ok() {
                    octet[0] ^= 1 << random.below(8);
                    file.write_all_at(&octet, at).unwrap();
                    said.push_str(&format!(" {at}"));
                }
            }
            said
        }
    };
    (path, what)
}

/// What the store gives: the messages that are whole, and what it says is wrong.
#[derive(Default)]
struct Seen {
    whole: BTreeSet<(String, usize)>,
    wrong: Vec<String>,
}

fn look(store: &Store) -> Seen {
    let mut seen = Seen::default();
    for record in store.accounts().unwrap() {
        let account = match store.account(record.id) {
            Ok(account) => account,
            Err(e) => {
                seen.wrong.push(format!("{}: {e}", record.name));
                continue;
            }
        };
        let who = Principal { account: record.id };
        for entry in account.tree().entries() {
            let mailbox = account.open(&who, &entry.name).unwrap();
            if let Err(e) = walk(&mailbox, &mut seen) {
                seen.wrong.push(format!("{} {}: {e}", record.name, entry.name));
            }
        }
    }
    seen
}

fn walk(mailbox: &store::Mailbox, seen: &mut Seen) -> store::Result<()> {
    let snapshot = mailbox.snapshot()?;
    for chunk in snapshot.chunks(&snapshot.uids()) {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(e) => {
                seen.wrong.push(e.to_string());
                continue;
            }
        };
        for row in chunk.rows() {
            let read = || -> store::Result<Vec<u8>> {
                let Some(blob) = mailbox.body(row.email)? else { return Err(store::Error::Damaged("no body".into())) };
                let mut out = vec![];
                blob.read(0..blob.size(), &mut out)?;
                Ok(out)
            };
            match read() {
                Ok(octets) => {
                    let text = String::from_utf8(octets.clone()).unwrap();
                    let mut words = text.lines().next().unwrap().split(' ').skip(1);
                    let (owner, n) = (words.next().unwrap().to_owned(), words.next().unwrap().parse().unwrap());
                    assert!(octets == body(&owner, n), "a wrong body was given for {owner} {n}");
                    seen.whole.insert((owner, n));
                }
                Err(e) => seen.wrong.push(format!("UID {}: {e}", row.uid)),
            }
        }
    }
    Ok(())
}

/// As the program opens a store.
async fn open(dir: &Path) -> (Arc<Local>, Store, Vec<String>) {
    let mut again = false;
    loop {
        let engine = match Local::open(dir, options()) {
            Ok(engine) => Arc::new(engine),
            // The writer of an account lets go of the engine a moment after it has answered.
            Err(OpenError::Locked(_)) => {
                std::thread::yield_now();
                continue;
            }
            Err(e) => panic!("{e}"),
        };
        match Store::open(engine.clone(), Arc::new(SystemClock), store::Options::default()) {
            Ok(store) => {
                let said = store.recover().await.unwrap();
                return (engine, store, said);
            }
            Err(e) => {
                assert!(!again, "{e}");
                again = true;
                drop(engine);
                Local::rebuild(dir, &options(), &BTreeSet::new()).unwrap();
            }
        }
    }
}

/// As `pillarbox check --repair` does.
async fn repair(dir: &Path) -> (Store, Vec<String>) {
    let mut said = vec![];
    for _ in 0..2 {
        let (engine, store, more) = open(dir).await;
        said.extend(more);
        let sound = engine.check().unwrap().iter().all(|line| about_blob(line).is_some());
        let inconsistent = store.inconsistent().unwrap();
        drop((engine, store));
        if sound && inconsistent.is_empty() {
            break;
        }
        loop {
            match Local::rebuild(dir, &options(), &inconsistent) {
                Err(OpenError::Locked(_)) => std::thread::yield_now(),
                done => break said.extend(done.unwrap()),
            }
        }
    }
    let (_engine, store, more) = open(dir).await;
    said.extend(more);
    said.extend(store.put_strays_back().await.unwrap());
    said.extend(store.set_damaged_aside().await.unwrap());
    (store, said)
}

async fn round(whole: &Path, homes: &BTreeMap<(String, usize), BTreeSet<PathBuf>>, seed: u64) -> &'static str {
    let dir = tempfile::tempdir().unwrap();
    copy(whole, dir.path());
    let (path, what) = damage(dir.path(), &mut Random(seed));
    let path = path.strip_prefix(dir.path()).unwrap().to_owned();
    let context = format!("seed {seed}: {}: {what}", path.display());
    let is_segment = path.starts_with("segments");

    let (engine, store, said) = open(dir.path()).await;
    let seen = look(&store);
    let mut wrong = store.check().unwrap_or_else(|e| vec![e.to_string()]);
    wrong.extend(said);
    wrong.extend(seen.wrong);
    let missing: Vec<_> = homes.keys().filter(|message| !seen.whole.contains(*message)).collect();
    assert!(missing.is_empty() || !wrong.is_empty(), "{context}: {missing:?} are missing, and nobody says so");
    drop((engine, store));

    let (store, said) = repair(dir.path()).await;
    let after = look(&store);
    for (message, at) in homes {
        // What does not stand in the damaged file must be there.
        if !at.contains(&path) {
            assert!(after.whole.contains(message), "{context}: {message:?} is lost: {wrong:#?} {said:#?}");
        }
    }
    let left = store.check().unwrap();
    let left: Vec<_> = left.into_iter().filter(|line| !line.contains("which is in no mailbox")).collect();
    assert!(left.is_empty(), "{context}: {left:#?} after {said:#?}");
    match (wrong.is_empty(), is_segment, missing.is_empty()) {
        (true, ..) => "without effect",
        (_, true, true) => "bodies, none lost",
        (_, true, false) => "bodies, some lost",
        (_, false, true) => "index, all served before the repair",
        (_, false, false) => "index, all served after the repair",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_named_and_the_rest_is_served() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |n| n.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let engine = populate(dir.path()).await;
    let whole = tempfile::tempdir().unwrap();
    copy(dir.path(), whole.path());
    fs::remove_file(whole.path().join("index.db-shm")).unwrap();
    drop(engine);
    // After an orderly end everything is in the index, and nothing in its log.
    while dir.path().join("index.db-wal").exists() {
        std::thread::yield_now();
    }

    // In which segments a message stands.
    let segments: Vec<_> =
        files(&whole.path().join("segments")).into_iter().map(|p| (fs::read(&p).unwrap(), p)).collect();
    let mut homes = BTreeMap::new();
    for owner in ACCOUNTS {
        for n in 0..MESSAGES {
            let marks = [format!("message {n} of {owner}\r\n"), format!("Subject: {owner} {n}\r\n")];
            let has = |bytes: &[u8], mark: &str| bytes.windows(mark.len()).any(|w| w == mark.as_bytes());
            let at = segments.iter().filter(|(bytes, _)| marks.iter().any(|mark| has(bytes, mark)));
            let at: BTreeSet<PathBuf> = at.map(|(_, p)| p.strip_prefix(whole.path()).unwrap().to_owned()).collect();
            assert!(!at.is_empty());
            homes.insert((owner.to_owned(), n), at);
        }
    }
    let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
    let first = number("DAMAGE_SEED", 0);
    for seed in first..first + number("DAMAGE_ROUNDS", 40) {
        let from = if seed % 2 == 0 { whole.path() } else { dir.path() };
        *outcomes.entry(round(from, &homes, seed).await).or_default() += 1;
    }
    eprintln!("{outcomes:#?}");
}
