//! SORT and THREAD responses (RFC 5256 §4), and ESEARCH as the answer to an extended SORT (RFC 5267 §3).

use std::io::Write;

use types::{ModSeq, Number};

use super::{Encoder, text};
use crate::imap::{Tag, Window};

/// `search-return-data` of a SORT: what was asked for and is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ESort<'a, T> {
    /// The numbers are UIDs.
    pub by_uid: bool,
    /// `MIN`: the first by the order.
    pub min: Option<T>,
    /// `MAX`: the last by the order.
    pub max: Option<T>,
    /// `ALL`, in order; left out where empty.
    pub all: Option<&'a [T]>,
    /// `COUNT`
    pub count: Option<u64>,
    /// `PARTIAL` (RFC 9394 §3.1): the window as it was asked for, and what lies in it, in order.
    pub partial: Option<(Window, &'a [T])>,
    /// `MODSEQ` (RFC 7162 §3.1.10): the latest change of what is returned.
    pub modseq: Option<ModSeq>,
}

/// What threads are written of (RFC 5256 §5 `thread-list`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ThreadToken<T> {
    /// `(`
    Open,
    /// A message: the child of the one before it in the same list.
    Id(T),
    /// `)`
    Close,
}

impl Encoder<'_> {
    /// `sort-data = "SORT" [1*(SP nz-number) SP search-sort-mod-seq]` begins; the rest is as in
    /// [`Encoder::begin_search`].
    pub fn begin_sort(&mut self) {
        self.out.extend_from_slice(b"* SORT");
    }

    /// ESEARCH for a SORT with RETURN.
    pub fn esort<T: Number>(&mut self, tag: &Tag, sorted: &ESort<'_, T>) {
        // Writing to a Vec cannot fail.
        let _ = write!(self.out, "* ESEARCH (TAG \"{tag}\")");
        if sorted.by_uid {
            self.out.extend_from_slice(b" UID");
        }
        let numbers = [
            (" MIN ", sorted.min.map(|id| u64::from(id.get()))),
            (" MAX ", sorted.max.map(|id| u64::from(id.get()))),
            (" COUNT ", sorted.count),
        ];
        for (item, number) in numbers {
            if let Some(number) = number {
                self.out.extend_from_slice(item.as_bytes());
                text::number(self.out, number);
            }
        }
        if let Some(all) = sorted.all.filter(|all| !all.is_empty()) {
            self.out.extend_from_slice(b" ALL ");
            ordered_set(all, self.out);
        }
        if let Some((window, ids)) = sorted.partial {
            let _ = write!(self.out, " PARTIAL ({window} ");
            match ids {
                // RFC 9394 §3.1: NIL where nothing lies there.
                [] => self.out.extend_from_slice(b"NIL"),
                ids => ordered_set(ids, self.out),
            }
            self.out.push(b')');
        }
        if let Some(modseq) = sorted.modseq {
            let _ = write!(self.out, " MODSEQ {modseq}");
        }
        self.end();
    }

    /// `thread-data = "THREAD" [SP 1*thread-list]`
    pub fn thread<T: Number>(&mut self, threads: impl IntoIterator<Item = ThreadToken<T>>) {
        self.out.extend_from_slice(b"* THREAD");
        // A space stands between a number and what follows it, and before everything.
        let mut space = true;
        for token in threads {
            if space && token != ThreadToken::Close {
                self.out.push(b' ');
            }
            match token {
                ThreadToken::Open => self.out.push(b'('),
                ThreadToken::Close => self.out.push(b')'),
                ThreadToken::Id(id) => text::number(self.out, u64::from(id.get())),
            }
            space = matches!(token, ThreadToken::Id(_));
        }
        self.end();
    }
}

/// `sequence-set` in the order given. RFC 5267 §3.2: "servers SHOULD present ranges only when the first
/// seq-number is lower than the second".
fn ordered_set<T: Number>(ids: &[T], out: &mut Vec<u8>) {
    let runs = ids.chunk_by(|a, b| a.get().checked_add(1) == Some(b.get()));
    for (at, run) in runs.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        if let [first, .., last] | [first @ last] = run {
            text::number(out, u64::from(first.get()));
            if first.get() != last.get() {
                out.push(b':');
                text::number(out, u64::from(last.get()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use types::Uid;

    use super::*;
    use crate::imap::Dialect;
    use crate::imap::window::tests::window;

    fn written(write: impl FnOnce(&mut Encoder<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Encoder::new(&mut out, Dialect::default()));
        String::from_utf8(out).unwrap()
    }

    fn sort(encoder: &mut Encoder<'_>, numbers: &[u32]) {
        encoder.begin_sort();
        // In two parts, as a long one comes.
        let (some, others) = numbers.split_at(numbers.len() / 2);
        encoder.numbers(uids(some));
        encoder.numbers(uids(others));
        encoder.end_numbers(None);
    }

    fn uids(numbers: &[u32]) -> Vec<Uid> {
        numbers.iter().filter_map(|&n| Uid::new(n)).collect()
    }

    // RFC 5256 §3 and §4
    #[test]
    fn sorted_and_threaded() {
        assert_eq!(written(|e| sort(e, &[5, 3, 4, 1, 2])), "* SORT 5 3 4 1 2\r\n");
        assert_eq!(written(|e| sort(e, &[])), "* SORT\r\n");
        let tokens = |text: &str| -> Vec<ThreadToken<Uid>> {
            let token = |word: &str| match word {
                "(" => ThreadToken::Open,
                ")" => ThreadToken::Close,
                number => ThreadToken::Id(number.parse().ok().and_then(Uid::new).unwrap()),
            };
            text.split_whitespace().map(token).collect()
        };
        for (text, expected) in [
            ("( 2 ) ( 3 6 ( 4 23 ) ( 44 7 96 ) )", " (2)(3 6 (4 23)(44 7 96))"),
            ("( ( 3 ) ( 5 ) )", " ((3)(5))"),
            ("", ""),
        ] {
            assert_eq!(written(|e| e.thread(tokens(text))), format!("* THREAD{expected}\r\n"));
        }
    }

    // RFC 5267 §3.2 and §3.3, RFC 9394 §3.1
    #[test]
    fn extended() {
        let tag = Tag::new(b"E01").unwrap();
        let written = |sorted: ESort<'_, Uid>| written(|e| e.esort(&tag, &sorted));
        let nothing =
            ESort { by_uid: false, min: None, max: None, all: None, count: None, partial: None, modseq: None };
        let all = uids(&[23765, 23764, 23763, 23761]);
        assert_eq!(
            written(ESort { by_uid: true, all: Some(&all), ..nothing }),
            "* ESEARCH (TAG \"E01\") UID ALL 23765,23764,23763,23761\r\n"
        );
        let ranges = uids(&[10, 11, 12, 5, 4, 6, 7]);
        let ends = ESort { min: Uid::new(10), max: Uid::new(7), all: Some(&ranges), count: Some(7), ..nothing };
        assert_eq!(written(ends), "* ESEARCH (TAG \"E01\") MIN 10 MAX 7 COUNT 7 ALL 10:12,5,4,6:7\r\n");
        let empty = ESort { all: Some(&[]), count: Some(0), ..nothing };
        assert_eq!(written(empty), "* ESEARCH (TAG \"E01\") COUNT 0\r\n");
        let partial = ESort { by_uid: true, partial: Some((window("1:4"), &all)), ..nothing };
        assert_eq!(written(partial), "* ESEARCH (TAG \"E01\") UID PARTIAL (1:4 23765,23764,23763,23761)\r\n");
        let beyond = ESort { partial: Some((window("-8:-9"), &[])), ..nothing };
        assert_eq!(written(beyond), "* ESEARCH (TAG \"E01\") PARTIAL (-8:-9 NIL)\r\n");
    }
}
