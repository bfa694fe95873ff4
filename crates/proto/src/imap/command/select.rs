//! SELECT and EXAMINE (RFC 9051 §6.3.2, §6.3.3; parameters RFC 4466 §2.4).

use types::MailboxName;

use crate::imap::lex::Cursor;
use crate::imap::{MailboxError, ParseError, mailbox};

/// `select = "SELECT" SP mailbox [select-params]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Select {
    /// Which mailbox. A name that cannot be is no parse error here, because a SELECT that fails
    /// also deselects (RFC 9051 §6.3.2): answer `NO [CANNOT]` and deselect.
    pub mailbox: Result<MailboxName, MailboxError>,
    /// How the client wrote the name, where we write it differently (RFC 9051 §6.3.9.7 OLDNAME).
    pub old_name: Option<String>,
}

impl Select {
    pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        c.space()?;
        let octets = c.astring("a mailbox name")?;
        let mailbox = mailbox::decode(&octets, c.dialect);
        let old_name = mailbox.as_ref().ok().and_then(|name| mailbox::written_otherwise(&octets, name, c.dialect));
        // select-params = SP "(" select-param *(SP select-param) ")"
        if c.eat(b' ') && c.peek() == Some(b'(') {
            return Err(ParseError::bad("unknown parameter"));
        }
        Ok(Self { mailbox, old_name })
    }
}

#[cfg(test)]
mod tests {
    use types::NameError;

    use super::super::tests::{bad, ok};
    use super::*;
    use crate::imap::Command;

    #[test]
    fn names_that_can_and_cannot_be() {
        assert_eq!(
            ok("a SELECT inbox"),
            Command::Select(Select { mailbox: Ok(MailboxName::inbox()), old_name: Some("inbox".into()) })
        );
        assert_eq!(
            ok("a EXAMINE \"INBOX\" "),
            Command::Examine(Select { mailbox: Ok(MailboxName::inbox()), old_name: None })
        );
        let wildcard = Err(MailboxError::Name(NameError::Wildcard));
        assert_eq!(ok("a SELECT \"a*\""), Command::Select(Select { mailbox: wildcard, old_name: None }));
        for text in ["a SELECT", "a SELECT ", "a SELECT x y", "a SELECT x (CONDSTORE)", "a SELECT x ()", "a SELECT a*"]
        {
            bad(text);
        }
    }
}
