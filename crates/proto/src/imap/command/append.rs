//! APPEND (RFC 9051 §6.3.12), MULTIAPPEND (RFC 3502) and REPLACE (RFC 8508): heads only, the messages
//! stream.

use types::{DateTime, Flags, Limits, MailboxName};

use super::replace;
use crate::imap::date::parse_date_time;
use crate::imap::lex::Cursor;
use crate::imap::{Dialect, Ids, LiteralHeader, ParseError, Tag};

/// What stands before the first message literal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppendHead {
    /// Comes back in the answer.
    pub tag: Tag,
    /// The message that has to go, exactly one: this is REPLACE.
    pub replaces: Option<Ids>,
    /// Where the messages go.
    pub mailbox: MailboxName,
    /// How the client wrote the name, where we write it differently (RFC 9051 §6.3.12 OLDNAME).
    pub old_name: Option<String>,
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
    /// Reads an [`crate::imap::Event::Append`].
    ///
    /// `append = "APPEND" SP mailbox 1*append-message` (RFC 3502 §6.3.11), or
    /// `replace = "REPLACE" SP seq-number SP mailbox append-message` (RFC 8508 §5)
    pub fn parse(octets: &[u8], dialect: Dialect, limits: &Limits) -> Result<Self, ParseError> {
        let (tag, mut c) = super::parse_tag(octets, dialect, limits)?;
        let mut rest = || {
            let replaces = if c.eat_word("APPEND") { None } else { Some(replace::parse_replaced(&mut c)?) };
            c.space()?;
            let name = c.mailbox_as_written()?;
            Ok((replaces, name, parse_message(&mut c)?))
        };
        match rest() {
            Ok((replaces, (mailbox, old_name), message)) => Ok(Self { tag, replaces, mailbox, old_name, message }),
            Err(error) => Err(ParseError { tag: Some(tag), ..error }),
        }
    }
}

impl AppendMessage {
    /// Reads an [`crate::imap::Event::AppendNext`]. An error has no tag: it is that of the APPEND.
    pub fn parse(octets: &[u8], dialect: Dialect, limits: &Limits) -> Result<Self, ParseError> {
        parse_message(&mut Cursor::new(octets, dialect, limits))
    }
}

/// `append-message = [SP flag-list] [SP date-time] SP append-data`, where `append-data = literal / literal8`
/// (RFC 3516 §4.4) or, once UTF8=ACCEPT is enabled, `"UTF8" SP "(" literal8 ")"` (RFC 6855 §4; RFC 9755
/// has done away with it, and clients send it). The fragmenter has seen to the parenthesis that closes.
fn parse_message(c: &mut Cursor<'_>) -> Result<AppendMessage, ParseError> {
    c.space()?;
    let mut flags = Flags::NONE;
    if c.peek() == Some(b'(') {
        flags = c.flag_list()?;
        c.space()?;
    }
    let mut date = None;
    if c.peek() == Some(b'"') {
        date = Some(parse_date_time(c)?);
        c.space()?;
    }
    let utf8 = c.dialect.utf8 && c.eat_word("UTF8");
    if utf8 {
        c.space()?;
        c.expect(b'(', "an opening parenthesis")?;
    }
    match LiteralHeader::at_end(c.rest()) {
        Some((literal, [])) if literal.binary || !utf8 => Ok(AppendMessage { flags, date, literal }),
        _ => c.expected("a literal"),
    }
}

/// Why an APPEND or REPLACE that came as a whole line is none: from the mailbox on, no literal is in it.
pub(super) fn without_message(c: &mut Cursor<'_>) -> ParseError {
    let mailbox = c.space().and_then(|()| c.mailbox());
    let message = mailbox.and_then(|_| parse_message(c));
    message.err().unwrap_or_else(|| ParseError::bad("a message should follow"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::Verdict;

    fn head(text: &str) -> Result<AppendHead, ParseError> {
        AppendHead::parse(text.as_bytes(), Dialect::default(), &Limits::default())
    }

    #[test]
    fn heads() {
        // RFC 9051 §6.3.12
        let h = head("A003 APPEND saved-messages (\\Seen) {326}").unwrap();
        assert_eq!((h.tag.as_str(), h.mailbox.as_str()), ("A003", "saved-messages"));
        assert_eq!(h.message.flags.iter().count(), 1);
        assert_eq!(h.message.literal, LiteralHeader { size: 326, sync: true, binary: false });
        let h = head("a append {5}\r\ninbox (\\Seen $x) \"17-Jul-1996 02:44:25 -0700\" ~{3+}").unwrap();
        assert!(h.mailbox.is_inbox() && h.message.date.is_some());
        assert_eq!(h.message.literal, LiteralHeader { size: 3, sync: false, binary: true });
        assert!(head("a APPEND x () {1}").unwrap().message.flags.is_empty());
    }

    #[test]
    fn what_is_no_head() {
        for bad in [
            "a APPEND x {1} {2}",
            "a APPEND {1}",
            "a APPEND x  {1}",
            "a APPEND x (\\Recent) {1}",
            "a APPEND x(\\Seen) {1}",
            "a APPEND x \"17-Jul-1996 02:44:25 -0700\" (\\Seen) {1}",
            "a APPEND x (\\Seen {1}",
            "a APPEND x y {1}",
        ] {
            let error = head(bad).unwrap_err();
            assert_eq!((error.verdict, error.tag.unwrap().as_str()), (Verdict::Bad, "a"), "{bad}");
        }
        assert_eq!(head("a APPEND x* {1}").unwrap_err().verdict, Verdict::Bad);
        assert_eq!(head("a APPEND \"x*\" {1}").unwrap_err().verdict, Verdict::No);
    }

    // RFC 6855 §4
    #[test]
    fn utf8_data() {
        let parse = |text: &str, utf8| {
            AppendHead::parse(text.as_bytes(), Dialect { utf8, ..Dialect::REV1 }, &Limits::default())
        };
        assert_eq!(parse("a APPEND x (\\Seen) UTF8 (~{3}", true).unwrap().message.literal.size, 3);
        for (bad, utf8) in [("UTF8 (~{3}", false), ("UTF8 ({3}", true), ("UTF8 ~{3}", true), ("UTF8(~{3}", true)] {
            assert!(parse(&format!("a APPEND x {bad}"), utf8).is_err(), "{bad}");
        }
    }

    #[test]
    fn further_messages() {
        let next = |text: &str| AppendMessage::parse(text.as_bytes(), Dialect::default(), &Limits::default());
        // RFC 3502 §5
        assert_eq!(next(" (\\Seen) {286}").unwrap().literal.size, 286);
        assert!(next("{1}").is_err() && next(" x {1}").is_err() && next(" ").is_err());
    }
}
