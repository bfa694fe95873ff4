//! CAPABILITY (RFC 9051 §6.1.1).

use crate::imap::answer::Answer;
use crate::imap::capability::capabilities;
use crate::imap::dispatch::Room;

pub(crate) fn capability(room: &mut Room<'_>, logged_in: bool) -> Answer {
    let list = capabilities(room.wire, room.server, logged_in);
    room.wire.encoder().capability(&list);
    Answer::ok("That is all")
}
