//! Durable commits per second: 12 KB of blob and about 1.5 KB of keys each.
//!
//! `cargo run --release -p engine --example commits -- DIR [WRITERS [COMMITS [PAGE_SIZE]]]`
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use engine::local::{Local, Options};
use engine::{AccountBatch, Batch, BlobId, CommitNumber, Engine, NewBlob, Write};
use types::AccountId;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir: PathBuf = arguments.next().expect("a directory").into();
    let mut number = |default: u64| arguments.next().map_or(default, |n| n.parse().unwrap());
    let (writers, commits, page_size) = (number(16), number(20_000), number(8192) as u32);
    let engine = Local::open(&dir, Options { page_size, ..Options::default() }).unwrap();

    let start = Instant::now();
    let mut times: Vec<Duration> = thread::scope(|scope| {
        let engine = &engine;
        let threads = (0..writers).map(|n| scope.spawn(move || deliver(engine, AccountId(n), commits / writers)));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let elapsed = start.elapsed();
    times.sort_unstable();
    let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied().unwrap_or_default();
    println!(
        "{writers} writers: {:.0} commits/s; median {:?}, 99% {:?}, longest {:?}",
        times.len() as f64 / elapsed.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(0.999_999),
    );
    let start = Instant::now();
    drop(engine);
    println!("closed in {:?}", start.elapsed());
}

/// As a mail server delivers to one account: a body, a chunk and a head rewritten, a card added.
fn deliver(engine: &Local, account: AccountId, commits: u64) -> Vec<Duration> {
    let number = engine.read(account).unwrap().commit_number().0;
    let body: Vec<u8> = (0..12_000u32).map(|n| (n * 31 % 97) as u8 + 32).collect();
    let put = |key: String, len: usize| Write { key: key.into_bytes(), value: Some(vec![7; len]) };
    (number..number + commits)
        .map(|n| {
            let start = Instant::now();
            let mut writer = engine.upload().unwrap();
            writer.write(&body[..2000]).unwrap();
            writer.cut().unwrap();
            writer.write(&body[2000..]).unwrap();
            let upload = writer.finish().unwrap();
            let change = AccountBatch {
                essential: vec![
                    put("head/1".to_owned(), 200),
                    put(format!("rows/1/{:08}", n / 100), 40 + (n % 100 * 12) as usize),
                    put(format!("marks/1/{:08}", n / 100), 60),
                ],
                derived: vec![
                    put(format!("card/{n:016}"), 500),
                    put(format!("thread/{:016x}", n * 7919 % 1_000_003), 40),
                ],
                blobs: vec![NewBlob { id: BlobId(n), upload, label: vec![1; 40] }],
                ..AccountBatch::new(account, CommitNumber(n))
            };
            engine.commit(Batch { accounts: vec![change] }).wait().unwrap();
            start.elapsed()
        })
        .collect()
}
