//! For tests only: what more than one crate's tests need.
//!
//! [`fuzz`] feeds everything that a peer can reach with octets that nobody would send.
//! [`transcript`] runs dialogues that read like the examples of an RFC.

pub mod engine_suite;
pub mod fault_disk;
pub mod fuzz;
pub mod transcript;
