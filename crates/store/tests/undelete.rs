//! What comes back by undelete is what went: flags, dates, ids, keywords, and mailboxes as they were.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::Arc;

use store::{
    Account, Chunk, Clock, DeletedMailbox, Error, FlagChange, FlagMode, LostQuery, Missing, NewMessage, Options, Store,
};
use types::{AccountName, DateTime, Flag, Flags, Keyword, MailboxName, ModSeq, Principal, SpecialUse, Uid, UnixTime};

struct Noon;

impl Clock for Noon {
    fn now(&self) -> UnixTime {
        UnixTime(1_795_176_000)
    }
}

struct Home {
    store: Store,
    account: Account,
    who: Principal,
}

fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

fn flags(all: &[&str]) -> Flags {
    all.iter().map(|flag| Flag::parse(flag).unwrap()).collect()
}

impl Home {
    async fn new() -> Self {
        let engine = Arc::new(engine::memory::Memory::new());
        let store = Store::open(engine, Arc::new(Noon), Options::default()).unwrap();
        let id = store.create_account(&AccountName::new("a").unwrap(), "hash".into()).await.unwrap();
        let account = store.account(id).unwrap();
        Self { store, account, who: Principal { account: id } }
    }

    async fn append(&self, to: &str, header: &str, set: &[&str], day: i64) {
        let mut incoming = self.account.receive().unwrap();
        incoming.push(format!("{header}\r\n\r\ntext").as_bytes()).unwrap();
        let internal_date = Some(DateTime { time: UnixTime(day * 86_400), zone: 90 });
        let message = NewMessage { content: incoming.finish().unwrap(), flags: flags(set), internal_date };
        self.account.append(&self.who, &name(to), vec![message]).await.unwrap();
    }

    async fn expunge_all(&self, of: &str) {
        let mailbox = self.account.open(&self.who, &name(of)).unwrap();
        let change = FlagChange { mode: FlagMode::Add, flags: flags(&["\\Deleted"]), unchanged_since: None };
        let uids = mailbox.snapshot().unwrap().uids();
        mailbox.store_flags(&self.who, uids, change, ModSeq::ZERO).await.unwrap();
        mailbox.expunge(&self.who, None).await.unwrap();
    }

    fn only(&self, of: &str, uid: u32) -> (Chunk, usize, Flags) {
        let snapshot = self.account.open(&self.who, &name(of)).unwrap().snapshot().unwrap();
        let (chunk, at) = snapshot.find(Uid::new(uid).unwrap()).unwrap().unwrap();
        let flags = chunk.flags(at, snapshot.keywords());
        (chunk, at, flags)
    }

    fn subjects(&self, query: LostQuery) -> Vec<String> {
        let (lost, count) = self.account.lost(&self.who, &query, 100).unwrap();
        assert_eq!(lost.len(), count);
        let mut subjects: Vec<_> = lost.into_iter().map(|lost| lost.subject).collect();
        subjects.sort();
        subjects
    }
}

fn run(work: impl AsyncFnOnce(Home)) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let home = Home::new().await;
        let store = home.store.clone();
        work(home).await;
        assert_eq!(store.check().unwrap(), Vec::<String>::new());
    });
}

#[test]
fn a_message_comes_back_as_it_was() {
    run(async |home: Home| {
        // Another keyword first, so that the ids of the keywords differ between the mailboxes.
        home.append("Archive", "Subject: x", &["other"], 1).await;
        home.append("INBOX", "Subject: one", &["\\Seen", "work", "$Forwarded"], 20_000).await;
        let (chunk, at, _) = home.only("INBOX", 1);
        let before = chunk.rows()[at];
        home.expunge_all("INBOX").await;
        let restored = home.account.restore(&home.who, &LostQuery::default(), None).await.unwrap();
        assert_eq!(restored.messages, [(name("INBOX"), 1)].into());
        let (chunk, at, kept) = home.only("INBOX", 2);
        let after = chunk.rows()[at];
        assert_eq!(
            (after.email, after.thread, after.internal_date),
            (before.email, before.thread, before.internal_date)
        );
        assert_eq!(kept, flags(&["\\Seen", "work", "$Forwarded"]));
        assert_eq!(home.subjects(LostQuery::default()), Vec::<String>::new(), "it is lost no more");

        home.expunge_all("INBOX").await;
        home.account.restore(&home.who, &LostQuery::default(), Some(&name("Archive"))).await.unwrap();
        let (_, _, kept) = home.only("Archive", 2);
        assert_eq!(kept, flags(&["\\Seen", "work", "$Forwarded"]));
        home.expunge_all("Archive").await;
        let query = LostQuery { subject: Some("one".into()), ..LostQuery::default() };
        let restored = home.account.restore(&home.who, &query, Some(&name("New/Box"))).await.unwrap();
        assert_eq!(restored.messages, [(name("New/Box"), 1)].into());
        assert!(home.account.tree().get(&name("New")).is_some());
    });
}

#[test]
fn what_is_asked_for_is_listed() {
    run(async |home: Home| {
        home.append("INBOX", "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nFrom: Ann <ann@x.example>", &[], 20_000).await;
        home.append("INBOX", "Subject: Rechnung\r\nFrom: Bob <bob@y.example>", &[], 20_010).await;
        home.append("Sent", "Subject: Antwort\r\nFrom: Ann <ann@x.example>", &[], 20_020).await;
        home.expunge_all("INBOX").await;
        home.expunge_all("Sent").await;
        let all = LostQuery::default;
        assert_eq!(home.subjects(all()), ["Antwort", "Grüße", "Rechnung"]);
        assert_eq!(home.subjects(LostQuery { subject: Some("GRÜN".into()), ..all() }), Vec::<String>::new());
        assert_eq!(home.subjects(LostQuery { subject: Some("grüß".into()), ..all() }), ["Grüße"]);
        assert_eq!(home.subjects(LostQuery { from: Some("ANN@X".into()), ..all() }), ["Antwort", "Grüße"]);
        assert_eq!(home.subjects(LostQuery { mailbox: Some(name("Sent")), ..all() }), ["Antwort"]);
        let day = |n: i64| Some(UnixTime(n * 86_400));
        assert_eq!(home.subjects(LostQuery { since: day(20_010), ..all() }), ["Antwort", "Rechnung"]);
        assert_eq!(home.subjects(LostQuery { before: day(20_010), ..all() }), ["Grüße"]);
        let now = Noon.now();
        assert_eq!(
            home.subjects(LostQuery { expunged_since: Some(UnixTime(now.0 + 1)), ..all() }),
            Vec::<String>::new()
        );
        assert_eq!(home.subjects(LostQuery { expunged_since: Some(now), ..all() }).len(), 3);
        let (first, count) = home.account.lost(&home.who, &all(), 1).unwrap();
        assert_eq!((first.len(), count), (1, 3));
        let stranger = Principal { account: types::AccountId(99) };
        assert!(matches!(home.account.lost(&stranger, &all(), 1), Err(Error::NoSuchMailbox)));
        assert!(matches!(home.account.restore(&stranger, &all(), None).await, Err(Error::NoSuchMailbox)));
        assert!(matches!(home.account.deleted_mailboxes(&stranger), Err(Error::NoSuchMailbox)));
    });
}

#[test]
fn moved_and_copied_messages_are_not_lost() {
    run(async |home: Home| {
        home.append("INBOX", "Subject: moved", &[], 1).await;
        let inbox = home.account.open(&home.who, &name("INBOX")).unwrap();
        let all = inbox.snapshot().unwrap().uids();
        inbox.relocate(&home.who, all, &name("Trash"), Missing::Refuse).await.unwrap();
        home.append("INBOX", "Subject: copied", &[], 1).await;
        let all = inbox.snapshot().unwrap().uids();
        inbox.copy(&home.who, all, &name("Archive"), Missing::Refuse).await.unwrap();
        home.expunge_all("INBOX").await;
        assert_eq!(home.subjects(LostQuery::default()), Vec::<String>::new());
        home.expunge_all("Trash").await;
        home.expunge_all("Archive").await;
        assert_eq!(home.subjects(LostQuery::default()), ["copied", "moved"], "once each, where it was last");
    });
}

#[test]
fn a_mailbox_comes_back_as_it_was() {
    run(async |home: Home| {
        home.append("Archive", "Subject: a", &["work"], 1).await;
        home.append("Archive", "Subject: b", &["\\Seen"], 2).await;
        let mailbox = home.account.open(&home.who, &name("Archive")).unwrap();
        let before = mailbox.snapshot().unwrap();
        home.account.delete_mailbox(&home.who, &name("Archive")).await.unwrap();
        let deleted = home.account.deleted_mailboxes(&home.who).unwrap();
        let [DeletedMailbox { id, messages: 2, .. }] = deleted[..] else { panic!("{deleted:?}") };
        let uses = |of: &str| home.account.tree().get(&name(of)).unwrap().special_use;

        // Its name is taken, its use too.
        home.account.create_mailbox(&home.who, name("Archive"), Some(SpecialUse::Archive)).await.unwrap();
        assert!(matches!(home.account.restore_mailbox(&home.who, id, None).await, Err(Error::MailboxExists)));
        assert!(matches!(
            home.account.restore_mailbox(&home.who, id, Some(MailboxName::inbox())).await,
            Err(Error::MailboxExists)
        ));
        home.account.restore_mailbox(&home.who, id, Some(name("Old/Archive"))).await.unwrap();
        assert_eq!((uses("Archive"), uses("Old/Archive")), (Some(SpecialUse::Archive), None));
        let mailbox = home.account.open(&home.who, &name("Old/Archive")).unwrap();
        let after = mailbox.snapshot().unwrap();
        assert_eq!((after.uid_validity(), after.uids()), (before.uid_validity(), before.uids()));
        assert_eq!(after.highest_modseq(), before.highest_modseq());
        let (_, _, kept) = home.only("Old/Archive", 1);
        assert_eq!(kept, Flags::from_iter([Flag::Keyword(Keyword::new("work").unwrap())]));
        home.append("Old/Archive", "Subject: c", &[], 3).await;
        let now = mailbox.snapshot().unwrap();
        assert!(now.highest_modseq() > before.highest_modseq() && now.uids().len() == 3);
        home.expunge_all("Old/Archive").await;
        assert_eq!(home.subjects(LostQuery::default()), ["a", "b", "c"]);
    });
}

#[test]
fn a_large_mailbox_comes_back_and_is_used() {
    run(async |home: Home| {
        for n in 0..300 {
            home.append("Archive", &format!("Subject: {n}"), &["\\Deleted"], 1).await;
        }
        let (account, who) = (&home.account, &home.who);
        let id = account.tree().get(&name("Archive")).unwrap().id;
        let mailbox = account.open(who, &name("Archive")).unwrap();
        account.delete_mailbox(who, &name("Archive")).await.unwrap();
        assert!(mailbox.is_gone());
        account.restore_mailbox(who, id, Some(name("Back"))).await.unwrap();
        // Most of its chunks go again.
        home.expunge_all("Back").await;
        assert_eq!(account.open(who, &name("Back")).unwrap().snapshot().unwrap().uids().len(), 0);
        let restored = account.restore(who, &LostQuery::default(), None).await.unwrap();
        assert_eq!(restored.messages, [(name("Back"), 300)].into());
    });
}
