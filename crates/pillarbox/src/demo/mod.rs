//! `pillarbox demo`: a server to try out on this machine, with accounts and mail in it.
//!
//! It lives in one directory: the store, the certificate, and a file with the passwords. Without
//! `--data` that is a new directory that goes when the server ends.

mod lmtp;
mod mail;
mod words;

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use import::imap::Progress;
use server::context::{ImapOptions, LmtpOptions};
use server::tls::Tls;
use store::Store;
use tracing::info;
use types::{AccountName, MailboxName, Principal};

use crate::admin::{Request, Response, execute};
use crate::config::LogTable;
use crate::run::{Place, Protocol, Server, Setup, Wanted, run};
use crate::{console, logging, random};

/// Where and on which ports.
#[derive(Args)]
pub(crate) struct Options {
    /// Keeps everything in this directory; without it everything is gone at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The port for IMAP with STARTTLS; 0 is any free port.
    #[arg(long, value_name = "PORT", default_value_t = 1143)]
    imap_port: u16,
    /// The port for IMAP over TLS; 0 is any free port.
    #[arg(long, value_name = "PORT", default_value_t = 1993)]
    imaps_port: u16,
    /// The port for LMTP; 0 is any free port.
    #[arg(long, value_name = "PORT", default_value_t = 1024)]
    lmtp_port: u16,
}

/// Who lives in the demonstration.
const NAMES: [&str; 2] = ["alice", "bob"];

/// An account with the password that is printed.
pub(crate) struct Login {
    pub(crate) name: &'static str,
    pub(crate) password: String,
}

/// The directory of a demonstration; a temporary one goes with this value.
struct Home {
    path: PathBuf,
    temporary: bool,
}

impl Home {
    fn open(data: Option<&Path>) -> Result<Self> {
        let (path, temporary) = match data {
            Some(path) => (path.to_owned(), false),
            None => {
                let name = format!("pillarbox-demo-{:016x}", u64::from_ne_bytes(random::octets()?));
                (std::env::temp_dir().join(name), true)
            }
        };
        let create = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        create.with_context(|| format!("cannot make the directory {}", path.display()))?;
        // Printed commands must work from anywhere.
        let path = fs::canonicalize(&path).with_context(|| format!("cannot find {}", path.display()))?;
        Ok(Self { path, temporary })
    }

    fn certificate(&self) -> PathBuf {
        self.path.join("certificate.pem")
    }

    /// The certificate of an earlier run, or a new one for the names of this machine.
    fn tls(&self) -> Result<Tls> {
        let (certificate, key) = (self.certificate(), self.path.join("key.pem"));
        if !certificate.exists() || !key.exists() {
            let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
            let made = rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
            write_private(&key, made.signing_key.serialize_pem().as_bytes())?;
            write_private(&certificate, made.cert.pem().as_bytes())?;
        }
        let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        Tls::new(&read(&certificate)?, &read(&key)?)
            .with_context(|| format!("{}: delete certificate.pem and key.pem to get new ones", self.path.display()))
    }

    /// The passwords of an earlier run, or new ones.
    fn logins(&self) -> Result<Vec<Login>> {
        let path = self.path.join("passwords");
        if !path.exists() {
            let mut lines = String::new();
            for name in NAMES {
                lines.push_str(&format!("{name} {}\n", random::password()?));
            }
            write_private(&path, lines.as_bytes())?;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let lines: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(' ')).collect();
        let login = |name: &'static str| {
            let line = lines.iter().find(|(of, _)| *of == name);
            let (_, password) = line.with_context(|| format!("{} has no line for {name}", path.display()))?;
            Ok(Login { name, password: (*password).to_owned() })
        };
        NAMES.into_iter().map(login).collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.temporary {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(content)).with_context(|| format!("cannot write {}", path.display()))
}

/// Runs until Ctrl-C.
pub(crate) fn demo(options: &Options) -> Result<()> {
    logging::init(&LogTable::default());
    let home = Home::open(options.data.as_deref())?;
    let tls = Arc::new(home.tls()?);
    let logins = home.logins()?;
    // The directory goes only after the server, which is when `home` does.
    run(setup(options, &home, tls), async |server, signals| {
        prepare(server, &logins).await?;
        console::print(&words::welcome(server, &logins, &home.path, &home.certificate(), home.temporary))?;
        server.announce()?;
        signals.wait(|| {}).await;
        Ok(())
    })
}

fn setup(options: &Options, home: &Home, tls: Arc<Tls>) -> Setup {
    let wanted = [
        (Protocol::Imap, options.imap_port, "--imap-port"),
        (Protocol::Imaps, options.imaps_port, "--imaps-port"),
        (Protocol::Lmtp, options.lmtp_port, "--lmtp-port"),
    ];
    let wanted = wanted.map(|(protocol, port, option)| {
        let place = Place::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Wanted { protocol, place, option }
    });
    Setup {
        store_path: home.path.join("store"),
        engine: Default::default(),
        store: store::Options::default(),
        tls: Some(tls),
        wanted: wanted.into(),
        hostname: "localhost".to_owned(),
        imap: ImapOptions { plaintext_login_on_loopback: true, ..ImapOptions::default() },
        lmtp: LmtpOptions::default(),
        warnings: None,
    }
}

/// Makes accounts and mail, if they are not there from an earlier run.
async fn prepare(server: &Server, logins: &[Login]) -> Result<()> {
    let store = &server.context.store;
    let first = NAMES.first().copied().unwrap_or_default();
    if store::blocking(|| store.find_account(&AccountName::new(first)?).map_err(anyhow::Error::from))?.is_some() {
        info!("the accounts and the mail of an earlier run are here");
        return Ok(());
    }
    for Login { name, password } in logins {
        let request = Request::Create { name: (*name).to_owned(), password: password.clone() };
        if let Response::Failed(why) = execute(store, request, Progress::default()).await {
            anyhow::bail!("cannot create the account {name}: {why}");
        }
    }
    for folder in mail::FOLDERS {
        create_folder(store, first, folder).await?;
    }
    let port = server.port(Protocol::Lmtp).context("LMTP does not listen")?;
    lmtp::deliver(port, mail::samples()).await.context("cannot deliver the sample mail")
}

async fn create_folder(store: &Store, owner: &str, folder: &str) -> Result<()> {
    let record = store::blocking(|| store.find_account(&AccountName::new(owner)?).map_err(anyhow::Error::from))?;
    let id = record.context("the account is gone")?.id;
    let (account, who, name) = (store.account(id)?, Principal { account: id }, MailboxName::new(folder)?);
    account.create_mailbox(&who, name.clone(), None).await?;
    account.subscribe(&who, name).await?;
    Ok(())
}
