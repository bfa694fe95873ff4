//! `pillarbox check`: everything that is wrong with the store, in plain words; and what can be done about it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use engine::about_blob;
use engine::local::Local;
use tokio::runtime::Runtime;

use crate::account::{perform, refuse_foreign_store};
use crate::admin::Request;
use crate::config::Config;
use crate::recover::{recover, report};
use crate::{console, run};

/// How to look.
#[derive(Args)]
pub(crate) struct Options {
    /// Puts right what can be: the index is made again where it is damaged, from its newest copy and the
    /// messages themselves, and messages that cannot be read move to the mailbox Damaged. Nothing is
    /// deleted. The server must not run.
    #[arg(long)]
    repair: bool,
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "pillarbox.toml")]
    config: PathBuf,
}

/// Prints a line for each problem; an error where there is one.
pub(crate) fn check(options: &Options) -> Result<()> {
    let config = Config::read(&options.config)?;
    if !config.store.path.is_dir() {
        bail!("there is no store in {}", config.store.path.display());
    }
    let problems = if options.repair { repair(&config)? } else { perform(&config, Request::Check)? };
    for problem in &problems {
        console::print(problem)?;
    }
    match problems.len() {
        0 => console::print("everything is in order"),
        1 => bail!("1 problem"),
        n => bail!("{n} problems"),
    }
}

/// Does what can be done, says what was done, and gives what is still wrong.
fn repair(config: &Config) -> Result<Vec<String>> {
    let path = &config.store.path;
    refuse_foreign_store(path)?;
    // A second time where an account looked whole in the damaged index and was not.
    for _ in 0..2 {
        // A runtime for each: its end ends whatever has the store open.
        match runtime()?.block_on(look(path, config))? {
            Some(accounts) => {
                Local::rebuild(path, &run::for_mail(still(), &config.store_options()?.limits), &accounts)?
            }
            None => break,
        };
    }
    let (said, problems) = runtime()?.block_on(put_right(path, config))?;
    for line in &said {
        console::print(line)?;
    }
    Ok(problems)
}

/// Nothing is given back to the disk meanwhile: a body that no commit names may be one to put back.
fn still() -> engine::local::Options {
    let reclaim = engine::local::Reclaim { every: None, ..Default::default() };
    engine::local::Options { reclaim, ..Default::default() }
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

/// The accounts whose part of the index must be made again; `None` where the index is as it should be.
async fn look(path: &Path, config: &Config) -> Result<Option<BTreeSet<types::AccountId>>> {
    let (engine, store) = run::open_store(path, still(), config.store_options()?)?;
    recover(path, &store).await?;
    let sound = engine.check()?.iter().all(|line| about_blob(line).is_some());
    let inconsistent = store.inconsistent()?;
    Ok((!sound || !inconsistent.is_empty()).then_some(inconsistent))
}

async fn put_right(path: &Path, config: &Config) -> Result<(Vec<String>, Vec<String>)> {
    let (engine, store) = run::open_store(path, still(), config.store_options()?)?;
    let mut said = recover(path, &store).await?;
    said.extend(store.put_strays_back().await.context("cannot put messages back")?);
    let aside = store.set_damaged_aside().await.context("cannot move damaged messages")?;
    if !aside.is_empty() {
        report(path, &aside)?;
        said.extend(aside);
    }
    let problems = store.check()?;
    drop((store, engine));
    Ok((said, problems))
}
