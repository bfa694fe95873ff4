//! Cards: what FETCH, SEARCH and SORT want to know of a message without opening its body.
//!
//! Derived data: written with the message, several to a value, and made anew from the body where
//! missing or damaged. A value is found by the largest key that is not above the email's id.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use engine::{Blob, ReadView, Write};
use message::{CardRef, Message, Parser};
use types::{AccountId, EmailId, Limits};

use crate::chunk::Row;
use crate::codec::{Reader, Writer};
use crate::error::{Error, Result};
use crate::key;
use crate::txn::blob_id;

/// A value is closed when it has so many octets: a reader of one card reads all of the value.
const PACK_SIZE: usize = 16 << 10;

/// Octets that are read ahead where cards are asked for in order: mail that is delivered one by one
/// has one card in each value.
const AHEAD: usize = 64 << 10;

/// Emails that may lie between two that are asked for in order; the others are in other mailboxes.
const NEAR: u64 = 16;

/// The layout of a value, and of the cards in it.
const VERSION: u8 = 1;

/// Collects the cards that a verb brings.
#[derive(Default)]
pub(crate) struct Pack {
    done: Vec<(Vec<u8>, Vec<u8>)>,
    first: Option<EmailId>,
    open: Option<Writer>,
    size: usize,
}

impl Pack {
    /// Adds a card; email ids ascend.
    pub(crate) fn push(&mut self, email: EmailId, card: &[u8]) {
        if self.size > PACK_SIZE {
            self.close();
        }
        let first = *self.first.get_or_insert(email);
        let writer = self.open.get_or_insert_with(|| Writer::new(VERSION));
        writer.number(email.0 - first.0).bytes(card);
        self.size += card.len();
    }

    fn close(&mut self) {
        if let (Some(first), Some(writer)) = (self.first.take(), self.open.take()) {
            self.done.push((key::cards(first), writer.finish()));
        }
        self.size = 0;
    }

    /// The keys and values.
    pub(crate) fn finish(mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.close();
        self.done
    }
}

/// The writes that take away the cards of these emails, ascending; those that stand beside them stay.
/// What is missing or damaged is passed over: cards are derived.
pub(crate) fn without(view: &dyn ReadView, gone: &[EmailId]) -> Result<Vec<Write>> {
    let mut writes = vec![];
    let mut done = None;
    for &email in gone {
        if done.is_some_and(|done| email <= done) {
            continue;
        }
        let end = key::cards(EmailId(email.0.saturating_add(1)));
        let Some((key, value)) = view.last(&key::all_cards().start..&end)? else { continue };
        let first = key::number(&key, 0).unwrap_or(0);
        let mut rest = Writer::new(VERSION);
        let mut left = 0;
        for (of, range) in places(first, &value).unwrap_or_default() {
            if gone.binary_search(&of).is_err() {
                rest.number(of.0 - first).bytes(value.get(range).unwrap_or_default());
                left += 1;
            }
            done = done.max(Some(of));
        }
        if done.is_some_and(|done| email <= done) {
            writes.push(Write { key, value: (left > 0).then(|| rest.finish()) });
        }
    }
    Ok(writes)
}

/// Reads cards and bodies of many messages in a row.
pub struct Cards {
    view: Box<dyn ReadView>,
    account: AccountId,
    /// The values read last, and where each card stands in them.
    value: Vec<u8>,
    places: Vec<(EmailId, Range<usize>)>,
    /// A card that had to be made anew.
    remade: Vec<u8>,
}

impl Cards {
    pub(crate) fn new(view: Box<dyn ReadView>, account: AccountId) -> Self {
        Self { view, account, value: vec![], places: vec![], remade: vec![] }
    }

    /// What it reads.
    pub(crate) fn view(&self) -> &dyn ReadView {
        &*self.view
    }

    /// The card of a message.
    pub fn card(&mut self, email: EmailId) -> Result<CardRef<'_>> {
        if self.place(email).is_none() {
            crate::brief(|| self.read_value(email));
        }
        let usable =
            |place: &Range<usize>| self.value.get(place.clone()).is_some_and(|b| CardRef::from_bytes(b).is_ok());
        if let Some(place) = self.place(email).filter(usable) {
            return read(email, self.value.get(place).unwrap_or_default());
        }
        self.remade = crate::blocking(|| self.remake(email))?;
        read(email, &self.remade)
    }

    /// The content of a message. `None` where it is gone for good.
    pub fn body(&self, email: EmailId) -> Result<Option<Arc<dyn Blob>>> {
        Ok(crate::brief(|| self.view.blob(blob_id(email)))?)
    }

    /// Whether those who take only ASCII in headers see a message differently. Asks the card only where the
    /// row does not know.
    pub fn is_international(&mut self, row: &Row) -> bool {
        row.international.unwrap_or_else(|| self.card(row.email).is_ok_and(CardRef::is_international))
    }

    fn place(&self, email: EmailId) -> Option<Range<usize>> {
        let at = self.places.binary_search_by_key(&email, |(id, _)| *id).ok()?;
        self.places.get(at).map(|(_, range)| range.clone())
    }

    /// Reads the value that holds the card, and those behind it where cards are asked for in order.
    /// One that is damaged is as good as none: cards can be made anew.
    fn read_value(&mut self, email: EmailId) {
        let last = self.places.last().map(|(last, _)| *last);
        self.places.clear();
        self.value.clear();
        if let Some(last) = last.filter(|last| *last < email && email.0 - last.0 <= NEAR) {
            self.read_from(EmailId(last.0 + 1));
        }
        if self.place(email).is_none() {
            self.places.clear();
            self.value.clear();
            let end = key::cards(EmailId(email.0.saturating_add(1)));
            if let Ok(Some((key, value))) = self.view.last(&key::all_cards().start..&end) {
                add(&mut self.places, &mut self.value, &key, &value);
            }
        }
    }

    /// Reads values from this email on, so many that the next cards will be among them.
    fn read_from(&mut self, email: EmailId) {
        let Self { view, places, value: values, .. } = self;
        // A value that cannot be read ends it; then each card is looked for by itself.
        let _ = view.scan(&key::cards(email)..&key::all_cards().end, &mut |key, value| {
            add(places, values, key, value);
            if values.len() < AHEAD { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
    }

    /// The preview of a message whose card has none: it was written before there were previews.
    pub fn make_preview(&self, email: EmailId) -> Result<String> {
        let message = crate::blocking(|| self.parse(email, Parser::knows_preview))?;
        Ok(message.preview().to_owned())
    }

    /// Makes a card from the body.
    fn remake(&self, email: EmailId) -> Result<Vec<u8>> {
        Ok(message::Card::from_message(&self.parse(email, |_| false)?).to_bytes())
    }

    /// Parses the body, until that is enough.
    fn parse(&self, email: EmailId, enough: fn(&Parser) -> bool) -> Result<Message> {
        let blob = self.view.blob(blob_id(email))?;
        let blob =
            blob.ok_or_else(|| Error::Damaged(format!("email {email} of account {} has no body", self.account)))?;
        // The limits of the parser are those of the store's defaults: a card does not depend on
        // what an administrator allows to arrive.
        let mut parser = Parser::new(&Limits::default());
        let mut buffer = Vec::new();
        let mut at = 0;
        while at < blob.size() && !enough(&parser) {
            let end = blob.size().min(at + 0x1_0000);
            buffer.clear();
            blob.read(at..end, &mut buffer)?;
            parser.push(&buffer);
            at = end;
        }
        Ok(parser.finish())
    }
}

fn read(email: EmailId, card: &[u8]) -> Result<CardRef<'_>> {
    CardRef::from_bytes(card).map_err(|error| Error::Damaged(format!("the card of email {email}: {error}")))
}

/// Appends a value to those that were read.
fn add(all: &mut Vec<(EmailId, Range<usize>)>, values: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let start = values.len();
    values.extend_from_slice(value);
    let found = places(key::number(key, 0).unwrap_or(0), value).unwrap_or_default();
    all.extend(found.into_iter().map(|(email, range)| (email, start + range.start..start + range.end)));
}

fn places(first: u64, value: &[u8]) -> Result<Vec<(EmailId, Range<usize>)>> {
    let (_, mut r) = Reader::new("cards", value, VERSION)?;
    let mut places = vec![];
    while !r.is_empty() {
        let email = first.wrapping_add(r.number()?);
        let len = r.bytes()?.len();
        let end = value.len() - r.remaining();
        places.push((EmailId(email), end - len..end));
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use types::{AccountName, Flags, MailboxName, Principal};

    use super::*;
    use crate::{NewMessage, Options, Store, SystemClock};

    #[test]
    fn a_row_that_does_not_know_asks_the_card() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let engine = Arc::new(engine::memory::Memory::new());
            let store = Store::open(engine, Arc::new(SystemClock), Options::default()).unwrap();
            let id = store.create_account(&AccountName::new("a").unwrap(), "hash".into()).await.unwrap();
            let (account, who) = (store.account(id).unwrap(), Principal { account: id });
            let inbox = MailboxName::new("INBOX").unwrap();
            for subject in ["plain", "räksmörgås"] {
                let mut incoming = account.receive().unwrap();
                incoming.push(format!("Subject: {subject}\r\n\r\n").as_bytes()).unwrap();
                let content = incoming.finish().unwrap();
                let message = NewMessage { content, flags: Flags::NONE, internal_date: None };
                account.append(&who, &inbox, vec![message]).await.unwrap();
            }
            let mailbox = account.open(&who, &inbox).unwrap();
            let snapshot = mailbox.snapshot().unwrap();
            let chunk = snapshot.chunks(&snapshot.uids()).next().unwrap().unwrap();
            let told: Vec<_> = chunk.rows().iter().map(|row| row.international).collect();
            assert_eq!(told, [Some(false), Some(true)]);
            let mut cards = mailbox.reader().unwrap();
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
            let engine = Arc::new(engine::memory::Memory::new());
            let store = Store::open(engine, Arc::new(SystemClock), Options::default()).unwrap();
            let id = store.create_account(&AccountName::new("a").unwrap(), "hash".into()).await.unwrap();
            let (account, who) = (store.account(id).unwrap(), Principal { account: id });
            let inbox = MailboxName::new("INBOX").unwrap();
            // One by one, a few, and more than fit into a value, so that values differ in length.
            for (batch, count) in [1, 1, 1, 70, 1, 3, 1, 1].into_iter().enumerate() {
                let messages = (0..count).map(|n| {
                    let mut incoming = account.receive().unwrap();
                    let subject = format!("Subject: {batch} {n}{}\r\n\r\n", "x".repeat(500));
                    incoming.push(subject.as_bytes()).unwrap();
                    NewMessage { content: incoming.finish().unwrap(), flags: Flags::NONE, internal_date: None }
                });
                account.append(&who, &inbox, messages.collect()).await.unwrap();
            }
            let mailbox = account.open(&who, &inbox).unwrap();
            let snapshot = mailbox.snapshot().unwrap();
            let chunks = snapshot.chunks(&snapshot.uids()).map(Result::unwrap).collect::<Vec<_>>();
            let emails: Vec<_> = chunks.iter().flat_map(|chunk| chunk.rows()).map(|row| row.email).collect();
            assert_eq!(emails.len(), 79);
            let alone = |email| mailbox.reader().unwrap().card(email).unwrap().base_subject().to_owned();
            let expected: Vec<_> = emails.iter().map(|&email| alone(email)).collect();
            assert!(expected.is_sorted_by(|a, b| a != b));
            for step in [1, 2, 7, 30, 78, 41] {
                let mut reader = mailbox.reader().unwrap();
                for at in (0..emails.len()).map(|n| n * step % emails.len()) {
                    assert_eq!(reader.card(emails[at]).unwrap().base_subject(), expected[at], "{step} {at}");
                }
            }
        });
    }
}
