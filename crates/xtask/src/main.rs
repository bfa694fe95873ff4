//! The one interface for those who work on Pillarbox.
//!
//! `cargo xtask check` is what must hold before a commit, `cargo xtask test` is the whole test run that CI uses;
//! the others are its parts. Nothing here is shipped. Each step prints what it runs, so that it can be repeated by hand.

#![allow(clippy::print_stdout, reason = "a command line tool talks to its user")]

mod arrows;
mod bench;
mod clients;
mod fuzz;
mod lengths;
mod licences;
mod steps;
mod tables;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use steps::{Result, Steps, cargo, run};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "What those who work on Pillarbox need")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Format, lints, crate arrows, licences, the RFC table and the documentation build
    Check,
    /// Everything that CI tests: sets up what it needs, then cargo tests, real clients and a fuzz smoke run
    Test {
        /// Seconds of fuzzing for each target
        #[arg(long, default_value_t = 5)]
        fuzz_seconds: u64,
    },
    /// Installs what the client tests need (Debian packages, pinned PyPI and npm packages)
    Setup,
    /// Real clients against the server: all of them, or the named ones
    Clients {
        /// crash curl demo disk_full imapclient imapflow imaplib mbsync mutt offlineimap openssl power_cut read_only
        names: Vec<String>,
        /// Use this server instead of building one; "dovecot" stands for the installed Dovecot, to test the tests
        #[arg(long)]
        server: Option<PathBuf>,
    },
    /// Feeds mutated input to everything that a peer can reach
    Fuzz {
        /// The target; all of them when left out
        target: Option<String>,
        /// Seconds for each target
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// The first seed; a failure prints the seed that repeats it
        #[arg(long)]
        seed: Option<u64>,
        /// With libFuzzer and coverage: needs a nightly toolchain and a C++ compiler
        #[arg(long)]
        libfuzzer: bool,
    },
    /// Counts lines of code and of tests
    Lines,
    /// Measures Pillarbox and Dovecot side by side, in one run (needs root; docs/performance.md)
    Bench {
        /// fill latency delivery append login idle newlogins memory scale slow, and settings for them: latency.reps=5
        words: Vec<String>,
    },
    /// Measures what the README claims: release build time, lines, rates, latencies, memory, kill -9
    Figures {
        /// Only these: beside build changes crash idle lines lmtp mailbox
        names: Vec<String>,
    },
}

fn main() -> ExitCode {
    match std::env::set_current_dir(root()).map_err(Into::into).and_then(|()| work(Args::parse().task)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            println!("xtask: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn work(task: Task) -> Result {
    match task {
        Task::Check => check(),
        Task::Test { fuzz_seconds } => test(fuzz_seconds),
        Task::Setup => clients::setup(),
        Task::Clients { names, server } => clients::clients(&names, server),
        Task::Fuzz { target, seconds, seed, libfuzzer: false } => fuzz::smoke(target.as_deref(), seconds, seed),
        Task::Fuzz { target, seconds, libfuzzer: true, .. } => fuzz::libfuzzer(target.as_deref(), seconds),
        Task::Bench { words } => bench::bench(&words),
        Task::Lines => lengths::report(),
        Task::Figures { names } => {
            clients::setup()?;
            run(clients::python().arg("tests/figures/figures.py").args(names))
        }
    }
}

/// Cheap first; every step runs, so that one look shows all that is wrong.
fn check() -> Result {
    let mut steps = Steps::default();
    steps.step("format", || run(cargo(&["fmt", "--all", "--check"])));
    steps.step("arrows", arrows::check);
    steps.step("licences", licences::check);
    steps.step("RFC table", tables::rfcs);
    steps.step("clients table", tables::clients);
    steps.step("limits table", tables::limits);
    steps.step("file lengths", lengths::report);
    steps.step("lints", || run(cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])));
    steps.step("documentation", || {
        run(cargo(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"))
    });
    steps.finish()
}

fn test(fuzz_seconds: u64) -> Result {
    let mut steps = Steps::default();
    steps.step("cargo test", || run(cargo(&["test", "--workspace", "--locked", "--no-fail-fast", "--quiet"])));
    // `cargo test` has run them on the engine in memory.
    steps.step("transcripts on disk", || {
        let transcripts = ["test", "-p", "testkit", "--locked", "--quiet", "--test", "transcripts"];
        run(cargo(&transcripts).env("TRANSCRIPTS_ENGINE", "local"))
    });
    steps.step("fuzz smoke", || fuzz::smoke(None, fuzz_seconds, None));
    steps.step("setup", clients::setup);
    match clients::build() {
        Ok(server) => clients::steps(&mut steps, &clients::all()?, &server),
        Err(e) => steps.step("the server for the clients", || Err(e)),
    }
    steps.finish()
}

/// The workspace: two folders above this crate.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}
