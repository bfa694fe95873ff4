//! Messages in order: what SORT asks (RFC 5256, RFC 5957).
//!
//! * [`Sorting`] makes one column for each key, from rows alone where that is enough, else from
//!   cards; then the numbers of the messages are sorted by the columns ([`column`]).
//! * What is equal by all keys stays in the order of the mailbox.

pub(crate) mod column;

use std::collections::HashMap;
use std::sync::Arc;

use message::{AddressList, CardRef, FirstAddress, decode_words};
use types::{IdSet, Uid};

use crate::blocking::blocking;
use crate::chunk::Row;
use crate::columns::Kept;
use crate::error::Result;
use crate::gather::Gathering;
use crate::mailbox::Mailbox;
use crate::snapshot::Snapshot;
use crate::steps::{Steps, Turn};
use column::{Column, order};

/// What messages are compared by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SortKey {
    /// Internal date and time.
    Arrival,
    /// Sent date and time; the internal date where there is none (RFC 5256 §2.2).
    Date,
    /// Octets.
    Size,
    /// Base subject.
    Subject,
    /// addr-mailbox of the first From address.
    From,
    /// addr-mailbox of the first To address.
    To,
    /// addr-mailbox of the first Cc address.
    Cc,
    /// What is displayed for the first From address (RFC 5957 §3).
    DisplayFrom,
    /// What is displayed for the first To address.
    DisplayTo,
}

/// One key and its direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SortBy {
    /// The key.
    pub key: SortKey,
    /// Descending.
    pub reverse: bool,
}

/// Messages that are being sorted.
pub struct Sorting {
    mailbox: Mailbox,
    gathering: Gathering,
    by: Vec<SortBy>,
    wanted: IdSet<Uid>,
    kept: KeptSort,
}

type KeptSort = Kept<HashMap<SortKey, Column>>;

/// Messages in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sorted {
    /// In the order asked for.
    pub uids: Vec<Uid>,
    /// Those among them whose header could not be read: they count as empty.
    pub damaged: IdSet<Uid>,
}

impl SortKey {
    fn needs_card(self) -> bool {
        !matches!(self, Self::Arrival | Self::Size)
    }

    fn is_text(self) -> bool {
        !matches!(self, Self::Arrival | Self::Date | Self::Size)
    }
}

impl Steps for Sorting {
    async fn turn(&self) -> Option<Turn> {
        self.gathering.turn().await
    }

    fn step(&mut self) -> Result<bool> {
        let Self { gathering, kept, .. } = self;
        gathering.step(|row, card| {
            kept.uids.push(row.uid);
            for (key, column) in &mut kept.columns {
                match column {
                    Column::Numbers(numbers) => numbers.push(number(*key, row, card)),
                    Column::Texts(texts) => texts.push(&text(*key, card)),
                }
            }
        })
    }

    fn progress(&self) -> (u64, u64) {
        self.gathering.progress()
    }
}

impl Sorting {
    /// Sorts these messages of the snapshot.
    pub fn new(mailbox: &Mailbox, snapshot: Arc<Snapshot>, wanted: IdSet<Uid>, by: &[SortBy]) -> Self {
        let (kept, missing) = begin(mailbox, &snapshot, &wanted, by);
        let with_cards = kept.columns.keys().any(|key| key.needs_card());
        let gathering = Gathering::new(mailbox, snapshot, missing, with_cards);
        Self { mailbox: mailbox.clone(), gathering, by: by.to_vec(), wanted, kept }
    }

    /// The messages in order.
    pub fn finish(self) -> Sorted {
        let mut kept = self.kept;
        kept.shrink(|columns| columns.values_mut().for_each(Column::shrink));
        let columns: Vec<_> = self.by.iter().filter_map(|by| Some((kept.columns.get(&by.key)?, by.reverse))).collect();
        let order = blocking(|| order(kept.positions(&self.wanted), &columns));
        let uids = order.into_iter().filter_map(|at| kept.uids.get(at as usize).copied()).collect();
        let damaged = self.gathering.damaged().clone();
        let mut columns = self.mailbox.cell.columns();
        // What is damaged may be mended; and the columns of few messages do not replace those of many.
        // Rows need no keeping.
        let is_better = columns.sort.as_ref().is_none_or(|other| other.uids.len() <= kept.uids.len());
        if damaged.is_empty() && is_better && kept.columns.keys().any(|key| key.needs_card()) {
            columns.sort = Some(kept);
        }
        Sorted { uids, damaged }
    }
}

/// The columns to go on with, and the messages that they lack.
fn begin(mailbox: &Mailbox, snapshot: &Snapshot, wanted: &IdSet<Uid>, by: &[SortBy]) -> (KeptSort, IdSet<Uid>) {
    let mut columns = mailbox.cell.columns();
    columns.sort.take_if(|kept| !kept.is_worth_it(snapshot.sums().count));
    let usable = |kept: &KeptSort| {
        let missing = kept.missing(wanted)?;
        by.iter().all(|by| kept.columns.contains_key(&by.key)).then_some(missing)
    };
    if let Some(missing) = columns.sort.as_ref().and_then(usable)
        && let Some(kept) = columns.sort.take()
    {
        return (kept, missing);
    }
    // Reading the cards is what costs: the columns that there were are made again beside the new one.
    let mut keys: Vec<SortKey> = by.iter().map(|by| by.key).collect();
    if keys.iter().any(|key| key.needs_card()) {
        keys.extend(columns.sort.iter().flat_map(|kept| kept.columns.keys()));
    }
    let column = |key: SortKey| (key, if key.is_text() { Column::texts() } else { Column::numbers() });
    (Kept { uids: Vec::new(), columns: keys.into_iter().map(column).collect() }, wanted.clone())
}

/// RFC 5256 §2.2: "the INTERNALDATE for that message is used" where there is no sent date.
pub(crate) fn sent(row: &Row, card: Option<CardRef<'_>>) -> i64 {
    card.and_then(CardRef::sent).unwrap_or(row.internal_date).time.0
}

fn number(key: SortKey, row: &Row, card: Option<CardRef<'_>>) -> i64 {
    match key {
        SortKey::Date => sent(row, card),
        SortKey::Size => row.size.into(),
        _ => row.internal_date.time.0,
    }
}

/// "If the associated RFC-822 header for a particular criterion is absent, it is treated as the empty string."
fn text(key: SortKey, card: Option<CardRef<'_>>) -> String {
    let Some(card) = card else { return String::new() };
    let (list, display) = match key {
        SortKey::From => (AddressList::From, false),
        SortKey::To => (AddressList::To, false),
        SortKey::Cc => (AddressList::Cc, false),
        SortKey::DisplayFrom => (AddressList::From, true),
        SortKey::DisplayTo => (AddressList::To, true),
        _ => return card.base_subject().to_owned(),
    };
    let Some(address) = card.first_address(list) else { return String::new() };
    if display { displayed(&address) } else { decode_words(&address.mailbox.unwrap_or_default()) }
}

/// RFC 5957 §3. An address without a domain has an empty addr-host here, since NIL means a group.
fn displayed(address: &FirstAddress<'_>) -> String {
    let name = address.name.as_deref().map(decode_words).unwrap_or_default();
    if !name.is_empty() {
        return name;
    }
    let mailbox = decode_words(address.mailbox.as_deref().unwrap_or_default());
    match address.host.as_deref() {
        Some(host) if !host.is_empty() => format!("{mailbox}@{}", decode_words(host)),
        _ => mailbox,
    }
}
