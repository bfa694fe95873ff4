//! AUTHENTICATE (RFC 9051 §6.2.2) with initial response (RFC 4959).

use base64::engine::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Secret;
use crate::imap::ParseError;
use crate::imap::lex::Cursor;

/// `authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authenticate {
    /// The mechanism, in capitals.
    pub mechanism: String,
    /// The decoded initial response; empty for `=`.
    pub initial: Option<Secret>,
}

/// A client's line within an exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SaslResponse {
    /// `*`: the client gives up; answer BAD (RFC 9051 §6.2.2).
    Cancel,
    /// Decoded base64.
    Data(Secret),
}

impl Authenticate {
    pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        c.space()?;
        let mechanism = c.word("a SASL mechanism")?;
        let mut initial = None;
        if c.eat(b' ') && !c.rest().is_empty() {
            let encoded = c.take_while(|b| b != b' ');
            // initial-resp = (base64 / "=")
            initial = Some(if encoded == b"=" { Secret::new(Vec::new()) } else { decode(encoded)? });
        }
        Ok(Self { mechanism, initial })
    }
}

impl SaslResponse {
    /// Reads an [`crate::imap::Event::Line`]. An error has no tag: it is that of the AUTHENTICATE.
    pub fn parse(line: &[u8]) -> Result<Self, ParseError> {
        if line == b"*" { Ok(Self::Cancel) } else { decode(line).map(Self::Data) }
    }
}

/// `base64 = *(4base64-char) [base64-terminal]`
fn decode(encoded: &[u8]) -> Result<Secret, ParseError> {
    let decoded = STANDARD.decode(encoded).map_err(|_| ParseError::bad("the SASL response is not base64"))?;
    Ok(Secret::new(decoded))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bad, ok};
    use super::*;
    use crate::imap::Command;

    fn parsed(text: &str) -> (String, Option<Vec<u8>>) {
        match ok(text) {
            Command::Authenticate(a) => (a.mechanism, a.initial.map(|i| i.expose().to_vec())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn mechanisms_and_initial_responses() {
        // RFC 4959 §5
        assert_eq!(
            parsed("a AUTHENTICATE plain dGVzdAB0ZXN0AHRlc3Q="),
            ("PLAIN".into(), Some(b"test\0test\0test".to_vec()))
        );
        assert_eq!(parsed("a AUTHENTICATE EXTERNAL ="), ("EXTERNAL".into(), Some(vec![])));
        assert_eq!(parsed("a AUTHENTICATE SCRAM-SHA-256"), ("SCRAM-SHA-256".into(), None));
        assert_eq!(parsed("a AUTHENTICATE PLAIN "), ("PLAIN".into(), None));
        for text in
            ["a AUTHENTICATE", "a AUTHENTICATE PLAIN dGVzd", "a AUTHENTICATE PLAIN !", "a AUTHENTICATE PLAIN = x"]
        {
            bad(text);
        }
    }

    #[test]
    fn lines_of_an_exchange() {
        assert_eq!(SaslResponse::parse(b"*"), Ok(SaslResponse::Cancel));
        assert_eq!(SaslResponse::parse(b""), Ok(SaslResponse::Data(Secret::new(vec![]))));
        assert_eq!(SaslResponse::parse(b"YWI="), Ok(SaslResponse::Data(Secret::new(b"ab".to_vec()))));
        assert!(SaslResponse::parse(b"YWI").is_err() && SaslResponse::parse(b"**").is_err());
    }
}
