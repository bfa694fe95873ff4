//! The numbers and byte strings of a card: LEB128 numbers, byte strings with their length before them.

use crate::{Charset, Content, Encoding, Layout, Place};

/// Where bytes are read from. Every read fails, and none panics, on bytes that are something else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_end(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// Small numbers of either sign are short.
    pub(super) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

pub(super) fn number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// What older versions wrote.
#[cfg(test)]
pub(super) fn signed(value: i64, out: &mut Vec<u8>) {
    number((value << 1 ^ value >> 63) as u64, out);
}

pub(super) fn bytes(value: &[u8], out: &mut Vec<u8>) {
    number(value.len() as u64, out);
    out.extend_from_slice(value);
}

/// Charsets that most mail is in get a number, all others their name.
const TEXT: u8 = 3;

/// The places of a layout, one after the other.
pub(super) fn layout(layout: &Layout, out: &mut Vec<u8>) {
    for place in layout.places() {
        let (content, charset) = match place.content {
            Content::Other => (0, None),
            Content::Multipart => (1, None),
            Content::Message => (2, None),
            Content::Text(charset) if charset == Charset::ASCII => (TEXT, None),
            Content::Text(charset) if charset == Charset::UTF_8 => (TEXT + 1, None),
            Content::Text(charset) => (TEXT + 2, Some(charset.name())),
        };
        let encoding = ENCODINGS.iter().position(|&encoding| encoding == place.encoding).unwrap_or(0);
        out.push(content | (encoding as u8) << 4);
        if let Some(name) = charset {
            bytes(name.as_bytes(), out);
        }
        number(place.below.into(), out);
        number(place.header, out);
        number(place.body - place.header, out);
        number(place.end - place.body, out);
        number(place.lines, out);
    }
}

/// Their numbers in the card; only ever append.
const ENCODINGS: [Encoding; 6] = [
    Encoding::SevenBit,
    Encoding::EightBit,
    Encoding::Binary,
    Encoding::QuotedPrintable,
    Encoding::Base64,
    Encoding::Unknown,
];

pub(super) fn read_layout(bytes: &[u8]) -> Option<Layout> {
    let mut reader = Reader(bytes);
    let mut places = Vec::new();
    while !reader.is_end() {
        places.push(read_place(&mut reader)?);
    }
    Layout::new(places)
}

fn read_place(reader: &mut Reader<'_>) -> Option<Place> {
    let tag = reader.byte()?;
    let encoding = *ENCODINGS.get(usize::from(tag >> 4))?;
    let content = match tag & 0x0f {
        0 => Content::Other,
        1 => Content::Multipart,
        2 => Content::Message,
        TEXT => Content::Text(Charset::ASCII),
        4 => Content::Text(Charset::UTF_8),
        5 => Content::Text(Charset::named_or_guess(reader.bytes()?)),
        _ => return None,
    };
    let below = u32::try_from(reader.number()?).ok()?;
    let header = reader.number()?;
    let body = header.checked_add(reader.number()?)?;
    let end = body.checked_add(reader.number()?)?;
    Some(Place { content, encoding, below, header, body, end, lines: reader.number()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_there_and_back(n: u64, i: i64) {
            let (mut out, octets) = (Vec::new(), n.to_le_bytes());
            number(n, &mut out);
            signed(i, &mut out);
            bytes(&octets, &mut out);
            let mut reader = Reader(&out);
            prop_assert_eq!(reader.number(), Some(n));
            prop_assert_eq!(reader.signed(), Some(i));
            prop_assert_eq!(reader.bytes(), Some(octets.as_slice()));
            prop_assert!(reader.is_end());
        }
        #[test]
        fn hostile_layouts(bytes in proptest::collection::vec(prop_oneof![0_u8..6, any::<u8>()], 0..40)) {
            if let Some(layout) = read_layout(&bytes) {
                for path in [&[][..], &[1], &[2], &[1, 1], &[1, 1, 1], &[2, 1]] {
                    layout.section(path, crate::Section::Header);
                    layout.section(path, crate::Section::Whole);
                }
                prop_assert!(layout.body_areas().count() + layout.text_areas().count() <= 200);
            }
        }
    }

    #[test]
    fn overlong_numbers() {
        assert_eq!(Reader(&[0xff; 11]).number(), None);
        assert_eq!(Reader(&[0x80]).number(), None);
        assert_eq!(Reader(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).number(), None);
    }
}
