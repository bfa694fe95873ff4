//! What hashing leaves behind in memory. Alone in its process.

#![cfg(target_os = "linux")]

use std::sync::Barrier;

use auth::{PasswordHash, SALT_LEN, Secret};

/// Each hash takes 19 MiB, and the heap of each thread that had computed some kept them: a server in which
/// accounts were created held hundreds of MiB for ever.
#[test]
fn passwords_that_were_set_leave_no_memory_behind() {
    const THREADS: usize = 4;
    let (computed, measured) = (Barrier::new(THREADS + 1), Barrier::new(THREADS + 1));
    let resident_kib = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
    };
    let before = resident_kib();
    let grown = std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for salt in 0..2 {
                    PasswordHash::new(&Secret::from("secret"), [salt; SALT_LEN]).unwrap();
                }
                computed.wait();
                measured.wait();
            });
        }
        computed.wait();
        let grown = resident_kib().saturating_sub(before);
        measured.wait();
        grown
    });
    assert!(grown < 19 * 1024, "{grown} KiB are left");
}
