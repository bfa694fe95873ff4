//! The one thread that commits: it takes every batch that is waiting, as one *group*, and makes the
//! group durable with one write and one sync of the growing segment.
//!
//! In this order: the bodies of all batches go to the growing segment, and behind them the [journal](super::journal)
//! of the group; the segments are synced, that with the journal last; the [`Overlay`] shows the group; the answers
//! go out. A batch that is refused leaves the others of its group alone. A batch that fails takes its group with
//! it: none of it is answered with yes, and nobody sees any of it. (After a failed sync a part of the group may
//! be on the disk all the same: opened again, the store has all of it or nothing.)
//!
//! What the overlay holds goes to the index when it is enough, or when nobody has anything to commit, by the
//! thread of the [indexer](super::indexer).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;
use types::AccountId;

use super::blob::Uploaded;
use super::company::Company;
use super::figures::Counted;
use super::flusher::Flusher;
use super::index::{self, Places, sql};
use super::indexer::Work;
use super::journal::{Change, Draft};
use super::overlay::Overlay;
use super::prepared::{Prepared, record_len};
use super::queue::{Nothing, Receiver};
use super::segments::{Lane, Room, Segment, Segments};
use super::witness::Witness;
use crate::segment::{Content, META_MAX, Piece, Record, blob_meta_len};
use crate::{BlobId, CommitError, CommitNumber, Error, NewBlob};

/// What the thread is asked to do.
pub(crate) enum Job {
    /// A batch that waits for its group.
    Commit(Waiting),
    /// Housekeeping, once everything that was committed before is in the index.
    Between(Work),
}

/// A batch, and who waits for it.
pub(crate) struct Waiting {
    pub(crate) batch: Prepared,
    pub(crate) answer: oneshot::Sender<Result<(), CommitError>>,
}

/// The state of the thread.
pub(crate) struct Writer {
    /// To read what the overlay does not have.
    pub(crate) connection: Connection,
    pub(crate) segments: Arc<Segments>,
    pub(crate) overlay: Arc<Overlay>,
    pub(crate) counted: Arc<Counted>,
    pub(crate) witness: Witness,
    /// Octets of a group: it ends with the batch that reaches them.
    pub(crate) group_bytes: usize,
    /// Batches of a group.
    pub(crate) group_batches: usize,
    /// Those that have changed so far.
    pub(crate) accounts: HashMap<AccountId, Known>,
    pub(crate) flusher: Flusher,
    /// What the last group tells of those who change something.
    pub(crate) company: Company,
    /// For the octets of a group: the same piece of memory each time, unless it has become large.
    pub(crate) octets: Vec<u8>,
}

/// What this thread remembers of an account, which nobody else changes.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    number: CommitNumber,
    /// No blob that comes after it has ever been there; in the order of SQLite's integers.
    last_blob: i64,
}

/// What the batches that a group has taken so far change.
struct Ahead {
    accounts: HashMap<AccountId, Known>,
    blobs: HashSet<(AccountId, BlobId)>,
}

impl Ahead {
    /// For about so many batches.
    fn of(count: usize) -> Self {
        Self { accounts: HashMap::with_capacity(count), blobs: HashSet::with_capacity(count) }
    }
}

/// The segments that a group names.
type Used = HashMap<u32, Arc<Segment>>;

/// How long nobody must have anything to commit before what is in the overlay goes to the index.
const IDLE: Duration = Duration::from_secs(2);

/// Octets that the thread keeps for those of a group.
const KEPT: usize = 256 << 10;

impl Writer {
    /// Until nobody can send any more; what was sent is done.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let queued = jobs.take();
            let at_once = queued.is_some();
            let between = match queued.map_or_else(|| jobs.take_within(IDLE), Ok) {
                Ok(Job::Commit(first)) => self.collect(first, at_once, jobs),
                Ok(Job::Between(work)) => Some(work),
                Err(Nothing::Yet) => {
                    self.flusher.flush(&self.overlay);
                    continue;
                }
                Err(Nothing::Ever) => break,
            };
            match between {
                Some(work) => self.flusher.flush_before(work, &self.overlay),
                None => self.flusher.flush_if_due(&self.overlay),
            }
        }
        self.flusher.flush(&self.overlay);
    }

    /// Makes a group of what is waiting and commits it; gives back the housekeeping that ended it. `at_once` where
    /// the first came while the group before was on its way.
    fn collect(&mut self, first: Waiting, at_once: bool, jobs: &Receiver<Job>) -> Option<Work> {
        let mut bytes = first.batch.octets;
        let mut waiting = vec![first];
        let mut waited = false;
        while bytes < self.group_bytes && waiting.len() < self.group_batches {
            let next = jobs.take();
            if next.is_none() && !waited {
                waited = true;
                let wanted = self.company.wanted(if at_once { waiting.len() } else { 0 });
                jobs.wait(wanted.saturating_sub(waiting.len()), self.company.patience());
                continue;
            }
            match next {
                Some(Job::Commit(next)) => {
                    bytes += next.batch.octets;
                    waiting.push(next);
                }
                Some(Job::Between(work)) => {
                    self.group(waiting, bytes);
                    return Some(work);
                }
                None => break,
            }
        }
        self.group(waiting, bytes);
        None
    }

    /// Answers every job. They bring `octets`, roughly.
    fn group(&mut self, waiting: Vec<Waiting>, octets: usize) {
        let ready = self.segments.writable().and_then(|()| self.flusher.room(&self.overlay));
        let ready = ready.and_then(|()| self.segments.room());
        let mut ahead = Ahead::of(waiting.len());
        let mut answers = Vec::with_capacity(waiting.len());
        let mut batches = Vec::with_capacity(waiting.len());
        for Waiting { batch, answer } in waiting {
            let admitted = ready.clone().map_err(CommitError::Failed);
            match admitted.and_then(|room| self.admit(&batch, room, &mut ahead)) {
                Ok(()) => {
                    batches.push(batch);
                    answers.push(answer);
                }
                Err(e) => drop(answer.send(Err(e))),
            }
        }
        let (begun, count) = (Instant::now(), batches.len());
        let done = if batches.is_empty() { Ok(()) } else { self.write(batches) };
        self.company = Company::of(count, octets, begun.elapsed());
        if done.is_ok() {
            self.accounts.extend(ahead.accounts);
        }
        for answer in answers {
            // A caller that no longer waits has lost interest in the answer, not in the commit.
            drop(answer.send(done.clone().map_err(CommitError::Failed)));
        }
    }

    /// Says no to a batch that cannot be applied, before anything of it is written.
    fn admit(&self, batch: &Prepared, room: Room, ahead: &mut Ahead) -> Result<(), CommitError> {
        if room < (if batch.bodies.is_empty() { Room::Keys } else { Room::Blobs }) {
            return Err(Error::Full.into());
        }
        let mut after: Vec<(AccountId, Known)> = Vec::with_capacity(batch.changes.len());
        for (change, blobs) in batch.each() {
            let mut known = self.known(change.account, ahead)?;
            known.number.0 += 1;
            if known.number != change.number {
                return Err(CommitError::Conflict);
            }
            self.admit_blobs(change, blobs, &mut known, ahead)?;
            if after.iter().any(|(account, _)| *account == change.account) {
                return Err(misuse(format!("account {} stands twice in a batch", change.account)));
            }
            after.push((change.account, known));
        }
        ahead.accounts.extend(after);
        ahead.blobs.extend(batch.bodies.iter().map(|(account, blob)| (*account, blob.id)));
        Ok(())
    }

    /// What is known of an account. The index is asked at most once: before the account's first change.
    fn known(&self, account: AccountId, ahead: &Ahead) -> Result<Known, Error> {
        if let Some(known) = ahead.accounts.get(&account).or_else(|| self.accounts.get(&account)) {
            return Ok(*known);
        }
        let mut select = self.prepare(
            "SELECT (SELECT number FROM account WHERE id = ?1), (SELECT max(id) FROM blob WHERE account = ?1)",
        )?;
        let row = select.query_row([sql(account.0)], |row| row.try_into()).map_err(index::error)?;
        let (number, last): (Option<i64>, Option<i64>) = row;
        let number = CommitNumber(number.unwrap_or(0).cast_unsigned());
        Ok(Known { number, last_blob: last.unwrap_or(i64::MIN) })
    }

    fn admit_blobs(
        &self,
        change: &Change,
        blobs: &[(AccountId, NewBlob)],
        known: &mut Known,
        ahead: &Ahead,
    ) -> Result<(), CommitError> {
        for (at, (_, NewBlob { id, upload, label })) in blobs.iter().enumerate() {
            let Some(uploaded) = upload.inner::<Uploaded>() else {
                return Err(misuse("an upload to another engine".to_owned()));
            };
            if blob_meta_len(label.len(), uploaded.pieces()) > META_MAX {
                return Err(misuse(format!("blob {} has too many pieces or too long a label", id.0)));
            }
            if sql(id.0) > known.last_blob {
                known.last_blob = sql(id.0);
                continue;
            }
            let goes = change.clear || change.dropped.contains(id);
            let twice = blobs.iter().take(at).any(|(_, before)| before.id == *id);
            if twice || !goes && self.has_blob(change.account, *id, ahead)? {
                return Err(misuse(format!("blob {} of account {} exists already", id.0, change.account)));
            }
        }
        Ok(())
    }

    fn has_blob(&self, account: AccountId, id: BlobId, ahead: &Ahead) -> Result<bool, Error> {
        if ahead.blobs.contains(&(account, id)) {
            return Ok(true);
        }
        if let Some(has) = self.overlay.has_blob(account, id) {
            return Ok(has);
        }
        let mut select = self.prepare("SELECT 1 FROM blob WHERE account = ?1 AND id = ?2")?;
        select.exists([sql(account.0), sql(id.0)]).map_err(index::error)
    }

    /// Makes the batches durable, or nothing of them, and shows them.
    fn write(&mut self, batches: Vec<Prepared>) -> Result<(), Error> {
        let count = |of: fn(&Prepared) -> usize| batches.iter().map(of).sum();
        let mut changes = Vec::with_capacity(count(|batch| batch.changes.len()));
        let mut bodies = Vec::with_capacity(count(|batch| batch.bodies.len()));
        for batch in batches {
            changes.extend(batch.changes);
            bodies.extend(batch.bodies);
        }
        // Kept with the changes: what a commit names must not be taken for dead space.
        let mut used = HashMap::new();
        let mut octets = std::mem::take(&mut self.octets);
        let written = self.write_group(&changes, &bodies, &mut used, &mut octets);
        if octets.capacity() <= KEPT {
            self.octets = octets;
        }
        match written {
            Ok((places, journal)) => {
                let octets: u64 = bodies.iter().map(|(_, blob)| blob.upload.size()).sum();
                self.counted.bodies.fetch_add(octets, Ordering::Relaxed);
                self.witness.acknowledge(self.segments.group());
                self.overlay.publish(self.segments.group(), placed(changes, places), used);
                self.segments.next_group();
                self.flusher.journaled(journal);
                Ok(())
            }
            // There may be room again later. What was written is dead space: the journal comes last, so none is whole.
            Err(Error::Full) => Err(Error::Full),
            Err(error) => Err(self.segments.stop(&error.to_string())),
        }
    }

    /// Writes and syncs the bodies of all blobs and the journal. The places, in the order of the blobs, and
    /// how long the journal is.
    fn write_group(
        &self,
        changes: &[Change],
        bodies: &[(AccountId, NewBlob)],
        used: &mut Used,
        octets: &mut Vec<u8>,
    ) -> Result<(Vec<Arc<Places>>, usize), Error> {
        let pieces = |blob: &NewBlob| {
            blob.upload.inner().map_or(16, |uploaded: &Uploaded| Places::encoded_len(uploaded.pieces()))
        };
        let draft = Draft::new(changes, bodies.iter().map(|(_, blob)| pieces(blob)), |account, key| {
            self.overlay.recent(account, key)
        });
        for (_, blob) in bodies {
            if let Some(Uploaded::Large { segments, .. }) = blob.upload.inner() {
                used.extend(segments.iter().map(|segment| (segment.id, Arc::clone(segment))));
            }
        }
        let mut places = Vec::with_capacity(bodies.len());
        let mut rest = bodies;
        loop {
            let (now, later) = rest.split_at(self.fitting(rest));
            let len: usize = now.iter().map(|(_, blob)| record_len(blob)).sum();
            let journal = if later.is_empty() { draft.len() } else { 0 };
            let (segment, start) = self.segments.claim(Lane::New, (len + journal) as u64)?;
            octets.clear();
            octets.reserve(len + journal);
            self.put_records(&segment, start, now, &mut places, octets);
            if later.is_empty() {
                // Nothing that it names elsewhere may be less durable than the journal.
                let elsewhere = used.values().filter(|other| other.id != segment.id);
                elsewhere.into_iter().try_for_each(|other| self.segments.sync(other))?;
                draft.finish(places.iter(), segment.mark, self.segments.group(), octets);
                self.segments.write(&segment, start, octets)?;
                self.segments.sync(&segment)?;
                used.insert(segment.id, segment);
                return Ok((places, journal));
            }
            self.segments.write(&segment, start, octets)?;
            used.insert(segment.id, segment);
            rest = later;
        }
    }

    /// How many of the blobs make one write.
    fn fitting(&self, blobs: &[(AccountId, NewBlob)]) -> usize {
        let mut bytes = 0;
        let fits = |(_, blob): &&(AccountId, NewBlob)| {
            bytes += record_len(blob);
            bytes <= self.group_bytes
        };
        blobs.iter().take_while(fits).count().max(1).min(blobs.len())
    }

    /// The records of blobs, one after the other, for a place in a segment.
    fn put_records(
        &self,
        segment: &Segment,
        start: u64,
        blobs: &[(AccountId, NewBlob)],
        places: &mut Vec<Arc<Places>>,
        records: &mut Vec<u8>,
    ) {
        for (account, blob) in blobs {
            let offset = start + records.len() as u64;
            let len = record_len(blob);
            let Some(uploaded) = blob.upload.inner::<Uploaded>() else { continue };
            let body = uploaded.body();
            let (upload, pieces) = match uploaded {
                Uploaded::Large { upload, pieces, .. } => (*upload, pieces.clone()),
                Uploaded::There { places: there } => {
                    places.push(Arc::new(there.clone()));
                    continue;
                }
                Uploaded::Small { pieces, .. } => (0, place(pieces, segment.id, offset + (len - body.len()) as u64)),
            };
            let label = blob.label.clone();
            let content = Content::Blob { account: *account, id: blob.id, upload, label, pieces };
            let record = Record { mark: segment.mark, group: self.segments.group(), content };
            record.encode(body.len() as u32, records);
            records.extend_from_slice(body);
            if let Content::Blob { pieces, .. } = record.content {
                places.push(Arc::new(Places { segment: segment.id, offset, len: len as u32, pieces }));
            }
        }
    }

    fn prepare(&self, statement: &str) -> Result<rusqlite::CachedStatement<'_>, Error> {
        self.connection.prepare_cached(statement).map_err(index::error)
    }
}

/// The changes with the places of their new blobs.
fn placed(mut changes: Vec<Change>, places: Vec<Arc<Places>>) -> Vec<Change> {
    let blobs = changes.iter_mut().flat_map(|change| &mut change.blobs);
    blobs.zip(places).for_each(|((_, nowhere), there)| *nowhere = there);
    changes
}

fn misuse(what: String) -> CommitError {
    CommitError::Failed(Error::Io(what.into()))
}

/// The pieces of a body that begins at `offset`.
fn place(pieces: &[Piece], segment: u32, mut offset: u64) -> Vec<Piece> {
    let place = |piece: &Piece| {
        let placed = Piece { segment, offset, ..*piece };
        offset += u64::from(piece.len);
        placed
    };
    pieces.iter().map(place).collect()
}
