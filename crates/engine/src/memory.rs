//! The engine that forgets: for tests, and for trying things out.
//!
//! A commit is applied inside [`Engine::commit`], so that what depends on it is deterministic under
//! a paused clock. An account is one shared value: a view holds it as it is, and a commit copies it
//! only while a view is looking at it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::{Bound, Range};
use std::sync::Arc;

use parking_lot::Mutex;
use types::AccountId;

use crate::{
    AccountBatch, Batch, Blob, BlobId, BlobWriter, CommitError, CommitNumber, Each, Engine, Entry, Error, NewBlob,
    Pending, ReadView, Upload, Write,
};

/// An engine without a disk.
#[derive(Default)]
pub struct Memory {
    accounts: Mutex<HashMap<AccountId, Arc<Account>>>,
}

/// What one account holds. Cloning copies the maps, never the contents.
#[derive(Clone, Default)]
struct Account {
    number: CommitNumber,
    keys: BTreeMap<Arc<[u8]>, Arc<[u8]>>,
    blobs: BTreeMap<BlobId, Bytes>,
}

#[derive(Clone)]
struct Bytes(Arc<Vec<u8>>);

impl Memory {
    /// An empty engine.
    pub fn new() -> Self {
        Self::default()
    }

    fn apply(&self, batch: Batch) -> Result<(), CommitError> {
        let mut accounts = self.accounts.lock();
        let mut named = HashSet::new();
        for change in &batch.accounts {
            let account = accounts.get(&change.account);
            if account.map_or(CommitNumber(0), |a| a.number) != change.expect {
                return Err(CommitError::Conflict);
            }
            if !named.insert(change.account) {
                return Err(misuse(format!("account {} stands twice in a batch", change.account)));
            }
            valid_blobs(change, account.map(|a| a.as_ref()))?;
        }
        for change in batch.accounts {
            Arc::make_mut(accounts.entry(change.account).or_default()).apply(change);
        }
        Ok(())
    }
}

impl Engine for Memory {
    fn read(&self, account: AccountId) -> Result<Box<dyn ReadView>, Error> {
        Ok(Box::new(View(self.accounts.lock().get(&account).cloned().unwrap_or_default())))
    }

    fn upload(&self) -> Result<Box<dyn BlobWriter>, Error> {
        Ok(Box::new(Writer(Vec::new())))
    }

    fn duplicate(&self, upload: &Upload) -> Result<Upload, Error> {
        let bytes = upload.inner::<Bytes>().ok_or_else(|| Error::Io("an upload to another engine".into()))?;
        Ok(Upload::new(upload.size(), bytes.clone()))
    }

    fn commit(&self, batch: Batch) -> Pending {
        let (answer, pending) = Pending::new();
        // A caller that no longer waits has lost interest in the answer, not in the commit.
        let _ = answer.send(self.apply(batch));
        pending
    }

    fn read_only(&self) -> Option<Arc<str>> {
        None
    }

    fn check(&self) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }
}

/// Refuses what [`Account::apply`] could not do.
fn valid_blobs(change: &AccountBatch, account: Option<&Account>) -> Result<(), CommitError> {
    let mut ids = HashSet::new();
    for NewBlob { id, upload, .. } in &change.blobs {
        let old = !change.clear && account.is_some_and(|a| a.blobs.contains_key(id));
        if old || !ids.insert(*id) {
            return Err(misuse(format!("blob {} of account {} exists already", id.0, change.account)));
        }
        if upload.inner::<Bytes>().is_none() {
            return Err(misuse("an upload to another engine".to_owned()));
        }
    }
    Ok(())
}

fn misuse(what: String) -> CommitError {
    CommitError::Failed(Error::Io(what.into()))
}

impl Account {
    fn apply(&mut self, change: AccountBatch) {
        self.number = CommitNumber(self.number.0 + 1);
        if change.clear {
            self.keys.clear();
            self.blobs.clear();
        }
        for id in change.dropped {
            self.blobs.remove(&id);
        }
        for Write { key, value } in change.essential.into_iter().chain(change.derived).chain(change.from_blobs) {
            match value {
                Some(value) => self.keys.insert(key.into(), value.into()),
                None => self.keys.remove(key.as_slice()),
            };
        }
        for NewBlob { id, upload, .. } in change.blobs {
            if let Some(bytes) = upload.into_inner() {
                self.blobs.insert(id, bytes);
            }
        }
    }
}

struct View(Arc<Account>);

impl View {
    fn range<'a>(&'a self, range: Range<&'a [u8]>) -> impl DoubleEndedIterator<Item = (&'a [u8], &'a [u8])> {
        // The map panics on a range that ends before it starts.
        let bounds = (Bound::Included(range.start), Bound::Excluded(range.end));
        let entries = (range.start < range.end).then(|| self.0.keys.range::<[u8], _>(bounds));
        entries.into_iter().flatten().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }
}

impl ReadView for View {
    fn commit_number(&self) -> CommitNumber {
        self.0.number
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.keys.get(key).map(|v| v.to_vec()))
    }

    fn scan(&self, range: Range<&[u8]>, each: &mut Each<'_>) -> Result<(), Error> {
        for (key, value) in self.range(range) {
            if each(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn last(&self, range: Range<&[u8]>) -> Result<Option<Entry>, Error> {
        let last = self.range(range).next_back();
        Ok(last.map(|(key, value)| (key.to_vec(), value.to_vec())))
    }

    fn blob(&self, id: BlobId) -> Result<Option<Arc<dyn Blob>>, Error> {
        Ok(self.0.blobs.get(&id).map(|bytes| Arc::new(bytes.clone()) as _))
    }

    fn blobs(&self) -> Result<Vec<BlobId>, Error> {
        Ok(self.0.blobs.keys().copied().collect())
    }
}

impl Blob for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), Error> {
        let ends = (usize::try_from(range.start), usize::try_from(range.end));
        let (Ok(start), Ok(end)) = ends else { return Err(beyond(self.size())) };
        out.extend_from_slice(self.0.get(start..end).ok_or_else(|| beyond(self.size()))?);
        Ok(())
    }
}

fn beyond(size: u64) -> Error {
    Error::Io(format!("a range that is not within the {size} octets of the blob").into())
}

struct Writer(Vec<u8>);

impl BlobWriter for Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn cut(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn memory(&self) -> usize {
        self.0.capacity()
    }

    fn finish(self: Box<Self>) -> Result<Upload, Error> {
        Ok(Upload::new(self.0.len() as u64, Bytes(Arc::new(self.0))))
    }
}
