//! Commands, one file each: the type, its ABNF, its parser.

pub mod append;
pub mod authenticate;
pub mod copy;
pub mod create;
pub mod enable;
pub mod expunge;
pub mod fetch;
pub mod id;
pub mod list;
pub mod login;
pub mod lsub;
pub mod move_;
pub mod rename;
pub mod search;
pub mod select;
pub mod status;
pub mod store;

use types::{Limits, MailboxName};

use super::{Dialect, Ids, ParseError, Tag};

pub use append::{AppendHead, AppendMessage};
pub use authenticate::{Authenticate, SaslResponse};
pub use copy::Copy;
pub use create::Create;
pub use fetch::{Fetch, FetchItem};
pub use list::{List, ListReturn, ListSelection};
pub use login::Login;
pub use lsub::Lsub;
pub use move_::Move;
pub use rename::Rename;
pub use search::{Day, Search, SearchKey, SearchReturn};
pub use select::Select;
pub use status::{Status, StatusItem};
pub use store::{Store, StoreMode};

/// A command with its tag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Comes back in the answer.
    pub tag: Tag,
    /// What is asked.
    pub command: Command,
}

/// What a client asks. APPEND is missing: its messages stream, so it arrives as
/// [`crate::imap::Event::Message`] and [`AppendHead`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// RFC 9051 §6.1.1
    Capability,
    /// RFC 9051 §6.1.2
    Noop,
    /// RFC 9051 §6.1.3
    Logout,
    /// RFC 9051 §6.2.1
    StartTls,
    /// RFC 9051 §6.2.2
    Authenticate(Authenticate),
    /// RFC 9051 §6.2.3
    Login(Login),
    /// RFC 2971 §3.1: the fields; empty for NIL.
    Id(Vec<(String, Option<String>)>),
    /// RFC 9051 §6.3.1: the names, in capitals, known or not.
    Enable(Vec<String>),
    /// RFC 9051 §6.3.2
    Select(Select),
    /// RFC 9051 §6.3.3
    Examine(Select),
    /// RFC 9051 §6.3.4
    Create(Create),
    /// RFC 9051 §6.3.5
    Delete(MailboxName),
    /// RFC 9051 §6.3.6
    Rename(Rename),
    /// RFC 9051 §6.3.7
    Subscribe(MailboxName),
    /// RFC 9051 §6.3.8
    Unsubscribe(MailboxName),
    /// RFC 9051 §6.3.9, RFC 5258
    List(List),
    /// RFC 3501 §6.3.9
    Lsub(Lsub),
    /// RFC 9051 §6.3.10
    Namespace,
    /// RFC 9051 §6.3.11
    Status(Status),
    /// RFC 9051 §6.3.13; then call [`crate::imap::Fragmenter::expect_line`].
    Idle,
    /// RFC 3501 §6.4.1
    Check,
    /// RFC 9051 §6.4.1
    Close,
    /// RFC 9051 §6.4.2
    Unselect,
    /// RFC 9051 §6.4.3
    Expunge,
    /// RFC 9051 §6.4.9: only [`Ids::Uid`] or [`Ids::Saved`].
    UidExpunge(Ids),
    /// RFC 9051 §6.4.4
    Search(Search),
    /// RFC 9051 §6.4.5
    Fetch(Fetch),
    /// RFC 9051 §6.4.6
    Store(Store),
    /// RFC 9051 §6.4.7
    Copy(Copy),
    /// RFC 9051 §6.4.8
    Move(Move),
}

impl Request {
    /// Reads one command as [`crate::imap::Event::Command`] brings it: without its line end, its
    /// literals embedded.
    pub fn parse(_octets: &[u8], _dialect: Dialect, _limits: &Limits) -> Result<Self, ParseError> {
        Err(ParseError { tag: None, verdict: super::Verdict::Bad, code: None, text: String::new() })
    }
}
