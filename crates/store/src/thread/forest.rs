//! Threads as trees, and the way through them without recursion.

use super::links::NodeId;

/// Trees of messages. A node whose number is below `messages` is that message; the others are
/// dummies, which stand only at the top and have at least two children.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Forest {
    pub(crate) messages: u32,
    pub(crate) children: Vec<Vec<NodeId>>,
    pub(crate) roots: Vec<NodeId>,
}

/// A step of the way through all threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step<T> {
    /// A thread begins, or a part of one that is not the only child of what stands before it.
    Open,
    /// A message: the child of the one before it in the same list.
    Message(T),
    /// It ends.
    Close,
}

impl Forest {
    /// Lone messages.
    pub(crate) fn new(messages: usize) -> Self {
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        Self { messages, children: vec![Vec::new(); messages as usize], roots: Vec::new() }
    }

    pub(crate) fn add_dummy(&mut self, children: Vec<NodeId>) -> NodeId {
        self.children.push(children);
        NodeId::try_from(self.children.len() - 1).unwrap_or(NodeId::MAX)
    }

    pub(crate) fn is_dummy(&self, id: NodeId) -> bool {
        id >= self.messages
    }

    pub(crate) fn children(&self, id: NodeId) -> &[NodeId] {
        self.children.get(id as usize).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn adopt(&mut self, parent: NodeId, children: impl IntoIterator<Item = NodeId>) {
        if let Some(list) = self.children.get_mut(parent as usize) {
            list.extend(children);
        }
    }

    pub(crate) fn take_children(&mut self, id: NodeId) -> Vec<NodeId> {
        self.children.get_mut(id as usize).map(std::mem::take).unwrap_or_default()
    }

    /// The message that stands for a node: itself, or the first child of a dummy.
    pub(crate) fn face(&self, id: NodeId) -> NodeId {
        if self.is_dummy(id) { self.children(id).first().copied().unwrap_or(id) } else { id }
    }

    /// All threads in order, as the response writes them (RFC 5256 §4).
    pub(crate) fn steps(&self) -> impl Iterator<Item = Step<NodeId>> + '_ {
        enum Ahead {
            List(NodeId),
            Node(NodeId),
            End,
        }
        let mut ahead: Vec<Ahead> = self.roots.iter().rev().map(|&root| Ahead::List(root)).collect();
        std::iter::from_fn(move || {
            loop {
                match ahead.pop()? {
                    Ahead::List(id) => {
                        ahead.extend([Ahead::End, Ahead::Node(id)]);
                        return Some(Step::Open);
                    }
                    Ahead::Node(id) => {
                        match self.children(id) {
                            [only] => ahead.push(Ahead::Node(*only)),
                            many => ahead.extend(many.iter().rev().map(|&child| Ahead::List(child))),
                        }
                        if !self.is_dummy(id) {
                            return Some(Step::Message(id));
                        }
                    }
                    Ahead::End => return Some(Step::Close),
                }
            }
        })
    }
}
