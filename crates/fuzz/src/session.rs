//! Whole connections: whatever a client sends to the real server in memory, no task of it panics, nothing it
//! says is half a response, and the store is sound afterwards.

use std::cell::Cell;
use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use engine::memory::Memory;
use testkit::in_process::{InProcess, Running};
use testkit::transcript::{Listener, Options, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::limits;

/// What the first octet says besides.
const COMPRESSED: u8 = 1;
const STRANGER: u8 = 2;

/// As alice with some mail, a stranger, or compressed; the octets come in pieces of the size that the second says.
pub(crate) fn imap(data: &[u8]) {
    let [how, size, octets @ ..] = data else { return };
    let mut said = Vec::new();
    if how & STRANGER == 0 {
        said.extend_from_slice(
            b"a LOGIN alice secret\r\na APPEND INBOX {22+}\r\nSubject: a\r\n\r\nbody\r\n\r\n\r\na SELECT INBOX\r\n",
        );
    }
    if how & (COMPRESSED | STRANGER) == COMPRESSED {
        said.extend_from_slice(b"a COMPRESS DEFLATE\r\n");
    }
    let heard = play(Listener::Imap, &said, octets, *size);
    assert!(!is_text(&said, octets) || heard.ends_with(b"\r\n"), "half a response");
}

/// As an MTA.
pub(crate) fn lmtp(data: &[u8]) {
    let [size, octets @ ..] = data else { return };
    let heard = play(Listener::Lmtp, b"", octets, *size);
    if !is_text(b"", octets) {
        return;
    }
    for line in heard.split_inclusive(|&b| b == b'\n') {
        let good = line.ends_with(b"\r\n") && line.iter().take(3).all(u8::is_ascii_digit);
        assert!(good, "no reply: {:?}", String::from_utf8_lossy(line));
    }
}

/// True where nobody asked for anything but text.
fn is_text(first: &[u8], octets: &[u8]) -> bool {
    let has = |text: &[u8], word: &[u8]| text.windows(word.len()).any(|run| run.eq_ignore_ascii_case(word));
    [&b"COMPRESS"[..], b"STARTTLS"].iter().all(|word| !has(first, word) && !has(octets, word))
}

thread_local! {
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// A panic in a task of the server ends that task alone: it is noticed here.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            before(info);
        }));
    });
}

/// Sends all of it and hears what comes.
fn play(listener: Listener, first: &[u8], octets: &[u8], size: u8) -> Vec<u8> {
    static HARNESS: OnceLock<InProcess> = OnceLock::new();
    watch_panics();
    let before = PANICS.get();
    let harness = HARNESS.get_or_init(|| InProcess::in_memory().expect("a server in memory"));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    let heard = runtime.block_on(async {
        let mut options = Options { limits: limits(), ..Options::default() };
        options.quota.storage = Some(64);
        let mut server: Running =
            harness.start_on(Arc::new(Memory::new()), &options).await.expect("a server in memory");
        let (mut reader, mut writer) = tokio::io::split(server.connect(listener).expect("a connection"));
        let listening = tokio::spawn(async move {
            let mut heard = Vec::new();
            let _ = reader.read_to_end(&mut heard).await;
            heard
        });
        for piece in std::iter::once(first).chain(octets.chunks(usize::from(size).max(1) * 4)) {
            if writer.write_all(piece).await.is_err() {
                break;
            }
            // Sometimes everything is carried out before more comes.
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let _ = writer.shutdown().await;
        let heard = listening.await.expect("only listens");
        assert_eq!(server.check(), Vec::<String>::new(), "the store is not sound");
        heard
    });
    drop(runtime);
    assert_eq!(PANICS.get(), before, "a task of the server panicked");
    heard
}
