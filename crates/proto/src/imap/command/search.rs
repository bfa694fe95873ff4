//! SEARCH and UID SEARCH (RFC 9051 §6.4.4, RFC 3501 §6.4.4, RFC 4731, RFC 5182).

use types::{Flag, SeqNum, SequenceSet, Uid};

/// `search = "SEARCH" [search-return-opts] SP search-program`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Search {
    /// UID SEARCH: the answer is in UIDs.
    pub by_uid: bool,
    /// `RETURN (…)`: `None` where it was not there; `RETURN ()` is `all`.
    pub returns: Option<SearchReturn>,
    /// What to look for. Strings are decoded from the charset.
    pub key: SearchKey,
}

/// What SEARCH answers (RFC 4731 §3.1, RFC 5182 §2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SearchReturn {
    /// `MIN`
    pub min: bool,
    /// `MAX`
    pub max: bool,
    /// `ALL`
    pub all: bool,
    /// `COUNT`
    pub count: bool,
    /// `SAVE`
    pub save: bool,
}

/// A calendar day, counted from 1970-01-01, to be compared with [`types::DateTime::day_number`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Day(pub i64);

/// `search-key` of RFC 9051 §9 and RFC 3501 §9. What is only short for something else (`UNSEEN`,
/// `NEW`, `OLD`) is read as that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SearchKey {
    /// `ALL`
    All,
    /// Several keys or `(…)`: all of them hold. At least one.
    And(Vec<Self>),
    /// `BCC`
    Bcc(String),
    /// `BEFORE`: internal date.
    Before(Day),
    /// `BODY`
    Body(String),
    /// `CC`
    Cc(String),
    /// `ANSWERED`, `DELETED`, `DRAFT`, `FLAGGED`, `SEEN`, `KEYWORD x`; the UN- forms are in [`Self::Not`].
    Flag(Flag),
    /// `FROM`
    From(String),
    /// `HEADER name value`; an empty value asks for the field alone.
    Header {
        /// The field's name.
        name: String,
        /// What it contains.
        value: String,
    },
    /// `LARGER`: octets.
    Larger(u64),
    /// `NOT`
    Not(Box<Self>),
    /// `ON`: internal date.
    On(Day),
    /// `OR`
    Or(Box<Self>, Box<Self>),
    /// `RECENT` (RFC 3501); `OLD` is its [`Self::Not`], `NEW` is this and not seen.
    Recent,
    /// `$` (RFC 5182): what SEARCH RETURN (SAVE) kept.
    Saved,
    /// `SENTBEFORE`: Date field.
    SentBefore(Day),
    /// `SENTON`: Date field.
    SentOn(Day),
    /// `SENTSINCE`: Date field.
    SentSince(Day),
    /// A sequence set.
    Seq(SequenceSet<SeqNum>),
    /// `SINCE`: internal date.
    Since(Day),
    /// `SMALLER`: octets.
    Smaller(u64),
    /// `SUBJECT`
    Subject(String),
    /// `TEXT`
    Text(String),
    /// `TO`
    To(String),
    /// `UID` and a set.
    Uid(SequenceSet<Uid>),
}
