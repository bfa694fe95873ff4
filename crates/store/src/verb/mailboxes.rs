//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE.

use types::{IdSet, MailboxId, MailboxName, ModSeq, Principal, SpecialUse, Uid};

use super::relocate::transfer;
use super::undelete::deleted_value;
use crate::account::Account;
use crate::error::{Error, Result};
use crate::key;
use crate::removal::Reason;
use crate::rights;
use crate::tree::{Entry, Summary};
use crate::txn::Txn;

impl Account {
    /// CREATE. Superiors that do not exist are created as well (RFC 9051 §6.3.4).
    pub async fn create_mailbox(
        &self,
        who: &Principal,
        name: MailboxName,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxId> {
        rights::may_change(who, self.id())?;
        self.write(move |txn| {
            txn.alive()?;
            create(txn, &name, special_use)
        })
        .await
    }

    /// DELETE. Inferiors stay (RFC 9051 §6.3.5); the name then exists only through them.
    pub async fn delete_mailbox(&self, who: &Principal, name: &MailboxName) -> Result<()> {
        rights::may_change(who, self.id())?;
        let name = name.clone();
        self.write(move |txn| {
            txn.alive()?;
            delete(txn, &name)
        })
        .await
    }

    /// RENAME. Inferiors go along, missing superiors of the new name are created. INBOX stays and
    /// gives its messages to a new mailbox (RFC 9051 §6.3.6). Subscriptions are left alone, as
    /// RFC 9051 §6.3.7 demands of the server.
    pub async fn rename_mailbox(&self, who: &Principal, from: &MailboxName, to: MailboxName) -> Result<()> {
        rights::may_change(who, self.id())?;
        let from = from.clone();
        self.write(move |txn| {
            txn.alive()?;
            if from.is_inbox() { rename_inbox(txn, &to) } else { rename(txn, &from, &to) }
        })
        .await
    }

    /// SUBSCRIBE, whether the mailbox exists or not.
    pub async fn subscribe(&self, who: &Principal, name: MailboxName) -> Result<()> {
        rights::may_change(who, self.id())?;
        self.write(move |txn| {
            txn.alive()?;
            if txn.tree().is_subscribed(&name) {
                return Ok(());
            }
            if txn.tree().subscription_count() >= txn.limits().subscriptions {
                return Err(Error::Limit("subscriptions"));
            }
            txn.write(key::subscription(name.as_str()), Some(vec![]));
            txn.tree_mut().subscribe(name);
            Ok(())
        })
        .await
    }

    /// UNSUBSCRIBE. A name that is not subscribed is no error.
    pub async fn unsubscribe(&self, who: &Principal, name: &MailboxName) -> Result<()> {
        rights::may_change(who, self.id())?;
        let name = name.clone();
        self.write(move |txn| {
            txn.alive()?;
            if txn.tree().is_subscribed(&name) {
                txn.write(key::subscription(name.as_str()), None);
                txn.tree_mut().unsubscribe(&name);
            }
            Ok(())
        })
        .await
    }
}

/// What every account has from its first day, subscribed.
pub(crate) fn first_mailboxes(
    defaults: &[(MailboxName, Option<SpecialUse>)],
) -> Vec<(MailboxName, Option<SpecialUse>)> {
    let mut all = vec![(MailboxName::inbox(), None)];
    all.extend(defaults.iter().filter(|(name, _)| !name.is_inbox()).cloned());
    all
}

/// An empty mailbox with a new id and a new UIDVALIDITY.
pub(crate) fn new_entry(
    counters: &mut crate::writer::Counters,
    now: types::UnixTime,
    name: MailboxName,
    special_use: Option<SpecialUse>,
) -> Result<Entry> {
    let uid_validity = counters.next_uid_validity(now)?;
    let summary = Summary { uid_next: Uid::MIN, modseq: ModSeq::ZERO.next(), sums: crate::chunk::Sums::default() };
    Ok(Entry { id: counters.next_mailbox(), name, special_use, uid_validity, created: now, summary })
}

pub(crate) fn create(txn: &mut Txn, name: &MailboxName, special_use: Option<SpecialUse>) -> Result<MailboxId> {
    if txn.tree().get(name).is_some() {
        return Err(Error::MailboxExists);
    }
    if let Some(wanted) = special_use {
        // RFC 6154 §3: a server may refuse uses that it does not support; we keep no virtual mailboxes.
        if matches!(wanted, SpecialUse::All | SpecialUse::Flagged) {
            return Err(Error::SpecialUseUnsupported);
        }
        if txn.tree().by_use(wanted).is_some() {
            return Err(Error::SpecialUseTaken);
        }
    }
    create_superiors(txn, name)?;
    add(txn, name.clone(), special_use)
}

pub(super) fn create_superiors(txn: &mut Txn, name: &MailboxName) -> Result<()> {
    let missing: Vec<_> = name.ancestors().filter(|above| txn.tree().get(above).is_none()).collect();
    for above in missing.into_iter().rev() {
        add(txn, above, None)?;
    }
    Ok(())
}

fn add(txn: &mut Txn, name: MailboxName, special_use: Option<SpecialUse>) -> Result<MailboxId> {
    if txn.tree().len() >= txn.limits().mailboxes {
        return Err(Error::Limit("mailboxes"));
    }
    let now = txn.now;
    let entry = new_entry(txn.counters(), now, name, special_use)?;
    let id = entry.id;
    txn.write(key::mailbox(id), Some(entry.encode()));
    txn.create(entry);
    Ok(id)
}

fn delete(txn: &mut Txn, name: &MailboxName) -> Result<()> {
    if name.is_inbox() {
        return Err(Error::Cannot("INBOX cannot be deleted"));
    }
    let Ok(entry) = txn.entry(name) else {
        // RFC 9051 §6.3.5: a name that is there only for its inferiors cannot be deleted.
        return Err(if txn.tree().has_children(name) { Error::HasChildren } else { Error::NoSuchMailbox });
    };
    // The messages stay where they are until retention ends; only the mailbox is out of sight.
    let now = txn.now;
    txn.write(key::mailbox(entry.id), None);
    txn.write(key::deleted_mailbox(entry.id), Some(deleted_value(now, &entry)));
    txn.remove(&entry);
    Ok(())
}

fn rename(txn: &mut Txn, from: &MailboxName, to: &MailboxName) -> Result<()> {
    if to == from {
        return if txn.tree().get(from).is_some() { Err(Error::MailboxExists) } else { Err(Error::NoSuchMailbox) };
    }
    if to.is_below(from) {
        return Err(Error::Cannot("a mailbox cannot be moved into itself"));
    }
    let mut moving: Vec<_> = txn.tree().get(from).cloned().into_iter().collect();
    moving.extend(txn.tree().below(from).cloned());
    if moving.is_empty() {
        return Err(Error::NoSuchMailbox);
    }
    // RFC 9051 §6.3.6: an error where the new name exists, also where only its inferiors do.
    if txn.tree().get(to).is_some() || to.is_inbox() {
        return Err(Error::MailboxExists);
    }
    for entry in &moving {
        let name = entry.name.moved(from, to).ok_or(Error::NoSuchMailbox)??;
        if txn.tree().get(&name).is_some() {
            return Err(Error::MailboxExists);
        }
        let renamed = Entry { name, ..(**entry).clone() };
        txn.write(key::mailbox(entry.id), Some(renamed.encode()));
        txn.tree_mut().remove(&entry.name);
        txn.tree_mut().insert(renamed);
    }
    create_superiors(txn, to)
}

fn rename_inbox(txn: &mut Txn, to: &MailboxName) -> Result<()> {
    if to.is_inbox() {
        return Err(Error::MailboxExists);
    }
    let target = create(txn, to, None)?;
    let inbox = txn.entry(&MailboxName::inbox())?.id;
    let all: IdSet<Uid> = txn.mailbox(inbox)?.uids();
    transfer(txn, inbox, target, &all, Some(Reason::Moved))?;
    Ok(())
}
