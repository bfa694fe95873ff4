//! The runner against a server that says what it is told to: both that it passes what is right
//! and that it fails what is wrong.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream};

use super::*;

/// Plays fixed lines: `> ` waits for this line, `>> n` takes n octets, `< ` sends, `~ ` sends
/// after a time, `!` hangs up. Every connection plays the same.
struct Fake(&'static str);

impl Harness for Fake {
    fn start<'a>(&'a self, _: &'a Options) -> Starting<'a> {
        Box::pin(async { Ok(Box::new(Running(self.0)) as Box<dyn Server>) })
    }
}

struct Running(&'static str);

impl Server for Running {
    fn connect(&mut self, _: Listener) -> Result<Box<dyn Stream>, String> {
        let (client, server) = tokio::io::duplex(1024);
        tokio::spawn(play(self.0, server));
        Ok(Box::new(client))
    }

    fn tls(&self) -> Arc<rustls::ClientConfig> {
        panic!("the fake has no TLS")
    }

    fn disk_is_full(&mut self, _: bool) {}

    fn stop(&mut self) {}

    fn check(&mut self) -> Vec<String> {
        Vec::new()
    }
}

async fn play(lines: &'static str, stream: DuplexStream) {
    let mut stream = BufReader::new(stream);
    for line in lines.lines() {
        if let Some(expected) = line.strip_prefix("> ") {
            let mut got = String::new();
            stream.read_line(&mut got).await.unwrap();
            assert_eq!(got, format!("{expected}\r\n"));
        } else if let Some(n) = line.strip_prefix(">> ") {
            let mut got = vec![0; n.parse().unwrap()];
            stream.read_exact(&mut got).await.unwrap();
        } else if let Some(seconds) = line.strip_prefix("~ ") {
            tokio::time::sleep(Duration::from_secs(seconds.parse().unwrap())).await;
        } else if let Some(text) = line.strip_prefix("< ") {
            stream.write_all(text.replace("\\n", "\r\n").as_bytes()).await.unwrap();
            stream.write_all(b"\r\n").await.unwrap();
        } else {
            return;
        }
    }
    std::future::pending::<()>().await;
}

fn result(server: &'static str, transcript: &str) -> Result<(), String> {
    let text = format!("# RFC 9051 §6: x\nC1: connect\n{transcript}");
    let script = Script::parse("imap/x", &text, &|_| Ok(b"a\n".to_vec()))?;
    run(&script, Revision::Two, &Fake(server)).map_err(|f| f.to_string())
}

#[test]
fn a_dialogue_passes() {
    result("< * OK hi\n> a NOOP\n< a OK done", "S1: * OK hi\nC1: a NOOP\nS1: a OK …\n").unwrap();
}

#[test]
fn another_answer_fails_at_its_line() {
    let failure = result("< * OK hi\n> a NOOP\n< a NO done", "S1: * OK hi\nC1: a NOOP\nS1: a OK …\n").unwrap_err();
    assert!(failure.starts_with("imap/x.txt:5: expected  a OK …\n     got  a NO done"), "{failure}");
    assert!(failure.contains("C1: a NOOP"));
}

#[test]
fn what_is_not_listed_fails() {
    assert!(result("< * OK hi\n< * 2 EXISTS", "S1: * OK hi\n").unwrap_err().contains("not listed"));
    assert!(result("< * 2 EXISTS\n< * OK hi", "S1: * OK hi\n").is_err());
    assert!(result("< * OK hi\n!", "S1: * OK hi\n").is_err());
}

#[test]
fn what_does_not_come_fails() {
    assert!(result("< * OK hi", "S1: * OK hi\nS1: * 2 EXISTS\n").unwrap_err().contains("got  nothing"));
    assert!(result("< * OK hi", "S1: * OK hi\nS1: <eof>\n").is_err());
}

#[test]
fn optional_lines_and_any_order() {
    let transcript = "S1?: * 1 RECENT\nS1*: * A\nS1*: * B\nS1*?: * C\nS1: * OK x\n";
    result("< * 1 RECENT\n< * B\n< * A\n< * C\n< * OK x", transcript).unwrap();
    result("< * A\n< * B\n< * OK x", transcript).unwrap();
    assert!(result("< * A\n< * A\n< * OK x", transcript).is_err());
    assert!(result("< * A\n< * OK x\n< * B", transcript).is_err());
    assert!(result("< * A\n< * B\n< * OK x\n< * C", transcript).is_err());
}

#[test]
fn lines_that_come_as_often_as_they_like() {
    let transcript = "S1+: * … EXPUNGE\nS1: * OK x\n";
    result("< * OK x", transcript).unwrap();
    result("< * 1 EXPUNGE\n< * 2 EXPUNGE\n< * OK x", transcript).unwrap();
    assert!(result("< * OK x\n< * 1 EXPUNGE", transcript).is_err());
}

#[test]
fn literals_wait_for_the_continuation() {
    let server = "> a X {5}\n< + go\n>> 5\n>  {3+}\n>> 3\n> \n< a OK";
    result(server, "C1: a X {…}\n| hello\n> {…+}\n| abc\nS1: a OK\n").unwrap();
    assert!(result("> a X {5}\n< a NO [TOOBIG] x", "C1: a X {…}\n| hello\nS1: a OK\n").is_err());
}

#[test]
fn literals_of_the_server_are_strings() {
    let server = "< * 1 FETCH (BODY[TEXT] {9}\\na \"b\"\\n<p>)";
    result(server, "S1: * 1 FETCH (BODY[TEXT] {…}\n| a \"b\"\n| <p>\n>)\n").unwrap_err();
    let server = "< * 1 FETCH (BODY[TEXT] {10}\\na \"b\"\\n<p>)";
    result(server, "S1: * 1 FETCH (BODY[TEXT] {…}\n| a \"b\"\n| <p>\n>)\n").unwrap();
    result(server, "S1: * 1 FETCH (BODY[TEXT] \"a \\\"b\\\"…)\n").unwrap();
}

#[test]
fn names_are_carried_over() {
    result(
        "< * OK [UIDNEXT 7] x\n> a FETCH 7\n< a OK",
        "S1: * OK [UIDNEXT <n>] …\nC1: a FETCH <n>\nS1: a OK\ncheck: <n> > 6\n",
    )
    .unwrap();
    assert!(result("< * OK [UIDNEXT 7] x", "S1: * OK [UIDNEXT <n>] …\ncheck: <n> > 7\n").is_err());
}

#[test]
fn held_lines_go_in_one_packet_and_raw_ones_without_an_end() {
    result("> a\n> b\n< * OK", "C1> a\nC1- b\nC1: \nS1: * OK\n").unwrap();
}

#[test]
fn time_is_scripted() {
    let server = "< * OK hi\n~ 120\n< * OK Still here";
    result(server, "S1: * OK hi\ntime: +119s\n").unwrap_err();
    result(server, "S1: * OK hi\ntime: +121s\nS1: * OK …\n").unwrap();
}

#[test]
fn an_answer_that_contains_the_forbidden_fails() {
    assert!(result("< * CAPABILITY A B", "S1: * CAPABILITY …\nS1!: B\n").is_err());
    result("< * CAPABILITY A B", "S1: * CAPABILITY …\nS1!: MOVE\n").unwrap();
}

#[test]
fn case_counts_unless_told() {
    assert!(result("< * X \"Text\"", "S1: * X \"TEXT\"\n").is_err());
    result("< * X \"Text\"", "S1~: * X \"TEXT\"\n").unwrap();
}

#[test]
fn utf_8_is_one_however_it_is_written() {
    result("< * 1 FETCH (X {2}\\nü)", "S1: * 1 FETCH (X \"\\xc3\\xbc\")\n").unwrap();
}

#[test]
fn lines_for_the_other_revision_are_left_out() {
    result("< * OK", "rev1 S1: * X\nrev2 S1: * OK\n").unwrap();
}
