//! What is known of earlier runs: which messages of a mailbox of the source are here, as which ones, and which flags
//! they had there. Kept as notes of the mailbox (`store::Note`), each written in the commit that it tells of.
//!
//! Two sources of notes belong to a mailbox: under its name at the source, one that says how far it is (`Head`);
//! under its name and UIDVALIDITY, one for each batch that came (`Piece`). Both are JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::{Account, Note};
use types::{Flag, Flags, IdSet, MailboxId, Principal, Uid};
use xxhash_rust::xxh3::xxh3_64;

use super::Server;

/// Messages of one piece at most.
pub(super) const MAX_PIECE: u32 = 100;

/// The names of the notes of one mailbox of the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Source {
    head: u64,
    pieces: u64,
}

/// Which mailbox this came from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Head {
    /// `user@host` and the mailbox, for people.
    pub(super) source: String,
    pub(super) uid_validity: u32,
    /// False as long as the mailbox here is not to be seen.
    pub(super) whole: bool,
}

/// Some messages that came together.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Piece {
    /// First UID there, first UID here, how many.
    runs: Vec<(u32, u32, u32)>,
    /// Flags between spaces, and the UIDs there that had them, as in a sequence set.
    flags: BTreeMap<String, String>,
}

/// What is known of a mailbox, and what was learnt of its flags.
pub(super) struct Memory {
    pub(super) head: Option<Head>,
    pub(super) pieces: Vec<(u64, Piece)>,
    /// The UIDs there of all messages that came.
    pub(super) known: IdSet<Uid>,
}

impl Source {
    pub(super) fn new(server: &Server, mailbox: &[u8], uid_validity: u32) -> Self {
        let mut name = format!("{}\0{}\0", server.user, server.host.to_ascii_lowercase()).into_bytes();
        name.extend_from_slice(mailbox);
        let head = xxh3_64(&name);
        name.extend_from_slice(format!("\0{uid_validity}").as_bytes());
        Self { head, pieces: xxh3_64(&name) }
    }

    pub(super) fn head(self, head: &Head) -> Note {
        Note { source: self.head, number: 0, value: serde_json::to_vec(head).unwrap_or_default() }
    }

    /// A piece has the number of its first message there: one that says the same anew takes its place.
    pub(super) fn piece(self, number: u64, piece: &Piece) -> Note {
        Note { source: self.pieces, number, value: serde_json::to_vec(piece).unwrap_or_default() }
    }

    /// What earlier runs left with a mailbox.
    pub(super) fn read(self, account: &Account, who: &Principal, mailbox: MailboxId) -> store::Result<Memory> {
        let head = account.notes(who, mailbox, self.head)?.into_iter().next();
        let head = head.and_then(|(_, value)| serde_json::from_slice(&value).ok());
        let mut memory = Memory { head, pieces: vec![], known: IdSet::new() };
        for (number, value) in account.notes(who, mailbox, self.pieces)? {
            // One that cannot be read is one that was never written: its messages are found by their content.
            let Ok(piece) = serde_json::from_slice::<Piece>(&value) else { continue };
            piece.there().for_each(|(first, last)| memory.known.insert_range(first, last));
            memory.pieces.push((number, piece));
        }
        Ok(memory)
    }
}

impl Piece {
    /// Of messages there, as which ones they are here, and with which flags.
    pub(super) fn new<'a>(messages: impl IntoIterator<Item = (Uid, Uid, &'a Flags)>) -> Self {
        let mut piece = Self::default();
        let mut sets: BTreeMap<String, IdSet<Uid>> = BTreeMap::new();
        for (there, here, flags) in messages {
            match piece.runs.last_mut() {
                Some((first, to, count))
                    if first.checked_add(*count) == Some(there.get()) && to.checked_add(*count) == Some(here.get()) =>
                {
                    *count += 1;
                }
                _ => piece.runs.push((there.get(), here.get(), 1)),
            }
            sets.entry(written(flags)).or_default().insert(there);
        }
        piece.flags = sets.into_iter().map(|(flags, uids)| (flags, uids.to_string())).collect();
        piece
    }

    /// The messages: UID there, UID here, the flags that it had there.
    pub(super) fn messages(&self) -> Vec<(Uid, Uid, Flags)> {
        let sets: Vec<(IdSet<Uid>, Flags)> = self.flags.iter().map(|(words, uids)| (set(uids), read(words))).collect();
        let run = |&(there, here, count): &(u32, u32, u32)| {
            let pair = move |n: u32| Some((Uid::new(there.checked_add(n)?)?, Uid::new(here.checked_add(n)?)?));
            (0..count.min(MAX_PIECE)).map_while(pair)
        };
        let of =
            |uid: Uid| sets.iter().find(|(uids, _)| uids.contains(uid)).map_or(Flags::NONE, |(_, flags)| flags.clone());
        self.runs.iter().flat_map(run).map(|(there, here)| (there, here, of(there))).collect()
    }

    fn there(&self) -> impl Iterator<Item = (Uid, Uid)> + '_ {
        let range = |&(there, _, count): &(u32, u32, u32)| {
            let more = count.min(MAX_PIECE).checked_sub(1)?;
            Some((Uid::new(there)?, Uid::new(there.checked_add(more)?)?))
        };
        self.runs.iter().filter_map(range)
    }
}

fn written(flags: &Flags) -> String {
    flags.iter().map(|flag| flag.as_str().to_owned()).collect::<Vec<_>>().join(" ")
}

fn read(words: &str) -> Flags {
    words.split(' ').filter_map(|word| Flag::parse(word).ok()).collect()
}

/// From what [`IdSet`] shows of itself.
fn set(written: &str) -> IdSet<Uid> {
    let mut set = IdSet::new();
    for range in written.split(',') {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        let uid = |digits: &str| digits.parse().ok().and_then(Uid::new);
        if let (Some(first), Some(last)) = (uid(first), uid(last)) {
            set.insert_range(first, last);
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_piece_says_what_it_was_told(pairs in proptest::collection::btree_map(1u32..60, (1u32..60, 0usize..3), 0..40)) {
            let flags = [Flags::NONE, read("\\Seen $Junk"), read("\\Deleted")];
            let uid = |n: u32| Uid::new(n).unwrap();
            let messages: Vec<_> = pairs.iter().map(|(there, (here, f))| (uid(*there), uid(*here), &flags[*f])).collect();
            let piece = Piece::new(messages.iter().copied());
            let json = serde_json::to_vec(&piece).unwrap();
            let again: Piece = serde_json::from_slice(&json).unwrap();
            let told: Vec<_> = messages.into_iter().map(|(there, here, flags)| (there, here, flags.clone())).collect();
            prop_assert_eq!(again.messages(), told);
            let mut known = IdSet::new();
            again.there().for_each(|(first, last)| known.insert_range(first, last));
            prop_assert_eq!(known, pairs.keys().map(|n| uid(*n)).collect());
        }
    }
}
