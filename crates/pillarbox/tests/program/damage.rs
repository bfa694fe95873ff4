//! The program end to end where files of the store are gone.

use std::fs;

use crate::common::{Server, configure, output, program, text};

#[test]
fn a_lost_index_is_made_again_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let config = configure(directory.path());
    let create = |name: &str| {
        let done = output(program().args(["account", "create", name, "--config"]).arg(&config), "secret\n");
        assert!(done.status.success(), "{}", text(&done.stderr));
    };
    let serve = || Server::start(program().arg("serve").arg("--config").arg(&config));
    create("alice");
    let server = serve();
    server.connect("lmtp").deliver("alice@x", "Subject: here\r\n\r\nhi");
    server.stop();
    let store = directory.path().join("store");
    fs::remove_file(store.join("index.db")).unwrap();
    // Neither copy nor index: name, password and mail are in the segments.
    if store.join("copies").exists() {
        fs::remove_dir_all(store.join("copies")).unwrap();
    }

    let server = serve();
    let mut imap = server.connect("imap");
    imap.line();
    imap.ask("a LOGIN alice secret", "a OK");
    assert!(imap.ask("b SELECT INBOX", "b OK").contains(&"* 1 EXISTS".to_owned()));
    assert!(imap.ask("c FETCH 1 BODY[HEADER.FIELDS (SUBJECT)]", "c OK").contains(&"Subject: here".to_owned()));
    let report = fs::read_to_string(store.join("damaged/report-1.txt")).unwrap();
    assert!(report.starts_with("the index is missing\n"), "{report}");
    assert!(report.contains("account alice: mailbox INBOX: 1 messages were put back"), "{report}");
    let done = output(program().arg("check").arg("--config").arg(&config), "");
    assert_eq!(text(&done.stdout), "everything is in order\n");
    server.stop();
    let server = serve();
    assert!(!store.join("damaged/report-2.txt").exists(), "it is put right once");
    server.stop();
}

#[test]
fn check_names_damaged_messages_and_repair_moves_them_aside() {
    let directory = tempfile::tempdir().unwrap();
    let config = configure(directory.path());
    let check = |words: &[&str]| {
        let done = output(program().arg("check").args(words).arg("--config").arg(&config), "");
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    };
    let done = output(program().args(["account", "create", "alice", "--config"]).arg(&config), "secret\n");
    assert!(done.status.success());
    let server = Server::start(program().arg("serve").arg("--config").arg(&config));
    for n in 0..3 {
        server.connect("lmtp").deliver("alice@x", &format!("Subject: {n}\r\n\r\nthe text of {n}"));
    }
    let (code, _, error) = check(&["--repair"]);
    assert!(code == Some(1) && error.contains("in use: only one process can own it"), "{error}");
    server.stop();
    for entry in fs::read_dir(directory.path().join("store/segments")).unwrap() {
        let path = entry.unwrap().path();
        let mut octets = fs::read(&path).unwrap();
        if let Some(at) = octets.windows(13).position(|w| w == b"the text of 1") {
            octets[at] ^= 1;
            fs::write(&path, octets).unwrap();
        }
    }
    let (code, out, error) = check(&[]);
    assert_eq!((code, error.lines().last()), (Some(1), Some("pillarbox: 1 problem")), "{out}");
    assert!(out.starts_with("account alice: mailbox INBOX: UID 2: its body is damaged: "), "{out}");

    // The list of accounts is damaged, too: it is made again.
    let index = directory.path().join("store/index.db");
    let mut octets = fs::read(&index).unwrap();
    let at = octets.windows(8).rposition(|w| w == b"$argon2i").unwrap();
    octets[at] ^= 1;
    fs::write(&index, octets).unwrap();
    let (code, out, error) = check(&["--repair"]);
    assert_eq!(code, Some(0), "{out}{error}");
    assert!(out.contains("account alice: mailbox INBOX: UIDs 2: moved to Damaged (1)\n"), "{out}");
    let (code, out, error) = check(&[]);
    assert_eq!((code, out.as_str()), (Some(0), "everything is in order\n"), "what was set aside is known: {error}");
    let server = Server::start(program().arg("serve").arg("--config").arg(&config));
    let mut imap = server.connect("imap");
    imap.line();
    imap.ask("a LOGIN alice secret", "a OK");
    assert!(imap.ask("b SELECT INBOX", "b OK").contains(&"* 2 EXISTS".to_owned()));
    assert!(imap.ask("c SELECT Damaged", "c OK").contains(&"* 1 EXISTS".to_owned()));
    imap.ask("d FETCH 1 BODY[TEXT]", "d NO");
    assert!(imap.ask("e FETCH 1 BODY[HEADER]", "e OK").contains(&"Subject: 1".to_owned()));
}
