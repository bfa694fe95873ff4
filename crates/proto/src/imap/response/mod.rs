//! Responses, appended to a buffer.
//!
//! Everything written here is a whole line, except what goes through [`FetchWriter`]. No text can
//! break out of its line, whatever it holds.

mod fetch;
mod list;
mod quota;
mod search;
mod sort;
mod status;
pub(crate) mod text;
mod uid_batches;

use base64::engine::Engine;
use base64::engine::general_purpose::STANDARD;
use types::{Flag, IdSet, SeqNum, Uid};

use super::{Capability, Code, Dialect, ParseError, Tag, Verdict};

pub use fetch::{Content, FetchWriter, FlagList, SectionName};
pub use list::{ListAttribute, ListEntry};
pub use search::ESearch;
pub use sort::{ESort, ThreadToken};
pub use status::StatusValue;

/// The three answers to a command (RFC 9051 §7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// Done.
    Ok,
    /// Refused.
    No,
    /// Not understood.
    Bad,
}

impl Condition {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Bad => "BAD",
        }
    }
}

impl From<Verdict> for Condition {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Bad => Self::Bad,
            Verdict::No => Self::No,
        }
    }
}

/// Writes responses to the end of a buffer, in the session's dialect.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    dialect: Dialect,
}

impl<'a> Encoder<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>, dialect: Dialect) -> Self {
        Self { out, dialect }
    }

    /// `response-tagged = tag SP resp-cond-state CRLF`
    pub fn tagged(&mut self, tag: &Tag, condition: Condition, code: Option<&Code>, text: &str) {
        self.status_line(tag.as_str(), condition.as_str(), code, text);
    }

    /// An untagged `resp-cond-state`, and the greeting.
    pub fn untagged(&mut self, condition: Condition, code: Option<&Code>, text: &str) {
        self.status_line("*", condition.as_str(), code, text);
    }

    /// The answer to a command that was not understood.
    pub fn refused(&mut self, error: &ParseError) {
        let tag = error.tag.as_ref().map_or("*", Tag::as_str);
        self.status_line(tag, Condition::from(error.verdict).as_str(), error.code.as_ref(), &error.text);
    }

    /// `resp-cond-bye = "BYE" SP resp-text`; also as a greeting that sends away.
    pub fn bye(&mut self, code: Option<&Code>, text: &str) {
        self.status_line("*", "BYE", code, text);
    }

    /// `continue-req = "+" SP resp-text CRLF`
    pub fn continuation(&mut self, text: &str) {
        self.out.extend_from_slice(b"+ ");
        text::text(self.out, text, self.dialect);
        self.end();
    }

    /// `continue-req = "+" SP base64 CRLF`: a SASL challenge, perhaps empty.
    pub fn challenge(&mut self, challenge: &[u8]) {
        self.out.extend_from_slice(b"+ ");
        self.out.extend_from_slice(STANDARD.encode(challenge).as_bytes());
        self.end();
    }

    /// `capability-data` (RFC 9051 §7.2.2)
    pub fn capability(&mut self, capabilities: &[Capability]) {
        self.line_of("CAPABILITY", capabilities.iter().map(Capability::to_string));
    }

    /// `enable-data` (RFC 9051 §7.2.1): what this ENABLE has newly enabled.
    pub fn enabled<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        self.line_of("ENABLED", names);
    }

    /// `FLAGS` (RFC 9051 §7.3.5)
    pub fn flags<'f>(&mut self, flags: impl IntoIterator<Item = &'f Flag>) {
        self.out.extend_from_slice(b"* FLAGS (");
        words(self.out, flags.into_iter().map(Flag::as_str));
        self.out.push(b')');
        self.end();
    }

    /// `EXISTS` (RFC 9051 §7.4.1)
    pub fn exists(&mut self, count: u32) {
        self.numbered(count, "EXISTS");
    }

    /// `RECENT` (RFC 3501 §7.3.2). IMAP4rev2 has none, so nothing is written there.
    pub fn recent(&mut self, count: u32) {
        if !self.dialect.rev2 {
            self.numbered(count, "RECENT");
        }
    }

    /// `EXPUNGE` (RFC 9051 §7.5.1)
    pub fn expunge(&mut self, seq: SeqNum) {
        self.numbered(seq.get(), "EXPUNGE");
    }

    /// `VANISHED` (RFC 7162 §3.2.10): messages that go now, instead of one EXPUNGE for each; nothing for
    /// none of them.
    pub fn vanished(&mut self, uids: &IdSet<Uid>) {
        if !uids.is_empty() {
            self.line_of("VANISHED", [uids.to_string()]);
        }
    }

    /// `VANISHED (EARLIER)` (RFC 7162 §3.2.10.1): messages that had gone before; nothing for none of them.
    pub fn vanished_earlier(&mut self, uids: &IdSet<Uid>) {
        if !uids.is_empty() {
            self.line_of("VANISHED (EARLIER)", [uids.to_string()]);
        }
    }

    /// `FETCH` (RFC 9051 §7.5.2), or `UIDFETCH` (RFC 9586 §3) once UIDONLY is enabled: write at least
    /// one item, then [`FetchWriter::finish`].
    pub fn fetch(&mut self, seq: SeqNum, uid: Uid) -> FetchWriter<'_> {
        if self.dialect.uid_only {
            FetchWriter::new(self.out, uid, " UIDFETCH ")
        } else {
            FetchWriter::new(self.out, seq, " FETCH ")
        }
    }

    /// `id-response` (RFC 2971 §3.2); no field is NIL.
    pub fn id(&mut self, fields: &[(&str, Option<&str>)]) {
        self.out.extend_from_slice(b"* ID ");
        if fields.is_empty() {
            self.out.extend_from_slice(b"NIL");
        }
        for (i, (name, value)) in fields.iter().enumerate() {
            self.out.push(if i == 0 { b'(' } else { b' ' });
            self.quoted_ascii(name);
            self.out.push(b' ');
            match value {
                Some(value) => self.quoted_ascii(value),
                None => self.out.extend_from_slice(b"NIL"),
            }
        }
        if !fields.is_empty() {
            self.out.push(b')');
        }
        self.end();
    }

    fn quoted_ascii(&mut self, text: &str) {
        let shown: String = text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
        text::quoted(self.out, &shown);
    }

    fn status_line(&mut self, tag: &str, condition: &str, code: Option<&Code>, text: &str) {
        words(self.out, [tag, condition]);
        self.out.push(b' ');
        if let Some(code) = code {
            code.write(self.out);
            self.out.push(b' ');
        }
        text::text(self.out, text, self.dialect);
        self.end();
    }

    fn numbered(&mut self, number: u32, what: &str) {
        self.out.extend_from_slice(b"* ");
        text::number(self.out, u64::from(number));
        self.out.push(b' ');
        self.out.extend_from_slice(what.as_bytes());
        self.end();
    }

    fn line_of<T: AsRef<str>>(&mut self, what: &str, names: impl IntoIterator<Item = T>) {
        self.out.extend_from_slice(b"* ");
        self.out.extend_from_slice(what.as_bytes());
        for name in names {
            self.out.push(b' ');
            self.out.extend_from_slice(name.as_ref().as_bytes());
        }
        self.end();
    }

    fn end(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Words with one space between them.
fn words<T: AsRef<str>>(out: &mut Vec<u8>, words: impl IntoIterator<Item = T>) {
    for (i, word) in words.into_iter().enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word.as_ref().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(dialect: Dialect, f: impl FnOnce(&mut Encoder<'_>)) -> String {
        let mut out = Vec::new();
        f(&mut Encoder::new(&mut out, dialect));
        String::from_utf8(out).unwrap()
    }

    fn rev1(f: impl FnOnce(&mut Encoder<'_>)) -> String {
        written(Dialect::default(), f)
    }

    #[test]
    fn status_lines() {
        let tag = Tag::new(b"a1").unwrap();
        assert_eq!(
            rev1(|e| e.tagged(&tag, Condition::Ok, Some(&Code::ReadWrite), "done")),
            "a1 OK [READ-WRITE] done\r\n"
        );
        assert_eq!(rev1(|e| e.untagged(Condition::No, None, "x")), "* NO x\r\n");
        assert_eq!(rev1(|e| e.bye(None, "x")), "* BYE x\r\n");
        assert_eq!(rev1(|e| e.continuation("go on")), "+ go on\r\n");
        assert_eq!(rev1(|e| e.challenge(b"")), "+ \r\n");
        assert_eq!(rev1(|e| e.challenge(b"ab")), "+ YWI=\r\n");
        let untagged = ParseError::bad("what\r\n?");
        assert_eq!(rev1(|e| e.refused(&untagged)), "* BAD what  ?\r\n");
        let error = ParseError { tag: Some(tag), ..ParseError::no(Code::Cannot, "never") };
        assert_eq!(rev1(|e| e.refused(&error)), "a1 NO [CANNOT] never\r\n");
    }

    #[test]
    fn lists_of_words() {
        assert_eq!(
            rev1(|e| e.capability(&[Capability::Imap4Rev1, Capability::Auth("PLAIN")])),
            "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n"
        );
        assert_eq!(rev1(|e| e.enabled(["IMAP4rev2"])), "* ENABLED IMAP4rev2\r\n");
        assert_eq!(rev1(|e| e.enabled([])), "* ENABLED\r\n");
        assert_eq!(rev1(|e| e.flags(&[Flag::Seen, Flag::Draft])), "* FLAGS (\\Seen \\Draft)\r\n");
        assert_eq!(rev1(|e| e.id(&[])), "* ID NIL\r\n");
        assert_eq!(rev1(|e| e.id(&[("a", None), ("b\u{fc}", Some("\"x"))])), "* ID (\"a\" NIL \"b?\" \"\\\"x\")\r\n");
    }

    #[test]
    fn vanished() {
        // RFC 7162 §3.2.10.2
        let uids: IdSet<Uid> = [405, 407, 410, 411].into_iter().filter_map(Uid::new).collect();
        assert_eq!(rev1(|e| e.vanished(&uids)), "* VANISHED 405,407,410:411\r\n");
        assert_eq!(rev1(|e| e.vanished_earlier(&uids)), "* VANISHED (EARLIER) 405,407,410:411\r\n");
        assert_eq!(rev1(|e| e.vanished(&IdSet::new())), "");
    }

    #[test]
    fn recent_is_not_for_rev2() {
        // RFC 9051 Appendix E: RECENT is gone.
        assert_eq!(rev1(|e| e.recent(2)), "* 2 RECENT\r\n");
        assert_eq!(written(Dialect { rev2: true, ..Dialect::REV1 }, |e| e.recent(2)), "");
    }
}
