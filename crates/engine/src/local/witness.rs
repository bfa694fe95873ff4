//! Up to which group commits were acknowledged, beside the journal that has them.
//!
//! Who takes the end of the newest segment away takes the last commits away, and what is left looks as if the power
//! had gone before them. This file tells: it is written behind each group, without a sync, when the group is durable already. So
//! what it says is true, if not always the latest: after a power cut it may lag behind, after the end of a process it does not.
//! Where it cannot be read it says nothing.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

/// Where the file of a store is.
pub(crate) fn path(store: &Path) -> PathBuf {
    store.join("acknowledged")
}

/// The file.
#[derive(Debug)]
pub(crate) struct Witness(File);

impl Witness {
    /// What the file of a store says.
    pub(crate) fn read(store: &Path) -> Option<u64> {
        let octets = fs::read(path(store)).ok()?;
        let (group, hash) = octets.split_first_chunk()?;
        (xxh3_64(group).to_le_bytes() == hash).then_some(u64::from_le_bytes(*group))
    }

    /// From now on it says `group`, also where it has said more: numbers begin anew when the index is made again.
    pub(crate) fn begin(store: &Path, group: u64) -> io::Result<Self> {
        let file = File::options().create(true).truncate(false).write(true).open(path(store))?;
        let witness = Self(file);
        witness.write(group)?;
        Ok(witness)
    }

    /// A group is durable, and will be acknowledged.
    pub(crate) fn acknowledge(&self, group: u64) {
        if let Err(error) = self.write(group) {
            tracing::debug!(%error, "the last group could not be noted");
        }
    }

    fn write(&self, group: u64) -> io::Result<()> {
        let group = group.to_le_bytes();
        let octets = [group, xxh3_64(&group).to_le_bytes()].concat();
        self.0.write_all_at(&octets, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_was_said_last_and_nothing_when_damaged() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Witness::read(dir.path()), None);
        let witness = Witness::begin(dir.path(), 7).unwrap();
        assert_eq!(Witness::read(dir.path()), Some(7));
        witness.acknowledge(u64::MAX);
        assert_eq!(Witness::read(dir.path()), Some(u64::MAX));
        drop(Witness::begin(dir.path(), 3).unwrap());
        assert_eq!(Witness::read(dir.path()), Some(3));
        for at in 0..16 {
            let mut octets = fs::read(path(dir.path())).unwrap();
            octets[at] ^= 4;
            fs::write(path(dir.path()), &octets).unwrap();
            assert_eq!(Witness::read(dir.path()), None, "{at}");
            octets[at] ^= 4;
            fs::write(path(dir.path()), &octets).unwrap();
        }
        fs::write(path(dir.path()), b"short").unwrap();
        assert_eq!(Witness::read(dir.path()), None);
    }
}
