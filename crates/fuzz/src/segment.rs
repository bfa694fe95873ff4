//! The scan of a segment: of arbitrary octets, and of a good segment with damage in one record.

use engine::Codec;
use engine::segment::{self, Content, Found, Piece, Record};

/// The first octet decides which of both.
pub(crate) fn scan(data: &[u8]) {
    let (kind, data) = data.split_first().map_or((0, data), |(first, rest)| (*first, rest));
    if kind % 2 == 0 {
        covers(data, None);
    } else {
        damaged(kind, data);
    }
}

/// Every octet is in a record or in damage, in the order of the file, or one of the zeros at its end.
fn covers(segment: &[u8], mark: Option<u64>) -> Vec<Found> {
    let found: Vec<Found> = segment::scan(segment, mark).expect("octets can be read").collect();
    let mut at = 0;
    for item in &found {
        let (Found::Record { offset, .. } | Found::Damaged { offset, .. }) = item;
        assert_eq!(*offset, at, "the scan jumps");
        assert!(item.end() > at, "the scan stands still");
        at = item.end();
    }
    assert!(segment.iter().skip(at as usize).all(|octet| *octet == 0), "the scan ends early");
    found
}

/// Records of what `data` says; then it overwrites one of them. All others must be found again.
fn damaged(kind: u8, data: &[u8]) {
    let mark = 0x1122_3344_5566_7788 + u64::from(kind);
    let (mut bytes, mut starts) = (Vec::new(), Vec::new());
    for (n, body) in data.chunks(97).take(12).enumerate() {
        starts.push(bytes.len());
        record(mark, n, body, &mut bytes);
    }
    assert_eq!(covers(&bytes, Some(mark)).len(), starts.len(), "the scan of a good segment");
    let Some(&victim) = starts.get(usize::from(kind / 2) % starts.len().max(1)) else { return };
    let end = starts.iter().copied().find(|&s| s > victim).unwrap_or(bytes.len());
    let hurt = victim + usize::from(data.first().copied().unwrap_or(0)) % (end - victim);
    for (byte, new) in bytes.iter_mut().take(end).skip(hurt).zip(data.iter().rev()) {
        *byte = *new;
    }
    let found = covers(&bytes, Some(mark));
    for &start in starts.iter().filter(|&&s| s != victim) {
        let there = found.iter().any(|f| matches!(f, Found::Record { offset, .. } if *offset == start as u64));
        assert!(there, "the record at {start} is lost by damage at {hurt}");
    }
}

fn record(mark: u64, n: usize, body: &[u8], out: &mut Vec<u8>) {
    let hash = xxhash_rust::xxh3::xxh3_64(body);
    let piece = Content::Piece { upload: n as u64, index: n as u32, hash, codec: Codec::None };
    let content = match n % 4 {
        _ if body.is_empty() => Content::Segment { id: n as u32 },
        3 => Content::Journal { part: 0, parts: 1, hash },
        0 => {
            let (account, id) = (types::AccountId(n as u64 + 1), engine::BlobId(n as u64 + 1));
            let at =
                |offset| Piece { segment: 1, offset, len: body.len() as u32, hash, size: (body.len() + n % 3) as u32 };
            let blob =
                |offset| Content::Blob { account, id, upload: 7, label: b"label".to_vec(), pieces: vec![at(offset)] };
            blob((out.len() + segment::HEADER_LEN + blob(0).meta_len()) as u64)
        }
        _ => piece,
    };
    Record { mark, group: n as u64, content }.encode(body.len() as u32, out);
    out.extend_from_slice(body);
}
