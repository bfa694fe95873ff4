//! LOGIN (RFC 9051 §6.2.3).

use crate::Secret;
use crate::imap::ParseError;
use crate::imap::lex::Cursor;

/// `login = "LOGIN" SP userid SP password`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// Who.
    pub user: String,
    /// The password, as octets.
    pub password: Secret,
}

impl Login {
    pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        c.space()?;
        // A name that is not UTF-8 becomes one that nobody has, and takes as long to refuse.
        let user = String::from_utf8_lossy(&c.astring("a user name")?).into_owned();
        c.space()?;
        let password = Secret::new(c.astring("a password")?.into_owned());
        Ok(Self { user, password })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bad, ok};
    use super::*;
    use crate::imap::Command;

    #[test]
    fn every_kind_of_string() {
        let expected = |user: &str, password: &[u8]| {
            Command::Login(Login { user: user.into(), password: Secret::new(password.to_vec()) })
        };
        assert_eq!(ok("a LOGIN SMITH SESAME"), expected("SMITH", b"SESAME"));
        assert_eq!(ok(r#"a login "a b" "c\"d\\""#), expected("a b", br#"c"d\"#));
        // RFC 7888 §3
        assert_eq!(ok("A001 LOGIN {11+}\r\nFRED FOOBAR {7+}\r\nfat man"), expected("FRED FOOBAR", b"fat man"));
        for text in ["a LOGIN", "a LOGIN x", "a LOGIN x ", "a LOGIN x y z", "a LOGIN (x) y", "a LOGIN  x y"] {
            bad(text);
        }
    }
}
