//! What a peer or a damaged disk can feed us, as plain functions of octets: they panic where a promise is broken.
//!
//! [`smoke`] runs them on any toolchain with mutations of a committed corpus (`tests/fuzz/TARGET/`); `libfuzzer/` is a
//! workspace of its own that wraps them for libFuzzer on a nightly one. Both through `cargo xtask fuzz`.

#![allow(clippy::panic, clippy::expect_used, reason = "a broken promise ends the run")]

mod imap;
mod lmtp;
mod message;
mod response;
mod segment;
pub mod smoke;
mod wire;

use types::Limits;

/// A target: its name, which is also that of its corpus, and what it does with octets.
#[derive(Clone, Copy)]
pub struct Target {
    /// Also that of its folder under `tests/fuzz`, and of its program under `libfuzzer/targets`.
    pub name: &'static str,
    /// Panics where a promise is broken.
    pub run: fn(&[u8]),
    /// Words that mean something there.
    pub words: &'static [&'static str],
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "imap_fragmenter", run: imap::fragmenter, words: imap::WORDS },
    Target { name: "imap_command", run: imap::command, words: imap::WORDS },
    Target { name: "message", run: message::parse, words: message::WORDS },
    Target { name: "lmtp_session", run: lmtp::session, words: lmtp::WORDS },
    Target { name: "imap_response", run: response::response, words: response::WORDS },
    Target { name: "segment_scan", run: segment::scan, words: &[] },
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|t| t.name == name)
}

/// Limits small enough to be met by small inputs.
fn limits() -> Limits {
    Limits {
        command_size: 600,
        command_size_before_login: 400,
        literal_size: 200,
        drain_size: 300,
        message_size: 2000,
        nesting: 8,
        search_keys: 30,
        set_ranges: 20,
        lmtp_line: 200,
        mime_parts: 12,
        mime_depth: 5,
        header_size: 1000,
        ..Limits::default()
    }
}

/// The octets behind the first, in pieces of the size that the first says.
fn pieces(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (size, rest) = data.split_first().map_or((1, data), |(first, rest)| (usize::from(*first), rest));
    rest.chunks(size.max(1))
}
