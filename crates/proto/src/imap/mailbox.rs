//! Mailbox names as arguments: decoded by dialect.

use types::{MailboxName, NameError};

use super::Dialect;
use super::mutf7::{self, Mutf7Error};

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

/// A mailbox name as the dialect writes it.
pub(super) fn decode(octets: &[u8], dialect: Dialect) -> Result<MailboxName, MailboxError> {
    Ok(MailboxName::new(&decode_text(octets, dialect)?)?)
}

/// How the client wrote the name, where we write it differently: not in NFC, `inbox`. What RFC 9051
/// §6.3.9.7 calls OLDNAME. A separator at the end says something else and does not count.
pub(super) fn written_otherwise(octets: &[u8], name: &MailboxName, dialect: Dialect) -> Option<String> {
    let text = decode_text(octets, dialect).ok()?;
    let text = text.strip_suffix(MailboxName::SEPARATOR).unwrap_or(&text);
    (text != name.as_str()).then(|| text.to_owned())
}

/// The text of a name, a reference or a pattern; wildcards stand for themselves in both encodings.
pub(super) fn decode_text(octets: &[u8], dialect: Dialect) -> Result<String, MailboxError> {
    // A client that sends 8-bit octets does not mean modified UTF-7, whatever it has enabled.
    if dialect.unicode_names() || !octets.is_ascii() {
        let text = std::str::from_utf8(octets).map_err(|_| MailboxError::Utf8)?;
        return Ok(text.to_owned());
    }
    Ok(mutf7::decode(octets)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REV1: Dialect = Dialect::REV1;
    const REV2: Dialect = Dialect { rev2: true, ..Dialect::REV1 };
    const UTF8: Dialect = Dialect { utf8: true, ..Dialect::REV1 };

    fn name(text: &str, dialect: Dialect) -> Result<String, MailboxError> {
        decode(text.as_bytes(), dialect).map(|n| n.to_string())
    }

    #[test]
    fn the_dialect_decides() {
        assert_eq!(name("Entw&APw-rfe", REV1).unwrap(), "Entwürfe");
        assert_eq!(name("Entw&APw-rfe", REV2).unwrap(), "Entw&APw-rfe");
        // Thunderbird sends "&" as it is once UTF8=ACCEPT is enabled.
        assert_eq!(name("R&D", UTF8).unwrap(), "R&D");
        assert_eq!(name("R&D", REV1), Err(MailboxError::Mutf7(Mutf7Error)));
        assert_eq!(name("R&-D", REV1).unwrap(), "R&D");
        assert_eq!(name("Entwürfe & mehr", REV1).unwrap(), "Entwürfe & mehr");
    }

    #[test]
    fn names_that_cannot_be() {
        assert_eq!(decode(b"\xff", REV2), Err(MailboxError::Utf8));
        assert_eq!(decode(b"\xff", REV1), Err(MailboxError::Utf8));
        assert_eq!(name("a*", REV2), Err(MailboxError::Name(NameError::Wildcard)));
        assert_eq!(name("", REV1), Err(MailboxError::Name(NameError::Empty)));
    }
}
