//! Five devices, each with another way to synchronise, and whatever users, bad connections, restarts and
//! purges do to them: after each round all of them have what is in the store.
//!
//! A history is decided by its seed. `REPLAY_SEED` plays one and those behind it, `REPLAY_ROUNDS` says how
//! many rounds to play altogether on each engine, `REPLAY_LOG` shows what was said.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use engine::local::{Local, Options as LocalOptions};
use engine::memory::Memory;
use store::{Retention, Store};
use testkit::device::{Device, Differences, Gone, Kept, Message, Picture, Strategy, announced, deliver};
use testkit::engines::Synchronous;
use testkit::fault_disk::Random;
use testkit::in_process::{InProcess, Running};
use testkit::transcript::{Listener, Options, Server};
use types::{AccountName, Flag, Flags, Principal};

/// Rounds of one history.
const LENGTH: u64 = 12;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn every_device_has_what_the_memory_engine_has() {
    play(rounds(480), |_| {
        let memory: Arc<dyn Engine> = Arc::new(Memory::new());
        Box::new(move || Arc::clone(&memory))
    });
}

#[test]
fn every_device_has_what_the_local_engine_has() {
    play(rounds(60), |directory| {
        let directory = directory.to_owned();
        Box::new(move || {
            let local = Local::open(&directory, LocalOptions::default()).unwrap();
            Arc::new(Synchronous::new(local, None))
        })
    });
}

/// Opens the engine of a history, again after each restart.
type Opener = Box<dyn Fn() -> Arc<dyn Engine>>;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn rounds(few: u64) -> u64 {
    number("REPLAY_ROUNDS").unwrap_or(few)
}

fn play(rounds: u64, engine: impl Fn(&Path) -> Opener) {
    let first = number("REPLAY_SEED").unwrap_or(1);
    let harness = InProcess::in_memory().unwrap();
    for seed in first..first + rounds.div_ceil(LENGTH) {
        let directory = tempfile::tempdir().unwrap();
        println!("REPLAY_SEED={seed}");
        History::new(seed).play(&harness, &engine(directory.path()));
    }
}

struct History {
    seed: u64,
    chance: Random,
    options: Options,
    devices: Vec<Device>,
    differences: Differences,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut chance = Random::new(seed);
        let mut options = Options::default();
        // A long memory, a short one, and none to speak of.
        options.limits.change_records = [10_000, 30, 2][chance.below(3) as usize];
        Self { seed, chance, options, devices: vec![], differences: Differences::default() }
    }

    fn play(mut self, harness: &InProcess, engine: &Opener) {
        let mut round = 0;
        while round < LENGTH {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let mut server = harness.start_on(engine(), &self.options).await.unwrap();
                loop {
                    self.round(&mut server, round).await.unwrap();
                    round += 1;
                    if round >= LENGTH || self.chance.chance(4) {
                        break;
                    }
                }
                for device in &mut self.devices {
                    device.lose();
                }
            });
            // With the runtime go the sessions, and with the last of them the store.
        }
    }

    async fn round(&mut self, server: &mut Running, round: u64) -> Result<(), Gone> {
        if self.devices.is_empty() {
            let announced = announced(server.connect(Listener::Imap).unwrap()).await?;
            let able = Strategy::ALL.into_iter().filter(|strategy| announced.contains(strategy.needs()));
            let logs = std::env::var_os("REPLAY_LOG").is_some();
            let new = |(number, strategy)| Device::new(number, strategy, true).logging(logs);
            self.devices = able.enumerate().map(new).collect();
        }
        // Most absences are short, some are not.
        let steps = [10, 40, 40, 200][self.chance.below(4) as usize];
        for _ in 0..steps {
            let number = self.chance.below(self.devices.len() as u64) as usize;
            if self.chance.chance(15) {
                deliver(server.connect(Listener::Lmtp).unwrap(), 1 + self.chance.below(3)).await?;
            }
            if self.chance.chance(50) {
                // What is purged may be what a device has not been told of.
                server.time_passes(DAY * self.chance.below(20) as u32);
                let history = DAY * [1, 10, 180][self.chance.below(3) as usize];
                server.store().purge_all(Retention { expunged: DAY, history }).await.unwrap();
            }
            self.devices[number].act(&mut |listener| dial(server, listener), &mut self.chance).await?;
        }
        for device in &mut self.devices {
            device.come_back(&mut |listener| dial(server, listener)).await?;
        }
        for device in &mut self.devices {
            device.catch_up(&mut |listener| dial(server, listener)).await?;
        }
        let truth = truth(server.store());
        for device in &mut self.devices {
            device.check(&truth, &mut self.differences);
        }
        let found = &self.differences.found;
        assert!(found.is_empty(), "REPLAY_SEED={} round {round}:\n{}", self.seed, found.join("\n"));
        assert_eq!(server.check(), Vec::<String>::new());
        Ok(())
    }
}

fn dial(server: &mut Running, listener: Listener) -> std::io::Result<Box<dyn testkit::transcript::Stream>> {
    server.connect(listener).map_err(std::io::Error::other)
}

/// What is in the store, without asking a session.
fn truth(store: &Store) -> Picture {
    let alice = store.find_account(&AccountName::new("alice").unwrap()).unwrap().unwrap().id;
    let account = store.account(alice).unwrap();
    let who = Principal { account: alice };
    let mut picture = Picture::new();
    for entry in account.tree().entries() {
        let snapshot = account.open(&who, &entry.name).unwrap().snapshot().unwrap();
        let mut messages = BTreeMap::new();
        for chunk in snapshot.chunks(&snapshot.uids()) {
            let chunk = chunk.unwrap();
            for (at, row) in chunk.rows().iter().enumerate() {
                let flags = words(&chunk.flags(at, snapshot.keywords()));
                let message = Message { flags, modseq: chunk.modseq(at).get(), email: row.email.0.to_string() };
                messages.insert(row.uid.get(), message);
            }
        }
        let (validity, modseq) = (snapshot.uid_validity().get(), snapshot.highest_modseq().get());
        picture.insert(entry.name.to_string(), Kept::whole(validity, modseq, messages));
    }
    picture
}

fn words(flags: &Flags) -> BTreeSet<String> {
    let system = Flag::SYSTEM.into_iter().filter(|flag| flags.contains(flag)).map(|flag| flag.to_string());
    system.chain(flags.keywords().iter().map(ToString::to_string)).collect()
}
