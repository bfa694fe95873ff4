//! How a command ends: the tagged answer, or the end of the connection.
//!
//! A handler gives an [`Outcome`]. The session writes the tagged line, after it has told the client
//! what else happened; no handler writes one.

use std::borrow::Cow;
use std::io;

use proto::imap::response::Condition;
use proto::imap::{Code, ParseError};

/// What the tagged line says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) condition: Condition,
    pub(crate) code: Option<Code>,
    pub(crate) text: Cow<'static, str>,
}

/// What a handler gives: `Err` only makes `?` convenient, a refusal is an answer like any other.
pub(crate) type Outcome = Result<Answer, Failure>;

/// Why a command was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Answered NO or BAD.
    Refused(Answer),
    /// The store refused or failed; [`super::refusal`] says how that is answered.
    Store(store::Error),
    /// Answered for this reason, and then the connection ends.
    Last(Box<Self>, End),
    /// The connection ends, without a tagged answer.
    End(End),
}

/// Why a connection ends.
#[derive(Debug)]
pub(crate) enum End {
    /// The client hung up, or the connection broke: there is nobody to say anything to.
    Lost(io::Error),
    /// We say `* BYE` (RFC 9051 §7.1.5) and hang up.
    Bye {
        /// The response code.
        code: Option<Code>,
        /// The reason, also for the log.
        text: &'static str,
    },
}

impl Answer {
    /// OK.
    pub(crate) fn ok(text: &'static str) -> Self {
        Self { condition: Condition::Ok, code: None, text: text.into() }
    }

    /// NO, with the reason as a code.
    pub(crate) fn no(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self { condition: Condition::No, code: Some(code), text: text.into() }
    }

    /// BAD: the client is wrong.
    pub(crate) fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self { condition: Condition::Bad, code: None, text: text.into() }
    }

    /// With a response code.
    pub(crate) fn with(self, code: Code) -> Self {
        Self { code: Some(code), ..self }
    }
}

impl Failure {
    /// NO, with the reason as a code.
    pub(crate) fn no(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused(Answer::no(code, text))
    }

    /// BAD: the client is wrong.
    pub(crate) fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Refused(Answer::bad(text))
    }
}

impl End {
    /// `* BYE`
    pub(crate) fn bye(text: &'static str) -> Self {
        Self::Bye { code: None, text }
    }
}

/// An error as the text of a response.
pub(crate) fn sentence(error: &impl ToString) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

impl From<ParseError> for Answer {
    fn from(error: ParseError) -> Self {
        Self { condition: error.verdict.into(), code: error.code, text: sentence(&error.text).into() }
    }
}

impl From<Answer> for Failure {
    fn from(answer: Answer) -> Self {
        Self::Refused(answer)
    }
}

impl From<ParseError> for Failure {
    fn from(error: ParseError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<End> for Failure {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::End(End::Lost(error))
    }
}
