//! Real clients against the server: `tests/clients/check_NAME.py`, one program for each client.
//!
//! Setting up is the job of `tests/clients/setup`, so that it can be read and run without cargo.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::steps::{Result, Steps, cargo, files, output, run, target_dir};

/// Installs what the clients need; quick when it is there already.
pub(crate) fn setup() -> Result {
    run(Command::new("tests/clients/setup").arg(place()?))
}

/// Runs the named clients, or all.
pub(crate) fn clients(names: &[String], server: Option<PathBuf>) -> Result {
    let known = all()?;
    if let Some(unknown) = names.iter().find(|n| !known.contains(n)) {
        bail!("no client {unknown}; there are: {}", known.join(" "));
    }
    setup()?;
    let server = match server {
        Some(server) => server,
        None => build()?,
    };
    let mut counted = Steps::default();
    steps(&mut counted, if names.is_empty() { &known } else { names }, &server);
    counted.finish()
}

/// Each of these clients as a step.
pub(crate) fn steps(steps: &mut Steps, names: &[String], server: &Path) {
    for name in names {
        steps.step(&format!("client {name}"), || client(name, server));
    }
}

/// The names of all client tests.
pub(crate) fn all() -> Result<Vec<String>> {
    let names = files("tests/clients", ".py")?;
    Ok(names.iter().filter_map(|p| p.file_stem()?.to_str()?.strip_prefix("check_").map(str::to_owned)).collect())
}

/// One client test against a server binary.
fn client(name: &str, server: &Path) -> Result {
    run(python().arg(format!("tests/clients/check_{name}.py")).env("PILLARBOX", server))
}

/// The Python with the pinned packages of the client tests.
pub(crate) fn python() -> Command {
    let mut python = Command::new(place().unwrap_or_default().join("venv/bin/python"));
    python.args(["-u", "-B"]).env("CLIENTS_DIR", place().unwrap_or_default());
    python
}

/// Builds the server as cargo tests have it, with debug assertions and overflow checks, and says where it is.
pub(crate) fn build() -> Result<PathBuf> {
    let messages = output(&mut cargo(&["build", "--package", "pillarbox", "--locked", "--message-format", "json"]))?;
    String::from_utf8(messages)?
        .lines()
        .filter_map(|l| serde_json::from_str::<Message>(l).ok())
        .filter_map(|m| m.executable)
        .next_back()
        .context("cargo built no pillarbox")
}

/// What we read of cargo's messages.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
}

/// Where the packages of the client tests are, and what they write.
fn place() -> Result<PathBuf> {
    Ok(target_dir()?.join("clients"))
}
