//! Import into a mailbox that nobody can select until it is whole.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use store::{Account, Error, NewMessage, Options, Retention, Store, SystemClock};
use types::{AccountName, Flags, MailboxName, Principal, SpecialUse, Uid, UidValidity};

fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

fn uid(n: u32) -> Uid {
    Uid::new(n).unwrap()
}

fn message(account: &Account) -> NewMessage {
    let mut incoming = account.receive().unwrap();
    incoming.push(b"Subject: x\r\n\r\nx\r\n").unwrap();
    NewMessage { content: incoming.finish().unwrap(), flags: Flags::NONE, internal_date: None }
}

fn run(work: impl AsyncFnOnce(&Store, &Account, &Principal)) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let engine = Arc::new(engine::memory::Memory::new());
        let store = Store::open(engine, Arc::new(SystemClock), Options::default()).unwrap();
        let id = store.create_account(&AccountName::new("a").unwrap(), "hash".into()).await.unwrap();
        work(&store, &store.account(id).unwrap(), &Principal { account: id }).await;
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
    });
}

#[test]
fn seen_when_it_is_whole() {
    run(async |store, account, who| {
        let (work, wanted) = (name("Work/Old"), UidValidity::new(17));
        let filling = account.fill(who, work.clone(), None, wanted).await.unwrap();
        let some = vec![(uid(3), message(account)), (uid(9), message(account))];
        filling.push(who, some).await.unwrap();
        for wrong in [1, 9] {
            let pushed = filling.push(who, vec![(uid(wrong), message(account))]).await;
            assert!(matches!(pushed, Err(Error::Cannot(_))));
        }
        assert!(matches!(account.open(who, &work), Err(Error::NoSuchMailbox)));
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
        // Whatever retention says, what is being filled is not purged.
        let nothing = Retention { expunged: Duration::ZERO, history: Duration::ZERO };
        store.purge(account.id(), nothing).await.unwrap();
        filling.push(who, vec![(uid(20), message(account))]).await.unwrap();
        filling.finish(who, uid(30)).await.unwrap();
        let snapshot = account.open(who, &work).unwrap().snapshot().unwrap();
        assert_eq!((snapshot.uid_validity().get(), snapshot.uid_next()), (17, uid(30)));
        assert_eq!(snapshot.uids().iter().collect::<Vec<_>>(), [uid(3), uid(9), uid(20)]);
        assert!(account.tree().get(&name("Work")).is_some());
        assert_eq!(account.open(who, &work).unwrap().recent_from().unwrap(), uid(30));
        let appended = account.append(who, &work, vec![message(account)]).await.unwrap();
        assert_eq!(appended.uids.first(), Some(uid(30)));
    });
}

#[test]
fn what_is_given_up_can_be_restored_or_goes() {
    run(async |store, account, who| {
        let filling = account.fill(who, name("Half"), None, None).await.unwrap();
        filling.push(who, vec![(uid(3), message(account))]).await.unwrap();
        drop(filling);
        let deleted = account.deleted_mailboxes(who).unwrap();
        assert_eq!((deleted.len(), deleted[0].messages), (1, 1));
        account.restore_mailbox(who, deleted[0].id, None).await.unwrap();
        assert_eq!(account.tree().get(&name("Half")).unwrap().summary.sums.count, 1);
        let filling = account.fill(who, name("Quarter"), None, None).await.unwrap();
        filling.push(who, vec![(uid(3), message(account))]).await.unwrap();
        drop(filling);
        let nothing = Retention { expunged: Duration::ZERO, history: Duration::ZERO };
        let purged = store.purge(account.id(), nothing).await.unwrap();
        assert_eq!((purged.mailboxes, purged.messages), (1, 1));
    });
}

#[test]
fn an_empty_mailbox_gives_way_and_a_full_one_does_not() {
    run(async |_, account, who| {
        let sent = account.open(who, &name("Sent")).unwrap();
        let filling = account.fill(who, name("Sent"), None, UidValidity::new(5)).await.unwrap();
        filling.finish(who, uid(1)).await.unwrap();
        assert!(sent.is_gone());
        let entry = account.tree().get(&name("Sent")).cloned().unwrap();
        assert_eq!((entry.special_use, entry.uid_validity.get()), (Some(SpecialUse::Sent), 5));
        assert_eq!(account.deleted_mailboxes(who).unwrap(), vec![], "it never held anything");

        let filling = account.fill(who, MailboxName::inbox(), None, None).await.unwrap();
        filling.push(who, vec![(uid(1), message(account))]).await.unwrap();
        account.append(who, &MailboxName::inbox(), vec![message(account)]).await.unwrap();
        assert!(matches!(filling.finish(who, uid(2)).await, Err(Error::MailboxExists)), "mail came meanwhile");
        assert_eq!(account.deleted_mailboxes(who).unwrap().len(), 1, "what was imported is not lost");

        // The use of another mailbox is left alone.
        let filling = account.fill(who, name("Gesendet"), Some(SpecialUse::Sent), None).await.unwrap();
        filling.finish(who, uid(1)).await.unwrap();
        assert_eq!(account.tree().get(&name("Gesendet")).unwrap().special_use, None);
    });
}

#[test]
fn a_uidvalidity_belongs_to_one_mailbox() {
    run(async |_, account, who| {
        let seventeen = || UidValidity::new(17);
        let one = account.fill(who, name("One"), None, seventeen());
        let two = account.fill(who, name("Two"), None, seventeen());
        let (one, two) = tokio::join!(one, two);
        one.unwrap().finish(who, uid(1)).await.unwrap();
        two.unwrap().finish(who, uid(1)).await.unwrap();
        account.fill(who, name("Three"), None, seventeen()).await.unwrap().finish(who, uid(1)).await.unwrap();
        // Beyond this there would be none left for others.
        let last = UidValidity::new(u32::MAX - 1);
        account.fill(who, name("Four"), None, last).await.unwrap().finish(who, uid(1)).await.unwrap();
        let of = |mailbox: &str| account.tree().get(&name(mailbox)).unwrap().uid_validity;
        assert_eq!(of("One").get(), 17);
        for other in ["Two", "Three", "Four"] {
            assert!(of(other).get() > 1_700_000_000 && Some(of(other)) < last, "{other}");
        }
        let stranger = Principal { account: types::AccountId(99) };
        assert!(matches!(account.fill(&stranger, name("Five"), None, None).await, Err(Error::NoSuchMailbox)));
    });
}
