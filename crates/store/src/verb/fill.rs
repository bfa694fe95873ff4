//! Import: a mailbox is filled with messages whose UIDs are given, and nobody can select it until it is whole.
//!
//! Until then it stands among the deleted mailboxes: what is left of an import that was cut short can be looked at
//! with undelete, and goes when retention ends.

use std::sync::Arc;

use types::{MailboxId, MailboxName, Principal, SpecialUse, Uid, UidValidity};

use super::append::{Appended, NewMessage, add};
use super::mailboxes::new_entry;
use super::notes::{self, Note};
use super::undelete::{deleted_entry, deleted_value, show};
use crate::account::{Account, each};
use crate::attendance::Attendance;
use crate::error::{Error, Result};
use crate::key;
use crate::retention::mailbox_of;
use crate::rights;
use crate::snapshot::Snapshot;
use crate::txn::Txn;

/// A mailbox that is being filled; dropped before [`Filling::finish`], it stays among the deleted ones.
pub struct Filling {
    account: Account,
    id: MailboxId,
    /// It is not purged while this is held.
    _attendance: Attendance,
}

impl Account {
    /// Begins a mailbox, with notes. Its UIDVALIDITY is the one given, unless a mailbox of the account has it.
    pub async fn fill(
        &self,
        who: &Principal,
        name: MailboxName,
        special_use: Option<SpecialUse>,
        uid_validity: Option<UidValidity>,
        notes: Vec<Note>,
    ) -> Result<Filling> {
        rights::may_change(who, self.id())?;
        let cell = Arc::clone(&self.0);
        let (id, attendance) = self
            .write(move |txn| {
                txn.alive()?;
                let id = begin(txn, name, special_use, uid_validity)?;
                notes::write(txn, id, notes);
                Ok((id, Attendance::new(cell, id)))
            })
            .await?;
        Ok(Filling { account: self.clone(), id, _attendance: attendance })
    }

    /// No mailbox that is created from now on has a UIDVALIDITY up to this one: they belong to mailboxes that will be
    /// filled. One that would leave too few others is passed over.
    pub async fn pass_uid_validity(&self, who: &Principal, last: UidValidity) -> Result<()> {
        rights::may_change(who, self.id())?;
        self.write(move |txn| {
            txn.alive()?;
            txn.counters().take_uid_validity(last);
            Ok(())
        })
        .await
    }

    /// Goes on with a mailbox of which [`Filling::finish`] was never reached, found among the deleted ones. Retention
    /// begins anew.
    pub async fn refill(&self, who: &Principal, id: MailboxId) -> Result<Filling> {
        rights::may_change(who, self.id())?;
        let cell = Arc::clone(&self.0);
        let attendance = self
            .write(move |txn| {
                txn.alive()?;
                let value = txn.get(&key::deleted_mailbox(id))?.ok_or(Error::NoSuchMailbox)?;
                let entry = deleted_entry(txn.view()?, id, &value)?;
                let now = txn.now;
                txn.write(key::deleted_mailbox(id), Some(deleted_value(now, &entry)));
                Ok(Attendance::new(cell, id))
            })
            .await?;
        Ok(Filling { account: self.clone(), id, _attendance: attendance })
    }
}

impl Filling {
    /// Which mailbox this is and will be.
    pub fn id(&self) -> MailboxId {
        self.id
    }

    /// The first UID that [`Filling::push`] takes.
    pub fn uid_next(&self) -> Result<Uid> {
        Ok(self.account.0.mailbox(self.id).snapshot()?.uid_next())
    }

    /// The one that clients will see: the one wished for, or another where that was taken.
    pub fn uid_validity(&self) -> Result<UidValidity> {
        Ok(self.account.0.mailbox(self.id).snapshot()?.uid_validity())
    }

    /// Puts messages behind the others, all or none, and notes with them. Their UIDs ascend, also from call to call.
    pub async fn push(&self, who: &Principal, messages: Vec<(Uid, NewMessage)>, notes: Vec<Note>) -> Result<Appended> {
        rights::may_change(who, self.account.id())?;
        let id = self.id;
        self.account
            .write(move |txn| {
                txn.alive()?;
                let value = txn.get(&key::deleted_mailbox(id))?.ok_or(Error::NoSuchMailbox)?;
                let entry = deleted_entry(txn.view()?, id, &value)?;
                let mailbox = (*txn.hidden(id)?).clone();
                notes::write(txn, id, notes);
                add(txn, &entry, mailbox, messages.into_iter().map(|(uid, message)| (Some(uid), message)))
            })
            .await
    }

    /// It is whole: from now on it can be selected, and has at least this UIDNEXT. An empty mailbox of its name gives way
    /// (whoever has it selected is told that it is gone); one with messages does not.
    pub async fn finish(self, who: &Principal, uid_next: Uid, notes: Vec<Note>) -> Result<MailboxName> {
        rights::may_change(who, self.account.id())?;
        let id = self.id;
        self.account
            .write(move |txn| {
                txn.alive()?;
                notes::write(txn, id, notes);
                finish(txn, id, uid_next)
            })
            .await
    }
}

fn begin(
    txn: &mut Txn,
    name: MailboxName,
    special_use: Option<SpecialUse>,
    wanted: Option<UidValidity>,
) -> Result<MailboxId> {
    let now = txn.now;
    let mut entry = new_entry(txn.counters(), now, name, special_use)?;
    if let Some(wanted) = wanted
        && !is_used(txn, wanted)?
        && txn.counters().take_uid_validity(wanted)
    {
        entry.uid_validity = wanted;
    }
    txn.write(key::deleted_mailbox(entry.id), Some(deleted_value(now, &entry)));
    let empty = Snapshot::empty(entry.id, entry.uid_validity, txn.source());
    txn.put(empty);
    Ok(entry.id)
}

fn is_used(txn: &mut Txn, wanted: UidValidity) -> Result<bool> {
    if txn.tree().entries().any(|entry| entry.uid_validity == wanted) {
        return Ok(true);
    }
    let view = txn.view()?;
    let mut used = false;
    each(view, b"y", |key, value| {
        used |= deleted_entry(view, mailbox_of(key)?, value)?.uid_validity == wanted;
        Ok(())
    })?;
    // Those that this very commit begins are not in the view.
    Ok(used || txn.is_pending_uid_validity(wanted))
}

fn finish(txn: &mut Txn, id: MailboxId, uid_next: Uid) -> Result<MailboxName> {
    let value = txn.get(&key::deleted_mailbox(id))?.ok_or(Error::NoSuchMailbox)?;
    let mut entry = deleted_entry(txn.view()?, id, &value)?;
    if let Some(old) = txn.tree().get(&entry.name).cloned() {
        if old.summary.sums.count > 0 {
            return Err(Error::MailboxExists);
        }
        entry.special_use = old.special_use;
        txn.write(key::mailbox(old.id), None);
        // One that never held anything leaves nothing; another can be restored.
        if old.summary.uid_next == Uid::MIN {
            txn.write(key::buried_mailbox(old.id), Some(vec![]));
        } else {
            let now = txn.now;
            txn.write(key::deleted_mailbox(old.id), Some(deleted_value(now, &old)));
        }
        txn.remove(&old);
    } else if entry.special_use.is_some_and(|special_use| txn.tree().by_use(special_use).is_some()) {
        entry.special_use = None;
    }
    let mut mailbox = (*txn.hidden(id)?).clone();
    mailbox.head.uid_next = mailbox.head.uid_next.max(uid_next);
    // RFC 3501 §2.3.2: they were recent long ago.
    mailbox.head.recent = mailbox.head.uid_next;
    let name = show(txn, entry)?;
    txn.put(mailbox);
    Ok(name)
}
