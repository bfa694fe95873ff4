//! ENABLE (RFC 9051 §6.3.1, RFC 5161).

use crate::context::ImapOptions;
use crate::imap::answer::Answer;
use crate::imap::state::Selected;
use crate::imap::wire::Wire;

/// Names that are unknown, or need not be enabled, are ignored. Nothing can be disabled.
pub(crate) fn enable(wire: &mut Wire, options: &ImapOptions, names: &[String], selected: Option<&Selected>) -> Answer {
    let before = wire.dialect();
    let named = |wanted: &str| names.iter().any(|name| name == wanted);
    if named("IMAP4REV2") {
        wire.enable_rev2(options);
    }
    if named("CONDSTORE") {
        wire.enable_condstore();
    }
    if named("QRESYNC") {
        wire.enable_qresync();
    }
    if named("UTF8=ACCEPT") {
        wire.enable_utf8();
    }
    if named("UIDONLY") {
        wire.enable_uid_only();
    }
    let now = wire.dialect();
    let news = [
        ("IMAP4rev2", now.rev2 && !before.rev2),
        // RFC 7162 §3.2.3: QRESYNC enables it as well, but ENABLED says what the client named.
        ("CONDSTORE", now.condstore && !before.condstore && named("CONDSTORE")),
        ("QRESYNC", now.qresync && !before.qresync),
        ("UTF8=ACCEPT", now.utf8 && !before.utf8),
        ("UIDONLY", now.uid_only && !before.uid_only),
    ];
    // RFC 9051 §6.3.1: only what this command has enabled, and also where that is nothing.
    wire.encoder().enabled(news.into_iter().filter(|(_, new)| *new).map(|(name, _)| name));
    if let Some(selected) = selected.filter(|_| now.condstore && !before.condstore) {
        selected.tell_modseq(wire);
    }
    Answer::ok("Enabled")
}
