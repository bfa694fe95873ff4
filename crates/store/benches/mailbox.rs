//! Snapshots: chunks that are read, and what a session learns of a change: `cargo bench -p store`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::ops::ControlFlow;
use std::sync::Arc;

use divan::{Bencher, black_box};
use engine::memory::Memory;
use store::{Account, FlagChange, FlagMode, Mailbox, NewMessage, Options, Store, SystemClock, View};
use types::{AccountName, Flag, Flags, IdSet, MailboxName, ModSeq, Principal, Uid};

fn main() {
    divan::main();
}

const MESSAGES: u32 = 10_000;

struct World {
    runtime: tokio::runtime::Runtime,
    engine: Arc<Memory>,
    account: Account,
    mailbox: Mailbox,
}

fn who(account: &Account) -> Principal {
    Principal { account: account.id() }
}

fn open(engine: &Arc<Memory>) -> Store {
    Store::open(Arc::clone(engine) as _, Arc::new(SystemClock), Options::default()).unwrap()
}

fn inbox(account: &Account) -> Mailbox {
    account.open(&who(account), &MailboxName::new("INBOX").unwrap()).unwrap()
}

/// A mailbox with many small messages.
fn world() -> World {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let engine = Arc::new(Memory::new());
    let store = open(&engine);
    let account = runtime.block_on(async {
        let id = store.create_account(&AccountName::new("a").unwrap(), "hash".into()).await.unwrap();
        let account = store.account(id).unwrap();
        let messages = (0..MESSAGES).map(|n| {
            let mut incoming = account.receive().unwrap();
            incoming.push(format!("Subject: {n}\r\n\r\n").as_bytes()).unwrap();
            NewMessage { content: incoming.finish().unwrap(), flags: Flags::NONE, internal_date: None }
        });
        account.append(&who(&account), &MailboxName::new("INBOX").unwrap(), messages.collect()).await.unwrap();
        account
    });
    let mailbox = inbox(&account);
    World { runtime, engine, account, mailbox }
}

/// Rows and marks of all chunks, from their values.
#[divan::bench]
fn chunk_codec(bencher: Bencher) {
    let World { engine, account, .. } = world();
    bencher.with_inputs(|| open(&engine)).bench_values(|store| {
        let snapshot = inbox(&store.account(account.id()).unwrap()).snapshot().unwrap();
        let mut octets = 0;
        let walked = snapshot.walk(&snapshot.uids(), |_, _, row| {
            octets += u64::from(row.size);
            ControlFlow::Continue(())
        });
        walked.unwrap();
        octets
    });
}

/// What a client is told after the flags of so many messages changed.
#[divan::bench(args = [1, 100, 10_000])]
fn snapshot_diff(bencher: Bencher, changed: u32) {
    let World { runtime, account, mailbox, .. } = world();
    let view = View::new(&mailbox.snapshot().unwrap());
    let flags = Flags::from_iter([Flag::Seen]);
    let change = FlagChange { mode: FlagMode::Add, flags, unchanged_since: None };
    let uids = IdSet::range(Uid::MIN, Uid::new(changed).unwrap());
    runtime.block_on(mailbox.store_flags(&who(&account), uids, change, ModSeq::ZERO)).unwrap();
    let snapshot = mailbox.snapshot().unwrap();
    bencher.bench(|| black_box(&view).clone().advance(&snapshot, true, None).unwrap());
}
