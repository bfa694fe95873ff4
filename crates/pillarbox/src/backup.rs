//! `pillarbox backup` and `pillarbox restore`: by the running server if there is one, else in the store itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use engine::local::{Archive, Local};
use store::{Backup, Restore, Store, SystemClock};
use types::{AccountName, MailboxName};

use crate::account::{perform, refuse_foreign_store};
use crate::admin::Request;
use crate::config::Config;
use crate::recover::recover;
use crate::{console, run};

/// What to back up, and where to.
#[derive(Args)]
pub(crate) struct BackupOptions {
    /// The directory of the backup: a new one, or that of an earlier backup, which is brought up to date.
    directory: PathBuf,
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "pillarbox.toml")]
    config: PathBuf,
}

/// What to restore, and from where.
#[derive(Args)]
pub(crate) struct RestoreOptions {
    /// The directory of the backup.
    directory: PathBuf,
    /// Only this account. Without it everything is restored, into a store that does not exist yet.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Only this mailbox of the account.
    #[arg(long, value_name = "NAME", requires = "account")]
    mailbox: Option<String>,
    /// Another name for the account, or for the mailbox.
    #[arg(long = "as", value_name = "NAME", requires = "account")]
    rename: Option<String>,
    /// Nothing has happened since the backup: clients need not fetch anew what comes back under its old name.
    #[arg(long)]
    keep_uidvalidity: bool,
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "pillarbox.toml")]
    config: PathBuf,
}

/// Makes or renews a backup. What is damaged in the store is an error, after all else was copied.
pub(crate) fn backup(options: &BackupOptions) -> Result<()> {
    let config = Config::read(&options.config)?;
    let directory = std::path::absolute(&options.directory)?;
    if directory.starts_with(std::path::absolute(&config.store.path)?) {
        bail!("a backup inside the store is none: choose another directory");
    }
    print(perform(&config, Request::Backup { directory })?)
}

/// Restores a store, an account or a mailbox.
pub(crate) fn restore(options: &RestoreOptions) -> Result<()> {
    let config = Config::read(&options.config)?;
    let directory = std::path::absolute(&options.directory)?;
    let keep = options.keep_uidvalidity;
    match &options.account {
        Some(account) => {
            let (account, mailbox, rename) = (account.clone(), options.mailbox.clone(), options.rename.clone());
            print(perform(&config, Request::Restore { directory, account, mailbox, rename, keep })?)
        }
        None => everything(&config, &directory, keep),
    }
}

fn print(lines: Vec<String>) -> Result<()> {
    lines.iter().try_for_each(|line| console::print(line))
}

fn everything(config: &Config, directory: &Path, keep: bool) -> Result<()> {
    let path = &config.store.path;
    refuse_foreign_store(path)?;
    Local::restore(directory, path, &Default::default(), keep).context("nothing was restored")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let (engine, store) = run::open_store(path, Default::default(), config.store_options()?)?;
        let mut said = recover(path, &store).await?;
        let accounts = store.accounts()?.len();
        said.push(format!("{accounts} accounts were restored"));
        said.extend(store.check()?);
        drop((store, engine));
        print(said)
    })
}

/// For the one who owns the store.
pub(crate) fn make(store: &Store, directory: &Path) -> Result<Vec<String>> {
    let Backup { segments, new, octets, gone, damaged } = store.backup(directory)?;
    let mut said = vec![format!(
        "backed up: {segments} segments, {new} of them new ({octets} octets), {gone} not needed any more; all that is new was verified"
    )];
    said.extend(damaged.iter().map(|line| format!("damaged in the store: {line}")));
    Ok(said)
}

/// For the one who owns the store.
pub(crate) async fn take(store: &Store, directory: &Path, what: &Wanted) -> Result<Vec<String>> {
    let named = || directory.display().to_string();
    let engine = Archive::open(directory).with_context(|| format!("no backup can be read in {}", named()))?;
    let options = store::Options { limits: store.limits().clone(), ..store::Options::default() };
    let backup = Store::open(Arc::new(engine), Arc::new(SystemClock), options)?;
    let restore = Restore {
        account: AccountName::new(&what.account).with_context(|| format!("{:?}", what.account))?,
        mailbox: what.mailbox.as_deref().map(MailboxName::new).transpose()?,
        rename: what.rename.clone(),
        keep_uid_validity: what.keep,
    };
    Ok(store.restore(&backup, &restore).await?)
}

/// What [`Request::Restore`] says.
pub(crate) struct Wanted {
    pub(crate) account: String,
    pub(crate) mailbox: Option<String>,
    pub(crate) rename: Option<String>,
    pub(crate) keep: bool,
}
