//! Running programs, and counting what passed and what failed.

use std::borrow::BorrowMut;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;

pub(crate) type Result<T = ()> = anyhow::Result<T>;

/// Steps of a check. A failed one does not keep the others from running.
#[derive(Default)]
pub(crate) struct Steps {
    passed: Vec<(String, Duration)>,
    failed: Vec<String>,
}

impl Steps {
    pub(crate) fn step(&mut self, name: &str, what: impl FnOnce() -> Result) {
        println!("== {name}");
        let start = Instant::now();
        match what() {
            Ok(()) => self.passed.push((name.to_owned(), start.elapsed())),
            Err(e) => {
                println!("== {name} FAILED: {e:#}");
                self.failed.push(name.to_owned());
            }
        }
    }

    /// Says what took how long, and ends in the plain line `N passed, N failed`.
    pub(crate) fn finish(self) -> Result {
        println!();
        for (name, time) in &self.passed {
            println!("ok     {:>6.1} s  {name}", time.as_secs_f64());
        }
        for name in &self.failed {
            println!("FAILED           {name}");
        }
        println!("{} passed, {} failed", self.passed.len(), self.failed.len());
        if self.failed.is_empty() { Ok(()) } else { bail!("failed: {}", self.failed.join(", ")) }
    }
}

/// Runs a program without input; anything but success is an error that repeats the command line.
pub(crate) fn run(mut command: impl BorrowMut<Command>) -> Result {
    let command = command.borrow_mut();
    let line = format!("{command:?}");
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start {line}"))?;
    if status.success() { Ok(()) } else { bail!("{line}: {status}") }
}

/// What a program prints.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let line = format!("{command:?}");
    let out = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {line}"))?;
    if out.status.success() { Ok(out.stdout) } else { bail!("{line}: {}", out.status) }
}

/// The cargo that runs us.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(args);
    cargo
}

/// What we read of `cargo metadata`.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// Where it comes from; none of a crate of ours.
    pub(crate) source: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `dev`, `build` or, for a normal one, nothing.
    pub(crate) kind: Option<String>,
}

pub(crate) fn metadata() -> Result<Metadata> {
    Ok(serde_json::from_slice(&output(&mut cargo(&["metadata", "--format-version", "1", "--locked"]))?)?)
}

/// Where cargo builds, absolute: the place for things that can be made again.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let dir = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Ok(std::path::absolute(dir)?)
}

/// All files below a folder whose names end so, sorted.
pub(crate) fn files(folder: &str, end: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::from(folder)];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                todo.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
