//! Notes: what an importer wants to find again with a mailbox when it runs the next time, such as which message of
//! the source became which one here.
//!
//! The store does not look into them. What matters is when they are written: in the commit that they tell of, so
//! that a message and the note that it came cannot be apart, whoever is killed. They go where their mailbox goes,
//! also into the bin and back.

use std::ops::ControlFlow;
use std::sync::Arc;

use types::{IdSet, MailboxId, Principal, Uid};

use super::append::{Appended, NewMessage, add};
use crate::account::Account;
use crate::blocking::blocking;
use crate::codec::{Reader, Writer};
use crate::error::{Error, Result};
use crate::key;
use crate::retention::walk;
use crate::rights;
use crate::txn::Txn;

/// A note; the one of the same source and number gives way to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// Where mail comes from; the importer says how it makes a number of that.
    pub source: u64,
    /// Which of that source's notes.
    pub number: u64,
    /// What it says.
    pub value: Vec<u8>,
}

/// Held by the one who imports into an account: two of them would bring everything twice.
#[derive(Debug)]
pub struct Importing {
    _one: tokio::sync::OwnedMutexGuard<()>,
}

impl Account {
    /// `None` while somebody else imports into the account. What an import that was cut off had still on its way is
    /// committed by then.
    pub async fn begin_import(&self) -> Result<Option<Importing>> {
        let Ok(one) = Arc::clone(&self.0.importing).try_lock_owned() else { return Ok(None) };
        // Verbs are applied in the order in which they came, whether or not somebody still waits for them.
        self.write(|txn| txn.alive()).await?;
        Ok(Some(Importing { _one: one }))
    }

    /// The notes of a source by number, also those of a mailbox that is being filled.
    pub fn notes(&self, who: &Principal, mailbox: MailboxId, source: u64) -> Result<Vec<(u64, Vec<u8>)>> {
        rights::may_see(who, self.id())?;
        blocking(|| {
            let mut notes = vec![];
            walk(&*self.0.source.read()?, key::notes(mailbox, source), |key, value| {
                let number = key::number(key, 2).ok_or_else(|| Error::Damaged("a note has no number".into()))?;
                let (_, mut r) = Reader::new("a note", value, 1)?;
                notes.push((number, r.bytes()?.to_vec()));
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(notes)
        })
    }

    /// Writes notes to a mailbox that is there.
    pub async fn note(&self, who: &Principal, mailbox: MailboxId, notes: Vec<Note>) -> Result<()> {
        rights::may_change(who, self.id())?;
        self.write(move |txn| {
            txn.alive()?;
            txn.tree().by_id(mailbox).ok_or(Error::NoSuchMailbox)?;
            write(txn, mailbox, notes);
            Ok(())
        })
        .await
    }

    /// Puts messages at the end of a mailbox, all or none, and the note that they came. They ascend; one whose UID is
    /// not given yet keeps it, the others get the next ones.
    pub async fn take_over(
        &self,
        who: &Principal,
        to: MailboxId,
        messages: Vec<(Uid, NewMessage)>,
        note: impl FnOnce(&IdSet<Uid>) -> Note + Send + 'static,
    ) -> Result<Appended> {
        rights::may_change(who, self.id())?;
        self.write(move |txn| {
            txn.alive()?;
            let entry = txn.tree().by_id(to).cloned().ok_or(Error::NoSuchTarget)?;
            let mailbox = (*txn.mailbox(to)?).clone();
            let mut next = mailbox.uid_next();
            let mut numbered = Vec::with_capacity(messages.len());
            for (wanted, message) in messages {
                let uid = wanted.max(next);
                next = uid.next().ok_or(Error::Limit("UIDs of a mailbox"))?;
                numbered.push((Some(uid), message));
            }
            let appended = add(txn, &entry, mailbox, numbered.into_iter())?;
            write(txn, to, vec![note(&appended.uids)]);
            Ok(appended)
        })
        .await
    }
}

pub(super) fn write(txn: &mut Txn, mailbox: MailboxId, notes: Vec<Note>) {
    for note in notes {
        let mut w = Writer::new(1);
        w.bytes(&note.value);
        txn.write(key::note(mailbox, note.source, note.number), Some(w.finish()));
    }
}
