//! A batch as the thread that commits takes it.
//!
//! Whoever brings a batch makes this of it: the thread that commits is one for all, and what it would have to take from
//! its own heap, and give back to those of others, costs more there.

use std::sync::Arc;

use types::AccountId;

use super::blob::Uploaded;
use super::index::Places;
use super::journal::{Change, Kind, Value};
use super::remake::is_left_out;
use crate::segment::{HEADER_LEN, Piece, blob_meta_len};
use crate::{AccountBatch, Batch, CommitNumber, NewBlob, Write};

/// See the module.
pub(crate) struct Prepared {
    /// What it does to each account; the new blobs are not anywhere yet.
    pub(crate) changes: Vec<Change>,
    /// The new blobs of all changes, in their order.
    pub(crate) bodies: Vec<(AccountId, NewBlob)>,
    /// The octets that it brings, roughly.
    pub(crate) octets: usize,
}

impl Prepared {
    /// `again`: whether what is made of blobs can be made again.
    pub(crate) fn new(batch: Batch, again: bool) -> Self {
        let nowhere = Arc::new(Places::nowhere());
        let (mut changes, mut bodies, mut octets) = (Vec::with_capacity(batch.accounts.len()), Vec::new(), 0);
        for change in batch.accounts {
            let AccountBatch { account, expect, clear, essential, derived, from_blobs, blobs, dropped } = change;
            let left_out = again && is_left_out(blobs.iter().map(|blob| (blob.id, blob.upload.size())), &dropped);
            let made = if left_out { Kind::FromBlobs } else { Kind::Derived };
            let mut writes = Vec::with_capacity(essential.len() + derived.len() + from_blobs.len());
            for (kind, some) in [(Kind::Essential, essential), (Kind::Derived, derived), (made, from_blobs)] {
                for Write { key, value } in some {
                    octets += key.len() + value.as_ref().map_or(0, Vec::len);
                    writes.push((key.into(), value.map(|bytes| Value { kind, bytes: Arc::new(bytes) })));
                }
            }
            octets += blobs.iter().map(record_len).sum::<usize>();
            let ids = blobs.iter().map(|blob| (blob.id, Arc::clone(&nowhere))).collect();
            let number = CommitNumber(expect.0.saturating_add(1));
            changes.push(Change { account, number, clear, dropped, writes, blobs: ids });
            bodies.extend(blobs.into_iter().map(|blob| (account, blob)));
        }
        Self { changes, bodies, octets }
    }

    /// The changes, each with its new blobs.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&Change, &[(AccountId, NewBlob)])> {
        let mut rest = self.bodies.as_slice();
        self.changes.iter().map(move |change| {
            let (blobs, others) = rest.split_at_checked(change.blobs.len()).unwrap_or_default();
            rest = others;
            (change, blobs)
        })
    }
}

/// The octets of the record that names a blob.
pub(crate) fn record_len(blob: &NewBlob) -> usize {
    let uploaded = blob.upload.inner::<Uploaded>();
    if let Some(Uploaded::There { .. }) = uploaded {
        return 0;
    }
    let (pieces, body): (&[Piece], _) =
        uploaded.map_or((&[], 0), |uploaded| (uploaded.pieces(), uploaded.body().len()));
    HEADER_LEN + blob_meta_len(blob.label.len(), pieces) + body
}
