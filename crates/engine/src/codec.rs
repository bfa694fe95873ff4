//! How the octets of a piece of a blob are stored.
//!
//! * A piece is compressed by itself, so that who reads a part of a blob reads its pieces and no more.
//! * What does not become smaller is stored as it is.
//! * Whoever unpacks says how long the result has to be, at most [`PIECE_MAX`](crate::segment::PIECE_MAX) octets: compressed octets that were made
//!   to grow beyond it are damage, and cost no more memory than others.

use std::io;

use parking_lot::Mutex;
use zstd::bulk::{Compressor, Decompressor};

/// What is done to the octets of a piece before they are stored. Whatever is chosen for what comes, all of it can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Codec {
    /// They are stored as they are.
    #[default]
    None,
    /// They are one frame of Zstandard (RFC 8878).
    Zstd,
}

/// Of the levels of the library: the others take more CPU than they save of the disk.
const LEVEL: i32 = 1;

/// Contexts of the library that stay when nobody needs them, of each kind.
const KEPT: usize = 4;

static COMPRESSORS: Idle<Compressor<'static>> = Idle(Mutex::new(Vec::new()));
static DECOMPRESSORS: Idle<Decompressor<'static>> = Idle(Mutex::new(Vec::new()));

impl Codec {
    /// The octets of a piece in fewer octets; `None` where they are to be stored as they are.
    pub(crate) fn pack(self, piece: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::None => None,
            // Who saves less than a sixteenth has it unpacked for nothing.
            Self::Zstd => {
                let mut packed = Vec::with_capacity(piece.len() - piece.len() / 16);
                // It says no where the room is not enough.
                let done = COMPRESSORS.with(|| Compressor::new(LEVEL), |c| c.compress_to_buffer(piece, &mut packed));
                done.is_ok_and(|len| len < piece.len()).then_some(packed)
            }
        }
    }
}

/// Appends the `size` octets of a piece that [`Codec::Zstd`] has packed.
pub(crate) fn unpack(packed: &[u8], size: u32, out: &mut Vec<u8>) -> io::Result<()> {
    let before = out.len();
    out.resize(before + size as usize, 0);
    let room = out.get_mut(before..).unwrap_or_default();
    let len = DECOMPRESSORS.with(Decompressor::new, |d| d.decompress_to_buffer(packed, room))?;
    if len == size as usize { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Contexts of the library: large, dear to make, and without memory from one piece to the next.
struct Idle<T>(Mutex<Vec<T>>);

impl<T> Idle<T> {
    fn with<R>(
        &self,
        new: impl FnOnce() -> io::Result<T>,
        work: impl FnOnce(&mut T) -> io::Result<R>,
    ) -> io::Result<R> {
        let idle = self.0.lock().pop();
        let mut context = idle.map_or_else(new, Ok)?;
        let done = work(&mut context);
        let mut idle = self.0.lock();
        if idle.len() < KEPT {
            idle.push(context);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(packed: &[u8], size: usize) -> io::Result<Vec<u8>> {
        let mut out = b"before".to_vec();
        unpack(packed, size as u32, &mut out).map(|()| out.split_off(6))
    }

    #[test]
    fn there_and_back() {
        for len in [20, 300, 5000, 256 * 1024] {
            let text: Vec<u8> = b"From: somebody\r\n".iter().copied().cycle().take(len).collect();
            match Codec::Zstd.pack(&text) {
                Some(packed) => assert!(packed.len() < len && unpacked(&packed, len).unwrap() == text),
                None => assert!(len < 100),
            }
            assert_eq!(Codec::None.pack(&text), None);
        }
    }

    #[test]
    fn what_does_not_become_smaller_is_stored_as_it_is() {
        let mut state = 1_u64;
        let mut noise = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        };
        for len in [0, 1, 50, 4000, 256 * 1024] {
            assert_eq!(Codec::Zstd.pack(&(0..len).map(&mut noise).collect::<Vec<_>>()), None, "{len} octets");
        }
    }

    /// Octets that were made to grow are not believed, however many they say that they are.
    #[test]
    fn a_bomb_does_not_go_off() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
        assert!(bomb.len() < 10_000);
        for size in [0, 1, 1000, 256 * 1024] {
            let mut out = vec![];
            assert!(unpack(&bomb, size, &mut out).is_err());
            assert!(out.capacity() <= 256 * 1024);
        }
    }

    #[test]
    fn a_wrong_length_and_damage_are_noticed() {
        let packed = Codec::Zstd.pack(&[7; 1000]).unwrap();
        assert!(unpacked(&packed, 1000).is_ok());
        for size in [0, 999, 1001, 256 * 1024] {
            assert!(unpacked(&packed, size).is_err(), "{size}");
        }
        for len in 0..packed.len() {
            assert!(unpacked(&packed[..len], 1000).is_err(), "the first {len} octets");
        }
    }
}
