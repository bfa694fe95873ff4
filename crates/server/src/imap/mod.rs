//! IMAP sessions (RFC 9051, RFC 3501): one task for each connection.
//!
//! ```text
//! octets ─► wire (fragmenter) ─► session ─► dispatch (state × command) ─► cmd/<name> ─► store verb
//!                                   │                                          │
//!                                   ▼                                          ▼
//!                    updates (the view catches up), tagged line  ◄────────  Outcome
//! ```
//! * Commands are carried out one after another and answered in that order.
//! * A handler never writes the tagged line, and only `updates` tells what others did.
//! * Nothing of the store is held while the connection waits for its client.

mod answer;
mod capability;
mod cmd;
mod dispatch;
mod flag_lists;
mod lost;
mod object_id;
mod refusal;
mod session;
mod state;
pub mod switch;
mod updates;
mod upload;
mod wire;

pub use session::serve_imap;
