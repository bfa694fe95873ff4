//! IMAP sessions in memory: what transcripts cannot say. Sessions against each other, streams cut
//! anywhere, the end of the server, what an idle session costs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use auth::{FingerprintKey, PasswordHash, SALT_LEN, Secret};
use proptest::prelude::*;
use server::connections::Connections;
use server::context::{Context, ImapOptions};
use server::imap::serve_imap;
use server::listen::Connection;
use server::shutdown::{Shutdown, Stopper};
use server::stream::{Peer, Stream};
use store::{Clock, Options, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use types::{AccountName, Limits, UnixTime};

/// The same time always, so that the same commands have the same answers.
#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> UnixTime {
        UnixTime(1_795_176_000)
    }
}

/// The hash of alice's password, computed once.
static SECRET: LazyLock<String> =
    LazyLock::new(|| PasswordHash::new(&Secret::from("secret"), [7; SALT_LEN]).unwrap().as_str().to_owned());

/// A server with the account alice.
struct Server {
    context: Arc<Context>,
    connections: Arc<Connections>,
    shutdown: Shutdown,
    stopper: Stopper,
}

impl Server {
    async fn new(limits: Limits) -> Self {
        let (limits, clock) = (Arc::new(limits), Arc::new(Noon));
        let options = Options { limits: Arc::clone(&limits), ..Options::default() };
        let engine = Arc::new(engine::memory::Memory::new());
        let store = Store::open(engine, Arc::clone(&clock) as Arc<dyn Clock>, options).unwrap();
        store.create_account(&AccountName::new("alice").unwrap(), SECRET.clone()).await.unwrap();
        let connections = Connections::new(&limits);
        let context = Context {
            hostname: "mail.test".to_owned(),
            imap: ImapOptions { plaintext_login_on_loopback: true, ..ImapOptions::default() },
            ..Context::new(store, clock, FingerprintKey::new([7; 64]))
        };
        let (stopper, shutdown) = Stopper::new();
        Self { context: Arc::new(context), connections, shutdown, stopper }
    }

    fn connection(&self) -> (Connection, DuplexStream) {
        let (near, far) = tokio::io::duplex(1 << 16);
        let admission = self.connections.admit(Peer::Memory).unwrap();
        let stream = Stream::memory(near, Peer::Memory);
        (Connection { stream, admission, shutdown: self.shutdown.clone() }, far)
    }

    fn connect(&self) -> DuplexStream {
        let (connection, far) = self.connection();
        tokio::spawn(serve_imap(connection, Arc::clone(&self.context)));
        far
    }

    /// A session of alice in IMAP4rev2, so that every FETCH has the UID.
    async fn client(&self) -> Client {
        let mut client = Client { stream: self.connect(), unread: String::new(), messages: Vec::new() };
        client.line().await;
        client.ok("LOGIN alice secret").await;
        client.ok("ENABLE IMAP4rev2").await;
        client
    }

    async fn append(&self, mailbox: &str, count: usize) {
        let mut client = self.client().await;
        for _ in 0..count {
            client.ok(&format!("APPEND {mailbox} {{3+}}\r\nx\r\n")).await;
        }
    }
}

/// A client that believes what it is told: for each sequence number the UID, where it knows it.
struct Client {
    stream: DuplexStream,
    unread: String,
    messages: Vec<Option<u32>>,
}

impl Client {
    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next line; empty at the end.
    async fn line(&mut self) -> String {
        loop {
            if let Some((line, rest)) = self.unread.split_once("\r\n") {
                let line = line.to_owned();
                self.unread = rest.to_owned();
                return line;
            }
            let mut octets = [0; 4096];
            match self.stream.read(&mut octets).await.unwrap_or(0) {
                0 => return String::new(),
                n => self.unread.push_str(std::str::from_utf8(&octets[..n]).unwrap()),
            }
        }
    }

    /// Sends a command and gives its tagged answer; the rest is believed.
    async fn ask(&mut self, command: &str) -> String {
        self.send(&format!("a {command}\r\n")).await;
        loop {
            let line = self.line().await;
            match line.strip_prefix("a ") {
                Some(answer) => return answer.to_owned(),
                None => self.believe(&line),
            }
        }
    }

    async fn ok(&mut self, command: &str) -> String {
        let answer = self.ask(command).await;
        assert!(answer.starts_with("OK"), "{command}: {answer}");
        answer
    }

    async fn select(&mut self, mailbox: &str) {
        self.messages.clear();
        self.ok(&format!("SELECT {mailbox}")).await;
    }

    fn believe(&mut self, line: &str) {
        let mut words = line.split([' ', '(', ')']).filter(|word| !word.is_empty());
        let (Some("*"), Some(Ok(number))) = (words.next(), words.next().map(str::parse::<usize>)) else { return };
        match words.next() {
            Some("EXISTS") => {
                assert!(number >= self.messages.len(), "{line} after {}", self.messages.len());
                self.messages.resize(number, None);
            }
            Some("EXPUNGE") => drop(self.messages.remove(number - 1)),
            Some("FETCH") => {
                let uid: u32 = words.skip_while(|word| *word != "UID").nth(1).unwrap().parse().unwrap();
                let known = self.messages[number - 1].replace(uid);
                assert!(known.is_none_or(|known| known == uid), "{line}, but it was {known:?}");
            }
            _ => {}
        }
    }

    /// The UIDs as the server tells them now, checked against what the client believed.
    async fn uids(&mut self) -> Vec<u32> {
        self.ok("NOOP").await;
        self.ok("UID FETCH 1:* (FLAGS)").await;
        self.messages.iter().map(|uid| uid.unwrap()).collect()
    }
}

/// RFC 6851 §3.3 and the rule that a message is in one place: a peer made 162 messages of 60.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_sessions_moving_the_same_messages() {
    let server = Server::new(Limits::default()).await;
    server.append("INBOX", 60).await;
    let mut movers = Vec::new();
    for n in 0..4 {
        let mut client = server.client().await;
        client.select("INBOX").await;
        movers.push(tokio::spawn(async move {
            // Two by number, two by UID; those by number may be told that others were faster.
            while !client.messages.is_empty() {
                let command = if n % 2 == 0 { "UID MOVE 1:*" } else { "MOVE 1:*" };
                let answer = client.ask(&format!("{command} Archive")).await;
                assert!(answer.starts_with("OK") || answer.starts_with("NO [EXPUNGEISSUED]"), "{answer}");
            }
        }));
    }
    for mover in movers {
        mover.await.unwrap();
    }
    let mut client = server.client().await;
    client.select("Archive").await;
    assert_eq!(client.uids().await.len(), 60);
    client.select("INBOX").await;
    assert_eq!(client.messages.len(), 0);
    assert_eq!(server.context.store.check().unwrap(), Vec::<String>::new());
}

#[derive(Clone, Debug)]
enum Step {
    Append,
    Ask(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Append),
        8 => prop::sample::select(vec![
            "NOOP",
            "STORE 1 +FLAGS (\\Deleted)",
            "STORE 1:* +FLAGS.SILENT (\\Seen)",
            "UID STORE 2:4 FLAGS (\\Deleted key)",
            "STORE * -FLAGS (\\Deleted)",
            "EXPUNGE",
            "UID EXPUNGE 1:5",
            "FETCH 1:* (FLAGS UID)",
            "FETCH * (UID BODY[])",
            "UID FETCH 1:* (FLAGS)",
            "SEARCH RETURN (SAVE) 1",
            "UID STORE $ +FLAGS (\\Flagged)",
            "COPY 1 INBOX",
            "UID MOVE 3 INBOX",
            "MOVE 2 INBOX",
            "STATUS INBOX (MESSAGES)",
        ]).prop_map(Step::Ask),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// RFC 9051 §7.5.1: whatever three sessions do, each one's numbers mean what it believes.
    #[test]
    fn numbers_always_mean_what_the_client_believes(steps in prop::collection::vec((0usize..3, step()), 1..60)) {
        runtime().block_on(async {
            let server = Server::new(Limits::default()).await;
            server.append("INBOX", 4).await;
            let mut clients = Vec::new();
            for _ in 0..3 {
                let mut client = server.client().await;
                client.select("INBOX").await;
                clients.push(client);
            }
            for (who, step) in steps {
                match step {
                    Step::Append => drop(clients[who].ok("APPEND INBOX {3+}\r\nx\r\n").await),
                    // Refusals are right where the messages are gone; the numbers must hold all the same.
                    Step::Ask(command) => drop(clients[who].ask(command).await),
                }
            }
            let mut all = Vec::new();
            for client in &mut clients {
                all.push(client.uids().await);
            }
            assert!(all.windows(2).all(|two| two[0] == two[1]), "{all:?}");
            assert_eq!(server.context.store.check().unwrap(), Vec::<String>::new());
        });
    }

    /// RFC 9051 §5.5: where packets begin and end means nothing.
    #[test]
    fn the_answers_do_not_depend_on_packets(cuts in prop::collection::vec(1usize..40, 1..80)) {
        const DIALOGUE: &str = "a CAPABILITY\r\nb LOGIN {5}\r\nalice {6}\r\nsecret\r\nc ENABLE IMAP4rev2\r\n\
            d APPEND INBOX (\\Seen) {12}\r\nSubject: x\r\n {3+}\r\ny\r\n\r\ne SELECT \"INBOX\"\r\nf XYZZY\r\n\
            g FETCH 1:* (FLAGS BODY[])\r\nh IDLE\r\ndone\r\ni STORE 1:2 +FLAGS (\\Deleted a)\r\nj CLOSE\r\n\
            k LIST () \"\" (\"*\" {1}\r\n%) RETURN (STATUS (MESSAGES))\r\nl AUTHENTICATE PLAIN\r\n\r\nm LOGOUT\r\n";
        runtime().block_on(async {
            let whole = play(DIALOGUE, &[DIALOGUE.len()]).await;
            assert!(whole.ends_with("m OK Logged out\r\n"), "{whole}");
            assert_eq!(play(DIALOGUE, &cuts).await, whole);
        });
    }

    /// Nothing that a stranger sends may crash or hang a session: it ends, or it answers.
    #[test]
    fn garbage_ends_or_is_answered(octets in prop::collection::vec(any::<u8>(), 0..2000)) {
        runtime().block_on(async {
            let server = Server::new(Limits::default()).await;
            let mut client = Client { stream: server.connect(), unread: String::new(), messages: vec![] };
            client.line().await;
            let _ = client.stream.write_all(&octets).await;
            let _ = client.stream.write_all(b"\r\n").await;
            let _ = client.stream.shutdown().await;
            while !client.line().await.is_empty() {}
        });
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// Everything the server says to a dialogue that is sent in pieces of these sizes, again and again.
async fn play(dialogue: &str, cuts: &[usize]) -> String {
    let server = Server::new(Limits::default()).await;
    let (mut reader, mut writer) = tokio::io::split(server.connect());
    let (mut rest, mut cuts) = (dialogue.as_bytes(), cuts.iter().cycle());
    let mut said = String::new();
    let sending = async {
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
            writer.write_all(piece).await.unwrap();
            rest = after;
            // The server sees the piece alone.
            tokio::task::yield_now().await;
        }
    };
    let (_, read) = tokio::join!(sending, reader.read_to_string(&mut said));
    read.unwrap();
    said
}

/// RFC 9051 §7.1.5: everybody is told, whatever they wait for, and the server knows when all are gone.
#[tokio::test(start_paused = true)]
async fn the_end_of_the_server_is_said() {
    let server = Server::new(Limits::default()).await;
    let mut stranger = Client { stream: server.connect(), unread: String::new(), messages: vec![] };
    stranger.line().await;
    let mut resting = server.client().await;
    let mut idling = server.client().await;
    idling.select("INBOX").await;
    idling.send("i IDLE\r\n").await;
    assert_eq!(idling.line().await, "+ idling");
    let Server { stopper, shutdown, context, connections } = server;
    drop((shutdown, context));
    assert!(stopper.stop(Duration::from_secs(5)).await);
    for client in [&mut stranger, &mut resting, &mut idling] {
        assert_eq!(client.line().await, "* BYE The server is shutting down");
        assert_eq!(client.line().await, "");
    }
    assert_eq!(connections.count(), 0);
}

/// RFC 5530 §3: at the limit of an account's connections it is LIMIT, not a wrong password; who
/// leaves makes room.
#[tokio::test(start_paused = true)]
async fn connections_of_an_account_are_limited() {
    let server = Server::new(Limits { connections_per_account: 2, ..Limits::default() }).await;
    let (mut one, _two) = (server.client().await, server.client().await);
    let mut three = Client { stream: server.connect(), unread: String::new(), messages: vec![] };
    three.line().await;
    assert!(three.ask("LOGIN alice secret").await.starts_with("NO [LIMIT] "));
    one.ok("LOGOUT").await;
    assert_eq!(one.line().await, "");
    three.ok("LOGIN alice secret").await;
}

/// A task for each connection, most of which wait: what waits is small.
#[tokio::test]
async fn a_session_that_waits_is_small() {
    let server = Server::new(Limits::default()).await;
    let (connection, _far) = server.connection();
    let size = size_of_val(&serve_imap(connection, Arc::clone(&server.context)));
    assert!(size <= 1300, "{size} octets");
}

#[tokio::test]
async fn logins_of_clients_that_have_gone_are_not_hashed() {
    let server = Server::new(Limits { password_hashes: 1, ..Limits::default() }).await;
    let mut crowd = vec![];
    for _ in 0..20 {
        let mut client = server.connect();
        client.write_all(b"a LOGIN alice wrong\r\n").await.unwrap();
        crowd.push(client);
    }
    while server.context.login.hashed() == 0 {
        tokio::task::yield_now().await;
    }
    drop(crowd);
    server.client().await;
    // The first, hers, and those that began before the others had gone.
    assert!(server.context.login.hashed() <= 5, "{} were hashed", server.context.login.hashed());
}
