//! SEARCH and ESEARCH responses (RFC 3501 §7.2.5, RFC 9051 §7.3.4, RFC 4731 §3.1).

use types::{IdSet, ModSeq, Number};

use super::{Encoder, text};
use crate::imap::{Tag, Window};

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
    /// `PARTIAL` (RFC 9394 §3.1): the window as it was asked for, and what lies in it.
    pub partial: Option<(Window, &'a IdSet<T>)>,
    /// `MODSEQ` (RFC 7162 §3.1.10): the latest change of what is returned.
    pub modseq: Option<ModSeq>,
}

impl Encoder<'_> {
    /// `SEARCH` (RFC 3501 §7.2.5): the answer to a SEARCH without RETURN in IMAP4rev1 begins. Then come
    /// [`Encoder::numbers`], as often as that is needed, and [`Encoder::end_numbers`].
    pub fn begin_search(&mut self) {
        self.out.extend_from_slice(b"* SEARCH");
    }

    /// The next numbers of a SEARCH or SORT response.
    pub fn numbers<T: Number>(&mut self, found: impl IntoIterator<Item = T>) {
        text::numbers(self.out, found.into_iter().map(T::get));
    }

    /// Its end, with the latest change of what was found, where MODSEQ was asked for (RFC 7162 §3.1.6, §3.1.9).
    pub fn end_numbers(&mut self, modseq: Option<ModSeq>) {
        if let Some(modseq) = modseq {
            self.out.extend_from_slice(format!(" (MODSEQ {modseq})").as_bytes());
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
        // RFC 9394 §3.1: NIL where nothing lies there.
        match found.partial {
            Some((window, none)) if none.is_empty() => drop(write!(self.out, " PARTIAL ({window} NIL)")),
            Some((window, set)) => drop(write!(self.out, " PARTIAL ({window} {set})")),
            None => {}
        }
        if let Some(modseq) = found.modseq {
            let _ = write!(self.out, " MODSEQ {modseq}");
        }
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use types::Uid;

    use super::*;
    use crate::imap::Dialect;
    use crate::imap::window::tests::window;

    fn written(found: ESearch<'_, Uid>) -> String {
        let mut out = Vec::new();
        Encoder::new(&mut out, Dialect::default()).esearch(&Tag::new(b"A285").unwrap(), &found);
        String::from_utf8(out).unwrap()
    }

    const NOTHING: ESearch<'_, Uid> =
        ESearch { by_uid: false, min: None, max: None, all: None, count: None, partial: None, modseq: None };

    fn set(uids: &[u32]) -> IdSet<Uid> {
        uids.iter().filter_map(|&uid| Uid::new(uid)).collect()
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 9051 §7.3.4
        let found = ESearch { by_uid: true, min: Uid::new(7), max: Uid::new(3800), ..NOTHING };
        assert_eq!(written(found), "* ESEARCH (TAG \"A285\") UID MIN 7 MAX 3800\r\n");
        let found = ESearch { all: Some(&set(&[2, 10, 11, 12])), count: Some(4), ..NOTHING };
        assert_eq!(written(found), "* ESEARCH (TAG \"A285\") COUNT 4 ALL 2,10:12\r\n");
        // RFC 4731 §3.1: no ALL where nothing was found.
        let found = ESearch { all: Some(&set(&[])), count: Some(0), ..NOTHING };
        assert_eq!(written(found), "* ESEARCH (TAG \"A285\") COUNT 0\r\n");
        // RFC 7162 §3.1.10
        let found = ESearch { all: Some(&set(&[1, 2, 3, 5])), modseq: ModSeq::new(1236), ..NOTHING };
        assert_eq!(written(found), "* ESEARCH (TAG \"A285\") ALL 1:3,5 MODSEQ 1236\r\n");
    }

    // RFC 9394 §3.1
    #[test]
    fn windows() {
        let partial = Some((window("-1:-100"), &set(&[200, 250, 251])));
        let found = ESearch { by_uid: true, partial, ..NOTHING };
        assert_eq!(written(found), "* ESEARCH (TAG \"A285\") UID PARTIAL (-1:-100 200,250:251)\r\n");
        let found = ESearch { count: Some(0), partial: Some((window("23500:24000"), &set(&[]))), ..NOTHING };
        assert_eq!(written(found), "* ESEARCH (TAG \"A285\") COUNT 0 PARTIAL (23500:24000 NIL)\r\n");
    }
}
