//! Finding messages in a mailbox: a [`Query`] evaluated over a snapshot.
//!
//! * Flags, dates, sizes and UIDs are read from the snapshot; a card is opened only where these have
//!   not decided, the header of the body only where the card has not, and the text comes last. So a
//!   search that asks for nothing else reads no card and no body.
//! * A search goes on step by step, each of about the same work, so that the caller can let others
//!   run, tell how far it is, or give up. Memory is bounded by a step, whatever a message's size.
//! * Who wants the last matches has the search begin at the end ([`Search::from_the_end`]): portion after portion, each
//!   ascending.
//! * Searches that read messages take turns, as many at one time as there are processors: a hundred of
//!   them must not be a hundred busy threads between which everybody else waits.
//! * Fields that clients often look for are kept decoded, in one string for the mailbox ([`fields`]).
//! * A message that cannot be read is not found, and named in [`Found::damaged`].

mod fields;
mod query;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use engine::Blob;
use message::{Header, Layout, Matcher, Needle, Reading, SearchArea};
use types::{IdSet, Uid};

use crate::blocking::blocking;
use crate::cards::Cards;
use crate::chunk::{Chunk, Row};
use crate::error::{Error, Result};
use crate::mailbox::Mailbox;
use crate::snapshot::{ChunkRef, Snapshot};
use crate::steps::{Steps, Turn};
use fields::Learnt;
use query::{Plan, Test, Verdict};

pub(crate) use fields::FieldColumns;
pub use query::{Key, Query, When};

/// How much one step does, in octets looked at.
const STEP: u64 = 1 << 20;

/// What looking at a message costs before any octet of it is read: its row; its card.
const ROW_COST: u64 = 8;
const CARD_COST: u64 = 1 << 10;

/// Messages in the last portion, where a search begins at the end: about a chunk. Each portion before it has four times as
/// many, so that a search that finds little costs no more than one that begins at the beginning.
const LAST_PORTION: u64 = 1 << 7;

/// A search under way.
pub struct Search {
    mailbox: Mailbox,
    snapshot: Arc<Snapshot>,
    plan: Plan,
    /// What is looked at now, by positions in the scope: all of it, unless the search began at the end.
    portion: Range<u64>,
    /// The first message of the portion that was not looked at.
    next: Option<Uid>,
    found: Found,
    learnt: Learnt,
}

/// What a search has found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// The messages that match.
    pub uids: IdSet<Uid>,
    /// The messages of which nobody can say, because they are damaged.
    pub damaged: IdSet<Uid>,
}

impl Steps for Search {
    async fn turn(&self) -> Option<Turn> {
        if self.reads_messages() { self.mailbox.turn().await } else { None }
    }

    fn step(&mut self) -> Result<bool> {
        let Some(from) = self.next.take() else { return Ok(false) };
        let more = if self.reads_messages() { blocking(|| self.messages(from)) } else { self.messages(from) }?;
        Ok(more || self.portion_before())
    }

    fn progress(&self) -> (u64, u64) {
        let goal = self.plan.scope.len();
        let left = self.next.map_or(0, |next| self.portion.start + self.rest(next).len());
        (goal - left, goal)
    }
}

impl Search {
    /// Looks for the messages that match, among those in `scope`.
    pub fn new(mailbox: &Mailbox, snapshot: Arc<Snapshot>, query: Query, scope: IdSet<Uid>) -> Self {
        let query = if query.asks_fields() {
            let columns = mailbox.cell.columns().fields.clone();
            blocking(|| fields::answered(query, &columns, &scope))
        } else {
            query
        };
        let plan = Plan::new(query, scope, snapshot.keywords());
        let (portion, next, learnt) = (0..plan.scope.len(), plan.scope.first(), Learnt::new(plan.fields()));
        Self { mailbox: mailbox.clone(), snapshot, plan, portion, next, found: Found::default(), learnt }
    }

    /// Begins with the last messages: whoever wants the last matches can stop when they are there.
    #[must_use]
    pub fn from_the_end(mut self) -> Self {
        let end = self.plan.scope.len();
        self.portion = end..end;
        self.next = None;
        self.portion_before();
        self
    }

    /// True where the snapshot alone does not answer: cards, and perhaps bodies, are read.
    pub fn reads_messages(&self) -> bool {
        !self.plan.tests.is_empty()
    }

    /// What was found so far, ascending.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// What was found.
    pub fn finish(mut self) -> Found {
        self.keep_learnt();
        self.found
    }

    fn keep_learnt(&mut self) {
        if !self.learnt.is_empty() {
            let learnt = std::mem::replace(&mut self.learnt, Learnt::new(self.plan.fields()));
            let messages = self.snapshot.sums().count;
            blocking(|| learnt.keep(&mut self.mailbox.cell.columns().fields, messages));
        }
    }

    /// Goes on with the messages before the portion; false where there are none.
    fn portion_before(&mut self) -> bool {
        let Range { start, end } = self.portion;
        let length = LAST_PORTION.max(4 * (end - start));
        self.portion = start.saturating_sub(length)..start;
        self.next = self.plan.scope.at(self.portion.clone()).first();
        // What is learnt ascends, and the next ones are less.
        self.keep_learnt();
        self.next.is_some()
    }

    /// The messages of the portion from this one on.
    fn rest(&self, from: Uid) -> IdSet<Uid> {
        self.plan.scope.at(self.portion.clone()).within(from, Uid::MAX)
    }

    fn messages(&mut self, from: Uid) -> Result<bool> {
        let rest = self.rest(from);
        let snapshot = Arc::clone(&self.snapshot);
        let mut cards = if self.reads_messages() { Some(self.mailbox.reader()) } else { None };
        let mut facts = vec![None; self.plan.tests.len()];
        let mut work = 0;
        for node in snapshot.nodes_with(&rest) {
            // What the spine says of a chunk spares a look at its messages.
            let chunks: Vec<_> = node.chunks_with(&rest).map(|chunk| (chunk, self.plan.decide_all(chunk))).collect();
            let open = chunks.iter().filter(|(_, decided)| decided.is_none());
            snapshot.load_ahead(&open.map(|(chunk, _)| *chunk).collect::<Vec<_>>());
            for (chunk, decided) in chunks {
                if work >= STEP {
                    self.next = Some(chunk.first());
                    return Ok(true);
                }
                work += ROW_COST * u64::from(chunk.sums.count);
                match decided {
                    Some(false) => {}
                    Some(true) => self.found.add(&chunk.uids.intersection(&rest)),
                    None => {
                        self.next = self.chunk(&snapshot, chunk, &rest, cards.as_mut(), &mut facts, &mut work)?;
                        if self.next.is_some() {
                            return Ok(true);
                        }
                    }
                }
            }
        }
        Ok(false)
    }

    /// Looks at those messages of a chunk that are in `rest`, until that is enough work; gives where to go on.
    fn chunk(
        &mut self,
        snapshot: &Snapshot,
        spine: &ChunkRef,
        rest: &IdSet<Uid>,
        mut cards: Option<&mut Cards>,
        facts: &mut [Option<bool>],
        work: &mut u64,
    ) -> Result<Option<Uid>> {
        let Self { plan, learnt, found, .. } = self;
        let chunk = snapshot.load(spine)?;
        let Verdict { yes, no } = plan.judge(chunk);
        let wanted = spine.among(chunk, rest).without(no);
        if wanted.without(yes).is_empty() {
            spine.uids_at(chunk, wanted, &mut found.uids);
            return Ok(None);
        }
        for (at, row) in chunk.rows().iter().enumerate().filter(|(at, _)| wanted.contains(*at)) {
            if *work >= STEP {
                return Ok(Some(row.uid));
            }
            if yes.contains(at) {
                found.uids.insert(row.uid);
                continue;
            }
            facts.fill(None);
            let mut examination = Examination { plan, chunk, at, row, facts, learnt, work };
            match examination.matches(cards.as_deref_mut()) {
                Ok(true) => found.uids.insert(row.uid),
                Ok(false) => {}
                Err(Error::Damaged(what)) => {
                    tracing::error!(uid = %row.uid, what, "a message cannot be searched");
                    found.damaged.insert(row.uid);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

impl Found {
    fn add(&mut self, uids: &IdSet<Uid>) {
        for (first, last) in uids.ranges() {
            self.uids.insert_range(first, last);
        }
    }
}

/// One message under examination.
struct Examination<'a> {
    plan: &'a Plan,
    chunk: &'a Chunk,
    at: usize,
    row: &'a Row,
    /// What is known of the plan's tests.
    facts: &'a mut [Option<bool>],
    learnt: &'a mut Learnt,
    work: &'a mut u64,
}

impl Examination<'_> {
    fn matches(&mut self, cards: Option<&mut Cards>) -> Result<bool> {
        if let Some(answer) = self.decide() {
            return Ok(answer);
        }
        let Some(cards) = cards else { return Ok(false) };
        *self.work += CARD_COST;
        self.sent(cards)?;
        self.fields(cards)?;
        if let Some(answer) = self.decide() {
            return Ok(answer);
        }
        let layout = cards.card(self.row.email)?.layout().map_err(|error| self.damaged(error))?;
        // Expunged by somebody else and removed for good since the snapshot.
        let Some(blob) = cards.body(self.row.email)? else { return Ok(false) };
        self.header(&*blob, &layout)?;
        if let Some(answer) = self.decide() {
            return Ok(answer);
        }
        self.text(&*blob, &layout)?;
        Ok(self.decide().unwrap_or(false))
    }

    fn decide(&self) -> Option<bool> {
        self.plan.decide(self.chunk, self.at, self.row, self.facts)
    }

    fn damaged(&self, error: message::Error) -> Error {
        Error::Damaged(format!("the card of email {}: {error}", self.row.email))
    }

    /// The tests that the card answers.
    fn sent(&mut self, cards: &mut Cards) -> Result<()> {
        let mut sent = None;
        for (test, fact) in self.plan.tests.iter().zip(&mut *self.facts) {
            if let Test::Sent(when) = test {
                let sent = match sent {
                    Some(sent) => sent,
                    None => *sent.insert(cards.card(self.row.email)?.sent()),
                };
                *fact = Some(sent.is_some_and(|sent| when.holds(sent.day_number())));
            }
        }
        Ok(())
    }

    /// The tests of header fields that stand beside the card.
    fn fields(&mut self, cards: &mut Cards) -> Result<()> {
        let Some(rare) = self.plan.fields().map(|(_, set)| set.is_rare()).max() else { return Ok(()) };
        let Some(header) = cards.header(self.row.email, rare)? else { return Ok(()) };
        self.learnt.take(self.row.uid, header);
        let mut octets = Vec::new();
        for (test, fact) in self.plan.tests.iter().zip(&mut *self.facts) {
            if let Test::Header { name, needle, kept: Some(set) } = test {
                let learnt = self.learnt.holds(self.row.uid, name, needle);
                *fact = learnt.or_else(|| {
                    octets.clear();
                    header.select(*set, &mut octets);
                    Some(needle.is_in_field(Header::new(&octets), name))
                });
            }
        }
        Ok(())
    }

    /// The tests of header fields that the card has not answered.
    fn header(&mut self, blob: &dyn Blob, layout: &Layout) -> Result<()> {
        let open = |(test, fact): (&Test, &Option<bool>)| matches!(test, Test::Header { .. }) && fact.is_none();
        if !self.plan.tests.iter().zip(&*self.facts).any(open) {
            return Ok(());
        }
        let range = layout.section(&[], message::Section::Header).unwrap_or(0..0);
        let end = range.end.min(range.start.saturating_add(HEADER));
        let mut octets = Vec::new();
        blob.read(range.start..end, &mut octets)?;
        *self.work += octets.len() as u64;
        for (test, fact) in self.plan.tests.iter().zip(&mut *self.facts) {
            if let Test::Header { name, needle, .. } = test {
                fact.get_or_insert_with(|| needle.is_in_field(Header::new(&octets), name));
            }
        }
        Ok(())
    }

    /// The tests of text: first those of all headers, which are short, then those of the text, for
    /// all needles at once.
    fn text(&mut self, blob: &dyn Blob, layout: &Layout) -> Result<()> {
        let headers = layout.text_areas().filter(|area| area.reading == Reading::Header);
        self.look(blob, headers, |in_headers| in_headers)?;
        if self.decide().is_some() {
            return Ok(());
        }
        // A header inside is text of the message, and was looked at above for those who ask for headers too.
        let (inside, text): (Vec<_>, Vec<_>) = layout.body_areas().partition(|area| area.reading == Reading::Header);
        self.look(blob, inside.into_iter(), |in_headers| !in_headers)?;
        self.look(blob, text.into_iter(), |_| true)?;
        for fact in &mut *self.facts {
            fact.get_or_insert(false);
        }
        Ok(())
    }

    /// Looks in some areas for the needles that were not found yet and that `wanted` says yes to (it
    /// is given whether the test is also of headers).
    fn look(
        &mut self,
        blob: &dyn Blob,
        areas: impl Iterator<Item = SearchArea>,
        wanted: impl Fn(bool) -> bool,
    ) -> Result<()> {
        let (mut slots, mut needles): (Vec<usize>, Vec<&Needle>) = (vec![], vec![]);
        for (slot, (test, fact)) in self.plan.tests.iter().zip(&*self.facts).enumerate() {
            if let (Test::Text { needle, headers }, None) = (test, fact)
                && wanted(*headers)
            {
                slots.push(slot);
                needles.push(needle);
            }
        }
        if needles.is_empty() {
            return Ok(());
        }
        let mut matcher = Matcher::new(needles);
        let mut octets = Vec::new();
        for area in areas {
            matcher.begin(area.reading);
            let Range { mut start, end } = area.range;
            let end = end.min(blob.size());
            while start < end {
                octets.clear();
                let piece = start..end.min(blob.piece_end(start));
                start = piece.end;
                *self.work += piece.end - piece.start;
                blob.read(piece, &mut octets)?;
                matcher.push(&octets);
                if matcher.all_found() {
                    break;
                }
            }
            if matcher.all_found() {
                break;
            }
        }
        matcher.end();
        for (index, slot) in slots.into_iter().enumerate() {
            if let Some(fact) = self.facts.get_mut(slot).filter(|_| matcher.found(index)) {
                *fact = Some(true);
            }
        }
        Ok(())
    }
}

/// Octets of a header that are looked at, as [`Matcher`] does.
const HEADER: u64 = 1 << 20;
