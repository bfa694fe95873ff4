//! ENABLE (RFC 9051 §6.3.1, RFC 5161).

use crate::imap::answer::Answer;
use crate::imap::wire::Wire;

/// Names that are unknown, or need not be enabled, are ignored. Nothing can be disabled.
pub(crate) fn enable(wire: &mut Wire, names: &[String]) -> Answer {
    let rev2 = !wire.dialect().rev2 && names.iter().any(|name| name == "IMAP4REV2");
    if rev2 {
        wire.enable_rev2();
    }
    // RFC 9051 §6.3.1: only what this command has enabled, and also where that is nothing.
    wire.encoder().enabled(rev2.then_some("IMAP4rev2"));
    Answer::ok("Enabled")
}
