//! Snapshots as values: what a commit writes is the difference between two of them.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use engine::{ReadView, Write};
use types::{IdSet, MailboxId, ModSeq, Uid, UidValidity};

use crate::chunk::{Sums, encode_rows};
use crate::codec::{Reader, Writer};
use crate::error::{Error, Result};
use crate::key;
use crate::keywords::Keywords;
use crate::snapshot::{ChunkId, ChunkRef, Head, Node, NodeId, Snapshot, Version, stamp, unstamp};
use crate::source::Source;

impl Snapshot {
    /// What must be written so that the store holds `self` where it held `base`.
    pub(crate) fn writes(&self, base: Option<&Self>, version: Version, out: &mut Vec<Write>) {
        let id = self.id;
        let mut put = |key, value: &[u8]| out.push(Write { key, value: Some(stamp(version, value)) });
        put(key::head(id), &self.encode_head());
        if self.head.keywords_version == version {
            put(key::keywords(id), &self.keywords.encode());
        }
        for node in self.nodes.iter().filter(|node| node.version == version) {
            put(key::node(id, node.id), &encode_node(node));
            for chunk in &node.chunks {
                // What this commit made is loaded.
                let Some(content) = chunk.cell.get() else { continue };
                if chunk.rows_version == version {
                    put(key::rows(id, chunk.id), &encode_rows(&content.rows));
                }
                if chunk.marks_version == version {
                    put(key::marks(id, chunk.id, key::SHARED_PLANE), &content.marks.encode());
                }
            }
        }
        if let Some(base) = base {
            self.deletes(base, out);
        }
    }

    /// The nodes and chunks of `base` that are gone.
    fn deletes(&self, base: &Self, out: &mut Vec<Write>) {
        let places = |snapshot: &Self| snapshot.nodes.iter().map(Arc::as_ptr).collect::<HashSet<*const Node>>();
        let (before, after) = (places(base), places(self));
        let changed: Vec<_> = base.nodes.iter().filter(|node| !after.contains(&Arc::as_ptr(node))).collect();
        if changed.is_empty() {
            return;
        }
        let nodes: HashSet<NodeId> = self.nodes.iter().map(|node| node.id).collect();
        // What stays of a node that is not what it was is in one that was not there.
        let new = self.nodes.iter().filter(|node| !before.contains(&Arc::as_ptr(node)));
        let chunks: HashSet<ChunkId> = new.flat_map(|node| &node.chunks).map(|chunk| chunk.id).collect();
        for node in changed {
            if !nodes.contains(&node.id) {
                out.push(Write { key: key::node(self.id, node.id), value: None });
            }
            for chunk in node.chunks.iter().filter(|chunk| !chunks.contains(&chunk.id)) {
                out.push(Write { key: key::rows(self.id, chunk.id), value: None });
                out.push(Write { key: key::marks(self.id, chunk.id, key::SHARED_PLANE), value: None });
            }
        }
    }

    fn encode_head(&self) -> Vec<u8> {
        let head = &self.head;
        let mut w = Writer::new(1);
        w.number(head.uid_validity.get().into()).number(head.uid_next.get().into()).number(head.modseq.get());
        w.number(head.recent.get().into()).number(head.next_chunk.into()).number(head.next_node.into());
        w.number(head.keywords_version);
        write_sums(&mut w, &self.sums);
        w.number(self.nodes.len() as u64);
        for node in &self.nodes {
            w.number(node.id.0.into()).number(node.version);
        }
        w.finish()
    }

    /// Reads head and spine. `None` where there is no such mailbox.
    pub(crate) fn read(view: &dyn ReadView, id: MailboxId, source: Arc<Source>) -> Result<Option<Self>> {
        let Some(value) = view.get(&key::head(id))? else {
            return Ok(None);
        };
        let (head, sums, wanted) = decode_head(stamped(&value)?.1)?;
        let keywords = match head.keywords_version {
            0 => Keywords::default(),
            version => {
                let value = view.get(&key::keywords(id))?.unwrap_or_default();
                let value = unstamp(&value, version);
                Keywords::decode(value.ok_or_else(|| damaged(id, "its keywords are missing or of another version"))?)?
            }
        };
        let mut found = std::collections::HashMap::new();
        let mut failed = None;
        let range = key::nodes(id);
        view.scan(&range.start..&range.end, &mut |key, value| {
            let node = stamped(value).and_then(|(version, value)| decode_node(key, version, value));
            match node {
                Ok(node) => {
                    found.insert((node.id, node.version), node);
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let nodes = wanted.into_iter().map(|(node, version)| {
            let found = found.remove(&(NodeId(node), version));
            found.map(Arc::new).ok_or_else(|| damaged(id, "a node of its spine is missing or of another version"))
        });
        let nodes = nodes.collect::<Result<Vec<_>>>()?;
        Ok(Some(Self { id, head, keywords: Arc::new(keywords), nodes, sums, source }))
    }

    /// Only what LIST-STATUS needs: the head.
    pub(crate) fn read_summary(value: &[u8]) -> Result<(Head, Sums)> {
        let (head, sums, _) = decode_head(stamped(value)?.1)?;
        Ok((head, sums))
    }
}

fn damaged(id: MailboxId, what: &str) -> Error {
    Error::Damaged(format!("mailbox {id}: {what}"))
}

fn stamped(value: &[u8]) -> Result<(Version, &[u8])> {
    let (version, rest) = value.split_first_chunk().ok_or_else(|| Error::Damaged("a value is too short".into()))?;
    Ok((Version::from_be_bytes(*version), rest))
}

fn write_sums(w: &mut Writer, sums: &Sums) {
    w.number(sums.count.into()).number(sums.unseen.into()).number(sums.deleted.into());
    w.number(sums.size).number(sums.modseq.get());
}

fn read_sums(r: &mut Reader<'_>) -> Result<Sums> {
    let (count, unseen, deleted, size) = (r.small()?, r.small()?, r.small()?, r.number()?);
    let modseq = ModSeq::new(r.number()?);
    Ok(Sums { count, unseen, deleted, size, modseq: r.valid(modseq)? })
}

type Nodes = Vec<(u32, Version)>;

fn decode_head(value: &[u8]) -> Result<(Head, Sums, Nodes)> {
    let (_, mut r) = Reader::new("the head of a mailbox", value, 1)?;
    let uid_validity = UidValidity::new(r.small()?);
    let uid_next = Uid::new(r.small()?);
    let modseq = ModSeq::new(r.number()?);
    let recent = Uid::new(r.small()?);
    let head = Head {
        uid_validity: r.valid(uid_validity)?,
        uid_next: r.valid(uid_next)?,
        modseq: r.valid(modseq)?,
        recent: r.valid(recent)?,
        next_chunk: r.small()?,
        next_node: r.small()?,
        keywords_version: r.number()?,
    };
    let sums = read_sums(&mut r)?;
    let nodes = (0..r.count()?).map(|_| Ok((r.small()?, r.number()?))).collect::<Result<_>>()?;
    r.end()?;
    Ok((head, sums, nodes))
}

fn encode_node(node: &Node) -> Vec<u8> {
    let mut w = Writer::new(1);
    w.number(node.chunks.len() as u64);
    let mut last = 0;
    for chunk in &node.chunks {
        w.number(chunk.id.0.into()).number(chunk.rows_version).number(chunk.marks_version);
        write_sums(&mut w, &chunk.sums);
        w.number(chunk.uids.range_count() as u64);
        for (a, b) in chunk.uids.ranges() {
            w.number((a.get() - last).into()).number((b.get() - a.get()).into());
            last = b.get();
        }
    }
    w.finish()
}

fn decode_node(key: &[u8], version: Version, value: &[u8]) -> Result<Node> {
    let (_, mut r) = Reader::new("a node of a mailbox's spine", value, 1)?;
    let id = key::number(key, 1).and_then(|n| u32::try_from(n).ok());
    let id = NodeId(r.valid(id)?);
    let mut chunks = Vec::new();
    let mut last = 0u32;
    for _ in 0..r.count()? {
        let (id, rows_version, marks_version) = (ChunkId(r.small()?), r.number()?, r.number()?);
        let sums = read_sums(&mut r)?;
        let mut uids = IdSet::new();
        for _ in 0..r.count()? {
            let a = last.checked_add(r.small()?);
            let b = a.and_then(|a| Some((Uid::new(a)?, a)));
            let (first, a) = r.valid(b)?;
            let len = r.small()?;
            let end = a.checked_add(len).and_then(Uid::new);
            let end = r.valid(end)?;
            uids.insert_range(first, end);
            last = end.get();
        }
        r.valid((uids.len() == u64::from(sums.count) && !uids.is_empty()).then_some(()))?;
        chunks.push(ChunkRef { id, uids, sums, rows_version, marks_version, cell: Arc::new(OnceLock::new()) });
    }
    r.end()?;
    Ok(Node::new(id, version, chunks))
}
