//! When the selected mailbox is deleted by somebody else.
//!
//! RFC 9051 lets a server end the selection by an unsolicited `[CLOSED]` (§3, transition 6) but an
//! older client does not know that code, and RFC 2180 §3 leaves much open. What harms least:
//!
//! * The next command, whichever it is, finds the selection gone: `* OK [CLOSED]`. A command that
//!   needs no mailbox is carried out, so a client that just selects another one notices nothing.
//! * A command that needs the mailbox is answered `NO [NONEXISTENT]`, not BAD: it was right when the
//!   client wrote it.
//! * A client that goes on as if it had a mailbox did not understand: `* BYE`. It connects again,
//!   which every client can, and finds out by SELECT.
//! * In IDLE there is no command to refuse, so it is `* BYE` at once.
//!
//! CLOSE and UNSELECT get what they want: the mailbox is closed.

use proto::imap::Code;
use proto::imap::response::Condition;

use super::answer::{Answer, End, Outcome};
use super::state::{Authenticated, State};
use super::wire::Wire;

/// What the client has of a selection that was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Lost {
    /// There was none, or the client has moved on.
    #[default]
    No,
    /// It is being told by the answer to this command.
    Now,
    /// It was told.
    Before,
}

/// The mailbox went away while nothing could be answered.
pub(crate) const MAILBOX_DELETED: End =
    End::Bye { code: Some(Code::NonExistent), text: "The selected mailbox was deleted" };

/// The account went away.
pub(crate) const ACCOUNT_DELETED: End = End::Bye { code: Some(Code::NonExistent), text: "The account was deleted" };

/// Before each command: ends a selection whose mailbox is gone, and tells the client.
pub(crate) fn look(state: State, wire: &mut Wire) -> State {
    match state {
        State::Selected(selected) if selected.mailbox.is_gone() => {
            wire.encoder().untagged(Condition::Ok, Some(&Code::Closed), "The selected mailbox was deleted");
            let mut user = selected.user;
            user.lost = Lost::Now;
            State::Authenticated(user)
        }
        State::Authenticated(mut user) if user.lost == Lost::Now => {
            user.lost = Lost::Before;
            State::Authenticated(user)
        }
        state => state,
    }
}

/// Answers a command that needs the mailbox which is gone; `closes` is true for one that wants it closed.
pub(crate) fn refuse(mut user: Authenticated, wire: &mut Wire, closes: bool) -> (State, Outcome) {
    if closes {
        user.lost = Lost::No;
        return (State::Authenticated(user), Ok(Answer::ok("The mailbox is closed")));
    }
    let answer = Answer::no(Code::NonExistent, "The selected mailbox was deleted");
    if user.lost == Lost::Now {
        return (State::Authenticated(user), Ok(answer));
    }
    wire.encoder().bye(Some(&Code::NonExistent), "The selected mailbox was deleted");
    (State::Logout, Ok(answer))
}
