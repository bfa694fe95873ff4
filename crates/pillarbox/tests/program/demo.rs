//! `pillarbox demo`: what it prints is true, and a second run finds what the first one left. The printed
//! `curl` and `openssl` lines are run as they are by `tests/clients/check_demo.py`.

use std::net::TcpListener;
use std::path::Path;

use crate::common::{Server, output, program, text, tls};

fn demo(data: &Path) -> Server {
    let ports = ["--imap-port", "0", "--imaps-port", "0", "--lmtp-port", "0"];
    Server::start(program().arg("demo").arg("--data").arg(data).args(ports))
}

fn password(server: &Server, name: &str) -> String {
    let words = |line: &String| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let of = |w: &Vec<String>| w.len() == 4 && w[0] == "user" && w[1] == name && w[2] == "password";
    server.said.iter().map(words).find(of).unwrap()[3].clone()
}

#[test]
fn the_printed_accounts_and_mail_are_there_and_stay() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("demo");
    let server = demo(&data);
    let secret = password(&server, "alice");
    let said = server.said.join("\n");
    for line in ["  curl --cacert ", "  openssl s_client ", "Ctrl-C ends the server"] {
        assert!(said.contains(line), "{line} is not in {said}");
    }
    let certificate = data.join("certificate.pem");
    let mut imap = tls(server.tcp("imaps"), &certificate);
    imap.line();
    imap.ask(&format!("a LOGIN alice {secret}"), "a OK");
    let folders = imap.ask("b LIST \"\" \"*\"", "b OK").join("\n");
    for folder in ["\"Projects/Pillarbox\"", "Travel", "Newsletters", "\\Sent", "\\Archive"] {
        assert!(folders.contains(folder), "{folder} is not in {folders}");
    }
    let first = imap.ask("c SELECT INBOX", "c OK");
    let exists = first.iter().find(|line| line.ends_with(" EXISTS")).unwrap().clone();
    let sizes = imap.ask("d FETCH 1:* RFC822.SIZE", "d OK").join("\n");
    let size = |line: &str| line.trim_end_matches(')').rsplit(' ').next().and_then(|n| n.parse::<u64>().ok());
    assert!(sizes.lines().filter_map(size).any(|size| size > 10_000_000), "{sizes}");
    // Without TLS, since this is loopback.
    let mut plain = server.connect("imap");
    plain.line();
    plain.ask(&format!("a LOGIN bob {}", password(&server, "bob")), "a OK");
    assert_eq!(server.stop().0, Some(0));

    let server = demo(&data);
    assert_eq!(password(&server, "alice"), secret);
    let mut imap = tls(server.tcp("imaps"), &certificate);
    imap.line();
    imap.ask(&format!("a LOGIN alice {secret}"), "a OK");
    assert!(imap.ask("b SELECT INBOX", "b OK").contains(&exists), "the mail came twice");
}

#[test]
fn a_temporary_demonstration_leaves_nothing() {
    let ports = ["--imap-port", "0", "--imaps-port", "0", "--lmtp-port", "0"];
    let temporary = tempfile::tempdir().unwrap();
    let server = Server::start(program().arg("demo").args(ports).env("TMPDIR", temporary.path()));
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 1);
    assert_eq!(server.stop().0, Some(0));
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn a_busy_port_says_which_flag() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    let directory = tempfile::tempdir().unwrap();
    for flag in ["--imap-port", "--imaps-port", "--lmtp-port"] {
        let mut ports = vec!["--imap-port", "0", "--imaps-port", "0", "--lmtp-port", "0"];
        let at = ports.iter().position(|word| *word == flag).unwrap();
        ports[at + 1] = &port;
        let done = output(program().arg("demo").arg("--data").arg(directory.path()).args(&ports), "");
        assert_eq!(done.status.code(), Some(1));
        let error = text(&done.stderr);
        assert!(error.contains("another program listens there") && error.contains(flag), "{error}");
    }
}
