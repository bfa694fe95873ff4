//! STORE and UID STORE (RFC 9051 §6.4.6, RFC 7162 §3.1.3).

use types::{Flags, ModSeq};

use crate::imap::Ids;

/// `store = "STORE" SP sequence-set [SP store-modifiers] SP store-att-flags`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Store {
    /// Which messages.
    pub ids: Ids,
    /// What to do with the flags.
    pub mode: StoreMode,
    /// `.SILENT`: the client wants no FETCH about its own change.
    pub silent: bool,
    /// The flags.
    pub flags: Flags,
    /// `UNCHANGEDSINCE` (RFC 7162 §3.1.3).
    pub unchanged_since: Option<ModSeq>,
}

/// What STORE does with its flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreMode {
    /// `FLAGS`
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}
