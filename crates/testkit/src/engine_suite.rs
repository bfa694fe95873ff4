//! What every engine must do, as tests: [`engine_suite!`](crate::engine_suite!) makes one of each
//! for a [`Subject`].
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // a test that fails panics

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::thread;

use engine::{
    AccountBatch, Batch, Blob, BlobId, CommitError, CommitNumber, Engine, Error, NewBlob, ReadView, Upload, Write,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use types::AccountId;

use crate::fault_disk::Random;

/// An engine to be tested.
pub trait Subject {
    /// As it is now.
    fn engine(&self) -> &dyn Engine;

    /// Closes it and opens it again, where that makes sense.
    fn reopen(&mut self) {}
}

/// Makes the tests. `$make` is an expression that gives a fresh [`Subject`].
#[macro_export]
macro_rules! engine_suite {
    ($make:expr) => {
        $crate::engine_suite!(@tests $make,
            keys_are_ordered_bytewise
            scans_keep_their_bounds
            last_is_the_largest
            later_writes_win
            a_view_does_not_move
            a_commit_number_counts
            a_conflict_changes_nothing
            accounts_change_together
            an_account_twice_is_refused
            clear_leaves_nothing
            blobs_of_every_size
            parts_of_a_blob
            blobs_dropped_while_read
            a_blob_id_is_used_once
            duplicates_are_separate
            uploads_written_out
            uploads_of_nobody
            many_at_once
            reclaiming_is_not_noticed
            behaves_as_a_map
        );
    };
    (@tests $make:expr, $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $crate::engine_suite::$name(&mut || $make);
            }
        )*
    };
}

/// Makes a fresh subject.
pub type Make<'a, S> = &'a mut dyn FnMut() -> S;

/// All entries of an account.
pub type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

const A: AccountId = AccountId(7);
const B: AccountId = AccountId(8);

/// After every key that the tests use.
const END: &[u8] = &[0xff; 16];

/// A batch for one account that puts (or with `None` deletes) keys.
pub fn puts(account: AccountId, expect: u64, writes: &[(&[u8], Option<&[u8]>)]) -> AccountBatch {
    let write = |(key, value): &(&[u8], Option<&[u8]>)| Write { key: key.to_vec(), value: value.map(<[u8]>::to_vec) };
    let essential = writes.iter().map(write).collect();
    AccountBatch { essential, ..AccountBatch::new(account, CommitNumber(expect)) }
}

/// Commits changes together and waits.
pub fn commit(engine: &dyn Engine, accounts: Vec<AccountBatch>) -> Result<(), CommitError> {
    engine.commit(Batch { accounts }).wait()
}

/// Uploads octets, with a piece ending at `cut`.
pub fn upload(engine: &dyn Engine, bytes: &[u8], cut: usize) -> Upload {
    let mut writer = engine.upload().unwrap();
    let (head, rest) = bytes.split_at(cut.min(bytes.len()));
    writer.write(head).unwrap();
    writer.cut().unwrap();
    // As a network does: not in the sizes of the engine.
    rest.chunks(10_000).for_each(|chunk| writer.write(chunk).unwrap());
    writer.finish().unwrap()
}

/// A blob with a label, ready for a batch.
pub fn new_blob(engine: &dyn Engine, id: u64, bytes: &[u8]) -> NewBlob {
    NewBlob { id: BlobId(id), upload: upload(engine, bytes, 100), label: format!("label {id}").into_bytes() }
}

/// Everything that a view holds.
pub fn entries(view: &dyn ReadView) -> Entries {
    let mut found = Entries::new();
    view.scan(&[]..END, &mut |key, value| {
        assert!(found.last_key_value().is_none_or(|(last, _)| last.as_slice() < key), "out of order");
        found.insert(key.to_vec(), value.to_vec());
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

/// The whole of a blob.
pub fn content(blob: &dyn Blob) -> Vec<u8> {
    let mut bytes = Vec::new();
    blob.read(0..blob.size(), &mut bytes).unwrap();
    bytes
}

/// All blobs of a view.
pub fn blobs(view: &dyn ReadView) -> BTreeMap<BlobId, Vec<u8>> {
    let ids = view.blobs().unwrap();
    assert!(ids.is_sorted());
    ids.into_iter().map(|id| (id, content(&*view.blob(id).unwrap().unwrap()))).collect()
}

fn clean(engine: &dyn Engine) {
    assert_eq!(engine.check().unwrap(), Vec::<String>::new());
    assert_eq!(engine.read_only(), None);
}

fn keys_of(view: &dyn ReadView, range: Range<&[u8]>) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    view.scan(range, &mut |key, _| {
        keys.push(key.to_vec());
        ControlFlow::Continue(())
    })
    .unwrap();
    keys
}

/// Octet by octet, the shorter first.
pub fn keys_are_ordered_bytewise<S: Subject>(make: Make<'_, S>) {
    let mut subject = make();
    let keys: [&[u8]; 7] = [b"a\x80", b"a", b"", b"\x00", b"b", b"a\x00", b"\xff"];
    let writes: Vec<_> = keys.iter().map(|key| (*key, Some(*key))).collect();
    commit(subject.engine(), vec![puts(A, 0, &writes)]).unwrap();
    subject.reopen();
    let view = subject.engine().read(A).unwrap();
    let sorted: Vec<Vec<u8>> = keys.iter().map(|key| key.to_vec()).collect::<BTreeSet<_>>().into_iter().collect();
    assert_eq!(keys_of(&*view, &[]..END), sorted);
    for key in keys {
        assert_eq!(view.get(key).unwrap().as_deref(), Some(key));
    }
    assert_eq!(view.get(b"aa").unwrap(), None);
    assert!(entries(&*subject.engine().read(B).unwrap()).is_empty(), "another account");
}

/// The start belongs to a range, the end does not, and an empty or reversed range holds nothing.
pub fn scans_keep_their_bounds<S: Subject>(make: Make<'_, S>) {
    let subject = make();
    let engine = subject.engine();
    let neighbours = [AccountId(6), A, B];
    for account in neighbours {
        commit(engine, vec![puts(account, 0, &[(b"a", Some(b"1")), (b"b", Some(b"")), (b"c", Some(b"3"))])]).unwrap();
    }
    let view = engine.read(A).unwrap();
    assert_eq!(keys_of(&*view, b"a"..b"c"), [b"a", b"b"]);
    assert_eq!(keys_of(&*view, b"a\x00"..b"c\x00"), [b"b", b"c"]);
    assert_eq!(keys_of(&*view, b"b"..b"b"), Vec::<Vec<u8>>::new());
    assert_eq!(keys_of(&*view, b"c"..b"a"), Vec::<Vec<u8>>::new());
    assert_eq!(view.get(b"b").unwrap(), Some(vec![]));

    let mut seen = 0;
    view.scan(&[]..END, &mut |_, _| {
        seen += 1;
        // Looking at other keys meanwhile is allowed.
        assert_eq!(view.get(b"c").unwrap().as_deref(), Some(&b"3"[..]));
        if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
    .unwrap();
    assert_eq!(seen, 2, "a scan ends when it is told to");
}

/// With the bounds of a scan.
pub fn last_is_the_largest<S: Subject>(make: Make<'_, S>) {
    let subject = make();
    commit(subject.engine(), vec![puts(A, 0, &[(b"a", Some(b"1")), (b"b", Some(b"2"))])]).unwrap();
    let view = subject.engine().read(A).unwrap();
    let entry = |key: &[u8], value: &[u8]| Some((key.to_vec(), value.to_vec()));
    assert_eq!(view.last(&[]..END).unwrap(), entry(b"b", b"2"));
    assert_eq!(view.last(b"a"..b"b").unwrap(), entry(b"a", b"1"));
    assert_eq!(view.last(b"a\x00"..b"b").unwrap(), None);
    assert_eq!(view.last(b"b"..b"a").unwrap(), None);
}

/// Also within one batch, and derived keys are keys like the others.
pub fn later_writes_win<S: Subject>(make: Make<'_, S>) {
    let mut subject = make();
    let mut batch = puts(A, 0, &[(b"a", Some(b"1")), (b"a", Some(b"2")), (b"b", Some(b"1")), (b"b", None)]);
    batch.derived.push(Write { key: b"d".to_vec(), value: Some(b"derived".to_vec()) });
    batch.from_blobs.push(Write { key: b"e".to_vec(), value: Some(b"of blobs".to_vec()) });
    commit(subject.engine(), vec![batch]).unwrap();
    commit(subject.engine(), vec![puts(A, 1, &[(b"c", None), (b"c", Some(b"3")), (b"a", Some(b"4"))])]).unwrap();
    subject.reopen();
    let expected: Entries = [(b"a", &b"4"[..]), (b"c", b"3"), (b"d", b"derived"), (b"e", b"of blobs")]
        .map(|(k, v)| (k.to_vec(), v.to_vec()))
        .into();
    assert_eq!(entries(&*subject.engine().read(A).unwrap()), expected);
    commit(subject.engine(), vec![puts(A, 2, &[(b"d", None)])]).unwrap();
    assert_eq!(subject.engine().read(A).unwrap().get(b"d").unwrap(), None);
    clean(subject.engine());
}

/// It shows the commit it began with, whatever happens meanwhile.
pub fn a_view_does_not_move<S: Subject>(make: Make<'_, S>) {
    let subject = make();
    let engine = subject.engine();
    let first = AccountBatch { blobs: vec![new_blob(engine, 1, b"one")], ..puts(A, 0, &[(b"a", Some(b"1"))]) };
    commit(engine, vec![first]).unwrap();
    let before = engine.read(A).unwrap();
    let other = engine.read(B).unwrap();
    let second = AccountBatch {
        dropped: vec![BlobId(1)],
        blobs: vec![new_blob(engine, 2, b"two")],
        ..puts(A, 1, &[(b"a", Some(b"2")), (b"b", Some(b"2"))])
    };
    commit(engine, vec![second, puts(B, 0, &[(b"x", Some(b"y"))])]).unwrap();
    commit(engine, vec![AccountBatch { clear: true, ..puts(A, 2, &[]) }]).unwrap();

    assert_eq!(before.commit_number(), CommitNumber(1));
    assert_eq!(entries(&*before), Entries::from([(b"a".to_vec(), b"1".to_vec())]));
    assert_eq!(blobs(&*before), BTreeMap::from([(BlobId(1), b"one".to_vec())]));
    assert_eq!((other.commit_number(), entries(&*other)), (CommitNumber(0), Entries::new()));
    drop((before, other));
    let after = engine.read(A).unwrap();
    assert_eq!((after.commit_number(), entries(&*after)), (CommitNumber(3), Entries::new()));
    assert_eq!(blobs(&*after), BTreeMap::new());
}

/// One for each batch that names the account, with or without content.
pub fn a_commit_number_counts<S: Subject>(make: Make<'_, S>) {
    let mut subject = make();
    for n in 0..5 {
        assert_eq!(subject.engine().read(A).unwrap().commit_number(), CommitNumber(n));
        commit(subject.engine(), vec![AccountBatch::new(A, CommitNumber(n))]).unwrap();
        if n == 2 {
            subject.reopen();
        }
    }
    let large = AccountId(u64::MAX);
    commit(subject.engine(), vec![puts(large, 0, &[(b"k", Some(b"v"))])]).unwrap();
    assert_eq!(subject.engine().read(large).unwrap().commit_number(), CommitNumber(1));
    assert_eq!(subject.engine().read(A).unwrap().commit_number(), CommitNumber(5));
    commit(subject.engine(), vec![]).unwrap();
}

/// A batch that expects another commit is refused, and nobody else is.
pub fn a_conflict_changes_nothing<S: Subject>(make: Make<'_, S>) {
    let subject = make();
    let engine = subject.engine();
    commit(engine, vec![puts(A, 0, &[(b"a", Some(b"1"))])]).unwrap();
    for wrong in [0, 2, u64::MAX] {
        let loser = AccountBatch {
            clear: true,
            blobs: vec![new_blob(engine, 1, b"never")],
            ..puts(A, wrong, &[(b"a", Some(b"2"))])
        };
        // Queued together, so that they may share a group.
        let lost = engine.commit(Batch { accounts: vec![loser] });
        let number = engine.read(B).unwrap().commit_number();
        let won = engine.commit(Batch { accounts: vec![puts(B, number.0, &[(b"b", Some(b"1"))])] });
        assert!(matches!(lost.wait(), Err(CommitError::Conflict)));
        won.wait().unwrap();
    }
    let view = engine.read(A).unwrap();
    assert_eq!((view.commit_number(), entries(&*view).len(), blobs(&*view).len()), (CommitNumber(1), 1, 0));
    // Queued one after the other, the second builds on the first.
    let queued: Vec<_> = (1..20).map(|n| engine.commit(Batch { accounts: vec![puts(A, n, &[])] })).collect();
    queued.into_iter().for_each(|pending| pending.wait().unwrap());
    assert_eq!(engine.read(A).unwrap().commit_number(), CommitNumber(20));
    clean(engine);
}

/// All of them or none.
pub fn accounts_change_together<S: Subject>(make: Make<'_, S>) {
    let mut subject = make();
    let both = |a, b, value: &[u8]| vec![puts(A, a, &[(b"k", Some(value))]), puts(B, b, &[(b"k", Some(value))])];
    commit(subject.engine(), both(0, 0, b"1")).unwrap();
    assert!(matches!(commit(subject.engine(), both(1, 0, b"2")), Err(CommitError::Conflict)));
    assert!(matches!(commit(subject.engine(), both(0, 1, b"2")), Err(CommitError::Conflict)));
    subject.reopen();
    for account in [A, B] {
        let view = subject.engine().read(account).unwrap();
        assert_eq!((view.commit_number(), view.get(b"k").unwrap()), (CommitNumber(1), Some(b"1".to_vec())));
    }
    commit(subject.engine(), both(1, 1, b"3")).unwrap();
    assert_eq!(subject.engine().read(B).unwrap().get(b"k").unwrap(), Some(b"3".to_vec()));
}

/// It could not be said what such a batch means.
pub fn an_account_twice_is_refused<S: Subject>(make: Make<'_, S>) {
    let subject = make();
    let twice = vec![puts(A, 0, &[(b"a", Some(b"1"))]), puts(A, 0, &[(b"a", Some(b"2"))])];
    assert!(matches!(commit(subject.engine(), twice), Err(CommitError::Failed(_))));
    assert_eq!(subject.engine().read(A).unwrap().commit_number(), CommitNumber(0));
    clean(subject.engine());
}

/// Keys and blobs go, the commit number goes on, other accounts stay.
pub fn clear_leaves_nothing<S: Subject>(make: Make<'_, S>) {
    let mut subject = make();
    for account in [A, B] {
        let blobs = vec![new_blob(subject.engine(), 1, b"small"), new_blob(subject.engine(), 2, &[7; 300_000])];
        let full = AccountBatch { blobs, ..puts(account, 0, &[(b"a", Some(b"1")), (b"b", Some(b"2"))]) };
        commit(subject.engine(), vec![full]).unwrap();
    }
    // The rest of the same batch comes after the clearing, and may use the old ids.
    let blobs_after = vec![new_blob(subject.engine(), 2, b"new")];
    let cleared = AccountBatch { clear: true, blobs: blobs_after, ..puts(A, 1, &[(b"b", Some(b"3"))]) };
    commit(subject.engine(), vec![cleared]).unwrap();
    subject.reopen();
    let view = subject.engine().read(A).unwrap();
    assert_eq!(view.commit_number(), CommitNumber(2));
    assert_eq!(entries(&*view), Entries::from([(b"b".to_vec(), b"3".to_vec())]));
    assert_eq!(blobs(&*view), BTreeMap::from([(BlobId(2), b"new".to_vec())]));
    let other = subject.engine().read(B).unwrap();
    assert_eq!((entries(&*other).len(), blobs(&*other).len()), (2, 2));
    clean(subject.engine());
}

/// On both sides of each size at which an engine may change its ways.
pub fn blobs_of_every_size<S: Subject>(make: Make<'_, S>) {
    let mut subject = make();
    let kib = 1024;
    let edges = [64 * kib, 256 * kib, 256 * kib + 100].into_iter().flat_map(|edge| edge - 1..=edge + 1);
    let sizes: Vec<usize> = [0, 1, 99, 100, 101].into_iter().chain(edges).chain([5 << 20]).collect();
    let mut random = Random::new(1);
    let all: BTreeMap<BlobId, Vec<u8>> = sizes.iter().map(|size| (BlobId(*size as u64), random.bytes(*size))).collect();
    let blobs_in = |engine: &dyn Engine| all.iter().map(|(id, bytes)| new_blob(engine, id.0, bytes)).collect();
    commit(subject.engine(), vec![AccountBatch { blobs: blobs_in(subject.engine()), ..puts(A, 0, &[]) }]).unwrap();
    for reopen in [false, true] {
        if reopen {
            subject.reopen();
        }
        let view = subject.engine().read(A).unwrap();
        assert!(blobs(&*view) == all);
        assert!(view.blob(BlobId(2)).unwrap().is_none());
        for (id, bytes) in &all {
            assert_eq!(view.blob(*id).unwrap().unwrap().size(), bytes.len() as u64);
        }
    }
    clean(subject.engine());
}

/// Any range within the blob, across pieces and at their edges, piece by piece; no range beyond it.
pub fn parts_of_a_blob<S: Subject>(make: Make<'_, S>) {
    let subject = make();
    let mut random = Random::new(2);
    for size in [1000, 700_000] {
        let bytes = random.bytes(size);
        let id = BlobId(size as u64);
        let number = subject.engine().read(A).unwrap().commit_number();
        let batch = AccountBatch { blobs: vec![new_blob(subject.engine(), id.0, &bytes)], ..puts(A, number.0, &[]) };
        commit(subject.engine(), vec![batch]).unwrap();
        let blob = subject.engine().read(A).unwrap().blob(id).unwrap().unwrap();
        let edges = [0, 99, 100, 101, size / 2, size - 1, size];
        let part = |from: usize, to: usize| {
            let mut out = b"before".to_vec();
            blob.read(from as u64..to as u64, &mut out).unwrap();
            assert!(out.strip_prefix(b"before") == Some(&bytes[from..to]), "{from}..{to} of {size}");
        };
        for from in edges {
            edges.into_iter().filter(|to| *to >= from).for_each(|to| part(from, to));
        }
        for _ in 0..200 {
            let from = random.below(size as u64 + 1);
            let to = from + random.below(size as u64 + 1 - from);
            part(from as usize, to as usize);
        }
        let size = size as u64;
        let mut whole = vec![];
        while (whole.len() as u64) < size {
            let at = whole.len() as u64;
            let end = blob.piece_end(at);
            assert!(at < end && end <= size, "{at}..{end} of {size}");
            blob.read(at..end, &mut whole).unwrap();
        }
        assert!(whole == bytes && blob.piece_end(size) == size);
        for wrong in [0..size + 1, size + 1..size + 1, Range { start: 5, end: 4 }, 0..u64::MAX] {
            let mut out = b"before".to_vec();
            assert!(blob.read(wrong, &mut out).is_err());
            assert_eq!(out, b"before");
        }
    }
}

/// A handle outlives its view and its blob.
pub fn blobs_dropped_while_read<S: Subject>(make: Make<'_, S>) {
    let subject = make();
    let engine = subject.engine();
    let large = Random::new(3).bytes(600_000);
    let blobs_in = vec![new_blob(engine, 1, b"small"), new_blob(engine, 2, &large)];
    commit(engine, vec![AccountBatch { blobs: blobs_in, ..puts(A, 0, &[]) }]).unwrap();
    let view = engine.read(A).unwrap();
    let [first, second] = [1, 2].map(|id| view.blob(BlobId(id)).unwrap().unwrap());
    drop(view);
    let dropped = vec![BlobId(1), BlobId(2), BlobId(99)];
    commit(engine, vec![AccountBatch { dropped, ..puts(A, 1, &[]) }]).unwrap();
    assert!(engine.read(A).unwrap().blob(BlobId(1)).unwrap().is_none());
    assert!(blobs(&*engine.read(A).unwrap()).is_empty());
    assert_eq!(content(&*first), b"small");
    assert!(content(&*second) == large);
    clean(engine);
}

/// Another blob with the id of one that is there is refused, and so is the batch.
pub fn a_blob_id_is_used_once<S: Subject>(make: Make<'_, S>) {
    let subject = make();
    let engine = subject.engine();
    let one = |bytes: &[u8]| vec![new_blob(engine, 1, bytes)];
    commit(engine, vec![AccountBatch { blobs: one(b"first"), ..puts(A, 0, &[]) }]).unwrap();
    let again = AccountBatch { blobs: one(b"second"), ..puts(A, 1, &[(b"k", Some(b"v"))]) };
    assert!(matches!(commit(engine, vec![again]), Err(CommitError::Failed(Error::Io(_)))));
    let twice = vec![new_blob(engine, 5, b"x"), new_blob(engine, 5, b"y")];
    assert!(commit(engine, vec![AccountBatch { blobs: twice, ..puts(A, 1, &[]) }]).is_err());
    let view = engine.read(A).unwrap();
    assert_eq!((view.commit_number(), view.get(b"k").unwrap()), (CommitNumber(1), None));
    assert_eq!(blobs(&*view), BTreeMap::from([(BlobId(1), b"first".to_vec())]));
    // In another account it is another blob.
    commit(engine, vec![AccountBatch { blobs: one(b"other"), ..puts(B, 0, &[]) }]).unwrap();
    clean(engine);
}

/// The copy lives on when the original goes.
pub fn duplicates_are_separate<S: Subject>(make: Make<'_, S>) {
    let mut subject = make();
    let mut random = Random::new(4);
    for (n, size) in [0, 500, 400_000].into_iter().enumerate() {
        let (engine, n) = (subject.engine(), n as u64);
        let bytes = random.bytes(size);
        let first = upload(engine, &bytes, 100);
        let second = engine.duplicate(&first).unwrap();
        assert_eq!((first.size(), second.size()), (size as u64, size as u64));
        let blob = |upload| vec![NewBlob { id: BlobId(n), upload, label: vec![] }];
        let a = AccountBatch { blobs: blob(first), ..puts(A, 2 * n, &[]) };
        commit(engine, vec![a, AccountBatch { blobs: blob(second), ..puts(B, n, &[]) }]).unwrap();
        commit(engine, vec![AccountBatch { dropped: vec![BlobId(n)], ..puts(A, 2 * n + 1, &[]) }]).unwrap();
        subject.reopen();
        let copy = subject.engine().read(B).unwrap().blob(BlobId(n)).unwrap().unwrap();
        assert!(content(&*copy) == bytes);
    }
    clean(subject.engine());
}

/// What was written out before its commit is the same blob, and of nobody until then.
pub fn uploads_written_out<S: Subject>(make: Make<'_, S>) {
    let mut subject = make();
    let mut random = Random::new(6);
    let bodies: Vec<_> = [0, 1, 500, 60_000, 400_000, 7].into_iter().map(|size| random.bytes(size)).collect();
    let engine = subject.engine();
    let mut uploads: Vec<_> = bodies.iter().map(|bytes| upload(engine, bytes, 100)).collect();
    // Twice: what is there already stays.
    for _ in 0..2 {
        engine.write_out(&mut uploads.iter_mut().collect::<Vec<_>>()).unwrap();
    }
    engine.write_out(&mut []).unwrap();
    assert!(uploads.iter().map(Upload::size).eq(bodies.iter().map(|bytes| bytes.len() as u64)));
    drop(uploads.pop());
    let numbered = (1..).zip(uploads);
    let blobs_of = numbered.map(|(id, upload)| NewBlob { id: BlobId(id), upload, label: b"label".to_vec() });
    commit(engine, vec![AccountBatch { blobs: blobs_of.collect(), ..puts(A, 0, &[]) }]).unwrap();
    let expected: BTreeMap<_, _> = (1..).map(BlobId).zip(bodies).take(5).collect();
    for _ in 0..2 {
        assert_eq!(blobs(&*subject.engine().read(A).unwrap()), expected);
        clean(subject.engine());
        subject.reopen();
    }
}

/// Uploads that are given up, before or after their end, leave nothing that counts.
pub fn uploads_of_nobody<S: Subject>(make: Make<'_, S>) {
    let mut subject = make();
    for size in [10, 500_000] {
        let bytes = vec![1; size];
        drop(upload(subject.engine(), &bytes, 5));
        let mut writer = subject.engine().upload().unwrap();
        writer.write(&bytes).unwrap();
        drop(writer);
    }
    // What else is an upload to another engine.
    let foreign = NewBlob { id: BlobId(1), upload: Upload::new(3, "not ours"), label: vec![] };
    assert!(commit(subject.engine(), vec![AccountBatch { blobs: vec![foreign], ..puts(A, 0, &[]) }]).is_err());
    assert!(subject.engine().duplicate(&Upload::new(3, "not ours")).is_err());
    subject.reopen();
    assert!(blobs(&*subject.engine().read(A).unwrap()).is_empty());
    clean(subject.engine());
}

/// Writers of their own accounts, rivals for one account, and readers, all together.
pub fn many_at_once<S: Subject>(make: Make<'_, S>) {
    const WRITERS: u64 = 8;
    const ROUNDS: u64 = 25;
    let mut subject = make();
    let engine = subject.engine();
    let rivals = AccountId(100);
    thread::scope(|scope| {
        let counters = (0..WRITERS).map(|n| scope.spawn(move || write_alone(engine, AccountId(n), ROUNDS)));
        let counters: Vec<_> = counters.collect();
        let rival = (0..3).map(|_| scope.spawn(move || (0..ROUNDS).for_each(|_| increment(engine, rivals))));
        let rival: Vec<_> = rival.collect();
        while !counters.iter().all(thread::ScopedJoinHandle::is_finished) {
            for n in 0..WRITERS {
                consistent(&*engine.read(AccountId(n)).unwrap());
            }
        }
        counters.into_iter().chain(rival).for_each(|thread| thread.join().unwrap());
    });
    subject.reopen();
    for n in 0..WRITERS {
        let view = subject.engine().read(AccountId(n)).unwrap();
        assert_eq!(view.commit_number(), CommitNumber(ROUNDS));
        consistent(&*view);
    }
    let view = subject.engine().read(rivals).unwrap();
    assert_eq!(view.get(b"count").unwrap(), Some((3 * ROUNDS).to_be_bytes().to_vec()));
    clean(subject.engine());
}

/// Writers that drop nearly all that they bring, and readers, while space is given back all the time.
pub fn reclaiming_is_not_noticed<S: Subject>(make: Make<'_, S>) {
    let mut subject = make();
    let engine = subject.engine();
    thread::scope(|scope| {
        let writers: Vec<_> = (0..3).map(|n| scope.spawn(move || write_and_drop(engine, AccountId(n)))).collect();
        while !writers.iter().all(thread::ScopedJoinHandle::is_finished) {
            let view = engine.read(AccountId(0)).unwrap();
            assert_eq!(engine.reclaim().wait().unwrap().damaged, Vec::<String>::new());
            consistent_with_drops(&*view);
        }
        writers.into_iter().for_each(|thread| thread.join().unwrap());
    });
    subject.engine().reclaim().wait().unwrap();
    subject.reopen();
    subject.engine().reclaim().wait().unwrap();
    (0..3).for_each(|n| consistent_with_drops(&*subject.engine().read(AccountId(n)).unwrap()));
    let figures = subject.engine().figures().unwrap();
    // Each writer has kept every tenth blob.
    assert!(figures.dead <= figures.live + 600_000, "{figures:?}");
    clean(subject.engine());
}

const ROUNDS_WITH_DROPS: u64 = 60;

/// Blob *n* comes with commit *n*; a few commits later it goes, unless ten divides *n*.
fn write_and_drop(engine: &dyn Engine, account: AccountId) {
    for n in 0..ROUNDS_WITH_DROPS {
        let blobs = vec![new_blob(engine, n, &body_with_drops(account, n))];
        let dropped = n.checked_sub(3).filter(|old| !old.is_multiple_of(10)).map(BlobId);
        let batch = AccountBatch { blobs, dropped: dropped.into_iter().collect(), ..puts(account, n, &[]) };
        commit(engine, vec![batch]).unwrap();
    }
}

fn body_with_drops(account: AccountId, n: u64) -> Vec<u8> {
    let mut random = Random::new(account.0 << 32 | n);
    let len = if n.is_multiple_of(7) { 90_000 } else { random.below(9000) as usize };
    random.bytes(len)
}

/// What [`write_and_drop`] leaves after each commit.
fn consistent_with_drops(view: &dyn ReadView) {
    let number = view.commit_number().0;
    let kept = (0..number).filter(|n| n.is_multiple_of(10) || n + 3 >= number).map(BlobId);
    assert_eq!(view.blobs().unwrap(), kept.collect::<Vec<_>>());
}

/// Each commit adds a blob and writes its own number under two keys.
fn write_alone(engine: &dyn Engine, account: AccountId, rounds: u64) {
    let mut random = Random::new(account.0);
    for round in 0..rounds {
        let size = if random.chance(5) { 80_000 } else { random.below(5000) as usize };
        let value = (round + 1).to_be_bytes();
        let writes: [(&[u8], Option<&[u8]>); 2] = [(b"x", Some(&value)), (b"y", Some(&value))];
        let blobs = vec![new_blob(engine, round, &vec![round as u8; size])];
        commit(engine, vec![AccountBatch { blobs, ..puts(account, round, &writes) }]).unwrap();
    }
}

/// What [`write_alone`] leaves after each commit.
fn consistent(view: &dyn ReadView) {
    let number = view.commit_number().0;
    let value = (number > 0).then(|| number.to_be_bytes().to_vec());
    assert_eq!((view.get(b"x").unwrap(), view.get(b"y").unwrap()), (value.clone(), value));
    assert_eq!(view.blobs().unwrap().len() as u64, number);
    if let Some(last) = number.checked_sub(1) {
        let blob = view.blob(BlobId(last)).unwrap().unwrap();
        assert!(content(&*blob).iter().all(|octet| u64::from(*octet) == last));
    }
}

/// Loads again and applies again until nobody else was faster.
fn increment(engine: &dyn Engine, account: AccountId) {
    loop {
        let (number, count) = {
            let view = engine.read(account).unwrap();
            let count = view.get(b"count").unwrap();
            (view.commit_number().0, count.map_or(0, |c| u64::from_be_bytes(c.try_into().unwrap())))
        };
        match commit(engine, vec![puts(account, number, &[(b"count", Some(&(count + 1).to_be_bytes()))])]) {
            Ok(()) => return,
            Err(CommitError::Conflict) => {}
            Err(e) => panic!("{e}"),
        }
    }
}

/// An account of the model.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Model {
    /// Its commits.
    pub number: u64,
    /// Its keys.
    pub entries: Entries,
    /// Its blobs.
    pub blobs: BTreeMap<BlobId, Vec<u8>>,
}

impl Model {
    /// What a view shows.
    pub fn of(view: &dyn ReadView) -> Self {
        Self { number: view.commit_number().0, entries: entries(view), blobs: blobs(view) }
    }

    /// Makes a write part of a batch, and does it here.
    pub fn put(&mut self, batch: &mut Vec<Write>, write: Write) {
        match &write.value {
            Some(value) => self.entries.insert(write.key.clone(), value.clone()),
            None => self.entries.remove(&write.key),
        };
        batch.push(write);
    }

    /// Says so, briefly, where an account is not what it should be.
    pub fn assert_is(&self, view: &dyn ReadView) {
        let found = Self::of(view);
        assert_eq!((found.number, &found.entries), (self.number, &self.entries));
        assert_eq!(found.blobs.keys().collect::<Vec<_>>(), self.blobs.keys().collect::<Vec<_>>());
        assert!(found.blobs == self.blobs, "a blob has other octets");
    }
}

/// What a random batch does to an account.
#[derive(Clone, Debug)]
struct Change {
    stale: bool,
    clear: bool,
    writes: Vec<(Vec<u8>, Option<usize>)>,
    blobs: Vec<usize>,
    /// Drops the oldest blobs, so many.
    drops: usize,
}

#[derive(Clone, Debug)]
enum Step {
    Commit(BTreeMap<u64, Change>),
    /// Begins a view, to be compared at the end.
    Look(u64),
    /// Gives space back, while views and their blobs are open.
    Reclaim,
    Reopen,
}

fn change() -> impl Strategy<Value = Change> {
    let key = proptest::collection::vec(prop_oneof![Just(0), Just(1), Just(0x7f), Just(0xff)], 0..3);
    let value = proptest::option::weighted(0.7, prop_oneof![0..50usize, 900..1200usize, 3000..20_000usize]);
    let size = prop_oneof![8 => 0..3000usize, 1 => 65_000..66_000usize, 1 => 260_000..600_000usize];
    let (writes, blobs) = (proptest::collection::vec((key, value), 0..6), proptest::collection::vec(size, 0..3));
    let rare = |weight| proptest::bool::weighted(weight);
    (rare(0.05), rare(0.05), writes, blobs, prop_oneof![3 => Just(0), 1 => 0..4usize])
        .prop_map(|(stale, clear, writes, blobs, drops)| Change { stale, clear, writes, blobs, drops })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => proptest::collection::btree_map(0..3u64, change(), 1..3).prop_map(Step::Commit),
        2 => (0..3u64).prop_map(Step::Look),
        2 => Just(Step::Reclaim),
        1 => Just(Step::Reopen),
    ]
}

/// Random batches do to an engine what they do to maps.
pub fn behaves_as_a_map<S: Subject>(make: Make<'_, S>) {
    let config = Config { cases: 48, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let steps = proptest::collection::vec(step(), 1..25);
    let make = std::cell::RefCell::new(make);
    let run = |steps: Vec<Step>| {
        let mut subject = (make.borrow_mut())();
        follow(&mut subject, &steps);
        Ok(())
    };
    TestRunner::new(config).run(&steps, run).unwrap();
}

fn follow<S: Subject>(subject: &mut S, steps: &[Step]) {
    let mut models: BTreeMap<u64, Model> = BTreeMap::new();
    let mut looks: Vec<(Model, Box<dyn ReadView>)> = Vec::new();
    let mut next_blob = 0;
    for step in steps {
        match step {
            Step::Commit(changes) => {
                let mut after = models.clone();
                let engine = subject.engine();
                let batches = changes
                    .iter()
                    .map(|(id, change)| batch(engine, AccountId(*id), change, &mut after, &mut next_blob));
                match commit(engine, batches.collect()) {
                    Ok(()) => models = after,
                    Err(CommitError::Conflict) => assert!(changes.values().any(|change| change.stale)),
                    Err(e) => panic!("{e}"),
                }
                for id in changes.keys() {
                    let model = models.get(id).cloned().unwrap_or_default();
                    model.assert_is(&*engine.read(AccountId(*id)).unwrap());
                }
            }
            Step::Look(id) => {
                let model = models.get(id).cloned().unwrap_or_default();
                looks.push((model, subject.engine().read(AccountId(*id)).unwrap()));
            }
            Step::Reclaim => {
                let reclaimed = subject.engine().reclaim().wait().unwrap();
                assert_eq!(reclaimed.damaged, Vec::<String>::new());
                for (id, model) in &models {
                    model.assert_is(&*subject.engine().read(AccountId(*id)).unwrap());
                }
            }
            Step::Reopen => {
                looks.drain(..).for_each(|(model, view)| model.assert_is(&*view));
                subject.reopen();
            }
        }
    }
    looks.drain(..).for_each(|(model, view)| model.assert_is(&*view));
    subject.reopen();
    for (id, model) in models {
        model.assert_is(&*subject.engine().read(AccountId(id)).unwrap());
    }
    clean(subject.engine());
}

/// The batch for a change, and what it does to the model.
fn batch(
    engine: &dyn Engine,
    account: AccountId,
    change: &Change,
    models: &mut BTreeMap<u64, Model>,
    next_blob: &mut u64,
) -> AccountBatch {
    let model = models.entry(account.0).or_default();
    let expect = CommitNumber(if change.stale { model.number + 1 } else { model.number });
    let mut batch = AccountBatch { clear: change.clear, ..AccountBatch::new(account, expect) };
    model.number += 1;
    if change.clear {
        model.entries.clear();
        model.blobs.clear();
    }
    for _ in 0..change.drops {
        if let Some((id, _)) = model.blobs.pop_first() {
            batch.dropped.push(id);
        }
    }
    for (n, (key, len)) in change.writes.iter().enumerate() {
        let value = len.map(|len| vec![(model.number + n as u64) as u8; len]);
        // Every second key is derived, but each is always the same: the two kinds are written one
        // after the other.
        let writes = if key.len() == 1 { &mut batch.derived } else { &mut batch.essential };
        model.put(writes, Write { key: key.clone(), value });
    }
    for size in &change.blobs {
        let bytes = Random::new(*next_blob).bytes(*size);
        batch.blobs.push(new_blob(engine, *next_blob, &bytes));
        model.blobs.insert(BlobId(*next_blob), bytes);
        *next_blob += 1;
    }
    batch
}

/// An engine that is dropped and made again by a closure.
pub struct Reopened<E> {
    engine: Option<E>,
    open: Box<dyn FnMut() -> E>,
}

impl<E: Engine> Reopened<E> {
    /// `open` is called now and after each closing.
    pub fn new(mut open: impl FnMut() -> E + 'static) -> Self {
        Self { engine: Some(open()), open: Box::new(open) }
    }
}

impl<E: Engine> Subject for Reopened<E> {
    fn engine(&self) -> &dyn Engine {
        self.engine.as_ref().expect("there between calls")
    }

    fn reopen(&mut self) {
        self.engine = None;
        self.engine = Some((self.open)());
    }
}

impl<E: Engine> Subject for Arc<E> {
    fn engine(&self) -> &dyn Engine {
        self.as_ref()
    }
}
