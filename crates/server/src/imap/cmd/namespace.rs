//! NAMESPACE (RFC 9051 §6.3.10, RFC 2342).

use crate::imap::answer::Answer;
use crate::imap::wire::Wire;

pub(crate) fn namespace(wire: &mut Wire) -> Answer {
    wire.encoder().namespace();
    Answer::ok("That is all")
}
