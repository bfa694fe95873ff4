//! COPY and MOVE. Within an account nothing is copied but the row: both refer to the same email.

use std::ops::ControlFlow;

use types::{IdSet, MailboxId, MailboxName, Principal, Uid, UidValidity};

use crate::chunk::{FlagSet, Row};
use crate::error::{Error, Result};
use crate::mailbox::Mailbox;
use crate::removal::{Reason, Remover};
use crate::rights;
use crate::snapshot::Snapshot;
use crate::txn::Txn;

/// What to do about messages that another session has expunged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// Do nothing at all and say [`Error::Expunged`]: the client named sequence numbers.
    Refuse,
    /// Leave them out: UIDs that do not exist are ignored (RFC 9051 §6.4.9).
    Skip,
}

/// What COPY or MOVE did (RFC 4315 §3 COPYUID): the n-th of `from` became the n-th of `to`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Copied {
    /// Of the target.
    pub uid_validity: UidValidity,
    /// UIDs in the source, ascending.
    pub from: IdSet<Uid>,
    /// UIDs in the target, ascending.
    pub to: IdSet<Uid>,
}

impl Mailbox {
    /// COPY, all or nothing.
    pub async fn copy(&self, who: &Principal, uids: IdSet<Uid>, to: &MailboxName, missing: Missing) -> Result<Copied> {
        self.transfer(who, uids, to, missing, None).await
    }

    /// MOVE, all or nothing (RFC 6851 §3.3): never a moment at which a message is in both or neither.
    pub async fn relocate(
        &self,
        who: &Principal,
        uids: IdSet<Uid>,
        to: &MailboxName,
        missing: Missing,
    ) -> Result<Copied> {
        self.transfer(who, uids, to, missing, Some(Reason::Moved)).await
    }

    async fn transfer(
        &self,
        who: &Principal,
        uids: IdSet<Uid>,
        to: &MailboxName,
        missing: Missing,
        take_out: Option<Reason>,
    ) -> Result<Copied> {
        rights::may_see(who, self.at.owner)?;
        rights::may_change(who, self.account.id())?;
        let (from, to) = (self.at.mailbox, to.clone());
        self.account
            .write_over(uids.len(), move |txn| {
                txn.alive()?;
                let target = txn.tree().get(&to).ok_or(Error::NoSuchTarget)?.id;
                let there = uids.difference(&txn.mailbox(from)?.absent(&uids));
                if missing == Missing::Refuse && there != uids {
                    return Err(Error::Expunged);
                }
                transfer(txn, from, target, &there, take_out)
            })
            .await
    }
}

/// Gives the messages `uids` of `from`, which are there, to `to`; takes them out of `from` if asked.
pub(crate) fn transfer(
    txn: &mut Txn,
    from: MailboxId,
    to: MailboxId,
    uids: &IdSet<Uid>,
    reason: Option<Reason>,
) -> Result<Copied> {
    let source = txn.mailbox(from)?;
    let mut copied = Copied { uid_validity: txn.mailbox(to)?.uid_validity(), from: uids.clone(), to: IdSet::new() };
    if uids.is_empty() {
        return Ok(copied);
    }
    let mut messages = Vec::new();
    source.walk(uids, |chunk, at, row| {
        messages.push((*row, chunk.flag_set(at).cloned().unwrap_or_default()));
        ControlFlow::Continue(())
    })?;
    copied.to = put_in(txn, to, &source, messages)?;
    if let Some(reason) = reason {
        let mut source = (*txn.mailbox(from)?).clone();
        take_out(txn, &mut source, uids, reason)?;
        txn.put(source);
    }
    Ok(copied)
}

/// Puts messages whose flags are those of `source` at the end of a mailbox. Gives their new UIDs, ascending
/// in their order.
pub(super) fn put_in(
    txn: &mut Txn,
    to: MailboxId,
    source: &Snapshot,
    messages: Vec<(Row, FlagSet)>,
) -> Result<IdSet<Uid>> {
    let mut target = (*txn.mailbox(to)?).clone();
    // RFC 7162 §3.1.2.2: a message that is copied counts as new in the target.
    let modseq = target.head.modseq.next();
    let mut uid = target.uid_next();
    let mut uids = IdSet::new();
    let mut new = Vec::with_capacity(messages.len());
    let mut names = (*target.keywords).clone();
    let saved = txn.now;
    for (row, set) in messages {
        let next = uid.next().ok_or(Error::Limit("UIDs of a mailbox"))?;
        let set = if source.mailbox() == to { set } else { translated(&set, source, &mut names) };
        new.push((Row { uid, saved, ..row }, modseq, set));
        uids.insert(uid);
        uid = next;
    }
    if names.len() > target.keywords.len() {
        if names.len() > txn.limits().keywords {
            return Err(Error::Limit("keywords of a mailbox"));
        }
        target.keywords = names.into();
        target.head.keywords_version = txn.version;
    }
    target.append(txn.version, new)?;
    txn.put(target);
    Ok(uids)
}

/// The same flags in the keyword ids of another mailbox.
fn translated(set: &FlagSet, from: &Snapshot, names: &mut crate::keywords::Keywords) -> FlagSet {
    let keyword = |&id: &u32| from.keywords().name(id).map(|keyword| names.id_or_insert(keyword));
    let mut keywords: Vec<u32> = set.keywords.iter().filter_map(keyword).collect();
    keywords.sort_unstable();
    FlagSet { system: set.system, keywords: keywords.into() }
}

/// Removes messages, which are there, and writes down what went.
pub(super) fn take_out(txn: &mut Txn, mailbox: &mut Snapshot, uids: &IdSet<Uid>, reason: Reason) -> Result<()> {
    let modseq = mailbox.head.modseq.next();
    let mut remover = Remover::new(mailbox.mailbox(), modseq, txn.now, reason);
    let out = txn.essential();
    mailbox.walk(uids, |chunk, at, row| {
        if let Some(set) = chunk.flag_set(at) {
            remover.push(*row, chunk.modseq(at), set, out);
        }
        ControlFlow::Continue(())
    })?;
    remover.flush(out);
    mailbox.remove(txn.version, modseq, uids)
}
