//! A running server: store, listeners, sessions, and their end.

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use auth::FingerprintKey;
use engine::Engine;
use engine::local::Local;
use server::connections::Connections;
use server::context::{Context, ImapOptions, LmtpOptions};
use server::listen::{Connection, Listener, Reception};
use server::shutdown::{Shutdown, Stopper};
use server::tls::Tls;
use store::{Store, SystemClock};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};
use types::Limits;

use crate::recover::recover;
use crate::status::Running;
use crate::warnings::Warnings;
use crate::{admin, console, purge, random};

/// How long sessions may take to say goodbye and to finish what they commit.
const GOODBYE: Duration = Duration::from_secs(8);

/// How often accounts and mailboxes that nobody uses are given up.
const EVICTION: Duration = Duration::from_secs(5);

/// How often the memory of password hashes that nobody computes is given back, which is 19 MiB each.
const RELEASE: Duration = Duration::from_secs(1);

/// Threads beside the workers, for what waits for the disk. Each holds what it works on: with tokio's default of
/// 512 of them, what connections hold while they are worked on was 600 MiB.
const BLOCKING: usize = 64;

/// After so many steps of sessions it is looked who has sent something (tokio's default is 61). A step may be a slice of
/// long work, and whoever asks for something small should not wait for sixty of them.
const EVENTS: u32 = 8;

/// What a listener speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protocol {
    Imap,
    Imaps,
    Lmtp,
}

/// Where a listener listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Tcp(SocketAddr),
    Unix { path: PathBuf, mode: u32 },
}

/// A listener that is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    pub(crate) protocol: Protocol,
    pub(crate) place: Place,
    /// The option or flag that says so: what to change where it cannot be had.
    pub(crate) option: &'static str,
}

/// Everything a server needs to know.
pub(crate) struct Setup {
    pub(crate) store_path: PathBuf,
    pub(crate) engine: engine::local::Options,
    pub(crate) store: store::Options,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) hostname: String,
    pub(crate) imap: ImapOptions,
    pub(crate) lmtp: LmtpOptions,
    /// What starts a program where a quota runs out.
    pub(crate) warnings: Option<Warnings>,
}

/// A server that accepts connections.
pub(crate) struct Server {
    pub(crate) context: Arc<Context>,
    stopper: Stopper,
    /// What listens where, with real ports.
    pub(crate) places: Vec<(Protocol, Place)>,
}

/// For an engine that keeps mail, in a store with these limits.
pub(crate) fn for_mail(options: engine::local::Options, limits: &Arc<Limits>) -> engine::local::Options {
    engine::local::Options { from_blobs: Some(Arc::new(store::CardsOfBodies(Arc::clone(limits)))), ..options }
}

/// Opens the store in a directory; the engine is handed back so that it can be the last to go.
pub(crate) fn open_store(
    path: &Path,
    kept: engine::local::Options,
    options: store::Options,
) -> Result<(Arc<dyn Engine>, Store)> {
    let kept = for_mail(kept, &options.limits);
    let engine =
        Local::open(path, kept.clone()).with_context(|| format!("cannot open the store {}", path.display()))?;
    let engine: Arc<dyn Engine> = Arc::new(engine);
    match Store::open(engine.clone(), Arc::new(SystemClock), options.clone()) {
        Ok(store) => Ok((engine, store)),
        // Without the list of accounts nobody can be served.
        Err(store::Error::Damaged(what)) => {
            error!(what, "the list of accounts is damaged: the index is made again");
            drop(engine);
            let engine: Arc<dyn Engine> = Arc::new(Local::open_anew(path, kept)?);
            let store = Store::open(engine.clone(), Arc::new(SystemClock), options)?;
            Ok((engine, store))
        }
        Err(error) => Err(error).with_context(|| format!("cannot open the store {}", path.display())),
    }
}

/// Starts a server, hands it to `work`, and ends it in bounded time when `work` is done.
pub(crate) fn run(setup: Setup, work: impl AsyncFnOnce(&Server, Signals) -> Result<()>) -> Result<()> {
    raise_descriptor_limit();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime
        .max_blocking_threads(BLOCKING)
        .event_interval(EVENTS)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    // Listeners before the store: a busy port is told at once, and without touching anything.
    let listeners = runtime.block_on(async { bind(&setup.wanted) })?;
    let (engine, store) = open_store(&setup.store_path, setup.engine.clone(), setup.store.clone())?;
    let done = runtime.block_on(async {
        let signals = Signals::catch().context("cannot catch signals")?;
        let server = Server::start(setup, store, listeners).await?;
        let done = work(&server, signals).await;
        server.stop().await;
        done
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    // The last handle: the engine finishes what was queued.
    drop(engine);
    info!("stopped");
    done
}

/// The signals that the server hears. They are caught from the moment this exists, so that one that comes
/// early is not lost.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGINT or SIGTERM; calls `reload` on SIGHUP. A second SIGINT ends the process
    /// at once, for the impatient at a terminal.
    pub(crate) async fn wait(mut self, mut reload: impl FnMut()) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => break,
                _ = self.terminate.recv() => break,
                _ = self.hangup.recv() => reload(),
            }
        }
        info!("stopping");
        tokio::spawn(async move {
            self.interrupt.recv().await;
            std::process::exit(1);
        });
    }
}

impl Server {
    async fn start(setup: Setup, store: Store, listeners: Vec<(Protocol, Listener)>) -> Result<Self> {
        let Setup { store_path, tls, hostname, imap, lmtp, warnings, .. } = setup;
        recover(&store_path, &store).await?;
        if store.read_only().is_none() {
            store.finish_deletions().await.context("cannot finish deleting accounts")?;
        }
        let context = Context::new(store, Arc::new(SystemClock), FingerprintKey::new(random::octets()?));
        let context = Arc::new(Context { tls, hostname, imap, lmtp, ..context });
        let connections = Connections::new(&context.limits);
        let (stopper, shutdown) = Stopper::new();

        let (lender, limits) = (context.lender.clone(), context.limits.clone());
        let running = Running { since: Instant::now(), connections: connections.clone(), lender, limits };
        admin::listen(&store_path, &context.store, running, shutdown.clone());
        if let Some(warnings) = warnings {
            tokio::spawn(warnings.give(context.store.clone(), shutdown.clone()));
        }
        tokio::spawn(evict(context.clone(), shutdown.clone()));
        tokio::spawn(purge::regularly(context.store.clone(), shutdown.clone()));
        let mut places = Vec::new();
        for (protocol, listener) in listeners {
            places.extend(place_of(&listener).map(|place| (protocol, place)));
            accept(protocol, listener, context.clone(), connections.clone(), shutdown.clone());
        }
        Ok(Self { context, stopper, places })
    }

    /// Prints where the server listens, and that it does: scripts wait for the line `ready`.
    pub(crate) fn announce(&self) -> Result<()> {
        for (protocol, place) in &self.places {
            console::print(&format!("{protocol} listens on {place}"))?;
        }
        console::print("ready")
    }

    /// The TCP port of a listener.
    pub(crate) fn port(&self, wanted: Protocol) -> Option<u16> {
        self.places.iter().find_map(|(protocol, place)| match place {
            Place::Tcp(address) if *protocol == wanted => Some(address.port()),
            _ => None,
        })
    }

    async fn stop(&self) {
        if !self.stopper.stop(GOODBYE).await {
            warn!("some sessions did not end in time and are cut off");
        }
    }
}

fn bind(wanted: &[Wanted]) -> Result<Vec<(Protocol, Listener)>> {
    wanted.iter().map(|wanted| wanted.bind().map(|listener| (wanted.protocol, listener))).collect()
}

impl Wanted {
    fn bind(&self) -> Result<Listener> {
        let bound = match &self.place {
            Place::Tcp(address) => Listener::tcp(*address),
            Place::Unix { path, mode } => Listener::unix(path, *mode),
        };
        bound.map_err(|error| {
            let Self { protocol, place, option } = self;
            let why = match error.kind() {
                ErrorKind::AddrInUse => "another program listens there".to_owned(),
                ErrorKind::PermissionDenied => {
                    "that is not permitted (ports below 1024 need root or CAP_NET_BIND_SERVICE)".to_owned()
                }
                ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
                _ => error.to_string(),
            };
            anyhow!("cannot listen on {place} for {protocol}: {why}; change {option}")
        })
    }
}

fn place_of(listener: &Listener) -> Option<Place> {
    let tcp = listener.address().map(Place::Tcp);
    tcp.or_else(|| listener.path().map(|path| Place::Unix { path: path.to_owned(), mode: 0 }))
}

fn accept(
    protocol: Protocol,
    listener: Listener,
    context: Arc<Context>,
    connections: Arc<Connections>,
    shutdown: Shutdown,
) {
    let handshake_timeout = context.limits.handshake_timeout;
    let (name, implicit_tls, refusal): (_, _, &str) = match protocol {
        Protocol::Imap => ("imap", None, "* BYE [UNAVAILABLE]"),
        Protocol::Imaps => ("imaps", context.tls.clone(), ""),
        Protocol::Lmtp => ("lmtp", None, "421 4.3.2"),
    };
    let reception = Reception { name, implicit_tls, handshake_timeout, refusal };
    match protocol {
        Protocol::Imap | Protocol::Imaps => {
            let session = move |connection: Connection| server::imap::serve_imap(connection, context.clone());
            tokio::spawn(listener.serve(reception, connections, shutdown, session));
        }
        Protocol::Lmtp => {
            let session = move |connection: Connection| server::lmtp::serve_lmtp(connection, context.clone());
            tokio::spawn(listener.serve(reception, connections, shutdown, session));
        }
    }
}

async fn evict(context: Arc<Context>, mut shutdown: Shutdown) {
    let (mut evictions, mut releases) = (tokio::time::interval(EVICTION), tokio::time::interval(RELEASE));
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = evictions.tick() => context.store.evict_idle(),
            _ = releases.tick() => context.login.release(),
        }
    }
}

/// Each connection is a descriptor; the usual soft limit is 1024 of them.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised, fewer connections are accepted; the log says so when it happens.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Imap => "imap",
            Self::Imaps => "imaps",
            Self::Lmtp => "lmtp",
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix { path, .. } => write!(f, "{}", path.display()),
        }
    }
}
