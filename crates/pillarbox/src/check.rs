//! `pillarbox check`: everything that is wrong with the store, in plain words.

use std::path::Path;

use anyhow::{Result, bail};

use crate::account::perform;
use crate::admin::Request;
use crate::config::Config;
use crate::console;

/// Prints a line for each problem; an error where there is one.
pub(crate) fn check(path: &Path) -> Result<()> {
    let config = Config::read(path)?;
    if !config.store.path.is_dir() {
        bail!("there is no store in {}", config.store.path.display());
    }
    let problems = perform(&config, Request::Check)?;
    for problem in &problems {
        console::print(problem)?;
    }
    match problems.len() {
        0 => console::print("everything is in order"),
        1 => bail!("1 problem"),
        n => bail!("{n} problems"),
    }
}
