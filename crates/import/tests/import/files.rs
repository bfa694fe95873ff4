//! What is exported and imported is what there was; and files as other programs write them.

use std::fs;
use std::path::Path;

use import::maildir::{self, Layout};
use import::{Error, Report, mbox};
use types::{Limits, SpecialUse};

use crate::home::{Home, name, run};

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
