//! Which message ids an account surely does not know.
//!
//! Most messages begin a thread: their id is looked for and not found, and to find nothing in the index costs as much as
//! to find something. Where that happens often, all ids of the account are read once, into a Bloom filter: what is
//! not in it is nowhere.
//!
//! Ids are written by the account's one writer alone, which adds them here as well. Those of a commit that failed and those
//! that retention has taken away stay until the filter goes; they cost a look.

use std::ops::ControlFlow;

use engine::ReadView;
use fastbloom::BloomFilter;

use crate::key;

/// See the module. Without a filter at first, and again when nobody has asked for long.
#[derive(Default)]
pub(crate) struct KnownIds {
    filter: Option<BloomFilter>,
    /// There can be no filter: there are too many ids, or some cannot be read.
    refused: bool,
    /// How many ids the filter still takes.
    room: usize,
    /// How often an id was looked for in vain.
    vain: u64,
    /// How often it has grown old since somebody asked.
    age: u32,
}

/// Looks in vain after which all ids are read: so many, and one for so many messages.
const VAIN: u64 = 64;
const MESSAGES: u64 = 32;

/// With more ids than that an account has no filter: it would take more than 4 MiB.
const MOST: usize = 2_000_000;

/// How many of those that are not in the filter are looked for all the same.
const MISTAKEN: f64 = 0.02;

/// A filter that has grown old so often goes: five minutes, where that happens every five seconds.
const OLD: u32 = 60;

impl KnownIds {
    /// True where no message id of the account has this hash.
    pub(crate) fn lack(&mut self, hash: u64) -> bool {
        self.age = 0;
        self.filter.as_ref().is_some_and(|filter| !filter.contains_hash(hash))
    }

    /// Notes that an id was looked for in vain. True where it is time to [read](Self::read) all of an account with so
    /// many messages.
    pub(crate) fn missed(&mut self, messages: u64) -> bool {
        self.vain += 1;
        self.filter.is_none() && !self.refused && self.vain >= VAIN.max(messages / MESSAGES)
    }

    /// Those of an account, and some more.
    pub(crate) fn read(view: &dyn ReadView, mut hashes: Vec<u64>) -> Self {
        let range = key::all_threads();
        let read = view.keys(&range.start..&range.end, &mut |key| {
            hashes.extend(key::number(key, 0));
            if hashes.len() <= MOST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if let Err(error) = &read {
            // Whoever looks for an id that cannot be read is told.
            tracing::debug!(%error, "no filter of message ids");
        }
        if read.is_err() { Self::refused() } else { Self::of(&hashes) }
    }

    /// These are all.
    pub(crate) fn of(hashes: &[u64]) -> Self {
        if hashes.len() > MOST {
            return Self::refused();
        }
        let room = hashes.len() + 1000;
        let mut filter = BloomFilter::with_false_pos(MISTAKEN).expected_items(hashes.len() + room);
        for &hash in hashes {
            filter.insert_hash(hash);
        }
        Self { filter: Some(filter), room, ..Self::default() }
    }

    fn refused() -> Self {
        Self { refused: true, ..Self::default() }
    }

    /// The account knows this one from now on.
    pub(crate) fn add(&mut self, hash: u64) {
        let Some(filter) = &mut self.filter else { return };
        match self.room.checked_sub(1) {
            Some(room) => {
                filter.insert_hash(hash);
                self.room = room;
            }
            // A larger one, when it is worth it.
            None => *self = Self::default(),
        }
    }

    /// Nobody has asked for a while.
    pub(crate) fn grow_old(&mut self) {
        self.age += 1;
        if self.age >= OLD {
            *self = Self::default();
        }
    }

    /// Gives the filter up; says about how many octets that freed.
    pub(crate) fn evict(&mut self) -> usize {
        let refused = self.refused;
        std::mem::replace(self, Self { refused, ..Self::default() }).memory()
    }

    /// Octets, about.
    pub(crate) fn memory(&self) -> usize {
        self.filter.as_ref().map_or(0, |filter| filter.num_bits() / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test(flavor = "multi_thread")]
    async fn threads_are_the_same_with_and_without() {
        let (_store, account, who) = testing::account().await;
        let new =
            |n: usize, refers: &str| format!("Message-ID: <{n}@x>\r\nReferences: {refers}\r\nSubject: {n}\r\n\r\n");
        // With nothing known, with all read at the 64th, in a batch, and with what came since.
        for n in 0..70 {
            testing::append(&account, &who, [new(n, "")]).await;
        }
        assert!(account.0.known_ids.lock().memory() > 0);
        testing::append(&account, &who, (70..100).map(|n| new(n, ""))).await;
        // To the first one, to one in the batch, to the last one, and two of which the parent never came.
        let replies = [("<0@x>", 0), ("<80@x>", 80), ("<99@x> <unknown@x>", 99), ("<gone@x>", 103), ("<gone@x>", 103)];
        let mut mailbox = None;
        for (n, (refers, _)) in (100..).zip(replies) {
            mailbox = Some(testing::append(&account, &who, [new(n, refers)]).await);
        }
        let snapshot = mailbox.unwrap().snapshot().unwrap();
        let all = snapshot.uids();
        let chunks: Vec<_> = snapshot.chunks(&all).map(Result::unwrap).collect();
        let threads: Vec<_> = chunks.iter().flat_map(|chunk| chunk.rows()).map(|row| row.thread).collect();
        assert_eq!(threads.len(), 105);
        for (n, (_, first)) in (100..).zip(replies) {
            assert_eq!(threads[n], threads[first], "{n}");
        }
        let mut begun: Vec<_> = threads.iter().take(100).chain(&threads[103..104]).collect();
        begun.dedup();
        assert_eq!(begun.len(), 101, "all others are threads of their own");
    }

    #[test]
    fn what_it_lacks_was_never_added() {
        let hash = |n: u64| xxhash_rust::xxh3::xxh3_64(&n.to_be_bytes());
        let mut ids = KnownIds::default();
        assert!(!ids.lack(hash(1)), "nobody knows yet");
        let missed: Vec<_> = (0..VAIN).map(|_| ids.missed(100)).collect();
        assert_eq!(missed.iter().filter(|now| **now).count(), 1);
        assert!(missed[missed.len() - 1]);

        let known: Vec<u64> = (0..500).map(hash).collect();
        ids = KnownIds::of(&known);
        // As many again as there were, and a thousand: then it is full.
        for n in 500..2000 {
            assert!(ids.memory() > 0);
            ids.add(hash(n));
            assert!((0..=n).all(|n| !ids.lack(hash(n))));
        }
        let lacking = (10_000..20_000).filter(|&n| ids.lack(hash(n))).count();
        assert!((9_500..10_000).contains(&lacking), "{lacking}");
        ids.add(hash(2000));
        assert!(ids.memory() == 0 && !ids.lack(hash(30_000)));
    }

    /// A view of which no key can be read.
    struct Unreadable;

    impl ReadView for Unreadable {
        fn commit_number(&self) -> engine::CommitNumber {
            engine::CommitNumber(1)
        }

        fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, engine::Error> {
            Ok(None)
        }

        fn scan(&self, _: std::ops::Range<&[u8]>, _: &mut engine::Each<'_>) -> Result<(), engine::Error> {
            Err(engine::Error::Damaged("a page".into()))
        }

        fn last(&self, _: std::ops::Range<&[u8]>) -> Result<Option<engine::Entry>, engine::Error> {
            Ok(None)
        }

        fn blob(&self, _: engine::BlobId) -> Result<Option<std::sync::Arc<dyn engine::Blob>>, engine::Error> {
            Ok(None)
        }

        fn blobs(&self) -> Result<Vec<engine::BlobId>, engine::Error> {
            Ok(vec![])
        }
    }

    #[test]
    fn ids_that_cannot_be_read_are_no_filter_and_are_not_read_again() {
        let mut ids = KnownIds::read(&Unreadable, vec![1]);
        assert!(!ids.lack(2) && ids.memory() == 0);
        assert!((0..2 * VAIN).all(|_| !ids.missed(1)));
    }

    #[test]
    fn it_goes_when_nobody_asks_and_never_comes_where_it_would_be_large() {
        let mut ids = KnownIds::of(&[1, 2]);
        (1..OLD).for_each(|_| ids.grow_old());
        assert!(ids.lack(77));
        (1..OLD).for_each(|_| ids.grow_old());
        assert!(ids.memory() > 0, "somebody has asked meanwhile");
        ids.grow_old();
        assert_eq!(ids.memory(), 0);
        let many: Vec<u64> = (0..=MOST as u64).collect();
        ids = KnownIds::of(&many);
        assert!(ids.memory() == 0 && (0..2 * VAIN).all(|_| !ids.missed(1)), "asked once, and not again");
        assert_eq!(ids.evict(), 0);
        assert!((0..2 * VAIN).all(|_| !ids.missed(1)), "nor when memory is short");
        ids = KnownIds::of(&many[1..]);
        let memory = ids.memory();
        assert!((3 << 20..4 << 20).contains(&memory), "{memory}");
        assert_eq!((ids.evict(), ids.memory()), (memory, 0));
    }
}
