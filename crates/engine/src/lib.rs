//! Ordered keys and blobs with consistent read views and atomic durable batches.
//!
//! An engine knows no mail. It holds, for each account, an ordered map of small values and a set
//! of blobs, and changes them by batches that happen wholly or not at all. A commit that was
//! acknowledged survives the power cut that follows.
//!
//! * Calls may block on the disk; callers in async code wrap what may be cold. Only
//!   [`Engine::commit`] never blocks: it queues, and the [`Pending`] it gives is a future.
//! * Reads never wait for writes.
//! * One process owns a store; each account has one writer, which names the commit number it
//!   expects, so two writers (two nodes, later) notice each other as [`CommitError::Conflict`].

mod api;
mod codec;
pub mod disk;
pub mod local;
pub mod memory;
pub mod segment;

pub use api::{
    AccountBatch, Backup, Batch, Blob, BlobId, BlobWriter, CommitError, CommitNumber, Each, Engine, Entry, Error,
    Figures, FromBlobs, NewBlob, Pending, ReadView, Reclaimed, SMALL_MAX, Setback, Stray, Strays, Upload, Write,
    about_blob,
};
pub use codec::Codec;
