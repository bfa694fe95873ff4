//! What one client has been told of a mailbox, and how it catches up.
//!
//! [`View::advance`] is the one function by which a session learns of changes: from what the
//! client was told and the mailbox's current [`Snapshot`] it makes the new view and the updates to
//! send. It owns these rules, and a model test holds it to them:
//!
//! * A sequence number means the same message to client and server at every moment: numbers change
//!   only by updates, and only where the caller says that renumbering is allowed.
//! * A *ghost* is a message that is gone but was not yet told to be: it keeps its number.
//! * New mail is told even while ghosts are withheld; EXISTS never shrinks without EXPUNGE.
//! * The mod-sequence reported to the client never passes a removal that it was not told.
//! * `.SILENT` hides exactly the client's own effect.

use types::{IdSet, ModSeq, SeqNum, SequenceSet, Uid, UidValidity};

use crate::error::Result;
use crate::snapshot::Snapshot;

mod told;

pub use told::Told;

/// See the module. A few ranges of numbers: this is all that an idle session keeps.
#[derive(Clone, Debug)]
pub struct View {
    uid_validity: UidValidity,
    told: Told,
    ghosts: IdSet<Uid>,
    seen: ModSeq,
    reported: ModSeq,
}

/// The client's own change that `.SILENT` keeps quiet about.
#[derive(Clone, Debug)]
pub struct Silent {
    /// The messages whose state before the change the client knew.
    pub uids: IdSet<Uid>,
    /// The mod-sequence of the change.
    pub modseq: ModSeq,
}

/// What to tell the client, in this order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Updates {
    /// The messages that go, ascending, each with its number at the moment of its own EXPUNGE line.
    pub expunged: Vec<(SeqNum, Uid)>,
    /// The number of messages, where messages came.
    pub exists: Option<u32>,
    /// The messages that came.
    pub arrived: IdSet<Uid>,
    /// The messages whose flags changed, by the numbers that hold after all of the above.
    pub changed: IdSet<Uid>,
}

impl Updates {
    /// True where there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.expunged.is_empty() && self.exists.is_none() && self.changed.is_empty()
    }
}

impl View {
    /// What a client knows that has just been given the mailbox by SELECT or EXAMINE.
    pub fn new(snapshot: &Snapshot) -> Self {
        Self {
            uid_validity: snapshot.uid_validity(),
            told: Told::new(&snapshot.uids()),
            ghosts: IdSet::new(),
            seen: snapshot.highest_modseq(),
            reported: snapshot.highest_modseq(),
        }
    }

    /// The UIDVALIDITY under which the client knows the mailbox.
    pub fn uid_validity(&self) -> UidValidity {
        self.uid_validity
    }

    /// EXISTS as the client knows it.
    pub fn exists(&self) -> u32 {
        self.told.len()
    }

    /// The messages that the client knows, ghosts included.
    pub fn told(&self) -> &Told {
        &self.told
    }

    /// The messages that are gone although the client was not told.
    pub fn ghosts(&self) -> &IdSet<Uid> {
        &self.ghosts
    }

    /// Changes up to here are in what the client was told; the base of [`Silent`].
    pub fn seen(&self) -> ModSeq {
        self.seen
    }

    /// The HIGHESTMODSEQ that may be reported: every removal up to it was told.
    pub fn reported(&self) -> ModSeq {
        self.reported
    }

    /// The messages that a set of sequence numbers means: the one place where numbers become UIDs.
    /// `None` where the set names a number above EXISTS (RFC 9051 §9 `seq-number`).
    pub fn resolve(&self, set: &SequenceSet<SeqNum>) -> Option<IdSet<Uid>> {
        let last = SeqNum::new(self.told.len());
        if set.largest_number() > last && set.largest_number().is_some() {
            return None;
        }
        // RFC 9051 §9: in an empty mailbox `*` is an error as well, since no number is valid.
        last?;
        Some(self.told.uids_at(&set.resolve(last)))
    }

    /// The messages that a set of UIDs means; UIDs that do not exist are skipped (RFC 9051 §6.4.9).
    pub fn resolve_uids(&self, set: &SequenceSet<Uid>) -> IdSet<Uid> {
        set.resolve(self.told.last()).intersection(self.told.uids())
    }

    /// The sequence number of a message.
    pub fn number(&self, uid: Uid) -> Option<SeqNum> {
        self.told.number(uid)
    }

    /// Moves the view to `current`.
    ///
    /// * `may_renumber`: this is a moment at which EXPUNGE may be sent (not while FETCH, STORE or
    ///   SEARCH is answered, RFC 9051 §7.5.1).
    /// * `silent`: the change whose effect on the client is known to it.
    pub fn advance(&mut self, current: &Snapshot, may_renumber: bool, silent: Option<&Silent>) -> Result<Updates> {
        let mut updates = Updates::default();
        // First everything that can fail, then the view changes.
        let changed = self.changed(current, silent)?;

        let gone = current.missing_from(self.told.uids());
        if may_renumber {
            updates.expunged = self.told.remove(&gone);
            self.ghosts = IdSet::new();
        } else {
            self.ghosts = gone;
        }

        let arrived = current.after(self.told.last().max(self.last_known()));
        if !arrived.is_empty() {
            self.told.append(&arrived);
            updates.exists = Some(self.told.len());
            updates.arrived = arrived;
        }

        updates.changed = changed.intersection(self.told.uids());
        self.seen = current.highest_modseq();
        if self.ghosts.is_empty() {
            self.reported = self.seen;
        }
        Ok(updates)
    }

    fn changed(&self, current: &Snapshot, silent: Option<&Silent>) -> Result<IdSet<Uid>> {
        let changed = current.changed_since(self.seen, self.told.uids())?;
        let Some(silent) = silent else {
            return Ok(changed);
        };
        let (known, mut own) = (changed.intersection(&silent.uids), IdSet::new());
        for chunk in current.chunks(&known) {
            let chunk = chunk?;
            let ours = chunk.changed(|modseq| modseq == silent.modseq);
            chunk.uids_at(ours.and(chunk.among(&known)), &mut own);
        }
        Ok(changed.difference(&own))
    }

    /// The largest UID ever told, also where that message is gone: UIDs only ever ascend.
    fn last_known(&self) -> Option<Uid> {
        self.told.largest_ever()
    }
}
