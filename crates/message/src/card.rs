//! Cards: what FETCH, SEARCH, SORT and THREAD want to know of a message without opening it.
//!
//! A card is a flat string of bytes, read in place, with the fields of the header in two others beside it
//! ([`CardHeader`]). Version 3:
//! ```text
//! version flags zone sent ends envelope structure extensions message-id references subject layout preview
//! ```
//! `version` and `flags` are octets, `zone` two, `sent` eight, `ends` four for each of the sections that
//! follow: where it ends, counted from the first one; all little-endian.
//!
//! Versions 1 and 2, which are read as well:
//! ```text
//! version flags [sent zone] envelope structure extensions header message-id references subject layout preview
//! ```
//! `sent` and `zone` are varints there, everything else a byte string with its length before it; the header
//! stands as it is. Version 1 had no preview. A card of another version is no card: it is made anew
//! from the message. What is in a card is stored next to others, so it is bounded: see [`MOST_HEADER`]
//! and [`MOST_REFERENCES`].

mod first_address;
mod header;
mod pack;

use types::{DateTime, UnixTime};

use crate::header::{Field, LowerName};
use crate::{BaseSubject, Envelope, Error, Header, Layout, Message, Structure, base_subject, message_ids, parse_date};
use header::Packed;
use pack::Reader;

pub use first_address::{AddressList, FirstAddress};
pub use header::{CardHeader, FieldSet};

/// The first octet of every card that we write.
const VERSION: u8 = 3;

/// That of cards that have the header inside.
const WITH_HEADER: u8 = 2;

/// That of cards that have no preview, either.
const WITHOUT_PREVIEW: u8 = 1;

/// Sections of a card, and the octets before the first of them.
const SECTIONS: usize = 8;
const HEAD: usize = 12 + 4 * SECTIONS;

/// A larger packed header stays in the message.
const MOST_HEADER: usize = 64 << 10;

/// References kept: the first, which began the thread, and the nearest.
const MOST_REFERENCES: usize = 100;

/// Octets of a message id that is believed.
const LONGEST_ID: usize = 1000;

const HAS_DATE: u8 = 1;
const HAS_HEADER: u8 = 2;
const HAS_MESSAGE_ID: u8 = 4;
const IS_REPLY: u8 = 8;
const IS_INTERNATIONAL: u8 = 16;

/// Octets that most cards have at most.
const USUAL: usize = 768;

/// The card of one message, just made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Card {
    message_id: Option<Vec<u8>>,
    references: Vec<Vec<u8>>,
    bytes: Vec<u8>,
    common: Vec<u8>,
    rare: Vec<u8>,
}

impl Card {
    /// Octets of memory that it holds.
    pub fn memory(&self) -> usize {
        let named = self.message_id.iter().chain(&self.references).map(|id| size_of_val(id) + id.capacity());
        let parts = [&self.bytes, &self.common, &self.rare].map(Vec::capacity);
        named.chain(parts).fold(size_of::<Self>(), usize::saturating_add)
    }

    /// Makes the card of a message.
    pub fn from_message(message: &Message) -> Self {
        let header = message.header();
        let Known { date, subject, message_id, references, in_reply_to } = Known::of(header);
        let message_id = message_id.and_then(|field| ids(field.value).next());
        let references = referred(references, in_reply_to);
        let sent = date.and_then(|field| parse_date(field.value));
        let subject = subject.map(|field| base_subject(&field.decoded()));
        let BaseSubject { text: subject, is_reply } =
            subject.unwrap_or(BaseSubject { text: String::new(), is_reply: false });
        let structure = Structure::of(message);

        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let flags = flag(sent.is_some(), HAS_DATE)
            | flag(message_id.is_some(), HAS_MESSAGE_ID)
            | flag(is_reply, IS_REPLY)
            | flag(is_international(message), IS_INTERNATIONAL);
        let DateTime { time, zone } = sent.unwrap_or(DateTime::utc(UnixTime(0)));
        let mut bytes = Vec::with_capacity(USUAL);
        bytes.extend([VERSION, flags]);
        bytes.extend_from_slice(&zone.to_le_bytes());
        bytes.extend_from_slice(&time.0.to_le_bytes());
        bytes.resize(HEAD, 0);
        let mut ends = Vec::with_capacity(4 * SECTIONS);
        let mut section = |write: &dyn Fn(&mut Vec<u8>)| {
            write(&mut bytes);
            // What it is made of is bounded by the size of headers, and that of messages is less than this.
            let end = u32::try_from(bytes.len() - HEAD).unwrap_or(u32::MAX);
            ends.extend_from_slice(&end.to_le_bytes());
        };
        section(&|out| Envelope::of(header).write(out));
        section(&|out| out.extend_from_slice(&structure.text));
        section(&|out| extensions(&structure, out));
        section(&|out| out.extend(message_id.iter().flatten()));
        section(&|out| references.iter().for_each(|id| pack::bytes(id, out)));
        section(&|out| out.extend_from_slice(subject.as_bytes()));
        section(&|out| pack::layout(message.layout(), out));
        section(&|out| out.extend_from_slice(message.preview().as_bytes()));
        bytes.iter_mut().skip(HEAD - 4 * SECTIONS).zip(ends).for_each(|(to, from)| *to = from);
        let Packed { common, rare } = Packed::of(message);
        Self { message_id, references, bytes, common, rare }
    }

    /// As it is stored, for [`CardRef::from_bytes`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The header fields that clients list, as they are stored, for [`CardHeader::from_bytes`].
    pub fn common(&self) -> &[u8] {
        &self.common
    }

    /// The header fields that are kept for a few.
    pub fn rare(&self) -> &[u8] {
        &self.rare
    }

    /// See [`CardRef::is_international`].
    pub fn is_international(&self) -> bool {
        CardRef::from_bytes(&self.bytes).is_ok_and(CardRef::is_international)
    }

    /// Its own id, normalised.
    pub fn message_id(&self) -> Option<&[u8]> {
        self.message_id.as_deref()
    }

    /// See [`CardRef::references`].
    pub fn references(&self) -> &[Vec<u8>] {
        &self.references
    }
}

/// A stored card, read in place: nothing is copied until something is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CardRef<'a> {
    sent: Option<DateTime>,
    flags: u8,
    envelope: &'a [u8],
    structure: &'a [u8],
    extensions: &'a [u8],
    /// In versions 1 and 2, where it is kept.
    header: Option<&'a [u8]>,
    message_id: &'a [u8],
    references: &'a [u8],
    subject: &'a [u8],
    layout: &'a [u8],
    preview: Option<&'a [u8]>,
}

impl<'a> CardRef<'a> {
    /// Reads a stored card. [`Error::Card`] where it is none, or of another version.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, Error> {
        let card = match bytes.split_first() {
            Some((&VERSION, _)) => Self::read(bytes),
            Some((&version @ (WITH_HEADER | WITHOUT_PREVIEW), rest)) => Self::read_old(Reader(rest), version),
            _ => return Err(Error::Card("another version")),
        };
        card.ok_or(Error::Card("cut off or overwritten"))
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, sections) = bytes.split_at_checked(HEAD)?;
        let (fixed, ends) = head.split_first_chunk::<12>()?;
        let [_, flags, z0, z1, time @ ..] = *fixed;
        let sent =
            DateTime { time: UnixTime(i64::from_le_bytes(time)), zone: zone(i16::from_le_bytes([z0, z1]).into())? };
        let (mut ends, mut start) = (ends.as_chunks().0.iter(), 0);
        let mut section = || {
            let end = usize::try_from(u32::from_le_bytes(*ends.next()?)).ok()?;
            sections.get(std::mem::replace(&mut start, end)..end)
        };
        let card = Self {
            sent: (flags & HAS_DATE != 0).then_some(sent),
            flags,
            envelope: section()?,
            structure: section()?,
            extensions: section()?,
            header: None,
            message_id: section()?,
            references: section()?,
            subject: section()?,
            layout: section()?,
            preview: Some(section()?),
        };
        (start == sections.len()).then_some(card)
    }

    fn read_old(mut reader: Reader<'a>, version: u8) -> Option<Self> {
        let flags = reader.byte()?;
        let sent = match flags & HAS_DATE {
            0 => None,
            _ => Some(DateTime { time: UnixTime(reader.signed()?), zone: zone(reader.signed()?)? }),
        };
        let card = Self {
            sent,
            flags,
            envelope: reader.bytes()?,
            structure: reader.bytes()?,
            extensions: reader.bytes()?,
            header: Some(reader.bytes()?).filter(|_| flags & HAS_HEADER != 0),
            message_id: reader.bytes()?,
            references: reader.bytes()?,
            subject: reader.bytes()?,
            layout: reader.bytes()?,
            preview: if version == WITHOUT_PREVIEW { None } else { Some(reader.bytes()?) },
        };
        reader.is_end().then_some(card)
    }

    /// ENVELOPE, ready to send.
    pub fn envelope(self) -> &'a [u8] {
        self.envelope
    }

    /// The first address of a list in the envelope; `None` where that is NIL.
    pub fn first_address(self, list: AddressList) -> Option<FirstAddress<'a>> {
        first_address::first_address(self.envelope, list)
    }

    /// BODYSTRUCTURE, ready to send.
    pub fn bodystructure(self) -> &'a [u8] {
        self.structure
    }

    /// Appends BODY, ready to send.
    pub fn write_body(self, out: &mut Vec<u8>) {
        let mut extensions = Reader(self.extensions);
        let mut rest = self.structure;
        while let (Some(keep), Some(skip)) = (extensions.number(), extensions.number()) {
            let split = |n: u64| rest.split_at_checked(usize::try_from(n).ok()?);
            let Some((kept, after)) = split(keep) else { break };
            out.extend_from_slice(kept);
            rest = usize::try_from(skip).ok().and_then(|skip| after.get(skip..)).unwrap_or_default();
        }
        out.extend_from_slice(rest);
    }

    /// The Date field, if it holds one.
    pub fn sent(self) -> Option<DateTime> {
        self.sent
    }

    /// Its own id, normalised.
    pub fn message_id(self) -> Option<&'a [u8]> {
        (self.flags & HAS_MESSAGE_ID != 0).then_some(self.message_id)
    }

    /// The messages that it refers to, the nearest last: the ids in References or, where there are none,
    /// the first of In-Reply-To (RFC 5256 §3, REFERENCES, step 1), normalised; at most a hundred.
    pub fn references(self) -> impl Iterator<Item = &'a [u8]> {
        let mut reader = Reader(self.references);
        std::iter::from_fn(move || reader.bytes())
    }

    /// The subject that SORT and THREAD compare, not case-mapped.
    pub fn base_subject(self) -> &'a str {
        std::str::from_utf8(self.subject).unwrap_or_default()
    }

    /// Whether the subject says that this is a reply or forwarded.
    pub fn is_reply(self) -> bool {
        self.flags & IS_REPLY != 0
    }

    /// The first words of the message, perhaps none (RFC 8970 §3.3); `None` in a card that was written
    /// before there were previews: then ask the message.
    pub fn preview(self) -> Option<&'a str> {
        self.preview.map(|preview| std::str::from_utf8(preview).unwrap_or_default())
    }

    /// Whether something of it looks different to those who take only ASCII in headers (RFC 6532): a header
    /// field, of the message or of a part, that is not ASCII, or a message/global inside.
    pub fn is_international(self) -> bool {
        self.flags & IS_INTERNATIONAL != 0
    }

    /// Where the parts are.
    pub fn layout(self) -> Result<Layout, Error> {
        pack::read_layout(self.layout).ok_or(Error::Card("no layout"))
    }
}

fn is_international(message: &Message) -> bool {
    let parts = (0..message.layout().places().len()).filter_map(|index| message.part(index));
    parts.into_iter().any(|part| !part.header().bytes().is_ascii() || part.content_type().is("message", "global"))
}

fn zone(minutes: i64) -> Option<i16> {
    i16::try_from(minutes).ok().filter(|minutes| minutes.unsigned_abs() < 24 * 60)
}

/// What BODY keeps and skips of BODYSTRUCTURE, in turns.
fn extensions(structure: &Structure, out: &mut Vec<u8>) {
    let mut from = 0;
    for extension in &structure.extensions {
        pack::number((extension.start - from) as u64, out);
        pack::number(extension.len() as u64, out);
        from = extension.end;
    }
}

/// The fields that SORT and THREAD look at, each where it stands first.
#[derive(Default)]
struct Known<'a> {
    date: Option<Field<'a>>,
    subject: Option<Field<'a>>,
    message_id: Option<Field<'a>>,
    references: Option<Field<'a>>,
    in_reply_to: Option<Field<'a>>,
}

impl<'a> Known<'a> {
    fn of(header: Header<'a>) -> Self {
        let mut known = Self::default();
        for field in header.fields() {
            let member = match field.lower(&mut LowerName::default()) {
                b"date" => &mut known.date,
                b"subject" => &mut known.subject,
                b"message-id" => &mut known.message_id,
                b"references" => &mut known.references,
                b"in-reply-to" => &mut known.in_reply_to,
                _ => continue,
            };
            member.get_or_insert(field);
        }
        known
    }
}

fn referred(references: Option<Field<'_>>, in_reply_to: Option<Field<'_>>) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    for id in references.into_iter().flat_map(|field| ids(field.value)) {
        if found.len() == MOST_REFERENCES {
            found.remove(1);
        }
        found.push(id);
    }
    if found.is_empty() {
        found.extend(in_reply_to.and_then(|field| ids(field.value).next()));
    }
    found
}

fn ids(value: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    message_ids(value).filter(|id| id.len() <= LONGEST_ID)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use types::Limits;

    use super::*;
    use crate::{Section, parse};

    fn card(message: &[u8]) -> Card {
        Card::from_message(&parse(message, &Limits::default()))
    }

    const MESSAGE: &[u8] = b"Received: from x\r\nDate: Fri, 21 Nov 1997 09:55:06 -0600\r\nFrom: a@b\r\nSubject: Re: [x] =?utf-8?Q?h=C3=A9?=\r\n\
        X-Custom: no\r\nMessage-ID: <3@x>\r\nReferences: <1@x>\r\n <\"2\"@x>\r\nIn-Reply-To: <0@x>\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: text/html; charset=koi8-r\r\nContent-Transfer-Encoding: base64\r\n\r\n\r\n--b--\r\n";

    #[test]
    fn there_and_back() {
        let message = parse(MESSAGE, &Limits::default());
        let card = Card::from_message(&message);
        let read = CardRef::from_bytes(card.as_bytes()).unwrap();
        let mut envelope = Vec::new();
        Envelope::of(message.header()).write(&mut envelope);
        assert_eq!(read.envelope(), envelope);
        let structure = Structure::of(&message);
        assert_eq!(read.bodystructure(), structure.text);
        let (mut body, mut expected) = (Vec::new(), Vec::new());
        read.write_body(&mut body);
        structure.write_body(&mut expected);
        assert_eq!(body, expected);
        assert_eq!(read.sent(), parse_date(b"Fri, 21 Nov 1997 09:55:06 -0600"));
        assert_eq!(read.message_id(), Some(b"3@x".as_slice()));
        assert_eq!(card.message_id(), read.message_id());
        assert_eq!(read.references().collect::<Vec<_>>(), [b"1@x", b"2@x"]);
        assert_eq!((read.base_subject(), read.is_reply()), ("hé", true));
        assert_eq!(&read.layout().unwrap(), message.layout());
        assert!(read.layout().unwrap().section(&[2], Section::Mime).is_some());
    }

    #[test]
    fn references_are_bounded() {
        let many: String = (0..500).map(|n| format!("<{n}@x> ")).collect();
        let card = card(format!("References: {many}<{}@x>\r\n\r\n", "y".repeat(2000)).as_bytes());
        assert_eq!(card.references().len(), MOST_REFERENCES);
        assert_eq!(card.references()[0], b"0@x");
        assert_eq!(card.references()[99], b"499@x");
    }

    // RFC 5256 §3, REFERENCES, step 1
    #[test]
    fn in_reply_to_only_without_references() {
        assert_eq!(card(b"References: none\r\nIn-Reply-To: you <1@x> <2@x>\r\n\r\n").references(), [b"1@x"]);
    }

    /// A card as it was written before version 3.
    fn old(version: u8) -> Vec<u8> {
        let card = card(MESSAGE);
        let now = CardRef::from_bytes(card.as_bytes()).unwrap();
        let mut old = vec![version, now.flags | HAS_HEADER];
        let sent = now.sent.unwrap();
        pack::signed(sent.time.0, &mut old);
        pack::signed(sent.zone.into(), &mut old);
        let header = b"Date: Fri, 21 Nov 1997 09:55:06 -0600\r\nFrom: a@b\r\n\r\n";
        for section in [
            now.envelope,
            now.structure,
            now.extensions,
            header,
            now.message_id,
            now.references,
            now.subject,
            now.layout,
        ] {
            pack::bytes(section, &mut old);
        }
        if version == WITH_HEADER {
            pack::bytes(now.preview.unwrap(), &mut old);
        }
        old
    }

    #[test]
    fn older_versions() {
        let card = card(MESSAGE);
        let now = CardRef::from_bytes(card.as_bytes()).unwrap();
        assert_eq!(now.preview(), Some("one"));
        for (version, preview) in [(1, None), (2, Some("one"))] {
            let bytes = old(version);
            let old = CardRef::from_bytes(&bytes).unwrap();
            assert_eq!((old.preview(), old.envelope(), old.layout()), (preview, now.envelope(), now.layout()));
            assert_eq!((old.sent(), old.message_id(), old.is_reply()), (now.sent(), now.message_id(), now.is_reply()));
            let mut from = Vec::new();
            let header = CardHeader::from_bytes(&bytes, b"").unwrap().unwrap();
            header.select(FieldSet::new(&["from", "to"]).unwrap(), &mut from);
            assert_eq!(from, b"From: a@b\r\n\r\n");
            for end in 0..bytes.len() {
                assert!(CardRef::from_bytes(&bytes[..end]).is_err(), "{end}");
            }
        }
    }

    #[test]
    fn damaged() {
        let card = card(MESSAGE);
        let bytes = card.as_bytes();
        for end in 0..bytes.len() {
            assert!(CardRef::from_bytes(&bytes[..end]).is_err(), "{end}");
        }
        assert_eq!(CardRef::from_bytes(&[4]), Err(Error::Card("another version")));
    }

    proptest! {
        #[test]
        fn hostile_bytes(at in 0_usize..500, byte: u8) {
            let mut bytes = card(MESSAGE).as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(card) = CardRef::from_bytes(&bytes) {
                let mut out = Vec::new();
                card.write_body(&mut out);
                prop_assert!(out.len() <= bytes.len());
                let _ = (card.references().count(), card.base_subject(), card.layout());
            }
        }
    }
}
