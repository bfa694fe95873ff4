//! Commands, one file each: the type, its ABNF, its parser.

pub mod append;
pub mod authenticate;
pub mod copy;
pub mod create;
pub mod delete;
pub mod enable;
pub mod expunge;
pub mod fetch;
pub mod id;
pub mod list;
pub mod login;
pub mod lsub;
pub mod move_;
mod needs;
pub mod quota;
pub mod rename;
pub mod replace;
pub mod search;
pub mod select;
pub mod sort;
pub mod status;
pub mod store;
pub mod thread;
pub mod uid_batches;

use types::{Limits, MailboxName};

use super::lex::Cursor;
use super::{Dialect, Ids, ParseError, Tag};

pub use append::{AppendHead, AppendMessage};
pub use authenticate::{Authenticate, SaslResponse};
pub use copy::Copy;
pub use create::Create;
pub use delete::Delete;
pub use fetch::{Fetch, FetchItem};
pub use list::{List, ListReturn, ListSelection};
pub use login::Login;
pub use lsub::Lsub;
pub use move_::Move;
pub use quota::{QuotaRoot, SetQuota};
pub use rename::Rename;
pub use search::{Day, Search, SearchKey, SearchReturn};
pub use select::{Qresync, Select};
pub use sort::{Sort, SortCriterion, SortKey};
pub use status::{Status, StatusItem};
pub use store::{Store, StoreMode};
pub use thread::{Thread, ThreadAlgorithm};
pub use uid_batches::UidBatches;

/// A command with its tag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Comes back in the answer.
    pub tag: Tag,
    /// What is asked.
    pub command: Command,
}

/// What a client asks. APPEND and REPLACE are missing: their messages stream, so they arrive as
/// [`crate::imap::Event::Append`] and [`AppendHead`].
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
    /// RFC 4978 §3: DEFLATE, which is the only algorithm.
    Compress,
    /// RFC 8437 §3
    Unauthenticate,
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
    Delete(Delete),
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
    /// RFC 9208 §4.1.1
    GetQuota(QuotaRoot),
    /// RFC 9208 §4.1.2
    GetQuotaRoot(MailboxName),
    /// RFC 9208 §4.1.3
    SetQuota(SetQuota),
    /// RFC 5256 §3
    Sort(Sort),
    /// RFC 5256 §3
    Thread(Thread),
    /// RFC 10022
    UidBatches(UidBatches),
}

impl Command {
    /// True for the CONDSTORE enabling commands (RFC 7162 §3.1), ENABLE apart.
    pub fn enables_condstore(&self) -> bool {
        match self {
            Self::Select(select) | Self::Examine(select) => select.condstore || select.qresync.is_some(),
            Self::Status(status) => status.items.contains(&StatusItem::HighestModSeq),
            Self::List(list) => list.returns.status.contains(&StatusItem::HighestModSeq),
            Self::Fetch(fetch) => fetch.changed_since.is_some() || fetch.items.contains(&FetchItem::ModSeq),
            Self::Search(Search { key, .. }) | Self::Sort(Sort { key, .. }) | Self::Thread(Thread { key, .. }) => {
                key.asks_modseq()
            }
            Self::Store(store) => store.unchanged_since.is_some(),
            _ => false,
        }
    }
}

impl Request {
    /// Reads one command as [`crate::imap::Event::Command`] brings it: without its line end, its
    /// literals embedded.
    pub fn parse(octets: &[u8], dialect: Dialect, limits: &Limits) -> Result<Self, ParseError> {
        let (tag, mut c) = parse_tag(octets, dialect, limits)?;
        match parse_command(&mut c) {
            Ok(command) => Ok(Self { tag, command }),
            Err(error) => Err(ParseError { tag: Some(tag), ..error }),
        }
    }
}

/// `command = tag SP (command-any / command-auth / command-nonauth / command-select) CRLF`
fn parse_tag<'a>(octets: &'a [u8], dialect: Dialect, limits: &'a Limits) -> Result<(Tag, Cursor<'a>), ParseError> {
    let mut c = Cursor::new(octets, dialect, limits);
    let tag = Tag::of_line(octets).ok_or_else(|| ParseError::bad("a command begins with a tag"))?;
    c.take_while(|b| b != b' ');
    match c.space() {
        Ok(()) => Ok((tag, c)),
        Err(error) => Err(ParseError { tag: Some(tag), ..error }),
    }
}

fn parse_command(c: &mut Cursor<'_>) -> Result<Command, ParseError> {
    let word = c.word("a command")?;
    let command = match word.as_str() {
        "CAPABILITY" => Command::Capability,
        "NOOP" => Command::Noop,
        "LOGOUT" => Command::Logout,
        "STARTTLS" => Command::StartTls,
        "COMPRESS" => parse_compress(c)?,
        "UNAUTHENTICATE" => Command::Unauthenticate,
        "NAMESPACE" => Command::Namespace,
        "IDLE" => Command::Idle,
        "CHECK" => Command::Check,
        "CLOSE" => Command::Close,
        "UNSELECT" => Command::Unselect,
        "EXPUNGE" => Command::Expunge,
        "AUTHENTICATE" => Command::Authenticate(Authenticate::parse(c)?),
        "LOGIN" => Command::Login(Login::parse(c)?),
        "ID" => Command::Id(id::parse(c)?),
        "ENABLE" => Command::Enable(enable::parse(c)?),
        "SELECT" => Command::Select(Select::parse(c)?),
        "EXAMINE" => Command::Examine(Select::parse(c)?),
        "CREATE" => Command::Create(Create::parse(c)?),
        "DELETE" => Command::Delete(Delete::parse(c)?),
        "RENAME" => Command::Rename(Rename::parse(c)?),
        "SUBSCRIBE" => Command::Subscribe(parse_mailbox(c)?),
        "UNSUBSCRIBE" => Command::Unsubscribe(parse_mailbox(c)?),
        "LIST" => Command::List(List::parse(c)?),
        "LSUB" => Command::Lsub(Lsub::parse(c)?),
        "STATUS" => Command::Status(Status::parse(c)?),
        "GETQUOTA" => Command::GetQuota(QuotaRoot::parse(c)?),
        "GETQUOTAROOT" => Command::GetQuotaRoot(parse_mailbox(c)?),
        "SETQUOTA" => Command::SetQuota(SetQuota::parse(c)?),
        "APPEND" => return Err(append::without_message(c)),
        "UIDBATCHES" => Command::UidBatches(UidBatches::parse(c)?),
        "UID" => {
            c.space()?;
            let word = c.word("a command after UID")?;
            parse_message_command(&word, true, c)?
        }
        other => parse_message_command(other, false, c)?,
    };
    c.end()?;
    Ok(command)
}

/// The commands whose answers name messages by sequence number, unless `UID` stands before them.
const ANSWERED_BY_NUMBER: [&str; 7] = ["COPY", "FETCH", "MOVE", "SEARCH", "SORT", "STORE", "THREAD"];

/// The commands that name messages, by sequence number or by UID.
///
/// `uid = "UID" SP (copy / move / fetch / replace / search / sort / store / thread / uid-expunge)`
fn parse_message_command(word: &str, by_uid: bool, c: &mut Cursor<'_>) -> Result<Command, ParseError> {
    // RFC 9586 §3: also where the command names no message, or names them by `$`.
    if c.dialect.uid_only && !by_uid && ANSWERED_BY_NUMBER.contains(&word) {
        return Err(ParseError::uid_required());
    }
    Ok(match word {
        "COPY" => Command::Copy(Copy::parse(c, by_uid)?),
        "FETCH" => Command::Fetch(Fetch::parse(c, by_uid)?),
        "MOVE" => Command::Move(Move::parse(c, by_uid)?),
        "SEARCH" => Command::Search(Search::parse(c, by_uid)?),
        "SORT" => Command::Sort(Sort::parse(c, by_uid)?),
        "STORE" => Command::Store(Store::parse(c, by_uid)?),
        "THREAD" => Command::Thread(Thread::parse(c, by_uid)?),
        "REPLACE" => return Err(replace::without_message(c, by_uid)),
        "EXPUNGE" if by_uid => Command::UidExpunge(expunge::parse_uids(c)?),
        _ => return Err(ParseError::bad("unknown command")),
    })
}

/// `compress = "COMPRESS" SP algorithm`, `algorithm = "DEFLATE"` (RFC 4978 §5)
fn parse_compress(c: &mut Cursor<'_>) -> Result<Command, ParseError> {
    c.space()?;
    if c.eat_word("DEFLATE") { Ok(Command::Compress) } else { c.expected("DEFLATE") }
}

/// `getquotaroot = "GETQUOTAROOT" SP mailbox`, `subscribe = "SUBSCRIBE" SP mailbox`, `unsubscribe = "UNSUBSCRIBE" SP mailbox`
fn parse_mailbox(c: &mut Cursor<'_>) -> Result<MailboxName, ParseError> {
    c.space()?;
    c.mailbox()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::imap::Verdict;

    /// Parses what must be right, as IMAP4rev1.
    pub(super) fn ok(text: &str) -> Command {
        let parsed = Request::parse(text.as_bytes(), Dialect::default(), &Limits::default());
        parsed.unwrap_or_else(|e| panic!("{text}: {e}")).command
    }

    /// Parses what must be answered BAD, with its tag.
    pub(super) fn bad(text: &str) -> ParseError {
        refused(text, Verdict::Bad)
    }

    /// Parses what must be answered NO, with its tag.
    pub(super) fn no(text: &str) -> ParseError {
        refused(text, Verdict::No)
    }

    fn refused(text: &str, verdict: Verdict) -> ParseError {
        let parsed = Request::parse(text.as_bytes(), Dialect::default(), &Limits::default());
        let error = parsed.expect_err(text);
        let tag = error.tag.as_ref().map(Tag::as_str);
        assert_eq!((error.verdict, tag), (verdict, text.split(' ').next()), "{text}: {error}");
        error
    }

    #[test]
    fn commands_without_arguments() {
        for (text, command) in [
            ("a CAPABILITY", Command::Capability),
            ("a noop", Command::Noop),
            ("a Logout ", Command::Logout),
            ("a STARTTLS", Command::StartTls),
            ("a compress Deflate", Command::Compress),
            ("a UNAUTHENTICATE", Command::Unauthenticate),
            ("a NAMESPACE", Command::Namespace),
            ("a IDLE", Command::Idle),
            ("a CHECK", Command::Check),
            ("a CLOSE", Command::Close),
            ("a UNSELECT", Command::Unselect),
        ] {
            assert_eq!(ok(text), command);
            bad(&format!("{text} x"));
        }
    }

    #[test]
    fn commands_with_a_mailbox() {
        let name = |text| MailboxName::new(text).unwrap();
        assert_eq!(ok("a SUBSCRIBE \"a b\""), Command::Subscribe(name("a b")));
        assert_eq!(ok("a UNSUBSCRIBE {3}\r\na b"), Command::Unsubscribe(name("a b")));
        assert_eq!(ok("a GETQUOTAROOT inbox"), Command::GetQuotaRoot(MailboxName::inbox()));
        for word in ["GETQUOTAROOT", "SUBSCRIBE", "UNSUBSCRIBE"] {
            bad(&format!("a {word}"));
            bad(&format!("a {word} x y"));
            no(&format!("a {word} \"a*\""));
        }
    }

    // RFC 9586 §3
    #[test]
    fn numbers_once_uidonly_is_enabled() {
        let dialect = Dialect { condstore: true, qresync: true, uid_only: true, ..Dialect::REV1 };
        let parse = |text: &str| Request::parse(text.as_bytes(), dialect, &Limits::default());
        for text in [
            "a FETCH 1 FLAGS",
            "a FETCH $ FLAGS",
            "a FETCH",
            "a STORE * FLAGS (x)",
            "a COPY 1 x",
            "a MOVE 1:2 x",
            "a SEARCH ALL",
            "a SORT (DATE) UTF-8 UID 1",
            "a THREAD REFS UTF-8 ALL",
            "a UID SEARCH 1",
            "a UID SEARCH NOT (OR ALL *)",
            "a UID SORT (DATE) UTF-8 1",
            "a UID THREAD REFS UTF-8 1",
            "a SELECT x (QRESYNC (1 2 1:3 (1 1)))",
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!((error.verdict, error.code), (Verdict::Bad, Some(super::super::Code::UidRequired)), "{text}");
            assert!(error.tag.is_some());
        }
        for text in [
            "a UID FETCH * FLAGS",
            "a UID STORE $ FLAGS (x)",
            "a UID SEARCH UID 1:* $",
            "a UID SORT (DATE) UTF-8 $",
            "a EXPUNGE",
            "a SELECT x (QRESYNC (1 2 1:3))",
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_command() {
        for text in [
            "a COMPRESS",
            "a COMPRESS GZIP",
            "a COMPRESS DEFLATE64",
            "a FOO",
            "a",
            "a ",
            "a UID",
            "a UID NOOP",
            "a UID FOO 1",
            "a (",
            "a NOOP\r",
            "a NO\0OP",
            "a XLIST \"\" *",
        ] {
            bad(text);
        }
        for untagged in ["", " NOOP", "+ NOOP", "* NOOP", "(NOOP", "\u{fc} NOOP"] {
            let error = Request::parse(untagged.as_bytes(), Dialect::default(), &Limits::default()).unwrap_err();
            assert_eq!((error.tag, error.verdict), (None, Verdict::Bad), "{untagged}");
        }
        assert_eq!(bad("a APPEND x").text, "expected a space at octet 11");
        assert_eq!(bad("a APPEND x (\\Seen) y").text, "expected a literal at octet 20");
    }

    proptest! {
        #[test]
        fn arbitrary_octets_do_no_harm(octets in any::<Vec<u8>>(), rev2: bool, utf8: bool, qresync: bool, uid_only: bool) {
            let dialect = Dialect { rev2, utf8, condstore: qresync, qresync, uid_only };
            let _ = Request::parse(&octets, dialect, &Limits::default());
        }

        #[test]
        fn nearly_right_commands_do_no_harm(
            text in "a (UID )?(SEARCH|SORT|THREAD|FETCH 1|STORE 1|LIST|STATUS x|ID|APPEND x|CREATE x|SELECT|LOGIN|AUTHENTICATE|GETQUOTA|SETQUOTA x)( |\\(|\\)|\"|\\[|\\]|<|>|\\.|\\{1\\}\r\n|[0-9]|\\*|,|:|\\$|NOT|OR|BODY|BINARY|HEADER\\.FIELDS|RETURN|STATUS|REFS|REVERSE|DATE|UTF-8|1-Jan-2000|\\\\Seen|FLAGS|CONDSTORE|QRESYNC|CHANGEDSINCE|VANISHED|UNCHANGEDSINCE|MODSEQ|PARTIAL|STORAGE|-|x){0,30}"
        ) {
            let dialect = Dialect { condstore: true, qresync: true, ..Dialect::REV1 };
            let _ = Request::parse(text.as_bytes(), dialect, &Limits::default());
            let _ = AppendHead::parse(text.as_bytes(), Dialect::default(), &Limits::default());
        }
    }
}
