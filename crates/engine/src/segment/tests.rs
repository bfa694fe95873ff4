use std::io;

use proptest::prelude::*;
use types::AccountId;
use xxhash_rust::xxh3::xxh3_64;

use super::*;

const MARK: u64 = 0x1234_5678_9abc_def0;

/// A segment with one record for each body, cut in two pieces where it is long enough.
fn segment(bodies: &[Vec<u8>]) -> (Vec<u8>, Vec<Found>) {
    let mut bytes = Vec::new();
    let first = Record { mark: MARK, group: 1, content: Content::Segment { id: 9 } };
    first.encode(0, &mut bytes);
    let mut records = vec![Found::Record { offset: 0, record: first, body: vec![] }];
    for (n, body) in bodies.iter().enumerate() {
        let offset = bytes.len() as u64;
        let record = Record { mark: MARK, group: n as u64, content: named(n, offset, body) };
        record.encode(body.len() as u32, &mut bytes);
        bytes.extend_from_slice(body);
        records.push(Found::Record { offset, record, body: body.clone() });
    }
    (bytes, records)
}

fn named(n: usize, offset: u64, body: &[u8]) -> Content {
    if n % 3 == 2 {
        let codec = if n.is_multiple_of(2) { Codec::None } else { Codec::Zstd };
        return Content::Piece { upload: 77, index: n as u32, hash: xxh3_64(body), codec };
    }
    let label = vec![n as u8; n % 5];
    let (head, rest) = body.split_at(body.len() / 3);
    let parts: Vec<&[u8]> = [head, rest].into_iter().filter(|part| !part.is_empty()).collect();
    let piece = |(part, more): (&&[u8], usize)| {
        let len = part.len() as u32;
        Piece { segment: 9, offset: 0, len, hash: xxh3_64(part), size: len + (more * n % 2) as u32 }
    };
    let mut pieces: Vec<Piece> = parts.iter().zip(0..).map(piece).collect();
    let mut at = offset + (HEADER_LEN + blob_meta_len(label.len(), &pieces)) as u64;
    for piece in &mut pieces {
        piece.offset = at;
        at += u64::from(piece.len);
    }
    Content::Blob { account: AccountId(n as u64), id: BlobId(1000 + n as u64), upload: 0, label, pieces }
}

fn found(bytes: &[u8], mark: Option<u64>) -> Vec<Found> {
    scan(bytes, mark).unwrap().collect()
}

fn damaged(found: &Found) -> bool {
    matches!(found, Found::Damaged { .. })
}

/// What a scan finds covers the file without gaps or overlaps, but for zeros at its end.
fn covers(found: &[Found], file: &[u8]) {
    let mut at = 0;
    for item in found {
        let (Found::Record { offset, .. } | Found::Damaged { offset, .. }) = item;
        assert_eq!(*offset, at);
        assert!(item.end() > at);
        at = item.end();
    }
    assert!(file[at as usize..].iter().all(|octet| *octet == 0));
}

fn bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 0..8)
}

proptest! {
    #[test]
    fn records_there_and_back(bodies in bodies(), known: bool) {
        let (bytes, records) = segment(&bodies);
        prop_assert_eq!(found(&bytes, known.then_some(MARK)), records);
    }

    /// One octet changed: the records beside it are found, and nothing that was not written.
    #[test]
    fn damage_costs_one_record(bodies in bodies(), at: proptest::sample::Index, bit in 0..8) {
        let (mut bytes, records) = segment(&bodies);
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        let after = found(&bytes, Some(MARK));
        covers(&after, &bytes);
        let good: Vec<_> = after.iter().filter(|f| !damaged(f)).collect();
        let untouched = |f: &&Found| {
            let Found::Record { offset, .. } = f else { return false };
            !(*offset..f.end()).contains(&(at as u64))
        };
        prop_assert_eq!(good, records.iter().filter(untouched).collect::<Vec<_>>());
    }

    #[test]
    fn the_tail_may_be_torn(bodies in bodies(), at: proptest::sample::Index) {
        let (bytes, records) = segment(&bodies);
        let torn = &bytes[..at.index(bytes.len())];
        let after = found(torn, None);
        covers(&after, torn);
        let whole: Vec<_> = records.into_iter().filter(|f| f.end() <= torn.len() as u64).collect();
        prop_assert_eq!(&after[..whole.len()], &whole[..]);
        prop_assert!(after[whole.len()..].iter().all(damaged));
    }

    /// Where nothing was written yet nothing is damaged, but zeros before something are.
    #[test]
    fn zeros_at_the_end_are_nothing(bodies in bodies(), zeros in 1..600_000usize, known: bool) {
        let (mut bytes, records) = segment(&bodies);
        let end = bytes.len() as u64;
        bytes.resize(bytes.len() + zeros, 0);
        prop_assert_eq!(&found(&bytes, known.then_some(MARK)), &records);
        bytes.push(1);
        let after = found(&bytes, known.then_some(MARK));
        prop_assert_eq!(&after[..records.len()], &records);
        let damage = Found::Damaged { offset: end, len: zeros as u64 + 1, record: None };
        prop_assert_eq!(&after[records.len()..], &[damage]);
    }

    #[test]
    fn noise_is_no_record(mut noise in proptest::collection::vec(any::<u8>(), 0..2000), starts: Vec<proptest::sample::Index>) {
        for start in starts {
            // Half a header, to be looked at.
            let at = start.index(noise.len() + 1);
            noise.splice(at..at, MAGIC.into_iter().chain(MARK.to_le_bytes()).chain([VERSION, KIND_BLOB, 0, 0]));
        }
        let after = found(&noise, None);
        covers(&after, &noise);
        prop_assert!(after.iter().all(damaged));
    }
}

/// A mail can hold the octets of a segment of the same version; they must not become somebody's mail
/// when the record around them is damaged.
#[test]
fn a_record_in_a_body_is_no_record() {
    let forged_mark = MARK + 1;
    let mut forged = Vec::new();
    let content = Content::Blob { account: AccountId(1), id: BlobId(1), upload: 0, label: vec![], pieces: vec![] };
    Record { mark: forged_mark, group: 1, content }.encode(0, &mut forged);
    let (mut bytes, _) = segment(&[b"before".to_vec(), [b"mail: ", &forged[..], b" end"].concat()]);
    let start = bytes.windows(6).position(|w| w == b"mail: ").unwrap();
    bytes[start - 60] ^= 1;
    for mark in [Some(MARK), None] {
        let after = found(&bytes, mark);
        covers(&after, &bytes);
        assert!(after.iter().all(|f| match f {
            Found::Record { record, .. } => record.mark == MARK,
            Found::Damaged { .. } => true,
        }));
        assert!(after.iter().any(damaged));
    }
}

/// A medium with a bad block.
struct BadBlock(Vec<u8>, Range<u64>);

impl Source for BadBlock {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        if offset < self.1.end && offset + bytes.len() as u64 > self.1.start {
            return Err(io::Error::other("bad block"));
        }
        self.0[..].read_at(offset, bytes)
    }
}

#[test]
fn a_bad_block_is_stepped_over() {
    let bodies: Vec<_> = (0..200).map(|n| vec![n as u8; 1000]).collect();
    let (bytes, records) = segment(&bodies);
    let bad = 40_960..45_056;
    let hit = |f: &Found| matches!(f, Found::Record { offset, .. } if *offset < bad.end && f.end() > bad.start);
    let lost = records.iter().filter(|f| hit(f)).count();
    assert!(lost > 1);
    let after: Vec<_> = scan(&BadBlock(bytes.clone(), bad.clone()), None).unwrap().collect();
    covers(&after, &bytes);
    let good: Vec<_> = after.iter().filter(|f| !damaged(f)).collect();
    // The block's neighbours may begin or end in it; nothing else is lost.
    assert_eq!(good, records.iter().filter(|f| !hit(f)).collect::<Vec<_>>());
}

#[test]
fn a_damaged_body_is_named() {
    let (mut bytes, _) = segment(&[b"a body".to_vec()]);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let after = found(&bytes, None);
    let Found::Damaged { record: Some(record), .. } = &after[1] else { panic!("{after:?}") };
    assert!(matches!(record.content, Content::Blob { account: AccountId(0), id: BlobId(1000), .. }));
}

/// What says that it is packed is bounded, and smaller than what it was.
#[test]
fn sizes_of_packed_pieces_are_bounded() {
    let decoded = |len: u32, size: Option<u32>| {
        let mut bytes = [&[0; 12][..], &len.to_le_bytes(), &[0; 8]].concat();
        bytes.extend(size.into_iter().flat_map(u32::to_le_bytes));
        decode_pieces(&bytes).map(|pieces| pieces.iter().map(|piece| (piece.len, piece.size)).collect::<Vec<_>>())
    };
    let max = PIECE_MAX as u32;
    assert_eq!(decoded(max, None), Some(vec![(max, max)]));
    assert_eq!(decoded(max + 1, None), None);
    assert_eq!(decoded(PACKED | 9, Some(max)), Some(vec![(9, max)]));
    assert_eq!(decoded(PACKED | 9, Some(max + 1)), None);
    assert_eq!(decoded(PACKED | 9, Some(9)), None);
    assert_eq!(decoded(PACKED | 9, Some(8)), None);
    assert_eq!(decoded(PACKED | 9, None), None);
    assert_eq!(decoded(9, Some(10)), None);
}

#[test]
fn later_versions_codecs_and_keys_are_not_guessed_at() {
    for at in 16..24 {
        let (mut bytes, _) = segment(&[]);
        bytes[at] ^= 4;
        let hash = xxh3_64(&bytes[..HEADER_LEN - 8]).to_le_bytes();
        bytes[HEADER_LEN - 8..HEADER_LEN].copy_from_slice(&hash);
        assert!(found(&bytes, None).iter().all(damaged), "octet {at}");
    }
}
