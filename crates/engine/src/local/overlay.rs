//! What is committed and not yet in the index: in memory, and in the journal of the segments.
//!
//! Two layers lie over the index. The *active* one takes what is committed now. From time to time it is
//! [frozen](Overlay::freeze), and becomes part of the index in one transaction, which says so (`flushed`);
//! a new one begins. The frozen layer stays until that is done, and for those who hold it.
//!
//! * A view takes the layers above the state of the index that it sees ([`Overlay::over`]), and so has all
//!   of an account's state as of one commit, whenever it looks.
//! * A value has the number of the commit that wrote it. A view looks no further than the commit that it
//!   shows; values that no view can see any more are let go.

use std::collections::{BTreeMap, HashMap};
use std::ops::{Bound, Range};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use types::AccountId;

use super::index::Places;
use super::journal::{Change, Value};
use super::segments::Segment;
use crate::{BlobId, CommitNumber};

/// See the module.
pub(crate) struct Overlay(Mutex<Layers>);

struct Layers {
    active: Layer,
    frozen: Arc<Layer>,
}

/// What some groups have changed, account by account.
pub(crate) struct Layer {
    /// The last group below it.
    base: u64,
    /// The last group that is in it.
    pub(crate) last: u64,
    pub(crate) accounts: HashMap<AccountId, Arc<Account>>,
    /// Octets of memory, roughly.
    size: usize,
    /// What it names in segments must not be taken for dead space before the index names it.
    pins: Mutex<HashMap<u32, Arc<Segment>>>,
}

/// What a layer has of an account.
#[derive(Default)]
pub(crate) struct Account(RwLock<State>);

#[derive(Default)]
struct State {
    number: CommitNumber,
    /// The commits that have cleared the account, ascending: what is older counts no more.
    clears: Vec<CommitNumber>,
    entries: BTreeMap<Arc<[u8]>, Versions<Value>>,
    blobs: BTreeMap<BlobId, Versions<Arc<Places>>>,
}

/// What commits have made of something, ascending; `None` where it is gone.
type Versions<T> = Vec<(CommitNumber, Option<T>)>;

/// What the map of a value takes besides its octets, roughly.
const OVERHEAD: usize = 150;

impl Overlay {
    /// Over an index that has everything up to group `flushed`.
    pub(crate) fn new(flushed: u64) -> Self {
        Self(Mutex::new(Layers { active: Layer::new(flushed), frozen: Arc::new(Layer::new(flushed)) }))
    }

    /// What lies over the index for a view of an account, where the index has everything up to group
    /// `flushed` and the account is at `number`. `None` if the view has waited for so long that it must begin again.
    pub(crate) fn over(&self, flushed: u64, account: AccountId, number: CommitNumber) -> Option<Over> {
        let layers = self.0.lock();
        let upper = layers.active.accounts.get(&account).cloned();
        let lower = match flushed {
            _ if flushed == layers.active.base => None,
            _ if flushed == layers.frozen.base => layers.frozen.accounts.get(&account).cloned(),
            _ => return None,
        };
        let number = [&upper, &lower].into_iter().flatten().next().map_or(number, |newest| newest.0.read().number);
        Some(Over { layers: [upper, lower], number })
    }

    /// Takes a group that is durable. `pins` are the segments that it names.
    pub(crate) fn publish(&self, group: u64, changes: Vec<Change>, pins: HashMap<u32, Arc<Segment>>) {
        let mut layers = self.0.lock();
        layers.active.last = group;
        layers.active.pins.lock().extend(pins);
        changes.into_iter().for_each(|change| layers.active.apply(change));
    }

    /// The value that the active layer has of a key.
    pub(crate) fn recent(&self, account: AccountId, key: &[u8]) -> Option<Value> {
        self.0.lock().active.recent(account, key)
    }

    /// Whether an account has a blob, where the layers know.
    pub(crate) fn has_blob(&self, account: AccountId, id: BlobId) -> Option<bool> {
        let layers = self.0.lock();
        let find = |layer: &Layer| layer.accounts.get(&account)?.0.read().blob(id, CommitNumber(u64::MAX));
        find(&layers.active).or_else(|| find(&layers.frozen)).map(|found| found.is_some())
    }

    /// Octets of memory that the active layer takes, roughly.
    pub(crate) fn size(&self) -> usize {
        self.0.lock().active.size()
    }

    /// Freezes the active layer, for the index. Everything that was frozen before must be in the index.
    /// `None` where there is nothing in it.
    pub(crate) fn freeze(&self) -> Option<Arc<Layer>> {
        let mut layers = self.0.lock();
        if layers.active.last == layers.active.base {
            return None;
        }
        let next = Layer::new(layers.active.last);
        let frozen = Arc::new(std::mem::replace(&mut layers.active, next));
        layers.frozen = Arc::clone(&frozen);
        Some(frozen)
    }

    /// Lets go of the frozen layer, which is in the index. A view that has seen the index of before, and has not
    /// taken its layers yet, begins again.
    pub(crate) fn release(&self) {
        let mut layers = self.0.lock();
        layers.frozen = Arc::new(Layer::new(layers.active.base));
    }
}

impl Layer {
    /// Without content, over what group `base` has left.
    pub(crate) fn new(base: u64) -> Self {
        Self { base, last: base, accounts: HashMap::new(), size: 0, pins: Mutex::default() }
    }

    /// Takes what a commit has done to an account.
    pub(crate) fn apply(&mut self, change: Change) {
        let account = self.accounts.entry(change.account).or_default();
        // Where nobody looks, the newest is enough.
        let watched = Arc::strong_count(account) > 1;
        let mut state = account.0.write();
        let (before, after) = state.apply(change, watched);
        self.size = (self.size + after).saturating_sub(before);
    }

    /// Octets of memory that it takes, roughly.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// It is in the index.
    pub(crate) fn unpin(&self) {
        self.pins.lock().clear();
    }

    /// The value that it has of a key.
    pub(crate) fn recent(&self, account: AccountId, key: &[u8]) -> Option<Value> {
        self.accounts.get(&account)?.0.read().entry(key, CommitNumber(u64::MAX))?
    }
}

impl Account {
    /// Calls `each` with what there is to do in the index: all at once, under a lock.
    pub(crate) fn each<E>(&self, mut each: impl FnMut(Step<'_>) -> Result<(), E>) -> Result<(), E> {
        let state = self.0.read();
        each(Step::Number(state.number))?;
        if !state.clears.is_empty() {
            each(Step::Clear)?;
        }
        let newest = CommitNumber(u64::MAX);
        for (key, versions) in &state.entries {
            if let Some(value) = state.visible(versions, newest) {
                each(Step::Entry(key, value.as_ref()))?;
            }
        }
        // Dropped blobs first, so that nothing is counted twice.
        let mut blobs: Vec<_> =
            state.blobs.iter().filter_map(|(id, v)| Some((*id, state.visible(v, newest)?))).collect();
        blobs.sort_by_key(|(_, places)| places.is_some());
        blobs.into_iter().try_for_each(|(id, places)| each(Step::Blob(id, places.as_deref())))
    }
}

/// What a layer does to an account in the index.
pub(crate) enum Step<'a> {
    /// It is at this commit now.
    Number(CommitNumber),
    /// All of it goes.
    Clear,
    /// A key has a value, or goes.
    Entry(&'a [u8], Option<&'a Value>),
    /// A blob comes or goes.
    Blob(BlobId, Option<&'a Places>),
}

impl State {
    /// How much memory was given back and taken, roughly.
    fn apply(&mut self, change: Change, watched: bool) -> (usize, usize) {
        let number = change.number;
        let (mut given, mut taken) = (0, 0);
        self.number = number;
        if change.clear {
            self.clears.push(number);
            if !watched {
                let values = self.entries.iter().map(|(key, versions)| size(key, versions)).sum::<usize>();
                given += values + self.blobs.len() * OVERHEAD;
                self.clears.drain(..self.clears.len() - 1);
                (self.entries, self.blobs) = Default::default();
            }
        }
        for (key, value) in change.writes {
            if let Some(versions) = self.entries.get_mut(&key) {
                given += size(&key, versions);
                set(versions, number, value, watched);
                taken += size(&key, versions);
            } else {
                let versions = vec![(number, value)];
                taken += size(&key, &versions);
                self.entries.insert(key, versions);
            }
        }
        let dropped = change.dropped.into_iter().map(|id| (id, None));
        for (id, places) in dropped.chain(change.blobs.into_iter().map(|(id, places)| (id, Some(places)))) {
            set(self.blobs.entry(id).or_default(), number, places, watched);
            taken += OVERHEAD;
        }
        (given, taken)
    }

    /// What a view of commit `at` sees of something: `None` where it is not in this layer.
    fn visible<'a, T>(&self, versions: &'a Versions<T>, at: CommitNumber) -> Option<&'a Option<T>> {
        let (number, value) = versions.iter().rfind(|(number, _)| *number <= at)?;
        // A commit clears before it writes.
        self.cleared(at).is_none_or(|clear| clear <= *number).then_some(value)
    }

    /// The last commit up to `at` that has cleared the account.
    fn cleared(&self, at: CommitNumber) -> Option<CommitNumber> {
        self.clears.iter().copied().rfind(|clear| *clear <= at)
    }

    /// `Some(None)` where it is known to be gone.
    fn entry(&self, key: &[u8], at: CommitNumber) -> Option<Option<Value>> {
        let found = self.entries.get(key).and_then(|versions| self.visible(versions, at)).cloned();
        found.or_else(|| self.cleared(at).map(|_| None))
    }

    fn blob(&self, id: BlobId, at: CommitNumber) -> Option<Option<Arc<Places>>> {
        let found = self.blobs.get(&id).and_then(|versions| self.visible(versions, at)).cloned();
        found.or_else(|| self.cleared(at).map(|_| None))
    }
}

fn set<T>(versions: &mut Versions<T>, number: CommitNumber, value: Option<T>, watched: bool) {
    if !watched {
        versions.clear();
    }
    versions.push((number, value));
}

fn size(key: &[u8], versions: &Versions<Value>) -> usize {
    let one = |value: &Option<Value>| OVERHEAD + value.as_ref().map_or(0, |value| value.bytes.len());
    versions.iter().map(|(_, value)| one(value) + key.len()).sum()
}

/// What lies over the index for one view of one account.
pub(crate) struct Over {
    /// The upper one first.
    layers: [Option<Arc<Account>>; 2],
    /// The commit that the view shows.
    pub(crate) number: CommitNumber,
}

impl Over {
    /// Over an index that says everything itself.
    pub(crate) fn nothing(number: CommitNumber) -> Self {
        Self { layers: [None, None], number }
    }

    fn layers(&self) -> impl Iterator<Item = &Account> {
        self.layers.iter().flatten().map(Arc::as_ref)
    }

    /// The value of a key, or `Some(None)` where it is known to have none. `None`: the index knows.
    pub(crate) fn entry(&self, key: &[u8]) -> Option<Option<Value>> {
        self.layers().find_map(|account| account.0.read_recursive().entry(key, self.number))
    }

    /// The places of a blob, as [`Over::entry`].
    pub(crate) fn blob(&self, id: BlobId) -> Option<Option<Arc<Places>>> {
        self.layers().find_map(|account| account.0.read_recursive().blob(id, self.number))
    }

    /// True where nothing of the account in the index counts any more.
    pub(crate) fn hides_index(&self) -> bool {
        self.layers().any(|account| account.0.read_recursive().cleared(self.number).is_some())
    }

    /// The blobs that a layer knows something of, ascending, and whether they are there.
    pub(crate) fn blobs(&self) -> BTreeMap<BlobId, bool> {
        let mut known: Vec<BlobId> = Vec::new();
        self.layers().for_each(|account| known.extend(account.0.read_recursive().blobs.keys()));
        known.into_iter().filter_map(|id| Some((id, self.blob(id)?.is_some()))).collect()
    }

    /// The first key from `start` on, and before `end`, that has a value in a layer.
    pub(crate) fn first(&self, start: Bound<&[u8]>, end: &[u8]) -> Option<(Arc<[u8]>, Value)> {
        let mut passed: Option<Arc<[u8]>> = None;
        loop {
            let start = passed.as_deref().map_or(start, Bound::Excluded);
            let key = self.next(start, end, |keys| keys.next()).min()?;
            if let Some(Some(value)) = self.entry(&key) {
                return Some((key, value));
            }
            passed = Some(key);
        }
    }

    /// The last key in `range` that has a value in a layer.
    pub(crate) fn last(&self, range: Range<&[u8]>) -> Option<(Arc<[u8]>, Value)> {
        let mut passed: Option<Arc<[u8]>> = None;
        loop {
            let end = passed.as_deref().unwrap_or(range.end);
            let key = self.next(Bound::Included(range.start), end, |keys| keys.next_back()).max()?;
            if let Some(Some(value)) = self.entry(&key) {
                return Some((key, value));
            }
            passed = Some(key);
        }
    }

    /// What `take` takes of the keys of each layer, whatever became of them.
    fn next<'a>(
        &'a self,
        start: Bound<&'a [u8]>,
        end: &'a [u8],
        take: impl Fn(&mut dyn DoubleEndedIterator<Item = Arc<[u8]>>) -> Option<Arc<[u8]>> + 'a,
    ) -> impl Iterator<Item = Arc<[u8]>> + 'a {
        // The map panics on a range that ends before it starts.
        let holds = matches!(start, Bound::Included(s) | Bound::Excluded(s) if s < end);
        self.layers().filter(move |_| holds).filter_map(move |account| {
            let state = account.0.read_recursive();
            take(&mut state.entries.range::<[u8], _>((start, Bound::Excluded(end))).map(|(key, _)| Arc::clone(key)))
        })
    }
}
