//! After the engine has lost commits: every message back, and a plain list of what may be older than it was.
//!
//! * A message whose commit was lost goes to the mailbox and UID that its label names, or to a mailbox of
//!   that name, which is made where it is missing. What has no label to read goes to `Recovered`.
//! * An account that went back in time gets a new UIDVALIDITY in every mailbox, and its counters jump
//!   ([0009](../../../docs/decisions/0009-after-going-back-in-time.md)): clients fetch anew, and none is misled.
//! * What was purged for good may come back; nothing is lost instead.
//!
//! It runs before anybody is served, and again from its beginning where it was cut off.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use engine::{BlobId, NewBlob, Setback, Strays, Upload};
use message::Card;
use types::{
    AccountId, AccountName, DateTime, EmailId, Flags, IdSet, Limits, MailboxId, MailboxName, ThreadId, Uid, UidValidity,
};

use crate::account::{Account, each};
use crate::blocking::blocking;
use crate::cards::parse;
use crate::chunk::{Row, flag_set};
use crate::directory::{AccountRecord, put};
use crate::error::{Error, Result};
use crate::incoming::thread_ids;
use crate::key;
use crate::label::{Label, decode_account};
use crate::store::Store;
use crate::tree::Entry;
use crate::txn::{Txn, blob_id};
use crate::verb::{create, renew_deleted};
use crate::writer::Counters;

/// Messages of one commit.
const BATCH: usize = 200;

/// How far counters jump: more than can be given between two copies of the index. UIDVALIDITY, a time in
/// seconds, comes to be twelve days ahead.
const JUMP: u32 = 1 << 20;

/// No password matches it.
pub(crate) const NO_PASSWORD: &str = "!";

impl Store {
    /// Puts right what the engine found when it was opened: see the module. Gives the list, empty where
    /// nothing was wrong.
    pub async fn recover(&self) -> Result<Vec<String>> {
        let Some(setback) = blocking(|| self.engine().setback())? else { return Ok(vec![]) };
        let strays = Arc::new(blocking(|| self.engine().strays())?);
        let mut said = setback.said.clone();
        said.extend_from_slice(strays.unreadable());
        self.recover_directory(&setback, &strays, &mut said).await?;
        let moved = |id: &BlobId| {
            blocking(|| strays.get(AccountId::DIRECTORY, *id)).is_ok_and(|it| it.is_some_and(|it| it.named))
        };
        if strays.of(AccountId::DIRECTORY).iter().any(moved) {
            // What the segments say of accounts stood in one that has been given up since the copy.
            self.rewrite_credentials().await?;
        }
        for record in self.accounts()? {
            let mut recovery = Recovery { record, strays: Arc::clone(&strays), said: vec![] };
            let went_back = !setback.current.contains(&recovery.record.id);
            match recovery.account(self, went_back).await {
                Ok(()) => {}
                Err(Error::Damaged(what)) => recovery.say(format_args!("cannot be put right: {what}")),
                Err(error) => return Err(error),
            }
            said.append(&mut recovery.said);
        }
        blocking(|| self.engine().settle())?;
        Ok(said)
    }

    /// Puts back messages whose commits are not there although nothing else says that commits were lost: the
    /// last ones before a power cut, which nobody was told of, or which damage in the end of the log hides.
    pub async fn put_strays_back(&self) -> Result<Vec<String>> {
        let strays = Arc::new(blocking(|| self.engine().strays())?);
        let mut said = vec![];
        for record in self.accounts()? {
            let mut recovery = Recovery { record, strays: Arc::clone(&strays), said: vec![] };
            match recovery.rest(self).await {
                Ok(()) => {}
                Err(Error::Damaged(what)) => recovery.say(format_args!("cannot be put right: {what}")),
                Err(error) => return Err(error),
            }
            said.append(&mut recovery.said);
        }
        Ok(said)
    }

    /// Every account that has mail has a name.
    async fn recover_directory(&self, setback: &Setback, strays: &Strays, said: &mut Vec<String>) -> Result<()> {
        if setback.current.contains(&AccountId::DIRECTORY) {
            return Ok(());
        }
        let known: BTreeSet<AccountId> = self.accounts()?.into_iter().map(|record| record.id).collect();
        let view = self.directory()?.read()?;
        let mut deleted = BTreeSet::new();
        each(&*view, b"z", |key, _| {
            deleted.extend(key::number(key, 0).map(AccountId));
            Ok(())
        })?;
        // Below the counter, an account that the directory does not name was deleted, unless it has content.
        let (end, ..) = Counters::read(&*view)?.bounds();
        drop(view);
        let labels = self.labels_of_accounts(strays);
        let fresh = strays.accounts().chain(labels.keys().copied()).filter(|id| id.0 >= end.0);
        let mut nameless: BTreeSet<AccountId> =
            blocking(|| self.engine().accounts())?.into_iter().chain(fresh).collect();
        nameless.retain(|id| *id != AccountId::DIRECTORY && !known.contains(id) && !deleted.contains(id));
        let now = self.now();
        self.directory()?
            .write(move |txn| {
                txn.counters().skip(JUMP, now);
                Ok(())
            })
            .await?;
        for id in nameless {
            let name = AccountName::new(&format!("recovered-{id}")).map_err(|_| Error::Internal)?;
            let unknown = AccountRecord { id, name, password_hash: NO_PASSWORD.to_owned(), created: now, off: vec![] };
            let record = labels.get(&id).cloned().unwrap_or_else(|| unknown.clone());
            let name = self.restore_record(record, unknown.name).await?;
            let password = if labels.contains_key(&id) { "" } else { "; it needs a new password" };
            said.push(format!("account {name} was put back{password}"));
        }
        Ok(())
    }

    /// Writes the record of an account, under the other name where its own is taken.
    async fn restore_record(&self, record: AccountRecord, other: AccountName) -> Result<AccountName> {
        let record = match self.find_account(&record.name)? {
            Some(_) => AccountRecord { name: other, ..record },
            None => record,
        };
        let (store, name) = (self.clone(), record.name.clone());
        self.directory()?
            .write(move |txn| {
                txn.counters().pass(MailboxId(record.id.0), EmailId(0), ThreadId(0));
                if blocking(|| store.engine().read(record.id))?.commit_number().0 == 0 {
                    txn.with(store.first_batch(record.id, txn.now, store.default_mailboxes())?);
                }
                put(txn, &record)
            })
            .await?;
        Ok(name)
    }

    /// What the segments say of accounts; the last word on each.
    fn labels_of_accounts(&self, strays: &Strays) -> BTreeMap<AccountId, AccountRecord> {
        let ids = strays.of(AccountId::DIRECTORY).iter();
        let labels = ids.filter_map(|&id| blocking(|| strays.get(AccountId::DIRECTORY, id)).ok().flatten());
        labels.filter_map(|stray| decode_account(&stray.label).ok()).map(|record| (record.id, record)).collect()
    }
}

/// One account that is put right.
struct Recovery {
    record: AccountRecord,
    strays: Arc<Strays>,
    said: Vec<String>,
}

/// A message that comes back.
struct Found {
    email: EmailId,
    label: Option<Label>,
    raw_label: Vec<u8>,
    upload: Upload,
    size: u32,
    card: Option<Card>,
    /// Hashes of message ids, as in [`crate::Received`].
    ids: Vec<u64>,
    /// What is wrong with its body.
    damage: Option<String>,
}

/// Where a message came back.
struct Back {
    mailbox: MailboxName,
    uid: Uid,
    damage: Option<String>,
}

/// The UIDVALIDITY of mailboxes before they went back in time: labels name it.
type Before = HashMap<MailboxId, UidValidity>;

impl Recovery {
    fn say(&mut self, what: std::fmt::Arguments<'_>) {
        self.said.push(format!("account {}: {what}", self.record.name));
    }

    async fn account(&mut self, store: &Store, went_back: bool) -> Result<()> {
        let id = self.record.id;
        let account = store.load(id)?;
        let view = account.read()?;
        let (_, end, _) = Counters::read(&*view)?.bounds();
        drop(view);
        let before: Before = account.tree().entries().map(|entry| (entry.id, entry.uid_validity)).collect();
        if went_back {
            account.write_back(renew).await?;
            self.say(format_args!(
                "may be older than it was: changes of flags, deletions, moves, and names of mailboxes may be lost; \
                 clients will fetch its mailboxes anew"
            ));
        }
        self.moved(&account).await?;
        if went_back {
            self.lost(&account, end, Arc::new(before)).await?;
        }
        Ok(())
    }

    async fn rest(&mut self, store: &Store) -> Result<()> {
        let account = store.load(self.record.id)?;
        let (_, end, _) = Counters::read(&*account.read()?)?.bounds();
        let before: Before = account.tree().entries().map(|entry| (entry.id, entry.uid_validity)).collect();
        self.moved(&account).await?;
        self.lost(&account, end, Arc::new(before)).await
    }

    /// Bodies that the index names where they are not.
    async fn moved(&mut self, account: &Account) -> Result<()> {
        let ids = self.strays.of(self.record.id).to_vec();
        for ids in ids.chunks(BATCH) {
            let mut found = vec![];
            for &id in ids {
                found.extend(self.get(id).filter(|stray| stray.named).map(|stray| (id, stray)));
            }
            account
                .write(move |txn| {
                    for (id, stray) in found {
                        txn.drop_blob(id);
                        txn.blob(NewBlob { id, upload: stray.upload, label: stray.label });
                    }
                    Ok(())
                })
                .await?;
        }
        Ok(())
    }

    fn get(&mut self, id: BlobId) -> Option<engine::Stray> {
        match blocking(|| self.strays.get(self.record.id, id)) {
            Ok(stray) => stray,
            Err(error) => {
                self.say(format_args!("email {} cannot be put back: {error}", id.0));
                None
            }
        }
    }

    /// Messages whose commits were lost: those beyond the counter. What is below it was dropped.
    async fn lost(&mut self, account: &Account, end: EmailId, before: Arc<Before>) -> Result<()> {
        // In the order in which they came, so UIDs ascend within a mailbox.
        let ids: Vec<BlobId> = self.strays.of(self.record.id).iter().copied().filter(|id| id.0 >= end.0).collect();
        let mut back: BTreeMap<MailboxName, IdSet<Uid>> = BTreeMap::new();
        let limits = account.limits().clone();
        for ids in ids.chunks(BATCH) {
            let strays = ids.iter().filter_map(|&id| Some((id, self.get(id).filter(|stray| !stray.named)?)));
            let strays: Vec<_> = strays.collect();
            let found = blocking(|| strays.into_iter().map(|(id, stray)| look(id, stray, &limits)).collect::<Vec<_>>());
            let before = Arc::clone(&before);
            for Back { mailbox, uid, damage } in account.write_back(move |txn| put_back(txn, found, &before)).await? {
                if let Some(damage) = damage {
                    self.say(format_args!("mailbox {mailbox}: UID {uid}: {damage}"));
                }
                back.entry(mailbox).or_default().insert(uid);
            }
        }
        for (mailbox, uids) in back {
            let flags = "with the flags that they came with";
            self.say(format_args!("mailbox {mailbox}: {} messages were put back, {flags}: UIDs {uids}", uids.len()));
        }
        Ok(())
    }
}

/// New UIDVALIDITYs, and numbers that nobody has seen.
fn renew(txn: &mut Txn) -> Result<()> {
    let now = txn.now;
    txn.counters().skip(JUMP, now);
    if txn.tree().get(&MailboxName::inbox()).is_none() {
        create(txn, &MailboxName::inbox(), None)?;
    }
    for entry in txn.tree().entries().cloned().collect::<Vec<_>>() {
        let mut mailbox = match txn.mailbox(entry.id) {
            Ok(mailbox) => (*mailbox).clone(),
            // It stays as it is, and `check` names it.
            Err(Error::Damaged(_)) => continue,
            Err(error) => return Err(error),
        };
        let uid_validity = txn.counters().next_uid_validity(now)?;
        mailbox.head.uid_validity = uid_validity;
        let entry = Entry { uid_validity, ..(*entry).clone() };
        txn.write(key::mailbox(entry.id), Some(entry.encode()));
        txn.tree_mut().insert(entry);
        txn.put(mailbox);
    }
    renew_deleted(txn)
}

/// Reads a message to the end: what FETCH and THREAD want to know of it, and whether it can be read.
fn look(id: BlobId, stray: engine::Stray, limits: &Limits) -> Found {
    let (card, damage) = match parse(&*stray.blob, limits, |_| false) {
        Ok(message) => (Some(Card::from_message(&message)), None),
        Err(error) => (None, Some(error.to_string())),
    };
    Found {
        email: EmailId(id.0),
        label: Label::decode(&stray.label).ok(),
        raw_label: stray.label,
        // No message was let in that is larger.
        size: u32::try_from(stray.upload.size()).unwrap_or(u32::MAX),
        upload: stray.upload,
        ids: card.as_ref().map_or_else(Vec::new, thread_ids),
        card,
        damage,
    }
}

/// Puts messages at the end of their mailboxes.
fn put_back(txn: &mut Txn, found: Vec<Found>, before: &Before) -> Result<Vec<Back>> {
    let mut back = Vec::with_capacity(found.len());
    for message in found {
        let target = target(txn, message.label.as_ref(), before)?;
        let mut mailbox = (*txn.mailbox(target.id)?).clone();
        let label = message.label.as_ref();
        let uid = label.map_or(Uid::MIN, |label| label.uid).max(mailbox.uid_next());
        let thread = match label {
            Some(label) => label.thread,
            None => txn.counters().next_thread(),
        };
        txn.counters().pass(MailboxId(0), message.email, thread);
        let row = Row {
            uid,
            size: message.size,
            internal_date: label.map_or(DateTime::utc(txn.now), |label| label.internal_date),
            saved: txn.now,
            email: message.email,
            thread,
            international: message.card.as_ref().map(Card::is_international),
        };
        let mut names = (*mailbox.keywords).clone();
        let flags = label.map_or(Flags::NONE, |label| label.flags.clone());
        let set = flag_set(&flags, &mut names);
        if names.len() > mailbox.keywords.len() {
            mailbox.keywords = names.into();
            mailbox.head.keywords_version = txn.version;
        }
        let modseq = mailbox.head.modseq.next();
        mailbox.append(txn.version, [(row, modseq, set)])?;
        txn.put(mailbox);
        for id in message.ids {
            if txn.thread_of(id)?.is_none() {
                txn.put_thread(id, thread);
            }
        }
        if let Some(card) = message.card {
            txn.put_card(message.email, card);
        }
        txn.blob(NewBlob { id: blob_id(message.email), upload: message.upload, label: message.raw_label });
        back.push(Back { mailbox: target.name.clone(), uid, damage: message.damage });
    }
    Ok(back)
}

/// The mailbox that a message was in: by its id if that is still the same mailbox, else by its name.
fn target(txn: &mut Txn, label: Option<&Label>, before: &Before) -> Result<Arc<Entry>> {
    let by_id = label.filter(|label| before.get(&label.mailbox) == Some(&label.uid_validity));
    if let Some(entry) = by_id.and_then(|label| txn.tree().by_id(label.mailbox)) {
        return Ok(Arc::clone(entry));
    }
    let name = match label {
        Some(label) => label.name.clone(),
        None => MailboxName::new("Recovered")?,
    };
    if txn.tree().get(&name).is_none() {
        match create(txn, &name, None) {
            Ok(_) => {}
            // No room for a mailbox is no reason to lose a message.
            Err(Error::Limit(_)) => return txn.entry(&MailboxName::inbox()),
            Err(error) => return Err(error),
        }
    }
    txn.entry(&name)
}
