//! AUTHENTICATE (RFC 9051 §6.2.2) with initial response (RFC 4959).

use crate::Secret;
use crate::imap::ParseError;

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

impl SaslResponse {
    /// Reads an [`crate::imap::Event::Line`].
    pub fn parse(_line: &[u8]) -> Result<Self, ParseError> {
        Err(ParseError { tag: None, verdict: crate::imap::Verdict::Bad, code: None, text: String::new() })
    }
}
