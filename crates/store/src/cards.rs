//! Cards: what FETCH, SEARCH and SORT want to know of a message without opening its body.
//!
//! Derived data: written with the message, several to a value, and made anew from the body where
//! missing or damaged. A value is found by the largest key that is not above the email's id.

use std::ops::Range;
use std::sync::Arc;

use engine::{Blob, ReadView};
use message::{CardRef, Parser};
use types::{AccountId, EmailId, Limits};

use crate::codec::{Reader, Writer};
use crate::error::{Error, Result};
use crate::key;
use crate::txn::blob_id;

/// A value is closed when it has so many octets: a reader of one card reads all of the value.
const PACK_SIZE: usize = 16 << 10;

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

/// Reads cards and bodies of many messages in a row.
pub struct Cards {
    view: Box<dyn ReadView>,
    account: AccountId,
    /// The value read last, and where each card stands in it.
    value: Vec<u8>,
    places: Vec<(EmailId, Range<usize>)>,
    /// A card that had to be made anew.
    remade: Vec<u8>,
}

impl Cards {
    pub(crate) fn new(view: Box<dyn ReadView>, account: AccountId) -> Self {
        Self { view, account, value: vec![], places: vec![], remade: vec![] }
    }

    /// The card of a message.
    pub fn card(&mut self, email: EmailId) -> Result<CardRef<'_>> {
        if self.place(email).is_none() {
            crate::blocking(|| self.read_value(email));
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
        Ok(crate::blocking(|| self.view.blob(blob_id(email)))?)
    }

    fn place(&self, email: EmailId) -> Option<Range<usize>> {
        let at = self.places.binary_search_by_key(&email, |(id, _)| *id).ok()?;
        self.places.get(at).map(|(_, range)| range.clone())
    }

    /// Reads the value that holds the card. One that is damaged is as good as none: cards can be
    /// made anew.
    fn read_value(&mut self, email: EmailId) {
        self.places.clear();
        let end = key::cards(EmailId(email.0.saturating_add(1)));
        if let Ok(Some((key, value))) = self.view.last(&key::all_cards().start..&end) {
            let first = key::number(&key, 0).unwrap_or(0);
            self.places = places(first, &value).unwrap_or_default();
            self.value = value;
        }
    }

    /// Makes a card from the body.
    fn remake(&self, email: EmailId) -> Result<Vec<u8>> {
        let blob = self.view.blob(blob_id(email))?;
        let blob =
            blob.ok_or_else(|| Error::Damaged(format!("email {email} of account {} has no body", self.account)))?;
        // The limits of the parser are those of the store's defaults: a card does not depend on
        // what an administrator allows to arrive.
        let mut parser = Parser::new(&Limits::default());
        let mut buffer = Vec::new();
        let mut at = 0;
        while at < blob.size() {
            let end = blob.size().min(at + 0x1_0000);
            buffer.clear();
            blob.read(at..end, &mut buffer)?;
            parser.push(&buffer);
            at = end;
        }
        Ok(message::Card::from_message(&parser.finish()).to_bytes())
    }
}

fn read(email: EmailId, card: &[u8]) -> Result<CardRef<'_>> {
    CardRef::from_bytes(card).map_err(|error| Error::Damaged(format!("the card of email {email}: {error}")))
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
