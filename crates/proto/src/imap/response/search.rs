//! SEARCH and ESEARCH responses (RFC 3501 §7.2.5, RFC 9051 §7.3.4, RFC 4731 §3.1).

use types::{IdSet, Number};

use super::{Encoder, text};
use crate::imap::Tag;

/// `search-return-data`: what was asked for and is there. MIN, MAX and ALL are left out where
/// nothing was found (RFC 4731 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ESearch<'a, T> {
    /// The numbers are UIDs.
    pub by_uid: bool,
    /// `MIN`
    pub min: Option<T>,
    /// `MAX`
    pub max: Option<T>,
    /// `ALL`; an empty set is left out.
    pub all: Option<&'a IdSet<T>>,
    /// `COUNT`
    pub count: Option<u64>,
}

impl Encoder<'_> {
    /// `SEARCH` (RFC 3501 §7.2.5): the answer to a SEARCH without RETURN in IMAP4rev1.
    pub fn search<T: Number>(&mut self, found: impl IntoIterator<Item = T>) {
        self.out.extend_from_slice(b"* SEARCH");
        for id in found {
            self.out.push(b' ');
            text::number(self.out, u64::from(id.get()));
        }
        self.end();
    }

    /// `ESEARCH` (RFC 9051 §7.3.4): the answer to every other SEARCH, with the command's tag.
    pub fn esearch<T: Number>(&mut self, tag: &Tag, found: &ESearch<'_, T>) {
        use std::io::Write;
        // RFC 4466 §2.6.2 wants the tag as a string. Writing to a Vec cannot fail.
        let _ = write!(self.out, "* ESEARCH (TAG \"{tag}\")");
        if found.by_uid {
            self.out.extend_from_slice(b" UID");
        }
        let numbers = [
            (" MIN ", found.min.map(|id| u64::from(id.get()))),
            (" MAX ", found.max.map(|id| u64::from(id.get()))),
            (" COUNT ", found.count),
        ];
        for (item, number) in numbers {
            if let Some(number) = number {
                self.out.extend_from_slice(item.as_bytes());
                text::number(self.out, number);
            }
        }
        if let Some(all) = found.all.filter(|all| !all.is_empty()) {
            let _ = write!(self.out, " ALL {all}");
        }
        self.end();
    }
}
