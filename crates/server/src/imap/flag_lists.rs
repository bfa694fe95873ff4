//! Flags, ready to be written: the messages of a mailbox have few different ones, and writing them anew costs
//! more than looking for them among those that were written before.

use proto::imap::response::{FetchWriter, FlagList};
use store::{Chunk, Keywords};

/// How many lists are kept at one time.
const KEPT: usize = 64;

/// See the module. Of one mailbox.
#[derive(Default)]
pub(crate) struct FlagLists {
    kept: Vec<Kept>,
    /// The one that was asked for last: neighbours mostly have the same.
    last: usize,
}

struct Kept {
    /// Of what follows: most that are not the same differ here.
    digest: u64,
    system: u8,
    keywords: Box<[u32]>,
    recent: bool,
    list: FlagList,
}

impl FlagLists {
    /// Writes the flags of the message at this position.
    pub(crate) fn write(&mut self, chunk: &Chunk, at: usize, names: &Keywords, recent: bool, to: &mut FetchWriter<'_>) {
        let (system, keywords) = (chunk.system_bits(at), chunk.keyword_ids(at));
        let digest = keywords.iter().fold(u64::from(system) << 1 | u64::from(recent), |digest, &id| {
            digest.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(id)
        });
        let same = |kept: &Kept| {
            // The ids one by one, as in the store: to compare empty slices is slow.
            kept.digest == digest && kept.system == system && kept.recent == recent && kept.keywords.iter().eq(keywords)
        };
        let found = match self.kept.get(self.last) {
            Some(last) if same(last) => Some(self.last),
            _ => self.kept.iter().position(same),
        };
        if let Some(found) = found {
            self.last = found;
        } else {
            if self.kept.len() == KEPT {
                self.kept.clear();
            }
            self.last = self.kept.len();
            let list = FlagList::new(&chunk.flags(at, names), recent);
            self.kept.push(Kept { digest, system, keywords: keywords.into(), recent, list });
        }
        if let Some(kept) = self.kept.get(self.last) {
            to.flags(&kept.list);
        }
    }
}
