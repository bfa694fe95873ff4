//! Mailbox names as arguments: decoded by dialect.

use types::NameError;

use super::mutf7::Mutf7Error;

/// Why an argument is no mailbox name. Answered with `NO [CANNOT]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MailboxError {
    /// Not the encoding that RFC 3501 §5.1.3 demands.
    #[error(transparent)]
    Mutf7(#[from] Mutf7Error),
    /// Not UTF-8 (RFC 9051 §5.1).
    #[error("the mailbox name is not UTF-8")]
    Utf8,
    /// No name.
    #[error(transparent)]
    Name(#[from] NameError),
}
