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
