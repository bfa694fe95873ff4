//! A cursor over one command, and the tokens that commands share.
//!
//! Invariant: the cursor only moves over octets that it has looked at; every token is bounded by
//! the command, which the fragmenter has bounded before.

use std::borrow::Cow;
use std::num::NonZeroU32;

use types::{Flag, Flags, IdSet, Limits, MailboxName, ModSeq, Number, SequenceSet, SetBound, Uid};

use super::{Dialect, Ids, ParseError, mailbox};

type Result<T> = std::result::Result<T, ParseError>;

/// `ASTRING-CHAR = ATOM-CHAR / resp-specials`
pub(super) fn is_astring_char(b: u8) -> bool {
    is_atom_char(b) || b == b']'
}

/// `ATOM-CHAR = <any CHAR except atom-specials>`
pub(super) fn is_atom_char(b: u8) -> bool {
    b.is_ascii_graphic() && !matches!(b, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

/// Reads one command from left to right.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    octets: &'a [u8],
    at: usize,
    /// How strings are to be understood.
    pub(super) dialect: Dialect,
    /// How much of anything is taken.
    pub(super) limits: &'a Limits,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(octets: &'a [u8], dialect: Dialect, limits: &'a Limits) -> Self {
        Self { octets, at: 0, dialect, limits }
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.octets.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    /// An error at this place.
    pub(super) fn expected<T>(&self, what: &str) -> Result<T> {
        Err(ParseError::bad(format!("expected {what} at octet {}", self.at + 1)))
    }

    /// Takes one octet if it is `b`.
    pub(super) fn eat(&mut self, b: u8) -> bool {
        let there = self.peek() == Some(b);
        self.at += usize::from(there);
        there
    }

    /// Takes `word`, in any case, if that is what comes next and it does not go on as a longer atom.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let there = self.rest().split_at_checked(word.len()).is_some_and(|(next, after)| {
            next.eq_ignore_ascii_case(word.as_bytes()) && !after.first().is_some_and(|&b| is_atom_char(b))
        });
        if there {
            self.at += word.len();
        }
        there
    }

    pub(super) fn expect(&mut self, b: u8, what: &str) -> Result<()> {
        if self.eat(b) { Ok(()) } else { self.expected(what) }
    }

    pub(super) fn space(&mut self) -> Result<()> {
        self.expect(b' ', "a space")
    }

    /// The end of the command. RFC 9051 §9 allows nothing before it; some clients send a space.
    pub(super) fn end(&mut self) -> Result<()> {
        while self.eat(b' ') {}
        if self.rest().is_empty() { Ok(()) } else { self.expected("the end of the line") }
    }

    /// The longest run of octets that are `wanted`, perhaps empty.
    pub(super) fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let run = rest.split_at(rest.iter().position(|&b| !wanted(b)).unwrap_or(rest.len())).0;
        self.at += run.len();
        run
    }

    /// `atom = 1*ATOM-CHAR`
    pub(super) fn atom(&mut self, what: &str) -> Result<&'a str> {
        let run = self.take_while(is_atom_char);
        match std::str::from_utf8(run) {
            Ok(text) if !text.is_empty() => Ok(text),
            _ => self.expected(what),
        }
    }

    /// An atom in capitals.
    pub(super) fn word(&mut self, what: &str) -> Result<String> {
        self.atom(what).map(str::to_ascii_uppercase)
    }

    /// `number64 = 1*DIGIT`, at most 63 bits (RFC 9051 §4.2).
    pub(super) fn number64(&mut self) -> Result<u64> {
        let start = self.clone();
        let digits = self.take_while(|b| b.is_ascii_digit());
        let number = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok());
        match number.filter(|&n| n <= u64::MAX / 2) {
            Some(number) => Ok(number),
            None => start.expected("a number"),
        }
    }

    /// `mod-sequence-valzer = "0" / mod-sequence-value` (RFC 7162 §7). Also where the grammar has no
    /// zero: iOS sends `CHANGEDSINCE 0`.
    pub(super) fn modseq(&mut self) -> Result<ModSeq> {
        let start = self.clone();
        ModSeq::new(self.number64()?).map_or_else(|| start.expected("a mod-sequence"), Ok)
    }

    /// A set of numbers without `*`.
    pub(super) fn plain_set<T: Number>(&mut self) -> Result<IdSet<T>> {
        let start = self.clone();
        let set = self.sequence_set::<T>()?;
        let is_plain = set.ranges().iter().all(|&(a, b)| a != SetBound::Last && b != SetBound::Last);
        if is_plain { Ok(set.resolve(None)) } else { start.expected("a set without *") }
    }

    /// `nz-number = digit-nz *DIGIT`, at most 32 bits (RFC 9051 §4.2).
    pub(super) fn nz_number<T: Number>(&mut self) -> Result<T> {
        let start = self.clone();
        match self.number64().map(u32::try_from) {
            Ok(Ok(n)) => T::new(n).map_or_else(|| start.expected("a number that is not zero"), Ok),
            _ => start.expected("a number between 1 and 4294967295"),
        }
    }

    /// `nz-number` where it counts neither messages nor UIDs.
    pub(super) fn nonzero(&mut self, what: &str) -> Result<NonZeroU32> {
        let start = self.clone();
        let number = self.number64().ok().and_then(|n| u32::try_from(n).ok()).and_then(NonZeroU32::new);
        number.map_or_else(|| start.expected(what), Ok)
    }

    /// `astring = 1*ASTRING-CHAR / string`
    pub(super) fn astring(&mut self, what: &str) -> Result<Cow<'a, [u8]>> {
        self.string_or(what, is_astring_char)
    }

    /// `list-mailbox = 1*list-char / string`
    pub(super) fn list_mailbox(&mut self) -> Result<Cow<'a, [u8]>> {
        self.string_or("a mailbox pattern", |b| is_astring_char(b) || matches!(b, b'%' | b'*'))
    }

    fn string_or(&mut self, what: &str, is_bare: impl Fn(u8) -> bool) -> Result<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(what),
            _ => match self.take_while(is_bare) {
                [] => self.expected(what),
                run => Ok(Cow::Borrowed(run)),
            },
        }
    }

    /// `string = quoted / literal`
    pub(super) fn string(&mut self, what: &str) -> Result<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal().map(Cow::Borrowed),
            _ => self.expected(what),
        }
    }

    /// As [`Self::astring`], in a charset that the caller knows.
    pub(super) fn astring_in_charset(&mut self, what: &str) -> Result<Cow<'a, [u8]>> {
        if self.peek() == Some(b'"') { self.quoted_octets() } else { self.astring(what) }
    }

    /// `quoted = DQUOTE *uQUOTED-CHAR DQUOTE`. Octets beyond ASCII are UTF-8 by RFC 9051; IMAP4rev1
    /// forbids them, and clients send them.
    fn quoted(&mut self) -> Result<Cow<'a, [u8]>> {
        let quoted = self.quoted_octets()?;
        // RFC 9755 §3: what is not UTF-8 is BAD.
        if std::str::from_utf8(&quoted).is_ok() {
            Ok(quoted)
        } else {
            Err(ParseError::bad("a quoted string is not UTF-8"))
        }
    }

    fn quoted_octets(&mut self) -> Result<Cow<'a, [u8]>> {
        self.expect(b'"', "a quotation mark")?;
        let plain = self.take_while(is_quoted_char);
        if self.eat(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut unescaped = plain.to_vec();
        while self.eat(b'\\') {
            match self.peek() {
                Some(b @ (b'"' | b'\\')) => unescaped.push(b),
                _ => return self.expected("a quotation mark or a backslash after the backslash"),
            }
            self.at += 1;
            unescaped.extend_from_slice(self.take_while(is_quoted_char));
        }
        self.expect(b'"', "the end of the quoted string")?;
        Ok(Cow::Owned(unescaped))
    }

    /// `literal = "{" number64 ["+"] "}" CRLF *CHAR8`; the fragmenter has seen to its size.
    fn literal(&mut self) -> Result<&'a [u8]> {
        self.expect(b'{', "a literal")?;
        let size = self.number64()?;
        self.eat(b'+');
        self.expect(b'}', "the end of the literal's size")?;
        self.eat(b'\r');
        self.expect(b'\n', "the end of the line after the literal's size")?;
        let octets = usize::try_from(size).ok().and_then(|size| self.rest().get(..size));
        let Some(octets) = octets else {
            return self.expected("the literal");
        };
        self.at += octets.len();
        // CHAR8 = %x01-ff
        if octets.contains(&0) {
            return Err(ParseError::bad("a literal contains NUL"));
        }
        Ok(octets)
    }

    /// `nstring = string / nil`
    pub(super) fn nstring(&mut self, what: &str) -> Result<Option<Cow<'a, [u8]>>> {
        if self.eat_word("NIL") { Ok(None) } else { self.string(what).map(Some) }
    }

    /// `mailbox = "INBOX" / astring`; a name that cannot be is `NO [CANNOT]`.
    pub(super) fn mailbox(&mut self) -> Result<MailboxName> {
        Ok(self.mailbox_as_written()?.0)
    }

    /// As [`Self::mailbox`], with the client's spelling where it is not ours.
    pub(super) fn mailbox_as_written(&mut self) -> Result<(MailboxName, Option<String>)> {
        let octets = self.astring("a mailbox name")?;
        let name = mailbox::decode(&octets, self.dialect)
            .map_err(|why| ParseError::no(super::Code::Cannot, why.to_string()))?;
        let old_name = mailbox::written_otherwise(&octets, &name, self.dialect);
        Ok((name, old_name))
    }

    /// `"(" item *(SP item) ")"`; `()` only where `may_be_empty`.
    pub(super) fn list<T>(
        &mut self,
        may_be_empty: bool,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.expect(b'(', "an opening parenthesis")?;
        let mut items = Vec::new();
        if may_be_empty && self.eat(b')') {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.eat(b')') {
                return Ok(items);
            }
            self.expect(b' ', "a space or a closing parenthesis")?;
        }
    }

    /// The messages that a command names, by UID or by sequence number.
    pub(super) fn ids(&mut self, by_uid: bool) -> Result<Ids> {
        // RFC 5182 §3: sequence-set =/ seq-last-command
        if self.eat(b'$') {
            return Ok(Ids::Saved { by_uid });
        }
        // RFC 9586 §3: `$` is no number; a sequence set is.
        if self.dialect.uid_only && !by_uid {
            return Err(ParseError::uid_required());
        }
        if by_uid { self.sequence_set::<Uid>().map(Ids::Uid) } else { self.sequence_set().map(Ids::Seq) }
    }

    /// The one message that a command names: `seq-number`.
    pub(super) fn one_id(&mut self, by_uid: bool) -> Result<Ids> {
        Ok(if by_uid {
            Ids::Uid(SequenceSet::one(self.set_bound()?))
        } else {
            Ids::Seq(SequenceSet::one(self.set_bound()?))
        })
    }

    /// `sequence-set = (seq-number / seq-range) ["," sequence-set]`
    pub(super) fn sequence_set<T: Number>(&mut self) -> Result<SequenceSet<T>> {
        let mut ranges = Vec::new();
        loop {
            let first = self.set_bound()?;
            let last = if self.eat(b':') { self.set_bound()? } else { first };
            if ranges.len() >= self.limits.set_ranges {
                return Err(ParseError::limit("ranges in a set", self.limits.set_ranges));
            }
            ranges.push((first, last));
            if !self.eat(b',') {
                break;
            }
        }
        SequenceSet::new(ranges).map_or_else(|| self.expected("a set of messages"), Ok)
    }

    /// `seq-number = nz-number / "*"`
    fn set_bound<T: Number>(&mut self) -> Result<SetBound<T>> {
        if self.eat(b'*') {
            return Ok(SetBound::Last);
        }
        match self.peek() {
            Some(b'0'..=b'9') => self.nz_number().map(SetBound::Number),
            _ => self.expected("a message number or *"),
        }
    }

    /// `flag-list = "(" [flag *(SP flag)] ")"`
    pub(super) fn flag_list(&mut self) -> Result<Flags> {
        let mut flags = Flags::NONE;
        self.list(true, |c| c.flag_into(&mut flags))?;
        Ok(flags)
    }

    /// One `flag`, put into `flags`.
    pub(super) fn flag_into(&mut self, flags: &mut Flags) -> Result<()> {
        flags.insert(self.flag()?);
        let most = self.limits.keywords_per_message;
        if flags.keywords().len() > most { Err(ParseError::limit("keywords", most)) } else { Ok(()) }
    }

    /// `flag = "\Answered" / … / flag-keyword`. A flag-extension is refused: we know of none.
    pub(super) fn flag(&mut self) -> Result<Flag> {
        let start = self.clone();
        // A keyword may contain "]", which Gmail and others use.
        let text = self.take_while(|b| is_astring_char(b) || b == b'\\');
        match std::str::from_utf8(text).map(Flag::parse) {
            Ok(Ok(flag)) => Ok(flag),
            Ok(Err(why)) => Err(ParseError::bad(format!("{why}, at octet {}", start.at + 1))),
            Err(_) => start.expected("a flag"),
        }
    }
}

/// What stands for itself between quotation marks.
fn is_quoted_char(b: u8) -> bool {
    !matches!(b, b'"' | b'\\' | b'\r' | b'\n' | 0)
}

#[cfg(test)]
mod tests {
    use types::SeqNum;

    use super::*;

    fn with<T>(text: &[u8], f: impl FnOnce(&mut Cursor<'_>) -> Result<T>) -> std::result::Result<(T, String), String> {
        let limits = Limits { set_ranges: 3, keywords_per_message: 2, ..Limits::default() };
        let mut cursor = Cursor::new(text, Dialect::default(), &limits);
        let value = f(&mut cursor).map_err(|e| e.text)?;
        Ok((value, String::from_utf8_lossy(cursor.rest()).into_owned()))
    }

    fn astring(text: &[u8]) -> std::result::Result<(Vec<u8>, String), String> {
        with(text, |c| c.astring("a string").map(Cow::into_owned))
    }

    #[test]
    fn strings() {
        assert_eq!(astring(b"a]b c"), Ok((b"a]b".to_vec(), " c".into())));
        assert_eq!(astring(br#""a \"b\\" c"#), Ok((br#"a "b\"#.to_vec(), " c".into())));
        assert_eq!(astring(br#""""#), Ok((vec![], String::new())));
        assert_eq!(astring(b"{3}\r\na\r\n) c"), Ok((b"a\r\n".to_vec(), ") c".into())));
        assert_eq!(astring(b"{3+}\nabcd"), Ok((b"abc".to_vec(), "d".into())));
        assert_eq!(astring(b"{0}\r\n"), Ok((vec![], String::new())));
        assert_eq!(astring("\"ü\"".as_bytes()), Ok(("ü".as_bytes().to_vec(), String::new())));
    }

    #[test]
    fn what_is_no_string() {
        for bad in [
            &b""[..],
            b"(",
            b"\xfc",
            b"\"a",
            b"\"a\\n\"",
            b"\"a\rb\"",
            b"\"a\0\"",
            b"{3}\r\nab",
            b"{3}abc",
            b"{}\r\n",
            b"{-1}\r\n",
            b"{3}\r\na\0c",
            b"{99999999999999999999}\r\n",
            b"~{3}\r\nabc",
            b"\"\\",
            b"\0",
        ] {
            let read = astring(bad);
            assert!(read.is_err() || read == Ok((b"~".to_vec(), "{3}\r\nabc".into())), "{bad:?}");
        }
    }

    #[test]
    fn sets() {
        let set = |text: &[u8]| with(text, |c| c.sequence_set::<SeqNum>()).map(|(set, rest)| (set.to_string(), rest));
        assert_eq!(set(b"2,4:7,9:* x"), Ok(("2,4:7,9:*".into(), " x".into())));
        assert_eq!(set(b"*:4"), Ok(("*:4".into(), String::new())));
        assert_eq!(set(b"1,2,3").unwrap().0, "1,2,3");
        assert_eq!(set(b"1,2,3,4").unwrap_err(), "more than 3 ranges in a set");
        for bad in [&b""[..], b"0", b"1,", b"1:", b"4294967296", b"a", b",1", b"1:0", b"$,1"] {
            assert!(set(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn numbers_end_where_the_rfc_says() {
        let number = |text: &[u8]| with(text, |c| c.number64()).map(|(n, _)| n);
        assert_eq!(number(b"9223372036854775807"), Ok(u64::MAX / 2));
        assert!(number(b"9223372036854775808").is_err() && number(b"x").is_err() && number(b"").is_err());
    }

    #[test]
    fn flags() {
        let flags = |text: &[u8]| with(text, |c| c.flag_list()).map(|(f, _)| f.iter().map(|f| f.to_string()).collect());
        assert_eq!(flags(b"(\\SEEN $Junk ab)"), Ok(vec!["\\Seen".to_owned(), "$Junk".into(), "ab".into()]));
        assert_eq!(flags(b"()"), Ok(vec![]));
        assert_eq!(flags(b"(a b c)").unwrap_err(), "more than 2 keywords");
        // RFC 9051 §9 flag: "Does not include \Recent".
        for bad in
            [&b"(\\Recent)"[..], b"(\\*)", b"(a  b)", b"(a", b"( a)", b"(a )", b"a", b"(\\Foo)", b"(a\\b)", b"(a]b)"]
        {
            assert!(flags(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn errors_say_where() {
        assert_eq!(
            with(b"(a", |c| c.list(false, |c| c.atom("x").map(str::len))).unwrap_err(),
            "expected a space or a closing parenthesis at octet 3"
        );
    }
}
