//! The fields of a header that are kept with a card, as they stand and in their order, packed so that some of
//! them can be taken without a look at the others.
//!
//! They are two byte strings, so that who lists messages need not read what hardly any client lists:
//! ```text
//! common: version kept *(number length octets)
//! rare:   version *(before number length octets)
//! ```
//! `version` is the octet 3, `kept` 1, or 0 where the header is too large to be kept; `number` an octet that
//! says which field it is ([`FIELDS`]), or 0 for the blank line; `length` a number; `before` says how many of
//! the common ones stand between this one and the rare one before. In cards of the versions 1 and 2 the header
//! was a section of the card.

use super::pack::{self, Reader};
use super::{CardRef, MOST_HEADER, VERSION};
use crate::header::{Field, LowerName};
use crate::{Error, Header, Message};

/// The fields that cards keep, in lower case, sorted, each with its number, which never changes: those that
/// mail clients ask for when they list messages. From [`FIRST_RARE`] on they are kept apart.
const FIELDS: &[(&str, u8)] = &[
    ("archived-at", 64),
    ("authentication-results", 65),
    ("bcc", 1),
    ("bimi-indicator", 66),
    ("bimi-location", 67),
    ("cc", 2),
    ("chat-version", 3),
    ("content-class", 68),
    ("content-description", 69),
    ("content-transfer-encoding", 70),
    ("content-type", 4),
    ("date", 5),
    ("delivered-to", 71),
    ("disposition-notification-to", 6),
    ("dkim-signature", 72),
    ("from", 7),
    ("importance", 8),
    ("in-reply-to", 9),
    ("lines", 73),
    ("list-archive", 74),
    ("list-help", 75),
    ("list-id", 10),
    ("list-owner", 76),
    ("list-post", 11),
    ("list-subscribe", 77),
    ("list-unsubscribe", 78),
    ("list-unsubscribe-post", 79),
    ("mail-followup-to", 12),
    ("mail-reply-to", 13),
    ("message-id", 14),
    ("mime-version", 80),
    ("newsgroups", 15),
    ("priority", 16),
    ("references", 17),
    ("reply-to", 18),
    ("resent-date", 81),
    ("resent-from", 82),
    ("resent-message-id", 83),
    ("resent-to", 84),
    ("return-path", 85),
    ("sender", 19),
    ("subject", 20),
    ("thread-topic", 86),
    ("to", 21),
    ("user-agent", 87),
    ("x-bimi-indicator-hash", 88),
    ("x-k9mail-identity", 22),
    ("x-keywords", 89),
    ("x-label", 90),
    ("x-mailer", 91),
    ("x-mozilla-draft-info", 92),
    ("x-mozilla-keys", 93),
    ("x-mozilla-news-host", 94),
    ("x-mozilla-status", 95),
    ("x-mozilla-status2", 96),
    ("x-msmail-priority", 97),
    ("x-offlineimap", 98),
    ("x-original-to", 99),
    ("x-priority", 23),
    ("x-spam-flag", 100),
    ("x-spam-score", 101),
    ("x-spam-status", 102),
    ("x-tuid", 103),
    ("x-uniform-type-identifier", 104),
    ("x-universally-unique-identifier", 105),
];

/// The number of the first field that hardly anybody lists.
const FIRST_RARE: u8 = 64;

/// The number of the blank line at the end.
const BLANK: u8 = 0;

/// Octets that most have of either kind, at most.
const USUAL: usize = 512;

/// The number of a field; `None` of one that cards do not keep.
fn number(name: &[u8]) -> Option<u8> {
    let (mut buffer, field) = (LowerName::default(), Field { raw: name, name, value: b"" });
    let lower = field.lower(&mut buffer);
    let at = FIELDS.binary_search_by_key(&lower, |(name, _)| name.as_bytes()).ok()?;
    FIELDS.get(at).map(|(_, number)| *number)
}

/// Names of fields, all of which cards keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FieldSet {
    /// A bit for each number.
    numbers: u128,
}

impl FieldSet {
    /// Of these names, in any case; `None` where cards do not keep one of them.
    pub fn new<N: AsRef<str>>(names: &[N]) -> Option<Self> {
        let add = |numbers: u128, name: &N| Some(numbers | 1 << number(name.as_ref().as_bytes())?);
        Some(Self { numbers: names.iter().try_fold(0, add)? })
    }

    /// All that cards keep.
    pub fn all() -> Self {
        Self { numbers: u128::MAX }
    }

    /// Whether [`Card::rare`](super::Card::rare) has to be read for them.
    pub fn is_rare(self) -> bool {
        self.numbers >> FIRST_RARE != 0
    }

    fn has(self, number: u8) -> bool {
        number < 128 && self.numbers >> number & 1 == 1
    }
}

/// The header of a message as the two strings.
pub(super) struct Packed {
    pub(super) common: Vec<u8>,
    pub(super) rare: Vec<u8>,
}

impl Packed {
    pub(super) fn of(message: &Message) -> Self {
        let (mut common, mut rare) = (Vec::with_capacity(USUAL), Vec::with_capacity(USUAL));
        common.extend([VERSION, 1]);
        rare.push(VERSION);
        let mut fields = message.header().fields();
        // Common ones since the last rare one.
        let mut before = 0;
        for field in fields.by_ref() {
            match number(field.name) {
                Some(number) if number < FIRST_RARE => {
                    push(number, field.raw, &mut common);
                    before += 1;
                }
                Some(number) => {
                    pack::number(std::mem::take(&mut before), &mut rare);
                    push(number, field.raw, &mut rare);
                }
                None => {}
            }
        }
        push(BLANK, fields.rest(), &mut common);
        if !message.header_is_whole() || common.len() + rare.len() > MOST_HEADER {
            return Self { common: vec![VERSION, 0], rare: vec![VERSION] };
        }
        Self { common, rare }
    }
}

fn push(number: u8, octets: &[u8], out: &mut Vec<u8>) {
    out.push(number);
    pack::bytes(octets, out);
}

/// What a card keeps of a header, read in place.
#[derive(Clone, Copy, Debug)]
pub struct CardHeader<'a>(Form<'a>);

#[derive(Clone, Copy, Debug)]
enum Form<'a> {
    /// Of an older card.
    Whole(Header<'a>),
    Packed {
        common: Reader<'a>,
        rare: Reader<'a>,
    },
}

impl<'a> CardHeader<'a> {
    /// Reads the two strings; an older card stands for both. `rare` may be empty for those who ask for no
    /// rare field. `None` where the header is not kept: then ask the message. [`Error::Card`] where they are
    /// something else.
    pub fn from_bytes(common: &'a [u8], rare: &'a [u8]) -> Result<Option<Self>, Error> {
        let mut reader = Reader(common);
        if reader.byte() != Some(VERSION) {
            return Ok(CardRef::from_bytes(common)?.header.map(|header| Self(Form::Whole(Header::new(header)))));
        }
        let is_kept = reader.byte().ok_or(Error::Card("no header"))? == 1;
        let rare = Reader(rare.strip_prefix(&[VERSION]).unwrap_or_default());
        Ok(is_kept.then_some(Self(Form::Packed { common: reader, rare })))
    }

    /// Appends the fields of these names as they stand, in their order, and the blank line that ends the
    /// header, where there is one: as [`Header::select`] does.
    pub fn select(self, set: FieldSet, out: &mut Vec<u8>) {
        match self.0 {
            Form::Whole(header) => header.select_where(|field| number(field.name).is_some_and(|n| set.has(n)), out),
            Form::Packed { mut common, rare } => {
                if set.is_rare() {
                    let mut rare = rare;
                    while let Some(before) = rare.number() {
                        for _ in 0..before {
                            if common.is_end() {
                                break;
                            }
                            take(&mut common, set, out);
                        }
                        take(&mut rare, set, out);
                    }
                }
                while !common.is_end() {
                    take(&mut common, set, out);
                }
            }
        }
    }
}

/// Passes over the next field; appends it if it is wanted.
fn take(reader: &mut Reader<'_>, set: FieldSet, out: &mut Vec<u8>) {
    match (reader.byte(), reader.bytes()) {
        (Some(number), Some(octets)) if number == BLANK || set.has(number) => out.extend_from_slice(octets),
        (Some(_), Some(_)) => {}
        // Something else than what we have written.
        _ => *reader = Reader(&[]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use types::Limits;

    use super::*;
    use crate::{Card, Keep, parse};

    fn set(names: &[&str]) -> FieldSet {
        FieldSet::new(names).unwrap()
    }

    fn select(message: &[u8], names: &[&str]) -> Option<String> {
        let card = Card::from_message(&parse(message, &Limits::default()));
        let rare: &[u8] = if set(names).is_rare() { card.rare() } else { b"" };
        let mut out = Vec::new();
        CardHeader::from_bytes(card.common(), rare).unwrap()?.select(set(names), &mut out);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn fields() {
        assert!(FIELDS.is_sorted());
        let mut numbers: Vec<_> = FIELDS.iter().map(|(_, number)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert!(numbers.len() == FIELDS.len() && numbers.iter().all(|n| (1..128).contains(n)));
        assert!(FIELDS.iter().all(|(name, _)| name.len() <= size_of::<LowerName>()));
        assert!(FieldSet::new(&["Message-ID", "X-TUID"]).is_some() && FieldSet::new(&["To", "Received"]).is_none());
        assert!(!set(&["Message-ID", "To"]).is_rare() && set(&["to", "DKIM-Signature"]).is_rare());
        assert!(!set(&[]).is_rare());
    }

    #[test]
    fn in_their_order() {
        let message = b"Return-Path: r\r\nTo: 1\r\nReceived: x\r\nList-Help: h\r\nLINES: 2\r\nto : 3\r\n 4\r\nX-TUID: t\r\n\r\nbody";
        assert_eq!(select(message, &["To"]).unwrap(), "To: 1\r\nto : 3\r\n 4\r\n\r\n");
        let some = "Return-Path: r\r\nTo: 1\r\nLINES: 2\r\nto : 3\r\n 4\r\nX-TUID: t\r\n\r\n";
        assert_eq!(select(message, &["lines", "to", "x-tuid", "return-path"]).unwrap(), some);
        assert_eq!(select(message, &["cc"]).unwrap(), "\r\n");
        assert_eq!(select(b"To: a\r\n", &["cc"]).unwrap(), "", "no blank line, none added");
    }

    #[test]
    fn large_headers_stay_in_the_message() {
        assert_eq!(select(format!("Subject: {}\r\n\r\n", "x".repeat(MOST_HEADER)).as_bytes(), &["to"]), None);
        let cut = Card::from_message(&parse(b"Subject: x\r\n\r\n", &Limits { header_size: 5, ..Limits::default() }));
        assert!(CardHeader::from_bytes(cut.common(), cut.rare()).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn like_the_header_itself(
            names in proptest::collection::vec(proptest::sample::select(vec!["To", "Cc", "list-help", "X-Other", "DKIM-Signature"]), 0..9),
            wanted in proptest::sample::subsequence(vec!["to", "cc", "List-Help", "dkim-signature"], 0..4),
        ) {
            let fields = names.iter().enumerate().map(|(n, name)| format!("{name}: {n}\r\n\tmore\r\n"));
            let message = fields.collect::<String>() + "\r\nbody";
            let mut expected = Vec::new();
            parse(message.as_bytes(), &Limits::default()).header().select(Keep::Named, &wanted, &mut expected);
            prop_assert_eq!(select(message.as_bytes(), &wanted).unwrap().into_bytes(), expected);
        }

        #[test]
        fn hostile_bytes(common in proptest::collection::vec(prop_oneof![0_u8..5, any::<u8>()], 0..60), rare in proptest::collection::vec(0_u8..90, 0..60)) {
            let (common, rare) = ([&[VERSION, 1], &common[..]].concat(), [&[VERSION], &rare[..]].concat());
            let mut out = Vec::new();
            CardHeader::from_bytes(&common, &rare).unwrap().unwrap().select(set(&["to", "x-tuid"]), &mut out);
            prop_assert!(out.len() <= common.len() + rare.len());
        }
    }
}
