//! LIST (RFC 9051 §6.3.9, RFC 5258, RFC 5819, RFC 6154).

use super::StatusItem;
use crate::imap::ListPattern;

/// `list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct List {
    /// Which mailboxes; default where the client gave no selection options.
    pub select: ListSelection,
    /// The reference, decoded. Already part of the patterns.
    pub reference: String,
    /// The patterns, at least one, each with the reference in front.
    pub patterns: Vec<ListPattern>,
    /// `LIST "" ""` in its basic form: asks for the hierarchy delimiter and the root of the
    /// reference, and nothing else (RFC 9051 §6.3.9).
    pub delimiter_only: bool,
    /// What to say about them; default where the client gave no return options.
    pub returns: ListReturn,
}

/// Selection options (RFC 5258 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ListSelection {
    /// The client sent selection options, if only `()`: the command is extended (RFC 5258 §3).
    pub given: bool,
    /// `SUBSCRIBED`: the subscribed names, existing or not. Implies the return option.
    pub subscribed: bool,
    /// `REMOTE`: remote mailboxes too (we have none).
    pub remote: bool,
    /// `RECURSIVEMATCH`: also parents of what matches, with CHILDINFO.
    pub recursive_match: bool,
    /// `SPECIAL-USE` (RFC 6154 §2): only mailboxes with such a use.
    pub special_use: bool,
}

/// Return options (RFC 5258 §3.2, RFC 5819, RFC 6154).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListReturn {
    /// The client sent return options, if only `()`: the command is extended (RFC 5258 §3).
    pub given: bool,
    /// `SUBSCRIBED`: say what is subscribed.
    pub subscribed: bool,
    /// `CHILDREN`: say what has children.
    pub children: bool,
    /// `SPECIAL-USE`: say what is for what.
    pub special_use: bool,
    /// `STATUS (…)`: a STATUS response for each selectable mailbox (RFC 5819); empty if not asked.
    pub status: Vec<StatusItem>,
}
