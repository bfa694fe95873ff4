//! Many at once on one account: the writer takes them one after the other, whoever was first.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::Arc;

use engine::memory::Memory;
use store::{Error, FlagChange, FlagMode, Missing, NewMessage, Options, Store, SystemClock};
use types::{AccountName, Flag, Flags, IdSet, MailboxName, ModSeq, Principal, Uid};

fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

async fn account(messages: usize) -> (Store, store::Account, Principal) {
    let store = Store::open(Arc::new(Memory::new()), Arc::new(SystemClock), Options::default()).unwrap();
    let id = store.create_account(&AccountName::new("a").unwrap(), "hash".into()).await.unwrap();
    let (account, who) = (store.account(id).unwrap(), Principal { account: id });
    let new = |n| {
        let mut incoming = account.receive().unwrap();
        incoming.push(format!("Subject: {n}\r\n\r\ntext\r\n").as_bytes()).unwrap();
        NewMessage { content: incoming.finish().unwrap(), flags: Flags::NONE, internal_date: None }
    };
    account.append(&who, &name("INBOX"), (0..messages).map(new).collect()).await.unwrap();
    (store, account, who)
}

fn all(n: u32) -> IdSet<Uid> {
    IdSet::range(Uid::MIN, Uid::new(n).unwrap())
}

/// A peer made 162 of 60 messages when four sessions moved them at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_sessions_move_the_same_sixty_messages() {
    let (store, account, who) = account(60).await;
    let movers = (0..4).map(|n| {
        let (account, who) = (account.clone(), who.clone());
        tokio::spawn(async move {
            let inbox = account.open(&who, &name("INBOX")).unwrap();
            let to = name(["Archive", "Trash", "Junk", "Sent"][n]);
            inbox.relocate(&who, all(60), &to, Missing::Refuse).await
        })
    });
    let mut moved = 0;
    for mover in movers.collect::<Vec<_>>() {
        match mover.await.unwrap() {
            Ok(copied) => moved += copied.to.len(),
            Err(error) => assert!(matches!(error, Error::Expunged), "{error}"),
        }
    }
    assert_eq!(moved, 60);
    let total: u32 = account.tree().entries().map(|entry| entry.summary.sums.count).sum();
    assert_eq!(total, 60);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_change_of_one_commit_has_its_own_mod_sequence() {
    let (store, account, who) = account(1).await;
    let inbox = account.open(&who, &name("INBOX")).unwrap();
    let writers = (0..50).map(|n| {
        let (inbox, who) = (inbox.clone(), who.clone());
        tokio::spawn(async move {
            let flags = [Flag::parse(&format!("k{n}")).unwrap()].into_iter().collect();
            let change = FlagChange { mode: FlagMode::Add, flags, unchanged_since: None };
            inbox.store_flags(&who, all(1), change, ModSeq::ZERO).await.unwrap().modseq.unwrap()
        })
    });
    let mut seen = std::collections::BTreeSet::new();
    for writer in writers.collect::<Vec<_>>() {
        assert!(seen.insert(writer.await.unwrap()));
    }
    assert_eq!(inbox.snapshot().unwrap().highest_modseq(), *seen.last().unwrap());
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

/// RFC 7162 §3.1.3: of two conditional changes on the same base, the second fails.
#[tokio::test]
async fn unchanged_since_is_exact_between_two_clients() {
    let (_store, account, who) = account(2).await;
    let inbox = account.open(&who, &name("INBOX")).unwrap();
    let base = inbox.snapshot().unwrap().highest_modseq();
    let change = |flag: &str| FlagChange {
        mode: FlagMode::Add,
        flags: [Flag::parse(flag).unwrap()].into_iter().collect(),
        unchanged_since: Some(base),
    };
    let first = inbox.store_flags(&who, all(1), change("a"), base);
    let second = inbox.store_flags(&who, all(2), change("b"), base);
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.unwrap().changed, all(1));
    let second = second.unwrap();
    assert_eq!((second.modified, second.changed.iter().map(Uid::get).collect::<Vec<_>>()), (all(1), vec![2]));
}

/// A verb that fails among others in one commit leaves nothing behind.
#[tokio::test]
async fn what_fails_is_rolled_back_alone() {
    let (store, account, who) = account(3).await;
    let inbox = account.open(&who, &name("INBOX")).unwrap();
    let to = name("nowhere");
    let archive = name("Archive");
    let (a, b, c, d) = tokio::join!(
        inbox.copy(&who, all(3), &archive, Missing::Refuse),
        inbox.relocate(&who, all(3), &to, Missing::Refuse),
        account.rename_mailbox(&who, &archive, name("Archive/below")),
        account.create_mailbox(&who, name("INBOX"), None),
    );
    assert_eq!(a.unwrap().to, all(3));
    assert!(matches!(b, Err(Error::NoSuchTarget)));
    assert!(matches!(c, Err(Error::Cannot(_))));
    assert!(matches!(d, Err(Error::MailboxExists)));
    assert_eq!(inbox.snapshot().unwrap().sums().count, 3);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_deleted_account_is_gone_with_its_mail_and_its_name_is_free() {
    let (store, account, who) = account(3).await;
    let inbox = account.open(&who, &name("INBOX")).unwrap();
    let user = AccountName::new("a").unwrap();
    store.delete_account(&user).await.unwrap();
    assert!(account.is_gone() && inbox.is_gone());
    assert!(matches!(inbox.expunge(&who, None).await, Err(Error::NoSuchAccount)));
    assert!(store.find_account(&user).unwrap().is_none());
    assert!(matches!(store.account(account.id()), Err(Error::NoSuchAccount)));
    let again = store.create_account(&user, "hash".into()).await.unwrap();
    assert_ne!(again, account.id());
    assert_eq!(
        store
            .account(again)
            .unwrap()
            .open(&Principal { account: again }, &name("INBOX"))
            .unwrap()
            .snapshot()
            .unwrap()
            .sums()
            .count,
        0
    );
    assert!(matches!(store.create_account(&user, "hash".into()).await, Err(Error::AccountExists)));
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

/// DESIGN: a session can never learn that another user's mailbox exists.
#[tokio::test]
async fn a_stranger_sees_nothing_and_changes_nothing() {
    let (_store, account, who) = account(1).await;
    let stranger = Principal { account: types::AccountId(who.account.0 + 1) };
    let inbox = account.open(&who, &name("INBOX")).unwrap();
    let unknown = |error: Error| matches!(error, Error::NoSuchMailbox);
    assert!(account.open(&stranger, &name("INBOX")).is_err_and(unknown));
    assert!(account.open(&stranger, &name("none")).is_err_and(unknown));
    assert!(account.append(&stranger, &name("INBOX"), vec![]).await.is_err_and(unknown));
    assert!(account.create_mailbox(&stranger, name("x"), None).await.is_err_and(unknown));
    assert!(account.delete_mailbox(&stranger, &name("Trash")).await.is_err_and(unknown));
    assert!(account.rename_mailbox(&stranger, &name("Trash"), name("y")).await.is_err_and(unknown));
    assert!(account.subscribe(&stranger, name("x")).await.is_err_and(unknown));
    assert!(inbox.expunge(&stranger, None).await.is_err_and(unknown));
    assert!(inbox.copy(&stranger, all(1), &name("Trash"), Missing::Skip).await.is_err_and(unknown));
}
