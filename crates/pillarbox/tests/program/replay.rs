//! kill -9 in the middle of everything: each device comes back with what it had on its disk and ends with
//! what is there, and what it was told before is still so.
//!
//! `REPLAY_SEED` and `REPLAY_ROUNDS` as in `testkit/tests/replay.rs`; but here threads race, so that a seed
//! repeats what is done and not when.

use std::future::Future;
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use testkit::device::{Device, Dial, Differences, Picture, Strategy, announced, deliver};
use testkit::fault_disk::Random;
use testkit::transcript::{Listener, Stream};

use crate::common::{Server, configure, output, program, text};

/// Nothing takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn every_device_has_what_kill_9_leaves() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let (seed, rounds) = (number("REPLAY_SEED").unwrap_or(1), number("REPLAY_ROUNDS").unwrap_or(12));
    let directory = tempfile::tempdir().unwrap();
    let config = configure(directory.path());
    assert!(
        output(program().args(["account", "create", "alice", "--config"]).arg(&config), "secret\n").status.success()
    );
    let mut chance = Random::new(seed);
    let mut devices = vec![];
    for round in 0..rounds {
        println!("REPLAY_SEED={seed} round {round}");
        let server = serve(&config);
        if devices.is_empty() {
            let ports = Ports::of(&server);
            let announced = wait(async { announced(ports.dial(Listener::Imap)?).await }).unwrap();
            let able = Strategy::ALL.into_iter().filter(|strategy| announced.contains(strategy.needs()));
            devices = able.enumerate().map(|(number, strategy)| Device::new(number, strategy, false)).collect();
        }
        until_killed(server, &mut devices, &mut chance);

        let server = serve(&config);
        let mut differences = Differences::default();
        settle(&server, &mut devices, &mut differences);
        assert_eq!(differences.found, Vec::<String>::new(), "REPLAY_SEED={seed} round {round}");
        assert_eq!(server.stop(), (Some(0), String::new()));
        let check = output(program().arg("check").arg("--config").arg(&config), "");
        assert_eq!((check.status.code(), text(&check.stdout)), (Some(0), "everything is in order\n".to_owned()));
    }
}

fn serve(config: &Path) -> Server {
    Server::start(program().arg("serve").arg("--config").arg(config))
}

/// All at once, until so much has been done that the server must die.
fn until_killed(server: Server, devices: &mut [Device], chance: &mut Random) {
    let enough = 20 + chance.below(400);
    let (did, done) = mpsc::channel();
    let ports = Ports::of(&server);
    std::thread::scope(|scope| {
        for device in devices {
            let (did, mut chance) = (did.clone(), Random::new(chance.number()));
            scope.spawn(move || {
                let mut dial = |listener| ports.dial(listener);
                wait(async {
                    while device.act(&mut dial, &mut chance).await.is_ok() {
                        // Nobody counts any more where the server is dead.
                        let _ = did.send(());
                    }
                });
            });
        }
        scope.spawn(move || {
            wait(async {
                while let Ok(stream) = ports.dial(Listener::Lmtp)
                    && deliver(stream, 3).await.is_ok()
                {
                    let _ = did.send(());
                }
            });
        });
        for _ in 0..enough {
            if done.recv().is_err() {
                break;
            }
        }
        server.signal(rustix::process::Signal::KILL);
    });
}

fn settle(server: &Server, devices: &mut [Device], differences: &mut Differences) {
    let ports = Ports::of(server);
    let dial: &mut Dial<'_> = &mut |listener| ports.dial(listener);
    let mut truth = Device::new(devices.len(), Strategy::CondStore, false);
    wait(async {
        for device in &mut *devices {
            device.come_back(dial).await.unwrap();
        }
        for device in &mut *devices {
            device.catch_up(dial).await.unwrap();
        }
        truth.catch_up(dial).await.unwrap();
        let truth: &Picture = truth.kept();
        for device in &mut *devices {
            device.check(truth, differences);
            // The connections are of this runtime.
            device.lose();
        }
    });
}

#[derive(Clone, Copy)]
struct Ports {
    imap: u16,
    lmtp: u16,
}

impl Ports {
    fn of(server: &Server) -> Self {
        Self { imap: server.port("imap"), lmtp: server.port("lmtp") }
    }

    fn dial(self, listener: Listener) -> std::io::Result<Box<dyn Stream>> {
        let port = if listener == Listener::Lmtp { self.lmtp } else { self.imap };
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Box::new(tokio::net::TcpStream::from_std(stream)?))
    }
}

fn wait<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, what).await.expect("it hangs") })
}
