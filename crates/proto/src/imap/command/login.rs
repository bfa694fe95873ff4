//! LOGIN (RFC 9051 §6.2.3).

use crate::Secret;

/// `login = "LOGIN" SP userid SP password`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// Who.
    pub user: String,
    /// The password, as octets.
    pub password: Secret,
}
