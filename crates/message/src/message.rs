//! What is known of a parsed message: its layout, the header blocks and types of its parts.

use std::ops::Range;

use crate::{ContentType, Header, Layout, Place};

/// A parsed message without its bodies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    layout: Layout,
    /// One for each place of the layout.
    parts: Vec<Details>,
    /// The header blocks that were kept.
    headers: Vec<u8>,
    preview: String,
}

/// What is known of a part besides its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Details {
    pub(crate) content_type: ContentType,
    /// Of its header in the kept blocks.
    pub(crate) header: Range<usize>,
}

/// A part of a [`Message`].
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    message: &'a Message,
    place: &'a Place,
    details: &'a Details,
    index: usize,
}

impl Message {
    pub(crate) fn new(layout: Layout, parts: Vec<Details>, headers: Vec<u8>, preview: String) -> Self {
        Self { layout, parts, headers, preview }
    }

    /// Where everything is.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Octets of the message.
    pub fn size(&self) -> u64 {
        self.layout.size()
    }

    /// Its first words: at most 200 characters in one line (RFC 8970 §3.3), none where nobody can read any.
    pub fn preview(&self) -> &str {
        &self.preview
    }

    /// The header of the message: as much of it as the limits let us keep.
    pub fn header(&self) -> Header<'_> {
        self.root().map_or(Header::new(b""), |root| root.header())
    }

    /// Whether [`Message::header`] is the whole header.
    pub fn header_is_whole(&self) -> bool {
        self.layout.places().first().is_some_and(|root| root.body == self.header().bytes().len() as u64)
    }

    /// The message as a part: the root of the tree.
    pub fn root(&self) -> Option<Part<'_>> {
        self.part(0)
    }

    /// The part at this place of the layout.
    pub fn part(&self, index: usize) -> Option<Part<'_>> {
        Some(Part { message: self, place: self.layout.places().get(index)?, details: self.parts.get(index)?, index })
    }
}

impl<'a> Part<'a> {
    /// Where it is.
    pub fn place(self) -> &'a Place {
        self.place
    }

    /// Its header.
    pub fn header(self) -> Header<'a> {
        Header::new(self.message.headers.get(self.details.header.clone()).unwrap_or_default())
    }

    /// Its type, or the default.
    pub fn content_type(self) -> &'a ContentType {
        &self.details.content_type
    }

    /// The parts directly below it: those of a multipart, or the one message inside.
    pub fn children(self) -> impl Iterator<Item = Part<'a>> {
        let end = self.index + 1 + self.place.below as usize;
        let next = move |part: &Part<'a>| {
            let index = part.index + 1 + part.place.below as usize;
            (index < end).then(|| self.message.part(index)).flatten()
        };
        let first = if self.index + 1 < end { self.message.part(self.index + 1) } else { None };
        std::iter::successors(first, next)
    }
}
