//! STARTTLS (RFC 9051 §6.2.1). The session does the handshake, after the answer has been sent.

use crate::imap::answer::{Answer, Outcome};
use crate::imap::dispatch::Room;

pub(crate) fn starttls(room: &Room<'_>) -> Outcome {
    if room.wire.is_tls() {
        // RFC 9051 §6.2.1: BAD also on a port where TLS came first.
        return Ok(Answer::bad("TLS is active already"));
    }
    match &room.server.tls {
        Some(_) => Ok(Answer::ok("Begin the TLS negotiation now")),
        None => Ok(Answer::bad("There is no TLS here")),
    }
}
