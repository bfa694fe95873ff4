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
    /// How the client wrote the name it has, where we write one of the two differently (RFC 9051
    /// §6.3.6 OLDNAME).
    pub old_name: Option<String>,
}

impl Rename {
    pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        c.space()?;
        let (from, from_written) = c.mailbox_as_written()?;
        c.space()?;
        let (to, to_written) = c.mailbox_as_written()?;
        let old_name = from_written.or_else(|| to_written.map(|_| from.to_string()));
        Ok(Self { from, to, old_name })
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
        let old = |text: &str| match ok(text) {
            Command::Rename(r) => r.old_name,
            other => panic!("{other:?}"),
        };
        assert_eq!(old("a RENAME \"u\u{308}\" y").as_deref(), Some("u\u{308}"));
        assert_eq!(old("a RENAME x \"u\u{308}\"").as_deref(), Some("x"));
        assert_eq!(old("a RENAME x \"\u{fc}\""), None);
        for text in ["a RENAME", "a RENAME x", "a RENAME x y z"] {
            bad(text);
        }
        no("a RENAME x \"y*\"");
    }
}
