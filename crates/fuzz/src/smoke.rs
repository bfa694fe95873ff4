//! Fuzzing without a fuzzer: mutates a corpus with a seeded generator for a while. Finds shallow faults on any toolchain.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::Target;

/// An input that takes longer than this hangs, even in a debug build on a busy machine.
const HANG: Duration = Duration::from_secs(20);
/// No mutation grows beyond this.
const LONGEST: usize = 8192;

/// What a run came to.
#[derive(Debug)]
pub enum Outcome {
    /// So many inputs and no fault.
    Clean(u64),
    /// This input broke a promise.
    Broken(Vec<u8>),
}

/// Runs all of `tests/fuzz/TARGET/` as it is, then mutations of it for `time`. The same seed gives the same inputs in
/// the same order. A hang ends the process.
pub fn smoke(target: Target, corpus: &Path, seed: u64, time: Duration) -> std::io::Result<Outcome> {
    let corpus = load(&corpus.join(target.name))?;
    let watch = Watch::start(target.name);
    let mut chance = Chance(seed ^ 0x9e37_79b9_7f4a_7c15);
    let start = Instant::now();
    let mut count = 0;
    let mut seeds = corpus.iter().cloned();
    while let Some(input) =
        seeds.next().or_else(|| (start.elapsed() < time).then(|| mutate(&corpus, target.words, &mut chance)))
    {
        watch.on(&input);
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err() {
            watch.off();
            return Ok(Outcome::Broken(input));
        }
        count += 1;
    }
    watch.off();
    Ok(Outcome::Clean(count))
}

/// The files of a folder in the order of their names; at least one input.
fn load(folder: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.sort();
    let mut corpus = paths.iter().map(std::fs::read).collect::<Result<Vec<_>, _>>()?;
    if corpus.is_empty() {
        corpus.push(Vec::new());
    }
    Ok(corpus)
}

/// Ends the process when an input takes too long: a thread cannot be stopped from outside.
struct Watch {
    current: Arc<Current>,
}

/// What is being tried.
#[derive(Default)]
struct Current {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    count: u64,
    input: Vec<u8>,
    ended: bool,
}

impl Watch {
    fn start(name: &'static str) -> Self {
        let current = Arc::new(Current::default());
        let seen = Arc::clone(&current);
        std::thread::spawn(move || seen.watch(name));
        Self { current }
    }

    fn on(&self, input: &[u8]) {
        if let Ok(mut state) = self.current.state.lock() {
            state.count += 1;
            state.input = input.to_vec();
        }
    }

    fn off(&self) {
        if let Ok(mut state) = self.current.state.lock() {
            state.ended = true;
            self.current.changed.notify_all();
        }
    }
}

impl Current {
    fn watch(&self, name: &str) {
        let Ok(mut state) = self.state.lock() else { return };
        let mut last = 0;
        while !state.ended {
            let Ok((now, waited)) = self.changed.wait_timeout(state, HANG) else { return };
            state = now;
            if waited.timed_out() && state.count == last && !state.ended {
                eprintln!("{name} hangs on {:?}\n  {:?}", String::from_utf8_lossy(&state.input), state.input);
                std::process::abort();
            }
            last = state.count;
        }
    }
}

/// SplitMix64: small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `n`; 0 for 0.
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() >> 1).unwrap_or(0).checked_rem(n).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }
}

fn mutate(corpus: &[Vec<u8>], words: &[&str], chance: &mut Chance) -> Vec<u8> {
    let mut input = chance.pick(corpus).cloned().unwrap_or_default();
    for _ in 0..=chance.below(6) {
        let at = chance.below(input.len() + 1);
        let end = (at + chance.below(24)).min(input.len());
        match chance.below(8) {
            0 => drop(input.drain(at..end)),
            1 => {
                let again = input.get(at..end).unwrap_or_default().to_vec();
                input.splice(at..at, again);
            }
            2 => {
                let other = chance.pick(corpus).map(Vec::as_slice).unwrap_or_default();
                let from = chance.below(other.len() + 1);
                input.splice(at.., other.get(from..).unwrap_or_default().iter().copied());
            }
            3 | 4 => {
                let word = chance.pick(words).copied().unwrap_or("\0\u{ff}").as_bytes();
                input.splice(at..at, word.iter().copied());
            }
            5 => input.insert(at, chance.next() as u8),
            6 => {
                let word = chance.pick(words).copied().unwrap_or("\r\n").as_bytes();
                input.splice(at..end, word.iter().copied());
            }
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << (chance.next() % 8);
                }
            }
        }
        input.truncate(LONGEST);
    }
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs() {
        let corpus = vec![b"a LOGIN b c\r\n".to_vec(), b"d NOOP\r\n".to_vec()];
        let inputs = |seed| {
            let mut chance = Chance(seed);
            (0..50).map(|_| mutate(&corpus, &["{5}"], &mut chance)).collect::<Vec<_>>()
        };
        assert_eq!(inputs(7), inputs(7));
        assert_ne!(inputs(7), inputs(8));
    }

    #[test]
    fn a_broken_promise_is_found() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("broken")).unwrap();
        std::fs::write(dir.path().join("broken/seed"), b"abc").unwrap();
        let target = Target { name: "broken", run: |data| assert!(!data.contains(&b'X')), words: &["X"] };
        let outcome = smoke(target, dir.path(), 1, Duration::from_secs(10)).unwrap();
        assert!(matches!(outcome, Outcome::Broken(input) if input.contains(&b'X')));
    }
}
