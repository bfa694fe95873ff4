//! EXPUNGE and UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9).

use crate::imap::lex::Cursor;
use crate::imap::{Ids, ParseError};

/// `uid-expunge = "EXPUNGE" SP sequence-set`
pub(super) fn parse_uids(c: &mut Cursor<'_>) -> Result<Ids, ParseError> {
    c.space()?;
    c.ids(true)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bad, ok};
    use super::*;
    use crate::imap::Command;

    #[test]
    fn with_and_without_uids() {
        assert_eq!(ok("a EXPUNGE"), Command::Expunge);
        // RFC 4315 §2.1
        assert!(
            matches!(ok("A101 UID EXPUNGE 3000:3002"), Command::UidExpunge(Ids::Uid(s)) if s.to_string() == "3000:3002")
        );
        assert_eq!(ok("a UID EXPUNGE $"), Command::UidExpunge(Ids::Saved { by_uid: true }));
        for text in ["a EXPUNGE 1:3", "a UID EXPUNGE", "a UID EXPUNGE x"] {
            bad(text);
        }
    }
}
