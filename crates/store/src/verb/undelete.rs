//! Undelete: expunged messages and deleted mailboxes come back, until retention ends.
//!
//! A message is *lost* when it was expunged and no mailbox has it: moved messages live elsewhere, and so
//! do those of which a copy is left. A lost message is listed once, where it was last; restored it has a
//! new UID there, and is lost no more. Nothing is written to the records: who is listed follows from
//! what there is.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use engine::ReadView;
use message::{FieldSet, Header, Needle};
use types::{DateTime, EmailId, Flags, IdSet, MailboxId, MailboxName, ModSeq, Principal, Uid, UnixTime};

use super::mailboxes::{create, create_superiors};
use super::relocate::put_in;
use crate::account::{Account, each};
use crate::blocking::blocking;
use crate::cards::Cards;
use crate::chunk::{FlagSet, Row};
use crate::codec::{Reader, Writer};
use crate::error::{Error, Result};
use crate::key;
use crate::removal::{Reason, Removal};
use crate::retention::{deleted_when, mailbox_of, rows_in, walk};
use crate::rights;
use crate::snapshot::Snapshot;
use crate::tree::{Entry, Summary};
use crate::txn::Txn;

/// Messages that one commit restores.
const STEP: usize = 500;

/// Which lost messages: those that are all of this.
#[derive(Clone, Debug, Default)]
pub struct LostQuery {
    /// Only these.
    pub emails: Option<BTreeSet<EmailId>>,
    /// Expunged from this mailbox.
    pub mailbox: Option<MailboxName>,
    /// INTERNALDATE is not before this.
    pub since: Option<UnixTime>,
    /// INTERNALDATE is before this.
    pub before: Option<UnixTime>,
    /// Expunged not before this.
    pub expunged_since: Option<UnixTime>,
    /// The Subject holds this, in any case.
    pub subject: Option<String>,
    /// The From field holds this, in any case.
    pub from: Option<String>,
}

/// A message that can be restored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lost {
    /// By which it is restored.
    pub email: EmailId,
    /// Where it was last.
    pub mailbox: MailboxName,
    /// When it was expunged.
    pub expunged: UnixTime,
    /// INTERNALDATE.
    pub internal_date: DateTime,
    /// In octets.
    pub size: u32,
    /// The Subject field, decoded; empty where it was not asked for.
    pub subject: String,
    /// The From field, decoded; empty where it was not asked for.
    pub from: String,
    place: Place,
}

/// Where a lost message is written down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    when: UnixTime,
    mailbox: MailboxId,
    modseq: ModSeq,
    part: u64,
    uid: Uid,
}

/// A mailbox that can be restored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeletedMailbox {
    /// By which it is restored.
    pub id: MailboxId,
    /// The name that it had.
    pub name: MailboxName,
    /// When it was deleted.
    pub deleted: UnixTime,
    /// Messages in it.
    pub messages: u32,
    /// Their octets.
    pub octets: u64,
}

/// What was restored.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Restored {
    /// Mailboxes that have messages again, and how many.
    pub messages: BTreeMap<MailboxName, u64>,
}

impl Account {
    /// The lost messages, those first that were expunged last; and how many there are. Only the first
    /// `most` are given, with subject and sender.
    pub fn lost(&self, who: &Principal, query: &LostQuery, most: usize) -> Result<(Vec<Lost>, usize)> {
        rights::may_see(who, self.id())?;
        blocking(|| {
            let mut cards = Cards::new(&self.0);
            let mut lost = self.find_lost(&mut cards, query)?;
            let count = lost.len();
            lost.truncate(most);
            for lost in &mut lost {
                (lost.subject, lost.from) = subject_and_from(&mut cards, lost.email)?;
            }
            Ok((lost, count))
        })
    }

    /// The deleted mailboxes, the last one first.
    pub fn deleted_mailboxes(&self, who: &Principal) -> Result<Vec<DeletedMailbox>> {
        rights::may_see(who, self.id())?;
        blocking(|| {
            let view = self.read()?;
            let mut deleted = vec![];
            each(&*view, b"y", |key, value| {
                let id = mailbox_of(key)?;
                let (when, entry) = (deleted_when(value)?, deleted_entry(&*view, id, value)?);
                let Summary { sums, .. } = entry.summary;
                deleted.push(DeletedMailbox {
                    id,
                    name: entry.name,
                    deleted: when,
                    messages: sums.count,
                    octets: sums.size,
                });
                Ok(())
            })?;
            deleted.sort_by_key(|mailbox| std::cmp::Reverse((mailbox.deleted, mailbox.id)));
            Ok(deleted)
        })
    }

    /// Puts lost messages back where they were, or all into `to`, which is created if need be: with new
    /// UIDs, the flags that they had but `\Deleted`, their INTERNALDATE and their email id. In commits of
    /// some hundred; where one is refused, those before it stay, and those after it are still lost.
    pub async fn restore(&self, who: &Principal, query: &LostQuery, to: Option<&MailboxName>) -> Result<Restored> {
        rights::may_change(who, self.id())?;
        // What is lost now stays lost, and stays there, as long as this is held.
        let _bin = self.0.bin.lock().await;
        let mut lost = blocking(|| self.find_lost(&mut Cards::new(&self.0), query))?;
        lost.sort_by_key(|lost| (lost.place.mailbox, lost.place.uid));
        let mut restored = Restored::default();
        for of_mailbox in lost.chunk_by(|a, b| a.place.mailbox == b.place.mailbox) {
            for some in of_mailbox.chunks(STEP) {
                let places: Vec<_> = some.iter().map(|lost| lost.place).collect();
                let to = to.cloned();
                let name = self
                    .write(move |txn| {
                        txn.alive()?;
                        put_back(txn, &places, to)
                    })
                    .await?;
                *restored.messages.entry(name).or_insert(0) += some.len() as u64;
            }
        }
        Ok(restored)
    }

    /// Brings a deleted mailbox back as it was, UIDs, UIDVALIDITY and all, under its name or another. Its use
    /// (RFC 6154) is left out where another mailbox has it by now. Gives the name.
    pub async fn restore_mailbox(
        &self,
        who: &Principal,
        id: MailboxId,
        name: Option<MailboxName>,
    ) -> Result<MailboxName> {
        rights::may_change(who, self.id())?;
        let _bin = self.0.bin.lock().await;
        self.write(move |txn| {
            txn.alive()?;
            revive(txn, id, name)
        })
        .await
    }

    fn find_lost(&self, cards: &mut Cards, query: &LostQuery) -> Result<Vec<Lost>> {
        let tree = self.tree();
        let mut found: HashMap<EmailId, (Place, Row)> = HashMap::new();
        for entry in tree.entries() {
            let view = cards.view()?;
            records(view, entry.id, |modseq, part, removal| {
                for row in removal.messages.rows() {
                    let place = Place { when: removal.when, mailbox: entry.id, modseq, part, uid: row.uid };
                    let known = found.entry(row.email).or_insert((place, *row));
                    if place > known.0 {
                        *known = (place, *row);
                    }
                }
            })?;
        }
        let living: HashSet<MailboxId> = tree.entries().map(|entry| entry.id).collect();
        walk(cards.view()?, key::below(vec![b'r']), |key, value| {
            if !found.is_empty() && living.contains(&mailbox_of(key)?) {
                for row in rows_in(value)?.iter() {
                    found.remove(&row.email);
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let mut lost = vec![];
        for (email, (place, row)) in found {
            let Some(entry) = tree.by_id(place.mailbox) else { continue };
            if query.may_be(&entry.name, place.when, email, &row) && query.is_in_header(cards, email)? {
                lost.push(Lost {
                    email,
                    mailbox: entry.name.clone(),
                    expunged: place.when,
                    internal_date: row.internal_date,
                    size: row.size,
                    subject: String::new(),
                    from: String::new(),
                    place,
                });
            }
        }
        lost.sort_by_key(|lost| std::cmp::Reverse(lost.place));
        Ok(lost)
    }
}

impl LostQuery {
    fn may_be(&self, mailbox: &MailboxName, expunged: UnixTime, email: EmailId, row: &Row) -> bool {
        self.emails.as_ref().is_none_or(|emails| emails.contains(&email))
            && self.mailbox.as_ref().is_none_or(|wanted| wanted == mailbox)
            && self.since.is_none_or(|since| row.internal_date.time >= since)
            && self.before.is_none_or(|before| row.internal_date.time < before)
            && self.expunged_since.is_none_or(|since| expunged >= since)
    }

    fn is_in_header(&self, cards: &mut Cards, email: EmailId) -> Result<bool> {
        if self.subject.is_none() && self.from.is_none() {
            return Ok(true);
        }
        let (subject, from) = subject_and_from(cards, email)?;
        let holds = |wanted: &Option<String>, text: &str| wanted.as_ref().is_none_or(|w| Needle::new(w).is_in(text));
        Ok(holds(&self.subject, &subject) && holds(&self.from, &from))
    }
}

/// Of a header that is too large for its card, and of one that cannot be read, only what is in the card.
fn subject_and_from(cards: &mut Cards, email: EmailId) -> Result<(String, String)> {
    let mut fields = || {
        let mut octets = Vec::new();
        if let (Some(header), Some(set)) = (cards.header(email, false)?, FieldSet::new(&["from", "subject"])) {
            header.select(set, &mut octets);
        }
        let field = |name: &str| Some(Header::new(&octets).first(name)?.decoded());
        let subject = match field("subject") {
            Some(subject) => subject,
            None => cards.card(email)?.base_subject().to_owned(),
        };
        Ok((subject, field("from").unwrap_or_default()))
    };
    match fields() {
        Err(Error::Damaged(what)) => {
            tracing::error!(what, "a lost message is listed without its header");
            Ok((String::new(), String::new()))
        }
        found => found,
    }
}

/// The records of a mailbox from which messages can be restored.
fn records(view: &dyn ReadView, mailbox: MailboxId, mut each: impl FnMut(ModSeq, u64, &Removal)) -> Result<()> {
    walk(view, key::of_mailbox(b'x', mailbox), |key, value| {
        let place = key::number(key, 1).and_then(ModSeq::new).zip(key::number(key, 2));
        let (modseq, part) = place.ok_or_else(|| Error::Damaged("a removal has no mod-sequence".into()))?;
        let removal = Removal::decode(value)?;
        if removal.reason == Reason::Expunged {
            each(modseq, part, &removal);
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// Restores messages of one mailbox, ascending.
fn put_back(txn: &mut Txn, places: &[Place], to: Option<MailboxName>) -> Result<MailboxName> {
    let Some(mailbox) = places.first().map(|place| place.mailbox) else { return Err(Error::Internal) };
    let home = txn.tree().by_id(mailbox).ok_or(Error::NoSuchMailbox)?.name.clone();
    let to = to.unwrap_or(home);
    let target = match txn.tree().get(&to) {
        Some(entry) => entry.id,
        None => create(txn, &to, None)?,
    };
    let source = txn.mailbox(mailbox)?;
    let mut messages = Vec::with_capacity(places.len());
    let mut read: HashMap<(ModSeq, u64), Removal> = HashMap::new();
    for place in places {
        let at = (place.modseq, place.part);
        let removal = match read.entry(at) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let value = txn.view()?.get(&key::removal(mailbox, place.modseq, place.part))?;
                new.insert(Removal::decode(&value.ok_or(Error::Internal)?)?)
            }
        };
        let at = removal.messages.position(place.uid).ok_or(Error::Internal)?;
        if let (Some(row), Some(set)) = (removal.messages.rows().get(at), removal.messages.flag_set(at)) {
            let system = set.system & !Flags::DELETED_BIT;
            messages.push((*row, FlagSet { system, keywords: set.keywords.clone() }));
        }
    }
    let _: IdSet<Uid> = put_in(txn, target, &source, messages)?;
    Ok(to)
}

fn revive(txn: &mut Txn, id: MailboxId, name: Option<MailboxName>) -> Result<MailboxName> {
    let value = txn.get(&key::deleted_mailbox(id))?.ok_or(Error::NoSuchMailbox)?;
    let mut entry = deleted_entry(txn.view()?, id, &value)?;
    if let Some(name) = name {
        entry.name = name;
    }
    if txn.tree().get(&entry.name).is_some() || entry.name.is_inbox() {
        return Err(Error::MailboxExists);
    }
    if entry.special_use.is_some_and(|special_use| txn.tree().by_use(special_use).is_some()) {
        entry.special_use = None;
    }
    show(txn, entry)
}

/// Puts a mailbox that is in no tree into it.
pub(super) fn show(txn: &mut Txn, entry: Entry) -> Result<MailboxName> {
    create_superiors(txn, &entry.name)?;
    if txn.tree().len() >= txn.limits().mailboxes {
        return Err(Error::Limit("mailboxes"));
    }
    let name = entry.name.clone();
    txn.write(key::deleted_mailbox(entry.id), None);
    txn.write(key::mailbox(entry.id), Some(entry.encode()));
    txn.revive(entry);
    Ok(name)
}

/// Gives the deleted mailboxes new UIDVALIDITYs: the account went back in time, and whoever knew one of them
/// from later must not take it for the same when it is restored.
pub(crate) fn renew_deleted(txn: &mut Txn) -> Result<()> {
    let mut deleted = vec![];
    each(txn.view()?, b"y", |key, value| {
        deleted.push((mailbox_of(key)?, value.to_vec()));
        Ok(())
    })?;
    for (id, value) in deleted {
        let (when, entry) = (deleted_when(&value)?, deleted_entry(txn.view()?, id, &value)?);
        let source = txn.source();
        let Some(base) = Snapshot::read(txn.view()?, id, source)? else { continue };
        let mut mailbox = base.clone();
        let now = txn.now;
        mailbox.head.uid_validity = txn.counters().next_uid_validity(now)?;
        let entry = Entry { uid_validity: mailbox.uid_validity(), ..entry };
        txn.write(key::deleted_mailbox(id), Some(deleted_value(when, &entry)));
        let version = txn.version;
        mailbox.writes(Some(&base), version, txn.essential());
    }
    Ok(())
}

/// The record of a deleted mailbox.
pub(super) fn deleted_value(when: UnixTime, entry: &Entry) -> Vec<u8> {
    let mut w = Writer::new(1);
    w.signed(when.0).bytes(&entry.encode());
    w.finish()
}

/// A deleted mailbox as it was.
pub(super) fn deleted_entry(view: &dyn ReadView, id: MailboxId, value: &[u8]) -> Result<Entry> {
    let (_, mut r) = Reader::new("a deleted mailbox", value, 1)?;
    r.signed()?;
    let entry = r.bytes()?;
    let head = view.get(&key::head(id))?;
    let head = head.ok_or_else(|| Error::Damaged(format!("the deleted mailbox {id} has no head")))?;
    let (head, sums) = Snapshot::read_summary(&head)?;
    Entry::decode(id, entry, Summary { uid_next: head.uid_next, modseq: head.modseq, sums })
}
