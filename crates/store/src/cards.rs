//! Cards: what FETCH, SEARCH and SORT want to know of a message without opening its body.
//!
//! Derived data: written with the message, several to a value, and made anew from the body where
//! missing or damaged. A value is found by the largest key that is not above the email's id.
//!
//! What is kept of a message has three [parts](Part), of which commands that list many messages mostly need
//! one.

mod remake;
mod value;

use std::cell::OnceCell;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use engine::{Blob, ReadView};
use message::{Card, CardHeader, CardRef, Message, Parser};
use types::{EmailId, Limits};

use crate::account::AccountCell;
use crate::blocking::{blocking, brief};
use crate::chunk::Row;
use crate::error::{Error, Result};
use crate::key;
use crate::source::Source;
use crate::txn::blob_id;
use value::entries;

pub use remake::CardsOfBodies;
pub(crate) use remake::parse;
pub(crate) use value::{Pack, without};

/// Octets that are read ahead where cards are asked for in order: first so many, then twice as many each time. To find
/// where to go on is dear: SQLite compares several keys, and reads the value beside each.
const AHEAD: Range<usize> = 32 << 10..256 << 10;

/// Emails that may lie between two that are asked for in order; the others are in other mailboxes.
const NEAR: u64 = 16;

/// What is kept of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// The card.
    Card,
    /// The header fields that clients list.
    Common,
    /// Those that are kept for a few.
    Rare,
}

impl Part {
    const ALL: [Self; 3] = [Self::Card, Self::Common, Self::Rare];

    /// With what the keys of its values begin. Values with all parts are where cards are.
    fn letter(self) -> u8 {
        match self {
            Self::Card => b'c',
            Self::Common => b'f',
            Self::Rare => b'e',
        }
    }

    fn of(self, card: &Card) -> &[u8] {
        match self {
            Self::Card => card.as_bytes(),
            Self::Common => card.common(),
            Self::Rare => card.rare(),
        }
    }
}

/// Reads cards and bodies of many messages in a row. Holds a view of the store from the first thing on that it
/// reads: [`Cards::rest`] before waiting for anything.
pub struct Cards {
    bodies: Bodies,
    card: Ahead,
    common: Ahead,
    rare: Ahead,
    remade: Remade,
}

/// The view, and what is read in it one by one.
struct Bodies {
    source: Arc<Source>,
    /// By which messages are parsed, as when they came.
    limits: Arc<Limits>,
    view: OnceCell<Box<dyn ReadView>>,
}

/// A card that had to be made anew, if one had.
#[derive(Default)]
struct Remade(Option<(EmailId, Card)>);

/// The values of a part that were read last.
#[derive(Default)]
struct Ahead {
    values: Vec<u8>,
    /// Where each email stands in them.
    places: Vec<(EmailId, Range<usize>)>,
    /// The place that was asked for last.
    at: usize,
    /// How many octets were wanted.
    wanted: usize,
}

impl Cards {
    pub(crate) fn new(account: &AccountCell) -> Self {
        let (card, common, rare, remade) = Default::default();
        let (source, limits) = (Arc::clone(&account.source), Arc::clone(&account.shared.limits));
        Self { bodies: Bodies { source, limits, view: OnceCell::new() }, card, common, rare, remade }
    }

    /// What it reads.
    pub(crate) fn view(&self) -> Result<&dyn ReadView> {
        self.bodies.view()
    }

    /// Lets go of the view. What was read ahead stays, and later reads see a later commit: what is in a
    /// message never changes.
    pub fn rest(&mut self) {
        self.bodies.view.take();
    }

    /// Octets that it holds while it rests, about.
    pub fn memory(&self) -> usize {
        let remade = self.remade.0.as_ref().map_or(0, |(_, card)| card.memory());
        [&self.card, &self.common, &self.rare].iter().map(|ahead| ahead.memory()).fold(remade, usize::saturating_add)
    }

    /// The card of a message.
    pub fn card(&mut self, email: EmailId) -> Result<CardRef<'_>> {
        self.find(email, Part::Card);
        let Self { bodies, card, remade, .. } = self;
        if let Some(Ok(card)) = card.get(email).map(CardRef::from_bytes) {
            return Ok(card);
        }
        CardRef::from_bytes(remade.card(email, bodies)?.as_bytes()).map_err(|error| damaged(email, error))
    }

    /// What is kept of the header of a message; the rare fields only where they are asked for. `None` where it
    /// is not kept: then ask the body.
    pub fn header(&mut self, email: EmailId, rare: bool) -> Result<Option<CardHeader<'_>>> {
        self.find(email, Part::Common);
        if rare {
            self.find(email, Part::Rare);
        }
        let Self { bodies, common, rare: apart, remade, .. } = self;
        let apart = if rare { apart.get(email) } else { Some(Default::default()) };
        if let Some(Ok(header)) =
            common.get(email).zip(apart).map(|(common, rare)| CardHeader::from_bytes(common, rare))
        {
            return Ok(header);
        }
        let card = remade.card(email, bodies)?;
        CardHeader::from_bytes(card.common(), card.rare()).map_err(|error| damaged(email, error))
    }

    /// The content of a message. `None` where it is gone for good.
    pub fn body(&self, email: EmailId) -> Result<Option<Arc<dyn Blob>>> {
        brief(|| self.bodies.body(email))
    }

    /// Whether those who take only ASCII in headers see a message differently. Asks the card only where the
    /// row does not know.
    pub fn is_international(&mut self, row: &Row) -> bool {
        row.international.unwrap_or_else(|| self.card(row.email).is_ok_and(CardRef::is_international))
    }

    /// The preview of a message whose card has none: it was written before there were previews.
    pub fn make_preview(&self, email: EmailId) -> Result<String> {
        let message = blocking(|| self.bodies.parse(email, Parser::knows_preview))?;
        Ok(message.preview().to_owned())
    }

    fn ahead(&mut self, part: Part) -> &mut Ahead {
        match part {
            Part::Card => &mut self.card,
            Part::Common => &mut self.common,
            Part::Rare => &mut self.rare,
        }
    }

    /// Sees to it that this part of a message is among what was read, if it is stored and can be read.
    fn find(&mut self, email: EmailId, part: Part) {
        if !self.ahead(part).find(email) {
            let mut ahead = std::mem::take(self.ahead(part));
            // One that is damaged is as good as none: cards can be made anew.
            let _ = brief(|| self.view().map(|view| ahead.read(view, part, email)));
            *self.ahead(part) = ahead;
        }
    }
}

impl Remade {
    /// Makes the card from the body.
    fn card(&mut self, email: EmailId, bodies: &Bodies) -> Result<&Card> {
        let remade = match self.0.take() {
            Some(remade) if remade.0 == email => remade,
            _ => (email, Card::from_message(&blocking(|| bodies.parse(email, |_| false))?)),
        };
        Ok(&self.0.insert(remade).1)
    }
}

impl Bodies {
    fn view(&self) -> Result<&dyn ReadView> {
        if let Some(view) = self.view.get() {
            return Ok(&**view);
        }
        let view = brief(|| self.source.read())?;
        Ok(&**self.view.get_or_init(|| view))
    }

    fn body(&self, email: EmailId) -> Result<Option<Arc<dyn Blob>>> {
        Ok(self.view()?.blob(blob_id(email))?)
    }

    /// Parses the body, until that is enough.
    fn parse(&self, email: EmailId, enough: fn(&Parser) -> bool) -> Result<Message> {
        let account = self.source.account;
        let body = self
            .body(email)?
            .ok_or_else(|| Error::Damaged(format!("email {email} of account {account} has no body")))?;
        Ok(parse(&*body, &self.limits, enough)?)
    }
}

fn damaged(email: EmailId, error: message::Error) -> Error {
    Error::Damaged(format!("the card of email {email}: {error}"))
}

impl Ahead {
    /// Looks for an email among what was read.
    fn find(&mut self, email: EmailId) -> bool {
        let is_at = |at: &usize| self.places.get(*at).is_some_and(|(id, _)| *id == email);
        let found = Some(self.at).filter(is_at).or_else(|| Some(self.at + 1).filter(is_at));
        match found.or_else(|| self.places.binary_search_by_key(&email, |(id, _)| *id).ok()) {
            Some(at) => self.at = at,
            None => return false,
        }
        true
    }

    /// What was found of this email.
    fn get(&self, email: EmailId) -> Option<&[u8]> {
        let (_, range) = self.places.get(self.at).filter(|(id, _)| *id == email)?;
        self.values.get(range.clone())
    }

    fn memory(&self) -> usize {
        self.values.capacity() + self.places.capacity() * size_of::<(EmailId, Range<usize>)>()
    }

    fn clear(&mut self) {
        self.values.clear();
        self.places.clear();
        self.at = 0;
    }

    /// Reads the value that holds this part of a message, and those behind it where messages are asked for in
    /// order.
    fn read(&mut self, view: &dyn ReadView, part: Part, email: EmailId) {
        let last = self.places.last().map(|(last, _)| *last);
        let next = last.filter(|last| *last < email && email.0 - last.0 <= NEAR).map(|last| EmailId(last.0 + 1));
        self.wanted = if next.is_some() { (2 * self.wanted).clamp(AHEAD.start, AHEAD.end) } else { 0 };
        let places: &[Part] = if part == Part::Card { &[part] } else { &[part, Part::Card] };
        for &place in places {
            self.clear();
            if let Some(next) = next {
                self.read_from(view, part, place, next, email);
            }
            if !self.find(email) {
                self.clear();
                let end = key::cards(place.letter(), EmailId(email.0.saturating_add(1)));
                if let Ok(Some((key, value))) = view.last(&key::all_cards(place.letter()).start..&end) {
                    self.add(part, place, &key, &value);
                }
            }
            if self.find(email) {
                return;
            }
        }
    }

    /// Reads values from `next` on, so many that the next ones will be among them; nothing where these are
    /// behind `email`.
    fn read_from(&mut self, view: &dyn ReadView, part: Part, place: Part, next: EmailId, email: EmailId) {
        let range = key::cards(place.letter(), next)..key::all_cards(place.letter()).end;
        // A value that cannot be read ends it; then each is looked for by itself.
        let _ = view.scan(&range.start..&range.end, &mut |key, value| {
            if self.places.is_empty() && key::number(key, 0).is_none_or(|first| first > email.0) {
                return ControlFlow::Break(());
            }
            self.add(part, place, key, value);
            if self.values.len() < self.wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
    }

    /// Appends a value to those that were read.
    fn add(&mut self, part: Part, place: Part, key: &[u8], value: &[u8]) {
        let start = self.values.len();
        self.values.extend_from_slice(value);
        let found = entries(place, key::number(key, 0).unwrap_or(0), value).unwrap_or_default();
        let place = |range: Range<usize>| start + range.start..start + range.end;
        // Where the part is apart, it is not here; no part is empty.
        let found = found.into_iter().map(|entry| (entry.email, place(entry.part(part))));
        self.places.extend(found.filter(|(_, range)| !range.is_empty()));
    }
}

#[cfg(test)]
mod tests {
    use message::FieldSet;
    use types::MailboxName;

    use super::*;
    use crate::testing;

    #[test]
    fn a_row_that_does_not_know_asks_the_card() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_store, account, who) = testing::account().await;
            testing::append(&account, &who, ["Subject: plain\r\n\r\n".to_owned()]).await;
            let mailbox = testing::append(&account, &who, ["Subject: räksmörgås\r\n\r\n".to_owned()]).await;
            let snapshot = mailbox.snapshot().unwrap();
            let all = snapshot.uids();
            let chunk = snapshot.chunks(&all).next().unwrap().unwrap();
            let told: Vec<_> = chunk.rows().iter().map(|row| row.international).collect();
            assert_eq!(told, [Some(false), Some(true)]);
            let mut cards = mailbox.reader();
            let unsaid = |row: &Row| Row { international: None, ..*row };
            let asked: Vec<_> = chunk.rows().iter().map(|row| cards.is_international(&unsaid(row))).collect();
            assert_eq!(asked, [false, true]);
            // A row that knows is believed without a look.
            let other = Row { international: Some(true), ..chunk.rows()[0] };
            assert!(cards.is_international(&other));
        });
    }

    #[test]
    fn cards_are_the_same_in_any_order() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_store, account, who) = testing::account().await;
            // One by one, a few, and more than fit into a value, so that values differ in length.
            for (batch, count) in [1, 1, 1, 70, 1, 3, 1, 1].into_iter().enumerate() {
                let messages = (0..count).map(|n| {
                    let subject = format!("Subject: {batch} {n}{}\r\n", "x".repeat(500));
                    let help = format!("List-Help: {}\r\n\r\n", "y".repeat(10 * n % 97));
                    subject + &help
                });
                testing::append(&account, &who, messages).await;
            }
            let mailbox = account.open(&who, &MailboxName::inbox()).unwrap();
            let snapshot = mailbox.snapshot().unwrap();
            let all = snapshot.uids();
            let chunks = snapshot.chunks(&all).map(Result::unwrap).collect::<Vec<_>>();
            let emails: Vec<_> = chunks.iter().flat_map(|chunk| chunk.rows()).map(|row| row.email).collect();
            assert_eq!(emails.len(), 79);
            let look = |reader: &mut Cards, email, names: &[&str]| {
                let (set, mut fields) = (FieldSet::new(names).unwrap(), Vec::new());
                reader.header(email, set.is_rare()).unwrap().unwrap().select(set, &mut fields);
                (reader.card(email).unwrap().base_subject().to_owned(), String::from_utf8(fields).unwrap())
            };
            for names in [&["subject"][..], &["subject", "list-help"], &["list-help"]] {
                let alone = |&email| look(&mut mailbox.reader(), email, names);
                let expected: Vec<_> = emails.iter().map(alone).collect();
                assert!(expected.is_sorted_by(|a, b| a != b));
                for step in [1, 2, 7, 30, 78, 41] {
                    let mut reader = mailbox.reader();
                    for at in (0..emails.len()).map(|n| n * step % emails.len()) {
                        assert_eq!(look(&mut reader, emails[at], names), expected[at], "{step} {at}");
                        assert!(reader.remade.0.is_none(), "nothing was lacking");
                        reader.rest();
                    }
                }
            }
        });
    }
}
