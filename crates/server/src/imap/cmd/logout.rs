//! LOGOUT (RFC 9051 §6.1.3). A selected mailbox is left without an expunge (§6.4.1).

use crate::imap::answer::Answer;
use crate::imap::dispatch::Room;

pub(crate) fn logout(room: &mut Room<'_>) -> Answer {
    room.wire.encoder().bye(None, "Goodbye");
    Answer::ok("Logged out")
}
