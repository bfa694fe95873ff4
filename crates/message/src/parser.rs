//! The structural parser: takes a message in pieces of any size and finds its parts.
//!
//! Only header blocks are kept, bounded together by `Limits::header_size`, and the beginning of a line
//! that came in several pieces; text passes on to the preview. Every decision is made at the end of a line, from the line's first
//! [`HEAD`] octets, its length and the state, so how the input was cut cannot matter.
//!
//! ```text
//! Header ── blank line ──▶ Body          (a leaf, or a multipart: its preamble)
//!    ▲  └── blank line of a message part ──▶ Header (of the message inside)
//!    └───── boundary line ── Body, Header
//! ```
//! A line ends at LF; CRs before it belong to the line end, other CRs and NULs are content.

use std::cmp::Reverse;

use types::Limits;

use crate::{
    Content, ContentType, Disposition, Header, Layout, Message, Place,
    header::{field_name, is_blank_line},
    message::Details,
    preview::{Kind, Previewer},
    transfer::Encoding,
};

/// Octets of a line that are looked at; a longer boundary (RFC 2046 allows 70) is none.
const HEAD: usize = 1024;

/// Deeper nesting is never looked at, whatever the limits say: writing the structure recurses.
const DEEPEST: usize = 200;

/// Parses a whole message.
pub fn parse(bytes: &[u8], limits: &Limits) -> Message {
    let mut parser = Parser::new(limits);
    parser.push(bytes);
    parser.finish()
}

/// Takes a message in pieces.
#[derive(Debug)]
pub struct Parser {
    header_size: usize,
    most_parts: usize,
    depth: usize,
    /// Where the current line begins.
    at: Position,
    /// Octets of the line end before it.
    last_end: u64,
    line: Line,
    state: State,
    /// From the message down to the innermost part that has not ended.
    open: Vec<Open>,
    places: Vec<Place>,
    parts: Vec<Details>,
    headers: Vec<u8>,
    preview: Previewer,
}

/// A place in the message.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    octets: u64,
    /// Line ends before it.
    lines: u64,
}

/// What has come of a line that is not complete.
#[derive(Debug, Default)]
struct Line {
    /// Its first octets, at most [`HEAD`].
    head: Vec<u8>,
    length: u64,
    /// Whether its last octet is a CR.
    cr: bool,
    /// How much of the headers was kept before it.
    kept: usize,
    /// It is longer than its head, and text.
    is_text: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// In the header of the innermost part; `first` before its first line.
    Header {
        first: bool,
    },
    Body,
}

/// A part that has not ended.
#[derive(Debug)]
struct Open {
    place: usize,
    /// Lines before its body.
    lines: u64,
    boundary: Option<Boundary>,
    /// What its parts are by default.
    digest: bool,
}

/// Octets of a header to begin with.
const HEADER: usize = 2048;

/// What separates the parts of an open multipart.
#[derive(Debug)]
struct Boundary {
    text: Vec<u8>,
    /// The closing line has been seen: what follows is the epilogue.
    closed: bool,
}

/// A boundary line: which of the open parts it belongs to, and whether it is the last.
struct Delimiter {
    depth: usize,
    last: bool,
}

impl Parser {
    /// At the beginning of a message.
    pub fn new(limits: &Limits) -> Self {
        let mut parser = Self {
            header_size: limits.header_size,
            most_parts: limits.mime_parts.clamp(1, 1 << 24),
            depth: limits.mime_depth.min(DEEPEST),
            at: Position::default(),
            last_end: 0,
            line: Line::default(),
            state: State::Header { first: true },
            open: Vec::new(),
            places: Vec::new(),
            parts: Vec::new(),
            headers: Vec::with_capacity(HEADER),
            preview: Previewer::new(),
        };
        parser.begin_part(Position::default(), 0);
        parser
    }

    /// Octets of memory that are held, about: headers, and what was understood of them.
    pub fn memory(&self) -> usize {
        let parts = self.places.capacity() * size_of::<Place>() + self.parts.capacity() * size_of::<Details>();
        size_of::<Self>() + self.line.head.capacity() + 2 * self.headers.capacity() + parts
    }

    /// Takes the next octets.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.nothing_to_find() {
                self.preview.push(bytes);
                self.at.octets += bytes.len() as u64;
                self.at.lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
                return;
            }
            let end = memchr::memchr(b'\n', bytes).map(|i| i + 1);
            let (piece, rest) = bytes.split_at_checked(end.unwrap_or(bytes.len())).unwrap_or((bytes, &[]));
            self.piece(piece, end.is_some());
            bytes = rest;
        }
    }

    /// Ends the message.
    pub fn finish(mut self) -> Message {
        if self.line.length > 0 {
            let head = std::mem::take(&mut self.line.head);
            let was_text = self.line.is_text;
            if self.end_line(&head, 0) && !was_text {
                self.preview.push(&head);
            }
        }
        while let State::Header { .. } = self.state {
            self.end_header(self.at, self.headers.len());
        }
        self.close(0, self.at);
        let layout = Layout::new(self.places).unwrap_or_else(|| Layout::opaque(self.at.octets, self.at.lines));
        Message::new(layout, self.parts, self.headers, self.preview.finish())
    }

    /// Whether the preview is that of what was pushed so far, whatever may follow.
    pub fn knows_preview(&self) -> bool {
        self.preview.is_known()
    }

    /// The innermost part that has not ended, by its place.
    pub(crate) fn innermost(&self) -> Option<usize> {
        self.open.last().map(|open| open.place)
    }

    /// True before the body of the innermost part.
    pub(crate) fn is_in_header(&self) -> bool {
        matches!(self.state, State::Header { .. })
    }

    /// True where the body of the innermost part begins.
    pub(crate) fn is_at_body(&self) -> bool {
        self.open.last().is_some_and(|open| self.body_of(open) == self.at.octets)
    }

    /// The innermost part, where it is a leaf that says it is binary, and its body has begun.
    pub(crate) fn binary_part(&self) -> Option<usize> {
        let place = self.places.get(self.innermost()?)?;
        let is_leaf = !matches!(place.content, Content::Multipart | Content::Message);
        (is_leaf && !self.is_in_header() && place.encoding == Encoding::Binary).then_some(self.innermost()?)
    }

    /// True for a line, or its beginning, that ends a part.
    pub(crate) fn is_delimiter(&self, line: &[u8]) -> bool {
        self.delimiter(line.get(..HEAD).unwrap_or(line)).is_some()
    }

    /// In a body outside of any multipart the rest is only counted.
    fn nothing_to_find(&self) -> bool {
        self.state == State::Body && self.line.length == 0 && self.open.iter().all(|open| open.boundary.is_none())
    }

    /// A line, or as much of it as there is.
    fn piece(&mut self, piece: &[u8], complete: bool) {
        if self.line.length == 0 {
            self.line.kept = self.headers.len();
        }
        if matches!(self.state, State::Header { .. }) {
            let room = self.header_size.saturating_sub(self.headers.len());
            self.headers.extend_from_slice(piece.get(..room).unwrap_or(piece));
        }
        let cr_before = self.line.cr && self.line.length > 0;
        let whole = complete && self.line.length == 0;
        self.line.length += piece.len() as u64;
        self.line.cr = piece.last() == Some(&b'\r');
        if whole {
            let head = piece.get(..HEAD).unwrap_or(piece);
            let text = if self.state == State::Body { piece } else { head };
            if self.end_line(head, line_end(piece, false)) {
                self.preview.push(text);
            }
            return;
        }
        let room = HEAD.saturating_sub(self.line.head.len());
        let (head, rest) = piece.split_at_checked(room).unwrap_or((piece, &[]));
        self.line.head.extend_from_slice(head);
        if !rest.is_empty() {
            self.text_of_long_line(rest);
        }
        if complete {
            let mut head = std::mem::take(&mut self.line.head);
            let was_text = std::mem::take(&mut self.line.is_text);
            if self.end_line(&head, line_end(piece, cr_before)) && !was_text {
                self.preview.push(&head);
            }
            head.clear();
            self.line.head = head;
        }
    }

    /// What follows the head of a line. The head has decided already whether it is a boundary.
    fn text_of_long_line(&mut self, rest: &[u8]) {
        if !self.line.is_text && self.state == State::Body && self.delimiter(&self.line.head).is_none() {
            self.line.is_text = true;
            self.preview.push(&self.line.head);
        }
        if self.line.is_text {
            self.preview.push(rest);
        }
    }

    /// The current line is complete: `end` octets of it are its line end, none at the end of the message.
    /// True for a line of a body.
    fn end_line(&mut self, head: &[u8], end: u64) -> bool {
        let start = self.at;
        let length = std::mem::take(&mut self.line.length);
        let next = Position { octets: start.octets + length, lines: start.lines + u64::from(end > 0) };
        let is_text = match self.delimiter(head) {
            Some(delimiter) => {
                self.boundary(&delimiter, start, next);
                false
            }
            None => self.plain_line(head, start, next),
        };
        self.at = next;
        self.last_end = end;
        is_text
    }

    /// True for a line of a body.
    fn plain_line(&mut self, head: &[u8], start: Position, next: Position) -> bool {
        while let State::Header { first } = self.state {
            if is_blank_line(head) {
                self.end_header(next, self.headers.len());
                return false;
            }
            if !first || begins_header(head) {
                self.state = State::Header { first: false };
                return false;
            }
            // A block that does not begin like a header is none: the body begins at once. If that is a
            // message, its header begins with the same line, or is none either.
            self.end_header(start, self.line.kept);
            if self.state == State::Body {
                self.headers.truncate(self.line.kept);
            }
        }
        true
    }

    fn boundary(&mut self, delimiter: &Delimiter, start: Position, next: Position) {
        // The part has a header and nothing else, not even a blank line.
        while let State::Header { .. } = self.state {
            self.end_header(start, self.line.kept);
        }
        self.headers.truncate(self.line.kept);
        // RFC 2046 §5.1.1: the line end before a boundary belongs to it, unless it ends a header.
        let after_header = self.open.last().is_some_and(|open| self.body_of(open) == start.octets);
        let end = match after_header {
            true => start,
            false => Position { octets: start.octets - self.last_end, lines: start.lines.saturating_sub(1) },
        };
        self.close(delimiter.depth + 1, end);
        if !delimiter.last {
            self.begin_part(next, self.headers.len());
        } else if let Some(boundary) = self.open.last_mut().and_then(|open| open.boundary.as_mut()) {
            boundary.closed = true;
        }
    }

    fn body_of(&self, open: &Open) -> u64 {
        self.places.get(open.place).map_or(0, |place| place.body)
    }

    /// Whose boundary a line is. A line that is exactly a boundary counts before one that merely begins
    /// with one, and inner parts before outer ones; but "it is sufficient that the boundary appear in
    /// its entirety following the CRLF" (RFC 2046 §5.1.1), and then the longest wins.
    fn delimiter(&self, line: &[u8]) -> Option<Delimiter> {
        let text = line.strip_prefix(b"--")?;
        // No part begins any more: what follows belongs to the last one.
        if self.places.len() >= self.most_parts {
            return None;
        }
        let exact = text.trim_ascii_end();
        let last = exact.strip_suffix(b"--");
        let is = |boundary: &Boundary| boundary.text == exact || Some(boundary.text.as_slice()) == last;
        let open = || {
            let boundaries = self.open.iter().enumerate().rev();
            boundaries.filter_map(|(depth, open)| Some((depth, open.boundary.as_ref()?)))
        };
        if let Some((depth, boundary)) = open().find(|(_, boundary)| !boundary.closed && is(boundary)) {
            return Some(Delimiter { depth, last: exact.len() > boundary.text.len() });
        }
        // Once more the boundary of a part that has been closed: text of the epilogue.
        if open().any(|(_, boundary)| is(boundary)) {
            return None;
        }
        let begins = open().filter(|(_, boundary)| !boundary.closed && text.starts_with(&boundary.text));
        let (depth, boundary) = begins.min_by_key(|(_, boundary)| Reverse(boundary.text.len()))?;
        let rest = text.get(boundary.text.len()..).unwrap_or_default();
        Some(Delimiter { depth, last: rest.starts_with(b"--") })
    }

    /// A part begins here, with its header; `kept` octets of the kept headers are not its own.
    fn begin_part(&mut self, at: Position, kept: usize) {
        self.open.push(Open { place: self.places.len(), lines: at.lines, boundary: None, digest: false });
        self.places.push(Place { header: at.octets, body: at.octets, end: at.octets, ..Place::NOWHERE });
        self.parts.push(Details { content_type: ContentType::text_plain(), header: kept..kept });
        self.state = State::Header { first: true };
    }

    /// The body of the innermost part begins here; its header ends where `kept` octets are kept.
    fn end_header(&mut self, at: Position, kept: usize) {
        self.state = State::Body;
        let depth = self.open.len();
        let digest = depth.checked_sub(2).and_then(|i| self.open.get(i)).is_some_and(|parent| parent.digest);
        let Some(open) = self.open.last_mut() else { return };
        let (Some(place), Some(details)) = (self.places.get_mut(open.place), self.parts.get_mut(open.place)) else {
            return;
        };
        details.header.end = kept;
        let header = Header::new(self.headers.get(details.header.clone()).unwrap_or_default());
        (details.content_type, place.encoding) = describe(header, digest);
        (place.body, place.end) = (at.octets, at.octets);
        open.lines = at.lines;

        let kind = &details.content_type;
        let may_nest = depth <= self.depth;
        if kind.is_multipart() {
            place.content = Content::Multipart;
            let text = kind.boundary().filter(|text| may_nest && text.len() <= HEAD - 8);
            open.boundary = text.map(|text| Boundary { text: text.to_vec(), closed: false });
            open.digest = kind.is("multipart", "digest");
        } else if kind.is_message() {
            place.content = Content::Message;
            // RFC 2046 §5.2.1 permits no encoding; what is encoded all the same is not looked into.
            if may_nest && place.encoding.is_identity() && self.places.len() < self.most_parts {
                self.begin_part(at, kept);
            }
        } else if kind.is_text() || kind.main.eq_ignore_ascii_case("message") {
            let charset = kind.charset();
            place.content = Content::Text(charset);
            if let Some(kind) = readable(kind).filter(|_| !is_attachment(header)) {
                self.preview.begin(kind, place.encoding, charset);
            }
        }
    }

    /// Ends the open parts from this depth on.
    fn close(&mut self, depth: usize, at: Position) {
        while self.open.len() > depth {
            let Some(open) = self.open.pop() else { return };
            self.preview.end();
            let size = self.places.len();
            let Some(place) = self.places.get_mut(open.place) else { return };
            place.end = at.octets.max(place.body);
            place.lines = at.lines.saturating_sub(open.lines);
            let place = *place;
            if open.place + 1 == size {
                self.add_missing_child(&place);
            }
            let below = self.places.len() - open.place - 1;
            if let Some(place) = self.places.get_mut(open.place) {
                place.below = u32::try_from(below).unwrap_or(u32::MAX);
            }
        }
    }

    /// IMAP's grammar wants a part in every multipart and a message in every message part. Where no
    /// boundary line was found, all of the body is that part; what was not looked into holds nothing.
    fn add_missing_child(&mut self, parent: &Place) {
        let text = Place { content: Content::Text(crate::Charset::ASCII), ..Place::NOWHERE };
        let child = match parent.content {
            Content::Multipart => {
                Place { header: parent.body, body: parent.body, end: parent.end, lines: parent.lines, ..text }
            }
            Content::Message => Place { header: parent.end, body: parent.end, end: parent.end, ..text },
            Content::Text(_) | Content::Other => return,
        };
        let kept = self.headers.len();
        self.places.push(child);
        self.parts.push(Details { content_type: ContentType::text_plain(), header: kept..kept });
    }
}

/// How the text of a part of this type is read for the preview; `None` where it is not for people.
fn readable(kind: &ContentType) -> Option<Kind> {
    if kind.is("text", "html") {
        Some(Kind::Html)
    } else {
        (kind.is("text", "plain") || kind.is("text", "markdown")).then_some(Kind::Plain)
    }
}

fn is_attachment(header: Header<'_>) -> bool {
    let disposition = header.first("Content-Disposition").and_then(|field| Disposition::parse(field.value));
    disposition.is_some_and(|disposition| disposition.kind.eq_ignore_ascii_case("attachment"))
}

/// The type and the encoding that a header gives.
fn describe(header: Header<'_>, digest: bool) -> (ContentType, Encoding) {
    let (mut kind, mut encoding) = (None, None);
    for field in header.fields() {
        if kind.is_none() && field.is(b"Content-Type") {
            kind = Some(ContentType::parse(field.value));
        } else if encoding.is_none() && field.is(b"Content-Transfer-Encoding") {
            encoding = Some(Encoding::of(field.value));
        }
    }
    // RFC 2045 §5.2 and, in a digest, RFC 2046 §5.1.5.
    let kind = match kind {
        Some(Some(kind)) => kind,
        None if digest => ContentType::message_rfc822(),
        Some(None) | None => ContentType::text_plain(),
    };
    (kind, encoding.unwrap_or(Encoding::SevenBit))
}

/// Whether a header can begin with this line; mbox files put a `From ` before it.
fn begins_header(line: &[u8]) -> bool {
    field_name(line).is_some() || line.starts_with(b"From ") || line.starts_with(b">From ")
}

/// Octets of the line end of a line whose last piece is this.
fn line_end(piece: &[u8], cr_before: bool) -> u64 {
    match piece {
        [.., b'\r', b'\n'] => 2,
        [b'\n'] if cr_before => 2,
        [.., b'\n'] => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
