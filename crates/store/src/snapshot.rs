//! A mailbox at one moment: immutable, shared by everyone who looks at it.
//!
//! ```text
//! Snapshot ── head (UIDNEXT, HIGHESTMODSEQ, …), keywords
//!    └── nodes ── up to 64 chunks each: UIDs, sums, versions
//!                   └── chunk ── rows and marks, loaded when first asked for
//! ```
//! An edit makes a new snapshot that shares everything it did not touch. Whoever replaces a chunk
//! has loaded it first, through the cell that older snapshots share; so a chunk that an older
//! snapshot has not loaded still stands in the store as that snapshot knows it, and the version in
//! the value proves it.

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use types::{IdSet, MailboxId, ModSeq, Uid, UidValidity};

use crate::chunk::{Chunk, ChunkBuilder, FlagSet, MAX_ROWS, Marks, Positions, Row, Sums};
use crate::error::Result;
use crate::keywords::Keywords;
use crate::source::Source;

/// Chunks in a node of the spine. A node is rewritten with each commit that touches one of its chunks.
const MAX_CHUNKS: usize = 64;

/// A chunk of a mailbox; never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct ChunkId(pub(crate) u32);

/// A node of a mailbox's spine; never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct NodeId(pub(crate) u32);

/// The commit that wrote a value.
pub(crate) type Version = u64;

/// What belongs to the mailbox as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) uid_validity: UidValidity,
    pub(crate) uid_next: Uid,
    pub(crate) modseq: ModSeq,
    /// Messages from this UID on are `\Recent` to the next session (RFC 3501 §2.3.2).
    pub(crate) recent: Uid,
    pub(crate) next_chunk: u32,
    pub(crate) next_node: u32,
    pub(crate) keywords_version: Version,
}

/// What the spine knows of a chunk.
#[derive(Clone, Debug)]
pub(crate) struct ChunkRef {
    pub(crate) id: ChunkId,
    pub(crate) uids: IdSet<Uid>,
    pub(crate) sums: Sums,
    pub(crate) rows_version: Version,
    pub(crate) marks_version: Version,
    pub(crate) cell: Arc<OnceLock<Chunk>>,
}

/// Some neighbouring chunks.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) version: Version,
    pub(crate) chunks: Vec<ChunkRef>,
    pub(crate) sums: Sums,
    /// Those of all chunks: a few ranges, where the chunks have at least one each.
    pub(crate) uids: IdSet<Uid>,
}

/// See the module.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) id: MailboxId,
    pub(crate) head: Head,
    pub(crate) keywords: Arc<Keywords>,
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) sums: Sums,
    pub(crate) source: Arc<Source>,
}

impl ChunkRef {
    /// Chunks are never empty.
    pub(crate) fn first(&self) -> Uid {
        self.uids.first().unwrap_or(Uid::MIN)
    }

    fn last(&self) -> Uid {
        self.uids.last().unwrap_or(Uid::MIN)
    }

    /// The positions of those of these messages that are in it.
    pub(crate) fn among(&self, chunk: &Chunk, uids: &IdSet<Uid>) -> Positions {
        // Mostly all of them, and then no row need be looked at.
        if self.uids.ranges().all(|(first, last)| uids.has_all(first, last)) {
            Positions::first(chunk.len())
        } else {
            chunk.among(uids)
        }
    }

    /// Adds the messages at these positions to a set.
    pub(crate) fn uids_at(&self, chunk: &Chunk, positions: Positions, to: &mut IdSet<Uid>) {
        // Where no UID is missing between the rows they say nothing new either.
        if self.uids.range_count() > 1 {
            return chunk.uids_at(positions, to);
        }
        let uid = |at: usize| Uid::new(self.first().get().saturating_add(at as u32));
        for run in positions.runs() {
            if let (Some(first), Some(last)) = (uid(run.start), uid(run.end - 1)) {
                to.insert_range(first, last);
            }
        }
    }

    fn has_any(&self, uids: &IdSet<Uid>) -> bool {
        self.uids.ranges().any(|(a, b)| uids.touches(a, b))
    }
}

impl Node {
    pub(crate) fn new(id: NodeId, version: Version, chunks: Vec<ChunkRef>) -> Self {
        let sums = chunks.iter().fold(Sums::default(), |sums, chunk| sums.plus(chunk.sums));
        let mut uids = IdSet::new();
        for (first, last) in chunks.iter().flat_map(|chunk| chunk.uids.ranges()) {
            uids.insert_range(first, last);
        }
        Self { id, version, chunks, sums, uids }
    }

    pub(crate) fn first(&self) -> Uid {
        self.chunks.first().map_or(Uid::MIN, ChunkRef::first)
    }

    pub(crate) fn last(&self) -> Uid {
        self.chunks.last().map_or(Uid::MIN, ChunkRef::last)
    }

    /// The chunks that hold any of these messages.
    pub(crate) fn chunks_with(&self, uids: &IdSet<Uid>) -> impl Iterator<Item = &ChunkRef> {
        self.chunks.iter().filter(|chunk| chunk.has_any(uids))
    }
}

impl Snapshot {
    /// A mailbox that has just been created.
    pub(crate) fn empty(id: MailboxId, uid_validity: UidValidity, source: Arc<Source>) -> Self {
        let head = Head {
            uid_validity,
            uid_next: Uid::MIN,
            // RFC 7162 §3.1.2.1: HIGHESTMODSEQ of an empty mailbox is not zero.
            modseq: ModSeq::ZERO.next(),
            recent: Uid::MIN,
            next_chunk: 0,
            next_node: 0,
            keywords_version: 0,
        };
        Self { id, head, keywords: Arc::default(), nodes: vec![], sums: Sums::default(), source }
    }

    /// Which mailbox this is.
    pub fn mailbox(&self) -> MailboxId {
        self.id
    }

    /// UIDVALIDITY.
    pub fn uid_validity(&self) -> UidValidity {
        self.head.uid_validity
    }

    /// UIDNEXT.
    pub fn uid_next(&self) -> Uid {
        self.head.uid_next
    }

    /// HIGHESTMODSEQ.
    pub fn highest_modseq(&self) -> ModSeq {
        self.head.modseq
    }

    /// Messages, unseen and deleted ones, octets.
    pub fn sums(&self) -> Sums {
        self.sums
    }

    /// The keywords that the mailbox has ever seen.
    pub fn keywords(&self) -> &Arc<Keywords> {
        &self.keywords
    }

    /// All UIDs. Needs the spine, not the rows.
    pub fn uids(&self) -> IdSet<Uid> {
        let mut uids = IdSet::new();
        for (first, last) in self.nodes.iter().flat_map(|node| node.uids.ranges()) {
            uids.insert_range(first, last);
        }
        uids
    }

    /// Those of `uids` that are not here.
    pub fn absent(&self, uids: &IdSet<Uid>) -> IdSet<Uid> {
        let (Some(first), Some(last)) = (uids.first(), uids.last()) else { return IdSet::new() };
        let mut here = IdSet::new();
        for node in self.nodes_with(uids) {
            for (a, b) in node.uids.within(first, last).ranges() {
                here.insert_range(a, b);
            }
        }
        uids.difference(&here)
    }

    /// The messages with `\Deleted`. Looks only into chunks that have some.
    pub(crate) fn deleted(&self) -> Result<IdSet<Uid>> {
        let mut deleted = IdSet::new();
        let nodes = self.nodes.iter().filter(|node| node.sums.deleted > 0);
        for chunk in nodes.flat_map(|node| &node.chunks).filter(|chunk| chunk.sums.deleted > 0) {
            let chunk = self.load(chunk)?;
            let rows = chunk.rows().iter().enumerate();
            let marked = rows.filter(|&(at, _)| chunk.system_bits(at) & types::Flags::DELETED_BIT != 0);
            deleted.extend(marked.map(|(_, row)| row.uid));
        }
        Ok(deleted)
    }

    /// Every UID that was ever given in this mailbox: all below UIDNEXT.
    pub fn uids_given(&self) -> IdSet<Uid> {
        Uid::new(self.uid_next().get() - 1).map_or_else(IdSet::new, |last| IdSet::range(Uid::MIN, last))
    }

    /// The latest change of any of these messages; `None` where none of them is there.
    pub fn latest_change(&self, uids: &IdSet<Uid>) -> Result<Option<ModSeq>> {
        let mut latest = None;
        self.walk(uids, |chunk, at, _| {
            latest = latest.max(Some(chunk.modseq(at)));
            ControlFlow::Continue(())
        })?;
        Ok(latest)
    }

    /// The largest UID there is.
    pub fn last_uid(&self) -> Option<Uid> {
        self.nodes.last().map(|node| node.last())
    }

    /// The message without `\Seen` that has the smallest UID.
    pub fn first_unseen(&self) -> Result<Option<Uid>> {
        let unseen = |sums: &Sums| sums.unseen > 0;
        let node = self.nodes.iter().find(|node| unseen(&node.sums));
        let Some(chunk) = node.and_then(|node| node.chunks.iter().find(|chunk| unseen(&chunk.sums))) else {
            return Ok(None);
        };
        let chunk = self.load(chunk)?;
        let at = (0..chunk.len()).find(|&at| chunk.system_bits(at) & types::Flags::SEEN_BIT == 0);
        Ok(at.and_then(|at| chunk.rows().get(at)).map(|row| row.uid))
    }

    /// The octets of the messages with `\Deleted`: what EXPUNGE would give back. Looks only into chunks that have some.
    pub fn deleted_size(&self) -> Result<u64> {
        let mut size = 0u64;
        let nodes = self.nodes.iter().filter(|node| node.sums.deleted > 0);
        for chunk in nodes.flat_map(|node| &node.chunks).filter(|chunk| chunk.sums.deleted > 0) {
            if chunk.sums.deleted == chunk.sums.count {
                size = chunk.sums.size.saturating_add(size);
                continue;
            }
            let chunk = self.load(chunk)?;
            let rows = chunk.rows().iter().enumerate();
            let deleted = rows.filter(|&(at, _)| chunk.system_bits(at) & types::Flags::DELETED_BIT != 0);
            size = deleted.fold(size, |size, (_, row)| size.saturating_add(row.size.into()));
        }
        Ok(size)
    }

    /// The chunk that holds a message, and its position there.
    pub fn find(&self, uid: Uid) -> Result<Option<(Chunk, usize)>> {
        let node = self.nodes.get(self.nodes.partition_point(|node| node.last() < uid));
        let chunk = node.and_then(|node| node.chunks.get(node.chunks.partition_point(|chunk| chunk.last() < uid)));
        match chunk {
            Some(chunk) if chunk.uids.contains(uid) => {
                let chunk = self.load(chunk)?;
                Ok(chunk.position(uid).map(|at| (chunk.clone(), at)))
            }
            _ => Ok(None),
        }
    }

    /// The chunks that hold any of these messages, ascending.
    pub fn chunks<'a>(&'a self, uids: &'a IdSet<Uid>) -> impl Iterator<Item = Result<&'a Chunk>> + 'a {
        self.nodes_with(uids).flat_map(move |node| {
            let wanted: Vec<&ChunkRef> = node.chunks_with(uids).collect();
            self.load_ahead(&wanted);
            wanted.into_iter().map(|chunk| self.load(chunk))
        })
    }

    /// Calls `each` with every one of these messages that is there, ascending, until it breaks.
    pub fn walk(&self, uids: &IdSet<Uid>, mut each: impl FnMut(&Chunk, usize, &Row) -> ControlFlow<()>) -> Result<()> {
        for chunk in self.chunks(uids) {
            let chunk = chunk?;
            for (at, row) in chunk.rows().iter().enumerate() {
                if uids.contains(row.uid) && each(chunk, at, row).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The messages among `uids` that changed after `since`. Looks only into what changed.
    pub fn changed_since(&self, since: ModSeq, uids: &IdSet<Uid>) -> Result<IdSet<Uid>> {
        let mut changed = IdSet::new();
        let nodes = self.nodes.iter().filter(|node| node.sums.modseq > since);
        for chunk in nodes.flat_map(|node| &node.chunks).filter(|chunk| chunk.sums.modseq > since) {
            if !uids.touches(chunk.first(), chunk.last()) {
                continue;
            }
            let chunk = self.load(chunk)?;
            chunk.uids_at(chunk.changed(|modseq| modseq > since), &mut changed);
        }
        Ok(changed.intersection(uids))
    }

    /// The messages among `told`, which must hold every message up to its own largest, that are gone.
    /// Skips what has as many messages as `told`, since messages only ever go.
    pub(crate) fn missing_from(&self, told: &IdSet<Uid>) -> IdSet<Uid> {
        let (Some(first), Some(last)) = (told.first(), told.last()) else {
            return IdSet::new();
        };
        let Some(end) = self.last_uid().map(|uid| uid.min(last)) else {
            return told.clone();
        };
        let mut gone = IdSet::new();
        // Everything below `from` is dealt with.
        let mut from = first;
        for node in &self.nodes {
            let upto = node.last().min(last);
            if upto < from {
                continue;
            }
            // The gap before the node belongs to it.
            if u64::from(node.sums.count) != told.count_within(from, upto) || node.last() > last {
                gone = gone.union(&told.within(from, upto).difference(&node.uids));
            }
            match upto.next() {
                Some(next) => from = next,
                None => return gone,
            }
        }
        if end < last {
            gone = gone.union(&told.within(from, last));
        }
        gone
    }

    /// The messages after `uid`.
    pub(crate) fn after(&self, uid: Option<Uid>) -> IdSet<Uid> {
        let mut uids = IdSet::new();
        let Some(from) = uid.map_or(Some(Uid::MIN), Uid::next) else {
            return uids;
        };
        let nodes = self.nodes.iter().skip(self.nodes.partition_point(|node| node.last() < from));
        for (a, b) in nodes.flat_map(|node| node.uids.ranges()).filter(|&(_, b)| b >= from) {
            uids.insert_range(a.max(from), b);
        }
        uids
    }

    pub(crate) fn chunk_refs(&self) -> impl Iterator<Item = &ChunkRef> {
        self.nodes.iter().flat_map(|node| &node.chunks)
    }

    /// The nodes that may hold any of these messages.
    pub(crate) fn nodes_with<'a>(&'a self, uids: &'a IdSet<Uid>) -> impl Iterator<Item = &'a Node> {
        self.nodes.iter().map(|node| &**node).filter(|node| uids.touches(node.first(), node.last()))
    }

    /// About how many octets this takes in memory, shared parts included.
    pub(crate) fn memory(&self) -> usize {
        let chunk = |chunk: &ChunkRef| {
            let content = chunk.cell.get().map_or(0, |c| c.len() * (size_of::<Row>() + 16) + 64);
            size_of::<ChunkRef>() + 8 * chunk.uids.range_count() + content
        };
        size_of::<Self>() + self.keywords.len() * 64 + self.chunk_refs().map(chunk).sum::<usize>()
    }
}

/// Edits: each gives a new snapshot. `version` is the number of the commit that will write it.
impl Snapshot {
    /// Adds messages at the end. Their UIDs ascend and are at least UIDNEXT.
    pub(crate) fn append(
        &mut self,
        version: Version,
        messages: impl IntoIterator<Item = (Row, ModSeq, FlagSet)>,
    ) -> Result<()> {
        let mut messages = messages.into_iter().peekable();
        let mut builder = ChunkBuilder::default();
        let mut reuse = None;
        if messages.peek().is_some()
            && let Some(last) = self.nodes.last().and_then(|node| node.chunks.last())
            && last.uids.len() < MAX_ROWS as u64
        {
            builder = ChunkBuilder::with(self.load(last)?);
            reuse = Some(last.id);
        }
        while let Some((row, modseq, set)) = messages.next() {
            if let Some(next) = row.uid.next() {
                self.head.uid_next = self.head.uid_next.max(next);
            }
            self.head.modseq = self.head.modseq.max(modseq);
            builder.push(row, modseq, &set);
            if builder.len() == MAX_ROWS || messages.peek().is_none() {
                let chunk = std::mem::take(&mut builder).finish();
                self.put_last(version, reuse.take(), chunk);
            }
        }
        Ok(())
    }

    /// Replaces the last chunk (`reuse`) or adds one.
    fn put_last(&mut self, version: Version, reuse: Option<ChunkId>, chunk: Chunk) {
        let id = reuse.unwrap_or(ChunkId(self.head.next_chunk));
        self.head.next_chunk = self.head.next_chunk.max(id.0 + 1);
        let chunk = new_chunk_ref(id, version, chunk);
        match self.nodes.last_mut() {
            Some(last) if reuse.is_some() || last.chunks.len() < MAX_CHUNKS => {
                let kept = last.chunks.len() - usize::from(reuse.is_some());
                let chunks = last.chunks.iter().take(kept).cloned().chain([chunk]).collect();
                *last = Arc::new(Node::new(last.id, version, chunks));
            }
            _ => {
                let id = NodeId(self.head.next_node);
                self.head.next_node += 1;
                self.nodes.push(Arc::new(Node::new(id, version, vec![chunk])));
            }
        }
        self.resum();
    }

    /// Gives the chunks that hold any of these messages the marks that `change` makes of theirs with this mod-sequence.
    pub(crate) fn remark(
        &mut self,
        version: Version,
        uids: &IdSet<Uid>,
        modseq: ModSeq,
        mut change: impl FnMut(&Chunk) -> Option<Marks>,
    ) -> Result<()> {
        let mut changed = false;
        self.edit(version, uids, |chunk| {
            let marks = change(chunk)?;
            changed = true;
            Some(Chunk { rows: Arc::clone(&chunk.rows), marks: Arc::new(marks) })
        })?;
        if changed {
            self.head.modseq = self.head.modseq.max(modseq);
        }
        Ok(())
    }

    /// Takes messages out. `modseq` is that of the removal.
    pub(crate) fn remove(&mut self, version: Version, modseq: ModSeq, uids: &IdSet<Uid>) -> Result<()> {
        self.edit(version, uids, |chunk| {
            let mut rest = ChunkBuilder::default();
            rest.extend(chunk, |_, row| !uids.contains(row.uid));
            Some(rest.finish())
        })?;
        self.head.modseq = self.head.modseq.max(modseq);
        self.pack(version)
    }

    /// Replaces the chunks that hold any of `uids` by what `change` makes of them; an empty one goes.
    fn edit(
        &mut self,
        version: Version,
        uids: &IdSet<Uid>,
        mut change: impl FnMut(&Chunk) -> Option<Chunk>,
    ) -> Result<()> {
        for at in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(at).filter(|node| uids.touches(node.first(), node.last())).cloned() else {
                continue;
            };
            let mut chunks = Vec::with_capacity(node.chunks.len());
            let mut changed = false;
            self.load_ahead(&node.chunks_with(uids).collect::<Vec<_>>());
            for old in &node.chunks {
                let new = if old.has_any(uids) { change(self.load(old)?) } else { None };
                match new {
                    None => chunks.push(old.clone()),
                    Some(chunk) => {
                        changed = true;
                        if !chunk.is_empty() {
                            chunks.push(old.replaced(version, chunk));
                        }
                    }
                }
            }
            if changed && let Some(slot) = self.nodes.get_mut(at) {
                *slot = Arc::new(Node::new(node.id, version, chunks));
            }
        }
        self.nodes.retain(|node| !node.chunks.is_empty());
        self.resum();
        Ok(())
    }

    /// Merges small neighbours among what this commit touched, so that a mailbox from which much
    /// was deleted does not stay a long spine of nearly empty chunks.
    fn pack(&mut self, version: Version) -> Result<()> {
        let mut nodes: Vec<Arc<Node>> = Vec::with_capacity(self.nodes.len());
        for node in std::mem::take(&mut self.nodes) {
            let node = if node.version == version { self.packed(version, &node)? } else { node };
            let fits = |last: &Node| last.chunks.len() + node.chunks.len() <= MAX_CHUNKS / 2;
            match nodes.last_mut() {
                Some(last) if (last.version == version || node.version == version) && fits(last) => {
                    let chunks = last.chunks.iter().chain(&node.chunks).cloned().collect();
                    *last = Arc::new(Node::new(last.id, version, chunks));
                }
                _ => nodes.push(node),
            }
        }
        self.nodes = nodes;
        Ok(())
    }

    fn packed(&self, version: Version, node: &Node) -> Result<Arc<Node>> {
        let mut chunks: Vec<ChunkRef> = Vec::with_capacity(node.chunks.len());
        for chunk in &node.chunks {
            match chunks.last_mut() {
                Some(last)
                    if (last.rows_version == version || chunk.rows_version == version)
                        && last.uids.len() + chunk.uids.len() <= MAX_ROWS as u64 / 2 =>
                {
                    let mut both = ChunkBuilder::default();
                    both.extend(self.load(last)?, |_, _| true);
                    both.extend(self.load(chunk)?, |_, _| true);
                    *last = last.replaced(version, both.finish());
                }
                _ => chunks.push(chunk.clone()),
            }
        }
        Ok(Arc::new(Node::new(node.id, version, chunks)))
    }

    fn resum(&mut self) {
        self.sums = self.nodes.iter().fold(Sums::default(), |sums, node| sums.plus(node.sums));
    }
}

impl ChunkRef {
    /// The same chunk with other content; its rows keep their version where they are the same.
    fn replaced(&self, version: Version, chunk: Chunk) -> Self {
        if self.cell.get().is_none_or(|old| !Arc::ptr_eq(&old.rows, &chunk.rows)) {
            return new_chunk_ref(self.id, version, chunk);
        }
        let (sums, cell) = (chunk.sums(), Arc::new(OnceLock::from(chunk)));
        Self { uids: self.uids.clone(), sums, marks_version: version, cell, ..*self }
    }
}

fn new_chunk_ref(id: ChunkId, version: Version, chunk: Chunk) -> ChunkRef {
    ChunkRef {
        id,
        uids: chunk.rows.iter().map(|row| row.uid).collect(),
        sums: chunk.sums(),
        rows_version: version,
        marks_version: version,
        cell: Arc::new(OnceLock::from(chunk)),
    }
}

/// A value with the number of the commit that wrote it in front.
pub(crate) fn stamp(version: Version, value: &[u8]) -> Vec<u8> {
    let mut stamped = Vec::with_capacity(8 + value.len());
    stamped.extend_from_slice(&version.to_be_bytes());
    stamped.extend_from_slice(value);
    stamped
}

/// What [`stamp`] was given, if it was of this version.
pub(crate) fn unstamp(value: &[u8], version: Version) -> Option<&[u8]> {
    value.strip_prefix(&version.to_be_bytes())
}
