//! How the chunks of a snapshot come into memory: one by one where somebody asks for a message, neighbours in
//! one sweep where somebody goes through the mailbox.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use types::{IdSet, Uid};

use crate::blocking::brief;
use crate::chunk::{Chunk, Marks, Row, decode_rows};
use crate::error::{Error, Result};
use crate::key;
use crate::snapshot::{ChunkId, ChunkRef, Snapshot, unstamp};

/// What takes a chunk's key and value.
type Each<'a> = dyn FnMut(&ChunkRef, &[u8], &[u8]) + 'a;

impl Snapshot {
    /// The rows and marks of a chunk, from memory or from the store.
    pub(crate) fn load<'a>(&self, chunk: &'a ChunkRef) -> Result<&'a Chunk> {
        if let Some(loaded) = chunk.cell.get() {
            return Ok(loaded);
        }
        match brief(|| self.read_chunk(chunk)) {
            Ok(loaded) => Ok(chunk.cell.get_or_init(|| loaded)),
            // The writer was faster: it loaded the chunk for everybody before it replaced it.
            Err(error) => chunk.cell.get().ok_or(error),
        }
    }

    /// Reads those of some chunks that are not in memory in one sweep, where that is worth it. What cannot be
    /// read is left to [`Snapshot::load`], which says why.
    pub(crate) fn load_ahead(&self, chunks: &[&ChunkRef]) {
        let missing = chunks.iter().filter(|chunk| chunk.cell.get().is_none());
        let wanted: BTreeMap<ChunkId, &ChunkRef> = missing.map(|chunk| (chunk.id, *chunk)).collect();
        if wanted.len() > 1 {
            // Nothing depends on it.
            let _ = brief(|| self.sweep(&wanted));
        }
    }

    fn read_chunk(&self, chunk: &ChunkRef) -> Result<Chunk> {
        let view = self.source.read()?;
        let value = |key: Vec<u8>, version, what: &'static str| {
            let value = view.get(&key)?.ok_or_else(|| self.damaged(chunk, what, "missing"))?;
            unstamp(&value, version).map(<[u8]>::to_vec).ok_or_else(|| self.damaged(chunk, what, "of another version"))
        };
        let rows = decode_rows(&value(key::rows(self.id, chunk.id), chunk.rows_version, "rows")?)?;
        let marks = key::marks(self.id, chunk.id, key::SHARED_PLANE);
        self.whole(chunk, rows, &value(marks, chunk.marks_version, "marks")?)
    }

    /// Reads all rows and then all marks between the first and the last that are wanted, until too many of
    /// them turn out not to be.
    fn sweep(&self, wanted: &BTreeMap<ChunkId, &ChunkRef>) -> Result<()> {
        let (Some((&first, _)), Some((&last, _))) = (wanted.first_key_value(), wanted.last_key_value()) else {
            return Ok(());
        };
        let end = ChunkId(last.0.saturating_add(1));
        let view = self.source.read()?;
        let scan = |from: Vec<u8>, to: Vec<u8>, each: &mut Each<'_>| {
            let mut others = 0;
            view.scan(&from..&to, &mut |key, value| {
                let id = key::number(key, 1).and_then(|id| u32::try_from(id).ok());
                match id.and_then(|id| wanted.get(&ChunkId(id))) {
                    Some(chunk) => each(chunk, key, value),
                    None => others += 1,
                }
                if others > wanted.len() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        };
        let mut rows: HashMap<ChunkId, Arc<[Row]>> = HashMap::new();
        scan(key::rows(self.id, first), key::rows(self.id, end), &mut |chunk, _, value| {
            if let Some(Ok(read)) = unstamp(value, chunk.rows_version).map(decode_rows) {
                rows.insert(chunk.id, read);
            }
        })?;
        let marks = |chunk| key::marks(self.id, chunk, key::SHARED_PLANE);
        scan(marks(first), marks(end), &mut |chunk, key, value| {
            let value = unstamp(value, chunk.marks_version).filter(|_| key == marks(chunk.id));
            if let Some((rows, marks)) = rows.remove(&chunk.id).zip(value)
                && let Ok(loaded) = self.whole(chunk, rows, marks)
            {
                chunk.cell.get_or_init(|| loaded);
            }
        })?;
        Ok(())
    }

    /// A chunk, if rows and marks are those that the spine names.
    fn whole(&self, chunk: &ChunkRef, rows: Arc<[Row]>, marks: &[u8]) -> Result<Chunk> {
        let marks = Marks::decode(marks)?;
        if rows.len() != marks.len() || rows.iter().map(|row| row.uid).collect::<IdSet<Uid>>() != chunk.uids {
            return Err(self.damaged(chunk, "rows and marks", "not those of the spine"));
        }
        Ok(Chunk { rows, marks: Arc::new(marks) })
    }

    fn damaged(&self, chunk: &ChunkRef, what: &str, how: &str) -> Error {
        Error::Damaged(format!(
            "the {what} of chunk {} (UIDs {}) of mailbox {} of account {} are {how}",
            chunk.id.0, chunk.uids, self.id, self.source.account
        ))
    }
}

#[cfg(test)]
mod tests {
    use types::{Flag, Flags, ModSeq};

    use super::*;
    use crate::{FlagChange, FlagMode, testing};

    fn content(snapshot: &Snapshot) -> Vec<(Row, ModSeq, u8)> {
        let mut content = vec![];
        let all = snapshot.uids();
        let walk = snapshot.walk(&all, |chunk, at, row| {
            content.push((*row, chunk.modseq(at), chunk.system_bits(at)));
            ControlFlow::Continue(())
        });
        walk.unwrap();
        content
    }

    #[test]
    fn a_sweep_brings_what_was_written() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_store, account, who) = testing::account().await;
            let messages = (0..900).map(|n| format!("Subject: {n}\r\n\r\n"));
            let mailbox = testing::append(&account, &who, messages).await;
            // Some chunks shrink, some become one, and marks are newer than rows.
            let gone: IdSet<Uid> = (100..400).chain(500..510).filter_map(Uid::new).collect();
            let mark =
                |flag: Flag| FlagChange { mode: FlagMode::Add, flags: Flags::from_iter([flag]), unchanged_since: None };
            mailbox.store_flags(&who, gone, mark(Flag::Deleted), ModSeq::ZERO).await.unwrap();
            mailbox.expunge(&who, None).await.unwrap();
            let some = (1..900).step_by(7).filter_map(Uid::new).collect();
            mailbox.store_flags(&who, some, mark(Flag::Seen), ModSeq::ZERO).await.unwrap();

            let written = content(&mailbox.snapshot().unwrap());
            assert_eq!(written.len(), 590);
            mailbox.cell.forget();
            let snapshot = mailbox.snapshot().unwrap();
            let chunks: Vec<_> = snapshot.chunk_refs().collect();
            assert!(chunks.len() > 3 && chunks.iter().all(|chunk| chunk.cell.get().is_none()));
            snapshot.load_ahead(&chunks);
            assert!(chunks.iter().all(|chunk| chunk.cell.get().is_some()));
            assert_eq!(content(&snapshot), written);

            // Those that are not wanted stay where they are.
            mailbox.cell.forget();
            let snapshot = mailbox.snapshot().unwrap();
            let chunks: Vec<_> = snapshot.chunk_refs().collect();
            snapshot.load_ahead(&[chunks[0], chunks[2]]);
            let loaded: Vec<_> = chunks.iter().map(|chunk| chunk.cell.get().is_some()).collect();
            assert_eq!(loaded[..4], [true, false, true, false]);
        });
    }
}
