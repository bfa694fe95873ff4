//! IDLE (RFC 9051 §6.3.13, RFC 2177): says what happens when it happens, until the client says DONE.
//!
//! A connection that idles runs no command: the session keeps an [`Idling`] and waits, as between two
//! commands, so that it costs no more than any other that waits.

use proto::imap::response::Condition;
use proto::imap::{Event, Tag};
use store::Error;
use tokio::time::Instant;
use types::{Limits, ModSeq};

use crate::imap::answer::{Answer, End, Failure, Outcome};
use crate::imap::lost::MAILBOX_DELETED;
use crate::imap::state::Selected;
use crate::imap::updates::CatchUp;
use crate::imap::wire::Wire;

/// The IDLE of a session.
pub(crate) struct Idling {
    /// Of the command, which is answered at its end.
    pub(crate) tag: Tag,
    /// What was reported before it.
    pub(crate) reported: ModSeq,
    /// When the client is told next that we are here.
    pub(crate) keepalive: Instant,
}

impl Idling {
    /// IDLE has just been let in.
    pub(crate) fn new(tag: Tag, reported: ModSeq, limits: &Limits) -> Self {
        Self { tag, reported, keepalive: Instant::now() + limits.idle_keepalive }
    }

    /// Says that we are here.
    pub(crate) fn keep_alive(&mut self, wire: &mut Wire, limits: &Limits) {
        self.keepalive = Instant::now() + limits.idle_keepalive;
        wire.encoder().untagged(Condition::Ok, None, "Still here");
        // A peer that takes this is there, however long it has nothing to say; one that does not is found
        // by the write and by TCP's own keepalive.
        wire.heard();
    }
}

/// Lets the client idle. The answer is for DONE.
pub(crate) fn idle(wire: &mut Wire) -> Answer {
    wire.encoder().continuation("idling");
    wire.fragmenter().expect_line();
    Answer::ok("Idled")
}

/// What IDLE ends with when this comes.
pub(crate) fn end(event: &Event<&[u8]>) -> Outcome {
    match event {
        // RFC 9051 §9: "DONE" is case-insensitive.
        Event::Line(line) if line.eq_ignore_ascii_case(b"DONE") => Ok(Answer::ok("Idled")),
        Event::HangUp { .. } => Err(End::bye("Only DONE ends IDLE").into()),
        _ => Err(Failure::bad("Only DONE ends IDLE")),
    }
}

/// Tells what the mailbox has become. A deleted one cannot be idled on: see [`crate::imap::lost`].
pub(crate) async fn push(wire: &mut Wire, selected: &mut Selected) -> Result<(), Failure> {
    if selected.mailbox.is_gone() {
        return Err(MAILBOX_DELETED.into());
    }
    let how = CatchUp { may_renumber: true, ..CatchUp::default() };
    match selected.catch_up(wire, how).await {
        Err(Failure::Store(Error::NoSuchMailbox)) => Err(MAILBOX_DELETED.into()),
        caught_up => caught_up,
    }
}
