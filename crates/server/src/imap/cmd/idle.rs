//! IDLE (RFC 9051 §6.3.13, RFC 2177): says what happens when it happens, until the client says DONE.

use proto::imap::Event;
use proto::imap::response::Condition;
use store::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::context::Context;
use crate::imap::answer::{Answer, End, Failure, Outcome};
use crate::imap::lost::MAILBOX_DELETED;
use crate::imap::state::Selected;
use crate::imap::updates::CatchUp;
use crate::imap::wire::Wire;

/// Why an idle session woke up, other than by its client.
enum Wake {
    Tick,
    Keepalive,
}

pub(crate) async fn idle(wire: &mut Wire, server: &Context, mut selected: Option<&mut Selected>) -> Outcome {
    wire.encoder().continuation("idling");
    wire.fragmenter().expect_line();
    let interval = server.limits.idle_keepalive;
    let mut keepalive = Instant::now() + interval;
    // What had happened before comes at once.
    let mut wake = Some(Wake::Tick);
    loop {
        match wake {
            Some(Wake::Tick) => push(wire, selected.as_deref_mut()).await?,
            Some(Wake::Keepalive) => {
                keepalive = Instant::now() + interval;
                wire.encoder().untagged(Condition::Ok, None, "Still here");
                // A peer that takes this is there, however long it has nothing to say; one that does
                // not is found by the write and by TCP's own keepalive.
                wire.heard();
            }
            None => {}
        }
        match wire.next_event() {
            // RFC 9051 §9: "DONE" is case-insensitive.
            Some(Event::Line(line)) if line.eq_ignore_ascii_case(b"DONE") => return Ok(Answer::ok("Idled")),
            Some(Event::HangUp { .. }) => return Err(End::bye("Only DONE ends IDLE").into()),
            Some(_) => return Err(Failure::bad("Only DONE ends IDLE")),
            None => {}
        }
        let ticks = selected.as_deref_mut().map(|selected| &mut selected.ticks);
        wake = wire.wait_or(asleep(ticks, keepalive)).await?;
    }
}

/// Tells what the mailbox has become. A deleted one cannot be idled on: see [`crate::imap::lost`].
async fn push(wire: &mut Wire, selected: Option<&mut Selected>) -> Result<(), Failure> {
    let Some(selected) = selected else { return Ok(()) };
    if selected.mailbox.is_gone() {
        return Err(MAILBOX_DELETED.into());
    }
    let how = CatchUp { may_renumber: true, ..CatchUp::default() };
    match selected.catch_up(wire, how).await {
        Err(Failure::Store(Error::NoSuchMailbox)) => Err(MAILBOX_DELETED.into()),
        caught_up => caught_up,
    }
}

async fn asleep(ticks: Option<&mut watch::Receiver<u64>>, keepalive: Instant) -> Wake {
    let tick = async {
        // The mailbox holds the other end for as long as it is selected, so an error is none of ours.
        let Some(Ok(())) = (match ticks {
            Some(ticks) => Some(ticks.changed().await),
            None => None,
        }) else {
            return std::future::pending().await;
        };
    };
    tokio::select! {
        biased;
        () = tick => Wake::Tick,
        () = sleep_until(keepalive) => Wake::Keepalive,
    }
}
