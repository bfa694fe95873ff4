//! ENABLE (RFC 9051 §6.3.1).

use crate::imap::ParseError;
use crate::imap::lex::Cursor;

/// `enable = "ENABLE" 1*(SP capability)`; in capitals.
pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Vec<String>, ParseError> {
    c.space()?;
    let mut names = vec![c.word("a capability")?];
    while c.eat(b' ') && !c.rest().is_empty() {
        names.push(c.word("a capability")?);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bad, ok};
    use crate::imap::Command;

    #[test]
    fn known_or_not() {
        let names = |names: &[&str]| Command::Enable(names.iter().map(|n| n.to_string()).collect());
        // RFC 5161 §3.1: what is unknown is no error.
        assert_eq!(ok("t1 ENABLE imap4rev2 X-GOOD-IDEA"), names(&["IMAP4REV2", "X-GOOD-IDEA"]));
        assert_eq!(ok("t1 ENABLE UTF8=ACCEPT "), names(&["UTF8=ACCEPT"]));
        for text in ["t1 ENABLE", "t1 ENABLE ", "t1 ENABLE (x)"] {
            bad(text);
        }
    }
}
