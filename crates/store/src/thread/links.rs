//! Parents and children while threads are put together: links come and go, and none may close a loop.
//!
//! "Is A a descendant of B" is asked for every link. Walking up would take the square of the depth,
//! and senders choose the depth; so beside the plain parents stand splay trees over the paths (the
//! link-cut trees of Sleator and Tarjan), in which every question and every change takes logarithmic
//! time on the average of all.

/// A message or a dummy.
pub(crate) type NodeId = u32;

/// No node.
const NONE: NodeId = NodeId::MAX;

/// A node of a splay tree, which holds a piece of a path, ordered by depth.
#[derive(Clone, Copy, Debug)]
struct Node {
    parent: NodeId,
    children: u32,
    left: NodeId,
    right: NodeId,
    /// In the splay tree; at its root: what the path hangs on.
    up: NodeId,
}

const LONE: Node = Node { parent: NONE, children: 0, left: NONE, right: NONE, up: NONE };

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Links(Vec<Node>);

impl Links {
    /// `count` nodes without parents.
    pub(crate) fn new(count: usize) -> Self {
        Self(vec![LONE; count])
    }

    pub(crate) fn parent(&self, id: NodeId) -> Option<NodeId> {
        Some(self.node(id).parent).filter(|&parent| parent != NONE)
    }

    /// Makes `parent` the parent of `child`, which has none; unless that would close a loop.
    pub(crate) fn link(&mut self, parent: NodeId, child: NodeId) {
        let of = self.node(child);
        if parent == child || of.parent != NONE || (of.children > 0 && self.root(parent) == child) {
            return;
        }
        self.access(child);
        self.edit(child, |node| (node.up, node.parent) = (parent, parent));
        self.edit(parent, |node| node.children += 1);
    }

    /// Takes the parent away.
    pub(crate) fn cut(&mut self, child: NodeId) {
        let Some(parent) = self.parent(child) else { return };
        self.access(child);
        let left = self.node(child).left;
        self.edit(left, |node| node.up = NONE);
        self.edit(child, |node| (node.left, node.parent) = (NONE, NONE));
        self.edit(parent, |node| node.children = node.children.saturating_sub(1));
    }

    /// The uppermost ancestor.
    fn root(&mut self, id: NodeId) -> NodeId {
        self.access(id);
        let mut top = id;
        while self.node(top).left != NONE {
            top = self.node(top).left;
        }
        self.splay(top);
        top
    }

    /// Makes the path from the uppermost ancestor to this node one splay tree, with the node at its root.
    fn access(&mut self, id: NodeId) {
        let (mut below, mut at) = (NONE, id);
        while at != NONE {
            self.splay(at);
            self.edit(at, |node| node.right = below);
            (below, at) = (at, self.node(at).up);
        }
        self.splay(id);
    }

    fn splay(&mut self, id: NodeId) {
        while let Some(up) = self.above(id) {
            if let Some(upper) = self.above(up) {
                let straight = (self.node(up).left == id) == (self.node(upper).left == up);
                self.rotate(if straight { up } else { id });
            }
            self.rotate(id);
        }
    }

    /// The parent within the splay tree.
    fn above(&self, id: NodeId) -> Option<NodeId> {
        let up = self.node(id).up;
        let above = self.node(up);
        (up != NONE && (above.left == id || above.right == id)).then_some(up)
    }

    fn rotate(&mut self, id: NodeId) {
        let up = self.node(id).up;
        let upper = self.node(up).up;
        if self.above(up).is_some() {
            self.edit(upper, |node| *(if node.left == up { &mut node.left } else { &mut node.right }) = id);
        }
        let moved = if self.node(up).left == id {
            let moved = self.node(id).right;
            self.edit(up, |node| node.left = moved);
            self.edit(id, |node| node.right = up);
            moved
        } else {
            let moved = self.node(id).left;
            self.edit(up, |node| node.right = moved);
            self.edit(id, |node| node.left = up);
            moved
        };
        self.edit(moved, |node| node.up = up);
        self.edit(up, |node| node.up = id);
        self.edit(id, |node| node.up = upper);
    }

    fn node(&self, id: NodeId) -> Node {
        self.0.get(id as usize).copied().unwrap_or(LONE)
    }

    /// Nothing where there is no such node.
    fn edit(&mut self, id: NodeId, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.0.get_mut(id as usize) {
            change(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn like_walking_up(steps in proptest::collection::vec((0u32..12, 0u32..12, 0u8..4), 0..200)) {
            let mut links = Links::new(12);
            let mut parents = [None::<u32>; 12];
            for (a, b, what) in steps {
                if what == 0 {
                    links.cut(b);
                    parents[b as usize] = None;
                } else {
                    links.link(a, b);
                    let mut up = std::iter::successors(Some(a), |&at| parents[at as usize]);
                    if parents[b as usize].is_none() && !up.any(|at| at == b) {
                        parents[b as usize] = Some(a);
                    }
                }
                for id in 0..12 {
                    prop_assert_eq!(links.parent(id), parents[id as usize]);
                }
            }
        }
    }
}
