//! What a verb took out of a mailbox: the rows and flags, when and why.
//!
//! One record serves three readers: a session that has not told its client yet (a ghost can still
//! be fetched), a client that comes back (VANISHED), and undelete.

use std::ops::ControlFlow;

use engine::{ReadView, Write};
use types::{IdSet, MailboxId, ModSeq, Uid, UnixTime};

use crate::chunk::{Chunk, ChunkBuilder, FlagSet, MAX_ROWS, Marks, Row, decode_rows, encode_rows};
use crate::codec::{Reader, Writer};
use crate::error::{Error, Result};
use crate::key;

/// Why messages are gone from a mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// Expunged: can be restored until retention ends.
    Expunged,
    /// Moved elsewhere in the account: the content lives on.
    Moved,
}

/// See the module. At most [`MAX_ROWS`] messages; larger removals have several parts.
pub(crate) struct Removal {
    pub(crate) when: UnixTime,
    pub(crate) reason: Reason,
    /// What went.
    pub(crate) uids: IdSet<Uid>,
    /// The messages as they were; none any more once retention has ended.
    pub(crate) messages: Chunk,
}

/// Collects what a verb takes out.
pub(crate) struct Remover {
    mailbox: MailboxId,
    modseq: ModSeq,
    when: UnixTime,
    reason: Reason,
    part: u64,
    messages: ChunkBuilder,
}

impl Remover {
    pub(crate) fn new(mailbox: MailboxId, modseq: ModSeq, when: UnixTime, reason: Reason) -> Self {
        Self { mailbox, modseq, when, reason, part: 0, messages: ChunkBuilder::default() }
    }

    pub(crate) fn push(&mut self, row: Row, modseq: ModSeq, set: &FlagSet, out: &mut Vec<Write>) {
        self.messages.push(row, modseq, set);
        if self.messages.len() == MAX_ROWS {
            self.flush(out);
        }
    }

    pub(crate) fn flush(&mut self, out: &mut Vec<Write>) {
        if self.messages.len() == 0 {
            return;
        }
        let messages = std::mem::take(&mut self.messages).finish();
        let removal = Removal::new(self.when, self.reason, messages);
        out.push(Write { key: key::removal(self.mailbox, self.modseq, self.part), value: Some(removal.encode()) });
        self.part += 1;
    }
}

/// The layout of a record with its messages, and of one that knows only their UIDs.
const WHOLE: u8 = 1;
const UIDS: u8 = 2;

impl Removal {
    fn new(when: UnixTime, reason: Reason, messages: Chunk) -> Self {
        Self { when, reason, uids: messages.rows.iter().map(|row| row.uid).collect(), messages }
    }

    /// True once the messages are gone for good.
    pub(crate) fn is_purged(&self) -> bool {
        self.messages.is_empty()
    }

    /// The record without its messages.
    pub(crate) fn purged(self) -> Self {
        Self { messages: ChunkBuilder::default().finish(), ..self }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(if self.is_purged() { UIDS } else { WHOLE });
        let reason = match self.reason {
            Reason::Expunged => 0,
            Reason::Moved => 1,
        };
        w.signed(self.when.0).number(reason);
        if self.is_purged() {
            w.number(self.uids.range_count() as u64);
            let mut last = 0;
            for (a, b) in self.uids.ranges() {
                w.number((a.get() - last).into()).number((b.get() - a.get()).into());
                last = b.get();
            }
        } else {
            w.bytes(&encode_rows(&self.messages.rows)).bytes(&self.messages.marks.encode());
        }
        w.finish()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self> {
        let (layout, mut r) = Reader::new("a removal", value, UIDS)?;
        let when = UnixTime(r.signed()?);
        let reason = match r.number()? {
            0 => Some(Reason::Expunged),
            1 => Some(Reason::Moved),
            _ => None,
        };
        let reason = r.valid(reason)?;
        if layout == UIDS {
            let uids = decode_uids(&mut r)?;
            r.end()?;
            return Ok(Self { when, reason, uids, messages: ChunkBuilder::default().finish() });
        }
        let rows = decode_rows(r.bytes()?)?;
        let marks = Marks::decode(r.bytes()?)?;
        r.valid((rows.len() == marks.len()).then_some(()))?;
        r.end()?;
        Ok(Self::new(when, reason, Chunk { rows, marks: marks.into() }))
    }

    /// The removals from a mailbox after `since`, oldest first, until `each` breaks.
    pub(crate) fn scan(
        view: &dyn ReadView,
        mailbox: MailboxId,
        since: ModSeq,
        mut each: impl FnMut(ModSeq, Self) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut failed = None;
        let range = key::removals_after(mailbox, since);
        view.scan(&range.start..&range.end, &mut |key, value| {
            let modseq = key::number(key, 1).and_then(ModSeq::new);
            let modseq = modseq.ok_or_else(|| Error::Damaged("a removal has no mod-sequence".into()));
            match modseq.and_then(|modseq| Ok((modseq, Self::decode(value)?))) {
                Ok((modseq, removal)) => each(modseq, removal),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// The mod-sequence after which the history of a mailbox is whole: what went before was forgotten.
    pub(crate) fn history(view: &dyn ReadView, mailbox: MailboxId) -> Result<ModSeq> {
        let Some(value) = view.get(&key::history(mailbox))? else { return Ok(ModSeq::ZERO) };
        let (_, mut r) = Reader::new("the beginning of a history", &value, 1)?;
        let modseq = ModSeq::new(r.number()?);
        let modseq = r.valid(modseq)?;
        r.end()?;
        Ok(modseq)
    }

    /// Says that the history of a mailbox is whole after `modseq` only.
    pub(crate) fn begin_history(mailbox: MailboxId, modseq: ModSeq) -> Write {
        let mut w = Writer::new(1);
        w.number(modseq.get());
        Write { key: key::history(mailbox), value: Some(w.finish()) }
    }

    /// What went after `since` and not after `upto`; `None` where that is in more than `most` records, or
    /// was forgotten in part.
    pub(crate) fn uids_between(
        view: &dyn ReadView,
        mailbox: MailboxId,
        since: ModSeq,
        upto: ModSeq,
        most: usize,
    ) -> Result<Option<IdSet<Uid>>> {
        if since < Self::history(view, mailbox)? {
            return Ok(None);
        }
        let mut gone = IdSet::new();
        let mut records = 0;
        Self::scan(view, mailbox, since, |modseq, removal| {
            if modseq > upto {
                return ControlFlow::Break(());
            }
            records += 1;
            for (first, last) in removal.uids.ranges() {
                gone.insert_range(first, last);
            }
            if records > most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok((records <= most).then_some(gone))
    }

    /// The removed messages among `uids`, from the removals after `since`.
    pub(crate) fn find(
        view: &dyn ReadView,
        mailbox: MailboxId,
        since: ModSeq,
        uids: &IdSet<Uid>,
    ) -> Result<Vec<(Chunk, usize)>> {
        let mut found = vec![];
        Self::scan(view, mailbox, since, |_, removal| {
            for uid in removal.uids.intersection(uids).iter() {
                if let Some(at) = removal.messages.position(uid) {
                    found.push((removal.messages.clone(), at));
                }
            }
            if found.len() as u64 >= uids.len() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        found.sort_by_key(|(chunk, at)| chunk.rows.get(*at).map(|row| row.uid));
        Ok(found)
    }
}

fn decode_uids(r: &mut Reader<'_>) -> Result<IdSet<Uid>> {
    let mut uids = IdSet::new();
    let mut last = 0u32;
    for _ in 0..r.count()? {
        let first = last.checked_add(r.small()?);
        let end = first.zip(Some(r.small()?)).and_then(|(first, more)| first.checked_add(more));
        let range = first.and_then(Uid::new).zip(end.and_then(Uid::new));
        let (first, end) = r.valid(range)?;
        uids.insert_range(first, end);
        last = end.get();
    }
    Ok(uids)
}
