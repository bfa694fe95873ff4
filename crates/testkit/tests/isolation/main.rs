//! No answer, error, counter or cost lets one account learn what another has: the same session of alice in
//! worlds that differ only in bob reads the same to the octet, and has the same read of the store.
//!
//! * *Without*: there is no bob. *Quiet*: he has what everybody begins with. *Busy*: before each command of
//!   alice he has done something, also with mailboxes of the names that she tries, and while she waits for
//!   its answer he does something more.
//! * What may differ is the id of a delivery, which is drawn at random; nothing else is left out.
//! * "The same time" is the same work: reads of the engine, of whom, and passwords hashed. Of bob nothing is
//!   ever read for her.
//!
//! `ISOLATION_SEED` plays one session and those behind it, `ISOLATION_SESSIONS` says how many.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout, missing_docs)]

mod commands;
mod watched;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use engine::memory::Memory;
use testkit::fault_disk::Random;
use testkit::in_process::{InProcess, Running};
use testkit::transcript::{Listener, Options, Server, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use types::AccountId;

use commands::{Commands, KINDS, Step};
use watched::{Reads, Watched};

/// Commands of one session.
const LENGTH: usize = 120;
const BOB: AccountId = AccountId(4);

#[test]
fn one_account_learns_nothing_of_another() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("ISOLATION_SEED").unwrap_or(1);
    let mut tried = BTreeSet::new();
    for seed in first..first + number("ISOLATION_SESSIONS").unwrap_or(12) {
        println!("ISOLATION_SEED={seed}");
        let without = play(World::Without, seed, &mut tried);
        same(seed, "quiet", &without, &play(World::Quiet, seed, &mut tried));
        same(seed, "busy", &without, &play(World::Busy, seed, &mut tried));
    }
    let untried: Vec<_> = KINDS.iter().chain(&["APPEND", "REPLACE"]).filter(|kind| !tried.contains(*kind)).collect();
    assert!(untried.is_empty(), "never tried: {untried:?}");
}

/// Who may say RCPT learns who has an account here, and nothing of what is in it.
#[test]
fn an_mta_learns_nothing_of_mailboxes() {
    let ask = |world| {
        run(async move {
            let mut life = Life::start(world).await;
            for _ in 0..30 {
                life.bob_acts().await;
            }
            let mut mta = life.dial(Listener::Lmtp);
            let mut heard = mta.ask("LHLO x\r\nMAIL FROM:<a@example.com>\r\n").await;
            for name in ["bob", "bob+Secret", "bob+Nothing", "bob+secret/plans", "nobody", "bob.", "alice+Secret"] {
                heard += &mta.ask(&format!("RCPT TO:<{name}@example.org>\r\n")).await;
            }
            heard + &mta.ask("VRFY bob\r\nVRFY nobody\r\n").await
        })
    };
    assert_eq!(ask(World::Quiet), ask(World::Busy));
}

/// The administrators were looked up for the roots that exist, and for no others.
#[test]
fn the_quota_root_of_somebody_else_costs_as_much_as_that_of_nobody() {
    let (bob, nobody) = run(async {
        let mut life = Life::start(World::Quiet).await;
        let mut alice = life.dial(Listener::Imap);
        alice.ask("a LOGIN alice secret\r\n").await;
        let bob = life.tell(&mut alice, "a GETQUOTA bob\r\n".into()).await;
        (bob, life.tell(&mut alice, "a GETQUOTA rob\r\n".into()).await)
    });
    assert_eq!((bob.heard, bob.reads), (nobody.heard, nobody.reads));
}

/// Worlds differ in this alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum World {
    Without,
    Quiet,
    Busy,
}

/// What was said and heard, and what that cost.
#[derive(PartialEq, Eq, Debug)]
struct Heard {
    said: String,
    heard: String,
    reads: Reads,
    hashed: u64,
}

fn same(seed: u64, name: &str, without: &[Heard], with: &[Heard]) {
    for (at, (a, b)) in without.iter().zip(with).enumerate() {
        assert_eq!(a, b, "ISOLATION_SEED={seed}, command {at}: not the same with a {name} bob");
    }
    assert_eq!(without.len(), with.len());
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(work)
}

fn play(world: World, seed: u64, tried: &mut BTreeSet<&'static str>) -> Vec<Heard> {
    run(async {
        let mut commands = Commands::new(seed);
        let mut life = Life::start(world).await;
        let mut heard = vec![];
        let mut alice = life.dial(Listener::Imap);
        heard.push(life.tell(&mut alice, String::new()).await);
        for number in 0..LENGTH {
            if number % 7 == 3 {
                // Mail for her, and for nobody.
                let mut mta = life.dial(Listener::Lmtp);
                let said = "LHLO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<nobody@example.org>\r\n\
                            RCPT TO:<alice@example.org>\r\nRCPT TO:<alice+Work@example.org>\r\nDATA\r\nSubject: b\r\n\r\n.\r\nQUIT\r\n";
                heard.push(life.tell(&mut mta, said.into()).await);
            }
            if number % 20 == 19 {
                life.server.time_passes(Duration::from_secs(90_000));
                life.server.purge(Duration::from_secs(80_000), Duration::from_secs(200_000)).await.unwrap();
            }
            let Step { pieces, last } = commands.next();
            for piece in pieces {
                heard.push(life.tell(&mut alice, piece).await);
            }
            if last || alice.ended {
                commands.begin();
                alice = life.dial(Listener::Imap);
                heard.push(life.tell(&mut alice, String::new()).await);
            }
        }
        assert_eq!(life.server.check(), Vec::<String>::new());
        tried.extend(commands.tried);
        heard
    })
}

/// A world that goes on.
struct Life {
    world: World,
    server: Running,
    engine: Arc<Watched<Memory>>,
    bob: Option<Client>,
    chance: Random,
}

impl Life {
    async fn start(world: World) -> Self {
        let mut options =
            Options { accounts: ["alice", "carol", "dave"].map(str::to_owned).into(), ..Options::default() };
        // Met by her alone, whatever he has.
        options.limits.mailboxes = 12;
        options.limits.connections_per_account = 2;
        options.limits.errors = 200;
        options.quota_administrators = vec!["dave".into()];
        options.quota.message = Some(40);
        options.quota.storage = Some(30);
        if world != World::Without {
            options.accounts.push("bob".into());
        }
        let engine = Arc::new(Watched::new(Memory::new()));
        let shared: Arc<dyn engine::Engine> = Arc::clone(&engine) as _;
        let server = InProcess::in_memory().unwrap().start_on(shared, &options).await.unwrap();
        Self { world, server, engine, bob: None, chance: Random::new(7) }
    }

    fn dial(&mut self, listener: Listener) -> Client {
        Client { stream: self.server.connect(listener).unwrap(), ended: false }
    }

    /// Says something and takes what comes, while bob does this and that.
    async fn tell(&mut self, client: &mut Client, said: String) -> Heard {
        if self.world == World::Busy {
            self.bob_acts().await;
        }
        let (before, _) = (self.server.login().hashed(), self.engine.take());
        if self.world == World::Busy && self.chance.chance(2) {
            let at_once = self.bobs_command();
            if let Some(bob) = &mut self.bob {
                bob.send(&at_once).await;
            }
        }
        let heard = without_ids(&client.ask(&said).await);
        let mut reads = self.engine.take();
        let of_bob = reads.remove(&BOB);
        assert!(self.world == World::Busy || of_bob.is_none(), "something of bob was read for {said:?}");
        Heard { said, heard, reads, hashed: self.server.login().hashed() - before }
    }

    async fn bob_acts(&mut self) {
        if self.world != World::Busy {
            return;
        }
        if self.bob.is_none() {
            let mut bob = self.dial(Listener::Imap);
            for said in
                ["a LOGIN bob secret\r\n", "a CREATE Secret/Plans\r\n", "a CREATE Work\r\n", "a SELECT INBOX\r\n"]
            {
                bob.ask(said).await;
            }
            self.bob = Some(bob);
        }
        for _ in 0..self.chance.below(4) {
            let command = self.bobs_command();
            if self.chance.chance(6) {
                let mut mta = self.dial(Listener::Lmtp);
                mta.ask(
                    "LHLO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<bob+Secret@example.org>\r\nDATA\r\n\
                     Subject: secret\r\n\r\n.\r\n",
                )
                .await;
            }
            if let Some(bob) = &mut self.bob {
                bob.ask(&command).await;
                if bob.ended {
                    self.bob = None;
                    return;
                }
            }
        }
    }

    fn bobs_command(&mut self) -> String {
        let names = ["INBOX", "Secret", "Secret/Plans", "Work", "Shared", "alice", "bob"];
        let name = names[self.chance.below(7) as usize];
        let command = match self.chance.below(14) {
            0..=4 => format!("APPEND {name} {{17+}}\r\nSubject: secret\r\n"),
            5 => format!("CREATE {name}"),
            6 => format!("DELETE {name}"),
            7 => format!("SELECT {name}"),
            8 => "STORE 1:* +FLAGS (\\Deleted $secret)".into(),
            9 => "EXPUNGE".into(),
            10 => format!("COPY 1:* {name}"),
            11 => format!("SUBSCRIBE {name}"),
            12 => "FETCH 1:* (FLAGS BODY[])".into(),
            _ => "SEARCH TEXT secret".into(),
        };
        format!("a {command}\r\n")
    }
}

struct Client {
    stream: Box<dyn Stream>,
    ended: bool,
}

impl Client {
    async fn send(&mut self, said: &str) {
        // It may have hung up.
        let _ = self.stream.write_all(said.as_bytes()).await;
    }

    /// Everything that comes until nothing comes any more.
    async fn ask(&mut self, said: &str) -> String {
        self.send(said).await;
        let mut heard = vec![];
        // The clock stands until nobody has anything to do.
        while let Ok(read) = tokio::time::timeout(Duration::from_millis(20), self.stream.read_buf(&mut heard)).await {
            if read.unwrap_or(0) == 0 {
                self.ended = true;
                break;
            }
        }
        String::from_utf8(heard).unwrap()
    }
}

/// The id of a delivery is 16 digits behind these words.
fn without_ids(heard: &str) -> String {
    let mut text = heard.to_owned();
    for before in ["with LMTP id ", "delivered, id "] {
        let mut from = 0;
        while let Some(at) = text[from..].find(before) {
            from += at + before.len();
            assert!(text[from..from + 16].bytes().all(|b| b.is_ascii_hexdigit()), "{text}");
            text.replace_range(from..from + 16, "<id>");
        }
    }
    text
}
