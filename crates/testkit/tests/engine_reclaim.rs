//! The space of dropped blobs comes back: who is not disturbed, what stays, and what it costs.
//! (`engine_crash` cuts the power at every step of it.)
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use engine::local::{Local, Options, Reclaim};
use engine::{AccountBatch, BlobId, Codec, CommitError, Engine, Error, NewBlob};
use testkit::engine_suite::{commit, content, new_blob, puts, upload};
use testkit::fault_disk::{Call, Fault, FaultDisk, Random};
use types::AccountId;

const A: AccountId = AccountId(1);

/// A store on a disk that can fail.
struct Store {
    engine: Option<Local>,
    disk: FaultDisk,
    dir: tempfile::TempDir,
    reclaim: Reclaim,
    /// Of account A.
    commits: u64,
}

impl Store {
    fn new() -> Self {
        let reclaim = Reclaim { rate: u64::MAX, every: None, ..Reclaim::default() };
        let mut store =
            Self { engine: None, disk: FaultDisk::new(1), dir: tempfile::tempdir().unwrap(), reclaim, commits: 0 };
        store.reopen();
        store
    }

    fn reopen(&mut self) {
        self.engine = None;
        let disk = Arc::new(self.disk.clone());
        let options =
            Options { disk, segment_size: 200_000, reserve: 400_000, reclaim: self.reclaim, ..Options::default() };
        let options = Options { codec: Codec::Zstd, ..options };
        self.engine = Some(Local::open(self.dir.path(), options).unwrap());
    }

    fn engine(&self) -> &Local {
        self.engine.as_ref().unwrap()
    }

    fn commit(&mut self, blobs: Vec<NewBlob>, dropped: &[u64]) -> Result<(), CommitError> {
        let dropped = dropped.iter().copied().map(BlobId).collect();
        commit(self.engine(), vec![AccountBatch { blobs, dropped, ..puts(A, self.commits, &[]) }])?;
        self.commits += 1;
        Ok(())
    }

    /// One commit for each blob, from the number `first` on.
    fn bring(&mut self, first: u64, sizes: &[usize]) {
        for (n, size) in (first..).zip(sizes) {
            let blob = new_blob(self.engine(), n, &body(n, *size));
            self.commit(vec![blob], &[]).unwrap();
        }
    }

    fn drop_blobs(&mut self, ids: &[u64]) {
        self.commit(vec![], ids).unwrap();
    }

    fn reclaim(&self) -> engine::Reclaimed {
        self.engine().reclaim().wait().unwrap()
    }

    fn read(&self, id: u64) -> Vec<u8> {
        content(&*self.engine().read(A).unwrap().blob(BlobId(id)).unwrap().unwrap())
    }

    fn files(&self, folder: &str) -> Vec<PathBuf> {
        let inside = |path: &PathBuf| path.parent().is_some_and(|dir| dir.ends_with(folder));
        self.disk.paths().into_iter().filter(inside).collect()
    }

    fn assert_clean(&self) {
        assert_eq!(self.engine().check().unwrap(), Vec::<String>::new());
        assert_eq!(self.engine().read_only(), None);
    }
}

fn body(id: u64, size: usize) -> Vec<u8> {
    // Every other one can be compressed.
    if id.is_multiple_of(2) { Random::new(id).text(size) } else { Random::new(id).bytes(size) }
}

const THREE: [usize; 3] = [60_000; 3];

#[test]
fn space_comes_back_and_what_is_alive_moves() {
    let mut store = Store::new();
    store.bring(1, &THREE);
    store.bring(4, &[100_000, 0, 50_000, 60_000]);
    store.drop_blobs(&[1, 2, 4]);
    let before = store.disk.used();
    let reclaimed = store.reclaim();
    assert!(reclaimed.segments >= 1 && reclaimed.octets >= 180_000, "{reclaimed:?}");
    assert!((60_000..300_000).contains(&reclaimed.copied), "{reclaimed:?}");
    assert!(store.disk.used() + 120_000 < before, "{} of {before}", store.disk.used());
    for _ in 0..2 {
        assert_eq!(store.read(3), body(3, 60_000));
        assert_eq!(store.read(5), body(5, 0));
        assert_eq!(store.read(6), body(6, 50_000));
        store.assert_clean();
        store.reopen();
    }
    // There is nothing to gain any more.
    store.reclaim();
    let files = store.files("segments");
    assert_eq!(store.reclaim(), engine::Reclaimed::default());
    assert_eq!(store.files("segments"), files);
}

/// What is copied says of itself what the original said.
#[test]
fn a_copy_has_the_label_of_its_original() {
    let mut store = Store::new();
    store.bring(1, &[100_000, 60_000, 10, 120_000, 120_000]);
    store.drop_blobs(&[2]);
    let labels = |store: &Store| -> Vec<(u64, Vec<u8>)> {
        let mut found = Vec::new();
        for path in store.files("segments") {
            let bytes = store.disk.content(&path).unwrap();
            for item in engine::segment::scan(&bytes[..], None).unwrap() {
                let engine::segment::Found::Record { record, .. } = item else { panic!("{item:?}") };
                if let engine::segment::Content::Blob { id, label, .. } = record.content {
                    found.push((id.0, label));
                }
            }
        }
        found.sort_unstable();
        found
    };
    let reclaimed = store.reclaim();
    assert!(reclaimed.copied > 0, "{reclaimed:?}");
    let expected = |id: u64| (id, format!("label {id}").into_bytes());
    let found = labels(&store);
    for id in [1, 3, 4] {
        assert!(found.contains(&expected(id)), "{found:?}");
    }
    assert!(!found.contains(&expected(2)), "{found:?}");
}

#[test]
fn who_began_to_read_before_reads_on() {
    let mut store = Store::new();
    store.bring(1, &[60_000, 60_000, 60_000, 100_000, 10]);
    let handle = store.engine().read(A).unwrap().blob(BlobId(1)).unwrap().unwrap();
    let view = store.engine().read(A).unwrap();
    store.drop_blobs(&[1, 2, 4]);
    let files = store.files("segments");
    let reclaimed = store.reclaim();
    assert!(reclaimed.waiting > 0 && reclaimed.segments == 0 && reclaimed.copied > 0, "{reclaimed:?}");
    assert!(files.iter().all(|file| store.disk.content(file).is_some()), "nothing is removed");
    for (id, size) in [(1, 60_000), (2, 60_000), (3, 60_000), (4, 100_000)] {
        assert_eq!(content(&*view.blob(BlobId(id)).unwrap().unwrap()), body(id, size));
    }
    assert_eq!(store.engine().figures().unwrap().waiting, reclaimed.waiting);
    let young = store.engine().read(A).unwrap();
    drop(view);
    // Whoever began later does not matter.
    let after = store.reclaim();
    assert_eq!((after.waiting, after.segments), (0, reclaimed.waiting));
    assert_eq!(content(&*young.blob(BlobId(3)).unwrap().unwrap()), body(3, 60_000));
    assert_eq!(content(&*handle), body(1, 60_000), "an open file stays readable");
    store.assert_clean();
}

#[test]
fn uploads_are_pinned() {
    let mut store = Store::new();
    store.bring(1, &[10]);
    let (finished, never) = (body(50, 190_000), body(51, 190_000));
    let whole = upload(store.engine(), &finished, 1000);
    let mut arriving = store.engine().upload().unwrap();
    arriving.write(&never).unwrap();
    arriving.cut().unwrap();
    // The segments of the uploads are sealed by now, and nothing in them is named.
    store.bring(2, &THREE);
    store.drop_blobs(&[1, 2, 3]);
    store.reclaim();
    store.commit(vec![NewBlob { id: BlobId(50), upload: whole, label: vec![] }], &[]).unwrap();
    let upload = arriving.finish().unwrap();
    let second = store.engine().duplicate(&upload).unwrap();
    store.commit(vec![NewBlob { id: BlobId(51), upload, label: vec![] }], &[]).unwrap();
    drop(second);
    store.reclaim();
    assert_eq!(store.read(50), finished);
    assert_eq!(store.read(51), never);
    assert_eq!(store.read(4), body(4, 60_000));
    store.assert_clean();
    // What was given up is dead space like any other.
    store.bring(60, &THREE);
    store.reclaim();
    store.reopen();
    store.reclaim();
    let figures = store.engine().figures().unwrap();
    assert!(figures.dead < 200_000, "{figures:?}");
    store.assert_clean();
}

#[test]
fn a_body_that_can_not_be_read_stays_and_is_named() {
    for size in [60_000, 100_000] {
        let mut store = Store::new();
        store.bring(1, &[size, 30_000, 60_000, 60_000, 10]);
        store.drop_blobs(&[3, 4]);
        let path = store.files("segments")[0].clone();
        let at = store.disk.content(&path).unwrap().windows(8).position(|w| *w == body(1, size)[200..208]).unwrap();
        store.disk.damage(&path, at);
        let reclaimed = store.reclaim();
        assert_eq!(reclaimed.damaged.len(), 1, "{reclaimed:?}");
        assert!(reclaimed.damaged[0].starts_with("account 1, blob 1:"), "{reclaimed:?}");
        // It stays where it is, with all that can be read of it; the rest has moved.
        let mut header = Vec::new();
        let blob = store.engine().read(A).unwrap().blob(BlobId(1)).unwrap().unwrap();
        blob.read(0..100, &mut header).unwrap();
        assert_eq!(header, body(1, size)[..100]);
        assert!(matches!(blob.read(0..size as u64, &mut header), Err(Error::Damaged(_))));
        assert_eq!(store.read(2), body(2, 30_000));
        assert!(store.disk.content(&path).is_some());
        assert_eq!(store.engine().check().unwrap().len(), 1);
        // It is not tried again and again.
        assert_eq!(store.reclaim().damaged, Vec::<String>::new());
        // Once nobody refers to it, it goes to those that are kept for people to look at.
        store.drop_blobs(&[1]);
        let before = store.disk.content(&path);
        assert!(store.reclaim().segments > 0);
        assert_eq!(store.disk.content(&path), None);
        let kept = store.dir.path().join("damaged").join(path.file_name().unwrap());
        assert_eq!(store.disk.content(&kept), before);
        store.assert_clean();
        store.reopen();
        store.assert_clean();
    }
}

/// In a small store everything may be in the one segment that grows.
#[test]
fn the_segment_that_grows_is_ended_when_somebody_asks() {
    let mut store = Store::new();
    store.bring(1, &[60_000, 60_000, 10]);
    assert_eq!(store.reclaim(), engine::Reclaimed::default(), "there is nothing to gain");
    store.drop_blobs(&[1]);
    let files = store.files("segments");
    assert_eq!(files.len(), 1);
    let reclaimed = store.reclaim();
    assert_eq!(reclaimed.segments, 1, "{reclaimed:?}");
    assert!(!store.files("segments").contains(&files[0]));
    assert_eq!(store.read(2), body(2, 60_000));
    store.drop_blobs(&[2, 3]);
    store.bring(4, &[10]);
    assert_eq!(store.read(4), body(4, 10));
    store.assert_clean();
    store.reopen();
    store.assert_clean();
    store.bring(5, &[10_000]);
    store.drop_blobs(&[4, 5]);
    store.reclaim();
    let figures = store.engine().figures().unwrap();
    assert!(figures.live == 0 && figures.dead < 1000, "{figures:?}");
}

#[test]
fn the_newest_segment_stays() {
    let mut store = Store::new();
    store.bring(1, &[60_000]);
    store.drop_blobs(&[1]);
    store.reopen();
    store.reclaim();
    let files = store.files("segments");
    assert_eq!(files.len(), 1, "its number would be given out again");
    store.reopen();
    store.bring(2, &[10]);
    store.reclaim();
    assert!(!store.files("segments").contains(&files[0]));
    store.assert_clean();
}

/// The index may be older than the segments: then what it does not know is in the journal, and where that is
/// damaged, what it does not know is mail.
#[test]
fn bodies_that_the_index_has_never_heard_of_stay() {
    for damaged in [false, true] {
        let mut store = Store::new();
        store.bring(1, &[150_000]);
        store.reopen();
        let index: Vec<_> = ["index.db", "index.db-wal"].map(|name| store.dir.path().join(name)).into();
        let old: Vec<_> = index.iter().map(|path| std::fs::read(path).ok()).collect();
        let files = store.files("segments");
        store.bring(2, &THREE);
        store.bring(5, &THREE);
        store.engine = None;
        for (path, old) in index.iter().zip(old) {
            old.map_or_else(|| drop(std::fs::remove_file(path)), |old| std::fs::write(path, old).unwrap());
        }
        if damaged {
            let path = store.files("segments").into_iter().find(|path| !files.contains(path)).unwrap();
            let journal = first_journal(&store.disk.content(&path).unwrap());
            store.disk.damage(&path, journal + 60);
        }
        let files = store.files("segments");
        store.reopen();
        store.commits = store.engine().read(A).unwrap().commit_number().0;
        assert_eq!(
            (store.commits, store.engine().setback().unwrap().is_some()),
            if damaged { (1, true) } else { (7, false) }
        );
        if !damaged {
            (2..8).for_each(|n| assert_eq!(store.read(n), body(n, 60_000)));
            store.assert_clean();
            continue;
        }
        store.bring(10, &[60_000, 60_000]);
        store.reclaim();
        assert!(files.iter().all(|file| store.disk.content(file).is_some()));
        // The owner has put right what counts; the rest is dead space.
        store.engine().settle().unwrap();
        assert!(store.reclaim().segments > 0);
    }
}

/// Where the first journal of a segment begins.
fn first_journal(segment: &[u8]) -> usize {
    let journal = engine::segment::scan(segment, None).unwrap().find_map(|found| match found {
        engine::segment::Found::Record { offset, record, .. } => {
            matches!(record.content, engine::segment::Content::Journal { .. }).then_some(offset)
        }
        engine::segment::Found::Damaged { .. } => None,
    });
    journal.unwrap() as usize
}

#[test]
fn a_disk_that_can_not_remove_is_no_reason_to_stop() {
    let mut store = Store::new();
    store.bring(1, &[150_000, 60_000, 10]);
    store.drop_blobs(&[1]);
    store.disk.fail(Fault::all(Call::Remove, ErrorKind::PermissionDenied));
    let reclaimed = store.reclaim();
    assert_eq!((reclaimed.segments, reclaimed.waiting), (0, 0), "{reclaimed:?}");
    store.assert_clean();
    store.disk.heal();
    store.reopen();
    assert!(store.reclaim().segments > 0);
    store.assert_clean();
}

#[test]
fn a_failed_copy_ends_writing_as_any_failed_write() {
    for call in [Call::Write, Call::Sync, Call::SyncDir] {
        let mut store = Store::new();
        store.bring(1, &[60_000, 60_000, 60_000, 100_000]);
        store.drop_blobs(&[1, 2]);
        store.disk.fail(Fault::next(call, ErrorKind::Other));
        assert!(store.engine().reclaim().wait().is_err(), "{call:?}");
        assert!(store.engine().read_only().is_some());
        assert!(store.engine().reclaim().wait().is_err());
        assert_eq!(store.read(3), body(3, 60_000));
        store.disk = store.disk.after_cut();
        store.reopen();
        assert!(store.reclaim().segments > 0);
        assert_eq!(store.read(3), body(3, 60_000));
        store.assert_clean();
    }
}

/// Bodies are refused while less than the reserve is free; what makes room is not.
#[test]
fn a_full_disk_is_made_room_on() {
    let mut store = Store::new();
    store.disk.set_capacity(1_500_000);
    let mut n = 0;
    loop {
        n += 1;
        let Ok(mut writer) = store.engine().upload() else { break };
        writer.write(&body(n, 60_000)).unwrap();
        let blob = NewBlob { id: BlobId(n), upload: writer.finish().unwrap(), label: vec![] };
        match store.commit(vec![blob], &[]) {
            Ok(()) => {}
            Err(e) => break assert!(matches!(e, CommitError::Failed(Error::Full)), "{e}"),
        }
    }
    assert!(n > 9, "{n}");
    assert!(matches!(store.engine().upload(), Err(Error::Full)));
    assert_eq!(store.read(1), body(1, 60_000));
    store.drop_blobs(&(1..n).filter(|n| !n.is_multiple_of(3)).collect::<Vec<_>>());
    assert!(matches!(store.engine().upload(), Err(Error::Full)));
    let reclaimed = store.reclaim();
    assert!(reclaimed.segments > 1, "{reclaimed:?}, {:?}", store.engine().figures());
    store.bring(100, &[60_000]);
    assert_eq!(store.read(3), body(3, 60_000));
    store.assert_clean();
}

/// The disk has less than what the copies take: then what is left is not used up by trying.
#[test]
fn no_room_for_copies() {
    let mut store = Store::new();
    store.bring(1, &[60_000, 60_000, 60_000, 100_000]);
    store.drop_blobs(&[1, 2]);
    let used = store.disk.used();
    // One of the two fits.
    store.disk.set_capacity(used + 80_000);
    let full = store.engine().reclaim().wait();
    assert!(matches!(full, Err(Error::Full)), "{full:?}");
    assert!(store.disk.used() < used + 1_000, "{} of {used}", store.disk.used());
    store.assert_clean();
    assert_eq!(store.read(3), body(3, 60_000));
    store.disk.set_capacity(10_000_000);
    assert!(store.reclaim().segments > 0);
    assert_eq!(store.read(3), body(3, 60_000));
    store.assert_clean();
}

#[test]
fn it_begins_by_itself_and_the_end_does_not_wait_for_it() {
    let mut store = Store::new();
    store.bring(1, &[60_000, 60_000, 60_000, 100_000]);
    store.drop_blobs(&[1, 2]);
    // An octet in a second: at the first pause it is told to end.
    store.reclaim = Reclaim { rate: 1, every: Some(std::time::Duration::ZERO), ..Reclaim::default() };
    store.reopen();
    while store.engine().figures().unwrap().copied == 0 {
        std::thread::yield_now();
    }
    store.reclaim.rate = u64::MAX;
    store.reopen();
    store.bring(10, &[60_000, 60_000, 60_000, 100_000]);
    store.drop_blobs(&[10, 11]);
    while store.engine().figures().unwrap().reclaimed == 0 {
        std::thread::yield_now();
    }
    assert_eq!(store.read(3), body(3, 60_000));
    store.assert_clean();
}

#[test]
fn figures_say_what_it_costs() {
    let mut store = Store::new();
    assert_eq!(store.engine().figures().unwrap().write_amplification(), None);
    store.bring(1, &[60_000, 60_000, 60_000, 100_000]);
    let figures = store.engine().figures().unwrap();
    assert_eq!(figures.bodies, 280_000);
    // Of two of them a quarter is spared.
    assert!((240_000..242_000).contains(&figures.segments_written), "{figures:?}");
    assert!((240_000..242_000).contains(&figures.live) && figures.dead < 1000, "{figures:?}");
    assert!(figures.index_written > 20_000, "{figures:?}");
    assert!(figures.write_amplification().unwrap() > 0.9);
    store.drop_blobs(&[1, 2]);
    let reclaimed = store.reclaim();
    let after = store.engine().figures().unwrap();
    assert_eq!((after.copied, after.reclaimed), (reclaimed.copied, reclaimed.octets));
    assert!(after.segments_written >= figures.segments_written + reclaimed.copied, "{after:?}");
    assert!((135_000..136_000).contains(&after.live) && after.dead < 1000, "{after:?}");
    assert_eq!(after.segments, store.files("segments").len() as u64);
    assert!(after.index > 0 && after.free.is_some() && after.reserve == 400_000);
}
