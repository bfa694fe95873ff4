//! The program end to end, as a process.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs, unreachable_pub)]

mod backup;
mod common;
mod damage;
mod demo;
mod quota;
mod replay;
mod serve;
