//! Writes FETCH responses, without waiting for anybody: what is too long to be written here leaves a
//! [`Hole`], which `send` fills on the wire.
//!
//! An item that cannot be had is left out and noted in [`Failed`]; the other items and messages are
//! delivered, and the command ends with NO.

use std::ops::Range;
use std::sync::Arc;

use message::{FieldSet, Header, Keep, Layout, Place, downgrade_envelope, downgrade_header, downgrade_structure};
use proto::imap::command::FetchItem;
use proto::imap::response::{Content as Announced, FetchWriter, SectionName};
use proto::imap::{Dialect, Encoder, PartPath, Partial, Section, SectionText};
use store::{Cards, Chunk, Keywords, Row, Snapshot};
use types::{DateTime, IdSet, SeqNum, Uid};

use super::content::{Content, Edit, Form, Long, Source, Unreadable, mask_nuls};
use crate::imap::flag_lists::FlagLists;
use crate::imap::object_id;
use crate::imap::state::Selected;
use crate::imap::updates::Brief;
use crate::imap::wire::{PIECE, Wire};

/// An item and what is known of it before any message is looked at.
pub(super) struct Item {
    what: FetchItem,
    /// It needs more than rows and marks.
    pub(super) needs_card: bool,
    /// It needs more than cards mostly have, too: its work is that of reading the message.
    pub(super) needs_body: bool,
    /// Fields of the message's header that cards keep.
    fields: Option<FieldSet>,
    /// Of the section that is asked for; of other items nothing.
    name: SectionName,
}

/// What is the same for all messages of a command.
pub(super) struct Responder<'a> {
    pub(super) selected: &'a Selected,
    pub(super) items: &'a [Item],
    pub(super) dialect: Dialect,
    pub(super) keywords: &'a Keywords,
    /// The messages that this command has marked `\Seen`: their FLAGS are told unasked.
    pub(super) marked: Option<&'a IdSet<Uid>>,
    /// The messages whose flags the client knows: of these they are not told.
    pub(super) known: Option<&'a Brief>,
    /// Octets of a header that are looked at where some of its fields are asked for.
    pub(super) header_size: u64,
    /// The client takes nothing but ASCII in headers.
    pub(super) ascii_only: bool,
}

/// Octets of bodies that are read before others have their turn. What is answered may be short
/// (`BINARY.SIZE`), and a client that has gone is noticed only when something is sent.
pub(super) const WORK: u64 = 1 << 20;

/// A message and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) number: SeqNum,
    pub(super) chunk: &'a Chunk,
    pub(super) at: usize,
    pub(super) row: &'a Row,
}

/// Responses that have been written, as far as they could be.
pub(super) struct Written<'a> {
    pub(super) out: &'a mut Vec<u8>,
    /// What is missing in them, in order.
    pub(super) holes: Vec<Hole>,
    pub(super) failed: Failed,
    /// The messages of which a surrogate was shown (RFC 6858 §3).
    pub(super) downgraded: IdSet<Uid>,
    /// Octets of bodies that were read for them.
    pub(super) work: u64,
    flags: FlagLists,
    pub(super) scratch: Vec<u8>,
}

/// Octets that are missing in a response.
pub(super) struct Hole {
    /// Before this octet of the responses.
    pub(super) at: usize,
    pub(super) content: Long,
    pub(super) uid: Uid,
}

/// What could not be delivered, and why.
#[derive(Default, Debug)]
pub(super) struct Failed {
    /// The store said no, first this.
    pub(super) error: Option<store::Error>,
    /// Something of these messages is damaged.
    pub(super) damaged: IdSet<Uid>,
    /// Nobody knows the Content-Transfer-Encoding.
    pub(super) encoding: IdSet<Uid>,
    /// The messages are gone for good.
    pub(super) gone: IdSet<Uid>,
}

/// Why an item is left out.
enum Missing {
    Gone,
    Unreadable(Unreadable),
}

impl<'a> Written<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        let (failed, flags) = (Failed::default(), FlagLists::default());
        Self { out, holes: vec![], failed, downgraded: IdSet::new(), work: 0, flags, scratch: vec![] }
    }

    /// Whether more should be written before this is sent.
    pub(super) fn has_room(&self) -> bool {
        self.out.len() < 2 * PIECE && self.holes.is_empty() && self.work < WORK
    }
}

impl Failed {
    /// True where everything was delivered.
    pub(super) fn is_empty(&self) -> bool {
        let Self { error, damaged, encoding, gone } = self;
        error.is_none() && damaged.is_empty() && encoding.is_empty() && gone.is_empty()
    }

    /// Something that belongs to no message could not be read.
    pub(super) fn error(&mut self, error: store::Error) {
        self.error.get_or_insert(error);
    }

    fn note(&mut self, uid: Uid, why: Missing) {
        match why {
            Missing::Gone => self.gone.insert(uid),
            Missing::Unreadable(Unreadable::Encoding(_)) => self.encoding.insert(uid),
            Missing::Unreadable(Unreadable::Store(error)) => {
                if matches!(error, store::Error::Damaged(_)) {
                    tracing::error!(%uid, %error, "a message is damaged");
                    self.damaged.insert(uid);
                }
                self.error(error);
            }
        }
    }
}

impl<E: Into<Unreadable>> From<E> for Missing {
    fn from(error: E) -> Self {
        Self::Unreadable(error.into())
    }
}

impl Item {
    pub(super) fn new(what: FetchItem) -> Self {
        let needs_card = !is_in_row(&what);
        let (mut fields, mut name) = (None, SectionName::default());
        if let FetchItem::BodySection { section, .. } = &what {
            name = SectionName::from(section);
            fields = match section {
                Section { part, text: SectionText::HeaderFields(names) } if part.0.is_empty() => FieldSet::new(names),
                _ => None,
            };
        }
        let needs_body = needs_card && fields.is_none() && !is_in_card(&what);
        Self { what, needs_card, needs_body, fields, name }
    }

    pub(super) fn is(&self, what: &FetchItem) -> bool {
        self.what == *what
    }
}

/// True for what rows and marks tell.
fn is_in_row(item: &FetchItem) -> bool {
    use FetchItem as I;
    matches!(
        item,
        I::Flags | I::InternalDate | I::Rfc822Size | I::Uid | I::ModSeq | I::EmailId | I::ThreadId | I::SaveDate
    )
}

/// True for what cards tell.
fn is_in_card(item: &FetchItem) -> bool {
    use FetchItem as I;
    matches!(item, I::Envelope | I::Body | I::BodyStructure | I::Preview { .. })
}

impl<'a> Responder<'a> {
    /// For a command that has marked nothing, and a client that wants all that is asked for.
    pub(super) fn new(selected: &'a Selected, wire: &Wire, snapshot: &'a Snapshot, items: &'a [Item]) -> Self {
        Self {
            selected,
            items,
            dialect: wire.dialect(),
            keywords: snapshot.keywords(),
            marked: None,
            known: None,
            header_size: selected.mailbox.account().limits().header_size as u64,
            ascii_only: wire.takes_only_ascii(),
        }
    }

    /// Writes the response for one message, with its items from `from` on. Gives the item to go on
    /// with where there are so many on a large message that others must have their turn: the rest
    /// comes in a response of its own. Nobody but an attacker asks for a message four times over.
    pub(super) fn respond(
        &self,
        message: Message<'_>,
        from: usize,
        mut cards: Option<&mut Cards>,
        written: &mut Written<'_>,
    ) -> Option<usize> {
        let Written { out, holes, failed, downgraded, work, flags, scratch } = written;
        let start = out.len();
        let enough = *work + WORK + 4 * u64::from(message.row.size);
        let mut empty = true;
        let (mut rest, mut international) = (None, None);
        let mut encoder = Encoder::new(out, self.dialect);
        let mut response = encoder.fetch(message.number, message.row.uid);
        for (at, item) in self.items.iter().enumerate().skip(from) {
            if *work > enough {
                rest = Some(at);
                break;
            }
            let done = match (self.row_item(&item.what, message, flags, &mut response), cards.as_deref_mut()) {
                (true, _) => Ok(()),
                (false, Some(cards)) => {
                    scratch.clear();
                    let header_size = self.header_size;
                    let surrogate =
                        *international.get_or_insert_with(|| self.ascii_only && cards.is_international(message.row));
                    if surrogate && shows_header(&item.what) {
                        downgraded.insert(message.row.uid);
                    }
                    let body = Body { row: message.row, cards, scratch, holes, work, header_size, surrogate };
                    response.attempt(|response| body.item(item, response))
                }
                // There are cards wherever an item needs them.
                (false, None) => Err(Missing::Gone),
            };
            match done {
                Ok(()) => empty = false,
                Err(why) => failed.note(message.row.uid, why),
            }
        }
        // RFC 9051 §6.4.5: "if this causes the flags to change, they SHOULD be included".
        if rest.is_none() && self.marked.is_some_and(|marked| marked.contains(message.row.uid)) {
            // RFC 7162 §3.2.4: and then also UID and mod-sequence. RFC 9586 §3: UIDFETCH has the UID in front.
            let Dialect { condstore, uid_only, .. } = self.dialect;
            let sync = [(FetchItem::Uid, condstore && !uid_only), (FetchItem::ModSeq, condstore)];
            for (unasked, wanted) in [(FetchItem::Flags, true)].iter().chain(&sync) {
                if *wanted && !self.items.iter().any(|item| item.is(unasked)) {
                    self.row_item(unasked, message, flags, &mut response);
                }
            }
            empty = false;
        }
        if empty {
            out.truncate(start);
        } else {
            response.finish();
        }
        rest
    }

    /// Writes an item that rows and marks know; false where they do not.
    fn row_item(
        &self,
        item: &FetchItem,
        message: Message<'_>,
        lists: &mut FlagLists,
        response: &mut FetchWriter<'_>,
    ) -> bool {
        let Message { chunk, at, row, .. } = message;
        match item {
            FetchItem::Flags if self.known.is_some_and(|known| known.holds(row.uid, chunk.modseq(at))) => {}
            FetchItem::Flags => {
                let recent = self.selected.is_recent(row.uid, self.dialect);
                lists.write(chunk, at, self.keywords, recent, response);
            }
            FetchItem::InternalDate => response.internal_date(row.internal_date),
            FetchItem::Rfc822Size => response.size(row.size.into()),
            FetchItem::Uid => response.uid(row.uid),
            FetchItem::ModSeq => response.modseq(chunk.modseq(at)),
            FetchItem::EmailId => response.email_id(&object_id::email(self.selected.mailbox.at().owner, row.email)),
            FetchItem::ThreadId => response.thread_id(&object_id::thread(self.selected.mailbox.at().owner, row.thread)),
            // RFC 8514 §4.2: we know it of every message.
            FetchItem::SaveDate => response.save_date(DateTime::utc(row.saved)),
            _ => return false,
        }
        true
    }
}

/// Writes the items of one message that rows and marks do not know.
struct Body<'a> {
    row: &'a Row,
    cards: &'a mut Cards,
    /// For octets that wait for their announcement; empty.
    scratch: &'a mut Vec<u8>,
    holes: &'a mut Vec<Hole>,
    work: &'a mut u64,
    header_size: u64,
    /// The client gets the message in ASCII (RFC 6857).
    surrogate: bool,
}

impl Body<'_> {
    fn item(self, item: &Item, response: &mut FetchWriter<'_>) -> Result<(), Missing> {
        let email = self.row.email;
        let text = |part: SectionText| Section { text: part, ..Section::default() };
        match &item.what {
            FetchItem::Envelope if self.surrogate => {
                response.envelope(&downgrade_envelope(self.cards.card(email)?.envelope()));
            }
            FetchItem::Body if self.surrogate => {
                response.body(&downgrade_structure(self.cards.card(email)?.bodystructure(), false));
            }
            FetchItem::BodyStructure if self.surrogate => {
                response.body_structure(&downgrade_structure(self.cards.card(email)?.bodystructure(), true));
            }
            FetchItem::Envelope => response.envelope(self.cards.card(email)?.envelope()),
            FetchItem::Body => {
                self.cards.card(email)?.write_body(self.scratch);
                response.body(self.scratch);
            }
            FetchItem::BodyStructure => response.body_structure(self.cards.card(email)?.bodystructure()),
            FetchItem::Preview { lazy } => self.preview(*lazy, response)?,
            FetchItem::BodySection { section, partial, .. } => self.section(item, section, *partial, response)?,
            FetchItem::Rfc822 => self.whole(text(SectionText::All), response, |r, n| r.rfc822(n))?,
            FetchItem::Rfc822Header => self.whole(text(SectionText::Header), response, |r, n| r.rfc822_header(n))?,
            FetchItem::Rfc822Text => self.whole(text(SectionText::Text), response, |r, n| r.rfc822_text(n))?,
            FetchItem::Binary { part, partial, .. } => self.binary(part, *partial, response)?,
            FetchItem::BinarySize(part) => self.binary_size(part, response)?,
            // `row_item` has dealt with these.
            FetchItem::Flags
            | FetchItem::InternalDate
            | FetchItem::Rfc822Size
            | FetchItem::Uid
            | FetchItem::ModSeq
            | FetchItem::EmailId
            | FetchItem::ThreadId
            | FetchItem::SaveDate => {}
        }
        Ok(())
    }

    /// RFC 8970 §4.1: LAZY does not wait until a message is read whose card has no preview.
    fn preview(self, lazy: bool, response: &mut FetchWriter<'_>) -> Result<(), Missing> {
        let email = self.row.email;
        match self.cards.card(email)?.preview() {
            None if lazy => response.preview(None),
            None => {
                *self.work += u64::from(self.row.size);
                response.preview(Some(&self.cards.make_preview(email)?));
            }
            preview => response.preview(preview),
        }
        Ok(())
    }

    /// `BODY[section]<partial>`
    fn section(
        mut self,
        item: &Item,
        section: &Section,
        partial: Option<Partial>,
        response: &mut FetchWriter<'_>,
    ) -> Result<(), Missing> {
        let origin = partial.map(|partial| partial.offset);
        match self.stored(section, item.fields, partial)? {
            None => response.section(&item.name, origin, Announced::Nil),
            Some(content) => {
                response.section(&item.name, origin, self.announced(&content));
                self.put(content, response)?;
            }
        }
        Ok(())
    }

    /// What has an own name in RFC 3501 and is always there.
    fn whole(
        mut self,
        section: Section,
        response: &mut FetchWriter<'_>,
        announce: fn(&mut FetchWriter<'_>, u64),
    ) -> Result<(), Missing> {
        let content = self.stored(&section, None, None)?.unwrap_or(Content::Kept);
        let (octets, _) = self.extent(&content);
        announce(response, octets);
        self.put(content, response)
    }

    /// `BINARY[part]<partial>`
    fn binary(
        mut self,
        part: &PartPath,
        partial: Option<Partial>,
        response: &mut FetchWriter<'_>,
    ) -> Result<(), Missing> {
        let origin = partial.map(|partial| partial.offset);
        match self.decoded(part, partial)? {
            None => response.binary(part, origin, Announced::Nil),
            Some(source) => {
                let content = self.open(source)?;
                response.binary(part, origin, self.announced(&content));
                self.put(content, response)?;
            }
        }
        Ok(())
    }

    /// `BINARY.SIZE[part]`; the grammar has no NIL here, so a part that is not there has no octets.
    fn binary_size(mut self, part: &PartPath, response: &mut FetchWriter<'_>) -> Result<(), Missing> {
        let octets = match self.decoded(part, None)? {
            Some(source) => {
                *self.work += source.cost();
                source.count()?
            }
            None => 0,
        };
        response.binary_size(part, octets);
        Ok(())
    }

    /// How the octets are announced: as a literal8 only where RFC 3516 §4.3 wants it.
    fn announced(&self, content: &Content) -> Announced {
        let (octets, nul) = self.extent(content);
        if nul { Announced::Binary(octets) } else { Announced::Octets(octets) }
    }

    /// How many octets, and whether a NUL is among them.
    fn extent(&self, content: &Content) -> (u64, bool) {
        match content {
            Content::Plain(plain) => (plain.octets(), false),
            Content::Kept => (self.scratch.len() as u64, memchr::memchr(0, self.scratch).is_some()),
            Content::Long(long) => (long.octets, long.nul),
        }
    }

    /// The octets that were announced, or a hole for them.
    fn put(self, content: Content, response: &mut FetchWriter<'_>) -> Result<(), Missing> {
        match content {
            Content::Plain(plain) => plain.read(response.buffer())?,
            Content::Kept => response.buffer().append(self.scratch),
            Content::Long(content) => {
                self.holes.push(Hole { at: response.buffer().len(), content, uid: self.row.uid });
            }
        }
        Ok(())
    }

    /// The octets of a section as they are stored, `kept` the fields of it that cards keep; `None` where the
    /// message has no such section.
    fn stored(
        &mut self,
        section: &Section,
        kept: Option<FieldSet>,
        partial: Option<Partial>,
    ) -> Result<Option<Content>, Missing> {
        use message::Section as What;
        let what = match &section.text {
            SectionText::All if section.part.0.is_empty() => {
                let blob = self.blob()?;
                let (range, edits) = (0..blob.size(), self.edits()?);
                return Ok(Some(self.open(Source { blob, range, form: Form::Stored, partial, edits })?));
            }
            SectionText::All => What::Whole,
            SectionText::Header => What::Header,
            SectionText::Text => What::Text,
            SectionText::Mime => What::Mime,
            SectionText::HeaderFields(names) => return self.fields(section, Keep::Named, names, kept, partial),
            SectionText::HeaderFieldsNot(names) => return self.fields(section, Keep::Unnamed, names, None, partial),
        };
        let Some(range) = self.layout()?.section(&path(&section.part), what) else {
            return Ok(None);
        };
        let source = Source { blob: self.blob()?, range, form: Form::Stored, partial, edits: self.edits()? };
        Ok(Some(self.open(source)?))
    }

    fn open(&mut self, source: Source) -> Result<Content, Missing> {
        *self.work += source.cost();
        Ok(source.open(self.scratch)?)
    }

    /// A subset of a header. RFC 9051 §6.4.5: "A substring fetch of a HEADER.FIELDS or
    /// HEADER.FIELDS.NOT part specifier is calculated after subsetting the header."
    fn fields(
        &mut self,
        section: &Section,
        keep: Keep,
        names: &[String],
        kept: Option<FieldSet>,
        partial: Option<Partial>,
    ) -> Result<Option<Content>, Missing> {
        if let Some(set) = kept
            && let Some(header) = self.cards.header(self.row.email, set.is_rare())?
        {
            header.select(set, self.scratch);
            if self.surrogate {
                // Some have other names then.
                let header = std::mem::take(self.scratch);
                shown(Header::new(&header), true, |header| header.select(keep, names, self.scratch));
            }
        } else {
            let Some(range) = self.layout()?.section(&path(&section.part), message::Section::Header) else {
                return Ok(None);
            };
            let mut header = Vec::new();
            self.read(range, &mut header)?;
            shown(Header::new(&header), self.surrogate, |header| header.select(keep, names, self.scratch));
        }
        // RFC 9051 §9: no NUL, as in `Form::Stored`.
        mask_nuls(self.scratch);
        if let Some(partial) = partial {
            let index = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            self.scratch.drain(..index(partial.offset).min(self.scratch.len()));
            self.scratch.truncate(index(partial.length.get()));
        }
        Ok(Some(Content::Kept))
    }

    /// A header, as much of it as is looked at.
    fn read(&self, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), Missing> {
        let end = range.end.min(range.start.saturating_add(self.header_size));
        self.blob()?.read(range.start..end, out).map_err(store::Error::from)?;
        Ok(())
    }

    /// A part without its Content-Transfer-Encoding; `None` where the message has no such part.
    fn decoded(&mut self, part: &PartPath, partial: Option<Partial>) -> Result<Option<Source>, Missing> {
        let layout = self.layout()?;
        let path = path(part);
        let (Some(place), Some(range)) = (layout.part(&path), layout.section(&path, message::Section::Whole)) else {
            return Ok(None);
        };
        // RFC 2045 §6.4: what is made of parts has no encoding of its own; nor has the message.
        let form = if path.is_empty() || is_composite(place) { Form::PLAIN } else { Form::of(place) };
        Ok(Some(Source { blob: self.blob()?, range, form, partial, edits: self.edits()? }))
    }

    /// What a surrogate shows instead of the headers of the message and its parts; of more headers than
    /// are looked at, the first.
    fn edits(&mut self) -> Result<Arc<[Edit]>, Missing> {
        let mut edits = Vec::new();
        if !self.surrogate {
            return Ok(edits.into());
        }
        let (layout, mut left) = (self.layout()?, self.header_size);
        for place in layout.places() {
            let range = place.header..place.body;
            let Some(rest) = left.checked_sub(range.end.saturating_sub(range.start)) else { break };
            left = rest;
            let mut header = Vec::new();
            self.read(range.clone(), &mut header)?;
            *self.work += header.len() as u64;
            if !header.is_ascii() {
                let mut text = Vec::new();
                downgrade_header(Header::new(&header), &mut text);
                edits.push(Edit { range, text });
            }
        }
        Ok(edits.into())
    }

    fn layout(&mut self) -> Result<Layout, Missing> {
        let layout = self.cards.card(self.row.email)?.layout();
        layout.map_err(|error| store::Error::Damaged(format!("the card of email {}: {error}", self.row.email)).into())
    }

    fn blob(&self) -> Result<Arc<dyn store::Blob>, Missing> {
        self.cards.body(self.row.email)?.ok_or(Missing::Gone)
    }
}

/// True for items in which a surrogate may look different from the message.
fn shows_header(item: &FetchItem) -> bool {
    use FetchItem as I;
    match item {
        I::Envelope | I::Body | I::BodyStructure | I::Rfc822 | I::Rfc822Header => true,
        I::BodySection { section, .. } => match section.text {
            SectionText::All => section.part.0.is_empty(),
            SectionText::Text => false,
            _ => true,
        },
        _ => false,
    }
}

/// A header as the client may see it.
fn shown(header: Header<'_>, surrogate: bool, with: impl FnOnce(Header<'_>)) {
    if surrogate {
        let mut text = Vec::new();
        downgrade_header(header, &mut text);
        with(Header::new(&text));
    } else {
        with(header);
    }
}

impl Form {
    /// As it is, NULs included.
    const PLAIN: Self = Self::Decoded { encoding: message::Encoding::Binary, lines: false };

    fn of(place: &Place) -> Self {
        let lines = matches!(place.content, message::Content::Text(charset) if !charset.name().starts_with("UTF-16"));
        Self::Decoded { encoding: place.encoding, lines }
    }
}

fn is_composite(place: &Place) -> bool {
    matches!(place.content, message::Content::Multipart | message::Content::Message)
}

fn path(part: &PartPath) -> Vec<u32> {
    part.0.iter().map(|number| number.get()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Envelopes of 100,000 messages moved other tasks away for each of those that are large.
    #[test]
    fn a_list_of_large_messages_reads_none_of_them() {
        let section = |text| FetchItem::BodySection {
            section: Section { text, ..Section::default() },
            partial: None,
            peek: true,
        };
        let fields = |name: &str| section(SectionText::HeaderFields(vec![name.to_owned()]));
        let listed = [FetchItem::Flags, FetchItem::Envelope, FetchItem::Body, FetchItem::BodyStructure];
        let listed = listed.into_iter().chain([FetchItem::Preview { lazy: false }, fields("Subject")]);
        assert!(listed.map(Item::new).all(|item| !item.needs_body));
        let part = PartPath::default();
        let read = [section(SectionText::All), section(SectionText::Header), fields("X-Own"), FetchItem::Rfc822];
        let read = read.into_iter().chain([FetchItem::BinarySize(part)]);
        assert!(read.map(Item::new).all(|item| item.needs_body && item.needs_card));
    }
}
