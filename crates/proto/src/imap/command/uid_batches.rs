//! UIDBATCHES (RFC 10022).

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use crate::imap::lex::Cursor;
use crate::imap::{Code, ParseError};

/// `message-batches = "UIDBATCHES" SP nz-number [SP nz-number ":" nz-number]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UidBatches {
    /// Messages in a batch.
    pub size: NonZeroU32,
    /// Which batches, counted from 1 with the newest messages; `None` for all. Never empty.
    pub batches: Option<RangeInclusive<NonZeroU32>>,
}

impl UidBatches {
    pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        c.space()?;
        let size = c.nonzero("a number of messages")?;
        let mut batches = None;
        if c.eat(b' ') && !c.rest().is_empty() {
            let from = c.nonzero("a number of a batch")?;
            c.expect(b':', "a colon")?;
            let to = c.nonzero("a number of a batch")?;
            // RFC 10022: the first is not larger than the second.
            if from > to {
                return Err(ParseError { code: Some(Code::ClientBug), ..ParseError::bad("the range is reversed") });
            }
            batches = Some(from..=to);
        }
        Ok(Self { size, batches })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bad, ok};
    use super::*;
    use crate::imap::Command;

    #[test]
    fn with_and_without_a_range() {
        let n = |n| NonZeroU32::new(n).unwrap();
        let batches = |size, batches| Command::UidBatches(UidBatches { size: n(size), batches });
        assert_eq!(ok("A1 UIDBATCHES 2000"), batches(2000, None));
        assert_eq!(ok("A1 uidbatches 1 "), batches(1, None));
        assert_eq!(ok("A1 UIDBATCHES 4294967295 10:20"), batches(u32::MAX, Some(n(10)..=n(20))));
        assert_eq!(ok("A1 UIDBATCHES 500 7:7"), batches(500, Some(n(7)..=n(7))));
        assert_eq!(bad("A1 UIDBATCHES 500 20:10").code, Some(Code::ClientBug));
        for text in ["", " ", " 0", " x", " 500 1", " 500 0:1", " 500 1:*", " 500 1:2 3:4", " 4294967296", " 500 1,2"] {
            bad(&format!("A1 UIDBATCHES{text}"));
        }
        bad("A1 UID UIDBATCHES 500");
    }
}
