//! A backup as an engine to read from: its index, which nobody changes, and its segments.

use std::path::Path;
use std::sync::Arc;

use types::AccountId;

use super::check;
use super::reader::{Readers, View};
use super::segments::Segments;
use super::{OpenError, index, version};
use crate::disk::RealDisk;
use crate::{Batch, BlobWriter, CommitError, Engine, Error, Pending, ReadView, Upload};

/// What [`super::Local::backup`] wrote. Nothing can be written into it.
pub struct Archive {
    readers: Arc<Readers>,
    segments: Arc<Segments>,
}

impl Archive {
    /// Opens the backup in a directory.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        let dir = dir.as_ref();
        let readers = Readers::new(dir.to_owned(), 1);
        let index = index::open_reader(dir)?;
        version::verify(&index, &index::path(dir))?;
        let segments = Segments::new(Arc::new(RealDisk), dir.join("segments"), 0, 0, 1, 0);
        Ok(Self { readers: Arc::new(readers), segments: Arc::new(segments) })
    }
}

impl Engine for Archive {
    fn read(&self, account: AccountId) -> Result<Box<dyn ReadView>, Error> {
        Ok(Box::new(View::begin(&self.readers, &self.segments, None, account)?))
    }

    fn upload(&self) -> Result<Box<dyn BlobWriter>, Error> {
        Err(read_only())
    }

    fn duplicate(&self, _: &Upload) -> Result<Upload, Error> {
        Err(read_only())
    }

    fn commit(&self, _: Batch) -> Pending {
        let (answer, pending) = Pending::new();
        // Nobody is lost who does not wait.
        let _ = answer.send(Err(CommitError::Failed(read_only())));
        pending
    }

    fn read_only(&self) -> Option<Arc<str>> {
        Some("a backup is only read".into())
    }

    fn check(&self) -> Result<Vec<String>, Error> {
        check::check(&self.readers.begin()?, &self.segments)
    }
}

fn read_only() -> Error {
    Error::ReadOnly("a backup is only read".into())
}
