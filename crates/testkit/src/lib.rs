//! For tests only: what more than one crate's tests need.
//!
//! [`transcript`] runs dialogues that read like the examples of an RFC.

pub mod engine_suite;
pub mod fault_disk;
pub mod transcript;
