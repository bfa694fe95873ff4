//! SASL (RFC 4422) without the wire: a mechanism takes the client's responses and gives challenges,
//! until it knows what the client wants to prove.
//!
//! ```text
//!   Mechanism::start ──► Step::Challenge(octets, Exchange) ──► Exchange::respond ──► …
//!                   └──► Step::Check(Credentials)     └──► SaslError
//! ```
//!
//! Base64, cancelling with `*`, and the profile's line lengths belong to the protocol that carries
//! the exchange. A mechanism that ends in something other than a password adds its own [`Step`].

mod plain;

use std::fmt;

use crate::Secret;

/// The mechanisms that can be offered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mechanism {
    /// RFC 4616: name and password as they are. Only under TLS, or on loopback where configured.
    Plain,
}

/// What the server does next.
#[derive(Debug)]
pub enum Step {
    /// Send this (it may be empty) and pass the answer to [`Exchange::respond`].
    Challenge(Vec<u8>, Exchange),
    /// The exchange is over; let the client in if these are right.
    Check(Credentials),
}

/// What a client claims to be, with its proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// The authentication identity, which is the authorization identity too.
    pub name: String,
    /// The password.
    pub password: Secret,
}

/// An exchange that waits for the client.
#[derive(Debug)]
pub struct Exchange(State);

#[derive(Debug)]
enum State {
    /// PLAIN without an initial response: the one message is still to come.
    Plain,
}

/// Why an exchange failed before any password was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SaslError {
    /// The client's message breaks the mechanism's grammar.
    #[error("{0}")]
    Malformed(&'static str),
    /// The client wants to act for somebody else, which nobody may.
    #[error("acting for another account is not possible")]
    Authorization,
}

impl Mechanism {
    /// All of them, the best first.
    pub const ALL: [Self; 1] = [Self::Plain];

    /// The name in IANA's registry of SASL mechanisms.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
        }
    }

    /// Takes a name in any case: RFC 4422 §3.1 has capitals only, but RFC 9051 §9 `auth-type` is an atom.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name().eq_ignore_ascii_case(name))
    }

    /// True where the password itself crosses the wire, so that the connection must be private.
    pub fn shows_password(self) -> bool {
        match self {
            Self::Plain => true,
        }
    }

    /// Begins, with the initial response if the client sent one (an empty one is `Some(b"")`).
    pub fn start(self, initial: Option<&[u8]>) -> Result<Step, SaslError> {
        match (self, initial) {
            // RFC 4422 §3.3: where the client goes first and sent nothing, the challenge is empty.
            (Self::Plain, None) => Ok(Step::Challenge(Vec::new(), Exchange(State::Plain))),
            (Self::Plain, Some(message)) => plain::parse(message).map(Step::Check),
        }
    }
}

impl Exchange {
    /// Takes the client's answer to the challenge.
    pub fn respond(self, response: &[u8]) -> Result<Step, SaslError> {
        match self.0 {
            State::Plain => plain::parse(response).map(Step::Check),
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(Mechanism::parse("plain"), Some(Mechanism::Plain));
        assert_eq!(Mechanism::parse("PLAINER"), None);
        assert_eq!(Mechanism::Plain.to_string(), "PLAIN");
    }

    #[test]
    fn with_and_without_an_initial_response() {
        let Ok(Step::Challenge(challenge, exchange)) = Mechanism::Plain.start(None) else { panic!("no challenge") };
        assert_eq!(challenge, b"");
        let Ok(Step::Check(late)) = exchange.respond(b"\0tim\0tanstaaftanstaaf") else { panic!("no credentials") };
        let Ok(Step::Check(early)) = Mechanism::Plain.start(Some(b"\0tim\0tanstaaftanstaaf")) else { panic!("none") };
        assert_eq!(late, early);
        // RFC 4959 §3: `=` is an initial response of no octets, which PLAIN cannot use.
        assert!(Mechanism::Plain.start(Some(b"")).is_err());
    }
}
