//! Quotas end to end: `account set-quota` and `usage` with and without a server, and the program that warns.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Server, configure};
use crate::serve::{account, serve};

/// With these lines at the end of the configuration.
fn configured(directory: &Path, lines: &str) -> PathBuf {
    let config = configure(directory);
    let text = fs::read_to_string(&config).unwrap() + lines;
    fs::write(&config, text).unwrap();
    account(&config, &["create", "alice"], "secret\n").unwrap();
    config
}

fn usage(config: &Path, name: &str) -> serde_json::Value {
    let printed = account(config, &["usage", name, "--json"], "").unwrap();
    let list: serde_json::Value = serde_json::from_str(&printed).unwrap();
    list[0].clone()
}

#[test]
fn limits_are_set_with_and_without_a_running_server() {
    let directory = tempfile::tempdir().unwrap();
    let config = configured(directory.path(), "[quota]\nmessages = 7\n");
    let line = |words: &[&str]| account(&config, words, "").unwrap();
    assert_eq!(
        line(&["set-quota", "alice", "--storage", "2K"]),
        "alice: storage 0 octets of 2 KiB (0%), messages 0 of 7 (0%), mailboxes 6 of 10000 (0%)\n"
    );
    let server = serve(&config);
    server.connect("lmtp").deliver("alice@x", "Subject: x\r\n\r\nhi");
    let now = usage(&config, "alice");
    assert_eq!((&now["messages"]["usage"], &now["storage"]["limit"]), (&1.into(), &2048.into()));
    assert!(now["storage"]["usage"].as_u64().unwrap() > 20);
    // While it runs, and at once.
    line(&["set-quota", "alice", "--messages", "1", "--mailboxes", "none", "--storage", "default"]);
    let mut imap = server.connect("imap");
    imap.line();
    imap.ask("a LOGIN alice secret", "a OK");
    imap.ask("b APPEND INBOX {10}", "b NO [OVERQUOTA]");
    line(&["set-quota", "alice", "--messages", "default"]);
    imap.ask("c GETQUOTA alice", "* QUOTA \"alice\" (MESSAGE 1 7 MAILBOX 6 10000)");
    line(&["set-quota", "alice", "--annotation-storage", "1M"]);
    assert_eq!(server.stop().0, Some(0));

    account(&config, &["create", "bob"], "secret\n").unwrap();
    let all = line(&["usage"]);
    let names: Vec<_> = all.lines().map(|line| line.split_once(": ").unwrap().0).collect();
    assert_eq!(names, ["alice", "bob"]);
    assert!(all.contains(", annotations 0 octets of 1 MiB (0%)\n"), "{all}");
    assert_eq!(usage(&config, "bob")["storage"]["limit"], serde_json::Value::Null);

    let refused = |words: &[&str]| account(&config, words, "").unwrap_err();
    assert!(refused(&["usage", "nobody"]).contains("no such account"));
    assert!(refused(&["set-quota", "nobody", "--messages", "1"]).contains("no such account"));
    assert!(refused(&["set-quota", "alice", "--storage", "much"]).contains("a size such as"));
    assert!(refused(&["set-quota", "alice"]).contains("--storage"));
}

/// A script that writes its environment into a pipe, from which the test reads: neither waits for a time.
fn script(directory: &Path) -> PathBuf {
    let pipe = directory.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let script = directory.join("warn");
    // It fails in the end, which holds nothing up.
    let text = format!("#!/bin/sh\n{{ echo \"$1\"; env | grep ^PILLARBOX_ | sort; }} > {}\nexit 3\n", pipe.display());
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    pipe
}

/// Waits for the script.
fn told(pipe: &Path) -> Vec<String> {
    let text = fs::read_to_string(pipe).unwrap();
    text.replace("PILLARBOX_", "").lines().map(str::to_owned).collect()
}

fn event(event: &str, usage: &str, percent: &str, threshold: &str) -> Vec<String> {
    let all = ["ACCOUNT=alice", event, "LIMIT=4", percent, "RESOURCE=MESSAGE", threshold, usage];
    ["to: alice"].iter().chain(&all).map(|line| (*line).to_owned()).collect()
}

fn deliver(server: &Server) {
    server.connect("lmtp").deliver("alice@x", "Subject: x\r\n\r\nhi");
}

#[test]
fn a_program_is_started_at_thresholds() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = script(directory.path());
    let lines = "[quota]\nmessages = 4\nwarnings = [50, 100]\nwarning_command = [\"warn\", \"to: alice\"]\n";
    let config = configured(directory.path(), lines);
    let server = serve(&config);
    for _ in 0..3 {
        deliver(&server);
    }
    // Once, at the second; the third waited for nobody, although the script could not go on.
    assert_eq!(told(&pipe), event("EVENT=warning", "USAGE=2", "PERCENT=50", "THRESHOLD=50"));
    deliver(&server);
    assert_eq!(told(&pipe), event("EVENT=warning", "USAGE=4", "PERCENT=100", "THRESHOLD=100"));
    let mut imap = server.connect("imap");
    imap.line();
    imap.ask("a LOGIN alice secret", "a OK");
    imap.ask("b SELECT INBOX", "b OK");
    imap.ask("c STORE 1:3 +FLAGS.SILENT (\\Deleted)", "c OK");
    imap.ask("d EXPUNGE", "d OK");
    assert_eq!(told(&pipe), event("EVENT=ok", "USAGE=1", "PERCENT=25", "THRESHOLD=50"));
    assert_eq!(server.stop().0, Some(0));
}

#[test]
fn a_program_that_is_not_there_is_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let config = configured(directory.path(), "[quota]\nmessages = 1\nwarning_command = [\"nothing\"]\n");
    let server = serve(&config);
    deliver(&server);
    server.connect("imap").line();
    assert_eq!(server.stop().0, Some(0));
}
