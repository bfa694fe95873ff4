//! Looks for damage in the log of the index before SQLite does, which says nothing about it.
//!
//! SQLite plays its log up to the first frame that is not as it was written, and takes what follows for
//! the rest of a commit that a power cut has torn. Where more than one commit follows, that is not so:
//! each of them began when the one before it was durable, and so commits are forgotten that were
//! acknowledged.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// True where commits follow a frame that is damaged.
pub(crate) fn is_damaged(log: &Path) -> io::Result<bool> {
    let mut file = match File::open(log) {
        Ok(file) => BufReader::with_capacity(1 << 20, file),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    let mut header = [0; HEADER];
    if !fill(&mut file, &mut header)? {
        return Ok(false);
    }
    let magic = number(&header, 0);
    let Some(page) = usize::try_from(number(&header, 8)).ok().filter(|n| (512..=65_536).contains(n)) else {
        return Ok(true);
    };
    let big = magic == 0x377f_0683;
    let mut sum = checksum(big, (0, 0), header.get(..24).unwrap_or_default());
    if magic | 1 != 0x377f_0683 || sum != (number(&header, 24), number(&header, 28)) {
        // A header that was torn has no commit behind it.
        return Ok(file.get_ref().metadata()?.len() > (HEADER + 2 * (FRAME_HEADER + page)) as u64);
    }
    let salts = header.get(16..24).unwrap_or_default().to_vec();
    let mut frame = vec![0; FRAME_HEADER + page];
    let (mut whole, mut later) = (true, 0);
    while fill(&mut file, &mut frame)? {
        if frame.get(8..16) != Some(&salts[..]) {
            // What is left of an older log, or a damaged frame: only what follows can tell.
            whole = false;
            continue;
        }
        if whole {
            sum = checksum(big, sum, frame.get(..8).unwrap_or_default());
            sum = checksum(big, sum, frame.get(FRAME_HEADER..).unwrap_or_default());
            whole = sum == (number(&frame, 16), number(&frame, 20));
        }
        // A frame that ends a commit has the size of the database.
        if !whole && number(&frame, 4) != 0 {
            later += 1;
        }
    }
    Ok(later > 1)
}

/// `false` at the end.
fn fill(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |octets| u32::from_be_bytes(*octets))
}

/// SQLite's: over pairs of 32-bit numbers, in the order of the machine that wrote them.
fn checksum(big: bool, (mut one, mut two): (u32, u32), bytes: &[u8]) -> (u32, u32) {
    let word = |octets: &[u8]| {
        let word = number(octets, 0);
        if big { word } else { word.swap_bytes() }
    };
    for pair in bytes.chunks_exact(8) {
        let (a, b) = pair.split_at(4);
        one = one.wrapping_add(word(a)).wrapping_add(two);
        two = two.wrapping_add(word(b)).wrapping_add(one);
    }
    (one, two)
}
