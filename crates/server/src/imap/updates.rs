//! Telling the client what happened to its mailbox: the one place where a view advances.
//!
//! The order is EXPUNGE, EXISTS, RECENT, FLAGS, FETCH, so that the numbers in each line are those
//! that hold at that line. Flags are told as FETCH tells them.

use proto::imap::Code;
use proto::imap::command::FetchItem;
use proto::imap::response::Condition;
use store::{Silent, Snapshot, Updates};
use types::{Flag, IdSet, Keyword, ModSeq, Uid};

use super::answer::{Failure, Outcome};
use super::cmd::fetch;
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
    /// Messages of which the client gets the mod-sequence alone: it knows the flags (RFC 7162 §3.1.3).
    pub(crate) brief: Option<&'a Brief>,
    /// Messages whose flags are told in any event: STORE answers also where nothing changed.
    pub(crate) answer: Option<&'a IdSet<Uid>>,
}

/// What `.SILENT` leaves of an answer once CONDSTORE is enabled.
#[derive(Debug)]
pub(crate) struct Brief {
    /// The messages whose flags the client knows.
    pub(crate) uids: IdSet<Uid>,
    /// The mod-sequence of the client's own change.
    pub(crate) own: Option<ModSeq>,
    /// The last that the client was told before.
    pub(crate) known: ModSeq,
}

impl Brief {
    /// Whether the client knows the flags of this message, which changed last then.
    pub(crate) fn holds(&self, uid: Uid, modseq: ModSeq) -> bool {
        (modseq <= self.known || Some(modseq) == self.own) && self.uids.contains(uid)
    }
}

impl Selected {
    /// Moves the view to the mailbox as it is now and writes the updates. An error of the store
    /// leaves the view as it was.
    pub(crate) async fn catch_up(&mut self, wire: &mut Wire, how: CatchUp<'_>) -> Result<(), Failure> {
        let snapshot = self.mailbox.snapshot()?;
        let Updates { expunged, exists, arrived, mut changed } =
            self.view.advance(&snapshot, how.may_renumber, how.silent)?;
        self.attendance.told(self.view.reported());
        if let Some(answer) = how.answer {
            changed = changed.union(&answer.intersection(self.view.told().uids()));
        }

        if !expunged.is_empty() {
            let gone: IdSet<Uid> = expunged.iter().map(|&(_, uid)| uid).collect();
            // RFC 5182 §2.1: a message that is gone is taken out of the saved result.
            self.saved = self.saved.difference(&gone);
            self.recent = self.recent.difference(&gone);
            if wire.dialect().qresync || wire.dialect().uid_only {
                // RFC 7162 §3.2.10, RFC 9586 §3
                wire.encoder().vanished(&gone);
            } else {
                for (number, _) in expunged {
                    wire.encoder().expunge(number);
                    wire.relieve().await?;
                }
            }
        }
        if let Some(exists) = exists {
            wire.encoder().exists(exists);
            self.tell_recent(wire, &snapshot, &arrived)?;
        }
        if snapshot.keywords().len() > self.keywords_told {
            self.tell_keywords(wire, &snapshot);
        }
        self.tell_flags(wire, &snapshot, &changed, how).await
    }

    /// Writes FETCH responses with the flags of these messages.
    pub(crate) async fn tell_flags(
        &self,
        wire: &mut Wire,
        snapshot: &Snapshot,
        uids: &IdSet<Uid>,
        how: CatchUp<'_>,
    ) -> Result<(), Failure> {
        if uids.is_empty() {
            return Ok(());
        }
        let dialect = wire.dialect();
        // RFC 9051 §7.5.2: an unsolicited FETCH must carry the UID, RFC 7162 §3.2.4: and the
        // mod-sequence; RFC 3501 did not ask for it. RFC 9586 §3: UIDFETCH has it in front.
        let with_uid = !dialect.uid_only && (how.by_uid || dialect.rev2 || dialect.condstore);
        let items = [(FetchItem::Uid, with_uid), (FetchItem::Flags, true), (FetchItem::ModSeq, dialect.condstore)];
        let items = items.into_iter().filter(|(_, wanted)| *wanted).map(|(item, _)| item).collect();
        // Boxed: what waits for news is small.
        Box::pin(fetch::tell(self, wire, snapshot, items, uids, how.brief)).await
    }

    /// HIGHESTMODSEQ as far as the client was told everything (RFC 7162 §3.1.2.1).
    pub(crate) fn tell_modseq(&self, wire: &mut Wire) {
        let code = Code::HighestModSeq(self.view.reported());
        wire.encoder().untagged(Condition::Ok, Some(&code), "Told up to here");
    }

    /// The answer to a command, with HIGHESTMODSEQ where the client needs it.
    ///
    /// * RFC 7162 §3.2: while an EXPUNGE is withheld, the mod-sequences that the client saw must not make
    ///   it believe that it was told.
    /// * RFC 7162 §3.2.7, §3.2.9, RFC 6851 §4.4: what was expunged moves it on, and no FETCH says so.
    pub(crate) fn with_modseq(&self, wire: &mut Wire, before: ModSeq, outcome: Outcome) -> Outcome {
        let dialect = wire.dialect();
        let reported = self.view.reported();
        if dialect.condstore && !self.view.ghosts().is_empty() {
            self.tell_modseq(wire);
            return outcome;
        }
        match outcome {
            Ok(answer)
                if dialect.qresync
                    && reported > before
                    && answer.code.is_none()
                    && answer.condition == Condition::Ok =>
            {
                Ok(answer.with(Code::HighestModSeq(reported)))
            }
            outcome => outcome,
        }
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
        wire.encoder().untagged(Condition::Ok, Some(&code), "Flags that are kept");
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
