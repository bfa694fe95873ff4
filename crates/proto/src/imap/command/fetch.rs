//! FETCH and UID FETCH (RFC 9051 §6.4.5, RFC 3501 §6.4.5).

use crate::imap::{Ids, PartPath, Partial, Section};

/// `fetch = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")")`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetch {
    /// Which messages.
    pub ids: Ids,
    /// What of them, macros expanded, as the client ordered, without repetitions. UID FETCH does
    /// not add [`FetchItem::Uid`]: see [`Ids::by_uid`].
    pub items: Vec<FetchItem>,
}

/// `fetch-att` of RFC 9051 §9 and RFC 3501 §9.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FetchItem {
    /// `BINARY[part]<partial>`: decoded content.
    Binary {
        /// Which part; empty is the whole message.
        part: PartPath,
        /// Which octets of it.
        partial: Option<Partial>,
        /// `BINARY.PEEK`: \Seen stays as it is.
        peek: bool,
    },
    /// `BINARY.SIZE[part]`: octets of the decoded content.
    BinarySize(PartPath),
    /// `BODY`: structure without extension data.
    Body,
    /// `BODY[section]<partial>`
    BodySection {
        /// Which part and what of it.
        section: Section,
        /// Which octets of it.
        partial: Option<Partial>,
        /// `BODY.PEEK`: \Seen stays as it is.
        peek: bool,
    },
    /// `BODYSTRUCTURE`
    BodyStructure,
    /// `ENVELOPE`
    Envelope,
    /// `FLAGS`
    Flags,
    /// `INTERNALDATE`
    InternalDate,
    /// `RFC822` (RFC 3501): as `BODY[]`, answered under its own name.
    Rfc822,
    /// `RFC822.HEADER` (RFC 3501): as `BODY.PEEK[HEADER]`, answered under its own name.
    Rfc822Header,
    /// `RFC822.SIZE`
    Rfc822Size,
    /// `RFC822.TEXT` (RFC 3501): as `BODY[TEXT]`, answered under its own name.
    Rfc822Text,
    /// `UID`
    Uid,
}

impl FetchItem {
    /// True where fetching this sets \Seen (RFC 9051 §6.4.5).
    pub fn sets_seen(&self) -> bool {
        match self {
            Self::Binary { peek, .. } | Self::BodySection { peek, .. } => !peek,
            Self::Rfc822 | Self::Rfc822Text => true,
            _ => false,
        }
    }
}
