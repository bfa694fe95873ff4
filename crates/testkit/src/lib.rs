//! For tests only: what more than one crate's tests need.
//!
//! [`transcript`] runs dialogues that read like the examples of an RFC.

pub mod transcript;
