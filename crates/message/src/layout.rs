//! Where the parts of a message are, and which octets a section of IMAP means.
//!
//! A [`Layout`] is the part tree in pre-order; each place knows how many places are below it. A
//! message/rfc822 place has exactly one child: the message inside, with its own header and body. A
//! multipart has at least one child. The root is the message itself.

use std::ops::Range;

use crate::{Charset, transfer::Encoding};

/// One part: where it is and how it is to be read. Offsets count octets from the message's start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// What is inside.
    pub content: Content,
    /// How the body is encoded.
    pub encoding: Encoding,
    /// How many places below it follow.
    pub below: u32,
    /// The first octet of its header.
    pub header: u64,
    /// The octet after the blank line that ends the header: the first of the body.
    pub body: u64,
    /// The octet after the body.
    pub end: u64,
    /// Line ends in the body.
    pub lines: u64,
}

impl Place {
    /// An empty part without a header.
    pub(crate) const NOWHERE: Self =
        Self { content: Content::Other, encoding: Encoding::SevenBit, below: 0, header: 0, body: 0, end: 0, lines: 0 };
}

/// What a part holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// Text in a charset: `text/…`, and what a `message/…` holds that is no message, such as a delivery
    /// status; SEARCH may not leave out either (RFC 9051 §6.4.4).
    Text(Charset),
    /// Parts.
    Multipart,
    /// A message with a header of its own.
    Message,
    /// Anything else.
    Other,
}

/// What of a part is meant (RFC 9051 §6.4.5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Section {
    /// `BODY[]`: header and body. `BODY[1.2]`: the body of the part.
    Whole,
    /// The header of the message, or of the message inside the part.
    Header,
    /// The body of the message, or of the message inside the part.
    Text,
    /// The header of the part.
    Mime,
}

/// Octets in which SEARCH looks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SearchArea {
    /// Of the message.
    pub range: Range<u64>,
    /// How they become text.
    pub reading: Reading,
}

/// How octets become text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// They are header fields.
    Header,
    /// They are a body.
    Text(Encoding, Charset),
}

/// The part tree of one message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// In pre-order; never empty.
    places: Vec<Place>,
}

impl Layout {
    /// `None` unless the places are a tree as described above.
    pub(crate) fn new(places: Vec<Place>) -> Option<Self> {
        let (root, size) = (places.first()?, u32::try_from(places.len()).ok()?);
        let mut ends = vec![size];
        for (index, place) in (0_u32..).zip(&places) {
            while ends.last() == Some(&index) {
                ends.pop();
            }
            let end = index.checked_add(place.below)?.checked_add(1)?;
            let childless = place.below == 0;
            let shape = match place.content {
                Content::Text(_) | Content::Other => childless,
                Content::Multipart => !childless,
                Content::Message => places.get(index as usize + 1)?.below.checked_add(1)? == place.below,
            };
            let ordered = place.header <= place.body && place.body <= place.end && place.end <= root.end;
            if !shape || !ordered || end > *ends.last()? {
                return None;
            }
            ends.push(end);
        }
        (root.below + 1 == size && root.header == 0).then_some(Self { places })
    }

    /// A message of which nothing is known but its size.
    pub(crate) fn opaque(size: u64, lines: u64) -> Self {
        Self { places: vec![Place { end: size, lines, ..Place::NOWHERE }] }
    }

    /// The parts in pre-order; the first is the message.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Octets of the message.
    pub fn size(&self) -> u64 {
        self.places.first().map_or(0, |root| root.end)
    }

    /// The part with this number, `[1, 2]` for `1.2`; the message itself for the empty path.
    pub fn part(&self, path: &[u32]) -> Option<&Place> {
        self.places.get(self.find(path)?)
    }

    /// The octets that a section means; `None` where the message has no such section.
    pub fn section(&self, path: &[u32], section: Section) -> Option<Range<u64>> {
        let index = self.find(path)?;
        let place = self.places.get(index)?;
        let header = |place: &Place| place.header..place.body;
        let body = |place: &Place| place.body..place.end;
        // HEADER and TEXT speak of the whole message, or else of a part that is a message.
        let message = || match (path, place.content) {
            ([], _) => Some(place),
            (_, Content::Message) => self.places.get(index + 1),
            _ => None,
        };
        match section {
            Section::Whole if path.is_empty() => Some(place.header..place.end),
            Section::Whole => Some(body(place)),
            Section::Header => message().map(header),
            Section::Text => message().map(body),
            // "The MIME part specifier MUST be prefixed by one or more numeric part specifiers."
            Section::Mime if path.is_empty() => None,
            Section::Mime => Some(header(place)),
        }
    }

    /// Where `BODY` looks (RFC 9051 §6.4.4): text, and all of the messages inside.
    /// "Server implementations MAY exclude body parts with terminal content media types other than
    /// TEXT and MESSAGE from consideration".
    pub fn body_areas(&self) -> impl Iterator<Item = SearchArea> {
        let inside = (0..self.places.len()).filter(|&i| i > 0 && self.is_message_root(i));
        self.headers(inside).chain(self.texts())
    }

    /// Where `TEXT` looks: all headers, those of parts too, and text.
    pub fn text_areas(&self) -> impl Iterator<Item = SearchArea> {
        self.headers(0..self.places.len()).chain(self.texts())
    }

    fn headers(&self, indices: impl Iterator<Item = usize>) -> impl Iterator<Item = SearchArea> {
        indices
            .filter_map(|i| self.places.get(i))
            .filter(|place| place.header < place.body)
            .map(|place| SearchArea { range: place.header..place.body, reading: Reading::Header })
    }

    fn texts(&self) -> impl Iterator<Item = SearchArea> {
        self.places.iter().filter_map(|place| match place.content {
            Content::Text(charset) if place.body < place.end => {
                Some(SearchArea { range: place.body..place.end, reading: Reading::Text(place.encoding, charset) })
            }
            _ => None,
        })
    }

    /// Whether this place is a message, and not merely a part of one.
    fn is_message_root(&self, index: usize) -> bool {
        index.checked_sub(1).is_none_or(|before| self.places.get(before).is_some_and(|p| p.content == Content::Message))
    }

    /// Walks down a path of part numbers.
    fn find(&self, path: &[u32]) -> Option<usize> {
        let mut index = 0;
        for (depth, &number) in path.iter().enumerate() {
            let place = self.places.get(index)?;
            index = match place.content {
                Content::Multipart => self.child(index, number)?,
                // A message that is no multipart has only a part 1: its body.
                _ if depth == 0 => (number == 1).then_some(index)?,
                Content::Message => {
                    let inner = index + 1;
                    match self.places.get(inner)?.content {
                        Content::Multipart => self.child(inner, number)?,
                        _ => (number == 1).then_some(inner)?,
                    }
                }
                _ => return None,
            };
        }
        Some(index)
    }

    /// The child with this number, counted from 1.
    fn child(&self, parent: usize, number: u32) -> Option<usize> {
        let end = parent + 1 + self.places.get(parent)?.below as usize;
        let mut child = parent + 1;
        for _ in 1..number {
            child += 1 + self.places.get(child)?.below as usize;
            if child >= end {
                return None;
            }
        }
        (number > 0 && child < end).then_some(child)
    }
}
