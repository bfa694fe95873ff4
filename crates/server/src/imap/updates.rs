//! Telling the client what happened to its mailbox: the one place where a view advances.
//!
//! The order is EXPUNGE, EXISTS, RECENT, FLAGS, FETCH, so that the numbers in each line are those
//! that hold at that line. Flags are read chunk by chunk while they are written; nothing is
//! collected.

use proto::imap::{Code, Encoder};
use store::{Chunk, Silent, Snapshot, Updates, View};
use types::{Flag, IdSet, Keyword, Uid};

use super::answer::Failure;
use super::state::Selected;
use super::wire::Wire;

/// How to catch up: what the moment allows and what the command wants to be told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CatchUp<'a> {
    /// EXPUNGE may be sent now: not while FETCH, STORE or SEARCH by sequence number is answered
    /// (RFC 9051 §7.5.1).
    pub(crate) may_renumber: bool,
    /// The command is of the UID form: its FETCH responses carry the UID (RFC 9051 §6.4.9).
    pub(crate) by_uid: bool,
    /// The client's own change that `.SILENT` keeps quiet about.
    pub(crate) silent: Option<&'a Silent>,
    /// Messages whose flags are told in any event: STORE answers also where nothing changed.
    pub(crate) answer: Option<&'a IdSet<Uid>>,
}

impl Selected {
    /// Moves the view to the mailbox as it is now and writes the updates. An error of the store
    /// leaves the view as it was.
    pub(crate) async fn catch_up(&mut self, wire: &mut Wire, how: CatchUp<'_>) -> Result<(), Failure> {
        let snapshot = self.mailbox.snapshot()?;
        let Updates { expunged, exists, arrived, mut changed } =
            self.view.advance(&snapshot, how.may_renumber, how.silent)?;
        if let Some(answer) = how.answer {
            changed = changed.union(&answer.intersection(self.view.told().uids()));
        }

        if !expunged.is_empty() {
            let gone: IdSet<Uid> = expunged.iter().map(|&(_, uid)| uid).collect();
            // RFC 5182 §2.1: a message that is gone is taken out of the saved result.
            self.saved = self.saved.difference(&gone);
            self.recent = self.recent.difference(&gone);
        }
        for (number, _) in expunged {
            wire.encoder().expunge(number);
            wire.relieve().await?;
        }
        if let Some(exists) = exists {
            wire.encoder().exists(exists);
            self.tell_recent(wire, &snapshot, &arrived)?;
        }
        if snapshot.keywords().len() > self.keywords_told {
            self.tell_keywords(wire, &snapshot);
        }
        // RFC 9051 §7.5.2: an unsolicited FETCH must carry the UID; RFC 3501 did not ask for it.
        let with_uid = how.by_uid || wire.dialect().rev2;
        let recent = (!wire.dialect().rev2).then_some(&self.recent);
        for chunk in snapshot.chunks(&changed) {
            let chunk = chunk?;
            write_flags(&mut wire.encoder(), &self.view, &snapshot, &chunk, &changed, recent, with_uid);
            wire.relieve().await?;
        }
        Ok(())
    }

    /// RFC 3501 §2.3.2: messages that came while this session was the first to hear of them are
    /// recent in it. A read-only session looks and does not claim.
    fn tell_recent(&mut self, wire: &mut Wire, snapshot: &Snapshot, arrived: &IdSet<Uid>) -> Result<(), Failure> {
        if wire.dialect().rev2 {
            return Ok(());
        }
        let from = if self.read_only {
            self.mailbox.recent_from()?
        } else {
            self.mailbox.claim_recent(snapshot.uid_next())?
        };
        self.recent = self.recent.union(&arrived.within(from, Uid::MAX));
        wire.encoder().recent(count(&self.recent));
        Ok(())
    }

    /// RFC 9051 §7.3.5: the FLAGS response again, once there are new keywords.
    pub(crate) fn tell_keywords(&mut self, wire: &mut Wire, snapshot: &Snapshot) {
        let keywords = snapshot.keywords();
        self.keywords_told = keywords.len();
        let flags = flags_of(keywords.iter());
        wire.encoder().flags(&flags);
        let code = permanent_flags(flags, self.read_only, keywords.len() < self.mailbox.account().limits().keywords);
        wire.encoder().untagged(proto::imap::response::Condition::Ok, Some(&code), "Flags that are kept");
    }
}

/// The flags that messages of a mailbox can have: the system flags and its keywords.
fn flags_of<'k>(keywords: impl Iterator<Item = &'k Keyword>) -> Vec<Flag> {
    Flag::SYSTEM.into_iter().chain(keywords.cloned().map(Flag::Keyword)).collect()
}

/// `[PERMANENTFLAGS]`: RFC 9051 §6.3.3, nothing can be changed under EXAMINE; §7.1, no `\*` where no
/// new keyword can be made.
fn permanent_flags(flags: Vec<Flag>, read_only: bool, room: bool) -> Code {
    if read_only {
        Code::PermanentFlags { flags: vec![], create: false }
    } else {
        Code::PermanentFlags { flags, create: room }
    }
}

/// A mailbox holds at most 2^32 - 1 messages.
pub(crate) fn count(uids: &IdSet<Uid>) -> u32 {
    u32::try_from(uids.len()).unwrap_or(u32::MAX)
}

/// A FETCH response with the flags of each of these messages that is in the chunk.
fn write_flags(
    encoder: &mut Encoder<'_>,
    view: &View,
    snapshot: &Snapshot,
    chunk: &Chunk,
    uids: &IdSet<Uid>,
    recent: Option<&IdSet<Uid>>,
    with_uid: bool,
) {
    for (at, row) in chunk.rows().iter().enumerate() {
        let Some(number) = view.number(row.uid).filter(|_| uids.contains(row.uid)) else { continue };
        let mut fetch = encoder.fetch(number);
        if with_uid {
            fetch.uid(row.uid);
        }
        fetch.flags(&chunk.flags(at, snapshot.keywords()), recent.is_some_and(|r| r.contains(row.uid)));
        fetch.finish();
    }
}
