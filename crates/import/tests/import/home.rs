//! What all tests here begin with.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use store::{Account, Clock, FlagChange, FlagMode, NewMessage, Options, Store};
use types::{
    AccountName, DateTime, Flag, Flags, IdSet, Limits, MailboxName, ModSeq, Principal, SpecialUse, Uid, UnixTime,
};

/// An account in a store of its own.
pub struct Home {
    pub account: Account,
    pub who: Principal,
    pub store: Store,
}

/// Accounts of different ages have different UIDVALIDITYs.
struct Fixed(i64);

impl Clock for Fixed {
    fn now(&self) -> UnixTime {
        UnixTime(self.0)
    }
}

/// A message as a client sees it: content, flags, INTERNALDATE.
pub type Message = (String, Vec<String>, i64);

pub fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

impl Home {
    pub async fn new(limits: Limits) -> Self {
        Self::at(1_700_000_000, limits).await
    }

    pub async fn at(time: i64, limits: Limits) -> Self {
        let options = Options { limits: limits.into(), default_mailboxes: vec![], ..Options::default() };
        let store = Store::open(Arc::new(engine::memory::Memory::new()), Arc::new(Fixed(time)), options).unwrap();
        let id = store.create_account(&AccountName::new("a").unwrap(), "hash".into()).await.unwrap();
        Self { account: store.account(id).unwrap(), who: Principal { account: id }, store }
    }

    pub async fn append(&self, to: &str, content: &str, flags: &[&str], time: i64) {
        let mut incoming = self.account.receive().unwrap();
        incoming.push(content.as_bytes()).unwrap();
        let flags: Flags = flags.iter().map(|flag| Flag::parse(flag).unwrap()).collect();
        let internal_date = Some(DateTime::utc(UnixTime(time)));
        let message = NewMessage { content: incoming.finish().unwrap(), flags, internal_date };
        self.account.append(&self.who, &name(to), vec![message]).await.unwrap();
    }

    /// Everything.
    pub fn all(&self) -> BTreeMap<String, Vec<Message>> {
        let tree = self.account.tree();
        let mailbox = |entry: &Arc<store::Entry>| {
            let mailbox = self.account.open(&self.who, &entry.name).unwrap();
            let snapshot = mailbox.snapshot().unwrap();
            let mut messages = vec![];
            snapshot
                .walk(&snapshot.uids(), |chunk, at, row| {
                    let blob = mailbox.body(row.email).unwrap().unwrap();
                    let mut octets = vec![];
                    blob.read(0..blob.size(), &mut octets).unwrap();
                    let flags = chunk.flags(at, snapshot.keywords());
                    let mut flags: Vec<_> = flags.iter().map(|flag| flag.as_str().to_owned()).collect();
                    flags.sort();
                    messages.push((String::from_utf8(octets).unwrap(), flags, row.internal_date.time.0));
                    ControlFlow::Continue(())
                })
                .unwrap();
            (entry.name.to_string(), messages)
        };
        tree.entries().map(mailbox).collect()
    }

    /// UIDVALIDITY, UIDNEXT and UIDs.
    pub fn numbers(&self) -> BTreeMap<String, (u32, u32, IdSet<Uid>)> {
        let tree = self.account.tree();
        let mailbox = |entry: &Arc<store::Entry>| {
            let snapshot = self.account.open(&self.who, &entry.name).unwrap().snapshot().unwrap();
            (entry.name.to_string(), (snapshot.uid_validity().get(), snapshot.uid_next().get(), snapshot.uids()))
        };
        tree.entries().map(mailbox).collect()
    }

    pub async fn expunge(&self, from: &str, uid: u32) {
        let mailbox = self.account.open(&self.who, &name(from)).unwrap();
        let uids = IdSet::range(Uid::new(uid).unwrap(), Uid::new(uid).unwrap());
        let change =
            FlagChange { mode: FlagMode::Add, flags: Flags::from_iter([Flag::Deleted]), unchanged_since: None };
        mailbox.store_flags(&self.who, uids.clone(), change, ModSeq::ZERO).await.unwrap();
        mailbox.expunge(&self.who, Some(uids)).await.unwrap();
    }

    pub async fn full() -> Self {
        let home = Self::at(1_795_000_000, Limits::default()).await;
        for mailbox in ["Work/Ärger v1.0", "Work/new", "Sent", "&", "Empty"] {
            let special_use = (mailbox == "Sent").then_some(SpecialUse::Sent);
            home.account.create_mailbox(&home.who, name(mailbox), special_use).await.unwrap();
        }
        home.account.subscribe(&home.who, name("&")).await.unwrap();
        let quoted = "Subject: a\r\nStatus: its own\r\n\r\nFrom me\r\n>From you\r\n\r\nFrom Ann Fri Nov 20 12:00:00 2026\r\n\r\n\r\nend\r\n";
        home.append("INBOX", quoted, &["\\Seen", "\\Flagged", "$Forwarded"], 1_795_176_000).await;
        home.append("INBOX", "Subject: b\r\n folded\r\n\r\n", &[], 1_795_176_000).await;
        home.append("INBOX", "\r\nno header\r\n", &["\\Answered", "\\Draft", "\\Deleted"], 1_795_176_000).await;
        let keywords: Vec<String> = (0..30).map(|n| format!("k{n}")).collect();
        for keyword in &keywords {
            home.append("Work/new", "Subject: k\r\n\r\nx\r\n", &[keyword, "\\Seen"], 5).await;
        }
        home.append("Work/Ärger v1.0", &format!("Subject: c\r\n\r\n{}\r\n", "x".repeat(200_000)), &[], 86_400).await;
        for n in 0..250 {
            home.append("Sent", &format!("Subject: {n}\r\n\r\n{n}\r\n"), &[], 1000 + n / 3).await;
        }
        home.append("&", "Subject: d\r\n\r\nx\r\n", &[], -86_400).await;
        // Numbers with gaps, also at the end.
        for uid in [1, 7, 250] {
            home.expunge("Sent", uid).await;
        }
        home
    }
}

pub fn run(work: impl AsyncFnOnce()) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work());
}
