//! For how long what was expunged or deleted is kept, and what is due to go.
//!
//! * A removal record loses its messages when retention ends ([`Retention::expunged`]), unless a session
//!   still needs them ([`crate::Attendance`]); it keeps their UIDs for VANISHED.
//! * Records of UIDs alone go when the history is old or long enough; where it begins from then on is
//!   written down, so that an answer from it is never too small.
//! * A deleted mailbox is *buried* when retention ends: nobody can restore it, and its content goes bit
//!   by bit.
//! * A body goes in the same commit as the last record or row that refers to it. At no moment is there a
//!   body without a message or a message without its body.
//!
//! There are no reference counts: who purges looks through all rows of the account, on a view, for what
//! is due and lives on elsewhere. That cannot change meanwhile: a message that has no row any more gets
//! one only by being restored, which waits ([`crate::account::AccountCell::bin`]).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::{ControlFlow, Range};
use std::time::Duration;

use engine::{ReadView, Write};
use types::{EmailId, MailboxId, ModSeq, ThreadId, UnixTime};

use crate::account::each;
use crate::chunk::{Row, decode_rows};
use crate::codec::Reader;
use crate::error::{Error, Result};
use crate::key;
use crate::removal::Removal;
use crate::snapshot::ChunkId;

/// Messages that are looked for in one go: bounds memory.
const ROUND: usize = 20_000;

/// Keys that are deleted without a message in them, in one place.
const KEYS: usize = 200;

/// How long things are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// For so long expunged messages and deleted mailboxes can be restored.
    pub expunged: Duration,
    /// For so long it is known which UIDs went, for clients that come back (RFC 7162); at least as long as
    /// the above.
    pub history: Duration,
}

impl Default for Retention {
    /// 14 and 180 days.
    fn default() -> Self {
        let days = |n: u64| Duration::from_secs(n * 24 * 60 * 60);
        Self { expunged: days(14), history: days(180) }
    }
}

/// What was purged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Purged {
    /// Deleted mailboxes that can no longer be restored.
    pub mailboxes: u64,
    /// Messages whose content is gone.
    pub messages: u64,
    /// Their size in octets.
    pub octets: u64,
}

impl std::ops::AddAssign for Purged {
    fn add_assign(&mut self, more: Self) {
        self.mailboxes += more.mailboxes;
        self.messages += more.messages;
        self.octets += more.octets;
    }
}

/// What decides whether something is due.
pub(crate) struct Rules {
    /// What was removed until then has been kept long enough.
    expunged: UnixTime,
    /// The same for its UIDs.
    history: UnixTime,
    /// UIDs are kept in so many records of a mailbox.
    records: usize,
    /// Removals after this are needed by somebody.
    needed: BTreeMap<MailboxId, ModSeq>,
}

/// Keys that change together, and the messages that thereby lose a reference.
#[derive(Default)]
pub(crate) struct Place {
    pub(crate) writes: Vec<Write>,
    pub(crate) messages: Vec<Row>,
}

/// See [`ROUND`].
#[derive(Default)]
pub(crate) struct Round {
    /// In the order in which they go.
    pub(crate) places: Vec<Place>,
    /// How often each email stands in the places; those that live on elsewhere are not here.
    pub(crate) references: HashMap<EmailId, u32>,
    /// Keys by which threads are found of which nothing lives on elsewhere.
    pub(crate) lookups: Vec<Vec<u8>>,
    threads: HashSet<ThreadId>,
    found: usize,
}

impl Rules {
    pub(crate) fn new(
        retention: Retention,
        now: UnixTime,
        records: usize,
        needed: BTreeMap<MailboxId, ModSeq>,
    ) -> Self {
        let before = |time: Duration| UnixTime(now.0.saturating_sub(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)));
        let history = retention.history.max(retention.expunged);
        Self { expunged: before(retention.expunged), history: before(history), records, needed }
    }

    fn needs(&self, mailbox: MailboxId, modseq: ModSeq) -> bool {
        self.needed.get(&mailbox).is_some_and(|&told| modseq > told)
    }

    /// The deleted mailboxes that nobody can restore any more.
    pub(crate) fn to_bury(&self, view: &dyn ReadView) -> Result<Vec<MailboxId>> {
        let mut due = vec![];
        each(view, b"y", |key, value| {
            let id = mailbox_of(key)?;
            if deleted_when(value)? <= self.expunged && !self.needed.contains_key(&id) {
                due.push(id);
            }
            Ok(())
        })?;
        Ok(due)
    }

    /// Whether there is anything to do in the account.
    pub(crate) fn anything(&self, view: &dyn ReadView) -> Result<bool> {
        Ok(!self.to_bury(view)?.is_empty() || !Round::collect(view, self, 1)?.places.is_empty())
    }
}

/// When a mailbox was deleted, by its record.
pub(crate) fn deleted_when(value: &[u8]) -> Result<UnixTime> {
    let (_, mut r) = Reader::new("a deleted mailbox", value, 1)?;
    Ok(UnixTime(r.signed()?))
}

pub(crate) fn mailbox_of(key: &[u8]) -> Result<MailboxId> {
    key::number(key, 0).map(MailboxId).ok_or_else(|| Error::Damaged("a mailbox has no id".into()))
}

/// The rows in the value of a chunk, whoever it belongs to.
pub(crate) fn rows_in(value: &[u8]) -> Result<std::sync::Arc<[Row]>> {
    // Before them stands the number of the commit that wrote them.
    decode_rows(value.get(8..).unwrap_or_default())
}

impl Round {
    /// What is due now.
    pub(crate) fn find(view: &dyn ReadView, rules: &Rules) -> Result<Self> {
        let mut round = Self::collect(view, rules, ROUND)?;
        round.spare_the_living(view)?;
        round.find_lookups(view)?;
        Ok(round)
    }

    fn collect(view: &dyn ReadView, rules: &Rules, most: usize) -> Result<Self> {
        let mut round = Self::default();
        let mut buried = vec![];
        each(view, b"g", |key, _| {
            buried.push(mailbox_of(key)?);
            Ok(())
        })?;
        for id in buried {
            round.buried(view, id, most)?;
        }
        for letter in [b"m", b"y"] {
            let mut ids = vec![];
            each(view, letter, |key, _| {
                ids.push(mailbox_of(key)?);
                Ok(())
            })?;
            for id in ids {
                round.removals(view, rules, id, most)?;
            }
        }
        Ok(round)
    }

    fn is_full(&self, most: usize) -> bool {
        self.found >= most
    }

    fn add(&mut self, place: Place) {
        self.found += place.messages.len().max(1);
        for row in &place.messages {
            *self.references.entry(row.email).or_insert(0) += 1;
            self.threads.insert(row.thread);
        }
        self.places.push(place);
    }

    /// Everything of a buried mailbox: first its messages, then what else it had, at last its name in
    /// the list of the buried.
    fn buried(&mut self, view: &dyn ReadView, id: MailboxId, most: usize) -> Result<()> {
        walk(view, key::of_mailbox(b'r', id), |key, value| {
            let chunk = key::number(key, 1).and_then(|n| u32::try_from(n).ok()).map(ChunkId);
            let chunk = chunk.ok_or_else(|| Error::Damaged("the rows of a chunk have no number".into()))?;
            let writes = vec![delete(key.to_vec()), delete(key::marks(id, chunk, key::SHARED_PLANE))];
            self.add(Place { writes, messages: rows_in(value)?.to_vec() });
            Ok(go_on(!self.is_full(most)))
        })?;
        walk(view, key::of_mailbox(b'x', id), |key, value| {
            let messages = Removal::decode(value)?.messages.rows().to_vec();
            self.add(Place { writes: vec![delete(key.to_vec())], messages });
            Ok(go_on(!self.is_full(most)))
        })?;
        if self.is_full(most) {
            return Ok(());
        }
        let mut rest = vec![];
        for letter in *b"nkwhli" {
            walk(view, key::of_mailbox(letter, id), |key, _| {
                rest.push(delete(key.to_vec()));
                Ok(ControlFlow::Continue(()))
            })?;
        }
        rest.push(delete(key::buried_mailbox(id)));
        for writes in rest.chunks(KEYS) {
            self.add(Place { writes: writes.to_vec(), messages: vec![] });
        }
        Ok(())
    }

    /// The removal records of a mailbox, which stand in the order of their time: first those that are
    /// forgotten, then those that only know UIDs, then those whose messages go, then those that stay.
    fn removals(&mut self, view: &dyn ReadView, rules: &Rules, id: MailboxId, most: usize) -> Result<()> {
        // Without messages: key, mod-sequence, when.
        let mut known = vec![];
        walk(view, key::of_mailbox(b'x', id), |key, value| {
            let modseq = key::number(key, 1).and_then(ModSeq::new);
            let modseq = modseq.ok_or_else(|| Error::Damaged("a removal has no mod-sequence".into()))?;
            let removal = Removal::decode(value)?;
            if removal.is_purged() {
                known.push((key.to_vec(), modseq, removal.when));
                return Ok(ControlFlow::Continue(()));
            }
            if removal.when > rules.expunged || rules.needs(id, modseq) || self.is_full(most) {
                return Ok(ControlFlow::Break(()));
            }
            let messages = removal.messages.rows().to_vec();
            let write = Write { key: key.to_vec(), value: Some(removal.purged().encode()) };
            self.add(Place { writes: vec![write], messages });
            Ok(ControlFlow::Continue(()))
        })?;
        let surplus = known.len().saturating_sub(rules.records);
        let old = known.iter().enumerate().take_while(|&(at, (_, _, when))| at < surplus || *when <= rules.history);
        let forgotten = old.count();
        for records in known.get(..forgotten).unwrap_or_default().chunks(KEYS) {
            let Some((_, upto, _)) = records.last() else { continue };
            let mut writes: Vec<_> = records.iter().map(|(key, _, _)| delete(key.clone())).collect();
            // RFC 7162 §3.2.5.1: who knows the mailbox from before then gets a larger answer.
            writes.push(Removal::begin_history(id, *upto));
            self.add(Place { writes, messages: vec![] });
        }
        Ok(())
    }

    /// Takes out what has a row or a record elsewhere.
    fn spare_the_living(&mut self, view: &dyn ReadView) -> Result<()> {
        if self.references.is_empty() {
            return Ok(());
        }
        let Self { places, references, threads, .. } = self;
        let going: BTreeSet<&[u8]> = places.iter().flat_map(|place| &place.writes).map(|write| &*write.key).collect();
        let mut spare = |rows: &[Row]| {
            for row in rows {
                references.remove(&row.email);
                threads.remove(&row.thread);
            }
            Ok(go_on(!references.is_empty()))
        };
        let going = |key: &[u8]| going.contains(key);
        walk(
            view,
            key::below(vec![b'r']),
            |key, value| if going(key) { Ok(go_on(true)) } else { spare(&rows_in(value)?) },
        )?;
        walk(view, key::below(vec![b'x']), |key, value| {
            if going(key) { Ok(go_on(true)) } else { spare(Removal::decode(value)?.messages.rows()) }
        })
    }
}

impl Round {
    fn find_lookups(&mut self, view: &dyn ReadView) -> Result<()> {
        if self.references.is_empty() || self.threads.is_empty() {
            return Ok(());
        }
        let Self { lookups, threads, .. } = self;
        walk(view, key::all_threads(), |key, value| {
            let thread = value.try_into().map(|value| ThreadId(u64::from_be_bytes(value)));
            if thread.is_ok_and(|thread| threads.contains(&thread)) {
                lookups.push(key.to_vec());
            }
            Ok(ControlFlow::Continue(()))
        })
    }
}

fn delete(key: Vec<u8>) -> Write {
    Write { key, value: None }
}

fn go_on(yes: bool) -> ControlFlow<()> {
    if yes { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// Calls `f` with the keys of a range until it breaks.
pub(crate) fn walk(
    view: &dyn ReadView,
    range: Range<Vec<u8>>,
    mut f: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let mut failed = None;
    view.scan(&range.start..&range.end, &mut |key, value| {
        f(key, value).unwrap_or_else(|error| {
            failed = Some(error);
            ControlFlow::Break(())
        })
    })?;
    failed.map_or(Ok(()), Err)
}
