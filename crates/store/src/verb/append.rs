//! APPEND and delivery.

use engine::NewBlob;
use types::{DateTime, Flags, IdSet, MailboxId, MailboxName, Principal, ThreadId, Uid, UidValidity};

use crate::account::Account;
use crate::chunk::{Row, flag_set};
use crate::error::{Error, Result};
use crate::incoming::Received;
use crate::label::Label;
use crate::rights;
use crate::snapshot::Snapshot;
use crate::tree::Entry;
use crate::txn::{Txn, blob_id};

/// A message on its way into a mailbox.
#[derive(Debug)]
pub struct NewMessage {
    /// What arrived.
    pub content: Received,
    /// The flags it begins with.
    pub flags: Flags,
    /// INTERNALDATE; now, where nobody gave one.
    pub internal_date: Option<DateTime>,
}

/// What APPEND did (RFC 4315 §3 APPENDUID).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Where the messages are.
    pub mailbox: MailboxId,
    /// Of that mailbox.
    pub uid_validity: UidValidity,
    /// Ascending, in the order of the messages.
    pub uids: IdSet<Uid>,
}

impl Account {
    /// Puts messages at the end of a mailbox, all or none (RFC 3502 §3).
    pub async fn append(&self, who: &Principal, to: &MailboxName, messages: Vec<NewMessage>) -> Result<Appended> {
        rights::may_change(who, self.id())?;
        let to = to.clone();
        self.write(move |txn| {
            txn.alive()?;
            append(txn, &to, messages)
        })
        .await
    }
}

pub(super) fn append(txn: &mut Txn, to: &MailboxName, messages: Vec<NewMessage>) -> Result<Appended> {
    let entry = txn.tree().get(to).cloned().ok_or(Error::NoSuchTarget)?;
    let mailbox = (*txn.mailbox(entry.id)?).clone();
    add(txn, &entry, mailbox, messages.into_iter().map(|message| (None, message)))
}

/// Puts messages at the end of a mailbox, with these UIDs, which ascend, or the next ones.
pub(super) fn add(
    txn: &mut Txn,
    entry: &Entry,
    mut mailbox: Snapshot,
    messages: impl ExactSizeIterator<Item = (Option<Uid>, NewMessage)>,
) -> Result<Appended> {
    let limits = txn.limits();
    let modseq = mailbox.head.modseq.next();
    let mut names = (*mailbox.keywords).clone();
    let mut appended = Appended { mailbox: entry.id, uid_validity: entry.uid_validity, uids: IdSet::new() };
    let mut uid = mailbox.uid_next();
    let mut rows = Vec::with_capacity(messages.len());
    for (wanted, message) in messages {
        if message.flags.keywords().len() > limits.keywords_per_message {
            return Err(Error::Limit("keywords of a message"));
        }
        if wanted.is_some_and(|wanted| wanted < uid) {
            return Err(Error::Cannot("UIDs must ascend"));
        }
        uid = wanted.unwrap_or(uid);
        let next = uid.next().ok_or(Error::Limit("UIDs of a mailbox"))?;
        let email = txn.counters().next_email();
        let thread = thread_of(txn, &message.content.ids)?;
        let row = Row {
            uid,
            size: message.content.size,
            internal_date: message.internal_date.unwrap_or(DateTime::utc(txn.now)),
            saved: txn.now,
            email,
            thread,
            international: Some(message.content.international),
        };
        rows.push((row, modseq, flag_set(&message.flags, &mut names)));
        let label = Label::of(entry, &row, &message.flags).encode();
        txn.blob(NewBlob { id: blob_id(email), upload: message.content.upload, label });
        txn.put_card(email, message.content.card);
        appended.uids.insert(uid);
        uid = next;
    }
    if names.len() > mailbox.keywords.len() {
        if names.len() > limits.keywords {
            return Err(Error::Limit("keywords of a mailbox"));
        }
        mailbox.keywords = names.into();
        mailbox.head.keywords_version = txn.version;
    }
    mailbox.append(txn.version, rows)?;
    txn.put(mailbox);
    Ok(appended)
}

/// The thread of the first of the messages that this one refers to and that we know, the nearest
/// first; a new one where we know none. The id never changes afterwards (RFC 8474 §5.2).
pub(crate) fn thread_of(txn: &mut Txn, ids: &[u64]) -> Result<ThreadId> {
    let known: Vec<Option<ThreadId>> = ids.iter().map(|&id| txn.thread_of(id)).collect::<Result<_>>()?;
    let thread = known.iter().flatten().next().copied();
    let thread = thread.unwrap_or_else(|| txn.counters().next_thread());
    // The references as well: of two siblings whose parent never came, the second finds the first.
    for (&id, known) in ids.iter().zip(known) {
        if known.is_none() {
            txn.put_thread(id, thread);
        }
    }
    Ok(thread)
}
