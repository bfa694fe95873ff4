//! Fuzzing: a smoke run that any stable toolchain can do, and libFuzzer with coverage where there is a nightly.
//!
//! Both call the same functions, the crate `fuzz`; the corpus is committed under `tests/fuzz/TARGET/`.

use anyhow::Context;
use std::process::Command;

use crate::steps::{Result, cargo, run, target_dir};

/// What cargo-fuzz would set: coverage counters in every crate, optimised code with its assertions.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1";

/// Mutates the corpus for some seconds with a seeded generator; a panic or a hang fails, with the seed.
pub(crate) fn smoke(target: Option<&str>, seconds: u64, seed: Option<u64>) -> Result {
    let mut smoke = cargo(&["run", "--quiet", "--locked", "--package", "fuzz", "--"]);
    smoke.arg("--seconds").arg(seconds.to_string());
    if let Some(seed) = seed {
        smoke.arg("--seed").arg(seed.to_string());
    }
    run(smoke.args(target))
}

/// Runs libFuzzer on one target, or on each in turn. Findings go to `target/fuzz`, new inputs too.
pub(crate) fn libfuzzer(target: Option<&str>, seconds: u64) -> Result {
    let dir = target_dir()?.join("fuzz");
    let host = "x86_64-unknown-linux-gnu";
    run(Command::new("cargo")
        .args([
            "+nightly",
            "build",
            "--release",
            "--manifest-path",
            "crates/fuzz/libfuzzer/Cargo.toml",
            "--target",
            host,
            "--target-dir",
        ])
        .arg(&dir)
        .env("RUSTFLAGS", COVERAGE)
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO"))
    .context("libFuzzer needs a nightly toolchain: rustup toolchain install nightly")?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir("crates/fuzz/libfuzzer/targets")? {
        names.extend(entry?.path().file_stem().map(|s| s.to_string_lossy().into_owned()));
    }
    names.sort();
    for name in names.iter().filter(|n| target.is_none_or(|t| t == *n)) {
        let found = dir.join("corpus").join(name);
        std::fs::create_dir_all(&found)?;
        run(Command::new(dir.join(host).join("release").join(name))
            .arg(&found)
            .arg(format!("tests/fuzz/{name}"))
            .arg(format!("-max_total_time={seconds}"))
            .args(["-timeout=10", "-rss_limit_mb=2048"])
            .arg(format!("-artifact_prefix={}/", dir.display())))?;
    }
    Ok(())
}
