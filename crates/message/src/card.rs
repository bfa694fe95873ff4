//! Cards: what FETCH, SEARCH, SORT and THREAD want to know of a message without opening it.
//!
//! A card is a flat string of bytes, read in place. Version 2:
//! ```text
//! version flags [sent zone] envelope structure extensions header message-id references subject layout preview
//! ```
//! `version` and `flags` are octets, `sent` and `zone` numbers, everything else a byte string with its
//! length before it. Version 1 had no preview. A card of another version is no card: it is made anew
//! from the message. What is in a card is stored next to others, so it is bounded: see [`MOST_HEADER`]
//! and [`MOST_REFERENCES`].

mod first_address;
mod pack;

use types::{DateTime, UnixTime};

use crate::{BaseSubject, Envelope, Error, Header, Layout, Message, Structure, base_subject, message_ids, parse_date};
use pack::Reader;

pub use first_address::{AddressList, FirstAddress};

/// The first octet of every card that we write.
const VERSION: u8 = 2;

/// That of cards without a preview, which we read as well.
const WITHOUT_PREVIEW: u8 = 1;

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

/// The header fields that a card keeps as they stand: those that mail clients ask for when they list
/// messages. Sorted, in lower case.
pub const CARD_FIELDS: &[&str] = &[
    "archived-at",
    "authentication-results",
    "bcc",
    "bimi-indicator",
    "bimi-location",
    "cc",
    "chat-version",
    "content-class",
    "content-description",
    "content-transfer-encoding",
    "content-type",
    "date",
    "delivered-to",
    "disposition-notification-to",
    "dkim-signature",
    "from",
    "importance",
    "in-reply-to",
    "lines",
    "list-archive",
    "list-help",
    "list-id",
    "list-owner",
    "list-post",
    "list-subscribe",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "mail-followup-to",
    "mail-reply-to",
    "message-id",
    "mime-version",
    "newsgroups",
    "priority",
    "references",
    "reply-to",
    "resent-date",
    "resent-from",
    "resent-message-id",
    "resent-to",
    "return-path",
    "sender",
    "subject",
    "thread-topic",
    "to",
    "user-agent",
    "x-bimi-indicator-hash",
    "x-k9mail-identity",
    "x-keywords",
    "x-label",
    "x-mailer",
    "x-mozilla-draft-info",
    "x-mozilla-keys",
    "x-mozilla-news-host",
    "x-mozilla-status",
    "x-mozilla-status2",
    "x-msmail-priority",
    "x-offlineimap",
    "x-original-to",
    "x-priority",
    "x-spam-flag",
    "x-spam-score",
    "x-spam-status",
    "x-tuid",
    "x-uniform-type-identifier",
    "x-universally-unique-identifier",
];

/// The card of one message, just made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Card {
    message_id: Option<Vec<u8>>,
    references: Vec<Vec<u8>>,
    bytes: Vec<u8>,
}

impl Card {
    /// Makes the card of a message.
    pub fn from_message(message: &Message) -> Self {
        let header = message.header();
        let message_id = header.first("Message-ID").and_then(|field| ids(field.value).next());
        let references = references(header);
        let packed = packed_header(message);
        let sent = header.first("Date").and_then(|field| parse_date(field.value));
        let subject = header.first("Subject").map(|field| base_subject(&field.decoded()));
        let BaseSubject { text: subject, is_reply } =
            subject.unwrap_or(BaseSubject { text: String::new(), is_reply: false });
        let structure = Structure::of(message);

        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let flags = flag(sent.is_some(), HAS_DATE)
            | flag(packed.is_some(), HAS_HEADER)
            | flag(message_id.is_some(), HAS_MESSAGE_ID)
            | flag(is_reply, IS_REPLY)
            | flag(is_international(message), IS_INTERNATIONAL);
        let mut bytes = vec![VERSION, flags];
        if let Some(DateTime { time, zone }) = sent {
            pack::signed(time.0, &mut bytes);
            pack::signed(zone.into(), &mut bytes);
        }
        let mut scratch = Vec::new();
        let mut section = |write: &mut dyn FnMut(&mut Vec<u8>)| {
            scratch.clear();
            write(&mut scratch);
            pack::bytes(&scratch, &mut bytes);
        };
        section(&mut |out| Envelope::of(header).write(out));
        section(&mut |out| out.extend_from_slice(&structure.text));
        section(&mut |out| extensions(&structure, out));
        section(&mut |out| out.extend(packed.iter().flatten()));
        section(&mut |out| out.extend(message_id.iter().flatten()));
        section(&mut |out| references.iter().for_each(|id| pack::bytes(id, out)));
        section(&mut |out| out.extend_from_slice(subject.as_bytes()));
        section(&mut |out| pack::layout(message.layout(), out));
        section(&mut |out| out.extend_from_slice(message.preview().as_bytes()));
        Self { message_id, references, bytes }
    }

    /// Whether cards keep this field, in any case: then [`CardRef::header`] can answer for it.
    pub fn has_field(name: &str) -> bool {
        CARD_FIELDS.binary_search(&name.to_ascii_lowercase().as_str()).is_ok()
    }

    /// See [`CardRef::is_international`].
    pub fn is_international(&self) -> bool {
        CardRef::from_bytes(&self.bytes).is_ok_and(CardRef::is_international)
    }

    /// As it is stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// As it is stored.
    pub fn to_bytes(self) -> Vec<u8> {
        self.bytes
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
    header: &'a [u8],
    message_id: &'a [u8],
    references: &'a [u8],
    subject: &'a [u8],
    layout: &'a [u8],
    preview: Option<&'a [u8]>,
}

impl<'a> CardRef<'a> {
    /// Reads a stored card. [`Error::Card`] where it is none, or of another version.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader(bytes);
        let has_preview = match reader.byte() {
            Some(VERSION) => true,
            Some(WITHOUT_PREVIEW) => false,
            _ => return Err(Error::Card("another version")),
        };
        Self::read(reader, has_preview).ok_or(Error::Card("cut off or overwritten"))
    }

    fn read(mut reader: Reader<'a>, has_preview: bool) -> Option<Self> {
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
            header: reader.bytes()?,
            message_id: reader.bytes()?,
            references: reader.bytes()?,
            subject: reader.bytes()?,
            layout: reader.bytes()?,
            preview: if has_preview { Some(reader.bytes()?) } else { None },
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

    /// The fields of the header that are among [`CARD_FIELDS`], as they stand, with the blank line;
    /// `None` where they are too large or the header was: then ask the message.
    pub fn header(self) -> Option<Header<'a>> {
        (self.flags & HAS_HEADER != 0).then_some(Header::new(self.header))
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

fn packed_header(message: &Message) -> Option<Vec<u8>> {
    let mut packed = Vec::new();
    message.header().select_where(|field| std::str::from_utf8(field.name).is_ok_and(Card::has_field), &mut packed);
    (message.header_is_whole() && packed.len() <= MOST_HEADER).then_some(packed)
}

fn references(header: Header<'_>) -> Vec<Vec<u8>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    for id in header.first("References").into_iter().flat_map(|field| ids(field.value)) {
        if found.len() == MOST_REFERENCES {
            found.remove(1);
        }
        found.push(id);
    }
    if found.is_empty() {
        found.extend(header.first("In-Reply-To").and_then(|field| ids(field.value).next()));
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
        let header = read.header().unwrap();
        assert!(header.first("received").is_none() && header.first("x-custom").is_none());
        assert_eq!(header.fields().count(), 7);
        assert!(header.bytes().ends_with(b"boundary=b\r\n\r\n"));
    }

    #[test]
    fn fields() {
        assert!(CARD_FIELDS.is_sorted());
        assert!(Card::has_field("Message-ID") && Card::has_field("X-TUID") && !Card::has_field("Received"));
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

    #[test]
    fn large_headers_stay_in_the_message() {
        let long = format!("Subject: {}\r\n\r\n", "x".repeat(MOST_HEADER));
        assert_eq!(CardRef::from_bytes(card(long.as_bytes()).as_bytes()).unwrap().header(), None);
        let cut = parse(b"Subject: x\r\n\r\n", &Limits { header_size: 5, ..Limits::default() });
        assert_eq!(CardRef::from_bytes(Card::from_message(&cut).as_bytes()).unwrap().header(), None);
    }

    #[test]
    fn version_1_has_no_preview() {
        let card = card(MESSAGE);
        let now = CardRef::from_bytes(card.as_bytes()).unwrap();
        assert_eq!(now.preview(), Some("one"));
        let mut old = card.as_bytes().to_vec();
        old.truncate(old.len() - "one".len() - 1);
        old[0] = 1;
        let old = CardRef::from_bytes(&old).unwrap();
        assert_eq!((old.preview(), old.envelope(), old.layout()), (None, now.envelope(), now.layout()));
    }

    #[test]
    fn damaged() {
        let bytes = card(MESSAGE).to_bytes();
        for end in 0..bytes.len() {
            assert!(CardRef::from_bytes(&bytes[..end]).is_err(), "{end}");
        }
        assert_eq!(CardRef::from_bytes(&[3]), Err(Error::Card("another version")));
    }

    proptest! {
        #[test]
        fn hostile_bytes(at in 0_usize..500, byte: u8) {
            let mut bytes = card(MESSAGE).to_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(card) = CardRef::from_bytes(&bytes) {
                let mut out = Vec::new();
                card.write_body(&mut out);
                prop_assert!(out.len() <= bytes.len());
                let _ = (card.references().count(), card.base_subject(), card.layout(), card.header().map(|h| h.fields().count()));
            }
        }
    }
}
