//! `fuzz [--seconds N] [--seed N] [TARGET]`: see `fuzz::smoke`. Exit status 1 where a promise is broken.
#![allow(clippy::print_stdout, reason = "a command line tool talks to its user")]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use fuzz::TARGETS;
use fuzz::smoke::{Outcome, smoke};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (mut seconds, mut seed, mut only) = (5, None, None);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => seconds = words.next().and_then(|n| n.parse().ok()).unwrap_or(seconds),
            "--seed" => seed = words.next().and_then(|n| n.parse().ok()),
            _ => only = Some(word),
        }
    }
    // Another seed each time finds more; the printed one repeats it.
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz");
    let mut good = true;
    for target in TARGETS.iter().filter(|t| only.as_deref().is_none_or(|o| o == t.name)) {
        match smoke(*target, &tests, seed, Duration::from_secs(seconds)) {
            Ok(Outcome::Clean(count)) => println!("{}: {count} inputs, seed {seed}", target.name),
            Ok(Outcome::Broken(input)) => {
                println!(
                    "{}: seed {seed} breaks it with {:?}\n  {input:?}",
                    target.name,
                    String::from_utf8_lossy(&input)
                );
                good = false;
            }
            Err(e) => {
                println!("{}: its corpus cannot be read: {e}", target.name);
                good = false;
            }
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
