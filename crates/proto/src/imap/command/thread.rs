//! THREAD and UID THREAD (RFC 5256 §3).

use super::search::{SearchKey, search_criteria};
use crate::imap::ParseError;
use crate::imap::lex::Cursor;

/// `thread = ["UID" SP] "THREAD" SP thread-alg SP search-criteria`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thread {
    /// UID THREAD: the answer is in UIDs.
    pub by_uid: bool,
    /// How threads are made.
    pub algorithm: ThreadAlgorithm,
    /// What to thread. Strings are decoded from the charset.
    pub key: SearchKey,
}

/// `thread-alg = "ORDEREDSUBJECT" / "REFERENCES" / thread-alg-ext`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ThreadAlgorithm {
    /// `ORDEREDSUBJECT`
    OrderedSubject,
    /// `REFERENCES`
    References,
    /// `REFS` (draft-ietf-morg-inthread)
    Refs,
}

impl Thread {
    pub(super) fn parse(c: &mut Cursor<'_>, by_uid: bool) -> Result<Self, ParseError> {
        c.space()?;
        let start = c.clone();
        let algorithm = match c.word("a threading algorithm")?.as_str() {
            "ORDEREDSUBJECT" => ThreadAlgorithm::OrderedSubject,
            "REFERENCES" => ThreadAlgorithm::References,
            "REFS" => ThreadAlgorithm::Refs,
            _ => return start.expected("a known threading algorithm"),
        };
        c.space()?;
        Ok(Self { by_uid, algorithm, key: search_criteria(c)? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bad, no, ok};
    use super::*;
    use crate::imap::Command;

    #[test]
    fn algorithms() {
        for (name, algorithm) in [
            ("ORDEREDSUBJECT", ThreadAlgorithm::OrderedSubject),
            ("references", ThreadAlgorithm::References),
            ("REFS", ThreadAlgorithm::Refs),
        ] {
            let expected = |by_uid| Command::Thread(Thread { by_uid, algorithm, key: SearchKey::All });
            assert_eq!(ok(&format!("a THREAD {name} UTF-8 ALL")), expected(false));
            assert_eq!(ok(&format!("a UID THREAD {name} us-ascii ALL")), expected(true));
        }
    }

    #[test]
    fn what_is_no_thread() {
        for text in
            ["", "REFERENCES", "REFERENCES UTF-8", "FOO UTF-8 ALL", "(REFS) UTF-8 ALL", "RETURN () REFS UTF-8 ALL"]
        {
            bad(&format!("a THREAD {text}"));
        }
        no("a THREAD REFERENCES x-unknown ALL");
    }
}
