//! LSUB (RFC 3501 §6.3.9).

use super::list::{parse_pattern, parse_reference};
use crate::imap::lex::Cursor;
use crate::imap::{ListPattern, ParseError};

/// `lsub = "LSUB" SP mailbox SP list-mailbox`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lsub {
    /// Which names, with the reference in front.
    pub pattern: ListPattern,
}

impl Lsub {
    pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        c.space()?;
        let reference = parse_reference(c)?;
        c.space()?;
        Ok(Self { pattern: parse_pattern(c, &reference)?.0 })
    }
}

#[cfg(test)]
mod tests {
    use types::MailboxName;

    use super::super::tests::{bad, ok};
    use crate::imap::Command;

    #[test]
    fn reference_and_pattern() {
        let name = MailboxName::new("#news.comp.mail.mime").unwrap();
        assert!(matches!(ok("A002 LSUB \"#news.\" \"comp.mail.*\""), Command::Lsub(l) if l.pattern.matches(&name)));
        for text in ["a LSUB", "a LSUB x", "a LSUB \"\" (a b)", "a LSUB () \"\" *"] {
            bad(text);
        }
    }
}
