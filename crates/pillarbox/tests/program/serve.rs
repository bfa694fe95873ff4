//! The program end to end: serve, account, check, config, signals, and what it says when it cannot.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::{Conversation, Server, configure, output, program, text, tls};
use rustix::process::Signal;

pub fn account(config: &Path, words: &[&str], input: &str) -> Result<String, String> {
    let done = output(program().arg("account").args(words).arg("--config").arg(config), input);
    if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
}

pub fn serve(config: &Path) -> Server {
    Server::start(program().arg("serve").arg("--config").arg(config))
}

fn refused(words: &[&str], config: &Path) -> String {
    let done = output(program().args(words).arg("--config").arg(config), "");
    assert_eq!(done.status.code(), Some(1));
    text(&done.stderr)
}

#[test]
fn accounts_with_and_without_a_running_server() {
    let directory = tempfile::tempdir().unwrap();
    let config = configure(directory.path());
    assert_eq!(account(&config, &["create", "alice"], "secret\n").unwrap(), "account alice created\n");
    assert!(account(&config, &["create", "Alice"], "x\n").unwrap_err().contains("exists"));
    assert!(account(&config, &["create", "carol"], "").unwrap_err().contains("no password"));
    assert!(account(&config, &["create", "a b"], "x\n").unwrap_err().contains("cannot contain"));
    assert!(account(&config, &["passwd", "nobody"], "x\n").unwrap_err().contains("no such account"));

    let server = serve(&config);
    assert_eq!(
        account(&config, &["create", "bob@b.example"], "secret\r\n").unwrap(),
        "account bob@b.example created\n"
    );
    assert_eq!(account(&config, &["list"], "").unwrap(), "alice\nbob@b.example\n");
    let mut imap = server.connect("imap");
    assert!(imap.line().starts_with("* OK"));
    imap.ask("a LOGIN bob@b.example secret", "a OK");
    account(&config, &["passwd", "bob@b.example"], "changed\n").unwrap();
    let mut imap = server.connect("imap");
    imap.line();
    imap.ask("a LOGIN bob@b.example secret", "a NO [AUTHENTICATIONFAILED]");
    imap.ask("b LOGIN bob@b.example changed", "b OK");
    account(&config, &["delete", "bob@b.example"], "").unwrap();
    assert_eq!(account(&config, &["list"], "").unwrap(), "alice\n");
    let done = output(program().arg("check").arg("--config").arg(&config), "");
    assert_eq!((done.status.code(), text(&done.stdout)), (Some(0), "everything is in order\n".to_owned()));

    assert_eq!(server.stop(), (Some(0), String::new()));
    assert_eq!(account(&config, &["list"], "").unwrap(), "alice\n");
    account(&config, &["delete", "alice"], "").unwrap();
    assert_eq!(account(&config, &["list"], "").unwrap(), "");
}

#[test]
fn capabilities_are_switched_for_one_account_and_for_all() {
    let directory = tempfile::tempdir().unwrap();
    let config = configure(directory.path());
    account(&config, &["create", "alice"], "secret\n").unwrap();
    account(&config, &["create", "bob"], "secret\n").unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}disabled_capabilities = [\"WITHIN\"]\n")).unwrap();
    let set = |words: &[&str]| account(&config, &[&["set-capabilities", "alice"], words].concat(), "");
    assert!(set(&["--disable", "ID"]).unwrap().contains("switched off: ID (from the next login on)"));

    let server = serve(&config);
    let login = |name: &str| {
        let mut imap = server.connect("imap");
        let greeting = imap.line();
        assert!(greeting.contains(" ID ") && !greeting.contains(" WITHIN "), "{greeting}");
        let told = imap.ask(&format!("a LOGIN {name} secret"), "a OK").pop().unwrap();
        (imap, told)
    };
    assert!(set(&["--disable", "move,Sort", "--enable", "id"]).unwrap().contains("switched off: MOVE SORT ("));
    assert!(account(&config, &["show", "alice"], "").unwrap().contains("capabilities switched off: MOVE SORT\n"));
    let (mut alice, told) = login("alice");
    assert!(told.contains(" ID ") && !told.contains(" MOVE ") && !told.contains(" SORT=DISPLAY "), "{told}");
    alice.ask("b SELECT INBOX", "b OK");
    alice.ask("c UID MOVE 1 Trash", "c BAD");
    let (_, told) = login("bob");
    assert!(told.contains(" MOVE ") && !told.contains(" WITHIN "), "{told}");
    let error = set(&["--disable", "STARTTLS"]).unwrap_err();
    assert!(
        error.contains("\"STARTTLS\" is no capability that can be switched off") && error.contains("IDLE"),
        "{error}"
    );
    assert!(account(&config, &["show", "carol"], "").unwrap_err().contains("no such account"));
}

#[test]
fn mail_comes_in_and_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let config = configure(directory.path());
    account(&config, &["create", "alice"], "secret\n").unwrap();
    let server = serve(&config);
    server.connect("lmtp").deliver("alice@x", "Subject: by TCP\r\n\r\nhi");
    let socket = directory.path().join("lmtp.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    let unix = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    Conversation::new(unix).deliver("alice+Sent@x", "Subject: by socket\r\n\r\nhi");

    let certificate = directory.path().join("cert.pem");
    let mut imap = tls(server.tcp("imaps"), &certificate);
    assert!(imap.line().starts_with("* OK"));
    imap.ask("a LOGIN alice secret", "a OK");
    assert!(imap.ask("b SELECT INBOX", "b OK").contains(&"* 1 EXISTS".to_owned()));

    // SIGTERM: every session hears it, and the program ends in peace.
    server.signal(Signal::TERM);
    assert!(imap.line().starts_with("* BYE"));
    assert_eq!(server.stop().0, Some(0));
    assert!(!socket.exists());

    let server = serve(&config);
    let mut imap = server.connect("imap");
    imap.line();
    imap.ask("a LOGIN alice secret", "a OK");
    assert!(imap.ask("b SELECT Sent", "b OK").contains(&"* 1 EXISTS".to_owned()));
    let fetched = imap.ask("c FETCH 1 BODY[HEADER.FIELDS (SUBJECT)]", "c OK");
    assert!(fetched.contains(&"Subject: by socket".to_owned()), "{fetched:?}");
    // Nobody else on this machine reads the mail.
    let store = directory.path().join("store");
    assert_eq!(std::fs::metadata(&store).unwrap().permissions().mode() & 0o077, 0);
    for entry in std::fs::read_dir(&store).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
    }
}

#[test]
fn status_and_reclaim_with_and_without_a_running_server() {
    let directory = tempfile::tempdir().unwrap();
    let config = configure(directory.path());
    let run = |words: &[&str]| {
        let done = output(program().args(words).arg("--config").arg(&config), "");
        assert!(done.status.success(), "{words:?}: {}", text(&done.stderr));
        text(&done.stdout)
    };
    assert!(refused(&["status"], &config).contains("there is no store"));
    account(&config, &["create", "alice"], "secret\n").unwrap();
    let server = serve(&config);
    let body = "x".repeat(70) + "\r\n";
    server.connect("lmtp").deliver("alice@x", &format!("Subject: large\r\n\r\n{}", body.repeat(3000)));
    let mut imap = server.connect("imap");
    imap.line();
    imap.ask("a LOGIN alice secret", "a OK");
    let said = run(&["status"]);
    for line in
        ["version: ", "running: for ", "connections: 1\n", "writing: yes\n", "accounts: 1\n", "index: ", "disk: "]
    {
        assert!(said.contains(line), "{line} is not in {said}");
    }
    assert!(said.contains(" KiB live, "), "{said}");
    imap.ask("b SELECT INBOX", "b OK");
    imap.ask("c STORE 1 +FLAGS (\\Deleted)", "c OK");
    imap.ask("d EXPUNGE", "d OK");
    run(&["purge", "--older-than", "0"]);
    let said = run(&["reclaim"]);
    assert!(said.starts_with("reclaimed: 2") && said.contains(" KiB in "), "{said}");
    assert!(run(&["status"]).contains("reclaimed since the start: 2"));
    assert_eq!(server.stop().0, Some(0));
    let said = run(&["status"]);
    assert!(said.contains("running: no\n") && said.contains("writing: yes\n"), "{said}");
    assert!(run(&["reclaim"]).starts_with("reclaimed: "));
}

#[test]
fn sighup_takes_a_new_certificate_and_leaves_connections_alone() {
    let directory = tempfile::tempdir().unwrap();
    let config = configure(directory.path());
    account(&config, &["create", "alice"], "secret\n").unwrap();
    let server = serve(&config);
    let certificate = directory.path().join("cert.pem");
    let mut old = tls(server.tcp("imaps"), &certificate);
    old.line();
    configure(directory.path());
    server.signal(Signal::HUP);
    // The signal arrives when it arrives: the new certificate is the only one that we trust from here on.
    let greeted = (0..1000).any(|_| {
        let greeting = tls(server.tcp("imaps"), &certificate).try_line();
        greeting.is_ok_and(|line| line.starts_with("* OK"))
    });
    assert!(greeted);
    old.ask("a LOGIN alice secret", "a OK");
}

#[test]
fn what_is_wrong_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap();
    let config = directory.path().join("pillarbox.toml");
    let write = |text: &str| std::fs::write(&config, text).unwrap();

    write(&format!("imaps.listen = []\nlmtp.listen = []\nimap.listen = [\"{address}\"]\nstore.path = \"store\"\n"));
    let error = refused(&["serve"], &config);
    assert!(error.contains(&format!("cannot listen on {address} for imap: another program listens there")), "{error}");
    assert!(error.contains("change imap.listen"), "{error}");
    assert!(!directory.path().join("store").exists(), "nothing is touched");
    assert!(refused(&["check"], &config).contains("there is no store"));

    write("[imap]\nlisten = []\nlitterals = \"plus\"\n");
    for words in [&["serve"][..], &["check"], &["account", "list"], &["config", "check"]] {
        let error = refused(words, &config);
        assert!(error.contains("line 3, column 1") && error.contains("Did you mean `literals`?"), "{error}");
    }

    let config = configure(directory.path());
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(directory.path().join("key.pem"), other.signing_key.serialize_pem()).unwrap();
    assert!(refused(&["serve"], &config).contains("the private key does not belong to the certificate"));
    std::fs::remove_file(directory.path().join("key.pem")).unwrap();
    assert!(refused(&["serve"], &config).contains("cannot read"));
}

#[test]
fn a_store_of_another_user_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let config = configure(directory.path());
    let store = directory.path().join("store");
    std::fs::create_dir(&store).unwrap();
    if std::os::unix::fs::chown(&store, Some(12_345), None).is_ok() {
        // Only root can give a directory away, and only root could do the damage.
        assert!(account(&config, &["list"], "").unwrap_err().contains("belongs to user 12345"));
        assert_eq!(std::fs::read_dir(&store).unwrap().count(), 0);
    }
}

#[test]
fn one_server_owns_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let config = configure(directory.path());
    let _server = serve(&config);
    // A second one, which would find free ports and another socket.
    let text = std::fs::read_to_string(&config).unwrap().replace("lmtp.sock", "lmtp2.sock");
    let second = directory.path().join("second.toml");
    std::fs::write(&second, text).unwrap();
    assert!(refused(&["serve"], &second).contains("in use"));
}

#[test]
fn the_example_is_printed_and_right() {
    let done = output(program().args(["config", "example"]), "");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pillarbox.toml");
    // As it stands it lacks a certificate, which is what its first error is about.
    std::fs::write(&path, &done.stdout).unwrap();
    assert!(refused(&["config", "check"], &path).contains("tls.certificate"));
    let example = text(&done.stdout).replace("# certificate = ", "certificate = ").replace("# key = ", "key = ");
    std::fs::write(&path, example).unwrap();
    assert!(output(program().args(["config", "check", "--config"]).arg(&path), "").status.success());
}

#[test]
fn what_was_deleted_is_purged_when_somebody_must() {
    let directory = tempfile::tempdir().unwrap();
    let config = configure(directory.path());
    account(&config, &["create", "alice"], "secret\n").unwrap();
    let purge = |words: &[&str]| {
        let done = output(program().arg("purge").args(words).arg("--config").arg(&config), "");
        if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
    };
    for running in [true, false] {
        let server = serve(&config);
        server.connect("lmtp").deliver("alice@x", "Subject: hello\r\n\r\nhi");
        let mut imap = server.connect("imap");
        imap.line();
        imap.ask("a LOGIN alice secret", "a OK");
        imap.ask("b SELECT INBOX", "b OK");
        imap.ask("c STORE 1 +FLAGS.SILENT (\\Deleted)", "c OK");
        imap.ask("d EXPUNGE", "d OK");
        imap.ask("e CREATE Work/Old", "e OK");
        imap.ask("f DELETE Work/Old", "f OK");
        imap.ask("g DELETE Work", "g OK");
        let server = if running {
            Some(server)
        } else {
            drop(server.stop());
            None
        };
        let nothing = "purged: 0 messages of 0 octets, 0 deleted mailboxes\n";
        assert_eq!(purge(&[]).unwrap(), nothing, "retention has not ended");
        assert_eq!(purge(&["alice", "--older-than", "1h"]).unwrap(), nothing);
        let done = purge(&["alice", "--older-than", "0d"]).unwrap();
        assert!(
            done.starts_with("purged: 1 messages of ") && done.ends_with(" octets, 2 deleted mailboxes\n"),
            "{done}"
        );
        assert_eq!(purge(&["--older-than", "0d"]).unwrap(), nothing);
        assert!(purge(&["nobody"]).unwrap_err().contains("no such account"));
        assert!(purge(&["--older-than", "soon"]).unwrap_err().contains("90s, 30m, 2h or 1d"));
        let done = output(program().arg("check").arg("--config").arg(&config), "");
        assert_eq!(text(&done.stdout), "everything is in order\n");
        drop(server);
    }
}

#[test]
fn what_was_deleted_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let config = configure(directory.path());
    account(&config, &["create", "alice"], "secret\n").unwrap();
    let undelete = |words: &[&str]| {
        let done = output(program().args(["undelete", "alice"]).args(words).arg("--config").arg(&config), "");
        if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
    };
    for running in [true, false] {
        let server = serve(&config);
        server.connect("lmtp").deliver("alice@x", "From: Ann <ann@x>\r\nSubject: \x1b[2Jhello\r\n\r\nhi");
        let mut imap = server.connect("imap");
        imap.line();
        imap.ask("a LOGIN alice secret", "a OK");
        imap.ask("b CREATE Work", "b OK");
        imap.ask("c SELECT INBOX", "c OK");
        imap.ask("d COPY * Work", "d OK");
        imap.ask("e DELETE Work", "e OK");
        imap.ask("f STORE * +FLAGS.SILENT (\\Deleted \\Flagged)", "f OK");
        imap.ask("g EXPUNGE", "g OK");
        let server = if running {
            Some(server)
        } else {
            drop(server.stop());
            None
        };

        let list = undelete(&["list"]).unwrap();
        let lines: Vec<_> = list.lines().collect();
        assert_eq!(lines.len(), 2, "{list}");
        assert!(lines[0].starts_with("mailbox ") && lines[0].ends_with(" octets  Work"), "{list}");
        assert!(lines[1].contains("  from INBOX  ") && lines[1].ends_with("  Ann <ann@x>  \u{fffd}[2Jhello"), "{list}");
        assert_eq!(undelete(&["list", "--subject", "HELLO", "--from", "ann"]).unwrap(), list);
        assert_eq!(undelete(&["list", "--from", "bob"]).unwrap().lines().count(), 1);
        assert_eq!(
            undelete(&["list", "--limit", "0"]).unwrap().lines().nth(1),
            Some("and 1 more: use the filters, or --limit")
        );
        assert!(undelete(&["list", "--since", "tomorrow"]).unwrap_err().contains("no day such as"));
        assert!(undelete(&["restore"]).unwrap_err().contains("say which messages"));
        assert!(undelete(&["restore", "999"]).unwrap_err().contains("no such message"));
        assert!(undelete(&["restore-mailbox", "Play"]).unwrap_err().contains("no such mailbox"));
        let number = lines[1].split(' ').next().unwrap();
        let restored = undelete(&["restore", number, "999"]).unwrap();
        assert_eq!(restored, "1 messages restored to INBOX\n1 of the numbers are not in the list\n");
        assert_eq!(undelete(&["restore-mailbox", "Work"]).unwrap(), "Work restored\n");
        assert_eq!(undelete(&["list"]).unwrap(), "nothing can be restored\n");
        if running {
            // Who looks at the mailbox hears of it.
            assert!(imap.ask("h NOOP", "h OK").contains(&"* 1 EXISTS".to_owned()));
            imap.ask("i STORE 1 +FLAGS.SILENT (\\Deleted)", "i OK");
            imap.ask("j EXPUNGE", "j OK");
            imap.ask("k DELETE Work", "k OK");
            undelete(&["restore", "--all", "--to", "Elsewhere"]).unwrap();
            undelete(&["restore-mailbox", "Work", "--to", "Old"]).unwrap();
            imap.ask("l DELETE Elsewhere", "l OK");
            imap.ask("m DELETE Old", "m OK");
            imap.ask("n LOGOUT", "n OK");
            let purge = output(program().args(["purge", "--older-than", "0d", "--config"]).arg(&config), "");
            assert!(text(&purge.stdout).starts_with("purged: 1 messages"), "{}", text(&purge.stdout));
            assert_eq!(undelete(&["list"]).unwrap(), "nothing can be restored\n");
        }
        let done = output(program().arg("check").arg("--config").arg(&config), "");
        assert_eq!(text(&done.stdout), "everything is in order\n");
        drop(server);
    }
}

#[test]
fn a_retention_of_nothing_is_carried_out_by_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let config = configure(directory.path());
    account(&config, &["create", "alice"], "secret\n").unwrap();
    let list = || text(&output(program().args(["undelete", "alice", "list", "--config"]).arg(&config), "").stdout);
    let server = serve(&config);
    server.connect("lmtp").deliver("alice@x", "Subject: hello\r\n\r\nhi");
    let mut imap = server.connect("imap");
    imap.line();
    imap.ask("a LOGIN alice secret", "a OK");
    imap.ask("b SELECT INBOX", "b OK");
    imap.ask("c STORE 1 +FLAGS.SILENT (\\Deleted)", "c OK");
    imap.ask("d EXPUNGE", "d OK");
    server.stop();
    assert!(list().contains("hello"));
    let with = std::fs::read_to_string(&config).unwrap() + "[retention]\nexpunged = 0\n";
    std::fs::write(&config, with).unwrap();
    let server = serve(&config);
    // It begins with it, and goes on every few seconds.
    assert!((0..1000).any(|_| list() == "nothing can be restored\n"));
    drop(server);
}

#[test]
fn mail_moves_out_and_in() {
    let directory = tempfile::tempdir().unwrap();
    let config = configure(directory.path());
    account(&config, &["create", "alice"], "secret\n").unwrap();
    account(&config, &["create", "bob"], "secret\n").unwrap();
    let there = directory.path().join("export");
    let run = |words: &[&str], path: &str| {
        let done = output(program().args(words).arg(there.join(path)).arg("--config").arg(&config), "");
        if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
    };
    let server = serve(&config);
    server.connect("lmtp").deliver("alice+Sent@x", "Subject: one\r\n\r\nhi");
    let exported = run(&["export", "maildir", "alice"], "maildir").unwrap();
    assert!(exported.starts_with("exported: 1 messages of ") && exported.ends_with(" in 6 mailboxes\n"), "{exported}");
    assert!(
        run(&["export", "maildir", "alice", "--layout", "nested"], "maildir").unwrap_err().contains("is there already")
    );
    assert!(run(&["export", "mbox", "nobody"], "mbox").unwrap_err().contains("no such account"));
    let imported = run(&["import", "maildir", "bob"], "maildir").unwrap();
    assert_eq!(imported, exported.replace("exported", "imported"));
    server.stop();
    // The same without a server.
    run(&["export", "mbox", "bob"], "mbox").unwrap();
    run(&["import", "mbox", "bob", "--mailbox", "Again"], "mbox/Sent.mbox").unwrap();
    assert!(run(&["import", "mbox", "bob"], "nothing").unwrap_err().contains("No such file"));
    let server = serve(&config);
    let mut imap = server.connect("imap");
    imap.line();
    imap.ask("a LOGIN bob secret", "a OK");
    for mailbox in ["Sent", "Again"] {
        assert!(imap.ask(&format!("b SELECT {mailbox}"), "b OK").contains(&"* 1 EXISTS".to_owned()));
        let fetched = imap.ask("c FETCH 1 BODY[HEADER.FIELDS (SUBJECT)]", "c OK");
        assert!(fetched.contains(&"Subject: one".to_owned()), "{fetched:?}");
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn a_server_has_two_heaps_for_each_processor_unless_told_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let config = configure(directory.path());
    let heaps = |command: &mut std::process::Command| {
        let server = Server::start(command.arg("serve").arg("--config").arg(&config));
        let environment = std::fs::read_to_string(format!("/proc/{}/environ", server.id())).unwrap();
        let heaps = environment.split('\0').find_map(|entry| entry.strip_prefix("MALLOC_ARENA_MAX="));
        let heaps = heaps.unwrap().to_owned();
        assert_eq!(server.stop(), (Some(0), String::new()));
        heaps
    };
    let two_each = 2 * std::thread::available_parallelism().unwrap().get();
    assert_eq!(heaps(program().env_remove("MALLOC_ARENA_MAX")), two_each.to_string());
    assert_eq!(heaps(program().env("MALLOC_ARENA_MAX", "7")), "7");
}
