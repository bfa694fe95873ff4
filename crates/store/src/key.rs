//! Where each thing stands among an account's keys. `docs/format.md` describes them.
//!
//! A key is one letter and big-endian numbers, so that the engine's order is ours.

use std::ops::Range;

use types::{AccountId, EmailId, MailboxId, ModSeq};

use crate::snapshot::{ChunkId, NodeId};

/// Marks shared by all who look at a mailbox. Other planes will hold private flags (`\Seen` in
/// shared mailboxes), one plane a user.
pub(crate) const SHARED_PLANE: u64 = 0;

/// The account's counters.
pub(crate) const COUNTERS: &[u8] = b"a";

/// What was set of the account's quota.
pub(crate) const QUOTA: &[u8] = b"q";

/// An account in the directory (account 0), by name.
pub(crate) fn directory(name: &str) -> Vec<u8> {
    let mut key = vec![b'u'];
    key.extend_from_slice(name.as_bytes());
    key
}

/// A subscribed name, with or without a mailbox.
pub(crate) fn subscription(name: &str) -> Vec<u8> {
    let mut key = vec![b's'];
    key.extend_from_slice(name.as_bytes());
    key
}

fn numbered(letter: u8, numbers: &[u64]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + 8 * numbers.len());
    key.push(letter);
    for n in numbers {
        key.extend_from_slice(&n.to_be_bytes());
    }
    key
}

/// A mailbox: name, use, UIDVALIDITY.
pub(crate) fn mailbox(id: MailboxId) -> Vec<u8> {
    numbered(b'm', &[id.0])
}

/// What changes with every commit to a mailbox: UIDNEXT, HIGHESTMODSEQ, sums, list of nodes.
pub(crate) fn head(id: MailboxId) -> Vec<u8> {
    numbered(b'h', &[id.0])
}

/// The keywords of a mailbox; their positions are the keyword ids.
pub(crate) fn keywords(id: MailboxId) -> Vec<u8> {
    numbered(b'w', &[id.0])
}

/// A node of the spine.
pub(crate) fn node(id: MailboxId, node: NodeId) -> Vec<u8> {
    numbered(b'n', &[id.0, node.0.into()])
}

/// All nodes of a mailbox.
pub(crate) fn nodes(id: MailboxId) -> Range<Vec<u8>> {
    below(numbered(b'n', &[id.0]))
}

/// The rows of a chunk.
pub(crate) fn rows(id: MailboxId, chunk: ChunkId) -> Vec<u8> {
    numbered(b'r', &[id.0, chunk.0.into()])
}

/// The marks of a chunk on a plane.
pub(crate) fn marks(id: MailboxId, chunk: ChunkId, plane: u64) -> Vec<u8> {
    numbered(b'k', &[id.0, chunk.0.into(), plane])
}

/// A part of what one verb took out of a mailbox.
pub(crate) fn removal(id: MailboxId, modseq: ModSeq, part: u64) -> Vec<u8> {
    numbered(b'x', &[id.0, modseq.get(), part])
}

/// Where the history of a mailbox begins, once its oldest removals were forgotten.
pub(crate) fn history(id: MailboxId) -> Vec<u8> {
    numbered(b'l', &[id.0])
}

/// A deleted mailbox that cannot be restored any more, until its content is gone.
pub(crate) fn buried_mailbox(id: MailboxId) -> Vec<u8> {
    numbered(b'g', &[id.0])
}

/// Everything that a mailbox has under a letter.
pub(crate) fn of_mailbox(letter: u8, id: MailboxId) -> Range<Vec<u8>> {
    below(numbered(letter, &[id.0]))
}

/// A mailbox that was deleted: as [`mailbox`], and when. Its messages stay where they are.
pub(crate) fn deleted_mailbox(id: MailboxId) -> Vec<u8> {
    numbered(b'y', &[id.0])
}

/// What an importer keeps with a mailbox.
pub(crate) fn note(id: MailboxId, source: u64, note: u64) -> Vec<u8> {
    numbered(b'i', &[id.0, source, note])
}

/// All notes of a source.
pub(crate) fn notes(id: MailboxId, source: u64) -> Range<Vec<u8>> {
    below(numbered(b'i', &[id.0, source]))
}

/// An account that is being deleted, in the directory, until its content is gone.
pub(crate) fn tombstone(id: AccountId) -> Vec<u8> {
    numbered(b'z', &[id.0])
}

/// In the directory: the number of the body whose label tells of an account.
pub(crate) fn credential(id: AccountId) -> Vec<u8> {
    numbered(b'b', &[id.0])
}

/// The removals after `since`.
pub(crate) fn removals_after(id: MailboxId, since: ModSeq) -> Range<Vec<u8>> {
    removal(id, since.next(), 0)..below(numbered(b'x', &[id.0])).end
}

/// Cards, or one part of them, of the emails from this one on that one commit brought (derived).
pub(crate) fn cards(letter: u8, first: EmailId) -> Vec<u8> {
    numbered(letter, &[first.0])
}

/// All of them.
pub(crate) fn all_cards(letter: u8) -> Range<Vec<u8>> {
    below(vec![letter])
}

/// The thread of a message id, by the hash of the latter (derived).
pub(crate) fn thread(hash: u64) -> Vec<u8> {
    numbered(b't', &[hash])
}

/// All of them.
pub(crate) fn all_threads() -> Range<Vec<u8>> {
    below(vec![b't'])
}

/// All keys that begin so.
pub(crate) fn below(prefix: Vec<u8>) -> Range<Vec<u8>> {
    let mut end = prefix.clone();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    prefix..end
}

/// The numbers of a key made by [`numbered`].
pub(crate) fn number(key: &[u8], index: usize) -> Option<u64> {
    let at = 1 + 8 * index;
    key.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes)
}

/// The text of a key of [`directory`] or [`subscription`].
pub(crate) fn text(key: &[u8]) -> Option<&str> {
    key.get(1..).and_then(|bytes| std::str::from_utf8(bytes).ok())
}
