//! For tests only: what more than one crate's tests need.
//!
//! [`corpus`] makes mail from a seed.
//! [`device`] is a client that comes and goes, and what it believes.
//! [`engines`] are engines around engines.
//! [`in_process`] is the real server, in memory.
//! [`transcript`] runs dialogues that read like the examples of an RFC.

pub mod corpus;
pub mod device;
pub mod engine_suite;
pub mod engines;
pub mod fault_disk;
pub mod in_process;
pub mod transcript;
pub mod watched_disk;
