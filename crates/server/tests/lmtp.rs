//! LMTP sessions in memory, on the memory engine: one test for each rule of the RFCs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth::FingerprintKey;
use engine::memory::Memory;
use engine::{Batch, BlobWriter, CommitError, Engine, Error, Pending, ReadView, Upload};
use server::connections::Connections;
use server::context::{Context, LmtpOptions};
use server::listen::Connection;
use server::lmtp::serve_lmtp;
use server::shutdown::{Shutdown, Stopper};
use server::stream::{Peer, Stream};
use server::tls::Tls;
use store::{Clock, Options, Store};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use types::{AccountId, AccountName, Limits, MailboxName, Principal, UnixTime};

struct Noon;

impl Clock for Noon {
    fn now(&self) -> UnixTime {
        UnixTime(1_795_176_000)
    }
}

/// The memory engine, with a disk that can be full and commits that can be held back.
struct Moody {
    memory: Memory,
    full: AtomicBool,
    /// While there is one, commits wait in it.
    held: Mutex<Option<Vec<HeldCommit>>>,
}

type HeldCommit = (Batch, tokio::sync::oneshot::Sender<Result<(), CommitError>>);

impl Moody {
    fn new() -> Self {
        Self { memory: Memory::new(), full: AtomicBool::new(false), held: Mutex::new(None) }
    }

    fn hold_commits(&self) {
        *self.held.lock().unwrap() = Some(Vec::new());
    }

    async fn commit_one(&self) {
        let held = self.held.lock().unwrap().as_mut().and_then(Vec::pop);
        let Some((batch, answer)) = held else { return };
        let _ = answer.send(self.memory.commit(batch).await);
    }
}

impl Engine for Moody {
    fn read(&self, account: AccountId) -> Result<Box<dyn ReadView>, Error> {
        self.memory.read(account)
    }
    fn upload(&self) -> Result<Box<dyn BlobWriter>, Error> {
        if self.full.load(Relaxed) { Err(Error::Full) } else { self.memory.upload() }
    }
    fn duplicate(&self, upload: &Upload) -> Result<Upload, Error> {
        self.memory.duplicate(upload)
    }
    fn commit(&self, batch: Batch) -> Pending {
        match &mut *self.held.lock().unwrap() {
            None => self.memory.commit(batch),
            Some(held) => {
                let (answer, pending) = Pending::new();
                held.push((batch, answer));
                pending
            }
        }
    }
    fn read_only(&self) -> Option<Arc<str>> {
        self.memory.read_only()
    }
    fn check(&self) -> Result<Vec<String>, Error> {
        self.memory.check()
    }
}

/// A server with the accounts alice and bob@b.example.
struct Server {
    engine: Arc<Moody>,
    context: Arc<Context>,
    stopper: Stopper,
    shutdown: Shutdown,
}

impl Server {
    async fn new(limits: Limits) -> Self {
        Self::with(limits, &[], None).await
    }

    async fn with(limits: Limits, domains: &[&str], tls: Option<Arc<Tls>>) -> Self {
        let limits = Arc::new(limits);
        let engine = Arc::new(Moody::new());
        let options = Options { limits: limits.clone(), ..Options::default() };
        let store = Store::open(engine.clone(), Arc::new(Noon), options).unwrap();
        for name in ["alice", "bob@b.example"] {
            store.create_account(&AccountName::new(name).unwrap(), String::new()).await.unwrap();
        }
        let context = Context {
            tls,
            hostname: "mail.test".to_owned(),
            lmtp: LmtpOptions { domains: domains.iter().map(|d| (*d).to_owned()).collect(), ..LmtpOptions::default() },
            ..Context::new(store, Arc::new(Noon), FingerprintKey::new([0; 64]))
        };
        let (stopper, shutdown) = Stopper::new();
        Self { engine, context: Arc::new(context), stopper, shutdown }
    }

    async fn folder(&self, name: &str) {
        let (account, who) = self.account("alice");
        account.create_mailbox(&who, MailboxName::new(name).unwrap(), None).await.unwrap();
    }

    fn account(&self, name: &str) -> (store::Account, Principal) {
        let record = self.context.store.find_account(&AccountName::new(name).unwrap()).unwrap().unwrap();
        (self.context.store.account(record.id).unwrap(), Principal { account: record.id })
    }

    /// The messages of a mailbox, as they are stored.
    fn mail(&self, name: &str, mailbox: &str) -> Vec<String> {
        let (account, who) = self.account(name);
        let mailbox = account.open(&who, &MailboxName::new(mailbox).unwrap()).unwrap();
        let snapshot = mailbox.snapshot().unwrap();
        let mut texts = Vec::new();
        for chunk in snapshot.chunks(&snapshot.uids()) {
            for row in chunk.unwrap().rows() {
                let body = mailbox.body(row.email).unwrap().unwrap();
                let mut octets = Vec::new();
                body.read(0..body.size(), &mut octets).unwrap();
                assert_eq!(u64::from(row.size), body.size());
                texts.push(String::from_utf8_lossy(&octets).into_owned());
            }
        }
        texts
    }

    async fn connect(&self) -> Client<DuplexStream> {
        let (near, far) = tokio::io::duplex(1 << 16);
        let admission = Connections::new(&self.context.limits).admit(Peer::Memory).unwrap();
        let stream = Stream::memory(near, Peer::Tcp("192.0.2.1:9".parse().unwrap()));
        let connection = Connection { stream, admission, shutdown: self.shutdown.clone() };
        tokio::spawn(serve_lmtp(connection, self.context.clone()));
        let mut client = Client { stream: far, seen: String::new() };
        assert!(client.reply().await.starts_with("220 mail.test LMTP"));
        client
    }

    /// A connection that has said LHLO.
    async fn ready(&self) -> Client<DuplexStream> {
        let mut client = self.connect().await;
        assert!(client.ask("LHLO mx.test").await.starts_with("250"));
        client
    }
}

struct Client<S> {
    stream: S,
    seen: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
    }

    /// The next reply, with all its lines.
    async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            while let Some((line, rest)) = self.seen.split_once("\r\n") {
                reply.push_str(line);
                reply.push('\n');
                let last = line.as_bytes()[3] == b' ';
                self.seen = rest.to_owned();
                if last {
                    return reply;
                }
            }
            let mut octets = [0; 4096];
            let read = self.stream.read(&mut octets).await.unwrap();
            assert!(read > 0, "the server closed the connection after {reply:?}");
            self.seen.push_str(std::str::from_utf8(&octets[..read]).unwrap());
        }
    }

    async fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes()).await;
        self.reply().await
    }

    /// Asks each line and compares the beginning of each reply.
    async fn dialogue(&mut self, exchange: &[(&str, &str)]) {
        for (line, expected) in exchange {
            let reply = self.ask(line).await;
            assert!(reply.starts_with(expected), "{line}: {reply} is not {expected}");
        }
    }

    async fn expect(&mut self, expected: &[&str]) {
        for expected in expected {
            let reply = self.reply().await;
            assert!(reply.starts_with(expected), "{reply} is not {expected}");
        }
    }

    /// True where the server has closed the connection and says nothing more.
    async fn is_closed(&mut self) -> bool {
        self.seen.is_empty() && self.stream.read(&mut [0; 1]).await.unwrap() == 0
    }

    async fn deliver(&mut self, to: &str, message: &[u8]) -> String {
        self.dialogue(&[("MAIL FROM:<a@x.test>", "250"), (&format!("RCPT TO:<{to}>"), "250"), ("DATA", "354")]).await;
        self.send(message).await;
        self.send(b".\r\n").await;
        self.reply().await
    }
}

const HELLO: &[u8] = b"Subject: hello\r\n\r\nhi\r\n";

#[tokio::test]
async fn rfc2033_4_2_one_reply_for_each_recipient_in_order() {
    let server = Server::new(Limits::default()).await;
    let mut client = server.ready().await;
    client
        .dialogue(&[
            ("MAIL FROM:<chris@bar.com>", "250 2.1.0"),
            ("RCPT TO:<alice@foo.edu>", "250 2.1.5"),
            ("RCPT TO:<jones@foo.edu>", "550 5.1.1"),
            ("RCPT TO:<bob@b.example>", "250 2.1.5"),
            ("DATA", "354"),
        ])
        .await;
    client.send(b"Subject: x\r\n\r\n..dot\r\n.\r\n").await;
    client.expect(&["250 2.0.0 <alice@foo.edu>", "250 2.0.0 <bob@b.example>"]).await;
    client.dialogue(&[("QUIT", "221 2.0.0")]).await;
    assert!(client.is_closed().await);

    let [alice] = &server.mail("alice", "INBOX")[..] else { panic!("one message") };
    assert!(
        alice.starts_with(
            "Return-Path: <chris@bar.com>\r\nDelivered-To: alice@foo.edu\r\nReceived: from mx.test ([192.0.2.1])"
        ),
        "{alice}"
    );
    assert!(
        alice.contains("\tfor <alice@foo.edu>; Fri, 20 Nov 2026 12:00:00 +0000\r\nSubject: x\r\n\r\n.dot\r\n"),
        "{alice}"
    );
    assert!(alice.ends_with("\r\n\r\n.dot\r\n"));
    let [bob] = &server.mail("bob@b.example", "INBOX")[..] else { panic!("one message") };
    assert!(bob.contains("Delivered-To: bob@b.example\r\n"));
}

#[tokio::test]
async fn rfc2033_4_2_a_recipient_named_twice_gets_two_replies_and_one_message() {
    let server = Server::new(Limits::default()).await;
    let mut client = server.ready().await;
    client
        .dialogue(&[
            ("MAIL FROM:<>", "250"),
            ("RCPT TO:<alice@x>", "250"),
            ("RCPT TO:<ALICE@x>", "250"),
            ("RCPT TO:<alice+nowhere@x>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client.send(b"Subject: x\r\n\r\n.\r\n").await;
    client.expect(&["250 2.0.0 <alice@x>", "250 2.0.0 <ALICE@x>", "250 2.0.0 <alice+nowhere@x>"]).await;
    let mail = server.mail("alice", "INBOX");
    assert_eq!(mail.len(), 1);
    assert!(mail[0].starts_with("Return-Path: <>\r\nDelivered-To: alice@x\r\n"));
}

#[tokio::test]
async fn rfc2033_4_1_and_4_2_what_must_fail() {
    let server = Server::new(Limits::default()).await;
    let mut client = server.connect().await;
    client
        .dialogue(&[
            ("EHLO x", "500"),
            ("HELO x", "500"),
            ("MAIL FROM:<a@b>", "503 5.5.1"),
            ("LHLO x", "250"),
            ("RCPT TO:<alice>", "503 5.5.1"),
            ("DATA", "503 5.5.1"),
            ("MAIL FROM:<a@b>", "250"),
            ("MAIL FROM:<a@b>", "503 5.5.1"),
            // No successful RCPT: DATA MUST fail with 503.
            ("RCPT TO:<nobody>", "550 5.1.1"),
            ("DATA", "503 5.5.1"),
            ("STARTTLS", "502 5.5.1"),
            ("NONSENSE", "500 5.5.1"),
            ("VRFY alice", "252"),
            ("NOOP", "250"),
        ])
        .await;
}

#[tokio::test]
async fn lhlo_announces_what_there_is() {
    let server = Server::new(Limits { message_size: 1234, ..Limits::default() }).await;
    let reply = server.connect().await.ask("LHLO mx.test").await;
    assert_eq!(
        reply,
        "250-mail.test\n250-PIPELINING\n250-8BITMIME\n250-SMTPUTF8\n250-CHUNKING\n250-SIZE 1234\n250 ENHANCEDSTATUSCODES\n"
    );
}

#[tokio::test]
async fn rfc2920_a_whole_transaction_in_one_packet_and_a_second_after_it() {
    let server = Server::new(Limits::default()).await;
    let mut client = server.ready().await;
    let one = "MAIL FROM:<a@x>\r\nRCPT TO:<alice@x>\r\nRCPT TO:<no@x>\r\nDATA\r\nSubject: 1\r\n\r\n.\r\nRSET\r\n";
    client.send(format!("{one}{one}QUIT\r\n").as_bytes()).await;
    for _ in 0..2 {
        client.expect(&["250 2.1.0", "250 2.1.5", "550 5.1.1", "354", "250 2.0.0", "250 2.0.0"]).await;
    }
    client.expect(&["221"]).await;
    assert_eq!(server.mail("alice", "INBOX").len(), 2);
}

#[tokio::test]
async fn rfc3030_chunks() {
    let server = Server::new(Limits::default()).await;
    let mut client = server.ready().await;
    client
        .dialogue(&[("MAIL FROM:<a@x>", "250"), ("RCPT TO:<alice@x>", "250"), ("RCPT TO:<bob@b.example>", "250")])
        .await;
    client.send(b"BDAT 12\r\nSubject: x\r\nBDAT 0\r\nBDAT 5\r\n\r\n.\r\n").await;
    client.expect(&["250 2.0.0 12 octets", "250 2.0.0 0 octets", "250 2.0.0 5 octets"]).await;
    // RFC 3030 §2: DATA cannot be mixed with BDAT; neither can another RCPT.
    client.dialogue(&[("DATA", "503 5.5.1"), ("RCPT TO:<alice@x>", "503 5.5.1"), ("MAIL FROM:<>", "503 5.5.1")]).await;
    client.send(b"BDAT 6 LAST\r\nBDAT\r\n").await;
    client.expect(&["250 2.0.0 <alice@x>", "250 2.0.0 <bob@b.example>"]).await;
    // Not doubled, not unstuffed: octets are octets.
    assert!(server.mail("alice", "INBOX")[0].ends_with("Subject: x\r\n\r\n.\r\nBDAT\r\n"));

    client.dialogue(&[("MAIL FROM:<a@x>", "250"), ("RCPT TO:<alice@x>", "250")]).await;
    client.send(b"BDAT 3\r\nabc").await;
    client.expect(&["250"]).await;
    client.dialogue(&[("RSET", "250"), ("MAIL FROM:<a@x>", "250"), ("RCPT TO:<alice@x>", "250")]).await;
    client.send(b"BDAT 14\r\nSubject: y\r\n\r\nBDAT 0 LAST\r\n").await;
    client.expect(&["250", "250 2.0.0 <alice@x>"]).await;
    assert!(server.mail("alice", "INBOX")[1].ends_with("\r\nSubject: y\r\n\r\n"));
    assert_eq!(server.mail("alice", "INBOX").len(), 2);
}

#[tokio::test]
async fn rfc2033_4_3_bdat_last_without_recipients_has_no_reply() {
    let server = Server::new(Limits::default()).await;
    let mut client = server.ready().await;
    client.send(b"MAIL FROM:<a@x>\r\nRCPT TO:<no@x>\r\nBDAT 6 LAST\r\nNOOP\r\nNOOP\r\n").await;
    client.expect(&["250 2.1.0", "550", "250 2.0.0 nothing done"]).await;
    // A chunk that is not the last has one reply, whatever happens.
    client.send(b"BDAT 6\r\nNOOP\r\nNOOP\r\n").await;
    client.expect(&["503 5.5.1", "250 2.0.0 nothing done"]).await;
    assert!(server.mail("alice", "INBOX").is_empty());
}

#[tokio::test]
async fn folders_by_detail() {
    let server = Server::new(Limits::default()).await;
    server.folder("Work/Reports 2026").await;
    server.folder("Lists").await;
    server.folder("lists").await;
    server.folder("Café").await;
    let mut client = server.ready().await;
    for (to, mailbox) in [
        ("alice+Work/Reports 2026", "Work/Reports 2026"),
        ("alice+work/reports 2026", "Work/Reports 2026"),
        ("alice+work", "Work"),
        ("alice+Lists", "Lists"),
        ("alice+lists", "lists"),
        ("alice+LISTS", "INBOX"),
        ("alice+nothing", "INBOX"),
        ("alice+", "INBOX"),
        ("alice+inbox", "INBOX"),
        ("alice+a+b", "INBOX"),
        ("alice+%*", "INBOX"),
    ] {
        let before = server.mail("alice", mailbox).len();
        let reply = client.deliver(&format!("\"{to}\"@x"), HELLO).await;
        assert!(reply.starts_with("250"), "{reply}");
        assert_eq!(server.mail("alice", mailbox).len(), before + 1, "{to}");
    }
    client
        .dialogue(&[("MAIL FROM:<a@x> SMTPUTF8", "250"), ("RCPT TO:<alice+cafe\u{301}@x>", "250"), ("DATA", "354")])
        .await;
    client.send(b"Subject: x\r\n\r\n.\r\n").await;
    client.expect(&["250"]).await;
    assert!(server.mail("alice", "Café")[0].contains("with UTF8LMTP id"));
}

#[tokio::test]
async fn domains() {
    let server = Server::with(Limits::default(), &["a.example", "b.example"], None).await;
    let mut client = server.ready().await;
    client
        .dialogue(&[
            ("MAIL FROM:<x@x>", "250"),
            ("RCPT TO:<alice@a.example>", "250"),
            ("RCPT TO:<alice@B.EXAMPLE>", "250"),
            ("RCPT TO:<bob@b.example>", "250"),
            ("RCPT TO:<bob+x@b.example>", "250"),
            // bob has no account without his domain.
            ("RCPT TO:<bob@a.example>", "550 5.1.1"),
            ("RCPT TO:<alice@elsewhere.example>", "550 5.1.2"),
            ("RCPT TO:<alice>", "250"),
        ])
        .await;
}

#[tokio::test]
async fn limits_on_both_sides() {
    let limits =
        Limits { message_size: 100, message_line: 20, recipients: 2, lmtp_line: 60, errors: 3, ..Limits::default() };
    let server = Server::new(limits).await;
    let mut client = server.ready().await;
    // RFC 1870 §6.1: at MAIL, if the client says so.
    client
        .dialogue(&[("MAIL FROM:<a@x> SIZE=101", "552 5.3.4"), ("MAIL FROM:<a@x> SIZE=100", "250"), ("RSET", "250")])
        .await;
    let exact = [&b"S: x\r\n\r\n"[..], &b"12345678901234567890\r\n".repeat(4), b"12\r\n"].concat();
    assert_eq!(exact.len(), 100);
    assert!(client.deliver("alice", &exact).await.starts_with("250"));
    assert!(client.deliver("alice", &[&exact[..], b"\r\n"].concat()).await.starts_with("552 5.3.4 <alice>"));
    assert!(client.deliver("alice", b"S: x\r\n\r\n123456789012345678901\r\n").await.starts_with("500 5.6.0"));
    assert!(client.deliver("alice", HELLO).await.starts_with("250"));
    assert_eq!(server.mail("alice", "INBOX").len(), 2);
    // RFC 5321 §4.5.3.1.10: no error of the client.
    client
        .dialogue(&[
            ("MAIL FROM:<a@x>", "250"),
            ("RCPT TO:<alice>", "250"),
            ("RCPT TO:<bob@b.example>", "250"),
            ("RCPT TO:<alice+x>", "452 4.5.3"),
            ("RSET", "250"),
        ])
        .await;
    let long = format!("NOOP {}", "x".repeat(53));
    client.dialogue(&[(&long, "250"), (&format!("{long}x"), "500 5.5.2")]).await;
    // That and the refused SIZE were two errors.
    client.dialogue(&[("X", "500")]).await;
    client.expect(&["421 4.7.0"]).await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn too_big_in_chunks_is_told_once_a_chunk_and_once_a_recipient() {
    let server = Server::new(Limits { message_size: 10, ..Limits::default() }).await;
    let mut client = server.ready().await;
    client
        .dialogue(&[("MAIL FROM:<a@x>", "250"), ("RCPT TO:<alice>", "250"), ("RCPT TO:<bob@b.example>", "250")])
        .await;
    client.send(b"BDAT 6\r\nabc\r\n\nBDAT 5\r\n12345BDAT 1\r\nxBDAT 0 LAST\r\nNOOP\r\n").await;
    client.expect(&["250", "552 5.3.4", "552 5.3.4", "552 5.3.4 <alice>", "552 5.3.4 <bob@b.example>", "250"]).await;
}

#[tokio::test]
async fn oddities_of_messages() {
    let server = Server::new(Limits::default()).await;
    let mut client = server.ready().await;
    // RFC 2045 §2.7: no NUL.
    assert!(client.deliver("alice", b"Subject: x\r\n\r\na\0b\r\n").await.starts_with("554 5.6.0"));
    // RFC 5321 §4.1.1.4: only CRLF . CRLF ends a message; bare LF and CR are content and stay.
    let odd = b"Subject: x\r\n\r\na\n.\nb\r.\rc\n.\r\nd\r\n.\n\r\n";
    assert!(client.deliver("alice", odd).await.starts_with("250"));
    let mail = server.mail("alice", "INBOX");
    assert_eq!(mail.len(), 1);
    // "\r\n.\n": a dot at the beginning of a line with something after it goes (RFC 5321 §4.5.2).
    assert!(mail[0].ends_with("Subject: x\r\n\r\na\n.\nb\r.\rc\n.\r\nd\r\n\n\r\n"), "{:?}", mail[0]);
    // Octets beyond ASCII without BODY=8BITMIME.
    assert!(client.deliver("alice", "Subject: ä\r\n\r\nö\r\n".as_bytes()).await.starts_with("250"));
    // RFC 5321 §4.4: exactly one return path.
    assert!(
        client
            .deliver("alice", b"Return-Path:\r\n <old@x>\r\nSubject: x\r\n\r\nReturn-Path: body\r\n")
            .await
            .starts_with("250")
    );
    let last = server.mail("alice", "INBOX").pop().unwrap();
    assert!(last.contains("\r\nSubject: x\r\n\r\nReturn-Path: body\r\n") && !last.contains("old@x"), "{last}");
    // An empty message is a message.
    assert!(client.deliver("alice", b"").await.starts_with("250"));
    assert_eq!(server.mail("alice", "INBOX").len(), 4);
}

#[tokio::test]
async fn rset_and_lhlo_forget_the_transaction() {
    let server = Server::new(Limits::default()).await;
    let mut client = server.ready().await;
    for forget in ["RSET", "LHLO again"] {
        client
            .dialogue(&[("MAIL FROM:<a@x>", "250"), ("RCPT TO:<alice>", "250"), (forget, "250"), ("DATA", "503")])
            .await;
    }
}

#[tokio::test]
async fn a_client_that_goes_in_the_middle_leaves_nothing() {
    let server = Server::new(Limits::default()).await;
    let mut client = server.ready().await;
    client.dialogue(&[("MAIL FROM:<a@x>", "250"), ("RCPT TO:<alice>", "250"), ("DATA", "354")]).await;
    client.send(b"Subject: x\r\n\r\nhalf").await;
    drop(client);
    while Arc::strong_count(&server.context) > 1 {
        tokio::task::yield_now().await;
    }
    assert!(server.mail("alice", "INBOX").is_empty());
    assert_eq!(server.context.store.check().unwrap(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn rfc5321_4_5_3_2_7_silence_ends_the_connection() {
    let server = Server::new(Limits::default()).await;
    let mut client = server.ready().await;
    tokio::time::advance(Duration::from_secs(299)).await;
    client.dialogue(&[("NOOP", "250")]).await;
    let before = tokio::time::Instant::now();
    client.expect(&["421 4.4.2"]).await;
    assert_eq!(before.elapsed().as_secs(), 300);
    assert!(client.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_server_waits_for_the_message() {
    let server = Server::new(Limits::default()).await;
    let (mut busy, mut idle) = (server.ready().await, server.ready().await);
    busy.dialogue(&[("MAIL FROM:<a@x>", "250"), ("RCPT TO:<alice>", "250"), ("DATA", "354")]).await;
    let Server { context, stopper, shutdown, engine: _ } = server;
    drop(shutdown);
    let stopping = tokio::spawn(async move { stopper.stop(Duration::from_secs(10)).await });
    idle.expect(&["421 4.3.2"]).await;
    assert!(idle.is_closed().await);
    busy.send(b"Subject: x\r\n\r\n.\r\n").await;
    busy.expect(&["250 2.0.0", "421 4.3.2"]).await;
    drop(busy);
    assert!(stopping.await.unwrap());
    drop(context);
}

#[tokio::test]
async fn rfc3207_starttls() {
    let made = rcgen::generate_simple_self_signed(["mail.test".to_owned()]).unwrap();
    let tls = Tls::new(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap();
    let server = Server::with(Limits::default(), &[], Some(Arc::new(tls))).await;
    let mut client = server.connect().await;
    assert!(client.ask("LHLO x").await.contains("250 STARTTLS\n"));
    client.dialogue(&[("MAIL FROM:<a@x>", "250"), ("STARTTLS now", "501")]).await;
    client.dialogue(&[("STARTTLS", "220 2.0.0")]).await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("mail.test").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, client.stream).await.unwrap();
    let mut client = Client { stream, seen: String::new() };
    // RFC 3207 §4.2: nothing is known any more, and STARTTLS is gone.
    client.dialogue(&[("RCPT TO:<alice>", "503"), ("MAIL FROM:<a@x>", "503")]).await;
    assert!(!client.ask("LHLO x").await.contains("STARTTLS"));
    client.dialogue(&[("STARTTLS", "503 5.5.1")]).await;
    assert!(client.deliver("alice", HELLO).await.starts_with("250"));
    assert!(server.mail("alice", "INBOX")[0].contains("with LMTPS id"));
}

#[tokio::test]
async fn rfc3207_6_commands_from_before_the_handshake_do_not_count() {
    let made = rcgen::generate_simple_self_signed(["mail.test".to_owned()]).unwrap();
    let tls = Tls::new(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap();
    let server = Server::with(Limits::default(), &[], Some(Arc::new(tls))).await;
    let mut client = server.ready().await;
    client.send(b"STARTTLS\r\nNOOP\r\n").await;
    client.expect(&["220"]).await;
    // The injected NOOP is thrown away; what follows is no handshake, so the connection ends.
    client.send(b"NOOP\r\nNOOP\r\n").await;
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).await.unwrap();
    assert!(!rest.windows(3).any(|w| w == b"250"), "{rest:?}");
}

#[tokio::test]
async fn many_copies_of_a_large_message() {
    let server = Server::new(Limits::default()).await;
    for n in 0..30 {
        server.folder(&format!("f{n}")).await;
    }
    let mut client = server.ready().await;
    client.dialogue(&[("MAIL FROM:<a@x>", "250")]).await;
    for n in 0..30 {
        client.dialogue(&[(&format!("RCPT TO:<alice+f{n}@x>"), "250")]).await;
    }
    client.dialogue(&[("DATA", "354")]).await;
    let line = "0123456789abcdef".repeat(4) + "\r\n";
    client.send(format!("Subject: large\r\n\r\n{}.\r\n", line.repeat(5000)).as_bytes()).await;
    for n in 0..30 {
        client.expect(&[&format!("250 2.0.0 <alice+f{n}@x> delivered")]).await;
    }
    let mail = server.mail("alice", "f29");
    assert!(mail[0].ends_with(&line) && mail[0].len() > 66 * 5000);
    assert_eq!(server.context.store.check().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_full_disk_is_452_and_service_resumes_by_itself() {
    let server = Server::new(Limits::default()).await;
    let mut client = server.ready().await;
    server.engine.full.store(true, Relaxed);
    assert!(client.deliver("alice", HELLO).await.starts_with("452 4.3.1 <alice>"));
    server.engine.full.store(false, Relaxed);
    assert!(client.deliver("alice", HELLO).await.starts_with("250 2.0.0 <alice>"));
    assert_eq!(server.mail("alice", "INBOX").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn rfc2033_4_2_no_250_before_the_message_is_durable_for_that_recipient() {
    let server = Server::new(Limits::default()).await;
    let mut client = server.ready().await;
    client
        .dialogue(&[("MAIL FROM:<a@x>", "250"), ("RCPT TO:<alice>", "250"), ("RCPT TO:<bob@b.example>", "250")])
        .await;
    client.dialogue(&[("DATA", "354")]).await;
    server.engine.hold_commits();
    client.send(HELLO).await;
    client.send(b".\r\n").await;
    let waiting = tokio::time::timeout(Duration::from_secs(60), client.reply()).await;
    assert!(waiting.is_err(), "{waiting:?} before anything was committed");
    // Whichever commit is first, alice's reply is first; bob's waits for his own.
    server.engine.commit_one().await;
    server.engine.commit_one().await;
    client.expect(&["250 2.0.0 <alice>", "250 2.0.0 <bob@b.example>"]).await;
}
