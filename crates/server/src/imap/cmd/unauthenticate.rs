//! UNAUTHENTICATE (RFC 8437 §3): the connection is that of a stranger again. Of what was before only
//! TLS stays, and what counts errors. The session ends compression after the answer has been sent.

use crate::imap::answer::{Answer, End, Outcome};
use crate::imap::dispatch::{Room, log_in_first};
use crate::imap::state::{NotAuthenticated, State};

pub(crate) fn unauthenticate(state: State, room: &mut Room<'_>) -> (State, Outcome) {
    match state {
        State::NotAuthenticated(_) | State::Logout => (state, Ok(log_in_first())),
        // RFC 8437 §3: a selected mailbox is left without an expunge.
        State::Authenticated(_) | State::Selected(_) => {
            if room.admission.log_out(room.wire.peer()).is_err() {
                // RFC 8437 §3: NO is not possible; BYE is, where the state cannot be reset.
                return (State::Logout, Err(End::bye("Too many connections here are not logged in").into()));
            }
            room.wire.logged_out(room.server);
            (State::NotAuthenticated(NotAuthenticated::default()), Ok(Answer::ok("Nobody is logged in")))
        }
    }
}
