//! What is not in the journal because it can be made again: what the owner makes of small blobs ([`FromBlobs`]).
//!
//! The journal of a small message was for a good part what its body says already, which is durable with it. So it is
//! left out, and made again when the journal is read.

use std::sync::Arc;

use super::blob::Stored;
use super::journal::{Change, Kind, Value};
use super::segments::Segments;
use crate::{Blob, BlobId, Error, FromBlobs, SMALL_MAX, Write};

/// Whether what is made of these blobs, each with its size, is left out. Of large ones it is next to nothing in a journal,
/// and they would have to be read at the next start. What is made of blobs that are dropped and come again, because they
/// lie elsewhere now, was written when they came first, and stays.
pub(crate) fn is_left_out(mut blobs: impl Iterator<Item = (BlobId, u64)>, dropped: &[BlobId]) -> bool {
    blobs.all(|(id, size)| size <= SMALL_MAX as u64 && !dropped.contains(&id))
}

/// Adds to a change that was read from a journal what was left out. Nothing of it where one of the blobs cannot be
/// read: what is made may be parted otherwise without it.
pub(crate) fn remake(change: &mut Change, segments: &Segments, from_blobs: &dyn FromBlobs) {
    if is_left_out(change.blobs.iter().map(|(id, places)| (*id, places.size())), &change.dropped) {
        match make(change, segments, from_blobs) {
            // A journal from before this was left out has it, perhaps parted otherwise.
            Ok(writes) if writes.iter().any(|write| change.writes.iter().any(|(key, _)| **key == *write.key)) => {}
            Ok(writes) => {
                let value = |bytes| Value { kind: Kind::FromBlobs, bytes: Arc::new(bytes) };
                change.writes.extend(writes.into_iter().map(|write| (write.key.into(), write.value.map(value))));
            }
            Err(error) => {
                tracing::warn!(account = %change.account, %error, "a body cannot be read: lists of the messages that came with it will be slower")
            }
        }
    }
}

fn make(change: &Change, segments: &Segments, from_blobs: &dyn FromBlobs) -> Result<Vec<Write>, Error> {
    let mut blobs = Vec::with_capacity(change.blobs.len());
    for (id, places) in &change.blobs {
        let stored = Stored::open(segments, change.account, *id, places)?;
        blobs.push((*id, Arc::new(stored) as Arc<dyn Blob>));
    }
    blobs.sort_by_key(|(id, _)| *id);
    from_blobs.make(change.account, &blobs)
}

#[cfg(test)]
mod tests {
    use types::AccountId;

    use super::*;
    use crate::CommitNumber;
    use crate::disk::RealDisk;

    #[derive(Debug)]
    struct Two;

    impl FromBlobs for Two {
        fn make(&self, _: AccountId, _: &[(BlobId, Arc<dyn Blob>)]) -> Result<Vec<Write>, Error> {
            Ok([b"c1", b"c2"].map(|key| Write { key: key.to_vec(), value: Some(b"again".to_vec()) }).into())
        }
    }

    #[test]
    fn a_journal_that_has_what_is_left_out_now_is_read_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let segments = Segments::new(Arc::new(RealDisk), dir.path().to_owned(), 0, 0, 1, 0);
        let remade = |keys: &[&str]| {
            let value = Value { kind: Kind::Derived, bytes: Arc::new(b"journal".to_vec()) };
            let writes = keys.iter().map(|key| (key.as_bytes().into(), Some(value.clone()))).collect();
            let (account, number) = (AccountId(1), CommitNumber(1));
            let mut change = Change { account, number, clear: false, dropped: vec![], writes, blobs: vec![] };
            remake(&mut change, &segments, &Two);
            change.writes.iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(remade(&["t", "c2", "c3"]), ["t", "c2", "c3"]);
        assert_eq!(remade(&["t"]), ["t", "c1", "c2"]);
    }
}
