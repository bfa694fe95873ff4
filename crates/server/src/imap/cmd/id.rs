//! ID (RFC 2971).

use tracing::debug;

use crate::imap::answer::Answer;
use crate::imap::dispatch::Room;

/// Says who we are. RFC 2971 §3: what the client says of itself is for the log and changes nothing.
pub(crate) fn id(room: &mut Room<'_>, fields: &[(String, Option<String>)]) -> Answer {
    debug!("imap: {}: the client is {fields:?}", room.wire.peer());
    room.wire.encoder().id(&[("name", Some("Pillarbox")), ("version", Some(env!("CARGO_PKG_VERSION")))]);
    Answer::ok("Pleased to meet you")
}
