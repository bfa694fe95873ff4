//! Engines around engines, for the server in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::{Batch, BlobWriter, CommitError, Engine, Error, Figures, Pending, ReadView, Reclaimed, Upload};
use tempfile::TempDir;
use types::AccountId;

/// An engine whose disk is full when told so: nothing new is taken, reading and deleting go on.
pub struct Fillable {
    inner: Arc<dyn Engine>,
    full: AtomicBool,
}

impl Fillable {
    /// With space to begin with.
    pub fn new(inner: Arc<dyn Engine>) -> Self {
        Self { inner, full: AtomicBool::new(false) }
    }

    /// Full, or not any more.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}

impl Engine for Fillable {
    fn read(&self, account: AccountId) -> Result<Box<dyn ReadView>, Error> {
        self.inner.read(account)
    }

    fn upload(&self) -> Result<Box<dyn BlobWriter>, Error> {
        if self.is_full() { Err(Error::Full) } else { self.inner.upload() }
    }

    fn duplicate(&self, upload: &Upload) -> Result<Upload, Error> {
        if self.is_full() { Err(Error::Full) } else { self.inner.duplicate(upload) }
    }

    fn write_out(&self, uploads: &mut [&mut Upload]) -> Result<(), Error> {
        if self.is_full() { Err(Error::Full) } else { self.inner.write_out(uploads) }
    }

    fn commit(&self, batch: Batch) -> Pending {
        if self.is_full() && batch.accounts.iter().any(|a| !a.blobs.is_empty()) {
            return answered(Err(CommitError::Failed(Error::Full)));
        }
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

    fn reclaim(&self) -> Pending<Reclaimed, Error> {
        self.inner.reclaim()
    }
}

/// An engine that has committed when [`Engine::commit`] returns, whatever threads it has: tokio's
/// paused clock would jump ahead while they work.
pub struct Synchronous<E> {
    inner: E,
    /// Outlives the engine whose files are in it.
    _directory: Option<TempDir>,
}

impl<E: Engine> Synchronous<E> {
    /// Removes the directory, if it gets one, when the engine goes.
    pub fn new(inner: E, directory: Option<TempDir>) -> Self {
        Self { inner, _directory: directory }
    }
}

impl<E: Engine> Engine for Synchronous<E> {
    fn read(&self, account: AccountId) -> Result<Box<dyn ReadView>, Error> {
        self.inner.read(account)
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
        let pending = self.inner.commit(batch);
        // Inside a runtime one cannot wait; another thread can.
        let result = std::thread::spawn(|| pending.wait()).join();
        answered(result.unwrap_or_else(|_| Err(CommitError::Failed(Error::Io("the engine panicked".into())))))
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

    fn reclaim(&self) -> Pending<Reclaimed, Error> {
        self.inner.reclaim()
    }
}

fn answered(result: Result<(), CommitError>) -> Pending {
    let (tx, pending) = Pending::new();
    // The receiver is in `pending`.
    let _ = tx.send(result);
    pending
}
