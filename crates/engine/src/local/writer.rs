//! The one thread that writes: it takes every batch that is waiting, as one *group*, and makes the
//! group durable with one sync of the segment and one commit of SQLite.
//!
//! In this order: the bodies of all batches go to the growing segment; every segment with pieces
//! that they name is synced; the index is changed and committed (with a sync of its own); the
//! answers go out. A batch that is refused leaves the others of its group alone. A batch that fails
//! takes its group with it: none of it is answered with yes, and none of it is in the index.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;
use types::AccountId;

use super::blob::Uploaded;
use super::checkpoint::Checkpoint;
use super::figures::Counted;
use super::index::{self, DERIVED, ESSENTIAL, Places, seal, sql};
use super::segments::{Lane, News, Room, Segment, Segments};
use crate::segment::{Content, HEADER_LEN, META_MAX, Piece, Record, blob_meta_len};
use crate::{AccountBatch, Batch, BlobId, CommitError, CommitNumber, Error, NewBlob, Write};

/// What the thread is asked to do.
pub(crate) enum Job {
    /// A batch that waits for its group.
    Commit(Waiting),
    /// Housekeeping, between two groups.
    Between(Work),
}

/// What the thread does between two groups.
pub(crate) type Work = Box<dyn FnOnce(&Writer) + Send>;

/// A batch, and who waits for it.
pub(crate) struct Waiting {
    pub(crate) batch: Batch,
    pub(crate) answer: oneshot::Sender<Result<(), CommitError>>,
}

/// The state of the thread.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) segments: Arc<Segments>,
    pub(crate) checkpoint: Arc<Checkpoint>,
    pub(crate) counted: Arc<Counted>,
    /// Octets of a group: it ends with the batch that reaches them.
    pub(crate) group_bytes: usize,
    /// Batches of a group.
    pub(crate) group_batches: usize,
}

/// What the batches that a group has taken so far change.
#[derive(Default)]
struct Ahead {
    numbers: HashMap<AccountId, CommitNumber>,
    blobs: HashSet<(AccountId, BlobId)>,
}

/// By how many octets a group changes what blobs use of each segment.
pub(crate) type Live = HashMap<u32, i64>;

/// The segments that a group names.
type Used = HashMap<u32, Arc<Segment>>;

impl Writer {
    /// Until nobody can send any more; what was sent is done.
    pub(crate) fn run(self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            let between = match job {
                Job::Commit(first) => self.collect(first, jobs),
                Job::Between(work) => Some(work),
            };
            if let Some(work) = between {
                work(&self);
            }
            self.checkpoint.finish(&self.connection, &self.segments);
        }
        self.seal();
    }

    /// Makes a group of what is waiting and commits it; gives back the housekeeping that ended it.
    fn collect(&self, first: Waiting, jobs: &Receiver<Job>) -> Option<Work> {
        let mut bytes = size(&first.batch);
        let mut waiting = vec![first];
        let mut between = None;
        while bytes < self.group_bytes
            && waiting.len() < self.group_batches
            && between.is_none()
            && let Ok(job) = jobs.try_recv()
        {
            match job {
                Job::Commit(next) => {
                    bytes += size(&next.batch);
                    waiting.push(next);
                }
                Job::Between(work) => between = Some(work),
            }
        }
        self.group(waiting);
        between
    }

    /// Answers every job.
    fn group(&self, waiting: Vec<Waiting>) {
        let ready = self.segments.writable().and_then(|()| self.execute("BEGIN IMMEDIATE")).and(self.segments.room());
        let mut ahead = Ahead::default();
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
        let done = if batches.is_empty() { self.roll_back() } else { self.write(batches) };
        for answer in answers {
            // A caller that no longer waits has lost interest in the answer, not in the commit.
            drop(answer.send(done.clone().map_err(CommitError::Failed)));
        }
    }

    /// Says no to a batch that cannot be applied, before anything of it is written.
    fn admit(&self, batch: &Batch, room: Room, ahead: &mut Ahead) -> Result<(), CommitError> {
        let brings_blobs = batch.accounts.iter().any(|change| !change.blobs.is_empty());
        if room < (if brings_blobs { Room::Blobs } else { Room::Keys }) {
            return Err(Error::Full.into());
        }
        let mut named = HashSet::new();
        for change in &batch.accounts {
            if self.number(change.account, ahead)? != change.expect {
                return Err(CommitError::Conflict);
            }
            if !named.insert(change.account) {
                return Err(misuse(format!("account {} stands twice in a batch", change.account)));
            }
            self.admit_blobs(change, ahead)?;
        }
        for change in &batch.accounts {
            ahead.numbers.insert(change.account, CommitNumber(change.expect.0 + 1));
            ahead.blobs.extend(change.blobs.iter().map(|blob| (change.account, blob.id)));
        }
        Ok(())
    }

    fn number(&self, account: AccountId, ahead: &Ahead) -> Result<CommitNumber, Error> {
        if let Some(number) = ahead.numbers.get(&account) {
            return Ok(*number);
        }
        let mut select = self.prepare("SELECT number FROM account WHERE id = ?1")?;
        let number = select.query_row([sql(account.0)], |row| row.get::<_, i64>(0)).optional();
        Ok(CommitNumber(number.map_err(index::error)?.unwrap_or(0).cast_unsigned()))
    }

    fn admit_blobs(&self, change: &AccountBatch, ahead: &Ahead) -> Result<(), CommitError> {
        let mut ids = HashSet::new();
        for NewBlob { id, upload, label } in &change.blobs {
            let Some(uploaded) = upload.inner::<Uploaded>() else {
                return Err(misuse("an upload to another engine".to_owned()));
            };
            if blob_meta_len(label.len(), uploaded.pieces()) > META_MAX {
                return Err(misuse(format!("blob {} has too many pieces or too long a label", id.0)));
            }
            let mut select = self.prepare("SELECT 1 FROM blob WHERE account = ?1 AND id = ?2")?;
            let stored = select.exists([sql(change.account.0), sql(id.0)]).map_err(index::error)?;
            let goes = change.clear || change.dropped.contains(id);
            let exists = !goes && (stored || ahead.blobs.contains(&(change.account, *id)));
            if exists || !ids.insert(*id) {
                return Err(misuse(format!("blob {} of account {} exists already", id.0, change.account)));
            }
        }
        Ok(())
    }

    /// Makes the batches durable, or nothing of them.
    fn write(&self, batches: Vec<Batch>) -> Result<(), Error> {
        // Held to the end: what a commit under way names must not be taken for dead space.
        let mut used = HashMap::new();
        let blobs = batches.iter().flat_map(|batch| &batch.accounts).flat_map(|change| &change.blobs);
        let bodies: u64 = blobs.map(|blob| blob.upload.size()).sum();
        let done = self.write_bodies(&batches, &mut used).and_then(|places| self.write_index(batches, places));
        self.segments.next_group();
        if done.is_ok() {
            self.counted.bodies.fetch_add(bodies, Ordering::Relaxed);
        }
        self.settled(done)
    }

    /// What a failure means: a full disk may have room again later, all else ends writing.
    pub(super) fn settled(&self, done: Result<(), Error>) -> Result<(), Error> {
        if let Err(error) = &done {
            // What was written to segments is dead space.
            let undone = self.roll_back();
            if !matches!(error, Error::Full) || undone.is_err() {
                return Err(self.segments.stop(&error.to_string()));
            }
        }
        done
    }

    /// Writes and syncs the bodies of all blobs. Their places, in the order of the blobs.
    fn write_bodies(&self, batches: &[Batch], used: &mut Used) -> Result<Vec<Places>, Error> {
        let blobs: Vec<(AccountId, &NewBlob)> = batches
            .iter()
            .flat_map(|batch| &batch.accounts)
            .flat_map(|change| change.blobs.iter().map(|blob| (change.account, blob)))
            .collect();
        let mut places = Vec::with_capacity(blobs.len());
        let mut rest = blobs.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.fitting(rest));
            let segment = self.write_records(now, &mut places)?;
            used.insert(segment.id, segment);
            rest = later;
        }
        for (_, blob) in &blobs {
            if let Some(Uploaded::Large { segments, .. }) = blob.upload.inner() {
                used.extend(segments.iter().map(|segment| (segment.id, Arc::clone(segment))));
            }
        }
        used.values().try_for_each(|segment| self.segments.sync(segment))?;
        Ok(places)
    }

    /// How many of the blobs make one write.
    fn fitting(&self, blobs: &[(AccountId, &NewBlob)]) -> usize {
        let mut bytes = 0;
        let fits = |(_, blob): &&(AccountId, &NewBlob)| {
            bytes += record_len(blob);
            bytes <= self.group_bytes
        };
        blobs.iter().take_while(fits).count().max(1)
    }

    /// Writes the records of blobs, one after the other, into one segment.
    fn write_records(&self, blobs: &[(AccountId, &NewBlob)], places: &mut Vec<Places>) -> Result<Arc<Segment>, Error> {
        let len = blobs.iter().map(|(_, blob)| record_len(blob)).sum();
        let (segment, start) = self.segments.claim(Lane::New, len as u64)?;
        let mut records = Vec::with_capacity(len);
        for (account, blob) in blobs {
            let offset = start + records.len() as u64;
            let len = record_len(blob);
            let Some(uploaded) = blob.upload.inner::<Uploaded>() else { continue };
            let body = uploaded.body();
            let (upload, pieces) = match uploaded {
                Uploaded::Large { upload, pieces, .. } => (*upload, pieces.clone()),
                Uploaded::There { places: there } => {
                    places.push(there.clone());
                    continue;
                }
                Uploaded::Small { pieces, .. } => (0, place(pieces, segment.id, offset + (len - body.len()) as u64)),
            };
            let label = blob.label.clone();
            let content = Content::Blob { account: *account, id: blob.id, upload, label, pieces };
            let record = Record { mark: segment.mark, group: self.segments.group(), content };
            record.encode(body.len() as u32, &mut records);
            records.extend_from_slice(body);
            if let Content::Blob { pieces, .. } = record.content {
                places.push(Places { segment: segment.id, offset, len: len as u32, pieces });
            }
        }
        self.segments.write(&segment, start, &records)?;
        Ok(segment)
    }

    fn write_index(&self, batches: Vec<Batch>, places: Vec<Places>) -> Result<(), Error> {
        let mut live = Live::new();
        let mut places = places.into_iter();
        for change in batches.into_iter().flat_map(|batch| batch.accounts) {
            self.apply(change, &mut places, &mut live)?;
        }
        self.finish(live)
    }

    /// Writes down what else has changed, and commits.
    pub(super) fn finish(&self, live: Live) -> Result<(), Error> {
        let news = self.segments.news();
        self.tell(&news)?;
        // The group tells, after a crash, whether the index has forgotten a commit.
        let mut update = self.prepare(
            "UPDATE segment SET live = live + ?2, last_group = max(ifnull(last_group, 0), ?3) WHERE id = ?1",
        )?;
        for (segment, change) in live {
            update.execute((segment, change, sql(self.segments.group()))).map_err(index::error)?;
        }
        self.execute("COMMIT")?;
        self.segments.told(news.len());
        Ok(())
    }

    fn apply(
        &self,
        change: AccountBatch,
        places: &mut impl Iterator<Item = Places>,
        live: &mut Live,
    ) -> Result<(), Error> {
        let account = change.account;
        let number = sql(change.expect.0 + 1);
        let mut update = self.prepare("REPLACE INTO account (id, number) VALUES (?1, ?2)")?;
        update.execute([sql(account.0), number]).map_err(index::error)?;
        if change.clear {
            self.clear(account, live)?;
        }
        for id in change.dropped {
            self.remove_blobs(account, Some(id), live)?;
        }
        self.put(account, ESSENTIAL, change.essential)?;
        self.put(account, DERIVED, change.derived)?;
        let mut insert = self.prepare("INSERT INTO blob VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for (blob, places) in change.blobs.iter().zip(places) {
            places.footprint().for_each(|(segment, bytes)| *live.entry(segment).or_default() += bytes.cast_signed());
            let places = places.encode();
            let hash = seal(account, &blob.id.0.to_be_bytes(), ESSENTIAL, &places);
            let row = params![sql(account.0), sql(blob.id.0), ESSENTIAL, hash, places];
            insert.execute(row).map_err(index::error)?;
        }
        Ok(())
    }

    fn put(&self, account: AccountId, form: i64, writes: Vec<Write>) -> Result<(), Error> {
        if writes.is_empty() {
            return Ok(());
        }
        let mut replace = self.prepare("REPLACE INTO entry VALUES (?1, ?2, ?3, ?4, ?5)")?;
        let mut delete = self.prepare("DELETE FROM entry WHERE account = ?1 AND key = ?2")?;
        for Write { key, value } in writes {
            let done = match value {
                Some(value) => {
                    let hash = seal(account, &key, form, &value);
                    replace.execute(params![sql(account.0), key, form, hash, value])
                }
                None => delete.execute(params![sql(account.0), key]),
            };
            done.map_err(index::error)?;
        }
        Ok(())
    }

    fn clear(&self, account: AccountId, live: &mut Live) -> Result<(), Error> {
        let mut delete = self.prepare("DELETE FROM entry WHERE account = ?1")?;
        delete.execute([sql(account.0)]).map_err(index::error)?;
        self.remove_blobs(account, None, live)
    }

    /// Removes one blob or all of an account from the index; the octets they used become dead space.
    fn remove_blobs(&self, account: AccountId, id: Option<BlobId>, live: &mut Live) -> Result<(), Error> {
        let statement = match id {
            Some(_) => "DELETE FROM blob WHERE account = ?1 AND id = ?2 RETURNING id, form, hash, places",
            None => "DELETE FROM blob WHERE account = ?1 AND ?2 IS NULL RETURNING id, form, hash, places",
        };
        let mut delete = self.prepare(statement)?;
        let mut rows = delete.query((sql(account.0), id.map(|id| sql(id.0)))).map_err(index::error)?;
        while let Some(row) = rows.next().map_err(index::error)? {
            let (id, form, hash, places): (i64, i64, i64, Vec<u8>) = row.try_into().map_err(index::error)?;
            match Places::from_row(account, BlobId(id.cast_unsigned()), form, hash, &places) {
                Ok(places) => {
                    let gone = |(segment, bytes): (u32, u64)| *live.entry(segment).or_default() -= bytes.cast_signed();
                    places.footprint().for_each(gone);
                }
                // Its octets count as used for ever: rather too much space than a body too few.
                Err(e) => tracing::warn!(%e, "a blob was removed without knowing where it was"),
            }
        }
        Ok(())
    }

    /// Tells the index which segments there are.
    fn tell(&self, news: &[News]) -> Result<(), Error> {
        for event in news {
            let done = match *event {
                News::Created { id, mark } => {
                    self.prepare("INSERT INTO segment (id, mark) VALUES (?1, ?2)")?.execute((id, sql(mark)))
                }
                News::Sealed { id, end, group } => self
                    .prepare("UPDATE segment SET end = ?2, last_group = ?3 WHERE id = ?1")?
                    .execute((id, sql(end), sql(group))),
            };
            done.map_err(index::error)?;
        }
        Ok(())
    }

    /// At an orderly end: the next start need not look for the end of the segment.
    fn seal(&self) {
        if self.segments.writable().is_err() {
            return;
        }
        let mut news = self.segments.news();
        news.extend(self.segments.seal());
        let done =
            self.execute("BEGIN IMMEDIATE").and_then(|()| self.tell(&news)).and_then(|()| self.execute("COMMIT"));
        if let Err(e) = done {
            // Harmless: the next start looks for it.
            tracing::warn!(%e, "could not write down where the last segment ends");
        }
    }

    fn roll_back(&self) -> Result<(), Error> {
        // After some errors SQLite has rolled back already.
        if self.connection.is_autocommit() { Ok(()) } else { self.execute("ROLLBACK") }
    }

    pub(super) fn prepare(&self, statement: &str) -> Result<rusqlite::CachedStatement<'_>, Error> {
        self.connection.prepare_cached(statement).map_err(index::error)
    }

    pub(super) fn execute(&self, statement: &str) -> Result<(), Error> {
        self.prepare(statement)?.execute([]).map(drop).map_err(index::error)
    }
}

fn misuse(what: String) -> CommitError {
    CommitError::Failed(Error::Io(what.into()))
}

/// The octets that a batch brings, roughly.
fn size(batch: &Batch) -> usize {
    let account = |change: &AccountBatch| {
        let writes = change.essential.iter().chain(&change.derived);
        let keys: usize = writes.map(|w| w.key.len() + w.value.as_ref().map_or(0, Vec::len)).sum();
        keys + change.blobs.iter().map(record_len).sum::<usize>()
    };
    batch.accounts.iter().map(account).sum()
}

/// The octets of the record that names a blob.
fn record_len(blob: &NewBlob) -> usize {
    let uploaded = blob.upload.inner::<Uploaded>();
    if let Some(Uploaded::There { .. }) = uploaded {
        return 0;
    }
    let (pieces, body) = uploaded.map_or((0, 0), |uploaded| (uploaded.pieces(), uploaded.body().len()));
    HEADER_LEN + blob_meta_len(blob.label.len(), pieces) + body
}

/// The pieces of a body that begins at `offset`.
fn place(pieces: &[(u32, u64)], segment: u32, mut offset: u64) -> Vec<Piece> {
    let place = |&(len, hash): &(u32, u64)| {
        let piece = Piece { segment, offset, len, hash };
        offset += u64::from(len);
        piece
    };
    pieces.iter().map(place).collect()
}
