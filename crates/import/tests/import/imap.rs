//! What an import makes of other servers, as they are.

use std::sync::Arc;

use import::imap::{Login, Progress, Security, Server, Trust, Wanted, import};
use import::{Error, Report};
use types::{Limits, MailboxName, SpecialUse};

use crate::fake::{Fake, Mailbox, Message, State, mail, mailbox, state};
use crate::home::{Home, name, run};

async fn take_with(home: &Home, server: Server, wanted: Wanted) -> import::Result<Report> {
    let report = import(&home.account, &home.who, server, wanted, &Progress::default()).await;
    assert_eq!(home.store.check().unwrap(), Vec::<String>::new());
    report
}

async fn take(home: &Home, fake: &Fake) -> Report {
    take_with(home, fake.server(), Wanted::default()).await.unwrap()
}

fn mails(uids: impl IntoIterator<Item = u32>) -> Vec<Message> {
    uids.into_iter().map(mail).collect()
}

async fn home() -> Home {
    Home::new(Limits::default()).await
}

/// The content of a mailbox, without what came with it.
fn texts(home: &Home, name: &str) -> Vec<String> {
    home.all()[name].iter().map(|(text, ..)| text.lines().next().unwrap_or_default().to_owned()).collect()
}

fn ids(uids: impl IntoIterator<Item = u32>) -> Vec<String> {
    uids.into_iter().map(|uid| format!("Message-ID: <{uid}@x>")).collect()
}

#[test]
fn everything_comes_with_its_numbers() {
    run(async || {
        let mut state = state([
            ("INBOX", mailbox(7, mails([3, 9, 10]))),
            ("Sent Items", Mailbox { attributes: "\\HasNoChildren \\Sent".into(), ..mailbox(8, mails(1..=250)) }),
            ("Work/Entw&APw-rfe", Mailbox { subscribed: false, ..mailbox(9, vec![]) }),
            ("Work", Mailbox { attributes: "\\Noselect".into(), ..mailbox(1, vec![]) }),
        ]);
        state.mailboxes.get_mut("INBOX").unwrap().uid_next = 30;
        state.mailboxes.get_mut("INBOX").unwrap().messages[1].flags =
            "\\Deleted \\Recent a] \\Strange $Forwarded".into();
        let (fake, home) = (Fake::new(state).await, home().await);
        home.account.create_mailbox(&home.who, name("Sent"), Some(SpecialUse::Sent)).await.unwrap();
        let progress = Progress::default();
        let report = import(&home.account, &home.who, fake.server(), Wanted::default(), &progress).await.unwrap();
        assert_eq!((report.mailboxes, report.messages, report.failed), (3, 253, 0), "{report:?}");
        let shown = progress.show();
        assert_eq!((shown.messages, shown.messages_done, shown.mailboxes_done), (253, 253, 3));
        let numbers = home.numbers();
        assert_eq!(numbers["INBOX"].0, 7);
        assert_eq!((numbers["INBOX"].1, numbers["INBOX"].2.to_string()), (30, "3,9:10".into()));
        assert_eq!((numbers["Sent Items"].0, numbers["Sent Items"].2.to_string()), (8, "1:250".into()));
        let all = home.all();
        assert_eq!(all["INBOX"][1].1, ["$Forwarded", "\\Deleted", "a_"]);
        assert_eq!(all["INBOX"][0].2, 1_594_944_003, "INTERNALDATE");
        assert_eq!(all["Work/Entwürfe"], []);
        // The mailbox that was Sent from the first day, and empty, gave way.
        let tree = home.account.tree();
        assert_eq!(tree.by_use(SpecialUse::Sent).unwrap().name, name("Sent Items"));
        assert!(tree.get(&name("Sent")).is_none() && tree.is_subscribed(&name("Sent Items")));
        assert!(!tree.is_subscribed(&name("Work/Entwürfe")));

        // Nothing is new.
        fake.sent();
        let again = take(&home, &fake).await;
        assert_eq!((again.mailboxes, again.messages, again.failed, again.flags), (3, 0, 0, 0), "{again:?}");
        assert_eq!((fake.sent(), home.all()), (vec![], all));
    });
}

/// Dovecot numbers mailboxes that are created together one after the other: the name above one of them took the
/// UIDVALIDITY of the next.
#[test]
fn a_name_above_another_takes_no_uidvalidity_of_the_source() {
    run(async || {
        let next = 1_795_000_000;
        let some = [
            ("a/b", mailbox(next, mails(1..=3))),
            ("c", mailbox(next + 1, mails(1..=2))),
            ("d", mailbox(next + 2, mails([1]))),
        ];
        let (fake, home) = (Fake::new(state(some)).await, home().await);
        let report = take(&home, &fake).await;
        assert_eq!((report.messages, report.remarks), (6, vec![]));
        let numbers = home.numbers();
        assert_eq!(["a/b", "c", "d"].map(|name| numbers[name].0), [next, next + 1, next + 2]);
        assert!(numbers["a"].0 > next + 2);
    });
}

#[test]
fn a_second_run_takes_what_is_new_and_what_changed() {
    run(async || {
        let fake = Fake::new(state([("INBOX", mailbox(7, mails(1..=5))), ("Old", mailbox(8, mails(1..=2)))])).await;
        let home = home().await;
        take(&home, &fake).await;
        // Here: one was deleted, one was flagged, and new mail came.
        home.expunge("INBOX", 2).await;
        let flag = |uid: u32, flag: &'static str| {
            let mailbox = home.account.open(&home.who, &MailboxName::inbox()).unwrap();
            let uids = types::IdSet::range(types::Uid::new(uid).unwrap(), types::Uid::new(uid).unwrap());
            let flags = [types::Flag::parse(flag).unwrap()].into_iter().collect();
            let change = store::FlagChange { mode: store::FlagMode::Add, flags, unchanged_since: None };
            let who = home.who.clone();
            async move { mailbox.store_flags(&who, uids, change, types::ModSeq::ZERO).await.unwrap() }
        };
        flag(3, "\\Flagged").await;
        // There: two came, one went, and flags changed.
        {
            let mut state = fake.state.lock();
            let inbox = state.mailboxes.get_mut("INBOX").unwrap();
            inbox.messages.remove(0);
            inbox.messages[1].flags = "\\Answered".into();
            inbox.messages[2].flags = "\\Seen $Work".into();
            inbox.messages.extend(mails([6, 7]));
            inbox.uid_next = 8;
        }
        fake.sent();
        let report = take(&home, &fake).await;
        assert_eq!((report.messages, report.failed, report.flags), (2, 0, 3), "{report:?}");
        assert_eq!(fake.sent(), [6, 7]);
        assert_eq!(texts(&home, "INBOX"), ids([1, 3, 4, 5, 6, 7]));
        let flags: Vec<_> = home.all()["INBOX"].iter().map(|(_, flags, _)| flags.join(" ")).collect();
        assert_eq!(flags[1], "\\Answered \\Flagged", "what was set here stays, what was cleared there is cleared");
        assert_eq!(flags[2], "$Work \\Seen");
        assert_eq!(home.numbers()["INBOX"].2.to_string(), "1,3:7", "nothing else came, so UIDs mean the same");

        // Mail comes here: those to come cannot keep their UIDs.
        home.append("INBOX", "Message-ID: <mine@x>\r\n\r\n", &[], 5).await;
        fake.state.lock().mailboxes.get_mut("INBOX").unwrap().messages.extend(mails([8]));
        let report = take(&home, &fake).await;
        assert_eq!((report.messages, report.remarks.len()), (1, 1), "{report:?}");
        assert_eq!(home.numbers()["INBOX"].2.to_string(), "1,3:9");
        assert_eq!(take(&home, &fake).await.messages, 0);
        // A mailbox that was emptied here stays so.
        home.expunge("Old", 1).await;
        home.expunge("Old", 2).await;
        assert_eq!((take(&home, &fake).await.messages, texts(&home, "Old")), (0, vec![]));
    });
}

/// Some servers are cut off in a message, again and again; what came stays.
#[test]
fn connections_that_end_are_made_again() {
    run(async || {
        let mut state = state([("INBOX", mailbox(7, mails(1..=300)))]);
        state.cut_after = vec![0, 0, 30, 150, 151];
        let (fake, home) = (Fake::new(state).await, home().await);
        let report = take(&home, &fake).await;
        assert_eq!((report.messages, report.failed), (300, 0), "{report:?}");
        assert_eq!(texts(&home, "INBOX"), ids(1..=300));
        assert_eq!(home.numbers()["INBOX"].2.to_string(), "1:300");
    });
}

/// What a kill leaves is what was committed: the next run goes on there.
#[test]
fn killed_in_the_middle() {
    run(async || {
        let mut state = state([("INBOX", mailbox(7, mails((1..=500).map(|n| 2 * n))))]);
        state.silent_after = Some(350);
        let (fake, home) = (Fake::new(state).await, home().await);
        let (account, who, server) = (home.account.clone(), home.who.clone(), fake.server());
        let work =
            tokio::spawn(async move { import(&account, &who, server, Wanted::default(), &Progress::default()).await });
        fake.silent.notified().await;
        let meanwhile = import(&home.account, &home.who, fake.server(), Wanted::default(), &Progress::default()).await;
        assert!(matches!(meanwhile, Err(Error::Busy)));
        work.abort();
        assert!(work.await.unwrap_err().is_cancelled());
        assert_eq!(texts(&home, "INBOX"), [""; 0], "nobody sees a half");
        fake.state.lock().silent_after = None;
        fake.sent();
        let report = take(&home, &fake).await;
        assert_eq!((report.messages, report.failed), (200, 0), "{report:?}");
        assert_eq!(fake.sent().len(), 200, "what is here is not fetched again");
        assert_eq!(home.numbers()["INBOX"].2.len(), 500);
        assert_eq!((home.numbers()["INBOX"].0, home.account.deleted_mailboxes(&home.who).unwrap().len()), (7, 0));
        assert_eq!(take(&home, &fake).await.messages, 0);
    });
}

#[test]
fn what_cannot_be_delivered_is_named_and_the_rest_comes() {
    run(async || {
        let mut state = state([("INBOX", mailbox(7, mails(1..=20))), ("Other", mailbox(8, mails(30..=31)))]);
        state.broken = [5, 6].into();
        state.poison = [9].into();
        state.gone = [12].into();
        let inbox = state.mailboxes.get_mut("INBOX").unwrap();
        inbox.messages[14].body = vec![b'x'; 2000];
        inbox.messages[15] = Message { body: vec![], size: Some(100), ..mail(16) };
        inbox.messages[16] = Message { body: vec![], ..mail(17) };
        let fake = Fake::new(state).await;
        let home = Home::new(Limits { message_size: 1000, ..Limits::default() }).await;
        let report = take(&home, &fake).await;
        assert_eq!((report.messages, report.failed), (16, 5), "{report:?}");
        for (uid, why) in [
            (5, "some are broken"),
            (6, "some are broken"),
            (9, "the connection"),
            (15, "larger than"),
            (16, "nothing"),
        ] {
            let named = |problem: &String| problem.contains(&format!("INBOX, UID {uid} ")) && problem.contains(why);
            assert!(report.problems.iter().any(named), "{uid}: {:?}", report.problems);
        }
        assert_eq!(home.numbers()["INBOX"].2.to_string(), "1:4,7:8,10:11,13:14,17:20");
        assert_eq!(texts(&home, "Other").len(), 2);

        // The next run tries again.
        fake.state.lock().broken.clear();
        let report = take(&home, &fake).await;
        assert_eq!((report.messages, report.failed), (2, 3), "{report:?}");
        assert_eq!(texts(&home, "INBOX")[14..], ids([5, 6]));
    });
}

#[test]
fn answers_in_any_order_with_anything_in_between() {
    run(async || {
        let mut state = state([("INBOX", mailbox(7, mails(1..=120)))]);
        state.backwards = true;
        let inbox = state.mailboxes.get_mut("INBOX").unwrap();
        inbox.messages[0].size = Some(1 << 40);
        inbox.messages[1].size = Some(0);
        inbox.messages[2].body = b"Date: Fri, 13 Jan 2023 10:00:00 +0100\nSubject: \xe4\n\nbare\nlines\n".to_vec();
        for (message, date) in inbox.messages.iter_mut().skip(2).zip(["NIL", "\"31-Feb-2020 99:00:00 +0000\"", "\"\""])
        {
            message.date = date.into();
        }
        inbox.messages[5].body = b"\r\nno date at all\r\n".to_vec();
        inbox.messages[5].date = "\"gestern\"".into();
        let (fake, home) = (Fake::new(state).await, home().await);
        let mut all = home.all();
        let mut incoming = fake.state.lock().mailboxes["INBOX"].messages[2].body.clone();
        // The helper wants UTF-8.
        incoming.retain(u8::is_ascii);
        fake.state.lock().mailboxes.get_mut("INBOX").unwrap().messages[2].body = incoming;
        let report = take(&home, &fake).await;
        assert_eq!((report.messages, report.failed), (120, 0), "{report:?}");
        all.append(&mut home.all());
        let inbox = &all["INBOX"];
        assert_eq!(home.numbers()["INBOX"].2.to_string(), "1:120");
        assert_eq!(inbox[2].0, "Date: Fri, 13 Jan 2023 10:00:00 +0100\r\nSubject: \r\n\r\nbare\r\nlines\r\n");
        // RFC 3501 §2.3.3: where there is no INTERNALDATE, the message's own date is the best guess.
        assert_eq!([inbox[2].2, inbox[3].2, inbox[4].2], [1_673_600_400; 3]);
        assert_eq!(inbox[5].2, 1_700_000_000, "now");
    });
}

#[test]
fn a_server_that_wants_to_be_left_alone_for_a_while() {
    run(async || {
        let mut state = state([("INBOX", mailbox(7, mails(1..=3))), ("b", mailbox(8, mails(1..=3)))]);
        state.later = (3, "NO [UNAVAILABLE] later".into());
        state.most_connections = Some(1);
        let (fake, home) = (Fake::new(state).await, home().await);
        let report = take(&home, &fake).await;
        assert_eq!((report.messages, report.failed), (6, 0), "{report:?}");
        assert!(report.remarks.iter().all(|remark| remark.contains("one connection less")), "{report:?}");

        // What it does not want at all is named, and the other mailbox comes.
        fake.state.lock().later = (1, "NO go away".into());
        fake.state.lock().mailboxes.get_mut("b").unwrap().messages.extend(mails([4]));
        let report = take(&home, &fake).await;
        assert_eq!((report.mailboxes, report.failed), (1, 1), "{report:?}");
        assert!(report.problems[0].contains("go away"));
        // And one that never comes back ends it.
        fake.state.lock().most_connections = Some(0);
        let refused = take_with(&home, fake.server(), Wanted::default()).await;
        assert!(matches!(&refused, Err(Error::Server { why, .. }) if why.contains("too many")), "{refused:?}");
    });
}

#[test]
fn a_source_that_numbers_anew_brings_nothing_twice() {
    run(async || {
        let mut state = state([("INBOX", mailbox(7, mails(1..=150)))]);
        let inbox = state.mailboxes.get_mut("INBOX").unwrap();
        inbox.messages[9].body = b"\r\nno id\r\n".to_vec();
        let twin = Message { uid: 151, ..inbox.messages[0].clone() };
        inbox.messages.push(twin);
        let (fake, home) = (Fake::new(state).await, home().await);
        assert_eq!(take(&home, &fake).await.messages, 151);
        {
            let mut state = fake.state.lock();
            let inbox = state.mailboxes.get_mut("INBOX").unwrap();
            inbox.uid_validity = 70;
            // The fake makes Message-IDs of UIDs, so the old ones stay and others come before them.
            inbox.messages.extend(mails([400]));
        }
        fake.sent();
        let report = take(&home, &fake).await;
        assert!(report.remarks.iter().any(|remark| remark.contains("UIDVALIDITY")), "{report:?}");
        // One has no Message-ID, for one the fake tells another than it has: date and size, and once more.
        assert!(report.messages <= 3 && fake.sent().contains(&400), "{report:?}");
        assert_eq!(home.numbers()["INBOX"].0, 7, "for a mailbox's life");
        assert_eq!(take(&home, &fake).await.messages, 0);
    });
}

#[test]
fn mail_that_comes_here_meanwhile_is_not_lost() {
    run(async || {
        let mut state = state([("INBOX", mailbox(7, mails(1..=5)))]);
        state.silent_after = Some(3);
        let (fake, home) = (Fake::new(state).await, Arc::new(home().await));
        let work = tokio::spawn({
            let (account, who, server) = (home.account.clone(), home.who.clone(), fake.server());
            async move { import(&account, &who, server, Wanted::default(), &Progress::default()).await }
        });
        fake.silent.notified().await;
        home.append("INBOX", "Message-ID: <mine@x>\r\n\r\n", &[], 5).await;
        work.abort();
        let _ = work.await;
        fake.state.lock().silent_after = None;
        let report = take(&home, &fake).await;
        assert_eq!((report.messages, report.failed), (5, 0), "{report:?}");
        assert_eq!(texts(&home, "INBOX").len(), 6);
        assert_eq!(take(&home, &fake).await.messages, 0);
    });
}

#[test]
fn keywords_without_end_are_cut() {
    run(async || {
        let mut inbox = mailbox(7, mails(1..=5));
        for message in &mut inbox.messages {
            message.flags = (0..5).map(|n| format!("k{}x{n} ", message.uid)).collect::<String>().trim().into();
        }
        let fake = Fake::new(state([("INBOX", inbox)])).await;
        let home = Home::new(Limits { keywords: 10, keywords_per_message: 4, ..Limits::default() }).await;
        let report = take(&home, &fake).await;
        assert_eq!((report.messages, report.failed, report.remarks.len()), (5, 0, 1), "{report:?}");
        assert_eq!(home.all()["INBOX"].iter().map(|(_, flags, _)| flags.len()).sum::<usize>(), 10);
    });
}

#[test]
fn passwords_go_only_where_they_may() {
    run(async || {
        let with = |capabilities: &str| State {
            capabilities: capabilities.into(),
            ..state([("INBOX", mailbox(7, mails(1..=2)))])
        };
        let fake = Fake::new(with("IMAP4rev1 STARTTLS AUTH=PLAIN")).await;
        let first = home().await;
        let tls = Server { security: Security::StartTls, ..fake.server() };
        assert_eq!(take_with(&first, tls, Wanted::default()).await.unwrap().messages, 2);
        assert!(fake.commands().contains(&"AGFubgBzZSJjcmV0".to_owned()), "PLAIN");
        // Nobody vouches for this certificate.
        let nobody = wrong();
        let trust = Trust::File(nobody.path().to_owned());
        let doubtful = Server { security: Security::StartTls, trust, ..fake.server() };
        let refused = take_with(&first, doubtful.clone(), Wanted::default()).await;
        assert!(matches!(&refused, Err(Error::Server { why, .. }) if why.contains("certificate")), "{refused:?}");
        assert!(!fake.commands().iter().any(|command| command.contains("AUTH")));
        let anybody = Server { trust: Trust::Anybody, ..doubtful };
        assert_eq!(take_with(&first, anybody, Wanted::default()).await.unwrap().messages, 0);

        let fake = Fake::new(with("IMAP4rev1 LOGINDISABLED")).await;
        assert!(take_with(&first, fake.server(), Wanted::default()).await.is_err());
        assert!(!fake.commands().iter().any(|command| command.contains("LOGIN")));

        let fake = Fake::new(with("IMAP4rev1")).await;
        let odd = Server { user: "änn".into(), ..fake.server() };
        take_with(&home().await, odd, Wanted::default()).await.unwrap();
        assert!(fake.commands().contains(&"LOGIN \"änn\" \"se\\\"cret\"".to_owned()));
        let token = Server { login: Login::Token, ..fake.server() };
        let _ = take_with(&home().await, token, Wanted::default()).await;
        assert!(fake.commands().iter().any(|command| command == "AUTHENTICATE OAUTHBEARER"));
    });
}

/// A certificate of nobody.
fn wrong() -> tempfile::NamedTempFile {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), made.cert.pem()).unwrap();
    file
}

#[test]
fn a_namespace_and_a_choice() {
    run(async || {
        let mut state = state([
            ("INBOX", mailbox(7, mails(1..=2))),
            ("INBOX.Lists.a/b", mailbox(8, mails(1..=2))),
            ("INBOX.Trash", mailbox(9, mails(1..=2))),
            ("user.bob", mailbox(10, mails(1..=2))),
        ]);
        state.capabilities = "IMAP4rev1 NAMESPACE".into();
        state.namespace = "((\"INBOX.\" \".\")) ((\"user.\" \".\")) NIL".into();
        state.delimiter = "\".\"".into();
        let (fake, home) = (Fake::new(state).await, home().await);
        let wanted = Wanted { exclude: vec!["Trash".into()], ..Wanted::default() };
        let report = take_with(&home, fake.server(), wanted).await.unwrap();
        assert_eq!((report.mailboxes, report.messages, report.remarks.len()), (2, 4, 1), "{report:?}");
        assert_eq!(home.all().into_keys().collect::<Vec<_>>(), ["INBOX", "Lists", "Lists/a_b"]);
    });
}
