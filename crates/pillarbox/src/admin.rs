//! How `pillarbox account` and `pillarbox check` reach a store that a running server owns: a Unix socket in
//! the store's directory, for its owner only. One line of JSON asks, one line answers.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use auth::{PasswordHash, Secret};
use import::imap::{Progress, Shown};
use serde::{Deserialize, Serialize};
use server::connections::Connections;
use server::imap::switch::known_name;
use server::listen::{Connection, Listener, Reception};
use server::shutdown::Shutdown;
use server::stream::{READ_SIZE, Stream};
use store::{AccountRecord, Quota, Store};
use tracing::{info, warn};
use types::{AccountName, DateTime, Limits, UnixTime};

use crate::quota::{self, Change};
use crate::status::{self, Running};
use crate::{backup, migrate, purge, random, undelete};

/// Octets of one request: a name and a password.
const MAX_REQUEST: usize = 16 << 10;

/// Between two looks at how far something is.
pub(crate) const TICK: Duration = Duration::from_millis(500);

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// A new account.
    Create { name: String, password: String },
    /// The names of all accounts.
    List,
    /// What there is to know about one.
    Show { name: String },
    /// Capabilities that its sessions are not offered any more, and those that they are again.
    SetCapabilities { name: String, disable: Vec<String>, enable: Vec<String> },
    /// Another password.
    SetPassword { name: String, password: String },
    /// Other limits.
    SetQuota { name: String, change: Change },
    /// What one account uses and may use, or all of them.
    Usage { name: Option<String>, json: bool },
    /// No account any more, and none of its mail.
    Delete { name: String },
    /// Everything that is wrong with the store.
    Check,
    /// A backup, new or renewed.
    Backup { directory: PathBuf },
    /// An account or a mailbox out of a backup.
    Restore { directory: PathBuf, account: String, mailbox: Option<String>, rename: Option<String>, keep: bool },
    /// How the store and the server do.
    Status,
    /// Gives the space of deleted mail back now.
    Reclaim,
    /// What was expunged or deleted goes, of one account or all, if it is older than this or than the
    /// configuration says.
    Purge { account: Option<String>, older_than: Option<u64> },
    /// Mail is read from files or written to them, on the machine of the server.
    Migrate { account: String, direction: migrate::Direction, files: migrate::Files },
    /// Mail is taken over from another server. The answers before the last one tell how far it is.
    ImportImap { account: String, source: migrate::imap::Source },
    /// What was expunged or deleted is listed or comes back.
    Undelete { account: String, action: undelete::Action },
}

/// The answer: lines to print, or why it was not done.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Response {
    /// It is at work, and so far.
    Progress(Shown),
    /// Done.
    Done(Vec<String>),
    /// Not done.
    Failed(String),
}

fn socket_path(store: &Path) -> PathBuf {
    store.join("admin.sock")
}

/// Asks the server that owns the store; `None` where none is running. `show` hears of the progress.
pub(crate) fn ask(store: &Path, request: &Request, show: &mut dyn FnMut(Shown)) -> Result<Option<Response>> {
    let path = socket_path(store);
    let stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => return Ok(None),
        // The path is too long for a socket, so no server could have made it either.
        Err(error) if error.kind() == ErrorKind::InvalidInput => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot reach the running server at {}", path.display()));
        }
    };
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    (&stream).write_all(&line).context("the running server does not listen")?;
    let mut answers = BufReader::new(&stream);
    loop {
        let mut answer = String::new();
        answers.read_line(&mut answer).context("the running server does not answer")?;
        match serde_json::from_str(&answer).context("the running server gave no answer")? {
            Response::Progress(shown) => show(shown),
            response => return Ok(Some(response)),
        }
    }
}

/// Does what is asked; `progress` says how far it is, of what takes long.
pub(crate) async fn execute(store: &Store, request: Request, progress: Progress) -> Response {
    match apply(store, request, progress).await {
        Ok(lines) => Response::Done(lines),
        Err(error) => Response::Failed(format!("{error:#}")),
    }
}

async fn apply(store: &Store, request: Request, progress: Progress) -> Result<Vec<String>> {
    let account = |name: &str| AccountName::new(name).with_context(|| format!("{name:?}"));
    match request {
        Request::Create { name, password } => {
            let name = account(&name)?;
            store.create_account(&name, hash(password).await?).await?;
            info!("account {name} created");
            Ok(vec![format!("account {name} created")])
        }
        Request::SetPassword { name, password } => {
            let name = account(&name)?;
            store.set_password(&name, hash(password).await?).await?;
            info!("account {name}: password changed");
            Ok(vec![format!("account {name}: password changed")])
        }
        Request::Delete { name } => {
            let name = account(&name)?;
            store.delete_account(&name).await?;
            info!("account {name} deleted");
            Ok(vec![format!("account {name} deleted")])
        }
        Request::SetQuota { name, change } => {
            let name = account(&name)?;
            let quota = store.set_quota(&name, change.settings()).await?;
            let line = quota::line(name.as_str(), &quota);
            info!("quota set: {line}");
            Ok(vec![line])
        }
        Request::Usage { name, json } => {
            let quotas = match name {
                Some(name) => {
                    let name = account(&name)?;
                    let quota = store::blocking(|| store.quota(&name))?;
                    vec![(name, quota)]
                }
                None => quotas(store, store::blocking(|| store.accounts())?)?,
            };
            usage(&quotas, json)
        }
        Request::List => {
            let accounts = store::blocking(|| store.accounts())?;
            Ok(accounts.into_iter().map(|account| account.name.to_string()).collect())
        }
        Request::ImportImap { account, source } => migrate::imap::perform(store, &account, source, progress).await,
        Request::Migrate { account, direction, files } => migrate::perform(store, &account, direction, files).await,
        Request::Undelete { account, action } => undelete::perform(store, &account, action).await,
        Request::Purge { account, older_than } => purge::perform(store, account.as_deref(), older_than).await,
        Request::Show { name } => {
            let name = account(&name)?;
            let found = store::blocking(|| store.find_account(&name))?;
            let record = found.with_context(|| format!("{:?}: there is no such account", name.as_str()))?;
            Ok(vec![
                format!("name: {}", record.name),
                format!("created: {}", day(record.created)),
                format!("capabilities switched off: {}", listed(&record.off)),
            ])
        }
        Request::SetCapabilities { name, disable, enable } => {
            let name = account(&name)?;
            let known = |names: Vec<String>| names.iter().map(|name| known_name(name)).collect::<Result<_, _>>();
            let off = listed(&store.switch(&name, known(disable)?, known(enable)?).await?);
            info!("account {name}: capabilities switched off: {off}");
            Ok(vec![format!("account {name}: capabilities switched off: {off} (from the next login on)")])
        }
        Request::Check => Ok(store::blocking(|| store.check())?),
        Request::Backup { directory } => {
            let said = backup::make(store, &directory)?;
            info!("backup in {}: {}", directory.display(), said.join("; "));
            Ok(said)
        }
        Request::Restore { directory, account, mailbox, rename, keep } => {
            let said = backup::take(store, &directory, &backup::Wanted { account, mailbox, rename, keep }).await?;
            info!("restored from {}: {}", directory.display(), said.join("; "));
            Ok(said)
        }
        Request::Status => status::of_store(store, vec![]),
        Request::Reclaim => status::reclaim_in(store).await,
    }
}

/// What these accounts use and may use; those that have been deleted meanwhile are left out.
fn quotas(store: &Store, accounts: Vec<AccountRecord>) -> Result<Vec<(AccountName, Quota)>> {
    let mut quotas = Vec::with_capacity(accounts.len());
    for AccountRecord { name, .. } in accounts {
        match store::blocking(|| store.quota(&name)) {
            Ok(quota) => quotas.push((name, quota)),
            Err(store::Error::NoSuchAccount) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(quotas)
}

fn usage(quotas: &[(AccountName, Quota)], json: bool) -> Result<Vec<String>> {
    if json {
        let objects: Vec<_> = quotas.iter().map(|(name, quota)| quota::object(name.as_str(), quota)).collect();
        return Ok(vec![serde_json::to_string_pretty(&objects)?]);
    }
    Ok(quotas.iter().map(|(name, quota)| quota::line(name.as_str(), quota)).collect())
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

fn day(time: UnixTime) -> String {
    let civil = DateTime::utc(time).civil();
    format!("{:04}-{:02}-{:02}", civil.year, civil.month, civil.day)
}

async fn hash(password: String) -> Result<String> {
    let password = Secret::new(password);
    let salt = random::octets()?;
    let hash = tokio::task::spawn_blocking(move || PasswordHash::new(&password, salt)).await??;
    Ok(hash.as_str().to_owned())
}

/// Answers requests until the server ends.
pub(crate) fn listen(directory: &Path, store: &Store, running: Running, shutdown: Shutdown) {
    let path = socket_path(directory);
    let listener = match Listener::unix(&path, 0o600) {
        Ok(listener) => listener,
        Err(error) => {
            warn!("{}: {error}: `pillarbox account` will not work while the server runs", path.display());
            return;
        }
    };
    let handshake_timeout = Duration::ZERO;
    let reception = Reception { name: "admin", implicit_tls: None, handshake_timeout, refusal: "" };
    let (store, running) = (store.clone(), Arc::new(running));
    let session = move |connection: Connection| session(connection, store.clone(), running.clone());
    tokio::spawn(listener.serve(reception, Connections::new(&Limits::default()), shutdown, session));
}

async fn session(mut connection: Connection, store: Store, running: Arc<Running>) {
    let mut line = Vec::new();
    while !line.contains(&b'\n') {
        let read = tokio::select! {
            read = connection.stream.read_more(&mut line, READ_SIZE) => read,
            () = connection.shutdown.requested() => return,
        };
        if line.len() > MAX_REQUEST || !matches!(read, Ok(1..)) {
            return;
        }
    }
    let response = match serde_json::from_slice(&line) {
        Ok(Request::Status) => match status::of_store(&store, running.lines()) {
            Ok(lines) => Response::Done(lines),
            Err(error) => Response::Failed(format!("{error:#}")),
        },
        // It may take long; the end of the server does not wait for it.
        Ok(request @ Request::Reclaim) => tokio::select! {
            response = execute(&store, request, Progress::default()) => response,
            () = connection.shutdown.requested() => Response::Failed("the server is stopping".to_owned()),
        },
        Ok(request @ Request::ImportImap { .. }) => match shown(&mut connection, &store, request).await {
            Some(response) => response,
            None => return,
        },
        Ok(request) => execute(&store, request, Progress::default()).await,
        Err(error) => Response::Failed(error.to_string()),
    };
    let _ = send(&mut connection.stream, &response).await;
}

/// Does what takes long, and says how far it is. `None` where nobody listens any more: then it ends.
async fn shown(connection: &mut Connection, store: &Store, request: Request) -> Option<Response> {
    let progress = Progress::default();
    let mut work = std::pin::pin!(execute(store, request, progress.clone()));
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            response = &mut work => return Some(response),
            () = connection.shutdown.requested() => return Some(Response::Failed("the server is stopping".to_owned())),
            _ = ticks.tick() => {}
        }
        send(&mut connection.stream, &Response::Progress(progress.show())).await.ok()?;
    }
}

async fn send(stream: &mut Stream, response: &Response) -> std::io::Result<()> {
    let mut answer = serde_json::to_vec(response)?;
    answer.push(b'\n');
    stream.send(&answer, Duration::from_secs(30)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_account_that_is_deleted_meanwhile_has_no_usage() {
        let engine = Arc::new(engine::memory::Memory::new());
        let store = Store::open(engine, Arc::new(store::SystemClock), store::Options::default()).unwrap();
        for name in ["alice", "bob"] {
            store.create_account(&AccountName::new(name).unwrap(), "hash".to_owned()).await.unwrap();
        }
        let accounts = store.accounts().unwrap();
        store.delete_account(&AccountName::new("alice").unwrap()).await.unwrap();
        let names: Vec<_> = quotas(&store, accounts).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [AccountName::new("bob").unwrap()]);
    }
}
