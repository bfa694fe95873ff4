//! REFERENCES (RFC 5256 §3) and REFS (draft-ietf-morg-inthread). The steps have the RFC's numbers.

use std::collections::{HashMap, HashSet};

use super::forest::Forest;
use super::links::{Links, NodeId};
use super::table::Table;

/// REFERENCES: by ancestry, then by base subject.
pub(super) fn thread(table: &Table) -> Forest {
    let mut forest = ancestry(table);
    let date = |id: NodeId| (table.sent.get(id as usize).copied(), id);
    // (4) "Sort the messages under the root (top-level siblings only) by sent date"
    sort_children_of_dummies(&mut forest, date);
    sort_roots(&mut forest, date);
    Subjects { table, forest: &mut forest, heads: HashMap::new(), gone: HashSet::new() }.merge();
    // (6)
    forest.children.iter_mut().for_each(|children| children.sort_unstable_by_key(|&id| date(id)));
    sort_roots(&mut forest, date);
    forest
}

/// REFS: by ancestry alone. Siblings are in the order of their arrival, threads in that of the
/// arrival of their newest message.
pub(super) fn thread_without_subjects(table: &Table) -> Forest {
    let mut forest = ancestry(table);
    let date = |id: NodeId| (table.received.get(id as usize).copied(), id);
    forest.children.iter_mut().for_each(|children| children.sort_unstable_by_key(|&id| date(id)));
    let mut roots = std::mem::take(&mut forest.roots);
    roots.sort_by_cached_key(|&root| {
        let (mut newest, mut ahead) = ((None, 0), vec![root]);
        while let Some(id) = ahead.pop() {
            newest = newest.max(if forest.is_dummy(id) { (None, 0) } else { date(id) });
            ahead.extend_from_slice(forest.children(id));
        }
        newest
    });
    forest.roots = roots;
    forest
}

/// Steps 1 to 3.
fn ancestry(table: &Table) -> Forest {
    let (nodes, links) = link(table);
    prune(table, nodes, &links)
}

/// (1) Links by message ids. The first nodes are the messages, the others the dummies: "If no message
/// can be found with a given Message ID, create a dummy message with this ID."
fn link(table: &Table) -> (usize, Links) {
    let mut node_of: Vec<Option<NodeId>> = vec![None; table.id_count];
    // "If two or more messages have the same Message ID, then only use that Message ID in the first
    // (lowest sequence number) message".
    for (at, id) in (0..).zip(table.ids()) {
        if let Some(owner) = id.and_then(|id| node_of.get_mut(id as usize)) {
            owner.get_or_insert(at);
        }
    }
    let mut nodes = table.len();
    for owner in node_of.iter_mut().filter(|owner| owner.is_none()) {
        *owner = NodeId::try_from(nodes).ok();
        nodes += 1;
    }
    let mut links = Links::new(nodes);
    for at in 0..table.len() {
        let mut last = None;
        // (A) "If a message already has a parent, don't change the existing link."
        for node in table.references(at).iter().filter_map(|&id| node_of.get(id as usize).copied().flatten()) {
            if let Some(before) = last {
                links.link(before, node);
            }
            last = Some(node);
        }
        // (B) "If the current message already has a parent, [...] break the current parent/child link"
        let Ok(message) = NodeId::try_from(at) else { break };
        if last.is_none() || links.parent(message) != last {
            links.cut(message);
            if let Some(parent) = last {
                links.link(parent, message);
            }
        }
    }
    (nodes, links)
}

/// (2) and (3). A dummy goes and its children take its place, but for one at the top with several
/// children. So the parent of a message is the nearest message above it, or the dummy at the top; and
/// that goes too where it would have one child.
fn prune(table: &Table, nodes: usize, links: &Links) -> Forest {
    let below = Children::of(nodes, links);
    let all = 0..NodeId::try_from(nodes).unwrap_or(NodeId::MAX);
    let mut ahead: Vec<_> = all.filter(|&id| links.parent(id).is_none()).map(|id| (id, None)).collect();
    let mut forest = Forest::new(table.len());
    // The messages under each dummy at the top.
    let mut loose: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
    while let Some((id, over)) = ahead.pop() {
        let over = if forest.is_dummy(id) {
            // Of the dummies one above the other, the topmost counts.
            Some(over.unwrap_or(id))
        } else {
            match over {
                None => forest.roots.push(id),
                Some(dummy) if forest.is_dummy(dummy) => loose.entry(dummy).or_default().push(id),
                Some(parent) => forest.adopt(parent, [id]),
            }
            Some(id)
        };
        ahead.extend(below.get(id).iter().map(|&child| (child, over)));
    }
    for children in loose.into_values() {
        match *children {
            [only] => forest.roots.push(only),
            _ => {
                let dummy = forest.add_dummy(children);
                forest.roots.push(dummy);
            }
        }
    }
    forest
}

/// The children of all nodes, one node's behind the other's: as lists of their own they would be a hundred thousand
/// small pieces of memory.
struct Children {
    ids: Vec<NodeId>,
    /// Where in `ids` those of each node end.
    ends: Vec<u32>,
}

impl Children {
    fn of(nodes: usize, links: &Links) -> Self {
        let all = || (0..NodeId::try_from(nodes).unwrap_or(NodeId::MAX)).filter_map(|id| Some((links.parent(id)?, id)));
        // How many there are; where they begin; and, when each is in its place, where they end.
        let mut ends = vec![0; nodes];
        let mut count = 0;
        for (parent, _) in all() {
            ends.get_mut(parent as usize).into_iter().for_each(|n| *n += 1);
        }
        for end in &mut ends {
            count += std::mem::replace(end, count);
        }
        let mut ids = vec![0; count as usize];
        for (parent, id) in all() {
            let Some(end) = ends.get_mut(parent as usize) else { continue };
            ids.get_mut(*end as usize).into_iter().for_each(|place| *place = id);
            *end += 1;
        }
        Self { ids, ends }
    }

    fn get(&self, id: NodeId) -> &[NodeId] {
        let end = |id: NodeId| self.ends.get(id as usize).map_or(0, |end| *end as usize);
        self.ids.get(id.checked_sub(1).map_or(0, end)..end(id)).unwrap_or_default()
    }
}

fn sort_children_of_dummies<K: Ord>(forest: &mut Forest, date: impl Fn(NodeId) -> K) {
    let dummies = forest.children.iter_mut().skip(forest.messages as usize);
    dummies.for_each(|children| children.sort_unstable_by_key(|&id| date(id)));
}

/// "In the case of a dummy message, [...] use the first child for the top-level sort."
fn sort_roots<K: Ord>(forest: &mut Forest, date: impl Fn(NodeId) -> K) {
    let mut roots = std::mem::take(&mut forest.roots);
    roots.sort_unstable_by_key(|&root| date(forest.face(root)));
    forest.roots = roots;
}

/// (5) "Gather together messages under the root that have the same base subject text."
struct Subjects<'a> {
    table: &'a Table,
    forest: &'a mut Forest,
    /// (A) "a table for associating base subjects with messages, called the subject table"
    heads: HashMap<&'a str, NodeId>,
    /// What is no longer directly under the root.
    gone: HashSet<NodeId>,
}

impl<'a> Subjects<'a> {
    fn merge(mut self) {
        let roots = std::mem::take(&mut self.forest.roots);
        let table = self.table;
        // "by using the base subject from either the current message or its first child if the
        // current message is a dummy. This is the thread subject. If the thread subject is empty, skip"
        let threads: Vec<(NodeId, &str)> = roots
            .iter()
            .map(|&root| (root, table.subjects.get(self.forest.face(root) as usize)))
            .filter(|(_, subject)| !subject.is_empty())
            .collect();
        for &(root, subject) in &threads {
            self.enter(root, subject);
        }
        for &(root, subject) in &threads {
            match self.heads.get(subject) {
                Some(&head) if head != root && !self.gone.contains(&root) => self.join(root, head, subject),
                _ => {}
            }
        }
        self.forest.roots.extend(roots);
        let gone = self.gone;
        self.forest.roots.retain(|root| !gone.contains(root));
    }

    /// (B) "Populate the subject table with one message per each base subject."
    fn enter(&mut self, current: NodeId, subject: &'a str) {
        let better = self.heads.get(subject).is_none_or(|&head| {
            !self.forest.is_dummy(head)
                && (self.forest.is_dummy(current) || (self.is_reply(head) && !self.is_reply(current)))
        });
        if better {
            self.heads.insert(subject, current);
        }
    }

    fn is_reply(&self, id: NodeId) -> bool {
        self.table.is_reply.get(id as usize).copied().unwrap_or(false)
    }

    /// (C) Merges a thread with the one in the subject table.
    fn join(&mut self, current: NodeId, head: NodeId, subject: &'a str) {
        self.gone.insert(current);
        if self.forest.is_dummy(head) && self.forest.is_dummy(current) {
            // "append the current message's children to the children of the message in the subject
            // table [...], and then delete the current message"
            let children = self.forest.take_children(current);
            self.forest.adopt(head, children);
        } else if self.forest.is_dummy(head) || (self.is_reply(current) && !self.is_reply(head)) {
            self.forest.adopt(head, [current]);
        } else {
            // "create a new dummy message and make both [...] children of the dummy. Then replace the
            // message in the subject table with the dummy message."
            self.gone.insert(head);
            let dummy = self.forest.add_dummy(vec![head, current]);
            self.forest.roots.push(dummy);
            self.heads.insert(subject, dummy);
        }
    }
}
