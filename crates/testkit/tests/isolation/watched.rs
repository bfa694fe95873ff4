//! An engine that counts what is read of whom.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use engine::{
    Batch, Blob, BlobId, BlobWriter, CommitNumber, Each, Engine, Entry, Error, Figures, Pending, ReadView, Upload,
};
use parking_lot::Mutex;
use types::AccountId;

/// Reads by account: views opened, and all that was asked of them.
pub(crate) type Reads = BTreeMap<AccountId, u64>;

pub(crate) struct Watched<E> {
    inner: E,
    reads: Arc<Mutex<Reads>>,
}

impl<E: Engine> Watched<E> {
    pub(crate) fn new(inner: E) -> Self {
        Self { inner, reads: Arc::default() }
    }

    /// What was read since it was last asked.
    pub(crate) fn take(&self) -> Reads {
        std::mem::take(&mut self.reads.lock())
    }
}

impl<E: Engine> Engine for Watched<E> {
    fn read(&self, account: AccountId) -> Result<Box<dyn ReadView>, Error> {
        let view = View { inner: self.inner.read(account)?, account, reads: Arc::clone(&self.reads) };
        view.count();
        Ok(Box::new(view))
    }

    fn upload(&self) -> Result<Box<dyn BlobWriter>, Error> {
        self.inner.upload()
    }

    fn duplicate(&self, upload: &Upload) -> Result<Upload, Error> {
        self.inner.duplicate(upload)
    }

    fn write_out(&self, uploads: &mut [&mut Upload]) -> Result<(), Error> {
        self.inner.write_out(uploads)
    }

    fn commit(&self, batch: Batch) -> Pending {
        self.inner.commit(batch)
    }

    fn read_only(&self) -> Option<Arc<str>> {
        self.inner.read_only()
    }

    fn check(&self) -> Result<Vec<String>, Error> {
        self.inner.check()
    }

    fn figures(&self) -> Result<Figures, Error> {
        self.inner.figures()
    }
}

struct View {
    inner: Box<dyn ReadView>,
    account: AccountId,
    reads: Arc<Mutex<Reads>>,
}

impl View {
    fn count(&self) {
        *self.reads.lock().entry(self.account).or_default() += 1;
    }
}

impl ReadView for View {
    fn commit_number(&self) -> CommitNumber {
        self.inner.commit_number()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.count();
        self.inner.get(key)
    }

    fn scan(&self, range: Range<&[u8]>, each: &mut Each<'_>) -> Result<(), Error> {
        self.inner.scan(range, &mut |key, value| {
            self.count();
            each(key, value)
        })
    }

    fn keys(&self, range: Range<&[u8]>, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Error> {
        self.inner.keys(range, &mut |key| {
            self.count();
            each(key)
        })
    }

    fn last(&self, range: Range<&[u8]>) -> Result<Option<Entry>, Error> {
        self.count();
        self.inner.last(range)
    }

    fn blob(&self, id: BlobId) -> Result<Option<Arc<dyn Blob>>, Error> {
        self.count();
        self.inner.blob(id)
    }

    fn blobs(&self) -> Result<Vec<BlobId>, Error> {
        self.count();
        self.inner.blobs()
    }
}
