//! Gives the space of dropped blobs back to the disk, while everything else goes on.
//!
//! A segment in which much is dead is given up in steps, each durable before the next:
//!
//! 1. what is alive in it is copied into another segment (`copy`), which is synced;
//! 2. the index names the new places, in one commit for some of them at a time (`moved`);
//! 3. when nobody has a view that may name the old places, and SQLite has moved its log into its
//!    file, the old segment is removed, and then its row.
//!
//! Wherever this is cut, a body is where the index says it is; what is left over is dead space and
//! is found as such. A handle on a blob keeps its file open, so it can read on.
//!
//! What stays where it is: a segment that an upload may still be named in, the newest one (its
//! number must not be given out again), and one that holds something that can not be read. Such a
//! body is named, and stays; once nobody refers to it, its segment goes to `damaged/`.
//!
//! What stays until the next [copy](super::copies) of the index: a segment with commits that the newest one does not
//! have. With its journal nothing is lost if the index is. It goes where somebody asks for the space, or it is needed.

mod copy;
mod moved;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rusqlite::OptionalExtension;
use tokio::sync::oneshot;

use self::copy::{Copier, Living};
use super::indexer::Indexer;
use super::reader::Readers;
use super::segments::{Room, Segments};
use super::{Barrier, copies, index};
use crate::{Error, Reclaimed};

/// When space is given back, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Percent of a segment that must be dead for it to be given up by itself.
    pub dead_share: u64,
    /// Octets that are copied in a second at most.
    pub rate: u64,
    /// How often is looked, beginning with the start. `None`: only when asked.
    pub every: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self { dead_share: 50, rate: 16 << 20, every: Some(Duration::from_secs(60)) }
    }
}

/// Percent that must be dead when somebody asks, or when the disk is nearly full.
const DEAD_SHARE_AT_ONCE: u64 = 1;
/// Percent that must be dead of the segment that takes what comes in, for it to be ended early then.
const DEAD_SHARE_TO_ROLL: u64 = 10;
/// And octets: a segment without content is all dead.
const DEAD_TO_ROLL: u64 = 4096;
/// Octets that are copied between two commits of new places, roughly.
const BATCH: u64 = 1 << 20;
/// Octets that are alive in the segments of one round: bounds the list of blobs in memory.
const ROUND: u64 = 256 << 20;
/// How soon is looked again whether the last reader of an old segment has ended.
const SOON: Duration = Duration::from_secs(1);

/// What the thread shares with the engine.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    stopping: Mutex<bool>,
    changed: Condvar,
    /// Octets of segments that are gone.
    pub(crate) reclaimed: AtomicU64,
    /// Octets copied.
    pub(crate) copied: AtomicU64,
    /// Segments that wait for the last reader.
    pub(crate) waiting: AtomicU64,
}

impl Shared {
    /// Ends the work at the next step.
    pub(crate) fn stop(&self) {
        *self.stopping.lock() = true;
        self.changed.notify_all();
    }

    /// Waits, unless it is the end: then `true`.
    fn pause(&self, time: Duration) -> bool {
        let mut stopping = self.stopping.lock();
        if !*stopping && !time.is_zero() {
            self.changed.wait_for(&mut stopping, time);
        }
        *stopping
    }

    fn stopping(&self) -> bool {
        self.pause(Duration::ZERO)
    }
}

/// Somebody who wants it done now.
pub(crate) type Order = oneshot::Sender<Result<Reclaimed, Error>>;

/// The state of the thread.
pub(crate) struct Reclaimer {
    store: PathBuf,
    segments: Arc<Segments>,
    readers: Arc<Readers>,
    barrier: Barrier,
    options: Options,
    shared: Arc<Shared>,
    /// Not to be given up before the store is opened again.
    left: HashSet<u32>,
    /// Found to be damaged where something in them is in use. They stay for as long as it is.
    damaged: HashSet<u32>,
    retired: Vec<Retired>,
}

/// A segment that nobody refers to any more.
struct Retired {
    id: u32,
    octets: u64,
    /// Views that began before it may still want to open it.
    era: u64,
}

/// A segment that is worth giving up.
pub(crate) struct Victim {
    id: u32,
    live: u64,
    end: u64,
}

impl Reclaimer {
    /// With nothing to do yet.
    pub(crate) fn new(
        store: PathBuf,
        segments: Arc<Segments>,
        readers: Arc<Readers>,
        barrier: Barrier,
        options: Options,
        shared: Arc<Shared>,
    ) -> Self {
        let (left, damaged, retired) = Default::default();

        Self { store, segments, readers, barrier, options, shared, left, damaged, retired }
    }

    /// Until nobody can order any more.
    pub(crate) fn run(mut self, orders: &Receiver<Order>) {
        let mut next = self.options.every.map(|_| Duration::ZERO);
        loop {
            let order = match next {
                Some(time) => orders.recv_timeout(time),
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(order) => {
                    let done = self.pass(DEAD_SHARE_AT_ONCE);
                    // Nobody may be waiting any more.
                    drop(order.send(done));
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(error) = self.pass(self.options.dead_share)
                        && self.segments.writable().is_ok()
                    {
                        tracing::warn!(%error, "could not reclaim space");
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
            next = self.options.every.map(|every| if self.retired.is_empty() { every } else { every.min(SOON) });
        }
    }

    /// Gives up all segments of which at least this share is dead.
    fn pass(&mut self, dead_share: u64) -> Result<Reclaimed, Error> {
        let mut done = Reclaimed::default();
        let mut seen = HashSet::new();
        self.barrier.flush()?;
        self.remove_retired(&mut done)?;
        if dead_share == DEAD_SHARE_AT_ONCE || self.segments.room()? < Room::Blobs {
            self.roll()?;
        }
        while !self.shared.stopping() {
            let victims = match self.segments.room()? {
                Room::Blobs => self.choose(dead_share, ROUND, &seen)?,
                // Hardly any room for copies: one after the other.
                Room::Keys | Room::Nothing => self.choose(DEAD_SHARE_AT_ONCE, 0, &seen)?,
            };
            if victims.is_empty() {
                break;
            }
            seen.extend(victims.iter().map(|victim| victim.id));
            self.give_up(&victims, &mut done)?;
            self.remove_retired(&mut done)?;
        }
        done.waiting = self.retired.len() as u64;
        if done.segments > 0 {
            tracing::info!(segments = done.segments, octets = done.octets, copied = done.copied, "space reclaimed");
        }
        Ok(done)
    }

    /// Ends the segment that takes what comes in, where enough of it is dead, so that it can be given up.
    fn roll(&self) -> Result<(), Error> {
        let Some((id, end)) = self.segments.incoming() else { return Ok(()) };
        let live: Option<i64> = {
            let reading = self.readers.begin()?;
            let mut select = reading.prepare("SELECT live FROM segment WHERE id = ?1")?;
            select.query_row([id], |row| row.get(0)).optional().map_err(index::error)?
        };
        // Without a row nothing of it was ever named.
        let dead = live.map_or(0, |live| end.saturating_sub(live.max(0).cast_unsigned()));
        if dead < DEAD_TO_ROLL || dead.saturating_mul(100) < DEAD_SHARE_TO_ROLL.saturating_mul(end) {
            return Ok(());
        }
        self.segments.roll()?;
        // The index has to know that it has ended.
        self.barrier.work(|indexer| indexer.move_blobs(&[]))
    }

    /// Segments that are worth giving up, those with the least to copy first: one, and more where
    /// all together have no more than `most` octets to copy.
    fn choose(&self, dead_share: u64, most: u64, seen: &HashSet<u32>) -> Result<Vec<Victim>, Error> {
        self.segments.writable()?;
        let copied = if dead_share == DEAD_SHARE_AT_ONCE { None } else { copies::covered(&self.store) };
        let mut victims: Vec<Victim> = {
            let reading = self.readers.begin()?;
            // What the index has forgotten is still to be found in the segments.
            let mut recovery = reading.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'recovery'")?;
            if recovery.exists([]).map_err(index::error)? {
                return Ok(vec![]);
            }
            let mut select = reading.prepare(
                "SELECT id, live, end FROM segment
                WHERE end IS NOT NULL AND (live > 0 OR id < (SELECT max(id) FROM segment))
                    AND (?1 IS NULL OR last_group IS NULL OR last_group <= ?1)",
            )?;
            let rows = select.query_map([copied.map(index::sql)], |row| {
                let (live, end): (i64, i64) = (row.get(1)?, row.get(2)?);
                Ok(Victim { id: row.get(0)?, live: live.max(0).cast_unsigned(), end: end.cast_unsigned() })
            });
            rows.and_then(Iterator::collect).map_err(index::error)?
        };
        let excluded = |victim: &Victim| {
            let id = &victim.id;
            let damaged = victim.live > 0 && self.damaged.contains(id);
            damaged || seen.contains(id) || self.left.contains(id) || self.retired.iter().any(|r| r.id == *id)
        };
        // A segment whose dead octets are few is not worth it, whatever its size.
        let dead = |victim: &Victim| victim.end.saturating_sub(victim.live).saturating_mul(100);
        victims.retain(|v| !excluded(v) && (v.live == 0 || dead(v) >= dead_share.max(1).saturating_mul(v.end)));
        // A nearly full disk must not be filled by what is to empty it.
        let room = self.segments.room_for_copies()?;
        let found = victims.len();
        victims.retain(|victim| victim.live <= room);
        if victims.is_empty() && found > 0 && seen.is_empty() {
            return Err(Error::Full);
        }
        // Only now, so that whoever is no longer pinned has committed what the next reading sees.
        victims.retain(|victim| !self.segments.is_pinned(victim.id));
        victims.sort_unstable_by_key(|victim| victim.live);
        let (mut count, mut live) = (0, 0);
        let fits = |victim: &Victim| {
            count += 1;
            live += victim.live;
            count == 1 || live <= most
        };
        Ok(victims.into_iter().take_while(fits).collect())
    }

    /// Copies what is alive, has the index name the copies, and retires what nobody needs then.
    fn give_up(&mut self, victims: &[Victim], done: &mut Reclaimed) -> Result<(), Error> {
        let ids: HashSet<u32> = victims.iter().map(|victim| victim.id).collect();
        let (living, marks) = copy::living(&self.readers.begin()?, &ids)?;
        let copier = Copier { segments: Arc::clone(&self.segments), marks, victims: &ids };
        let mut living = living.iter();
        while living.len() > 0 {
            if self.shared.stopping() {
                return Ok(());
            }
            let began = Instant::now();
            let copied = self.batch(&copier, &mut living, done)?;
            let pace = Duration::from_secs_f64(copied as f64 / self.options.rate.max(1) as f64);
            self.shared.pause(pace.saturating_sub(began.elapsed()));
        }
        self.retire(victims)
    }

    /// Copies a few blobs and has the index name the copies. The octets that were copied.
    fn batch<'a>(
        &mut self,
        copier: &Copier<'_>,
        living: &mut impl Iterator<Item = &'a Living>,
        done: &mut Reclaimed,
    ) -> Result<u64, Error> {
        let mut copies = copy::Copies::default();
        while copies.octets < BATCH
            && let Some(blob) = living.next()
        {
            if let Err(damage) = copier.copy(blob, &mut copies)? {
                tracing::error!(%damage, "a body can not be read; its segment stays");
                let concerned = blob.places.footprint().map(|(segment, _)| segment);
                let concerned: Vec<u32> = concerned.filter(|id| copier.victims.contains(id)).collect();
                self.damaged.extend(&concerned);
                done.damaged.push(damage);
            }
        }
        copies.sync(&self.segments)?;
        let (octets, moves) = (copies.octets, copies.moves);
        self.barrier.work(move |indexer| indexer.move_blobs(&moves))?;
        self.shared.copied.fetch_add(octets, Ordering::Relaxed);
        done.copied += octets;
        Ok(octets)
    }

    /// Those that nobody refers to any more.
    fn retire(&mut self, victims: &[Victim]) -> Result<(), Error> {
        let ids: Vec<u32> = victims.iter().map(|victim| victim.id).collect();
        let empty = self.barrier.work(move |indexer| indexer.empty_segments(&ids))?;
        // From now on nobody begins to read who could still see the old places.
        let era = self.readers.turn();
        for Victim { id, end, .. } in victims {
            if empty.contains(id) {
                self.retired.push(Retired { id: *id, octets: *end, era });
            } else if !self.damaged.contains(id) {
                // In use in a way that we do not see: it stays.
                self.left.insert(*id);
            }
        }
        self.shared.waiting.store(self.retired.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Removes the files that nobody can want to open any more.
    fn remove_retired(&mut self, done: &mut Reclaimed) -> Result<(), Error> {
        let readers = Arc::clone(&self.readers);
        if !self.retired.iter().any(|segment| readers.ended(segment.era)) || !self.barrier.work(Indexer::settle)? {
            return Ok(());
        }
        let (gone, waiting) = self.retired.drain(..).partition(|segment: &Retired| readers.ended(segment.era));
        self.retired = waiting;
        for Retired { id, octets, .. } in gone {
            let removed =
                if self.damaged.contains(&id) { self.segments.set_aside(id) } else { self.segments.remove(id) };
            match removed {
                Ok(()) => {
                    self.barrier.work(move |indexer| indexer.forget_segment(id))?;
                    self.shared.reclaimed.fetch_add(octets, Ordering::Relaxed);
                    done.segments += 1;
                    done.octets += octets;
                }
                Err(error) => {
                    // It is dead space until the store is opened again.
                    tracing::warn!(%error, "a segment stays");
                    self.left.insert(id);
                    self.segments.writable()?;
                }
            }
        }
        self.shared.waiting.store(self.retired.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// What segments are marked with.
pub(crate) type Marks = HashMap<u32, u64>;
