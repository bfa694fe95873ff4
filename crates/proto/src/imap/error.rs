//! Why a command was not understood, ready to be answered.

use super::{Code, Tag};

/// BAD or NO.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The client broke the grammar.
    Bad,
    /// The grammar is kept, but what it asks for can never be done (a mailbox name that cannot be,
    /// an unknown charset, more of something than a limit allows).
    No,
}

/// Why a command was not understood: everything that its tagged answer needs.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text}")]
pub struct ParseError {
    /// The command's tag, where it could be found; otherwise the answer is `* BAD`.
    pub tag: Option<Tag>,
    /// BAD or NO.
    pub verdict: Verdict,
    /// The response code of the answer.
    pub code: Option<Code>,
    /// What was wrong and where, for a human. The encoder makes it fit for the wire.
    pub text: String,
    /// It was a SEARCH with SAVE: a NO empties the saved result (RFC 5182 §2.1).
    pub empties_saved: bool,
}

impl ParseError {
    /// The client broke the grammar.
    pub fn bad(text: impl Into<String>) -> Self {
        Self { tag: None, verdict: Verdict::Bad, code: None, text: text.into(), empties_saved: false }
    }

    /// The client asks for what cannot be.
    pub(super) fn no(code: Code, text: impl Into<String>) -> Self {
        Self { tag: None, verdict: Verdict::No, code: Some(code), text: text.into(), empties_saved: false }
    }

    /// RFC 9586 §3: a sequence number although UIDONLY is enabled.
    pub(super) fn uid_required() -> Self {
        Self { code: Some(Code::UidRequired), ..Self::bad("only UIDs name messages once UIDONLY is enabled") }
    }

    /// RFC 5530 §3 LIMIT
    pub(super) fn limit(what: &str, limit: usize) -> Self {
        Self::no(Code::Limit, format!("more than {limit} {what}"))
    }
}
