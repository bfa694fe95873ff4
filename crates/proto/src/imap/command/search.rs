//! SEARCH and UID SEARCH (RFC 9051 §6.4.4, RFC 3501 §6.4.4, RFC 4731, RFC 5182).

use std::num::NonZeroU32;

use types::{Flag, ModSeq, SeqNum, SequenceSet, Uid};

use crate::imap::charset::Charset;
use crate::imap::date::parse_date;
use crate::imap::lex::Cursor;
use crate::imap::{Ids, ObjectId, ParseError, Verdict, Window};

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

/// What SEARCH answers (RFC 4731 §3.1, RFC 5182 §2, RFC 9394 §3.1).
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
    /// `PARTIAL` (RFC 9394 §3.1): never with `all`.
    pub partial: Option<Window>,
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
    /// `EMAILID` (RFC 8474 §5.3)
    EmailId(ObjectId),
    /// `MODSEQ` (RFC 7162 §3.1.5): this or later. The name of a flag is read and ignored, since
    /// mod-sequences are those of whole messages.
    ModSeq(ModSeq),
    /// `NOT`
    Not(Box<Self>),
    /// `ON`: internal date.
    On(Day),
    /// `OLDER` (RFC 5032): the internal date is so many seconds ago, or more.
    Older(NonZeroU32),
    /// `OR`: one of them holds. At least two: `OR a OR b c` is read as one, since clients write
    /// long chains.
    Or(Vec<Self>),
    /// `RECENT` (RFC 3501); `OLD` is its [`Self::Not`], `NEW` is this and not seen.
    Recent,
    /// `$` (RFC 5182): what SEARCH RETURN (SAVE) kept.
    Saved,
    /// `SAVEDATESUPPORTED` (RFC 8514 §4.3)
    SaveDateSupported,
    /// `SAVEDBEFORE` (RFC 8514 §4.3): the day it came into the mailbox.
    SavedBefore(Day),
    /// `SAVEDON` (RFC 8514 §4.3)
    SavedOn(Day),
    /// `SAVEDSINCE` (RFC 8514 §4.3)
    SavedSince(Day),
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
    /// `THREADID` (RFC 8474 §5.3)
    ThreadId(ObjectId),
    /// `TO`
    To(String),
    /// `UID` and a set.
    Uid(SequenceSet<Uid>),
    /// `YOUNGER` (RFC 5032): the internal date is so many seconds ago, or less.
    Younger(NonZeroU32),
}

impl SearchKey {
    /// True where the answer tells the latest change (RFC 7162 §3.1.5).
    pub fn asks_modseq(&self) -> bool {
        self.any(&|key| matches!(key, Self::ModSeq(_)))
    }

    /// True where `is` holds for this key or one inside it.
    pub fn any(&self, is: &impl Fn(&Self) -> bool) -> bool {
        is(self)
            || match self {
                Self::And(keys) | Self::Or(keys) => keys.iter().any(|key| key.any(is)),
                Self::Not(key) => key.any(is),
                _ => false,
            }
    }
}

impl Search {
    pub(super) fn parse(c: &mut Cursor<'_>, by_uid: bool) -> Result<Self, ParseError> {
        c.space()?;
        let returns = SearchReturn::parse_optional(c)?;
        let saves = returns.is_some_and(|returns| returns.save);
        let key = search_program(c).map_err(|error| {
            let empties_saved = saves && error.verdict == Verdict::No;
            ParseError { empties_saved, ..error }
        })?;
        Ok(Self { by_uid, returns, key })
    }
}

/// `search-program = ["CHARSET" SP charset SP] search-key *(SP search-key)`
fn search_program(c: &mut Cursor<'_>) -> Result<SearchKey, ParseError> {
    let mut charset = Charset::default();
    if c.eat_word("CHARSET") {
        c.space()?;
        let name = c.astring("a charset")?;
        // RFC 9755 §3: with UTF8=ACCEPT a charset must not be given.
        if c.dialect.utf8 {
            return Err(ParseError::bad("SEARCH takes no CHARSET once UTF8=ACCEPT is enabled"));
        }
        charset = Charset::named(&name)?;
        c.space()?;
    }
    let mut keys = Keys { c, charset, left: 0 };
    keys.left = keys.c.limits.search_keys;
    keys.parse_all(0)
}

/// `search-criteria = charset 1*(SP search-key)`, of SORT and THREAD (RFC 5256 §5).
pub(super) fn search_criteria(c: &mut Cursor<'_>) -> Result<SearchKey, ParseError> {
    let name = c.astring("a charset")?;
    // RFC 9755 §3: with UTF8=ACCEPT the mandatory charset is UTF-8.
    if c.dialect.utf8 && !name.eq_ignore_ascii_case(b"UTF-8") {
        return Err(ParseError::bad("the charset is UTF-8 once UTF8=ACCEPT is enabled"));
    }
    let charset = Charset::named(&name)?;
    c.space()?;
    let mut keys = Keys { c, charset, left: 0 };
    keys.left = keys.c.limits.search_keys;
    keys.parse_all(0)
}

impl SearchReturn {
    /// False for SAVE alone, which has no answer but the tagged one (RFC 5182 §2.1).
    pub fn is_answered(&self) -> bool {
        self.min || self.max || self.all || self.count || self.partial.is_some()
    }

    /// `[search-return-opts SP]`, as SEARCH and SORT begin.
    pub(super) fn parse_optional(c: &mut Cursor<'_>) -> Result<Option<Self>, ParseError> {
        if !c.eat_word("RETURN") {
            return Ok(None);
        }
        c.space()?;
        let returns = Self::parse(c)?;
        c.space()?;
        Ok(Some(returns))
    }

    /// `search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"`
    fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        let mut returns = Self::default();
        c.list(true, |c| {
            let start = c.clone();
            match c.word("a result option")?.as_str() {
                "MIN" => returns.min = true,
                "MAX" => returns.max = true,
                // RFC 9394 §3.1: "either one PARTIAL, one ALL, or neither".
                "ALL" | "PARTIAL" if returns.all || returns.partial.is_some() => {
                    return Err(ParseError::bad("one of PARTIAL and ALL is possible, and once"));
                }
                "ALL" => returns.all = true,
                "PARTIAL" => {
                    c.space()?;
                    returns.partial = Some(Window::parse(c)?);
                }
                "COUNT" => returns.count = true,
                "SAVE" => returns.save = true,
                _ => return start.expected("MIN, MAX, ALL, COUNT, PARTIAL or SAVE"),
            }
            Ok(())
        })?;
        // RFC 4731 §3.1: an empty list is ALL.
        returns.all |= returns == Self::default();
        Ok(returns)
    }
}

/// Reads search keys. Depth is counted where keys nest, so a chain of OR or NOT costs none.
struct Keys<'c, 'a> {
    c: &'c mut Cursor<'a>,
    charset: Charset,
    /// How many keys may still come.
    left: usize,
}

impl Keys<'_, '_> {
    /// `search-key *(SP search-key)`, up to a closing parenthesis or the end of the line.
    fn parse_all(&mut self, depth: usize) -> Result<SearchKey, ParseError> {
        let first = self.parse_key(depth)?;
        let mut keys = vec![first];
        while self.c.peek() == Some(b' ') {
            self.c.space()?;
            // A space at the end of the line.
            if self.c.rest().iter().all(|&b| b == b' ') && depth == 0 {
                break;
            }
            keys.push(self.parse_key(depth)?);
        }
        match keys.pop() {
            Some(only) if keys.is_empty() => Ok(only),
            last => Ok(SearchKey::And(keys.into_iter().chain(last).collect())),
        }
    }

    fn parse_key(&mut self, depth: usize) -> Result<SearchKey, ParseError> {
        let limits = self.c.limits;
        if depth > limits.nesting {
            return Err(ParseError::limit("levels of search keys", limits.nesting));
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| ParseError::limit("search keys", limits.search_keys))?;
        match self.c.peek() {
            Some(b'(') => {
                self.c.eat(b'(');
                let key = self.parse_all(depth + 1)?;
                self.c.expect(b')', "a space or a closing parenthesis")?;
                Ok(key)
            }
            Some(b'0'..=b'9' | b'*' | b'$') => Ok(match self.c.ids(false)? {
                Ids::Seq(set) => SearchKey::Seq(set),
                Ids::Uid(set) => SearchKey::Uid(set),
                Ids::Saved { .. } => SearchKey::Saved,
            }),
            _ => self.parse_word(depth),
        }
    }

    fn parse_word(&mut self, depth: usize) -> Result<SearchKey, ParseError> {
        let start = self.c.clone();
        let word = self.c.word("a search key")?;
        Ok(match word.as_str() {
            "ALL" => SearchKey::All,
            "ANSWERED" => SearchKey::Flag(Flag::Answered),
            "BCC" => SearchKey::Bcc(self.string()?),
            "BEFORE" => SearchKey::Before(self.day()?),
            "BODY" => SearchKey::Body(self.string()?),
            "CC" => SearchKey::Cc(self.string()?),
            "DELETED" => SearchKey::Flag(Flag::Deleted),
            "DRAFT" => SearchKey::Flag(Flag::Draft),
            "EMAILID" => SearchKey::EmailId(self.object_id()?),
            "FLAGGED" => SearchKey::Flag(Flag::Flagged),
            "FROM" => SearchKey::From(self.string()?),
            "HEADER" => SearchKey::Header { name: self.string()?, value: self.string()? },
            "KEYWORD" => SearchKey::Flag(self.keyword()?),
            "LARGER" => SearchKey::Larger(self.number()?),
            "MODSEQ" => SearchKey::ModSeq(self.modseq()?),
            // RFC 3501 §6.4.4: "RECENT but not the SEEN".
            "NEW" => SearchKey::And(vec![SearchKey::Recent, not(SearchKey::Flag(Flag::Seen))]),
            "NOT" => self.parse_not(depth)?,
            "OLD" => not(SearchKey::Recent),
            "OLDER" => SearchKey::Older(self.interval()?),
            "ON" => SearchKey::On(self.day()?),
            "OR" => self.parse_or(depth)?,
            "RECENT" => SearchKey::Recent,
            "SAVEDATESUPPORTED" => SearchKey::SaveDateSupported,
            "SAVEDBEFORE" => SearchKey::SavedBefore(self.day()?),
            "SAVEDON" => SearchKey::SavedOn(self.day()?),
            "SAVEDSINCE" => SearchKey::SavedSince(self.day()?),
            "SEEN" => SearchKey::Flag(Flag::Seen),
            "SENTBEFORE" => SearchKey::SentBefore(self.day()?),
            "SENTON" => SearchKey::SentOn(self.day()?),
            "SENTSINCE" => SearchKey::SentSince(self.day()?),
            "SINCE" => SearchKey::Since(self.day()?),
            "SMALLER" => SearchKey::Smaller(self.number()?),
            "SUBJECT" => SearchKey::Subject(self.string()?),
            "TEXT" => SearchKey::Text(self.string()?),
            "THREADID" => SearchKey::ThreadId(self.object_id()?),
            "TO" => SearchKey::To(self.string()?),
            "UID" => self.uids()?,
            "UNANSWERED" => not(SearchKey::Flag(Flag::Answered)),
            "UNDELETED" => not(SearchKey::Flag(Flag::Deleted)),
            "UNDRAFT" => not(SearchKey::Flag(Flag::Draft)),
            "UNFLAGGED" => not(SearchKey::Flag(Flag::Flagged)),
            "UNKEYWORD" => not(SearchKey::Flag(self.keyword()?)),
            "UNSEEN" => not(SearchKey::Flag(Flag::Seen)),
            "YOUNGER" => SearchKey::Younger(self.interval()?),
            _ => return start.expected("a known search key"),
        })
    }

    /// `"NOT" SP search-key`, as many as there are.
    fn parse_not(&mut self, depth: usize) -> Result<SearchKey, ParseError> {
        let mut negative = true;
        self.c.space()?;
        while self.c.eat_word("NOT") {
            self.c.space()?;
            negative = !negative;
        }
        let key = self.parse_key(depth + 1)?;
        Ok(if negative { not(key) } else { key })
    }

    /// `"OR" SP search-key SP search-key`, where a key that is an OR itself adds one operand.
    fn parse_or(&mut self, depth: usize) -> Result<SearchKey, ParseError> {
        let mut missing = 2usize;
        let mut keys = Vec::new();
        while missing > 0 {
            self.c.space()?;
            if self.c.eat_word("OR") {
                missing += 1;
            } else {
                keys.push(self.parse_key(depth + 1)?);
                missing -= 1;
            }
        }
        Ok(SearchKey::Or(keys))
    }

    fn string(&mut self) -> Result<String, ParseError> {
        self.c.space()?;
        self.charset.decode(&self.c.astring_in_charset("a string")?)
    }

    fn day(&mut self) -> Result<Day, ParseError> {
        self.c.space()?;
        Ok(Day(parse_date(self.c)?.day_number()))
    }

    fn number(&mut self) -> Result<u64, ParseError> {
        self.c.space()?;
        self.c.number64()
    }

    /// `("OLDER" / "YOUNGER") SP nz-number`
    fn interval(&mut self) -> Result<NonZeroU32, ParseError> {
        self.c.space()?;
        self.c.nonzero("a number of seconds above zero")
    }

    /// `search-modsequence = "MODSEQ" [SP entry-name SP entry-type-req] SP mod-sequence-valzer`
    fn modseq(&mut self) -> Result<ModSeq, ParseError> {
        self.c.space()?;
        let start = self.c.clone();
        if !matches!(self.c.peek(), Some(b'0'..=b'9')) {
            // entry-name = DQUOTE "/flags/" attr-flag DQUOTE; some clients send it as an atom.
            let name = self.c.astring("the name of a flag or a mod-sequence")?;
            if !name.get(..7).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"/flags/")) {
                return start.expected("the name of a flag or a mod-sequence");
            }
            self.c.space()?;
            let kind = self.c.clone();
            if !["PRIV", "SHARED", "ALL"].contains(&self.c.word("priv, shared or all")?.as_str()) {
                return kind.expected("priv, shared or all");
            }
            self.c.space()?;
        }
        self.c.modseq()
    }

    /// `objectid`, see [`ObjectId`].
    fn object_id(&mut self) -> Result<ObjectId, ParseError> {
        self.c.space()?;
        let start = self.c.clone();
        let id = std::str::from_utf8(&self.c.astring("an identifier")?).ok().and_then(ObjectId::new);
        id.map_or_else(|| start.expected("an identifier"), Ok)
    }

    /// `flag-keyword = … / atom`
    fn keyword(&mut self) -> Result<Flag, ParseError> {
        self.c.space()?;
        let start = self.c.clone();
        match self.c.flag()? {
            flag @ Flag::Keyword(_) => Ok(flag),
            _ => start.expected("a keyword"),
        }
    }

    /// `"UID" SP sequence-set`
    fn uids(&mut self) -> Result<SearchKey, ParseError> {
        self.c.space()?;
        Ok(match self.c.ids(true)? {
            Ids::Uid(set) => SearchKey::Uid(set),
            Ids::Seq(set) => SearchKey::Seq(set),
            Ids::Saved { .. } => SearchKey::Saved,
        })
    }
}

fn not(key: SearchKey) -> SearchKey {
    SearchKey::Not(Box::new(key))
}

#[cfg(test)]
mod tests {
    use types::{Keyword, Limits};

    use super::super::tests::{bad, no, ok};
    use super::*;
    use crate::imap::{Code, Command, Dialect, Request};

    fn parsed(text: &str) -> Search {
        match ok(&format!("a SEARCH {text}")) {
            Command::Search(s) => s,
            other => panic!("{other:?}"),
        }
    }

    fn key(text: &str) -> SearchKey {
        parsed(text).key
    }

    fn seen() -> SearchKey {
        SearchKey::Flag(Flag::Seen)
    }

    #[test]
    fn every_key() {
        use SearchKey::*;
        let jan = |n: i64| Day(n - 1);
        let s = || "x".to_owned();
        for (text, expected) in [
            ("ALL", All),
            ("ANSWERED", Flag(types::Flag::Answered)),
            ("bcc x", Bcc(s())),
            ("BEFORE 1-Jan-1970", Before(jan(1))),
            ("BODY x", Body(s())),
            ("CC x", Cc(s())),
            ("DELETED", Flag(types::Flag::Deleted)),
            ("DRAFT", Flag(types::Flag::Draft)),
            ("FLAGGED", Flag(types::Flag::Flagged)),
            ("FROM x", From(s())),
            ("HEADER Message-ID \"\"", Header { name: "Message-ID".into(), value: String::new() }),
            ("KEYWORD $Junk", Flag(types::Flag::Keyword(Keyword::new("$junk").unwrap()))),
            ("LARGER 9", Larger(9)),
            ("EMAILID E1-2", EmailId(ObjectId::numbered('E', 1, 2))),
            ("THREADID T1-2", ThreadId(ObjectId::numbered('T', 1, 2))),
            ("MODSEQ 0", ModSeq(types::ModSeq::ZERO)),
            ("MODSEQ \"/flags/\\\\draft\" all 1", ModSeq(types::ModSeq::ZERO.next())),
            ("SAVEDATESUPPORTED", SaveDateSupported),
            ("SAVEDBEFORE 3-Jan-1970", SavedBefore(jan(3))),
            ("SAVEDON 3-Jan-1970", SavedOn(jan(3))),
            ("SAVEDSINCE 3-Jan-1970", SavedSince(jan(3))),
            ("NEW", And(vec![Recent, not(seen())])),
            ("NOT SEEN", not(seen())),
            ("NOT NOT SEEN", seen()),
            ("OLD", not(Recent)),
            ("OLDER 86400", Older(NonZeroU32::new(86400).unwrap())),
            ("YOUNGER 4294967295", Younger(NonZeroU32::MAX)),
            ("ON \"2-Jan-1970\"", On(jan(2))),
            ("OR SEEN ALL", Or(vec![seen(), All])),
            ("OR OR SEEN ALL RECENT", Or(vec![seen(), All, Recent])),
            ("OR SEEN OR ALL RECENT", Or(vec![seen(), All, Recent])),
            ("RECENT", Recent),
            ("SEEN", seen()),
            ("SENTBEFORE 3-Jan-1970", SentBefore(jan(3))),
            ("SENTON 3-Jan-1970", SentOn(jan(3))),
            ("SENTSINCE 3-Jan-1970", SentSince(jan(3))),
            ("SINCE 3-Jan-1970", Since(jan(3))),
            ("SMALLER 9", Smaller(9)),
            ("SUBJECT {1}\r\nx", Subject(s())),
            ("TEXT x", Text(s())),
            ("TO x", To(s())),
            ("UNANSWERED", not(Flag(types::Flag::Answered))),
            ("UNDELETED", not(Flag(types::Flag::Deleted))),
            ("UNDRAFT", not(Flag(types::Flag::Draft))),
            ("UNFLAGGED", not(Flag(types::Flag::Flagged))),
            ("UNKEYWORD x", not(Flag(types::Flag::Keyword(Keyword::new("x").unwrap())))),
            ("UNSEEN", not(seen())),
            ("$", Saved),
            ("UID $", Saved),
            ("(SEEN)", seen()),
            ("SEEN (ALL RECENT) ", And(vec![seen(), And(vec![All, Recent])])),
        ] {
            assert_eq!(key(text), expected, "{text}");
        }
        assert!(matches!(key("2,4:7,9"), Seq(set) if set.to_string() == "2,4:7,9"));
        assert!(matches!(key("*"), Seq(set) if set.to_string() == "*"));
        assert!(matches!(key("UID 1:*"), Uid(set) if set.to_string() == "1:*"));
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 9051 §6.4.4
        let s = parsed("FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"");
        assert!(matches!(s.key, SearchKey::And(keys) if keys.len() == 3) && s.returns.is_none());
        let s = parsed("RETURN (MIN COUNT) FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"");
        assert_eq!(s.returns, Some(SearchReturn { min: true, count: true, ..SearchReturn::default() }));
        assert_eq!(parsed("RETURN () ALL").returns, Some(SearchReturn { all: true, ..SearchReturn::default() }));
        let s = parsed("RETURN (SAVE) CHARSET UTF-8 SUBJECT {6}\r\nпод");
        assert_eq!(
            (s.key, s.returns.map(|r| (r.save, r.all))),
            (SearchKey::Subject("под".into()), Some((true, false)))
        );
        assert!(matches!(ok("a UID SEARCH ALL"), Command::Search(s) if s.by_uid));
    }

    #[test]
    fn what_is_no_search() {
        for text in [
            "",
            "FOO",
            "FROM",
            "OR SEEN",
            "OR SEEN ",
            "NOT",
            "(SEEN",
            "SEEN)",
            "()",
            "( SEEN)",
            "(SEEN )",
            "BEFORE x",
            "KEYWORD \\Seen",
            "LARGER x",
            "UID x",
            "OLDER",
            "OLDER 0",
            "YOUNGER -1",
            "YOUNGER 4294967296",
            "RETURN ALL",
            "RETURN (FOO) ALL",
            "RETURN (ALL)",
            "RETURN (ALL ALL) ALL",
            "RETURN (ALL PARTIAL 1:2) ALL",
            "RETURN (PARTIAL 1:2 ALL) ALL",
            "RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL",
            "RETURN (PARTIAL) ALL",
            "RETURN (PARTIAL 1) ALL",
            "RETURN (PARTIAL 0:1) ALL",
            "RETURN (PARTIAL 1:*) ALL",
            "RETURN (PARTIAL -1:2) ALL",
            "RETURN (PARTIAL 1:-2) ALL",
            "RETURN (PARTIAL 1:4294967296) ALL",
            "RETURN (PARTIAL (1:2)) ALL",
            "CHARSET UTF-8",
            "0",
            "SEEN  ALL",
            "HEADER x",
            "SINCE 30-Feb-2020",
        ] {
            bad(&format!("a SEARCH {text}"));
        }
    }

    #[test]
    fn charsets() {
        let search = |octets: &[u8], utf8| {
            let line = [b"a SEARCH ", octets].concat();
            Request::parse(&line, Dialect { utf8, ..Dialect::REV1 }, &Limits::default()).map(|r| r.command)
        };
        let subject =
            |text: &str| Command::Search(Search { by_uid: false, returns: None, key: SearchKey::Subject(text.into()) });
        assert_eq!(search(b"CHARSET us-ascii SUBJECT x", false), Ok(subject("x")));
        assert_eq!(search(b"CHARSET ISO-8859-1 SUBJECT \"\xfcber\"", false), Ok(subject("über")));
        assert_eq!(search(b"CHARSET \"KOI8-R\" SUBJECT {3}\r\n\xd0\xcf\xc4", false), Ok(subject("под")));
        // Without a charset, UTF-8 is what clients send.
        assert_eq!(search("SUBJECT \"über\"".as_bytes(), false), Ok(subject("über")));
        assert!(
            search(b"SUBJECT \"\xfcber\"", false).is_err() && search(b"CHARSET UTF-8 SUBJECT \"\xff\"", false).is_err()
        );
        assert!(
            matches!(no("a SEARCH CHARSET x-unknown ALL").code, Some(Code::BadCharset(list)) if list.contains(&"UTF-8"))
        );
        no("a SEARCH CHARSET ISO-2022-CN ALL");
        assert!(search(b"CHARSET UTF-8 ALL", true).is_err() && search(b"ALL", true).is_ok());
    }

    #[test]
    fn both_sides_of_the_limits() {
        let nested = |n: usize| format!("{}SEEN{}", "(".repeat(n), ")".repeat(n));
        key(&nested(20));
        assert_eq!(no(&format!("a SEARCH {}", nested(21))).code, Some(Code::Limit));
        let or_not = |n: usize| "OR ALL NOT ".repeat(n) + "ALL";
        key(&or_not(10));
        assert_eq!(no(&format!("a SEARCH {}", or_not(11))).code, Some(Code::Limit));
        key(&vec!["SEEN"; 1000].join(" "));
        assert_eq!(no(&format!("a SEARCH {}", vec!["SEEN"; 1001].join(" "))).code, Some(Code::Limit));
        // Chains are no depth.
        assert!(matches!(key(&("OR TO x ".repeat(400) + "SEEN")), SearchKey::Or(keys) if keys.len() == 401));
        assert!(matches!(key(&("NOT ".repeat(9999) + "SEEN")), SearchKey::Not(_)));
    }
}
