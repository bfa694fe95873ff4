//! The list of accounts: account 0 holds it, one record a name.

use std::collections::HashMap;
use std::sync::Arc;

use engine::{AccountBatch, BlobId, CommitNumber, NewBlob, Write};
use parking_lot::Mutex;
use types::{AccountId, AccountName, MailboxName, SpecialUse, UnixTime};

use crate::account::{Account, each, undamaged};
use crate::blocking::brief;
use crate::codec::{Reader, Writer};
use crate::damage::each_readable;
use crate::error::{Error, Result};
use crate::key;
use crate::label::encode_account;
use crate::snapshot::Snapshot;
use crate::source::Source;
use crate::store::Store;
use crate::txn::{Txn, blob_id};
use crate::verb::{first_mailboxes, new_entry};
use crate::writer::Counters;

/// An account as the directory knows it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountRecord {
    /// Never reused.
    pub id: AccountId,
    /// By which it logs in.
    pub name: AccountName,
    /// In PHC form; the store does not look into it.
    pub password_hash: String,
    /// When.
    pub created: UnixTime,
    /// The names of what its sessions are not offered, sorted. The store does not look into them.
    pub off: Vec<String>,
}

impl std::fmt::Debug for AccountRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountRecord").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl AccountRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(2);
        w.number(self.id.0).bytes(self.password_hash.as_bytes()).signed(self.created.0);
        w.number(self.off.len() as u64);
        for name in &self.off {
            w.bytes(name.as_bytes());
        }
        w.finish()
    }

    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self> {
        let (version, mut r) = Reader::new("an account", value, 2)?;
        let id = AccountId(r.number()?);
        let password_hash = r.text()?.to_owned();
        let created = UnixTime(r.signed()?);
        let mut off = vec![];
        if version >= 2 {
            for _ in 0..r.count()? {
                off.push(r.text()?.to_owned());
            }
        }
        let name = key::text(key).and_then(|name| AccountName::new(name).ok());
        let record = Self { id, name: r.valid(name)?, password_hash, created, off };
        r.end()?;
        Ok(record)
    }
}

/// Records that are kept in memory, some hundred octets each.
const MOST_RECORDS: usize = 10_000;

/// What was read, each with the commit of the directory that it was read from: those who log in and those who get mail
/// are mostly the same, and so are the names that addresses might mean and do not.
#[derive(Default)]
pub(crate) struct Records(Mutex<HashMap<AccountName, (CommitNumber, Option<AccountRecord>)>>);

impl Records {
    /// What has that name, if that is known and as this commit left it.
    fn get(&self, name: &AccountName, now: CommitNumber) -> Option<Option<AccountRecord>> {
        self.0.lock().get(name).filter(|(commit, _)| *commit == now).map(|(_, found)| found.clone())
    }

    fn keep(&self, name: &AccountName, commit: CommitNumber, found: Option<AccountRecord>) {
        let mut records = self.0.lock();
        if records.len() >= MOST_RECORDS {
            records.clear();
        }
        records.insert(name.clone(), (commit, found));
    }
}

impl Store {
    /// All accounts by name.
    pub fn accounts(&self) -> Result<Vec<AccountRecord>> {
        let view = self.directory()?.read()?;
        let mut accounts = vec![];
        let all = each(&*view, b"u", |key, value| {
            accounts.push(AccountRecord::decode(key, value)?);
            Ok(())
        });
        undamaged(all, "the list of accounts", || {
            accounts.clear();
            each_readable(&*view, b"u", |key, value| {
                accounts.extend(value.and_then(|value| AccountRecord::decode(key, &value)));
                Ok(())
            })
        })?;
        Ok(accounts)
    }

    /// The account of that name.
    pub fn find_account(&self, name: &AccountName) -> Result<Option<AccountRecord>> {
        if let Some(found) = self.kept(name) {
            return Ok(found);
        }
        let (commit, found) = self.look_up(name)?;
        self.records().keep(name, commit, found.clone());
        Ok(found)
    }

    /// The same if it is in memory, because it was asked for lately.
    pub fn kept_account(&self, name: &AccountName) -> Option<AccountRecord> {
        self.kept(name).flatten()
    }

    /// The same for a name that somebody else may have: the work does not tell whether its owner was here, and names of
    /// nobody take no memory.
    pub fn read_account(&self, name: &AccountName) -> Result<Option<AccountRecord>> {
        let (commit, found) = self.look_up(name)?;
        if found.is_some() {
            self.records().keep(name, commit, found.clone());
        }
        Ok(found)
    }

    fn kept(&self, name: &AccountName) -> Option<Option<AccountRecord>> {
        self.directory().ok()?.settled().and_then(|now| self.records().get(name, now))
    }

    fn look_up(&self, name: &AccountName) -> Result<(CommitNumber, Option<AccountRecord>)> {
        brief(|| {
            let view = self.directory()?.read()?;
            Ok((view.commit_number(), find(&*view, name)?))
        })
    }

    /// Creates an account with its first mailboxes, all of them or nothing.
    pub async fn create_account(&self, name: &AccountName, password_hash: String) -> Result<AccountId> {
        let mailboxes = self.default_mailboxes().to_vec();
        self.create_account_with(name, password_hash, mailboxes).await
    }

    /// The same with these mailboxes besides INBOX.
    pub(crate) async fn create_account_with(
        &self,
        name: &AccountName,
        password_hash: String,
        mailboxes: Vec<(MailboxName, Option<SpecialUse>)>,
    ) -> Result<AccountId> {
        let name = name.clone();
        let store = self.clone();
        self.directory()?
            .write(move |txn| {
                if pending(txn, &name)?.is_some() {
                    return Err(Error::AccountExists);
                }
                let id = txn.counters().next_account();
                let record = AccountRecord { id, name, password_hash, created: txn.now, off: vec![] };
                txn.with(store.first_batch(id, txn.now, &mailboxes)?);
                put(txn, &record)?;
                Ok(id)
            })
            .await
    }

    /// Writes what the segments say of each account once more.
    pub(crate) async fn rewrite_credentials(&self) -> Result<()> {
        let records = self.accounts()?;
        self.directory()?.write(move |txn| records.iter().try_for_each(|record| put(txn, record))).await
    }

    /// Changes the password.
    pub async fn set_password(&self, name: &AccountName, password_hash: String) -> Result<()> {
        let name = name.clone();
        self.directory()?
            .write(move |txn| {
                let record = pending(txn, &name)?.ok_or(Error::NoSuchAccount)?;
                put(txn, &AccountRecord { password_hash, ..record })
            })
            .await
    }

    /// Adds names to those that the account's sessions are not offered, and takes others from them;
    /// gives what there is then. Sessions that are open stay as they are.
    pub async fn switch(&self, name: &AccountName, off: Vec<String>, on: Vec<String>) -> Result<Vec<String>> {
        let name = name.clone();
        self.directory()?
            .write(move |txn| {
                let mut record = pending(txn, &name)?.ok_or(Error::NoSuchAccount)?;
                record.off.extend(off.iter().cloned());
                record.off.retain(|name| !on.contains(name));
                record.off.sort_unstable();
                record.off.dedup();
                put(txn, &record)?;
                Ok(record.off)
            })
            .await
    }

    /// Deletes an account and all its mail. Its sessions end.
    pub async fn delete_account(&self, name: &AccountName) -> Result<()> {
        let name = name.clone();
        let id = self
            .directory()?
            .write(move |txn| {
                let record = pending(txn, &name)?.ok_or(Error::NoSuchAccount)?;
                // From here on nobody can log in; the tombstone sees to it that the content goes
                // even if the power fails between the two commits.
                txn.write(key::directory(record.name.as_str()), None);
                txn.write(key::tombstone(record.id), Some(vec![]));
                forget_credential(txn, record.id)?;
                Ok(record.id)
            })
            .await?;
        self.bury(id).await
    }

    /// Finishes deletions that a crash cut short.
    pub async fn finish_deletions(&self) -> Result<()> {
        let mut buried = vec![];
        {
            let view = self.directory()?.read()?;
            each(&*view, b"z", |key, _| {
                buried.extend(key::number(key, 0).map(AccountId));
                Ok(())
            })?;
        }
        for id in buried {
            self.bury(id).await?;
        }
        Ok(())
    }

    async fn bury(&self, id: AccountId) -> Result<()> {
        let account = self.load(id)?;
        let clear = |txn: &mut Txn| {
            txn.alive()?;
            txn.clear();
            Ok(())
        };
        match account.write(clear).await {
            Ok(()) | Err(Error::NoSuchAccount) => {}
            Err(error) => return Err(error),
        }
        self.forget(id);
        self.directory()?
            .write(move |txn| {
                txn.write(key::tombstone(id), None);
                Ok(())
            })
            .await
    }

    pub(crate) fn directory(&self) -> Result<Account> {
        self.load(AccountId::DIRECTORY)
    }

    /// What a new account begins with.
    pub(crate) fn first_batch(
        &self,
        id: AccountId,
        now: UnixTime,
        mailboxes: &[(MailboxName, Option<SpecialUse>)],
    ) -> Result<AccountBatch> {
        let mut batch = AccountBatch::new(id, CommitNumber(0));
        let version = batch.expect.0 + 1;
        let source = Arc::new(Source { engine: Arc::clone(self.engine()), account: id });
        let mut counters = Counters::new();
        for (name, special_use) in first_mailboxes(mailboxes) {
            let entry = new_entry(&mut counters, now, name, special_use)?;
            let mailbox = Snapshot::empty(entry.id, entry.uid_validity, Arc::clone(&source));
            batch.essential.push(Write { key: key::mailbox(entry.id), value: Some(entry.encode()) });
            batch.essential.push(Write { key: key::subscription(entry.name.as_str()), value: Some(vec![]) });
            mailbox.writes(None, version, &mut batch.essential);
        }
        batch.essential.push(Write { key: key::COUNTERS.to_vec(), value: Some(counters.encode()) });
        Ok(batch)
    }
}

fn find(view: &dyn engine::ReadView, name: &AccountName) -> Result<Option<AccountRecord>> {
    let key = key::directory(name.as_str());
    view.get(&key)?.map(|value| AccountRecord::decode(&key, &value)).transpose()
}

/// As [`find`], with what the verbs of this commit have done.
fn pending(txn: &mut Txn, name: &AccountName) -> Result<Option<AccountRecord>> {
    let key = key::directory(name.as_str());
    txn.get(&key)?.map(|value| AccountRecord::decode(&key, &value)).transpose()
}

/// Writes the record, and a second time into a segment, so that a lost index loses no account.
pub(crate) fn put(txn: &mut Txn, record: &AccountRecord) -> Result<()> {
    txn.write(key::directory(record.name.as_str()), Some(record.encode()));
    forget_credential(txn, record.id)?;
    match txn.empty_upload() {
        Ok(upload) => {
            let id = blob_id(txn.counters().next_email());
            txn.blob(NewBlob { id, upload, label: encode_account(record) });
            txn.write(key::credential(record.id), Some(id.0.to_be_bytes().to_vec()));
            Ok(())
        }
        // A full disk refuses bodies, not passwords.
        Err(Error::DiskFull) => Ok(()),
        Err(error) => Err(error),
    }
}

fn forget_credential(txn: &mut Txn, id: AccountId) -> Result<()> {
    let key = key::credential(id);
    if let Some(blob) = txn.get(&key)?.and_then(|value| value.try_into().ok()) {
        txn.drop_blob(BlobId(u64::from_be_bytes(blob)));
        txn.write(key, None);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(off: &[&str]) -> AccountRecord {
        let off = off.iter().map(|name| (*name).to_owned()).collect();
        let name = AccountName::new("alice").unwrap();
        AccountRecord { id: AccountId(7), name, password_hash: "hash".into(), created: UnixTime(-5), off }
    }

    #[tokio::test]
    async fn a_record_is_kept_until_the_directory_changes() {
        let options = crate::Options::default();
        let store =
            Store::open(Arc::new(engine::memory::Memory::new()), Arc::new(crate::SystemClock), options).unwrap();
        let (alice, bob) = (AccountName::new("alice").unwrap(), AccountName::new("bob").unwrap());
        store.create_account(&alice, "one".into()).await.unwrap();
        let hash = |name| store.find_account(name).unwrap().map(|record| record.password_hash);
        // Twice each: from the engine, and as it is kept.
        for _ in 0..2 {
            assert_eq!(hash(&alice).as_deref(), Some("one"));
            assert_eq!(hash(&bob), None);
        }
        assert_eq!(store.records().0.lock().len(), 2);
        // Names that somebody tries are not kept.
        assert!(store.read_account(&AccountName::new("carol").unwrap()).unwrap().is_none());
        assert_eq!(store.records().0.lock().len(), 2);
        store.set_password(&alice, "two".into()).await.unwrap();
        store.create_account(&bob, "three".into()).await.unwrap();
        for _ in 0..2 {
            assert_eq!((hash(&alice).as_deref(), hash(&bob).as_deref()), (Some("two"), Some("three")));
        }
        store.delete_account(&alice).await.unwrap();
        assert_eq!((hash(&alice), hash(&bob).as_deref()), (None, Some("three")));
    }

    #[test]
    fn both_layouts_are_readable() {
        let key = key::directory("alice");
        for record in [record(&[]), record(&["ID", "SORT"])] {
            assert!(AccountRecord::decode(&key, &record.encode()).unwrap() == record);
        }
        // As Pillarbox wrote it before there was anything to switch.
        let mut w = Writer::new(1);
        w.number(7).bytes(b"hash").signed(-5);
        assert!(AccountRecord::decode(&key, &w.finish()).unwrap() == record(&[]));
        let mut w = Writer::new(3);
        w.number(7).bytes(b"hash").signed(-5);
        assert!(AccountRecord::decode(&key, &w.finish()).is_err());
        let truncated = record(&["ID"]).encode();
        assert!(AccountRecord::decode(&key, &truncated[..truncated.len() - 1]).is_err());
    }
}
