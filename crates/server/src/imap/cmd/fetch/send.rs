//! Takes the responses of a FETCH to the client, batch by batch.

use std::io;

use store::{Cards, Chunk, Mailbox, Row, Snapshot, Told};
use types::{IdSet, ModSeq, SeqNum, Uid};

use super::content::KEPT;
use super::respond::{Failed, Hole, Message, Responder, WORK, Written};
use crate::imap::answer::{End, Failure};
use crate::imap::state::Selected;
use crate::imap::wire::{PIECE, Sink};

/// One FETCH under way.
pub(super) struct Delivery<'a> {
    sink: &'a mut Sink,
    written: Written<'a>,
    mailbox: &'a Mailbox,
    told: &'a Told,
    responder: Responder<'a>,
    /// Where some item needs more than rows and marks.
    cards: Option<Cards>,
    /// Some item needs the messages themselves.
    reads: bool,
}

impl<'a> Delivery<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, sink: &'a mut Sink, responder: Responder<'a>) -> Self {
        let needs_cards = responder.items.iter().any(|item| item.needs_card);
        let Selected { mailbox, view, .. } = responder.selected;
        let cards = needs_cards.then(|| mailbox.reader());
        let reads = responder.items.iter().any(|item| item.needs_body);
        Self { sink, written: Written::new(out), mailbox, told: view.told(), responder, cards, reads }
    }

    /// Responses for those of the messages that are in the snapshot, ascending.
    pub(super) async fn messages(&mut self, snapshot: &Snapshot, uids: &IdSet<Uid>) -> Result<(), Failure> {
        let mut numbers = Numbers::new(self.told, uids);
        for chunk in snapshot.chunks(uids) {
            match chunk {
                Ok(chunk) => {
                    let mut from = Position::default();
                    while from.at < chunk.len() {
                        if self.cards.is_some() && chunk.rows().get(from.at).is_some_and(is_large) {
                            self.sink.turn(self.written.out).await?;
                        }
                        from = self.fill(chunk, from, &mut numbers);
                        self.send().await?;
                    }
                }
                // The other chunks may be well.
                Err(error) => self.written.failed.error(error),
            }
        }
        Ok(())
    }

    /// Responses for messages that are gone, as they were when they went after `since`.
    pub(super) async fn ghosts(&mut self, since: ModSeq, uids: &IdSet<Uid>) -> Result<(), Failure> {
        let mut found = IdSet::new();
        for (chunk, at) in self.mailbox.removed(since, uids)? {
            let Some(row) = chunk.rows().get(at) else { continue };
            found.insert(row.uid);
            let Some(number) = self.told.number(row.uid) else { continue };
            let mut from = Some(0);
            while let Some(item) = from {
                self.sink.turn(self.written.out).await?;
                from = self.with_cards(true, |responder, written, cards| {
                    responder.respond(Message { number, chunk: &chunk, at, row }, item, cards, written)
                });
                self.send().await?;
            }
        }
        self.written.failed.gone = self.written.failed.gone.union(&uids.difference(&found));
        Ok(())
    }

    /// What could not be delivered, and what was delivered as a surrogate.
    pub(super) fn finish(self) -> (Failed, IdSet<Uid>) {
        (self.written.failed, self.written.downgraded)
    }

    /// Writes responses for messages of a chunk from a position on, until enough wait to be sent.
    /// Gives where to go on.
    fn fill(&mut self, chunk: &Chunk, mut from: Position, numbers: &mut Numbers<'_>) -> Position {
        // A large message that is read has the others moved out of its way, and is alone in that.
        let reads = self.reads;
        let is_large = |row: &Row| reads && is_large(row);
        let large = chunk.rows().get(from.at).is_some_and(is_large);
        self.with_cards(large, |responder, written, mut cards| {
            let next = |at: usize| chunk.rows().get(at).filter(|row| is_large(row) == large);
            while let Some(row) = next(from.at).filter(|_| written.has_room()) {
                let rest = numbers.get(row.uid).and_then(|number| {
                    let message = Message { number, chunk, at: from.at, row };
                    responder.respond(message, from.item, cards.as_deref_mut(), written)
                });
                from = match rest {
                    Some(item) => Position { item, ..from },
                    None => Position { at: from.at + 1, item: 0 },
                };
            }
            from
        })
    }

    /// Writes, with a reader of cards where one is needed. It rests before anybody waits.
    fn with_cards<T>(
        &mut self,
        large: bool,
        write: impl FnOnce(&Responder<'_>, &mut Written<'a>, Option<&mut Cards>) -> T,
    ) -> T {
        let Self { responder, written, cards, .. } = self;
        let Some(cards) = cards else { return write(responder, written, None) };
        let write = || {
            let done = write(responder, written, Some(cards));
            cards.rest();
            done
        };
        if large { store::blocking(write) } else { store::brief(write) }
    }

    /// Sends what waits, once it is enough, and lets other sessions have their turn.
    async fn send(&mut self) -> Result<(), End> {
        let ahead = self.cards.as_ref().map_or(0, Cards::memory);
        let scratch = self.written.scratch.capacity() + ahead;
        self.sink.holds(scratch);
        if !self.written.holes.is_empty() {
            let holes = std::mem::take(&mut self.written.holes);
            let text = std::mem::take(self.written.out);
            self.sink.holds(scratch + text.capacity());
            let mut sent = 0;
            for hole in holes {
                self.written.out.extend_from_slice(text.get(sent..hole.at).unwrap_or_default());
                sent = hole.at;
                self.stream(&hole).await?;
            }
            self.written.out.extend_from_slice(text.get(sent..).unwrap_or_default());
            self.sink.holds(scratch);
        }
        let worked = self.written.work >= WORK;
        if worked || self.written.out.len() >= PIECE {
            self.written.work = 0;
            self.sink.flush(self.written.out).await?;
            self.sink.give_way(self.written.out).await?;
        }
        Ok(())
    }

    /// The octets of a hole. They have been announced, so what cannot be read now ends the connection.
    async fn stream(&mut self, hole: &Hole) -> Result<(), End> {
        let mut reader = hole.content.reader().map_err(io::Error::other)?;
        let mut left = hole.content.octets;
        while left > 0 {
            self.sink.turn(self.written.out).await?;
            let before = self.written.out.len();
            // A piece: no more than is read of many small messages at once.
            let more = store::brief(|| reader.read(self.written.out)).map_err(|error| {
                tracing::error!(uid = %hole.uid, %error, "a message became unreadable while it was sent");
                io::Error::other(error)
            })?;
            let read = (self.written.out.len() - before) as u64;
            if read > left || !more {
                return Err(io::Error::other("a message changed while it was sent").into());
            }
            left -= read;
            self.sink.relieve(self.written.out).await?;
        }
        Ok(())
    }
}

/// More than is kept of one message: reading it takes a turn.
fn is_large(row: &Row) -> bool {
    row.size as usize > KEPT
}

/// Where to go on: a message of a chunk, and the first of its items that is still to be written.
#[derive(Clone, Copy, Default)]
struct Position {
    at: usize,
    item: usize,
}

/// The sequence numbers of messages that are asked for in ascending order.
struct Numbers<'a> {
    told: &'a Told,
    runs: Box<dyn Iterator<Item = (Uid, Uid)> + Send + 'a>,
    run: Option<Run>,
}

/// Neighbouring UIDs, which have neighbouring numbers.
struct Run {
    first: Uid,
    last: Uid,
    number: Option<SeqNum>,
}

impl<'a> Numbers<'a> {
    fn new(told: &'a Told, uids: &'a IdSet<Uid>) -> Self {
        let mut numbers = Self { told, runs: Box::new(uids.ranges()), run: None };
        numbers.advance();
        numbers
    }

    fn advance(&mut self) {
        self.run = self.runs.next().map(|(first, last)| Run { first, last, number: self.told.number(first) });
    }

    /// `None` for a message that is not among those asked for.
    fn get(&mut self, uid: Uid) -> Option<SeqNum> {
        while self.run.as_ref()?.last < uid {
            self.advance();
        }
        let run = self.run.as_ref().filter(|run| run.first <= uid)?;
        SeqNum::new(run.number?.get() + (uid.get() - run.first.get()))
    }
}
