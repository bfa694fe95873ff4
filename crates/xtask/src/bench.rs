//! Pillarbox and Dovecot side by side: `tools/bench`, which measures any server from outside.
//!
//! Needs root: it empties the page cache, counts CPU by cgroup, and installs Dovecot from Debian's package. The stores are
//! in `$PEER_HOME` (default `/var/tmp/bench-peer`), which should be on a real disk; they stay there for the next run.

use std::process::Command;

use crate::steps::{Result, cargo, run, target_dir};

/// Builds what is measured and what measures, and runs the named tests; all of them, where none is named.
pub(crate) fn bench(words: &[String]) -> Result {
    let target = target_dir()?;
    run(Command::new("tools/bench/setup"))?;
    run(cargo(&["build", "--release", "--locked", "--package", "pillarbox"]))?;
    let load = target.join("mailload");
    let manifest = ["build", "--release", "--locked", "--manifest-path", "tools/mailload/Cargo.toml", "--target-dir"];
    run(cargo(&manifest).arg(&load))?;
    run(Command::new("tools/bench/run")
        .args(words)
        .env("PILLARBOX", target.join("release/pillarbox"))
        .env("MAILLOAD", load.join("release/mailload"))
        .env("BENCH_OUT", target.join("bench")))
}
