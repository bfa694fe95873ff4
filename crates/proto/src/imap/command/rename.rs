//! RENAME (RFC 9051 §6.3.6).

use types::MailboxName;

use crate::imap::ParseError;
use crate::imap::lex::Cursor;

/// `rename = "RENAME" SP mailbox SP mailbox`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rename {
    /// The name it has.
    pub from: MailboxName,
    /// The name it gets.
    pub to: MailboxName,
}

impl Rename {
    pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        c.space()?;
        let from = c.mailbox()?;
        c.space()?;
        Ok(Self { from, to: c.mailbox()? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bad, no, ok};
    use crate::imap::Command;

    #[test]
    fn two_names() {
        assert!(
            matches!(ok("a RENAME inbox \"Old mail\""), Command::Rename(r) if r.from.is_inbox() && r.to.as_str() == "Old mail")
        );
        for text in ["a RENAME", "a RENAME x", "a RENAME x y z"] {
            bad(text);
        }
        no("a RENAME x \"y*\"");
    }
}
