//! Parts of a message as FETCH names them.

use std::num::{NonZeroU32, NonZeroU64};

/// `section-part` of RFC 9051 §9: part numbers from the outside in; empty is the whole message.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct PartPath(pub Vec<NonZeroU32>);

/// `section` of RFC 9051 §9, between the brackets.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Section {
    /// Which part.
    pub part: PartPath,
    /// What of it.
    pub text: SectionText,
}

/// What of a part is asked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum SectionText {
    /// All: `BODY[]`, `BODY[1.2]`.
    #[default]
    All,
    /// `HEADER`: of the message, or of a message/rfc822 part.
    Header,
    /// `HEADER.FIELDS (…)`: at least one field name, spelled as the client did.
    HeaderFields(Vec<String>),
    /// `HEADER.FIELDS.NOT (…)`: at least one field name, spelled as the client did.
    HeaderFieldsNot(Vec<String>),
    /// `TEXT`: what follows the header.
    Text,
    /// `MIME`: the MIME header of a part; never with an empty path.
    Mime,
}

/// `partial` of RFC 9051 §9: `<offset.length>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Partial {
    /// Of the first octet, from 0; below 2^63.
    pub offset: u64,
    /// How many octets at most; below 2^63.
    pub length: NonZeroU64,
}
