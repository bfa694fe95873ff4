//! Who somebody is: SASL mechanisms as state machines, and password hashes.
//!
//! Pure: no clock, no randomness, no I/O. Salts and keys are arguments, and computing a password
//! hash takes some 20 ms of CPU, so async code calls it on a blocking thread. Secrets have a type
//! that cannot be printed and that is wiped when dropped.

mod fingerprint;
mod password;
mod sasl;
mod secret;

pub use fingerprint::{Fingerprint, FingerprintKey};
pub use password::{PasswordError, PasswordHash, SALT_LEN, Workspace};
pub use sasl::{Credentials, Exchange, Mechanism, SaslError, Step};
pub use secret::Secret;
