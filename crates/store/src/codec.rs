//! How numbers and texts become values: varints, and lengths before what they measure.
//!
//! Each value begins with the version of its layout; a reader takes nothing on trust, because what
//! it reads may come from a damaged disk.

use types::Flags;

use crate::error::{Error, Result};

/// Builds a value.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// Begins a value of this layout version.
    pub(crate) fn new(version: u8) -> Self {
        Self::sized(version, 64)
    }

    /// The same for a value that has about so many octets.
    pub(crate) fn sized(version: u8, octets: usize) -> Self {
        let mut value = Vec::with_capacity(octets);
        value.push(version);
        Self(value)
    }

    pub(crate) fn number(&mut self, mut n: u64) -> &mut Self {
        while n >= 0x80 {
            // The mask leaves seven bits.
            self.0.push((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
        self
    }

    /// Small magnitudes of either sign stay short.
    pub(crate) fn signed(&mut self, n: i64) -> &mut Self {
        self.number((n.cast_unsigned() << 1) ^ (n >> 63).cast_unsigned())
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Octets that were written by a writer already.
    pub(crate) fn raw(&mut self, octets: &[u8]) -> &mut Self {
        self.0.extend_from_slice(octets);
        self
    }

    pub(crate) fn flags(&mut self, flags: &Flags) -> &mut Self {
        self.number(u64::from(flags.system_bits())).number(flags.keywords().len() as u64);
        for keyword in flags.keywords() {
            self.bytes(keyword.as_str().as_bytes());
        }
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a value. Every method fails, and none panics, where the value is not as it should be.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Opens a value, named for the error message, whose layout must be one of `..=newest`.
    pub(crate) fn new(what: &'static str, value: &'a [u8], newest: u8) -> Result<(u8, Self)> {
        match value.split_first() {
            Some((&version, rest)) if version <= newest => Ok((version, Self { rest, what })),
            Some((version, _)) => Err(Error::Damaged(format!(
                "{what} has layout {version}, which this version of Pillarbox does not know; was it written by a newer one?"
            ))),
            None => Err(Error::Damaged(format!("{what} is empty"))),
        }
    }

    fn damaged(&self) -> Error {
        Error::Damaged(format!("{} is malformed", self.what))
    }

    pub(crate) fn number(&mut self) -> Result<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or_else(|| self.damaged())?;
            self.rest = rest;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(self.damaged())
    }

    pub(crate) fn small(&mut self) -> Result<u32> {
        u32::try_from(self.number()?).map_err(|_| self.damaged())
    }

    /// A number of things that each take at least an octet, so that a damaged count cannot ask for
    /// more memory than the value has octets.
    pub(crate) fn count(&mut self) -> Result<usize> {
        let n = self.number()?;
        usize::try_from(n).ok().filter(|&n| n <= self.rest.len()).ok_or_else(|| self.damaged())
    }

    pub(crate) fn signed(&mut self) -> Result<i64> {
        let n = self.number()?;
        Ok((n >> 1).cast_signed() ^ -((n & 1).cast_signed()))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.count()?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.damaged())?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.damaged())
    }

    /// A value that this type cannot hold.
    pub(crate) fn valid<T>(&self, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.damaged())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many octets are left.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn end(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.damaged()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(n: u64, s: i64, bytes: Vec<u8>) {
            let mut w = Writer::new(1);
            w.number(n).signed(s).bytes(&bytes);
            let value = w.finish();
            let (_, mut r) = Reader::new("test", &value, 1).unwrap();
            prop_assert_eq!((r.number().unwrap(), r.signed().unwrap(), r.bytes().unwrap()), (n, s, &bytes[..]));
            r.end().unwrap();
        }

        #[test]
        fn rubbish_is_an_error_not_a_panic(bytes: Vec<u8>) {
            if let Ok((_, mut r)) = Reader::new("test", &bytes, u8::MAX) {
                let _ = (r.number(), r.count(), r.text(), r.signed(), r.small());
            }
        }
    }
}
