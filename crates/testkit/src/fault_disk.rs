//! A disk in memory that fails as disks do, for the segment files of `engine::local`.
//!
//! It keeps two images: the *live* one, which reads see, and the *durable* one, which a power cut
//! leaves. A write is durable after a sync of its file, a name (that came, went or changed) after a
//! sync of its directory. What was not synced when the power goes may be there wholly, in part
//! (torn at any sector, a sector in the middle still zero), or not at all, whatever was written
//! before or after it. A rename happens or does not.
//!
//! Any call can be made to fail, once, some times or from then on, with any error; a write that
//! fails may leave its first half. With a capacity the disk is full when its files fill it.
//!
//! After a failed sync the writes that it should have made durable are forgotten by the next sync,
//! as Linux forgets them.
//!
//! SQLite's file is not on this disk. A crash test therefore takes a copy of it at the moment of
//! the cut ([`FaultDisk::cut_at`]): SQLite syncs its log before a commit returns, so the copy is
//! what a power cut leaves of it, except that a cut in the middle of SQLite's own writes is left to
//! SQLite's tests.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::disk::{Disk, DiskFile};
use parking_lot::Mutex;

/// See the module's description. Clones are the same disk.
#[derive(Clone)]
pub struct FaultDisk(Arc<Mutex<State>>);

/// The calls that can be made to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// [`Disk::create_dir`]
    CreateDir,
    /// [`Disk::create`]
    Create,
    /// [`Disk::open`]
    Open,
    /// [`Disk::list`]
    List,
    /// [`Disk::rename`]
    Rename,
    /// [`Disk::link`]
    Link,
    /// [`Disk::remove`]
    Remove,
    /// [`Disk::free`]
    Free,
    /// [`DiskFile::write_at`]
    Write,
    /// [`DiskFile::read_at`]
    Read,
    /// [`DiskFile::len`]
    Len,
    /// [`DiskFile::cut`]
    Cut,
    /// [`DiskFile::sync`]
    Sync,
    /// [`Disk::sync_dir`]
    SyncDir,
}

/// How a call fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Which.
    pub call: Call,
    /// With what.
    pub error: ErrorKind,
    /// So many such calls succeed first.
    pub after: u64,
    /// How many fail then.
    pub times: u64,
    /// A write that fails leaves its first half.
    pub short: bool,
}

impl Fault {
    /// The next such call fails, once.
    pub fn next(call: Call, error: ErrorKind) -> Self {
        Self { call, error, after: 0, times: 1, short: false }
    }

    /// Every such call fails from now on.
    pub fn all(call: Call, error: ErrorKind) -> Self {
        Self { times: u64::MAX, ..Self::next(call, error) }
    }
}

struct State {
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since their directories were synced.
    unsynced_names: Vec<NameChange>,
    files: Vec<Content>,
    free: u64,
    /// Octets that all files together can have.
    capacity: Option<u64>,
    random: Random,
    faults: Vec<Fault>,
    /// Changing calls so far.
    operations: u64,
    cut_at: Option<u64>,
    at_cut: Option<Box<dyn FnOnce() + Send>>,
    power: bool,
}

enum NameChange {
    Create(PathBuf, usize),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl NameChange {
    fn touches(&self, dir: &Path) -> bool {
        let inside = |path: &Path| path.parent() == Some(dir);
        match self {
            Self::Create(path, _) | Self::Remove(path) => inside(path),
            Self::Rename(from, to) => inside(from) || inside(to),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Create(path, file) => drop(names.insert(path.clone(), *file)),
            Self::Remove(path) => drop(names.remove(path)),
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

#[derive(Clone, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Since the last sync.
    unsynced: Vec<Unsynced>,
}

#[derive(Clone)]
enum Unsynced {
    /// So many octets are left.
    Cut(usize),
    /// Octets from an offset on.
    Write(u64, Vec<u8>),
}

const SECTOR: usize = 512;

impl FaultDisk {
    /// An empty disk without faults. `seed` decides what becomes of what is not synced.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State::empty(seed))))
    }

    /// How many calls have changed something, or tried to.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// The power goes at the start of the changing call number `operation` (from 1), which fails as
    /// does every call after it. `at_cut` is called first.
    pub fn cut_at(&self, operation: u64, at_cut: impl FnOnce() + Send + 'static) {
        let mut state = self.0.lock();
        state.cut_at = Some(operation);
        state.at_cut = Some(Box::new(at_cut));
    }

    /// True after the power has gone.
    pub fn is_cut(&self) -> bool {
        !self.0.lock().power
    }

    /// The disk when the power is back: what was durable, and some of what was not.
    pub fn after_cut(&self) -> Self {
        let mut state = self.0.lock();
        let State { durable_names, unsynced_names, files, random, .. } = &mut *state;
        let mut kept = durable_names.clone();
        unsynced_names.iter().filter(|_| random.chance(2)).for_each(|change| change.apply(&mut kept));
        let mut left = |content: &Content| {
            let mut image = content.durable.clone();
            content.unsynced.iter().for_each(|change| keep_some(&mut image, change, random));
            Content { live: image.clone(), durable: image, unsynced: Vec::new() }
        };
        let files = files.iter().map(&mut left).collect();
        let seed = random.number();
        let capacity = state.capacity;
        let after = State { names: kept.clone(), durable_names: kept, files, capacity, ..State::empty(seed) };
        Self(Arc::new(Mutex::new(after)))
    }

    /// Makes calls fail.
    pub fn fail(&self, fault: Fault) {
        self.0.lock().faults.push(fault);
    }

    /// No call fails any more.
    pub fn heal(&self) {
        self.0.lock().faults.clear();
    }

    /// How many octets the disk says are free.
    pub fn set_free(&self, octets: u64) {
        self.0.lock().free = octets;
    }

    /// The files together can have so many octets; a write that does not fit fails.
    pub fn set_capacity(&self, octets: u64) {
        self.0.lock().capacity = Some(octets);
    }

    /// How many octets the files that have a name take.
    pub fn used(&self) -> u64 {
        self.0.lock().used()
    }

    /// The paths of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.0.lock().names.keys().cloned().collect()
    }

    /// What a file holds.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.0.lock();
        state.files.get(*state.names.get(path)?).map(|content| content.live.clone())
    }

    /// Turns the bits of one octet around, as a failing medium would.
    pub fn damage(&self, path: &Path, offset: usize) {
        let mut state = self.0.lock();
        let Some(&file) = state.names.get(path) else { return };
        let Some(Content { live, durable, .. }) = state.files.get_mut(file) else { return };
        for image in [live, durable] {
            if let Some(octet) = image.get_mut(offset) {
                *octet = !*octet;
            }
        }
    }

    /// Counts a changing call; says no when the power is off or the call shall fail.
    fn change(&self, call: Option<Call>) -> Result<(), Failure> {
        let mut state = self.0.lock();
        state.operations += 1;
        if state.power && state.cut_at == Some(state.operations) {
            // What stands in SQLite's files is looked at while the disk waits.
            let at_cut = state.at_cut.take();
            drop(state);
            if let Some(at_cut) = at_cut {
                at_cut();
            }
            state = self.0.lock();
            state.power = false;
            return Err(Failure { error: no_power(), part: Part::Maybe });
        }
        state.check(call)
    }
}

/// A call that fails, and what becomes of a write.
struct Failure {
    error: io::Error,
    part: Part,
}

enum Part {
    /// Nothing of it is there.
    None,
    /// The first half is there.
    Half,
    /// It counts as written and not synced.
    Maybe,
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl State {
    fn empty(seed: u64) -> Self {
        Self {
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            files: Vec::new(),
            free: u64::MAX,
            capacity: None,
            random: Random::new(seed),
            faults: Vec::new(),
            operations: 0,
            cut_at: None,
            at_cut: None,
            power: true,
        }
    }

    fn check(&mut self, call: Option<Call>) -> Result<(), Failure> {
        if !self.power {
            return Err(Failure { error: no_power(), part: Part::None });
        }
        let Some(fault) = self.faults.iter_mut().find(|fault| Some(fault.call) == call && fault.times > 0) else {
            return Ok(());
        };
        if fault.after > 0 {
            fault.after -= 1;
            return Ok(());
        }
        fault.times -= 1;
        let part = if fault.short { Part::Half } else { Part::None };
        Err(Failure { error: fault.error.into(), part })
    }

    /// A name appears, goes or changes.
    fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    fn used(&self) -> u64 {
        self.names.values().filter_map(|file| self.files.get(*file)).map(|content| content.live.len() as u64).sum()
    }

    /// True where a write makes a file longer than there is room for.
    fn is_full(&self, file: usize, end: u64) -> bool {
        let len = self.files.get(file).map_or(0, |content| content.live.len() as u64);
        self.capacity.is_some_and(|capacity| self.used() + end.saturating_sub(len) > capacity)
    }

    fn file(&mut self, file: usize) -> io::Result<&mut Content> {
        self.files.get_mut(file).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

fn no_power() -> io::Error {
    io::Error::other("the power is off")
}

impl Content {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        put(&mut self.live, offset, bytes);
        self.unsynced.push(Unsynced::Write(offset, bytes.to_vec()));
    }

    fn cut(&mut self, len: u64) {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.live.truncate(len);
        self.unsynced.push(Unsynced::Cut(len));
    }
}

fn put(image: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = usize::try_from(offset).expect("the test fits in memory");
    let end = start + bytes.len();
    if image.len() < end {
        image.resize(end, 0);
    }
    if let Some(place) = image.get_mut(start..end) {
        place.copy_from_slice(bytes);
    }
}

/// What is left of a change that was not synced.
fn keep_some(image: &mut Vec<u8>, change: &Unsynced, random: &mut Random) {
    let (offset, bytes) = match change {
        Unsynced::Write(offset, bytes) => (*offset, bytes),
        Unsynced::Cut(len) if random.chance(2) => return image.truncate(*len),
        Unsynced::Cut(_) => return,
    };
    match random.below(4) {
        // Nothing; the file may be longer all the same.
        0 => {
            if random.chance(2) {
                let zeros = vec![0; bytes.len()];
                put(image, offset, &zeros);
            }
        }
        // All.
        1 => put(image, offset, bytes),
        // The beginning.
        2 => put(image, offset, bytes.get(..random.below(bytes.len() as u64 + 1) as usize).unwrap_or_default()),
        // All but some sectors.
        _ => {
            let mut bytes = bytes.to_vec();
            bytes.chunks_mut(SECTOR).filter(|_| random.chance(3)).for_each(|sector| sector.fill(0));
            put(image, offset, &bytes);
        }
    }
}

impl Disk for FaultDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(self.0.lock().check(Some(Call::CreateDir))?)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.change(Some(Call::Create))?;
        let mut state = self.0.lock();
        if state.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(Content::default());
        state.rename(NameChange::Create(path.to_owned(), file));
        Ok(Arc::new(FaultFile { disk: self.clone(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.0.lock();
        state.check(Some(Call::Open))?;
        let file = *state.names.get(path).ok_or(ErrorKind::NotFound)?;
        Ok(Arc::new(FaultFile { disk: self.clone(), file }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut state = self.0.lock();
        state.check(Some(Call::List))?;
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(Some(Call::Rename))?;
        let mut state = self.0.lock();
        if !state.names.contains_key(from) {
            return Err(ErrorKind::NotFound.into());
        }
        state.rename(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(Some(Call::Link))?;
        let mut state = self.0.lock();
        let file = *state.names.get(from).ok_or(ErrorKind::NotFound)?;
        if state.names.contains_key(to) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.rename(NameChange::Create(to.to_owned(), file));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(Some(Call::Remove))?;
        let mut state = self.0.lock();
        if !state.names.contains_key(path) {
            return Err(ErrorKind::NotFound.into());
        }
        state.rename(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.change(Some(Call::SyncDir))?;
        let mut state = self.0.lock();
        let State { names, durable_names, unsynced_names, .. } = &mut *state;
        durable_names.retain(|path, _| path.parent() != Some(dir));
        let inside = names.iter().filter(|(path, _)| path.parent() == Some(dir));
        durable_names.extend(inside.map(|(path, file)| (path.clone(), *file)));
        // A rename is durable as a whole.
        for change in unsynced_names.iter().filter(|change| change.touches(dir)) {
            if let NameChange::Rename(from, to) = change {
                durable_names.remove(from);
                durable_names.extend(names.get(to).map(|file| (to.clone(), *file)));
            }
        }
        unsynced_names.retain(|change| !change.touches(dir));
        Ok(())
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        let mut state = self.0.lock();
        state.check(Some(Call::Free))?;
        Ok(state.capacity.map_or(state.free, |capacity| capacity.saturating_sub(state.used())))
    }
}

struct FaultFile {
    disk: FaultDisk,
    file: usize,
}

impl DiskFile for FaultFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut result = self.disk.change(Some(Call::Write));
        if result.is_ok() && self.disk.0.lock().is_full(self.file, offset + bytes.len() as u64) {
            result = Err(Failure { error: ErrorKind::StorageFull.into(), part: Part::None });
        }
        let written = match &result {
            Ok(()) | Err(Failure { part: Part::Maybe, .. }) => bytes,
            Err(Failure { part: Part::Half, .. }) => bytes.get(..bytes.len() / 2).unwrap_or_default(),
            Err(Failure { part: Part::None, .. }) => &[],
        };
        self.disk.0.lock().file(self.file)?.write(offset, written);
        Ok(result?)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.check(Some(Call::Read))?;
        let live = &state.file(self.file)?.live;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = live.get(start..start.saturating_add(bytes.len())).ok_or(ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(found);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let result = self.disk.change(Some(Call::Sync));
        let mut state = self.disk.0.lock();
        let State { files, random, power, .. } = &mut *state;
        let content = files.get_mut(self.file).ok_or(ErrorKind::NotFound)?;
        match result {
            Ok(()) => {
                for change in std::mem::take(&mut content.unsynced) {
                    match change {
                        Unsynced::Write(offset, bytes) => put(&mut content.durable, offset, &bytes),
                        Unsynced::Cut(len) => content.durable.truncate(len),
                    }
                }
            }
            // The next sync must not make durable what this one did not.
            Err(_) if *power => {
                for change in std::mem::take(&mut content.unsynced) {
                    keep_some(&mut content.durable, &change, random);
                }
            }
            Err(_) => {}
        }
        Ok(result?)
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.disk.change(Some(Call::Cut))?;
        self.disk.0.lock().file(self.file)?.cut(len);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.0.lock();
        state.check(Some(Call::Len))?;
        Ok(state.file(self.file)?.live.len() as u64)
    }
}

impl fmt::Debug for FaultDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultDisk")
    }
}

impl fmt::Debug for FaultFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultFile({})", self.file)
    }
}

/// Numbers that look random and are the same each time (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers that belong to `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }

    /// True once in `of` times.
    pub fn chance(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    /// So many octets.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len + 8);
        while out.len() < len {
            out.extend_from_slice(&self.number().to_le_bytes());
        }
        out.truncate(len);
        out
    }

    /// Octets of which a quarter can be spared.
    pub fn text(&mut self, len: usize) -> Vec<u8> {
        self.bytes(len).into_iter().map(|octet| octet & 0x3f).collect()
    }
}
