//! What is exported and imported is what there was; and files as other programs write them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use import::maildir::{self, Layout};
use import::{Error, Report, mbox};
use store::{Account, Clock, FlagChange, FlagMode, NewMessage, Options, Store};
use types::{
    AccountName, DateTime, Flag, Flags, IdSet, Limits, MailboxName, ModSeq, Principal, SpecialUse, Uid, UnixTime,
};

struct Home {
    account: Account,
    who: Principal,
    store: Store,
}

/// Accounts of different ages have different UIDVALIDITYs.
struct Fixed(i64);

impl Clock for Fixed {
    fn now(&self) -> UnixTime {
        UnixTime(self.0)
    }
}

/// A message as a client sees it: content, flags, INTERNALDATE.
type Message = (String, Vec<String>, i64);

fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

impl Home {
    async fn new(limits: Limits) -> Self {
        Self::at(1_700_000_000, limits).await
    }

    async fn at(time: i64, limits: Limits) -> Self {
        let options = Options { limits: limits.into(), default_mailboxes: vec![], ..Options::default() };
        let store = Store::open(Arc::new(engine::memory::Memory::new()), Arc::new(Fixed(time)), options).unwrap();
        let id = store.create_account(&AccountName::new("a").unwrap(), "hash".into()).await.unwrap();
        Self { account: store.account(id).unwrap(), who: Principal { account: id }, store }
    }

    async fn append(&self, to: &str, content: &str, flags: &[&str], time: i64) {
        let mut incoming = self.account.receive().unwrap();
        incoming.push(content.as_bytes()).unwrap();
        let flags: Flags = flags.iter().map(|flag| Flag::parse(flag).unwrap()).collect();
        let internal_date = Some(DateTime::utc(UnixTime(time)));
        let message = NewMessage { content: incoming.finish().unwrap(), flags, internal_date };
        self.account.append(&self.who, &name(to), vec![message]).await.unwrap();
    }

    /// Everything.
    fn all(&self) -> BTreeMap<String, Vec<Message>> {
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
    fn numbers(&self) -> BTreeMap<String, (u32, u32, IdSet<Uid>)> {
        let tree = self.account.tree();
        let mailbox = |entry: &Arc<store::Entry>| {
            let snapshot = self.account.open(&self.who, &entry.name).unwrap().snapshot().unwrap();
            (entry.name.to_string(), (snapshot.uid_validity().get(), snapshot.uid_next().get(), snapshot.uids()))
        };
        tree.entries().map(mailbox).collect()
    }

    async fn expunge(&self, from: &str, uid: u32) {
        let mailbox = self.account.open(&self.who, &name(from)).unwrap();
        let uids = IdSet::range(Uid::new(uid).unwrap(), Uid::new(uid).unwrap());
        let change =
            FlagChange { mode: FlagMode::Add, flags: Flags::from_iter([Flag::Deleted]), unchanged_since: None };
        mailbox.store_flags(&self.who, uids.clone(), change, ModSeq::ZERO).await.unwrap();
        mailbox.expunge(&self.who, Some(uids)).await.unwrap();
    }

    async fn full() -> Self {
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

fn run(work: impl AsyncFnOnce()) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work());
}

async fn there_and_back(
    export: impl Fn(&Home, &Path) -> import::Result<Report>,
    import: impl AsyncFn(&Home, &Path) -> import::Result<Report>,
) {
    let (home, other) = (Home::full().await, Home::new(Limits::default()).await);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("export");
    let there = export(&home, &path).unwrap();
    assert_eq!((there.failed, there.problems.clone()), (0, vec![]));
    assert_eq!((there.mailboxes, there.messages), (home.all().len() as u64, 282));
    let back = import(&other, &path).await.unwrap();
    assert_eq!(back, there);
    assert_eq!(other.all(), home.all());
    let (tree, of) = (other.account.tree(), name("Sent"));
    assert_eq!(tree.get(&of).unwrap().special_use, Some(SpecialUse::Sent));
    assert!(tree.is_subscribed(&name("&")) && !tree.is_subscribed(&of));
    assert_eq!(other.store.check().unwrap(), Vec::<String>::new());
    assert!(matches!(export(&home, &path), Err(Error::Exists(_))), "never into files that are there");
}

#[test]
fn maildir_plus_plus() {
    run(async || {
        let export =
            |home: &Home, path: &Path| maildir::export(&home.account, &home.who, path, Layout::MaildirPlusPlus);
        there_and_back(export, async |home, path| maildir::import(&home.account, &home.who, path).await).await;
    });
}

#[test]
fn nested_maildir() {
    run(async || {
        let export = |home: &Home, path: &Path| maildir::export(&home.account, &home.who, path, Layout::Nested);
        there_and_back(export, async |home, path| maildir::import(&home.account, &home.who, path).await).await;
    });
}

#[test]
fn uids_are_kept_where_the_target_is_empty() {
    run(async || {
        let home = Home::full().await;
        let directory = tempfile::tempdir().unwrap();
        maildir::export(&home.account, &home.who, directory.path(), Layout::MaildirPlusPlus).unwrap();
        let other = Home::new(Limits::default()).await;
        other.append("INBOX", "Subject: mine\r\n\r\n", &[], 5).await;
        maildir::import(&other.account, &other.who, directory.path()).await.unwrap();
        let (mut there, mut here) = (home.numbers(), other.numbers());
        let (before, after) = (there.remove("INBOX").unwrap(), here.remove("INBOX").unwrap());
        assert!(after.0 != before.0 && after.2.len() == before.2.len() + 1, "it had a message: its numbers stay");
        // `Work` is there for what is below it.
        assert_eq!(here.remove("Work").map(|work| work.1), there.remove("Work").map(|work| work.1));
        assert_eq!(here, there);
        // Those to come are larger than what came.
        let id = other.account.create_mailbox(&other.who, name("Later"), None).await.unwrap();
        let later = other.account.tree().by_id(id).unwrap().uid_validity.get();
        assert!(there.values().all(|(validity, ..)| *validity < later));

        // The same once more: a mailbox with messages keeps its numbers, and messages come behind.
        maildir::import(&other.account, &other.who, directory.path()).await.unwrap();
        let again = other.numbers();
        assert_eq!((again["Sent"].0, again["Sent"].2.len()), (here["Sent"].0, 2 * here["Sent"].2.len()));
        // Into a third account, whose INBOX is empty.
        let third = Home::new(Limits::default()).await;
        maildir::import(&third.account, &third.who, directory.path()).await.unwrap();
        assert_eq!(third.numbers()["INBOX"], before);
        assert_eq!(third.all(), home.all());
        for home in [&other, &third] {
            assert_eq!(home.store.check().unwrap(), Vec::<String>::new());
            let bin = home.account.deleted_mailboxes(&home.who).unwrap();
            assert_eq!(bin, vec![], "no halves are left");
        }
    });
}

#[test]
fn mbox_files() {
    run(async || {
        let export = |home: &Home, path: &Path| mbox::export(&home.account, &home.who, path);
        there_and_back(export, async |home, path| mbox::import(&home.account, &home.who, path, None).await).await;
    });
}

#[test]
fn a_maildir_of_others() {
    run(async || {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for folder in
            ["cur", "new", "tmp", ".Entw&APw-rfe/cur", ".Lists.rust/cur", "Nested/Deep/new", "Nested/Deep/cur"]
        {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let write = |path: &str, text: &str| fs::write(root.join(path), text).unwrap();
        write("cur/1.M5P1.host,S=9,W=10:2,Sab", "Subject: 1\n\nx\n");
        write("dovecot-keywords", "0 $Forwarded\n1 NonJunk\nrubbish\n99 x\n");
        // Dovecot leaves a message in `new` until somebody looks, also one whose flags were changed.
        write("new/2.M5P1.host:2,Fb", "Subject: 2\r\n\r\ncrlf\r\n");
        write("cur/.nfs0001", "not a message");
        write(".Entw&APw-rfe/cur/3.M5P1.host;2,DX", "Subject: 3\n\n");
        write(".Lists.rust/cur/4", "Subject: 4\n\n");
        write("Nested/Deep/new/5", "Subject: 5\n\n");
        let home = Home::new(Limits::default()).await;
        let report = maildir::import(&home.account, &home.who, root).await.unwrap();
        assert_eq!((report.messages, report.failed), (5, 0), "{:?}", report.problems);
        let all = home.all();
        let inbox: Vec<_> = all["INBOX"].iter().map(|(text, flags, _)| (text.as_str(), flags.join(" "))).collect();
        assert!(inbox.contains(&("Subject: 1\r\n\r\nx\r\n", "$Forwarded NonJunk \\Seen".into())), "{inbox:?}");
        assert!(inbox.contains(&("Subject: 2\r\n\r\ncrlf\r\n", "NonJunk \\Flagged".into())), "{inbox:?}");
        assert_eq!(all["Entwürfe"][0].1, ["\\Draft"]);
        assert_eq!((all["Lists/rust"].len(), all["Nested/Deep"].len()), (1, 1));
    });
}

#[test]
fn an_mbox_of_others() {
    run(async || {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mail");
        let text = [
            "From MAILER-DAEMON Fri Nov 20 12:00:00 2026\n",
            "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\nnotes\n\n",
            "From ann@x.example Fri Nov 20 12:00:00 2026\n",
            "Subject: one\nX-UID: 7\nStatus: RO\nX-Status: AF\nX-Keywords: work,\n  $Forwarded\n\n",
            "From nobody in particular\n>From quoted\n\nFrom the beginning of time\n\n\n",
            "From bob Fri Nov 20 13:00:00 +0100 2026\r\n",
            "Subject: two\r\n\r\ncrlf\r\n\r\n",
            "From carol Fri Nov 20 12:00:01 2026\n\nno header, no newline at the end",
        ];
        fs::write(&path, text.concat()).unwrap();
        let home = Home::new(Limits::default()).await;
        let report = mbox::import(&home.account, &home.who, &path, Some("Old/Mail")).await.unwrap();
        assert_eq!((report.messages, report.failed, report.mailboxes), (3, 0, 1), "{:?}", report.problems);
        let mail = &home.all()["Old/Mail"];
        let body = "From nobody in particular\r\nFrom quoted\r\n\r\nFrom the beginning of time\r\n\r\n";
        assert_eq!(mail[0].0, format!("Subject: one\r\nX-UID: 7\r\n\r\n{body}"));
        assert_eq!(mail[0].1, ["$Forwarded", "\\Answered", "\\Flagged", "\\Seen", "work"]);
        assert_eq!(mail[1], ("Subject: two\r\n\r\ncrlf\r\n".to_owned(), vec![], 1_795_176_000));
        assert_eq!(mail[2].0, "\r\nno header, no newline at the end");
        assert_eq!(mail[2].2, 1_795_176_001);
    });
}

#[test]
fn what_is_too_large_is_named_and_the_rest_comes() {
    run(async || {
        let directory = tempfile::tempdir().unwrap();
        let large = format!("Subject: large\n\n{}\n", "x".repeat(5000));
        let from = "From a Fri Nov 20 12:00:00 2026\n";
        let text = format!("{from}Subject: 1\n\nx\n\n{from}{large}\n{from}Subject: 3\n\nx\n");
        fs::write(directory.path().join("box"), text).unwrap();
        fs::write(directory.path().join("README"), "no mail").unwrap();
        let limits = Limits { message_size: 1000, ..Limits::default() };
        let home = Home::new(limits.clone()).await;
        let report = mbox::import(&home.account, &home.who, directory.path(), None).await.unwrap();
        assert_eq!((report.messages, report.failed), (2, 1));
        assert!(report.problems[0].ends_with("box, message 2: the message is larger than the 1000 octets allowed"));
        assert_eq!(home.all()["box"].len(), 2);

        let maildir = tempfile::tempdir().unwrap();
        fs::create_dir_all(maildir.path().join("cur")).unwrap();
        fs::write(maildir.path().join("cur/1:2,"), &large).unwrap();
        fs::write(maildir.path().join("cur/2:2,"), "Subject: 2\n\n").unwrap();
        let home = Home::new(limits).await;
        let report = maildir::import(&home.account, &home.who, maildir.path()).await.unwrap();
        assert_eq!((report.messages, report.failed), (1, 1));
        let nowhere = maildir.path().join("nowhere");
        assert!(matches!(maildir::import(&home.account, &home.who, &nowhere).await, Err(Error::Io { .. })));
        assert!(matches!(mbox::import(&home.account, &home.who, &nowhere, None).await, Err(Error::Io { .. })));
    });
}
