//! APPEND (RFC 9051 §6.3.12) and MULTIAPPEND (RFC 3502): heads only, the messages stream.

use types::{DateTime, Flags, Limits, MailboxName};

use crate::imap::{Dialect, LiteralHeader, ParseError, Tag};

/// What stands before the first message literal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppendHead {
    /// Comes back in the answer.
    pub tag: Tag,
    /// Where the messages go.
    pub mailbox: MailboxName,
    /// The first message.
    pub message: AppendMessage,
}

/// What stands before one message literal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppendMessage {
    /// The flags to set; none where none were given.
    pub flags: Flags,
    /// The internal date, if given.
    pub date: Option<DateTime>,
    /// How many octets follow and how.
    pub literal: LiteralHeader,
}

impl AppendHead {
    /// Reads `tag SP "APPEND" SP mailbox …` up to and with the literal header.
    pub fn parse(_octets: &[u8], _dialect: Dialect, _limits: &Limits) -> Result<Self, ParseError> {
        Err(ParseError { tag: None, verdict: crate::imap::Verdict::Bad, code: None, text: String::new() })
    }
}

impl AppendMessage {
    /// Reads what stands between a message and the next one (RFC 3502), from the space to the
    /// literal header. The error's tag is `None`.
    pub fn parse(_octets: &[u8], _dialect: Dialect, _limits: &Limits) -> Result<Self, ParseError> {
        Err(ParseError { tag: None, verdict: crate::imap::Verdict::Bad, code: None, text: String::new() })
    }
}
