//! Long commands and the client that waits for them, or does not: what transcripts cannot say.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use auth::{FingerprintKey, PasswordHash, SALT_LEN, Secret};
use server::connections::Connections;
use server::context::{Context, ImapOptions};
use server::imap::serve_imap;
use server::listen::Connection;
use server::shutdown::Stopper;
use server::stream::{Peer, Stream};
use store::{Clock, Options, Store, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use types::{AccountName, Limits};

/// A session of alice that selected a mailbox with a message, her end of it, and what can end the server.
async fn session() -> (tokio::task::JoinHandle<()>, tokio::io::DuplexStream, Stopper) {
    let (limits, clock) = (Arc::new(Limits::default()), Arc::new(SystemClock) as Arc<dyn Clock>);
    let store = Store::open(Arc::new(engine::memory::Memory::new()), Arc::clone(&clock), Options::default()).unwrap();
    let hash = PasswordHash::new(&Secret::from("secret"), [7; SALT_LEN]).unwrap();
    store.create_account(&AccountName::new("alice").unwrap(), hash.as_str().to_owned()).await.unwrap();
    let connections = Connections::new(&limits);
    let context = Context {
        hostname: "mail.test".to_owned(),
        imap: ImapOptions { plaintext_login_on_loopback: true, ..ImapOptions::default() },
        ..Context::new(store, clock, FingerprintKey::new([7; 64]))
    };
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let (stopper, shutdown) = Stopper::new();
    let admission = connections.admit(Peer::Memory).unwrap();
    let connection = Connection { stream: Stream::memory(near, Peer::Memory), admission, shutdown };
    let task = tokio::spawn(serve_imap(connection, Arc::new(context)));

    far.write_all(b"a LOGIN alice secret\r\nb APPEND INBOX {3+}\r\nx\r\n\r\nc SELECT INBOX\r\n").await.unwrap();
    let mut said = Vec::new();
    while !said.windows(5).any(|w| w == b"\r\nc O") {
        far.read_buf(&mut said).await.unwrap();
    }
    while !said.ends_with(b"\r\n") {
        far.read_buf(&mut said).await.unwrap();
    }
    (task, far, stopper)
}

/// Lets the session go `steps` steps: a search takes at least one.
async fn steps(steps: usize) {
    for _ in 0..steps {
        tokio::task::yield_now().await;
    }
}

/// A message of 5 MiB in base64.
async fn append_large(far: &mut tokio::io::DuplexStream) {
    let message = [b"Content-Transfer-Encoding: base64\r\n\r\n".to_vec(), b"QUJD".repeat(5 << 18)].concat();
    far.write_all(format!("d APPEND INBOX {{{}+}}\r\n", message.len()).as_bytes()).await.unwrap();
    far.write_all(&message).await.unwrap();
    far.write_all(b"\r\n").await.unwrap();
    let mut said = Vec::new();
    while !said.windows(4).any(|w| w == b"d OK") || !said.ends_with(b"\r\n") {
        far.read_buf(&mut said).await.unwrap();
    }
}

#[tokio::test]
async fn searches_of_a_client_that_is_gone_are_not_carried_out() {
    let (task, mut far, _stopper) = session().await;
    far.write_all(&b"d SEARCH TEXT nothing\r\n".repeat(1000)).await.unwrap();
    drop(far);
    steps(20).await;
    assert!(task.is_finished(), "a thousand searches for nobody");
}

#[tokio::test]
async fn a_search_is_answered_before_the_next_one_begins() {
    let (_task, mut far, _stopper) = session().await;
    far.write_all(&b"d SEARCH TEXT nothing\r\n".repeat(1000)).await.unwrap();
    let mut said = Vec::new();
    far.read_buf(&mut said).await.unwrap();
    assert!(said.len() < 1000, "{} octets of answers at once", said.len());
}

#[tokio::test]
async fn sizes_are_told_while_others_are_still_counted() {
    let (_task, mut far, _stopper) = session().await;
    for _ in 0..3 {
        append_large(&mut far).await;
    }
    let mut said = Vec::new();
    far.write_all(b"e FETCH 2:4 BINARY.SIZE[1]\r\n").await.unwrap();
    far.read_buf(&mut said).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&said), "* 2 FETCH (BINARY.SIZE[1] 3932160)\r\n");
}

/// A thousand partials of one body were a thousand times the whole work in one go.
#[tokio::test]
async fn many_items_of_one_large_message_are_answered_in_turns() {
    let (_task, mut far, _stopper) = session().await;
    append_large(&mut far).await;
    let items: Vec<_> = (0..30).map(|n| format!("BINARY.PEEK[1]<{n}.1>")).collect();
    far.write_all(format!("e FETCH 2 ({} FLAGS)\r\n", items.join(" ")).as_bytes()).await.unwrap();
    let mut said = Vec::new();
    while !said.windows(4).any(|w| w == b"e OK") {
        far.read_buf(&mut said).await.unwrap();
    }
    let said = String::from_utf8_lossy(&said);
    assert!(said.matches("* 2 FETCH (").count() > 1, "{said}");
    assert_eq!((said.matches("BINARY[1]<").count(), said.matches("FLAGS (").count()), (30, 1), "{said}");
}
