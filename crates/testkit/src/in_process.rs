//! The real server for transcripts: its sessions on the memory engine, in this process, connected by
//! pipes in memory. Time is tokio's paused clock, and a wall clock that goes along with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use auth::FingerprintKey;
use engine::Engine;
use server::connections::Connections;
use server::context::{Context, ImapOptions, LmtpOptions};
use server::imap::serve_imap;
use server::listen::Connection;
use server::lmtp::serve_lmtp;
use server::login::LoginGate;
use server::shutdown::{Shutdown, Stopper};
use server::stream::{Peer, Stream as ServerStream};
use server::tls::Tls;
use store::{Clock, QuotaOptions, Store};
use types::{AccountName, UnixTime};

use crate::engines::{Fillable, Synchronous};
use crate::transcript::{Harness, Listener, Literals, Options, Purging, Server, Starting, Stream};

/// The password of everybody, hashed as cheaply as Argon2 can, so that hundreds of servers start quickly.
pub const PASSWORD: &str = "secret";
const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$dHJhbnNjcmlwdHMtc2FsdA$OUAy80UGIDt/vkUVhvAJx4dLGNXplEAcY9ZtJM+1kpk";

/// How long a server that stops waits for its sessions.
const GRACE: Duration = Duration::from_secs(10);

/// What fits into a pipe before its writer waits.
const PIPE: usize = 64 * 1024;

/// Starts servers on engines of its choice.
pub struct InProcess {
    engine: Box<dyn Fn() -> Result<Arc<dyn Engine>, String> + Send + Sync>,
    certificate: Certificate,
}

impl InProcess {
    /// On the engine that `engine` makes, one for each server. It must commit inside
    /// [`Engine::commit`]: a paused clock does not wait for other threads.
    pub fn new(engine: impl Fn() -> Result<Arc<dyn Engine>, String> + Send + Sync + 'static) -> Result<Self, String> {
        Ok(Self { engine: Box::new(engine), certificate: Certificate::new()? })
    }

    /// On the memory engine.
    pub fn in_memory() -> Result<Self, String> {
        Self::new(|| Ok(Arc::new(engine::memory::Memory::new())))
    }

    /// On the local engine, each server in a directory of its own.
    pub fn on_disk() -> Result<Self, String> {
        Self::new(|| {
            let directory = tempfile::tempdir().map_err(text)?;
            let local =
                engine::local::Local::open(directory.path(), engine::local::Options::default()).map_err(text)?;
            Ok(Arc::new(Synchronous::new(local, Some(directory))))
        })
    }

    /// A server on an engine that may hold what an earlier one left there.
    pub async fn start_on(&self, engine: Arc<dyn Engine>, options: &Options) -> Result<Running, String> {
        Running::start(Arc::new(Fillable::new(engine)), &self.certificate, options).await
    }
}

impl Harness for InProcess {
    fn start<'a>(&'a self, options: &'a Options) -> Starting<'a> {
        Box::pin(async {
            let running = self.start_on((self.engine)()?, options).await?;
            Ok(Box::new(running) as Box<dyn Server>)
        })
    }
}

/// One certificate for all servers, and a client that trusts it.
struct Certificate {
    server: Arc<Tls>,
    client: Arc<rustls::ClientConfig>,
}

impl Certificate {
    fn new() -> Result<Self, String> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(text)?;
        let server = Tls::new(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).map_err(text)?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).map_err(text)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(text)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { server: Arc::new(server), client: Arc::new(client) })
    }
}

/// A server. Its sessions are tasks of the runtime in which it was started.
pub struct Running {
    engine: Arc<Fillable>,
    context: Arc<Context>,
    connections: Arc<Connections>,
    clock: Arc<ScriptedClock>,
    client: Arc<rustls::ClientConfig>,
    shutdown: Shutdown,
    stopper: Arc<Stopper>,
}

impl Running {
    async fn start(engine: Arc<Fillable>, certificate: &Certificate, options: &Options) -> Result<Self, String> {
        let (limits, clock) = (Arc::new(options.limits.clone()), Arc::new(ScriptedClock::default()));
        let named = |name: &String| AccountName::new(name).map_err(text);
        let quota = QuotaOptions {
            defaults: options.quota,
            administrators: options.quota_administrators.iter().map(named).collect::<Result<_, _>>()?,
            ..QuotaOptions::default()
        };
        let store_options = store::Options { limits: Arc::clone(&limits), quota, ..store::Options::default() };
        let store =
            Store::open(Arc::clone(&engine) as Arc<dyn Engine>, Arc::clone(&clock) as Arc<dyn Clock>, store_options)
                .map_err(text)?;
        for name in &options.accounts {
            let name = AccountName::new(name).map_err(text)?;
            if store.find_account(&name).map_err(text)?.is_none() {
                store.create_account(&name, HASH.to_owned()).await.map_err(text)?;
            }
            if let Some((_, off)) = options.account_off.iter().find(|(account, _)| *account == name.as_str()) {
                store.switch(&name, off.clone(), vec![]).await.map_err(text)?;
            }
        }
        let imap = ImapOptions {
            plaintext_login_on_loopback: options.plaintext_login,
            literal_minus: options.literals == Literals::Minus,
            off: server::imap::switch::Off::named(&options.off).map_err(text)?,
        };
        let context = Context {
            tls: Some(Arc::clone(&certificate.server)),
            hostname: "mail.example.org".to_owned(),
            imap,
            lmtp: LmtpOptions { over_quota: options.over_quota, ..LmtpOptions::default() },
            ..Context::new(store, Arc::clone(&clock) as Arc<dyn Clock>, FingerprintKey::new([7; 64]))
        };
        let (stopper, shutdown) = Stopper::new();
        Ok(Self {
            engine,
            context: Arc::new(context),
            connections: Connections::new(&limits),
            clock,
            client: Arc::clone(&certificate.client),
            shutdown,
            stopper: Arc::new(stopper),
        })
    }
}

impl Running {
    /// What it serves.
    pub fn store(&self) -> &Store {
        &self.context.store
    }

    /// Who gets in.
    pub fn login(&self) -> &LoginGate {
        &self.context.login
    }
}

impl Server for Running {
    fn connect(&mut self, listener: Listener) -> Result<Box<dyn Stream>, String> {
        let (near, far) = tokio::io::duplex(PIPE);
        let admission = self.connections.admit(Peer::Memory).map_err(|e| format!("{e:?}"))?;
        let stream = ServerStream::memory(near, Peer::Memory);
        let connection = Connection { stream, admission, shutdown: self.shutdown.clone() };
        tokio::spawn(serve(listener, connection, Arc::clone(&self.context)));
        Ok(Box::new(far))
    }

    fn tls(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.client)
    }

    fn time_passes(&mut self, time: Duration) {
        self.clock.advance(time);
    }

    fn disk_is_full(&mut self, full: bool) {
        self.engine.set_full(full);
    }

    fn purge(&mut self, expunged: Duration, history: Duration) -> Purging<'_> {
        Box::pin(async move {
            let retention = store::Retention { expunged, history };
            self.context.store.purge_all(retention).await.map(drop).map_err(text)
        })
    }

    fn stop(&mut self) {
        let stopper = Arc::clone(&self.stopper);
        tokio::spawn(async move { stopper.stop(GRACE).await });
    }

    fn check(&mut self) -> Vec<String> {
        self.context.store.check().unwrap_or_else(|e| vec![e.to_string()])
    }
}

async fn serve(listener: Listener, mut connection: Connection, context: Arc<Context>) {
    match (listener, context.tls.clone()) {
        (Listener::Lmtp, _) => serve_lmtp(connection, context).await,
        (Listener::Imaps, Some(tls)) => {
            if connection.stream.start_tls(&tls, context.limits.handshake_timeout).await.is_ok() {
                serve_imap(connection, context).await;
            }
        }
        _ => serve_imap(connection, context).await,
    }
}

/// A wall clock that only scripted time moves. It begins on 20 November 2026, 12:00 UTC.
#[derive(Debug)]
pub struct ScriptedClock(AtomicI64);

impl Default for ScriptedClock {
    fn default() -> Self {
        Self(AtomicI64::new(1_795_176_000))
    }
}

impl ScriptedClock {
    /// Lets time pass, in whole seconds.
    pub fn advance(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_secs()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}

impl Clock for ScriptedClock {
    fn now(&self) -> UnixTime {
        UnixTime(self.0.load(Ordering::Relaxed))
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
