//! `pillarbox account`: by the running server if there is one, else in the store itself.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use import::imap::{Progress, Shown};

use crate::admin::{Request, Response, TICK, ask, execute};
use crate::config::Config;
use crate::quota::Change;
use crate::recover::recover;
use crate::{console, run};

/// What to do with which account.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = "pillarbox.toml")]
    config: PathBuf,
}

#[derive(Subcommand)]
enum Action {
    /// Creates an account; asks for its password, or reads it from the standard input.
    Create {
        /// A name or an address.
        name: String,
    },
    /// Prints the names of all accounts.
    List,
    /// Prints what there is to know about an account.
    Show {
        /// Whose.
        name: String,
    },
    /// Switches capabilities off for an account whose client misuses them, or on again.
    SetCapabilities {
        /// Whose.
        name: String,
        /// Names as in CAPABILITY, with commas between them.
        #[arg(long, value_name = "NAMES", value_delimiter = ',')]
        disable: Vec<String>,
        /// Takes back a `--disable`. What the configuration switches off stays off.
        #[arg(long, value_name = "NAMES", value_delimiter = ',')]
        enable: Vec<String>,
    },
    /// Sets another password, which is asked for or read from the standard input.
    Passwd {
        /// Whose.
        name: String,
    },
    /// Sets what an account may use; limits that are not named stay as they are.
    SetQuota {
        /// Whose.
        name: String,
        #[command(flatten)]
        change: Change,
    },
    /// Prints what an account uses and may use, or all accounts.
    Usage {
        /// Whose.
        name: Option<String>,
        /// For programs: JSON, sizes in octets.
        #[arg(long)]
        json: bool,
    },
    /// Deletes an account and all its mail.
    Delete {
        /// Whose.
        name: String,
    },
}

/// Does it and prints what came of it.
pub(crate) fn account(options: &Options) -> Result<()> {
    let config = Config::read(&options.config)?;
    let request = match &options.action {
        Action::Create { name } => Request::Create { name: name.clone(), password: password(name)? },
        Action::Passwd { name } => Request::SetPassword { name: name.clone(), password: password(name)? },
        Action::Delete { name } => Request::Delete { name: name.clone() },
        Action::SetQuota { name, change } => Request::SetQuota { name: name.clone(), change: *change },
        Action::Usage { name, json } => Request::Usage { name: name.clone(), json: *json },
        Action::List => Request::List,
        Action::Show { name } => Request::Show { name: name.clone() },
        Action::SetCapabilities { name, disable, enable } => {
            Request::SetCapabilities { name: name.clone(), disable: disable.clone(), enable: enable.clone() }
        }
    };
    for line in perform(&config, request)? {
        console::print(&line)?;
    }
    Ok(())
}

fn password(name: &str) -> Result<String> {
    console::new_password(name).map(|secret| secret.expose().to_owned())
}

/// Lets the running server do it, or does it here where none is running.
pub(crate) fn perform(config: &Config, request: Request) -> Result<Vec<String>> {
    perform_shown(config, request, &mut |_| {})
}

/// As [`perform`], for what takes long: `show` hears how far it is.
pub(crate) fn perform_shown(config: &Config, request: Request, show: &mut dyn FnMut(Shown)) -> Result<Vec<String>> {
    let response = match ask(&config.store.path, &request, show)? {
        Some(response) => response,
        None => {
            refuse_foreign_store(&config.store.path)?;
            let engine = config.engine_options_for_once();
            let (engine, store) = run::open_store(&config.store.path, engine, config.store_options()?)?;
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            let response = runtime.block_on(async {
                recover(&config.store.path, &store).await?;
                let progress = Progress::default();
                let mut work = std::pin::pin!(execute(&store, request, progress.clone()));
                let mut ticks = tokio::time::interval(TICK);
                loop {
                    tokio::select! {
                        response = &mut work => return anyhow::Ok(response),
                        _ = ticks.tick() => show(progress.show()),
                    }
                }
            })?;
            drop((runtime, store, engine));
            response
        }
    };
    match response {
        Response::Done(lines) => Ok(lines),
        Response::Failed(why) => bail!(why),
        Response::Progress(_) => bail!("the running server gave no answer"),
    }
}

/// Files that root makes in another user's store are files that the server cannot open tomorrow.
pub(crate) fn refuse_foreign_store(store: &Path) -> Result<()> {
    let Ok(metadata) = std::fs::metadata(store) else { return Ok(()) };
    let (owner, me) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != me {
        bail!("the store {} belongs to user {owner}, this is user {me}: run it as that user", store.display());
    }
    Ok(())
}
