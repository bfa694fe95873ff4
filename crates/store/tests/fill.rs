//! Import into a mailbox that nobody can select until it is whole.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use store::{Account, Error, NewMessage, Note, Options, Retention, Store, SystemClock};
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
        let filling = account.fill(who, work.clone(), None, wanted, vec![]).await.unwrap();
        let some = vec![(uid(3), message(account)), (uid(9), message(account))];
        filling.push(who, some, vec![]).await.unwrap();
        for wrong in [1, 9] {
            let pushed = filling.push(who, vec![(uid(wrong), message(account))], vec![]).await;
            assert!(matches!(pushed, Err(Error::Cannot(_))));
        }
        assert!(matches!(account.open(who, &work), Err(Error::NoSuchMailbox)));
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
        // Whatever retention says, what is being filled is not purged.
        let nothing = Retention { expunged: Duration::ZERO, history: Duration::ZERO };
        store.purge(account.id(), nothing).await.unwrap();
        filling.push(who, vec![(uid(20), message(account))], vec![]).await.unwrap();
        filling.finish(who, uid(30), vec![]).await.unwrap();
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
        let filling = account.fill(who, name("Half"), None, None, vec![]).await.unwrap();
        filling.push(who, vec![(uid(3), message(account))], vec![]).await.unwrap();
        drop(filling);
        let deleted = account.deleted_mailboxes(who).unwrap();
        assert_eq!((deleted.len(), deleted[0].messages), (1, 1));
        account.restore_mailbox(who, deleted[0].id, None).await.unwrap();
        assert_eq!(account.tree().get(&name("Half")).unwrap().summary.sums.count, 1);
        let filling = account.fill(who, name("Quarter"), None, None, vec![]).await.unwrap();
        filling.push(who, vec![(uid(3), message(account))], vec![]).await.unwrap();
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
        let filling = account.fill(who, name("Sent"), None, UidValidity::new(5), vec![]).await.unwrap();
        filling.finish(who, uid(1), vec![]).await.unwrap();
        assert!(sent.is_gone());
        let entry = account.tree().get(&name("Sent")).cloned().unwrap();
        assert_eq!((entry.special_use, entry.uid_validity.get()), (Some(SpecialUse::Sent), 5));
        assert_eq!(account.deleted_mailboxes(who).unwrap(), vec![], "it never held anything");

        let filling = account.fill(who, MailboxName::inbox(), None, None, vec![]).await.unwrap();
        filling.push(who, vec![(uid(1), message(account))], vec![]).await.unwrap();
        account.append(who, &MailboxName::inbox(), vec![message(account)]).await.unwrap();
        assert!(matches!(filling.finish(who, uid(2), vec![]).await, Err(Error::MailboxExists)), "mail came meanwhile");
        assert_eq!(account.deleted_mailboxes(who).unwrap().len(), 1, "what was imported is not lost");

        // The use of another mailbox is left alone.
        let filling = account.fill(who, name("Gesendet"), Some(SpecialUse::Sent), None, vec![]).await.unwrap();
        filling.finish(who, uid(1), vec![]).await.unwrap();
        assert_eq!(account.tree().get(&name("Gesendet")).unwrap().special_use, None);
    });
}

#[test]
fn a_uidvalidity_belongs_to_one_mailbox() {
    run(async |_, account, who| {
        let seventeen = || UidValidity::new(17);
        let one = account.fill(who, name("One"), None, seventeen(), vec![]);
        let two = account.fill(who, name("Two"), None, seventeen(), vec![]);
        let (one, two) = tokio::join!(one, two);
        one.unwrap().finish(who, uid(1), vec![]).await.unwrap();
        two.unwrap().finish(who, uid(1), vec![]).await.unwrap();
        account
            .fill(who, name("Three"), None, seventeen(), vec![])
            .await
            .unwrap()
            .finish(who, uid(1), vec![])
            .await
            .unwrap();
        // Beyond this there would be none left for others.
        let last = UidValidity::new(u32::MAX - 1);
        account.fill(who, name("Four"), None, last, vec![]).await.unwrap().finish(who, uid(1), vec![]).await.unwrap();
        let of = |mailbox: &str| account.tree().get(&name(mailbox)).unwrap().uid_validity;
        assert_eq!(of("One").get(), 17);
        for other in ["Two", "Three", "Four"] {
            assert!(of(other).get() > 1_700_000_000 && Some(of(other)) < last, "{other}");
        }
        let stranger = Principal { account: types::AccountId(99) };
        assert!(matches!(account.fill(&stranger, name("Five"), None, None, vec![]).await, Err(Error::NoSuchMailbox)));
    });
}

#[test]
fn what_was_cut_short_goes_on_with_its_notes() {
    run(async |store, account, who| {
        let note = |number, value: &str| Note { source: 7, number, value: value.into() };
        let filling = account.fill(who, name("Half"), None, UidValidity::new(17), vec![]).await.unwrap();
        let id = filling.id();
        filling.push(who, vec![(uid(3), message(account))], vec![note(3, "three")]).await.unwrap();
        drop(filling);
        assert_eq!(account.notes(who, id, 7).unwrap(), [(3, b"three".to_vec())]);
        assert_eq!(account.notes(who, id, 8).unwrap(), []);

        let filling = account.refill(who, id).await.unwrap();
        assert_eq!((filling.uid_next().unwrap(), filling.uid_validity().unwrap().get()), (uid(4), 17));
        let late = vec![(uid(3), message(account))];
        assert!(filling.push(who, late, vec![note(4, "never")]).await.is_err());
        filling.push(who, vec![(uid(9), message(account))], vec![note(9, "nine")]).await.unwrap();
        filling.finish(who, uid(1), vec![note(3, "other")]).await.unwrap();
        let notes = account.notes(who, id, 7).unwrap();
        assert_eq!(notes, [(3, b"other".to_vec()), (9, b"nine".to_vec())], "with what they tell of, or not at all");
        assert!(matches!(account.refill(who, id).await, Err(Error::NoSuchMailbox)), "it is whole");
        assert_eq!(account.tree().get(&name("Half")).unwrap().summary.sums.count, 2);

        // They go with their mailbox.
        account.delete_mailbox(who, &name("Half")).await.unwrap();
        assert_eq!(account.notes(who, id, 7).unwrap().len(), 2);
        let nothing = Retention { expunged: Duration::ZERO, history: Duration::ZERO };
        store.purge(account.id(), nothing).await.unwrap();
        assert_eq!(account.notes(who, id, 7).unwrap(), []);
        assert!(account.note(who, id, vec![note(1, "late")]).await.is_err());
    });
}

#[test]
fn uids_are_kept_as_long_as_nobody_else_has_them() {
    run(async |_, account, who| {
        let inbox = account.tree().get(&MailboxName::inbox()).unwrap().id;
        let note = |uids: &types::IdSet<Uid>| Note { source: 1, number: 1, value: uids.to_string().into() };
        account.append(who, &MailboxName::inbox(), vec![message(account)]).await.unwrap();
        let some = [1, 5, 6].map(|n| (uid(n), message(account))).into();
        let taken = account.take_over(who, inbox, some, note).await.unwrap();
        assert_eq!(taken.uids.to_string(), "2,5:6");
        assert_eq!(account.notes(who, inbox, 1).unwrap(), [(1, b"2,5:6".to_vec())]);
        let one = account.begin_import().await.unwrap();
        assert!(one.is_some() && account.begin_import().await.unwrap().is_none());
        drop(one);
        assert!(account.begin_import().await.unwrap().is_some());
    });
}
