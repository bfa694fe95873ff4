//! COMPRESS (RFC 4978 §3). The session begins to compress after the answer has been sent.
//!
//! Only after login, as the grammar has it (§5, `command-auth`): strangers cost us no window.

use proto::imap::Code;

use crate::imap::answer::Answer;
use crate::imap::wire::Wire;

pub(crate) fn compress(wire: &Wire) -> Answer {
    if wire.is_compressed() {
        // RFC 4978 §3: BAD where COMPRESS is active. NO is for TLS that compresses, which ours never does.
        return Answer::bad("DEFLATE is active already").with(Code::CompressionActive);
    }
    Answer::ok("DEFLATE active")
}
