//! CREATE (RFC 9051 §6.3.4) with special use (RFC 6154 §3).

use types::{MailboxName, SpecialUse};

use crate::imap::lex::Cursor;
use crate::imap::{Code, ParseError};

/// `create = "CREATE" SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Create {
    /// The new mailbox.
    pub mailbox: MailboxName,
    /// How the client wrote the name, where we write it differently (RFC 9051 §6.3.9.7 OLDNAME).
    pub old_name: Option<String>,
    /// What it is for.
    pub special_use: Vec<SpecialUse>,
}

impl Create {
    pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        c.space()?;
        let (mailbox, old_name) = c.mailbox_as_written()?;
        let mut special_use = Vec::new();
        if c.eat(b' ') && !c.rest().is_empty() {
            c.expect(b'(', "an opening parenthesis")?;
            if !c.eat_word("USE") {
                return c.expected("USE");
            }
            c.space()?;
            special_use = c.list(true, parse_use)?;
            c.expect(b')', "a closing parenthesis")?;
        }
        Ok(Self { mailbox, old_name, special_use })
    }
}

/// `use-attr = "\All" / … / use-attr-ext`, `use-attr-ext = "\" atom`
fn parse_use(c: &mut Cursor<'_>) -> Result<SpecialUse, ParseError> {
    c.expect(b'\\', "a special use such as \\Sent")?;
    let name = c.atom("a special use such as \\Sent")?;
    // RFC 6154 §3: a use that the server does not support is NO [USEATTR].
    SpecialUse::parse(&format!("\\{name}")).ok_or_else(|| ParseError::no(Code::UseAttr, "there is no such special use"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bad, no, ok};
    use super::*;
    use crate::imap::Command;

    #[test]
    fn a_spelling_that_is_not_ours() {
        let old = |text: &str| match ok(text) {
            Command::Create(x) => x.old_name,
            other => panic!("{other:?}"),
        };
        assert_eq!(old("a CREATE Entwu&Awg-rfe"), Some("Entwu\u{308}rfe".to_owned()));
        assert_eq!(old("a CREATE \"Entwu\u{308}rfe\""), Some("Entwu\u{308}rfe".to_owned()));
        assert_eq!((old("a CREATE \"Entw\u{fc}rfe\""), old("a CREATE x/")), (None, None));
    }

    #[test]
    fn with_and_without_special_use() {
        let parsed = |text: &str| match ok(text) {
            Command::Create(x) => (x.mailbox.to_string(), x.special_use),
            other => panic!("{other:?}"),
        };
        assert_eq!(parsed("a CREATE owatagusiam/"), ("owatagusiam".into(), vec![]));
        // RFC 6154 §5.3
        let uses = vec![SpecialUse::Drafts, SpecialUse::Sent];
        assert_eq!(parsed("t1 CREATE MySpecial (USE (\\Drafts \\Sent))"), ("MySpecial".into(), uses));
        assert_eq!(parsed("t1 CREATE x (USE ())").1, vec![]);
        assert_eq!(no("t1 CREATE x (USE (\\Foo))").code, Some(Code::UseAttr));
        assert_eq!(no("t1 CREATE \"a%b\"").code, Some(Code::Cannot));
        assert_eq!(no("t1 CREATE a&b").code, Some(Code::Cannot));
        for text in [
            "a CREATE",
            "a CREATE x y",
            "a CREATE x ()",
            "a CREATE x (USE)",
            "a CREATE x (USE (Sent))",
            "a CREATE x (FOO 1)",
        ] {
            bad(text);
        }
    }
}
