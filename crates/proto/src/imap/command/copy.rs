//! COPY and UID COPY (RFC 9051 §6.4.7).

use types::MailboxName;

use crate::imap::lex::Cursor;
use crate::imap::{Ids, ParseError};

/// `copy = "COPY" SP sequence-set SP mailbox`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Copy {
    /// Which messages.
    pub ids: Ids,
    /// Where to.
    pub to: MailboxName,
}

impl Copy {
    pub(super) fn parse(c: &mut Cursor<'_>, by_uid: bool) -> Result<Self, ParseError> {
        c.space()?;
        let ids = c.ids(by_uid)?;
        c.space()?;
        Ok(Self { ids, to: c.mailbox()? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bad, no, ok};
    use super::*;
    use crate::imap::Command;

    #[test]
    fn by_number_by_uid_and_by_search_result() {
        let parsed = |text: &str| match ok(text) {
            Command::Copy(x) => (x.ids, x.to.to_string()),
            other => panic!("{other:?}"),
        };
        assert!(matches!(parsed("a COPY 2:4 MEETING"), (Ids::Seq(s), to) if s.to_string() == "2:4" && to == "MEETING"));
        assert!(matches!(parsed("a uid COPY 42:* x"), (Ids::Uid(s), _) if s.to_string() == "42:*"));
        assert_eq!(parsed("a COPY $ x").0, Ids::Saved { by_uid: false });
        assert_eq!(parsed("a UID COPY $ x").0, Ids::Saved { by_uid: true });
        for text in ["a COPY", "a COPY 1", "a COPY x 1", "a COPY 1 x y", "a COPY 0 x", "a COPY $,1 x"] {
            bad(text);
        }
        no("a COPY 1 \"a*\"");
    }
}
