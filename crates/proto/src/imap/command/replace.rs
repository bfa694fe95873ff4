//! REPLACE and UID REPLACE (RFC 8508): an [`super::AppendHead`] that names the message that has to go.

use super::append;
use crate::imap::lex::Cursor;
use crate::imap::{Ids, ParseError};

/// From the command's name to the number of the message.
///
/// `replace = "REPLACE" SP seq-number SP mailbox append-message`, `uid =/ "UID" SP replace`
pub(super) fn parse_replaced(c: &mut Cursor<'_>) -> Result<Ids, ParseError> {
    let by_uid = c.eat_word("UID");
    if by_uid {
        c.space()?;
    }
    if !c.eat_word("REPLACE") {
        return c.expected("APPEND or REPLACE");
    }
    parse_number(c, by_uid)
}

/// Why a REPLACE that came as a whole line is none: no literal is in it.
pub(super) fn without_message(c: &mut Cursor<'_>, by_uid: bool) -> ParseError {
    match parse_number(c, by_uid) {
        Ok(_) => append::without_message(c),
        Err(error) => error,
    }
}

/// `SP seq-number`
fn parse_number(c: &mut Cursor<'_>, by_uid: bool) -> Result<Ids, ParseError> {
    // RFC 9586 §3
    if c.dialect.uid_only && !by_uid {
        return Err(ParseError::uid_required());
    }
    c.space()?;
    c.one_id(by_uid)
}

#[cfg(test)]
mod tests {
    use types::Limits;

    use super::super::AppendHead;
    use super::super::tests::{bad, no};
    use super::*;
    use crate::imap::{Code, Dialect, Verdict};

    fn head(text: &str) -> Result<AppendHead, ParseError> {
        AppendHead::parse(text.as_bytes(), Dialect::default(), &Limits::default())
    }

    #[test]
    fn by_number_and_by_uid() {
        let replaced = |text: &str| head(text).unwrap().replaces.unwrap();
        // RFC 8508 §3.2, §3.3
        let h = head("A003 REPLACE 4 Drafts (\\Seen \\Draft) {312}").unwrap();
        assert_eq!((h.tag.as_str(), h.mailbox.as_str(), h.message.literal.size), ("A003", "Drafts", 312));
        assert!(matches!(h.replaces, Some(Ids::Seq(set)) if set.to_string() == "4"));
        let uid = replaced("A004 uid replace 2000 Drafts (\\Seen \\Draft) {350}");
        assert!(matches!(uid, Ids::Uid(set) if set.to_string() == "2000"));
        // RFC 9051 §9: seq-number = nz-number / "*"
        assert!(matches!(replaced("a REPLACE * x {1}"), Ids::Seq(set) if set.to_string() == "*"));
        assert!(head("a REPLACE 1 {5}\r\ninbox \"17-Jul-1996 02:44:25 -0700\" ~{3+}").unwrap().mailbox.is_inbox());
        assert_eq!(head("a APPEND x {1}").unwrap().replaces, None);
    }

    #[test]
    fn what_is_none() {
        for text in [
            "a REPLACE 1:2 x {1}",
            "a REPLACE 1,2 x {1}",
            "a REPLACE $ x {1}",
            "a REPLACE 0 x {1}",
            "a REPLACE x {1}",
            "a REPLACE 1  {1}",
            "a UID  REPLACE 1 x {1}",
            "a UID APPEND x {1}",
            "a REPLACE 1 x CATENATE (TEXT {1}",
        ] {
            let error = head(text).unwrap_err();
            assert_eq!((error.verdict, error.tag.unwrap().as_str()), (Verdict::Bad, "a"), "{text}");
        }
        assert_eq!(head("a REPLACE 1 \"x*\" {1}").unwrap_err().verdict, Verdict::No);
    }

    #[test]
    fn numbers_once_uidonly_is_enabled() {
        let dialect = Dialect { uid_only: true, ..Dialect::REV1 };
        let parse = |text: &str| AppendHead::parse(text.as_bytes(), dialect, &Limits::default());
        assert_eq!(parse("a REPLACE 1 x {1}").unwrap_err().code, Some(Code::UidRequired));
        assert!(parse("a UID REPLACE 1 x {1}").is_ok());
    }

    #[test]
    fn lines_without_a_message() {
        for text in ["a REPLACE", "a REPLACE 1", "a REPLACE 1 x", "a UID REPLACE 1 x (\\Seen)", "a REPLACE 1 x y"] {
            bad(text);
        }
        no("a UID REPLACE 1 \"x*\" y");
    }
}
