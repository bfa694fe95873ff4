//! Listeners and sessions: what happens between a socket and the store.
//!
//! A session is a task that owns its [`stream::Stream`]; it can be driven in memory. Only `listen` and
//! `stream` know sockets, nobody here knows a key of the store.

pub mod connections;
pub mod context;
mod deflate;
mod hashing;
pub mod imap;
pub mod lent;
pub mod listen;
pub mod lmtp;
mod log_id;
pub mod login;
pub mod shutdown;
pub mod stream;
pub mod tls;
pub mod turns;
