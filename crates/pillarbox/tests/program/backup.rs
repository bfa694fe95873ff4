//! The program end to end: backup and restore.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Conversation, Server, configure, output, program, text};

fn run(config: &Path, words: &[&str], input: &str) -> Result<String, String> {
    let done = output(program().args(words).arg("--config").arg(config), input);
    if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
}

fn serve(config: &Path) -> Server {
    Server::start(program().arg("serve").arg("--config").arg(config))
}

fn login(server: &Server, name: &str) -> Conversation<std::net::TcpStream> {
    let mut imap = server.connect("imap");
    imap.line();
    imap.ask(&format!("a LOGIN {name} secret"), "a OK");
    imap
}

/// What there is to see of a mailbox.
fn seen(server: &Server, account: &str, mailbox: &str) -> Vec<String> {
    let mut imap = login(server, account);
    let mut lines = imap.ask(&format!("b EXAMINE {mailbox}"), "b OK");
    lines.retain(|line| line.contains("UIDVALIDITY") || line.contains("UIDNEXT") || line.contains("EXISTS"));
    let items = "(UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])";
    lines.extend(imap.ask(&format!("c FETCH 1:* {items}"), "c OK"));
    lines.retain(|line| !line.starts_with("c OK"));
    lines
}

struct Stage {
    directory: tempfile::TempDir,
    config: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = configure(directory.path());
        Self { directory, config }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }
}

/// Two accounts with mail, flags and a hierarchy; a gap in the UIDs.
fn begin() -> (Stage, Server) {
    let stage = Stage::new();
    run(&stage.config, &["account", "create", "alice"], "secret\n").unwrap();
    run(&stage.config, &["account", "create", "bob"], "secret\n").unwrap();
    let server = serve(&stage.config);
    for n in 0..5 {
        let text = format!("Subject: {n}\r\n\r\n{}", "text ".repeat(if n == 3 { 30_000 } else { 10 }));
        server.connect("lmtp").deliver("alice@x", &text);
    }
    server.connect("lmtp").deliver("bob@x", "Subject: for bob\r\n\r\nhi");
    let mut imap = login(&server, "alice");
    imap.ask("b SELECT INBOX", "b OK");
    imap.ask("c STORE 2 FLAGS (\\Deleted)", "c OK");
    imap.ask("d EXPUNGE", "d OK");
    imap.ask("e STORE 3 FLAGS (\\Seen \\Flagged $Later)", "e OK");
    imap.ask("f CREATE Lists/rust", "f OK");
    imap.ask("g COPY 2:3 Lists/rust", "g OK");
    (stage, server)
}

#[test]
fn a_backup_of_a_running_server_is_a_store() {
    let (stage, server) = begin();
    let backup = stage.path("backup");
    let said = run(&stage.config, &["backup", &backup], "").unwrap();
    assert!(said.starts_with("backed up: "), "{said}");
    let before = (seen(&server, "alice", "INBOX"), seen(&server, "alice", "Lists/rust"));
    assert!(before.0.iter().any(|line| line.contains("UID 4 FLAGS (\\Flagged \\Seen $Later)")), "{:?}", before.0);
    server.connect("lmtp").deliver("bob@x", "Subject: after the backup\r\n\r\nhi");
    let inside = run(&stage.config, &["backup", &stage.path("store/backup")], "").unwrap_err();
    assert!(inside.contains("inside the store"), "{inside}");
    server.stop();

    // Offline, and incremental: the sealed segment is there already.
    let said = run(&stage.config, &["backup", &backup], "").unwrap();
    assert!(said.contains("1 of them new") || said.contains("2 of them new"), "{said}");
    let again = run(&stage.config, &["backup", &backup], "").unwrap();
    assert!(again.contains(" 0 of them new"), "{again}");

    let other = Stage::new();
    let said = run(&other.config, &["restore", &backup, "--keep-uidvalidity"], "").unwrap();
    assert_eq!(said, "2 accounts were restored\n");
    let server = serve(&other.config);
    assert_eq!((seen(&server, "alice", "INBOX"), seen(&server, "alice", "Lists/rust")), before);
    assert!(seen(&server, "bob", "INBOX").contains(&"* 2 EXISTS".to_owned()));
    server.stop();
    assert_eq!(run(&other.config, &["check"], "").unwrap(), "everything is in order\n");
    let refused = run(&other.config, &["restore", &backup], "").unwrap_err();
    assert!(refused.contains("is not empty"), "{refused}");

    // Without the word that nothing came after the backup, clients fetch anew.
    let third = Stage::new();
    let said = run(&third.config, &["restore", &backup], "").unwrap();
    assert!(
        said.starts_with("the store was restored from the backup") && said.ends_with("2 accounts were restored\n"),
        "{said}"
    );
    let server = serve(&third.config);
    let after = seen(&server, "alice", "INBOX");
    let is_validity = |line: &&String| line.contains("UIDVALIDITY");
    assert_ne!(after.iter().find(is_validity), before.0.iter().find(is_validity));
    let messages = |lines: &[String]| lines.iter().filter(|l| !is_validity(l)).cloned().collect::<Vec<_>>();
    assert_eq!(messages(&after), messages(&before.0));
}

#[test]
fn one_account_or_one_mailbox_under_another_name() {
    let (stage, server) = begin();
    let backup = stage.path("backup");
    run(&stage.config, &["backup", &backup], "").unwrap();
    let restore = |words: &[&str]| run(&stage.config, &[&["restore", backup.as_str()], words].concat(), "");

    let taken = restore(&["--account", "alice"]).unwrap_err();
    assert!(taken.contains("exists"), "{taken}");
    let said = restore(&["--account", "alice", "--as", "alice2"]).unwrap();
    assert!(said.contains("mailbox INBOX: 4 messages\n") && said.ends_with("account alice2 was restored\n"), "{said}");
    // Everything is as it was, UIDVALIDITY included: nobody has seen it under this name.
    for mailbox in ["INBOX", "Lists/rust"] {
        assert_eq!(seen(&server, "alice2", mailbox), seen(&server, "alice", mailbox));
    }
    let list = |name: &str| {
        let mut lines = login(&server, name).ask("b LIST (SUBSCRIBED) \"\" * RETURN (SPECIAL-USE)", "b OK");
        lines.sort();
        lines
    };
    assert_eq!(list("alice2"), list("alice"));

    let said = restore(&["--account", "alice", "--mailbox", "INBOX", "--as", "Restored/INBOX"]).unwrap();
    assert_eq!(said, "mailbox Restored/INBOX: 4 messages\n");
    let (old, new) = (seen(&server, "alice", "INBOX"), seen(&server, "alice", "Restored/INBOX"));
    let messages = |lines: &[String]| lines.iter().filter(|l| !l.contains("UIDVALIDITY")).cloned().collect::<Vec<_>>();
    assert_eq!(messages(&old), messages(&new));
    assert!(restore(&["--account", "alice", "--mailbox", "INBOX"]).unwrap_err().contains("exists"));
    assert!(restore(&["--account", "nobody"]).unwrap_err().contains("no such account"));
    assert!(restore(&["--mailbox", "INBOX"]).unwrap_err().contains("--account"));
    let done = run(&stage.config, &["check"], "").unwrap();
    assert_eq!(done, "everything is in order\n");
    server.stop();

    // The same without a server, after the account has gone.
    run(&stage.config, &["account", "delete", "bob"], "").unwrap();
    assert!(restore(&["--account", "bob"]).unwrap().ends_with("account bob was restored\n"));
    let server = serve(&stage.config);
    assert!(seen(&server, "bob", "INBOX").contains(&"* 1 EXISTS".to_owned()));
    assert!(fs::exists(stage.path("backup/index.db")).unwrap());
}
