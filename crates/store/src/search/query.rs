//! What to look for, as a tree of keys, and how a tree is decided when only some keys are known.
//!
//! A [`Query`] is what the caller asks. A [`Plan`] is the same for one snapshot: keywords are ids, the
//! cheap keys of each branch come first, and what every message must have is the scope.

use std::ops::Range;

use message::{FieldSet, Needle};
use types::{DateTime, EmailId, Flag, Flags, IdSet, ThreadId, Uid, UnixTime};

use crate::chunk::{Chunk, Positions, Row};
use crate::keywords::Keywords;
use crate::snapshot::ChunkRef;

/// What to look for. Whoever builds a query bounds its depth: it is walked by recursion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Query {
    /// All of these hold; none of them is "every message".
    And(Vec<Self>),
    /// One of these holds; none of them is "no message".
    Or(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// One thing to know about a message.
    Key(Key),
}

/// One thing to know about a message. Strings are looked for as [`Needle`] says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Key {
    /// It is one of these.
    Uids(IdSet<Uid>),
    /// It has this flag.
    Flag(Flag),
    /// It has more octets.
    Larger(u64),
    /// It has fewer octets.
    Smaller(u64),
    /// Its content is this.
    Email(EmailId),
    /// Its conversation is this.
    Thread(ThreadId),
    /// When it came into the mailbox, on the calendar of UTC.
    Saved(When),
    /// Its internal date, on the calendar of its own zone.
    Received(When),
    /// Its internal date is at this moment or earlier.
    Until(UnixTime),
    /// Its internal date is at this moment or later.
    From(UnixTime),
    /// Its `Date` field, on the calendar of its own zone; a message without a date is never meant.
    Sent(When),
    /// A header field of this name contains this.
    Header {
        /// The field's name, in any case.
        name: String,
        /// What its decoded value contains. Every value contains the empty string.
        value: String,
    },
    /// Its text contains this.
    Body(String),
    /// Its headers or its text contain this.
    Text(String),
}

/// A day, counted from 1970-01-01, and which side of it is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Earlier than the day.
    Before(i64),
    /// Within the day.
    On(i64),
    /// Within the day or later.
    Since(i64),
}

impl Query {
    /// Every message.
    pub const ALL: Self = Self::And(Vec::new());
    /// No message.
    pub const NONE: Self = Self::Or(Vec::new());
}

impl Query {
    /// Whether it asks for what is in the fields of headers.
    pub(super) fn asks_fields(&self) -> bool {
        match self {
            Self::And(queries) | Self::Or(queries) => queries.iter().any(Self::asks_fields),
            Self::Not(query) => query.asks_fields(),
            Self::Key(key) => matches!(key, Key::Header { .. }),
        }
    }
}

impl When {
    /// As [`When::holds`] of the day that a clock in the date's zone shows, without dividing.
    fn holds_at(self, date: DateTime) -> bool {
        self.seconds().contains(&second(date))
    }

    /// From which second of a clock to which; the last of all is never meant.
    fn seconds(self) -> Range<i64> {
        let begin = |day: i64| day.saturating_mul(86_400);
        match self {
            Self::Before(limit) => i64::MIN..begin(limit),
            Self::On(limit) => begin(limit)..begin(limit.saturating_add(1)),
            Self::Since(limit) => begin(limit)..i64::MAX,
        }
    }

    pub(super) fn holds(self, day: i64) -> bool {
        match self {
            Self::Before(limit) => day < limit,
            Self::On(limit) => day == limit,
            Self::Since(limit) => day >= limit,
        }
    }
}

/// What a clock in the zone of a date shows, as a number.
fn second(date: DateTime) -> i64 {
    date.time.0.saturating_add(i64::from(date.zone) * 60)
}

/// Where a test looks, the cheapest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Stage {
    /// In the rows and marks of a chunk.
    Row,
    /// In the card.
    Card,
    /// In the header block of the body.
    Header,
    /// In the text.
    Body,
}

/// See the module.
pub(super) struct Plan {
    root: Node,
    /// The tests that need more than the row, by slot.
    pub(super) tests: Vec<Test>,
    /// The messages among which all that match are.
    pub(super) scope: IdSet<Uid>,
}

enum Node {
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    Row(RowTest),
    /// The slot of a test.
    Test(usize, Stage),
}

/// What rows and marks tell.
enum RowTest {
    Uids(IdSet<Uid>),
    System(u8),
    Keyword(u32),
    Never,
    Larger(u64),
    Smaller(u64),
    Received(When),
    Until(UnixTime),
    From(UnixTime),
    Saved(When),
    Email(EmailId),
    Thread(ThreadId),
}

/// What needs the card or the body.
pub(super) enum Test {
    Sent(When),
    Header {
        name: String,
        needle: Needle,
        /// Where cards keep the field.
        kept: Option<FieldSet>,
    },
    /// `headers`: also in the header of the message and those of its parts.
    Text {
        needle: Needle,
        headers: bool,
    },
}

impl Plan {
    /// For the messages in `scope`.
    pub(super) fn new(query: Query, scope: IdSet<Uid>, keywords: &Keywords) -> Self {
        let mut plan = Self { root: Node::And(vec![]), tests: vec![], scope };
        plan.root = plan.top(query, keywords);
        plan
    }

    /// Up here, keys must hold for every message that is found: sets of messages become the scope.
    fn top(&mut self, query: Query, keywords: &Keywords) -> Node {
        match query {
            Query::Key(Key::Uids(uids)) => {
                self.scope = self.scope.intersection(&uids);
                Node::And(vec![])
            }
            Query::And(all) => Node::And(sorted(all.into_iter().map(|query| self.top(query, keywords)).collect())),
            query => self.node(query, keywords),
        }
    }

    fn node(&mut self, query: Query, keywords: &Keywords) -> Node {
        match query {
            Query::And(all) => Node::And(sorted(all.into_iter().map(|query| self.node(query, keywords)).collect())),
            Query::Or(any) => Node::Or(sorted(any.into_iter().map(|query| self.node(query, keywords)).collect())),
            Query::Not(query) => Node::Not(Box::new(self.node(*query, keywords))),
            Query::Key(key) => self.leaf(key, keywords),
        }
    }

    fn leaf(&mut self, key: Key, keywords: &Keywords) -> Node {
        let test = match key {
            Key::Uids(uids) => return Node::Row(RowTest::Uids(uids)),
            Key::Flag(Flag::Keyword(keyword)) => {
                return Node::Row(keywords.id(&keyword).map_or(RowTest::Never, RowTest::Keyword));
            }
            Key::Flag(system) => return Node::Row(RowTest::System(Flags::from_iter([system]).system_bits())),
            Key::Larger(size) => return Node::Row(RowTest::Larger(size)),
            Key::Smaller(size) => return Node::Row(RowTest::Smaller(size)),
            Key::Saved(when) => return Node::Row(RowTest::Saved(when)),
            Key::Email(email) => return Node::Row(RowTest::Email(email)),
            Key::Thread(thread) => return Node::Row(RowTest::Thread(thread)),
            Key::Received(when) => return Node::Row(RowTest::Received(when)),
            Key::Until(time) => return Node::Row(RowTest::Until(time)),
            Key::From(time) => return Node::Row(RowTest::From(time)),
            Key::Sent(when) => Test::Sent(when),
            Key::Header { name, value } => {
                Test::Header { needle: Needle::new(&value), kept: FieldSet::new(&[&name]), name }
            }
            // RFC 9051 §6.4.4: "the empty string is a substring", also of a message without text.
            Key::Body(text) | Key::Text(text) if text.is_empty() => return Node::And(vec![]),
            Key::Body(text) => Test::Text { needle: Needle::new(&text), headers: false },
            Key::Text(text) => Test::Text { needle: Needle::new(&text), headers: true },
        };
        let stage = test.stage();
        self.tests.push(test);
        Node::Test(self.tests.len() - 1, stage)
    }

    /// The fields that cards are asked for.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, FieldSet)> {
        self.tests.iter().filter_map(|test| match test {
            Test::Header { name, kept, .. } => Some((name.as_str(), (*kept)?)),
            _ => None,
        })
    }

    /// Whether all messages of a chunk match, or none, as far as the spine says.
    pub(super) fn decide_all(&self, chunk: &ChunkRef) -> Option<bool> {
        self.root.decide(&mut |leaf| match leaf {
            Leaf::Row(test) => test.holds_for_all(chunk),
            Leaf::Test(_) => None,
        })
    }

    /// Which messages of a chunk match and which do not, as far as rows and marks say.
    pub(super) fn judge(&self, chunk: &Chunk) -> Verdict {
        self.root.judge(chunk)
    }

    /// Whether a message matches, by its row and by what is known of the tests: `None` where that is
    /// not enough to say.
    pub(super) fn decide(&self, chunk: &Chunk, at: usize, row: &Row, facts: &[Option<bool>]) -> Option<bool> {
        self.root.decide(&mut |node| match node {
            Leaf::Row(test) => Some(test.holds(chunk, at, row)),
            Leaf::Test(slot) => facts.get(slot).copied().flatten(),
        })
    }
}

/// What rows and marks say of a chunk's messages; of those in neither, nothing.
#[derive(Clone, Copy)]
pub(super) struct Verdict {
    /// They match.
    pub(super) yes: Positions,
    /// They do not.
    pub(super) no: Positions,
}

impl Verdict {
    fn new(chunk: &Chunk, yes: Positions) -> Self {
        Self { yes, no: Positions::first(chunk.len()).without(yes) }
    }

    fn and(self, other: Self) -> Self {
        Self { yes: self.yes.and(other.yes), no: self.no.or(other.no) }
    }

    fn or(self, other: Self) -> Self {
        Self { yes: self.yes.or(other.yes), no: self.no.and(other.no) }
    }

    fn not(self) -> Self {
        Self { yes: self.no, no: self.yes }
    }
}

/// A node without children.
enum Leaf<'a> {
    Row(&'a RowTest),
    Test(usize),
}

impl Node {
    fn stage(&self) -> Stage {
        match self {
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().map(Self::stage).max().unwrap_or(Stage::Row),
            Self::Not(node) => node.stage(),
            Self::Row(_) => Stage::Row,
            Self::Test(_, stage) => *stage,
        }
    }

    fn judge(&self, chunk: &Chunk) -> Verdict {
        let (all, none) = (Positions::first(chunk.len()), Positions::default());
        let judged = |nodes: &[Self]| nodes.iter().map(|node| node.judge(chunk)).collect::<Vec<_>>();
        match self {
            Self::And(nodes) => judged(nodes).into_iter().fold(Verdict::new(chunk, all), Verdict::and),
            Self::Or(nodes) => judged(nodes).into_iter().fold(Verdict::new(chunk, none), Verdict::or),
            Self::Not(node) => node.judge(chunk).not(),
            Self::Row(test) => Verdict::new(chunk, test.positions(chunk)),
            Self::Test(..) => Verdict { yes: none, no: none },
        }
    }

    fn decide(&self, leaf: &mut impl FnMut(Leaf<'_>) -> Option<bool>) -> Option<bool> {
        match self {
            Self::And(nodes) => all(nodes, leaf, true),
            Self::Or(nodes) => all(nodes, leaf, false),
            Self::Not(node) => node.decide(leaf).map(|holds| !holds),
            Self::Row(test) => leaf(Leaf::Row(test)),
            Self::Test(slot, _) => leaf(Leaf::Test(*slot)),
        }
    }
}

/// `unless` if all nodes are that, its opposite as soon as one is, unknown otherwise: AND for true,
/// OR for false.
fn all(nodes: &[Node], leaf: &mut impl FnMut(Leaf<'_>) -> Option<bool>, unless: bool) -> Option<bool> {
    let mut answer = Some(unless);
    for node in nodes {
        match node.decide(leaf) {
            Some(holds) if holds == unless => {}
            Some(holds) => return Some(holds),
            None => answer = None,
        }
    }
    answer
}

/// The cheapest first, so that they spare the others.
fn sorted(mut nodes: Vec<Node>) -> Vec<Node> {
    nodes.sort_by_cached_key(Node::stage);
    nodes
}

impl RowTest {
    /// What the spine says: it holds for every message of a chunk, or for none.
    fn holds_for_all(&self, chunk: &ChunkRef) -> Option<bool> {
        let all_or_none = |some: u64| match some {
            0 => Some(false),
            some => (some == u64::from(chunk.sums.count)).then_some(true),
        };
        match self {
            Self::Uids(uids) => all_or_none(uids.intersection(&chunk.uids).len()),
            Self::System(Flags::SEEN_BIT) => all_or_none(chunk.sums.unseen.into()).map(|unseen| !unseen),
            Self::System(Flags::DELETED_BIT) => all_or_none(chunk.sums.deleted.into()),
            Self::Never => Some(false),
            _ => None,
        }
    }

    /// The messages of a chunk for which it holds.
    fn positions(&self, chunk: &Chunk) -> Positions {
        match self {
            Self::Uids(uids) => chunk.among(uids),
            Self::System(bit) => chunk.marks.positions(|set| set.system & bit != 0),
            Self::Keyword(id) => chunk.marks.positions(|set| set.keywords.binary_search(id).is_ok()),
            // Asked of whole mailboxes: what is the same for all rows is found out once.
            Self::Received(when) => {
                let seconds = when.seconds();
                Positions::of(chunk.rows(), |row| seconds.contains(&second(row.internal_date)))
            }
            test => Positions::of(chunk.rows(), |row| test.holds_for(row)),
        }
    }

    fn holds(&self, chunk: &Chunk, at: usize, row: &Row) -> bool {
        match self {
            Self::System(bit) => chunk.system_bits(at) & bit != 0,
            Self::Keyword(id) => chunk.keyword_ids(at).binary_search(id).is_ok(),
            test => test.holds_for(row),
        }
    }

    /// Whether it holds for a message, as far as its row says: it knows no flags.
    fn holds_for(&self, row: &Row) -> bool {
        match self {
            Self::Uids(uids) => uids.contains(row.uid),
            Self::System(_) | Self::Keyword(_) | Self::Never => false,
            Self::Larger(size) => u64::from(row.size) > *size,
            Self::Smaller(size) => u64::from(row.size) < *size,
            // RFC 9051 §6.4.4: "disregarding time and timezone".
            Self::Saved(when) => when.holds_at(DateTime::utc(row.saved)),
            Self::Email(email) => row.email == *email,
            Self::Thread(thread) => row.thread == *thread,
            Self::Received(when) => when.holds_at(row.internal_date),
            Self::Until(time) => row.internal_date.time <= *time,
            Self::From(time) => row.internal_date.time >= *time,
        }
    }
}

impl Test {
    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::Sent(_) => Stage::Card,
            Self::Header { kept: Some(_), .. } => Stage::Card,
            Self::Header { kept: None, .. } => Stage::Header,
            Self::Text { .. } => Stage::Body,
        }
    }
}
