//! The algorithms against the examples of the RFC and against a second implementation that follows
//! its words with plain lists and walks every path.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::forest::{Forest, Step};
use super::table::Table;
use super::{ordered_subject, references};

/// A message by hand: ids are octets, the date is that of everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Plain {
    pub(super) sent: i64,
    pub(super) received: i64,
    pub(super) subject: String,
    pub(super) is_reply: bool,
    pub(super) id: Option<u8>,
    pub(super) references: Vec<u8>,
}

fn table(messages: &[Plain]) -> Table {
    let mut table = Table::default();
    messages.iter().for_each(|message| table.push_plain(message));
    table
}

/// As in the response, with sequence numbers.
fn shown(forest: &Forest) -> String {
    let mut out = String::new();
    for step in forest.steps() {
        match step {
            Step::Open => out.push('('),
            Step::Close => out.push(')'),
            Step::Message(at) => {
                if !out.ends_with('(') {
                    out.push(' ');
                }
                out += &(at + 1).to_string();
            }
        }
    }
    out
}

fn message(sent: i64, subject: &str, id: u8, references: &[u8]) -> Plain {
    let base = subject.trim_start_matches("Re: ");
    Plain {
        sent,
        received: sent,
        subject: base.into(),
        is_reply: base != subject,
        id: Some(id).filter(|&id| id > 0),
        references: references.into(),
    }
}

#[track_caller]
fn check(messages: &[Plain], threads: &str, refs: &str) {
    let table = table(messages);
    assert_eq!(shown(&references::thread(&table)), threads, "REFERENCES");
    assert_eq!(shown(&references::thread_without_subjects(&table)), refs, "REFS");
}

// RFC 5256 §3, REFERENCES
#[test]
fn steps_of_references() {
    let m = message;
    // A chain, in and out of order.
    check(&[m(1, "a", 1, &[]), m(2, "b", 2, &[1]), m(3, "c", 3, &[1, 2])], "(1 2 3)", "(1 2 3)");
    check(&[m(3, "c", 3, &[1, 2]), m(2, "b", 2, &[1]), m(1, "a", 1, &[])], "(3 2 1)", "(3 2 1)");
    // Siblings by date; a missing parent of two, of one.
    check(&[m(1, "a", 1, &[]), m(3, "b", 2, &[1]), m(2, "c", 3, &[1])], "(1(3)(2))", "(1(3)(2))");
    check(&[m(2, "a", 1, &[9]), m(1, "b", 2, &[9])], "((2)(1))", "((2)(1))");
    check(&[m(2, "a", 1, &[8, 9])], "(1)", "(1)");
    // A missing one in the middle.
    check(&[m(1, "a", 1, &[]), m(2, "b", 2, &[1, 9]), m(3, "c", 3, &[1, 9])], "(1(2)(3))", "(1(2)(3))");
    // The same id twice, a message that answers itself, a loop.
    check(&[m(1, "a", 1, &[]), m(2, "b", 1, &[]), m(3, "c", 3, &[1])], "(1 3)(2)", "(2)(1 3)");
    check(&[m(1, "a", 1, &[1])], "(1)", "(1)");
    check(&[m(1, "a", 1, &[2]), m(2, "b", 2, &[1])], "(2 1)", "(2 1)");
    // (B): what a message says of itself wins over what others said of it.
    check(&[m(1, "a", 3, &[1, 2]), m(2, "b", 2, &[4]), m(3, "c", 4, &[])], "(3 2 1)", "(3 2 1)");
    check(&[m(1, "a", 3, &[1, 2]), m(2, "b", 2, &[]), m(3, "c", 1, &[])], "(2 1)(3)", "(2 1)(3)");
}

// RFC 5256 §3, REFERENCES, step 5
#[test]
fn steps_of_subjects() {
    let m = message;
    // A reply without references goes under the original, whichever came first.
    check(&[m(1, "Re: a", 1, &[]), m(2, "A", 2, &[])], "(2 1)", "(1)(2)");
    // Two originals, two replies: siblings under a dummy.
    check(&[m(1, "a", 1, &[]), m(2, "a", 2, &[]), m(3, "Re: a", 3, &[])], "((1)(2)(3))", "(1)(2)(3)");
    check(&[m(1, "Re: a", 1, &[]), m(2, "Re: a", 2, &[])], "((1)(2))", "(1)(2)");
    // The empty subject joins nothing.
    check(&[m(1, "", 1, &[]), m(2, "", 2, &[])], "(1)(2)", "(1)(2)");
    // A dummy takes in others: both dummies, and a dummy and a message.
    check(
        &[m(1, "a", 1, &[8]), m(2, "a", 2, &[8]), m(3, "a", 3, &[9]), m(4, "b", 4, &[9])],
        "((1)(2)(3)(4))",
        "((1)(2))((3)(4))",
    );
    check(&[m(1, "a", 1, &[]), m(2, "a", 2, &[8]), m(3, "b", 3, &[8])], "((1)(2)(3))", "(1)((2)(3))");
    // The message in the table that was put under a new dummy is not merged a second time.
    check(&[m(3, "a", 1, &[]), m(1, "Re: a", 2, &[]), m(2, "a", 3, &[])], "((3 2)(1))", "(2)(3)(1)");
}

#[test]
fn ordered_subjects() {
    let m = message;
    let shown = |messages: &[Plain]| shown(&ordered_subject::thread(&table(messages)));
    assert_eq!(shown(&[]), "");
    assert_eq!(shown(&[m(5, "b", 0, &[]), m(2, "a", 0, &[]), m(3, "Re: A", 0, &[])]), "(2 3)(1)");
    assert_eq!(
        shown(&[m(5, "b", 0, &[]), m(6, "a", 0, &[]), m(6, "Re: b", 0, &[]), m(6, "B", 0, &[])]),
        "(1(3)(4))(2)"
    );
}

/// RFC 5256 §4: the response of the example.
#[test]
fn the_way_through() {
    // (2)(3 6 (4 23)(44 7 96)), numbered from 1.
    let m = message;
    let messages = [
        m(1, "a", 1, &[]),
        m(2, "b", 2, &[]),
        m(3, "c", 3, &[2]),
        m(4, "d", 4, &[3]),
        m(5, "e", 5, &[4]),
        m(6, "f", 6, &[3]),
        m(7, "g", 7, &[6]),
        m(8, "h", 8, &[7]),
    ];
    check(&messages, "(1)(2 3(4 5)(6 7 8))", "(1)(2 3(4 5)(6 7 8))");
}

#[test]
fn hundred_thousand_deep() {
    let deep = |reverse: bool, both: bool| {
        let mut table = Table::default();
        let n = 100_000u32;
        table.sent = (0..n).map(i64::from).collect();
        table.received.clone_from(&table.sent);
        (0..n).for_each(|_| table.subjects.push("x"));
        table.is_reply = vec![false; n as usize];
        for at in 0..n {
            let at = if reverse { n - 1 - at } else { at };
            table.push_ids(at, at.checked_sub(1).into_iter().chain(both.then_some((at + 1) % n)));
        }
        table
    };
    for (reverse, both) in [(false, false), (true, false), (false, true), (true, true)] {
        let table = deep(reverse, both);
        let forest = references::thread(&table);
        assert_eq!(forest.steps().filter(|step| matches!(step, Step::Message(_))).count(), 100_000);
        if !both {
            assert_eq!(forest.roots.len(), 1);
        }
        references::thread_without_subjects(&table);
    }
}

/// A message of the second implementation.
#[derive(Clone, Debug, Default)]
struct Node {
    message: Option<usize>,
    parent: Option<usize>,
}

/// Follows the RFC step by step; slow and simple.
struct Naive<'a> {
    messages: &'a [Plain],
    nodes: Vec<Node>,
    /// Messages under the root, in order.
    top: Vec<usize>,
    children: BTreeMap<usize, Vec<usize>>,
    by_arrival: bool,
}

impl Naive<'_> {
    fn link(&mut self, parent: usize, child: usize) {
        let mut up = std::iter::successors(Some(parent), |&at| self.nodes[at].parent);
        if self.nodes[child].parent.is_none() && !up.any(|at| at == child) {
            self.nodes[child].parent = Some(parent);
        }
    }

    fn step_1(&mut self) {
        let mut ids: BTreeMap<u8, usize> = BTreeMap::new();
        for message in self.messages {
            let at = match message.id {
                Some(id) if ids.get(&id).is_none_or(|&node| self.nodes[node].message.is_none()) => {
                    *ids.entry(id).or_insert_with(|| {
                        self.nodes.push(Node::default());
                        self.nodes.len() - 1
                    })
                }
                _ => {
                    self.nodes.push(Node::default());
                    self.nodes.len() - 1
                }
            };
            let number = self.nodes.iter().filter(|node| node.message.is_some()).count();
            self.nodes[at].message = Some(number);
            let mut chain = vec![];
            for id in &message.references {
                chain.push(*ids.entry(*id).or_insert_with(|| {
                    self.nodes.push(Node::default());
                    self.nodes.len() - 1
                }));
            }
            for pair in chain.windows(2) {
                self.link(pair[0], pair[1]);
            }
            self.nodes[at].parent = None;
            if let Some(last) = chain.last() {
                self.link(*last, at);
            }
        }
    }

    fn steps_2_and_3(&mut self) {
        for at in 0..self.nodes.len() {
            match self.nodes[at].parent {
                Some(parent) => self.children.entry(parent).or_default().push(at),
                None => self.top.push(at),
            }
        }
        // Until nothing changes.
        loop {
            let dummy = |at: usize, nodes: &[Node]| nodes[at].message.is_none();
            let of = |children: &BTreeMap<usize, Vec<usize>>, at: usize| children.get(&at).cloned().unwrap_or_default();
            if let Some(place) =
                self.top.iter().position(|&at| dummy(at, &self.nodes) && of(&self.children, at).len() < 2)
            {
                let at = self.top.remove(place);
                self.top.extend(of(&self.children, at));
                self.children.remove(&at);
                continue;
            }
            let inner =
                self.children.iter().find_map(|(&p, c)| Some((p, *c.iter().find(|&&at| dummy(at, &self.nodes))?)));
            let Some((parent, at)) = inner else { break };
            let promoted = self.children.remove(&at).unwrap_or_default();
            let list = self.children.get_mut(&parent).unwrap();
            list.retain(|&other| other != at);
            list.extend(promoted);
        }
    }

    fn date(&self, at: usize) -> (i64, usize) {
        match self.nodes[at].message {
            Some(n) if self.by_arrival => (self.messages[n].received, n),
            Some(n) => (self.messages[n].sent, n),
            None => self.date(self.children[&at][0]),
        }
    }

    /// Each set of siblings, the deepest first.
    fn sort(&mut self, at: usize) {
        let mut list = self.children.get(&at).cloned().unwrap_or_default();
        list.iter().for_each(|&child| self.sort(child));
        list.sort_by_key(|&child| self.date(child));
        self.children.insert(at, list);
    }

    fn step_4_and_6(&mut self) {
        for at in self.top.clone() {
            self.sort(at);
        }
        let mut top = self.top.clone();
        top.sort_by_key(|&at| self.date(at));
        self.top = top;
    }

    fn subject(&self, at: usize) -> String {
        match self.nodes[at].message {
            Some(n) => self.messages[n].subject.to_uppercase(),
            None => self.subject(self.children[&at][0]),
        }
    }

    fn step_5(&mut self) {
        let mut table: BTreeMap<String, usize> = BTreeMap::new();
        let dummy = |naive: &Self, at: usize| naive.nodes[at].message.is_none();
        let reply = |naive: &Self, at: usize| naive.nodes[at].message.is_some_and(|n| naive.messages[n].is_reply);
        for &at in &self.top {
            let subject = self.subject(at);
            if subject.is_empty() {
                continue;
            }
            match table.get(&subject).copied() {
                None => {
                    table.insert(subject, at);
                }
                Some(old) if !dummy(self, old) && (dummy(self, at) || (reply(self, old) && !reply(self, at))) => {
                    table.insert(subject, at);
                }
                Some(_) => {}
            }
        }
        for at in self.top.clone() {
            if !self.top.contains(&at) {
                continue;
            }
            let subject = self.subject(at);
            if subject.is_empty() || table[&subject] == at {
                continue;
            }
            let old = table[&subject];
            self.top.retain(|&other| other != at);
            if dummy(self, old) && dummy(self, at) {
                let more = self.children.remove(&at).unwrap_or_default();
                self.children.entry(old).or_default().extend(more);
            } else if dummy(self, old) || (reply(self, at) && !reply(self, old)) {
                self.children.entry(old).or_default().push(at);
            } else {
                self.nodes.push(Node::default());
                let new = self.nodes.len() - 1;
                self.children.insert(new, vec![old, at]);
                self.top.retain(|&other| other != old);
                self.top.push(new);
                table.insert(subject, new);
            }
        }
    }

    fn newest(&self, at: usize) -> (i64, usize) {
        let own = self.nodes[at].message.map_or((i64::MIN, 0), |_| self.date(at));
        let below = self.children.get(&at).into_iter().flatten().map(|&child| self.newest(child)).max();
        below.map_or(own, |below| below.max(own))
    }

    fn show(&self, at: usize, out: &mut String) {
        if let Some(n) = self.nodes[at].message {
            if !out.ends_with('(') {
                out.push(' ');
            }
            *out += &(n + 1).to_string();
        }
        match self.children.get(&at).map(Vec::as_slice) {
            Some([only]) => self.show(*only, out),
            more => {
                for &child in more.unwrap_or_default() {
                    out.push('(');
                    self.show(child, out);
                    out.push(')');
                }
            }
        }
    }
}

fn naive(messages: &[Plain], refs: bool) -> String {
    let mut naive = Naive { messages, nodes: vec![], top: vec![], children: BTreeMap::new(), by_arrival: refs };
    naive.step_1();
    naive.steps_2_and_3();
    naive.step_4_and_6();
    if refs {
        let mut top = naive.top.clone();
        top.sort_by_key(|&at| naive.newest(at));
        naive.top = top;
    } else {
        naive.step_5();
        naive.step_4_and_6();
    }
    let mut out = String::new();
    for &at in &naive.top {
        out.push('(');
        naive.show(at, &mut out);
        out.push(')');
    }
    out
}

prop_compose! {
    /// Few ids, so that there are loops, missing parents and duplicates.
    fn plain()(
        sent in 0i64..6, received in 0i64..6, subject in "[aAb]?", is_reply: bool,
        id in proptest::option::weighted(0.9, 0u8..14), references in proptest::collection::vec(0u8..14, 0..5),
    ) -> Plain {
        Plain { sent, received, subject, is_reply, id, references }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn like_the_words_of_the_rfc(messages in proptest::collection::vec(plain(), 0..14)) {
        let table = table(&messages);
        prop_assert_eq!(shown(&references::thread(&table)), naive(&messages, false));
        prop_assert_eq!(shown(&references::thread_without_subjects(&table)), naive(&messages, true));
    }
}
