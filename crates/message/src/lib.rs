//! RFC 5322 and MIME: bytes to part tree, header fields, envelope, body structure, decoded text.
//!
//! Pure: no clock, no file, nothing that fails on what people send. The map:
//!
//! * [`Parser`] takes a message in pieces and gives a [`Message`]: the [`Layout`] of its parts, their
//!   header blocks and types. Bodies are never kept.
//! * [`Layout`] says which octets a section such as `BODY[1.2.MIME]` is, and where SEARCH looks.
//! * [`Header`] reads fields and takes subsets; [`Envelope`] and [`ContentType`] understand them.
//! * [`Card`] is everything that FETCH, SEARCH and SORT want to know without opening the body, in one
//!   compact value for the store; ENVELOPE, BODY, BODYSTRUCTURE and the preview are in it ready to send.
//! * [`downgrade_header`] and its like show an internationalised message to those who take only ASCII.
//! * [`Decoder`] undoes transfer encodings, [`BinaryParts`] makes base64 of what holds NUL, [`Charset`] and [`decode_words`] give text.
//! * [`Needle`] and [`Matcher`] are SEARCH's comparison, [`casemap`] is the one of RFC 5051.
//! * [`parse_date`], [`base_subject`] and [`message_ids`] are what SORT and THREAD compare, text by its [`collation_key`].

mod address;
mod binary;
mod card;
mod casemap;
mod charset;
mod collate;
mod cursor;
mod date;
mod downgrade;
mod envelope;
mod header;
mod ids;
mod layout;
mod message;
mod mime;
mod parser;
mod preview;
mod search;
mod structure;
mod subject;
mod transfer;
mod utf7;
mod wire;
mod words;

pub use address::{Address, Mailbox, parse_addresses};
pub use binary::BinaryParts;
pub use card::{AddressList, Card, CardHeader, CardRef, FieldSet, FirstAddress};
pub use casemap::casemap;
pub use charset::{Charset, TextDecoder};
pub use collate::collation_key;
pub use date::parse_date;
pub use downgrade::{downgrade_envelope, downgrade_header, downgrade_structure};
pub use envelope::Envelope;
pub use header::{Field, Fields, Header, Keep};
pub use ids::message_ids;
pub use layout::{Content, Layout, Place, Reading, SearchArea, Section};
pub use message::{Message, Part};
pub use mime::{ContentType, Disposition, Param, Params};
pub use parser::{Parser, parse};
pub use search::{Matcher, Needle, append_values};
pub use structure::Structure;
pub use subject::{BaseSubject, base_subject};
pub use transfer::{Decoder, Encoding};
pub use words::decode as decode_words;

/// What this crate cannot do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The body has a Content-Transfer-Encoding that nobody here knows: BINARY answers UNKNOWN-CTE.
    #[error("unknown content transfer encoding")]
    UnknownEncoding,
    /// The bytes are no card of a version that we read: make a new one from the message.
    #[error("not a card: {0}")]
    Card(&'static str),
}
