//! A window of a list of messages (RFC 9394).

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;

use super::ParseError;
use super::lex::Cursor;

/// `partial-range = partial-range-first / partial-range-last` (RFC 9394 §4): positions from 1 on, both
/// included, counted from the first entry or from the last. `Display` writes it as the client did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    ends: (NonZeroU32, NonZeroU32),
    from_last: bool,
}

impl Window {
    /// `partial-range-first = nz-number ":" nz-number`,
    /// `partial-range-last = "-" nz-number ":" "-" nz-number`
    pub(super) fn parse(c: &mut Cursor<'_>) -> Result<Self, ParseError> {
        let from_last = c.eat(b'-');
        let first = c.nonzero("a position")?;
        c.expect(b':', "a colon")?;
        if from_last {
            c.expect(b'-', "a minus, as in front of the first position")?;
        }
        Ok(Self { ends: (first, c.nonzero("a position")?), from_last })
    }

    /// Which entries of a list these are, counted from 0. Empty where they lie beyond its end.
    pub fn positions(self, len: u64) -> Range<u64> {
        let (a, b) = self.ends;
        // RFC 9394 §3.1: 500:400 is 400:500.
        let (low, high) = (u64::from(a.min(b).get()), u64::from(a.max(b).get()));
        if self.from_last {
            len.saturating_sub(high)..len.saturating_sub(low - 1)
        } else {
            (low - 1).min(len)..high.min(len)
        }
    }

    /// These entries.
    pub fn of<T>(self, list: &[T]) -> &[T] {
        let Range { start, end } = self.positions(list.len() as u64);
        let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        list.get(index(start)..index(end)).unwrap_or_default()
    }

    /// True where positions are counted from the last entry.
    pub fn is_from_last(self) -> bool {
        self.from_last
    }

    /// How many entries there must be, from the end that they are counted from, until all of these are known.
    pub fn known_after(self) -> u64 {
        self.ends.0.max(self.ends.1).get().into()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minus = if self.from_last { "-" } else { "" };
        write!(f, "{minus}{}:{minus}{}", self.ends.0, self.ends.1)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use types::Limits;

    use super::*;
    use crate::imap::Dialect;

    /// What a client writes.
    pub(in crate::imap) fn window(text: &str) -> Window {
        let (limits, dialect) = (Limits::default(), Dialect::default());
        let mut c = Cursor::new(text.as_bytes(), dialect, &limits);
        Window::parse(&mut c).and_then(|window| c.end().map(|()| window)).unwrap()
    }

    fn of(text: &str, len: u32) -> Vec<u32> {
        window(text).of(&(1..=len).collect::<Vec<_>>()).to_vec()
    }

    #[test]
    fn from_both_ends_and_beyond() {
        assert_eq!(of("1:3", 9), [1, 2, 3]);
        assert_eq!(of("3:1", 9), [1, 2, 3]);
        assert_eq!(of("9:9", 9), [9]);
        assert_eq!(of("8:20", 9), [8, 9]);
        assert_eq!(of("10:20", 9), [0; 0]);
        assert_eq!(of("-1:-3", 9), [7, 8, 9]);
        assert_eq!(of("-3:-1", 9), [7, 8, 9]);
        assert_eq!(of("-8:-4294967295", 9), [1, 2]);
        assert_eq!(of("-10:-20", 9), [0; 0]);
        assert_eq!(of("-1:-1", 0), [0; 0]);
        assert_eq!((window("7:3").known_after(), window("-3:-7").known_after()), (7, 7));
        for text in ["1:3", "3:1", "-100:-1", "-1:-100"] {
            assert_eq!(window(text).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn the_end_mirrors_the_beginning(a in 1u32..30, b in 1u32..30, len in 0u32..40) {
            let mut mirrored: Vec<_> = of(&format!("-{a}:-{b}"), len).into_iter().map(|n| len + 1 - n).collect();
            mirrored.reverse();
            prop_assert_eq!(&mirrored, &of(&format!("{a}:{b}"), len));
            prop_assert_eq!(mirrored, (a.min(b)..=a.max(b)).filter(|&n| n <= len).collect::<Vec<_>>());
        }
    }
}
