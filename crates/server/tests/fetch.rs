//! FETCH, SEARCH and STATUS in sessions in memory: sections of random messages against a naive extractor, long contents,
//! damaged bodies, and sessions that do not keep each other waiting.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use auth::{FingerprintKey, PasswordHash, SALT_LEN, Secret};
use engine::{Batch, Blob, BlobId, BlobWriter, CommitNumber, Each, Engine, Entry, Pending, ReadView, Upload};
use proptest::prelude::*;
use server::connections::Connections;
use server::context::{Context, ImapOptions};
use server::imap::serve_imap;
use server::listen::Connection;
use server::shutdown::{Shutdown, Stopper};
use server::stream::{Peer, Stream};
use store::{Account, NewMessage, Options, Store, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use types::{AccountId, AccountName, Flags, MailboxName, Principal};

/// A server with the account alice.
struct Server {
    context: Arc<Context>,
    shutdown: Shutdown,
    _stopper: Stopper,
    watch: Arc<Watch>,
    account: Account,
    who: Principal,
}

impl Server {
    async fn new() -> Self {
        let watch = Arc::<Watch>::default();
        let engine = Arc::new(Watched(engine::memory::Memory::new(), Arc::clone(&watch)));
        let store = Store::open(engine, Arc::new(SystemClock), Options::default()).unwrap();
        let hash = PasswordHash::new(&Secret::from("secret"), [7; SALT_LEN]).unwrap();
        let id = store.create_account(&AccountName::new("alice").unwrap(), hash.as_str().to_owned()).await.unwrap();
        let (account, who) = (store.account(id).unwrap(), Principal { account: id });
        let context = Context {
            hostname: "mail.test".to_owned(),
            imap: ImapOptions { plaintext_login_on_loopback: true, ..ImapOptions::default() },
            ..Context::new(store, Arc::new(SystemClock), FingerprintKey::new([7; 64]))
        };
        let (stopper, shutdown) = Stopper::new();
        Self { context: Arc::new(context), shutdown, _stopper: stopper, watch, account, who }
    }

    async fn append<'m>(&self, messages: impl IntoIterator<Item = &'m [u8]>) {
        let messages = messages.into_iter().map(|octets| {
            let mut incoming = self.account.receive().unwrap();
            incoming.push(octets).unwrap();
            NewMessage { content: incoming.finish().unwrap(), flags: Flags::NONE, internal_date: None }
        });
        self.account.append(&self.who, &MailboxName::new("INBOX").unwrap(), messages.collect()).await.unwrap();
    }

    /// A session with INBOX selected.
    async fn select(&self) -> Client {
        let (near, far) = tokio::io::duplex(1 << 16);
        let admission = Connections::new(&self.context.limits).admit(Peer::Memory).unwrap();
        let stream = Stream::memory(near, Peer::Memory);
        let connection = Connection { stream, admission, shutdown: self.shutdown.clone() };
        tokio::spawn(serve_imap(connection, self.context.clone()));
        let mut client = Client { stream: far, unread: Vec::new() };
        client.line().await;
        client.ask("LOGIN alice secret").await;
        client.ask("SELECT INBOX").await;
        client
    }
}

struct Client {
    stream: DuplexStream,
    unread: Vec<u8>,
}

impl Client {
    /// Sends a command; gives what comes before the tagged line, and that.
    async fn ask(&mut self, command: &str) -> (Vec<u8>, String) {
        self.stream.write_all(format!("a {command}\r\n").as_bytes()).await.unwrap();
        let mut untagged = Vec::new();
        loop {
            let line = self.line().await;
            if line.starts_with(b"a ") {
                return (untagged, String::from_utf8(line).unwrap());
            }
            untagged.extend_from_slice(&line);
        }
    }

    /// A line with the literals in it.
    async fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        loop {
            let end = loop {
                match self.unread.windows(2).position(|two| two == b"\r\n") {
                    Some(at) => break at + 2,
                    None => self.more().await,
                }
            };
            line.extend(self.unread.drain(..end));
            let Some(octets) = literal(&line) else { return line };
            while self.unread.len() < octets {
                self.more().await;
            }
            line.extend(self.unread.drain(..octets));
        }
    }

    async fn more(&mut self) {
        let read = self.stream.read_buf(&mut self.unread).await.unwrap();
        assert!(read > 0, "the server hung up after {:?}", String::from_utf8_lossy(&self.unread));
    }
}

/// The size in `{…}` at the end of a line.
fn literal(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"}\r\n")?;
    let open = line.iter().rposition(|&b| b == b'{')?;
    std::str::from_utf8(&line[open + 1..]).ok()?.parse().ok()
}

// ---- random messages ----

#[derive(Clone, Debug)]
enum Part {
    Text { encoding: &'static str, content: Vec<u8> },
    Data { content: Vec<u8> },
    Multi(Vec<Self>),
    Message(Box<Self>),
}

fn part() -> impl Strategy<Value = Part> {
    let size = || prop_oneof![6 => 0usize..200, 1 => 30_000usize..40_000, 1 => 70_000usize..200_000];
    let text = || {
        let line = proptest::sample::select(vec!["", "a b", "From x", "grüße", "=3D =", " "]);
        (size(), proptest::collection::vec(line, 1..9)).prop_map(|(size, lines)| {
            let mut text = String::new();
            for line in lines.iter().cycle() {
                if text.len() >= size {
                    break;
                }
                text = text + line + "\r\n";
            }
            text.into_bytes()
        })
    };
    let data = (size(), any::<u8>(), any::<u8>())
        .prop_map(|(size, a, b)| (0..size).map(|n| (n as u8).wrapping_mul(a).wrapping_add(b)).collect());
    let encoding = proptest::sample::select(vec!["8bit", "quoted-printable", "base64"]);
    let leaf = prop_oneof![
        (encoding, text()).prop_map(|(encoding, content)| Part::Text { encoding, content }),
        data.prop_map(|content| Part::Data { content }),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Part::Multi),
            inner.prop_map(|part| Part::Message(Box::new(part))),
        ]
    })
}

/// What each section is, written down while the message is put together.
#[derive(Default)]
struct Sections {
    stored: BTreeMap<String, Vec<u8>>,
    decoded: BTreeMap<String, Vec<u8>>,
    boundaries: usize,
}

impl Sections {
    fn of(part: &Part) -> (Vec<u8>, Self) {
        let mut sections = Self::default();
        let (header, body) = sections.message(part, "");
        let whole = [header, body].concat();
        sections.stored.insert(String::new(), whole.clone());
        sections.decoded.insert(String::new(), whole.clone());
        (whole, sections)
    }

    /// A message of its own; `prefix` is the number of the part that holds it.
    fn message(&mut self, part: &Part, prefix: &str) -> (Vec<u8>, Vec<u8>) {
        let dot = if prefix.is_empty() { "" } else { "." };
        let (mut header, body) = match part {
            Part::Multi(parts) => self.multi(parts, prefix),
            part => self.single(part, &format!("{prefix}{dot}1")),
        };
        header.splice(0..0, b"Subject: x\r\nMIME-Version: 1.0\r\n".iter().copied());
        self.stored.insert(format!("{prefix}{dot}HEADER"), header.clone());
        self.stored.insert(format!("{prefix}{dot}TEXT"), body.clone());
        if !matches!(part, Part::Multi(_)) {
            self.stored.insert(format!("{prefix}{dot}1.MIME"), header.clone());
        }
        (header, body)
    }

    /// A part with that number.
    fn numbered(&mut self, part: &Part, number: &str) -> (Vec<u8>, Vec<u8>) {
        let (header, body) = match part {
            Part::Multi(parts) => self.multi(parts, number),
            part => self.single(part, number),
        };
        self.stored.insert(number.to_owned(), body.clone());
        self.stored.insert(format!("{number}.MIME"), header.clone());
        (header, body)
    }

    fn single(&mut self, part: &Part, number: &str) -> (Vec<u8>, Vec<u8>) {
        let (header, body) = match part {
            Part::Text { encoding, content } => {
                self.decoded.insert(number.to_owned(), content.clone());
                let body = match *encoding {
                    "base64" => base64(content),
                    "quoted-printable" => quoted_printable(content),
                    _ => content.clone(),
                };
                (
                    format!("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"),
                    body,
                )
            }
            Part::Data { content } => {
                self.decoded.insert(number.to_owned(), content.clone());
                let header = "Content-Type: application/x-data\r\nContent-Transfer-Encoding: base64\r\n\r\n";
                (header.to_owned(), base64(content))
            }
            Part::Message(inner) => {
                let (header, body) = self.message(inner, number);
                ("Content-Type: message/rfc822\r\n\r\n".to_owned(), [header, body].concat())
            }
            Part::Multi(_) => unreachable!("no single part"),
        };
        self.stored.insert(number.to_owned(), body.clone());
        (header.into_bytes(), body)
    }

    fn multi(&mut self, parts: &[Part], prefix: &str) -> (Vec<u8>, Vec<u8>) {
        self.boundaries += 1;
        let boundary = format!("boundary-{}-", self.boundaries);
        let dot = if prefix.is_empty() { "" } else { "." };
        let mut body = b"preamble".to_vec();
        for (n, part) in (1..).zip(parts) {
            let (header, content) = self.numbered(part, &format!("{prefix}{dot}{n}"));
            body.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
            body.extend([header, content].concat());
        }
        body.extend_from_slice(format!("\r\n--{boundary}--\r\nepilogue\r\n").as_bytes());
        (format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n").into_bytes(), body)
    }
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    for (at, triple) in bytes.chunks(3).enumerate() {
        if at > 0 && at % 19 == 0 {
            out.extend_from_slice(b"\r\n");
        }
        let n = (0..3).fold(0_u32, |n, i| n << 8 | u32::from(triple.get(i).copied().unwrap_or(0)));
        (0..4).for_each(|i| out.push(if i <= triple.len() { DIGITS[(n >> (18 - 6 * i)) as usize & 63] } else { b'=' }));
    }
    out
}

fn quoted_printable(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        let text = line.strip_suffix(b"\r\n").unwrap_or(line);
        text.iter().for_each(|b| out.extend_from_slice(format!("={b:02X}=\r\n").as_bytes()));
        out.extend_from_slice(&line[text.len()..]);
    }
    out
}

/// An item of a FETCH response, as the grammar wants it.
fn shown(name: &str, section: &str, partial: Option<(usize, usize)>, content: Option<&[u8]>) -> Vec<u8> {
    let origin = partial.map_or(String::new(), |(origin, _)| format!("<{origin}>"));
    let mut out = format!(" {name}[{section}]{origin} ").into_bytes();
    let Some(content) = content else {
        out.extend_from_slice(b"NIL");
        return out;
    };
    let (origin, length) = partial.unwrap_or((0, usize::MAX));
    let start = origin.min(content.len());
    let content = &content[start..start.saturating_add(length).min(content.len())];
    match (content, content.contains(&0)) {
        ([], _) => out.extend_from_slice(b"\"\""),
        (_, true) => out.extend_from_slice(format!("~{{{}}}\r\n", content.len()).as_bytes()),
        (_, false) => out.extend_from_slice(format!("{{{}}}\r\n", content.len()).as_bytes()),
    }
    out.extend_from_slice(content);
    out
}

#[derive(Clone, Debug)]
struct Wish {
    which: prop::sample::Index,
    decoded: bool,
    size: bool,
    partial: Option<(usize, usize)>,
}

fn wish() -> impl Strategy<Value = Wish> {
    let number = || prop_oneof![Just(0usize), 1usize..300, 30_000usize..70_000];
    let partial = proptest::option::of((number(), number().prop_map(|n| n.max(1))));
    (any::<prop::sample::Index>(), any::<bool>(), proptest::bool::weighted(0.2), partial)
        .prop_map(|(which, decoded, size, partial)| Wish { which, decoded, size, partial })
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    // RFC 9051 §6.4.5.1, RFC 3516 §4
    #[test]
    fn sections_are_what_was_put_together(part in part(), wishes in proptest::collection::vec(wish(), 1..8)) {
        let (whole, mut sections) = Sections::of(&part);
        let all: Vec<String> = sections.stored.keys().chain(sections.decoded.keys()).cloned().collect();
        let (mut items, mut expected) = (Vec::new(), b"* 1 FETCH (UID 1".to_vec());
        for wish in &wishes {
            let section = wish.which.get(&all).clone();
            let decoded = sections.decoded.get(&section).filter(|_| wish.decoded).cloned();
            let partial = wish.partial.map_or(String::new(), |(origin, length)| format!("<{origin}.{length}>"));
            let (item, text) = match decoded {
                Some(content) if wish.size => {
                    (format!("BINARY.SIZE[{section}]"), format!(" BINARY.SIZE[{section}] {}", content.len()).into_bytes())
                }
                Some(content) => {
                    (format!("BINARY.PEEK[{section}]{partial}"), shown("BINARY", &section, wish.partial, Some(&content)))
                }
                None => {
                    let content = sections.stored.entry(section.clone()).or_default();
                    (format!("BODY.PEEK[{section}]{partial}"), shown("BODY", &section, wish.partial, Some(content)))
                }
            };
            if !items.contains(&item) {
                items.push(item);
                expected.extend(text);
            }
        }
        expected.extend_from_slice(b")\r\n");
        let (response, tagged) = run(async {
            let server = Server::new().await;
            server.append([&whole[..]]).await;
            server.select().await.ask(&format!("UID FETCH 1 ({})", items.join(" "))).await
        });
        prop_assert!(tagged.starts_with("a OK"), "{}", tagged);
        prop_assert!(response == expected, "{}\nis not\n{}", String::from_utf8_lossy(&response), String::from_utf8_lossy(&expected));
    }
}

const LONG: usize = 3_000_000;

fn long_message() -> Vec<u8> {
    let mut message = b"Subject: long\r\n\r\n".to_vec();
    (0..LONG / 10).for_each(|n| message.extend_from_slice(format!("{n:08}\r\n").as_bytes()));
    message
}

#[tokio::test]
async fn a_part_of_a_long_message_reads_its_pieces_only() {
    let server = Server::new().await;
    let message = long_message();
    server.append([&message[..]]).await;
    let mut client = server.select().await;
    server.watch.octets.store(0, Ordering::Relaxed);
    let (response, _) = client.ask("FETCH 1 BODY.PEEK[]<2000000.100000>").await;
    let expected = shown("BODY", "", Some((2_000_000, 100_000)), Some(&message));
    assert_eq!(response, [b"* 1 FETCH (", &expected[1..], b")\r\n"].concat());
    assert_eq!(server.watch.octets.swap(0, Ordering::Relaxed), 100_000);
    // What is too long to be kept: once to see that nothing is damaged, once to send it.
    let (response, _) = client.ask("FETCH 1 BODY.PEEK[]<2000000.300000>").await;
    let expected = shown("BODY", "", Some((2_000_000, 300_000)), Some(&message));
    assert_eq!(response, [b"* 1 FETCH (", &expected[1..], b")\r\n"].concat());
    assert_eq!(server.watch.octets.load(Ordering::Relaxed), 600_000);
    let (response, _) = client.ask("FETCH 1 (BODY.PEEK[TEXT] FLAGS BODY.PEEK[HEADER])").await;
    let [text, header] =
        [shown("BODY", "TEXT", None, Some(&message[17..])), shown("BODY", "HEADER", None, Some(&message[..17]))];
    assert_eq!(response, [b"* 1 FETCH (", &text[1..], b" FLAGS (\\Recent)", &header, b")\r\n"].concat());
}

// A body that is damaged is answered NO, never an empty string; everything else is delivered.
#[tokio::test]
async fn damaged_bodies_are_named() {
    let server = Server::new().await;
    let message = b"Subject: x\r\n\r\ntext\r\n";
    server.append([&message[..], message, &long_message(), message]).await;
    let mut client = server.select().await;
    // Far behind the beginning of the third, and the second altogether.
    *server.watch.damaged.lock().unwrap() = vec![(20, 19..20), (LONG as u64 + 17, 2_500_000..2_500_001)];
    let (response, tagged) = client.ask("FETCH 2:4 (UID BODY.PEEK[])").await;
    assert_eq!(String::from_utf8(response).unwrap(), "* 2 FETCH (UID 2)\r\n* 3 FETCH (UID 3)\r\n* 4 FETCH (UID 4)\r\n");
    assert!(tagged.starts_with("a NO [CORRUPTION]") && tagged.contains("2:4"), "{tagged}");
    server.watch.damaged.lock().unwrap().remove(0);
    let (response, tagged) = client.ask("FETCH 2:4 BODY.PEEK[TEXT]").await;
    let text = "FETCH (BODY[TEXT] {6}\r\ntext\r\n)";
    assert_eq!(String::from_utf8(response).unwrap(), format!("* 2 {text}\r\n* 4 {text}\r\n"));
    assert!(tagged.starts_with("a NO [CORRUPTION]") && tagged.contains("UID 3;"), "{tagged}");
    // What is not damaged of it can be had.
    let (_, tagged) = client.ask("FETCH 3 BODY.PEEK[]<0.1000>").await;
    assert!(tagged.starts_with("a OK"), "{tagged}");
}

// RFC 9051 §7.1.2: an untagged NO is a warning; the search goes on.
#[tokio::test]
async fn damaged_bodies_are_not_found_and_named() {
    let server = Server::new().await;
    server.append([&b"Subject: x\r\n\r\ntext\r\n"[..], &long_message()]).await;
    let mut client = server.select().await;
    *server.watch.damaged.lock().unwrap() = vec![(20, 0..20)];
    let (response, tagged) = client.ask("SEARCH RETURN (ALL) NOT BODY nowhere").await;
    let response = String::from_utf8(response).unwrap();
    assert!(response.starts_with("* NO [CORRUPTION]") && response.contains("UID 1\r\n"), "{response}");
    assert!(response.ends_with("* ESEARCH (TAG \"a\") ALL 2\r\n") && tagged.starts_with("a OK"), "{response}{tagged}");
}

// RFC 9051 §9: CHAR8 is any octet except NUL.
#[tokio::test]
async fn no_nul_in_a_string() {
    let server = Server::new().await;
    server.append([&b"Subject: a\0b\r\nContent-Transfer-Encoding: binary\r\n\r\nx\0y"[..]]).await;
    let mut client = server.select().await;
    let (response, _) = client.ask("FETCH 1 (BODY.PEEK[TEXT] BODY.PEEK[HEADER.FIELDS (SUBJECT)] BINARY.PEEK[1])").await;
    let expected = b"* 1 FETCH (BODY[TEXT] {3}\r\nx\x80y BODY[HEADER.FIELDS (SUBJECT)] {16}\r\nSubject: a\x80b\r\n\r\n BINARY[1] ~{3}\r\nx\0y)\r\n";
    assert_eq!(response, expected);
}

// RFC 9051 §7.5.2: "servers MUST ensure that textual line-oriented sections are always transmitted
// using the IMAP CRLF line termination syntax".
#[tokio::test]
async fn binary_text_has_crlf() {
    let server = Server::new().await;
    server.append([&b"Content-Type: text/plain\r\n\r\none\ntwo\r\nthree\r\rfour\n"[..]]).await;
    let mut client = server.select().await;
    let (response, _) = client.ask("FETCH 1 (BINARY.PEEK[1] BINARY.SIZE[1])").await;
    let expected = "* 1 FETCH (BINARY[1] {23}\r\none\r\ntwo\r\nthree\r\rfour\r\n BINARY.SIZE[1] 23)\r\n";
    assert_eq!(String::from_utf8(response).unwrap(), expected);
}

// RFC 8970 §4.1: a card from before there were previews is NIL where the client would not wait, and the
// message is read where it would; not all of it.
#[tokio::test]
async fn previews_of_old_cards_are_made_from_the_message() {
    let server = Server::new().await;
    let message = [b"Subject: x\r\n\r\nThe first words".to_vec(), b", and more of them".repeat(20_000)].concat();
    server.append([&message[..]]).await;
    let mut client = server.select().await;
    let preview = || async { String::from_utf8(server.select().await.ask("FETCH 1 PREVIEW").await.0).unwrap() };
    let now = preview().await;
    assert!(now.starts_with("* 1 FETCH (PREVIEW \"The first words, and more"), "{now}");

    server.watch.old_card.store(true, Ordering::Relaxed);
    let (lazy, tagged) = client.ask("FETCH 1 (PREVIEW (LAZY) ENVELOPE)").await;
    assert!(lazy.starts_with(b"* 1 FETCH (PREVIEW NIL ENVELOPE (NIL \"x\"") && tagged.starts_with("a OK"));
    server.watch.octets.store(0, Ordering::Relaxed);
    assert_eq!(preview().await, now);
    assert_eq!(server.watch.octets.load(Ordering::Relaxed), 0x1_0000);
}

// STATUS and LIST-STATUS are answered from the account's tree, however many mailboxes there are.
#[tokio::test]
async fn status_of_many_mailboxes_reads_no_mailbox() {
    let server = Server::new().await;
    server.append([&b"Subject: x\r\n\r\ntext\r\n"[..]]).await;
    let mut client = server.select().await;
    for n in 0..500 {
        client.ask(&format!("CREATE m{n}")).await;
    }
    client.ask("COPY 1 m7").await;
    let items = "MESSAGES UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE HIGHESTMODSEQ MAILBOXID APPENDLIMIT";
    server.watch.reads.store(0, Ordering::Relaxed);
    let (listed, tagged) = client.ask(&format!("LIST \"\" m* RETURN (STATUS ({items}))")).await;
    let listed = String::from_utf8(listed).unwrap();
    assert!(tagged.starts_with("a OK"), "{tagged}");
    assert_eq!(listed.matches("* STATUS").count(), 500);
    let (status, _) = client.ask(&format!("STATUS m7 ({items})")).await;
    let status = String::from_utf8(status).unwrap();
    assert!(status.starts_with("* STATUS \"m7\" (MESSAGES 1 UIDNEXT 2 ") && listed.contains(&status), "{status}");
    assert_eq!(server.watch.reads.load(Ordering::Relaxed), 0);
}

// ---- an engine that counts, and has damaged places ----

#[derive(Default)]
struct Watch {
    /// Octets that were read of bodies.
    octets: AtomicU64,
    /// How often keys were looked up.
    reads: AtomicU64,
    /// The one card there is comes as one of version 1, without a preview.
    old_card: AtomicBool,
    /// Places in blobs of that size that cannot be read.
    damaged: std::sync::Mutex<Vec<(u64, Range<u64>)>>,
}

struct Watched(engine::memory::Memory, Arc<Watch>);
struct WatchedView(Box<dyn ReadView>, Arc<Watch>);
struct WatchedBlob(Arc<dyn Blob>, Arc<Watch>);

impl Engine for Watched {
    fn read(&self, account: AccountId) -> Result<Box<dyn ReadView>, engine::Error> {
        Ok(Box::new(WatchedView(self.0.read(account)?, Arc::clone(&self.1))))
    }
    fn upload(&self) -> Result<Box<dyn BlobWriter>, engine::Error> {
        self.0.upload()
    }
    fn duplicate(&self, upload: &Upload) -> Result<Upload, engine::Error> {
        self.0.duplicate(upload)
    }
    fn commit(&self, batch: Batch) -> Pending {
        self.0.commit(batch)
    }
    fn read_only(&self) -> Option<Arc<str>> {
        None
    }
    fn check(&self) -> Result<Vec<String>, engine::Error> {
        self.0.check()
    }
}

impl ReadView for WatchedView {
    fn commit_number(&self) -> CommitNumber {
        self.0.commit_number()
    }
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, engine::Error> {
        self.1.reads.fetch_add(1, Ordering::Relaxed);
        self.0.get(key)
    }
    fn scan(&self, range: Range<&[u8]>, each: &mut Each<'_>) -> Result<(), engine::Error> {
        self.1.reads.fetch_add(1, Ordering::Relaxed);
        self.0.scan(range, each)
    }
    fn last(&self, range: Range<&[u8]>) -> Result<Option<Entry>, engine::Error> {
        self.1.reads.fetch_add(1, Ordering::Relaxed);
        Ok(match self.0.last(range)? {
            Some((key, value)) if key[0] == b'c' && self.1.old_card.load(Ordering::Relaxed) => {
                Some((key, old_value(&value)))
            }
            found => found,
        })
    }
    fn blob(&self, id: BlobId) -> Result<Option<Arc<dyn Blob>>, engine::Error> {
        Ok(self.0.blob(id)?.map(|blob| Arc::new(WatchedBlob(blob, Arc::clone(&self.1))) as Arc<dyn Blob>))
    }
    fn blobs(&self) -> Result<Vec<BlobId>, engine::Error> {
        self.0.blobs()
    }
}

/// The value that holds one card (docs/format.md), as it was when cards had no preview.
fn old_value(value: &[u8]) -> Vec<u8> {
    let number = |at: usize| {
        let len = value[at..].iter().position(|&b| b < 0x80).unwrap() + 1;
        let bits = value[at..at + len].iter().rev().fold(0, |n, b| n << 7 | usize::from(b & 0x7f));
        (bits, at + len)
    };
    assert_eq!(&value[..2], [2, 3], "all parts");
    let (len, at) = number(number(2).1);
    let card = &value[at..at + len];
    assert_eq!(card[0], 3);
    let end = |n: usize| 44 + card[12 + 4 * n..][..4].iter().rev().fold(0, |n, b| n << 8 | usize::from(*b));
    let bytes = |bytes: &[u8]| [&[bytes.len() as u8 | 0x80, (bytes.len() >> 7) as u8], bytes].concat();
    let section = |n: usize| bytes(&card[if n == 0 { 44 } else { end(n - 1) }..end(n)]);
    let before: Vec<_> = (0..3).flat_map(section).collect();
    let behind: Vec<_> = (3..7).flat_map(section).collect();
    // Neither a date nor the header.
    let old = [&[1, card[1] & !1], &before[..], &bytes(b""), &behind].concat();
    [&[1, 0], &bytes(&old)[..]].concat()
}

impl Blob for WatchedBlob {
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn read(&self, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), engine::Error> {
        let hurt =
            |(size, bad): &(u64, Range<u64>)| *size == self.size() && bad.start < range.end && range.start < bad.end;
        if self.1.damaged.lock().unwrap().iter().any(hurt) {
            return Err(engine::Error::Damaged("a test".into()));
        }
        self.1.octets.fetch_add(range.end - range.start, Ordering::Relaxed);
        self.0.read(range, out)
    }
}

/// What stands before a long body was held a second time while the body was sent, and counted once.
#[tokio::test]
async fn what_a_slow_reader_is_kept_is_counted_whole() {
    let server = Server::new().await;
    let to: Vec<String> = (0..10_000).map(|n| format!("somebody{n}@example.com")).collect();
    let message = format!("To: {}\r\n\r\n{}", to.join(",\r\n "), "x\r\n".repeat(100_000));
    server.append([message.as_bytes()]).await;
    let mut client = server.select().await;
    client.stream.write_all(b"b FETCH 1 (ENVELOPE BODY.PEEK[])\r\n").await.unwrap();
    let lender = &server.context.lender;
    while lender.lent() == 0 {
        tokio::task::yield_now().await;
    }
    let held = lender.lent();
    let answer = client.line().await;
    let before_body = answer.len() - message.len();
    assert!(before_body > 300_000 && held > 2 * before_body, "{held} for {before_body} before the body");
    client.ask("NOOP").await;
    assert_eq!(lender.lent(), 0);
}
