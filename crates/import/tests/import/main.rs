//! From and to other people's stores.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs, unreachable_pub)]

mod fake;
mod files;
mod home;
mod imap;
