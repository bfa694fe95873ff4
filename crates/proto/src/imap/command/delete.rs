//! DELETE (RFC 9051 §6.3.5).

use types::MailboxName;

use crate::imap::ParseError;
use crate::imap::lex::Cursor;

/// `delete = "DELETE" SP mailbox`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delete {
    /// Which mailbox.
    pub mailbox: MailboxName,
    /// How the client wrote the name, where we write it differently (RFC 9051 §6.3.9.7 OLDNAME).
    pub old_name: Option<String>,
}

impl Delete {
    pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        c.space()?;
        let (mailbox, old_name) = c.mailbox_as_written()?;
        Ok(Self { mailbox, old_name })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bad, no, ok};
    use super::*;
    use crate::imap::Command;

    #[test]
    fn one_name() {
        let parsed = |text: &str| match ok(text) {
            Command::Delete(Delete { mailbox, old_name }) => (mailbox.to_string(), old_name),
            other => panic!("{other:?}"),
        };
        assert_eq!(parsed("a DELETE blurdybloop"), ("blurdybloop".to_owned(), None));
        assert_eq!(parsed("a DELETE \"u\u{308}\""), ("\u{fc}".to_owned(), Some("u\u{308}".to_owned())));
        for text in ["a DELETE", "a DELETE x y"] {
            bad(text);
        }
        no("a DELETE \"a*\"");
    }
}
