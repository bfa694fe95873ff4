//! IMAP4rev1 (RFC 3501), IMAP4rev2 (RFC 9051) and their extensions as one grammar.
//!
//! [`Fragmenter`] cuts the stream into commands and literals, [`Request::parse`] reads one command,
//! [`Encoder`] writes responses.

mod capability;
mod charset;
mod code;
pub mod command;
mod date;
mod error;
mod fragmenter;
mod ids;
mod lex;
mod literal;
mod mailbox;
mod mutf7;
mod object_id;
mod pattern;
pub mod response;
mod section;
mod tag;
mod window;

pub use capability::Capability;
pub use code::Code;
pub use command::{Command, Request};
pub use error::{ParseError, Verdict};
pub use fragmenter::{Event, Fragmenter, NonSyncLiterals, Refusal};
pub use ids::Ids;
pub use literal::LiteralHeader;
pub use mailbox::MailboxError;
pub use object_id::ObjectId;
pub use pattern::ListPattern;
pub use response::Encoder;
pub use section::{PartPath, Partial, Section, SectionText};
pub use tag::Tag;
pub use window::Window;

/// What the session has enabled, as far as it changes the grammar.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dialect {
    /// `ENABLE IMAP4rev2` was given: mailbox names and texts are UTF-8 (RFC 9051 §5.1), `RECENT` and
    /// `UNSEEN` of RFC 3501 are not sent.
    pub rev2: bool,
    /// `ENABLE UTF8=ACCEPT` was given (RFC 9755 §3): strings are UTF-8.
    pub utf8: bool,
    /// A CONDSTORE enabling command was given (RFC 7162 §3.1): FETCH responses carry mod-sequences.
    pub condstore: bool,
    /// `ENABLE QRESYNC` was given (RFC 7162 §3.2.3): VANISHED instead of EXPUNGE. Implies `condstore`.
    pub qresync: bool,
    /// `ENABLE UIDONLY` was given (RFC 9586 §3): no sequence number in either direction, UIDFETCH and
    /// VANISHED instead of FETCH and EXPUNGE.
    pub uid_only: bool,
}

impl Dialect {
    /// Nothing is enabled.
    pub const REV1: Self = Self { rev2: false, utf8: false, condstore: false, qresync: false, uid_only: false };

    /// True where headers of messages may be UTF-8 (RFC 6532): RFC 9051 §4.3.1, RFC 9755 §3.
    pub fn unicode_headers(self) -> bool {
        self.rev2 || self.utf8
    }

    /// True where mailbox names travel as UTF-8 and not as modified UTF-7.
    pub fn unicode_names(self) -> bool {
        self.rev2 || self.utf8
    }
}
