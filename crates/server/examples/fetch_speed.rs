//! How long FETCH and SEARCH of a large mailbox take, over a pipe in memory:
//! `cargo run --release -p server --example fetch_speed [messages]`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, missing_docs)]

use std::sync::Arc;
use std::time::Instant;

use auth::{FingerprintKey, PasswordHash, SALT_LEN, Secret};
use server::connections::Connections;
use server::context::{Context, ImapOptions};
use server::imap::serve_imap;
use server::listen::Connection;
use server::shutdown::Stopper;
use server::stream::{Peer, Stream};
use store::{NewMessage, Options, Store, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use types::{AccountName, Flag, Flags, Limits, MailboxName, Principal};

const COMMANDS: [&str; 16] = [
    "NOOP",
    "FETCH 1:* FLAGS",
    "FETCH 1:* FLAGS",
    "FETCH 1:* (UID FLAGS RFC822.SIZE)",
    "FETCH 1:* FAST",
    "UID FETCH 1:* FLAGS",
    "FETCH 1:* ENVELOPE",
    "FETCH 1:* ENVELOPE",
    "FETCH 1:* BODYSTRUCTURE",
    "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (From To Cc Subject Date Message-ID References)])",
    "FETCH 1:10000 BODY.PEEK[]",
    "SEARCH UNSEEN",
    "SEARCH RETURN (COUNT) KEYWORD $Junk",
    "SEARCH RETURN (COUNT) FROM \"person7@\"",
    "SEARCH RETURN (COUNT) SENTSINCE 1-Jan-2026",
    "SEARCH RETURN (COUNT) 1:10000 BODY nowhere",
];

#[tokio::main]
async fn main() {
    let messages: usize = std::env::args().nth(1).map_or(100_000, |n| n.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let engine: Arc<dyn engine::Engine> = match std::env::args().nth(2).as_deref() {
        Some("memory") => Arc::new(engine::memory::Memory::new()),
        _ => Arc::new(engine::local::Local::open(dir.path(), engine::local::Options::default()).unwrap()),
    };
    let store = Store::open(engine, Arc::new(SystemClock), Options::default()).unwrap();
    let hash = PasswordHash::new(&Secret::from("secret"), [7; SALT_LEN]).unwrap();
    let id = store.create_account(&AccountName::new("alice").unwrap(), hash.as_str().to_owned()).await.unwrap();
    let (account, who) = (store.account(id).unwrap(), Principal { account: id });
    let began = Instant::now();
    for batch in (0..messages).collect::<Vec<_>>().chunks(std::env::args().nth(3).map_or(1000, |n| n.parse().unwrap()))
    {
        let new = |&n: &usize| {
            let mut incoming = account.receive().unwrap();
            incoming.push(message(n).as_bytes()).unwrap();
            let flags = [(n % 3 != 0).then_some(Flag::Seen), (n % 7 == 0).then(|| Flag::parse("$Junk").unwrap())];
            let flags: Flags = flags.into_iter().flatten().collect();
            NewMessage { content: incoming.finish().unwrap(), flags, internal_date: None }
        };
        account.append(&who, &MailboxName::new("INBOX").unwrap(), batch.iter().map(new).collect()).await.unwrap();
    }
    println!("{:>9.1} ms  {messages} messages appended", began.elapsed().as_secs_f64() * 1e3);

    let limits = Arc::new(Limits::default());
    let context = Arc::new(Context {
        hostname: "mail.test".to_owned(),
        imap: ImapOptions { plaintext_login_on_loopback: true, ..ImapOptions::default() },
        ..Context::new(store, Arc::new(SystemClock), FingerprintKey::new([7; 64]))
    });
    let (_stopper, shutdown) = Stopper::new();
    let (near, mut far) = tokio::io::duplex(1 << 18);
    let admission = Connections::new(&limits).admit(Peer::Memory).unwrap();
    let connection = Connection { stream: Stream::memory(near, Peer::Memory), admission, shutdown };
    tokio::spawn(serve_imap(connection, context));
    far.write_all(b"x LOGIN alice secret\r\n").await.unwrap();
    for command in ["SELECT INBOX"].iter().chain(&COMMANDS) {
        // The answer to the command before.
        let octets = drain(&mut far).await;
        let _ = octets;
        let began = Instant::now();
        far.write_all(format!("x {command}\r\n").as_bytes()).await.unwrap();
        let octets = drain(&mut far).await;
        println!("{:>9.1} ms  {:>6.1} MB  {command}", began.elapsed().as_secs_f64() * 1e3, octets as f64 / 1e6);
        far.write_all(b"x NOOP\r\n").await.unwrap();
    }
}

/// Reads up to the tagged line; gives the octets.
async fn drain(stream: &mut (impl AsyncReadExt + Unpin)) -> usize {
    let (mut buffer, mut tail, mut total) = (vec![0; 1 << 18], Vec::new(), 0);
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        total += read;
        tail.extend_from_slice(&buffer[read.saturating_sub(500)..read]);
        let lines = tail.split(|&b| b == b'\n').collect::<Vec<_>>();
        if tail.ends_with(b"\r\n") && lines[lines.len() - 2].starts_with(b"x ") {
            return total;
        }
        let keep = tail.len().saturating_sub(500);
        tail.drain(..keep);
    }
}

fn message(n: usize) -> String {
    let text = "The quick brown fox jumps over the lazy dog, again and again and again.\r\n".repeat(40);
    format!(
        "Return-Path: <person{p}@example.org>\r\nReceived: from a.example by b.example; Fri, 20 Nov 2026 10:00:00 +0000\r\n\
         From: Person Number {p} <person{p}@example.org>\r\nTo: Alice <alice@example.net>, Bob <bob@example.net>\r\n\
         Subject: Message number {n} about something\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <{n}.abcdef@example.org>\r\nReferences: <{r}.abcdef@example.org>\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/alternative; boundary=\"xyz\"\r\n\r\n--xyz\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n\
         --xyz\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>{text}</p>\r\n--xyz--\r\n",
        p = n % 50,
        r = n / 2,
    )
}
