//! After the store has lost commits: puts back what can be, and leaves the list where people find it.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, Result};
use store::Store;
use tracing::{error, warn};

/// Before anybody is served. Gives the list, empty where nothing was wrong.
pub(crate) async fn recover(directory: &Path, store: &Store) -> Result<Vec<String>> {
    let said = store.recover().await.context("cannot put the store right")?;
    if said.is_empty() {
        return Ok(said);
    }
    for line in &said {
        warn!("{line}");
    }
    match report(directory, &said) {
        Ok(path) => warn!("the store was put right; the list above is in {path} as well"),
        Err(problem) => error!("the list above cannot be written to a file: {problem:#}"),
    }
    Ok(said)
}

pub(crate) fn report(directory: &Path, said: &[String]) -> Result<String> {
    let damaged = directory.join("damaged");
    DirBuilder::new().recursive(true).mode(0o700).create(&damaged)?;
    let mut names = (1..).map(|n| damaged.join(format!("report-{n}.txt")));
    let path = names.find(|path| !path.exists()).context("no name is free")?;
    fs::write(&path, said.join("\n") + "\n")?;
    Ok(path.display().to_string())
}
