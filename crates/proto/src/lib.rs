//! IMAP and LMTP on the wire: bytes to typed messages and back.
//!
//! Nothing here reads a socket, a file, a clock or a random number: the caller brings bytes and
//! takes bytes. Whatever a peer sends, no function here panics, recurses beyond
//! [`types::Limits::nesting`], or holds more than the named limits allow.

pub mod imap;
pub mod lmtp;
mod secret;

pub use secret::Secret;
