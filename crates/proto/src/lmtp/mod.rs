//! LMTP (RFC 2033) on the wire: what an SMTP server hands mail over with.
//!
//! [`Fragmenter`] cuts the stream into command lines and message octets, [`Command::parse`] reads
//! one line, [`Reply`] writes an answer.

mod command;
mod data;
mod fragmenter;
mod path;
mod reply;

pub use command::{BodyType, Command, CommandError, Mail, Rcpt};
pub use data::{Findings, Inspector};
pub use fragmenter::{Event, Fragmenter};
pub use path::{Address, PathError};
pub use reply::{EnhancedStatus, Extension, Reply, write_lhlo_reply};
