use std::sync::Arc;

use auth::FingerprintKey;
use store::{Store, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::sleep;

use super::*;
use crate::lent::Lender;
use crate::shutdown::Stopper;

fn server() -> Context {
    let clock = Arc::new(SystemClock);
    let engine = Arc::new(engine::memory::Memory::new());
    let store = Store::open(engine, clock.clone(), store::Options::default()).unwrap();
    Context::new(store, clock, FingerprintKey::new([1; 64]))
}

fn wire() -> (Wire, DuplexStream, Stopper) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (stopper, shutdown) = Stopper::new();
    (Wire::new(Stream::memory(near, Peer::Memory), shutdown, &server()), far, stopper)
}

async fn said(far: &mut DuplexStream) -> Vec<String> {
    let mut octets = vec![0; 1 << 16];
    let read = tokio::time::timeout(Duration::from_millis(1), far.read(&mut octets)).await;
    let text = String::from_utf8(octets[..read.unwrap_or(Ok(0)).unwrap()].to_vec()).unwrap();
    text.lines().map(str::to_owned).collect()
}

// RFC 9585 §3: at first after 5 s, then every 10 s.
#[tokio::test(start_paused = true)]
async fn who_waits_is_told_now_and_then() {
    let (mut wire, mut far, _stopper) = wire();
    wire.begin(&Tag::of_line(b"a1 NOOP").unwrap(), &Limits::default());
    wire.meanwhile(sleep(Duration::from_millis(4900))).await.unwrap();
    assert!(said(&mut far).await.is_empty());
    wire.meanwhile(sleep(Duration::from_secs(20))).await.unwrap();
    assert_eq!(said(&mut far).await, ["* OK [INPROGRESS (\"a1\" NIL NIL)] Still at work"; 2]);
    wire.at_work(|| (1, 3)).await.unwrap();
    assert!(said(&mut far).await.is_empty());
    sleep(Duration::from_secs(1)).await;
    wire.at_work(|| (1, 3)).await.unwrap();
    assert_eq!(said(&mut far).await, ["* OK [INPROGRESS (\"a1\" 1 3)] Still at work"]);
    wire.begin(&Tag::of_line(b"a2 NOOP").unwrap(), &Limits::default());
    sleep(Duration::from_secs(4)).await;
    wire.at_work(|| (1, 3)).await.unwrap();
    assert!(said(&mut far).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn work_is_done_although_the_client_has_gone() {
    let (mut wire, far, _stopper) = wire();
    wire.begin(&Tag::of_line(b"a1 NOOP").unwrap(), &Limits::default());
    drop(far);
    let mut done = false;
    let work = async {
        sleep(Duration::from_secs(60)).await;
        done = true;
    };
    assert!(wire.meanwhile(work).await.is_err());
    assert!(done);
}

#[tokio::test(start_paused = true)]
async fn work_for_a_client_that_has_gone_is_broken_off() {
    let (mut silent, mut far, _stopper) = wire();
    silent.begin(&Tag::of_line(b"a1 LOGIN x y").unwrap(), &Limits::default());
    // Longer than a stranger may be silent: it is not the client who is.
    silent.while_there(sleep(Duration::from_secs(100))).await.unwrap();
    assert_eq!(said(&mut far).await, ["* OK [INPROGRESS (\"a1\" NIL NIL)] Still at work"; 10]);
    drop(far);
    assert!(silent.while_there(std::future::pending::<()>()).await.is_err());

    // All that was asked is answered, also where nothing more will be.
    let (mut wire, mut far, _stopper) = wire();
    wire.begin(&Tag::of_line(b"a1 LOGIN x y").unwrap(), &Limits::default());
    far.write_all(b"a2 NOOP\r\n").await.unwrap();
    far.shutdown().await.unwrap();
    wire.while_there(sleep(Duration::from_secs(1))).await.unwrap();
    assert!(matches!(wire.next_event(), Some(Event::Command(b"a2 NOOP"))));
}

/// A peer that takes nothing keeps what it was answered; when memory is short, whoever keeps most goes.
#[tokio::test(start_paused = true)]
async fn who_takes_no_answers_gives_their_memory_back() {
    let lender = Lender::new(&Limits { waiting_memory: 400_000, ..Limits::default() });
    let answer = |octets: usize| {
        let (mut wire, far, stopper) = wire();
        wire.sink.borrower = lender.borrower();
        tokio::spawn(async move {
            let _open = (far, stopper);
            wire.parts().0.resize(octets, b'x');
            wire.flush().await
        })
    };
    // More than the pipe takes.
    let (large, small) = (answer(200_000), answer(100_000));
    sleep(Duration::from_secs(1)).await;
    assert!(lender.lent() >= 300_000 && !large.is_finished());
    let third = answer(110_000);
    let end = large.await.unwrap();
    assert!(matches!(&end, Err(End::Lost(error)) if error.to_string().contains("needed elsewhere")), "{end:?}");
    assert!(!small.is_finished() && !third.is_finished());
    assert!(lender.lent() < 300_000);
}

#[tokio::test]
async fn an_answer_that_was_large_leaves_no_memory_behind() {
    let (mut wire, mut far, _stopper) = wire();
    let reading = tokio::spawn(async move { tokio::io::copy(&mut far, &mut tokio::io::sink()).await });
    let (out, sink) = wire.parts();
    out.resize(1 << 20, b'x');
    sink.relieve(out).await.unwrap();
    assert!(out.is_empty() && out.capacity() <= 2 * PIECE, "{} octets are held", out.capacity());
    // Nothing at all, before a command waits for its turn to search, or to commit.
    wire.flush().await.unwrap();
    assert_eq!(wire.parts().0.capacity(), 0);
    drop(wire);
    assert_eq!(reading.await.unwrap().unwrap(), 1 << 20);
}
