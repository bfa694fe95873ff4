//! Which format a store has, said so that damage cannot pass for a format of tomorrow.
//!
//! SQLite keeps two numbers of ours in the header of its file. `application_id` says that it is an index
//! of a store. `user_version` says the format of everything that the store consists of: 1 is written as it
//! is, every later format *N* with *N* inverted in the upper sixteen bits. What is neither was written by
//! nobody.

use std::path::Path;

use rusqlite::Connection;

use super::OpenError;

/// "PBOX".
const APPLICATION_ID: i32 = 0x5042_4f58;

/// What this version writes: from 2 on with a journal, from 3 on with pieces that may be compressed.
const FORMAT: u16 = 3;

/// What the header of an index says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Identity {
    /// An index that we know.
    Ours,
    /// An index of a later version.
    Later(u16),
    /// Another program's file, or damage.
    Other,
}

/// Reads it.
pub(crate) fn identity(connection: &Connection) -> rusqlite::Result<Identity> {
    Ok(match (pragma(connection, "application_id")?, decode(pragma(connection, "user_version")?)) {
        (APPLICATION_ID, Some(1..=FORMAT)) => Identity::Ours,
        (APPLICATION_ID, Some(later)) => Identity::Later(later),
        _ => Identity::Other,
    })
}

/// True where an index that we know has the format that this version writes.
pub(crate) fn is_present(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(decode(pragma(connection, "user_version")?) == Some(FORMAT))
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i32> {
    connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
}

/// Says no where this is not an index that we know.
pub(crate) fn verify(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    match identity(connection)? {
        Identity::Ours => Ok(()),
        Identity::Later(found) => Err(later(found)),
        Identity::Other => Err(OpenError::Foreign(path.to_owned())),
    }
}

/// Why an index of a later version is left alone.
pub(crate) fn later(found: u16) -> OpenError {
    OpenError::Format { found, known: FORMAT }
}

/// What writes the identity, for [`Connection::execute_batch`].
pub(crate) fn statements() -> String {
    let version = encode(FORMAT);
    format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version};")
}

fn encode(format: u16) -> i32 {
    match format {
        1 => 1,
        format => (u32::from(!format) << 16 | u32::from(format)).cast_signed(),
    }
}

/// `None` where nobody has written it.
fn decode(version: i32) -> Option<u16> {
    let format = version as u16;
    (format > 0 && encode(format) == version).then_some(format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_read_and_what_nobody_wrote_is_none() {
        for format in 1..u16::MAX {
            assert_eq!(decode(encode(format)), Some(format));
        }
        assert_eq!((decode(0), decode(2), decode(-1), decode(i32::MIN)), (None, None, None, None));
    }

    #[test]
    fn no_flipped_bit_makes_another_format() {
        for format in [1, 2, 3, 255, 256, 40_000] {
            for bit in 0..32 {
                assert_eq!(decode(encode(format) ^ 1 << bit), None, "format {format}, bit {bit}");
            }
        }
    }
}
