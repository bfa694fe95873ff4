//! How many heaps the C library keeps for the server.
//!
//! glibc gives threads heaps of their own, up to eight for each processor, and what is free in one of them is nothing
//! to the others. Work goes from thread to thread here, so that a server that had been busy held twice what it used;
//! with one for each processor threads wait for each other (`docs/decisions/0030`). How many there may be can only be
//! said beforehand, by an environment variable: so the server begins once more, with that.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Of glibc, whoever else reads it.
const VARIABLE: &str = "MALLOC_ARENA_MAX";

/// Heaps for each processor: what commits works beside those who serve.
const EACH: usize = 2;

/// Begins the program anew with so many heaps, in the same process, unless somebody has said already how
/// many there should be. Where that cannot be done it goes on as it is.
pub(crate) fn share() {
    let (Ok(program), Ok(processors)) = (env::current_exe(), std::thread::available_parallelism()) else { return };
    if cfg!(target_env = "gnu") && env::var_os(VARIABLE).is_none() {
        let mut words = env::args_os();
        let name = words.next().unwrap_or_else(|| program.clone().into());
        // Comes back with an error, or not at all.
        let _ =
            Command::new(program).arg0(name).args(words).env(VARIABLE, (processors.get() * EACH).to_string()).exec();
    }
}
