//! One account or one mailbox out of another store, a backup, into this one.
//!
//! A restored mailbox has the messages with their UIDs, flags, keywords and dates, its special use where
//! nobody else has it, and, where it comes under another name than it had or the caller knows that no
//! client has seen anything later, its UIDVALIDITY. Ids of mailboxes, emails and threads are new ones:
//! those of the backup may be in use here.

use std::collections::HashMap;
use std::ops::ControlFlow;

use engine::NewBlob;
use types::{AccountName, EmailId, Flags, MailboxId, MailboxName, Principal, UidValidity};

use crate::account::Account;
use crate::blocking::blocking;
use crate::chunk::{Row, flag_set};
use crate::error::{Error, Result};
use crate::incoming::Received;
use crate::key;
use crate::label::Label;
use crate::mailbox::Mailbox;
use crate::recover::NO_PASSWORD;
use crate::store::Store;
use crate::tree::Entry;
use crate::txn::{Txn, blob_id};
use crate::verb::{create, thread_of};

/// Messages of one commit at most, and octets after which one ends.
const BATCH: usize = 100;
const BATCH_OCTETS: u64 = 8 << 20;

/// What is to be restored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restore {
    /// The account in the backup.
    pub account: AccountName,
    /// Only this mailbox of it, into the account of that name, which exists.
    pub mailbox: Option<MailboxName>,
    /// Another name, of the account or else of the mailbox.
    pub rename: Option<String>,
    /// Nothing has happened since the backup was made: UIDVALIDITY stays although the name does.
    pub keep_uid_validity: bool,
}

impl Store {
    /// Restores from `backup`, another store. Gives what was done and what could not be, in plain words.
    pub async fn restore(&self, backup: &Self, what: &Restore) -> Result<Vec<String>> {
        let record = backup.find_account(&what.account)?.ok_or(Error::NoSuchAccount)?;
        let source = backup.account(record.id)?;
        let mut copier = Copier { source, emails: HashMap::new(), said: vec![] };
        match &what.mailbox {
            None => {
                let name = match &what.rename {
                    Some(name) => AccountName::new(name).map_err(|_| Error::Cannot("that is no name of an account"))?,
                    None => what.account.clone(),
                };
                let keep = what.keep_uid_validity || name != what.account;
                // Until all is there, nobody can log in.
                let id = self.create_account_with(&name, NO_PASSWORD.to_owned(), vec![]).await?;
                copier.account(&self.account(id)?, keep).await?;
                self.set_password(&name, record.password_hash).await?;
                copier.said.push(format!("account {name} was restored"));
            }
            Some(mailbox) => {
                let target = self.find_account(&what.account)?.ok_or(Error::NoSuchAccount)?;
                let name = match &what.rename {
                    Some(name) => MailboxName::new(name)?,
                    None => mailbox.clone(),
                };
                let keep = what.keep_uid_validity || name != *mailbox;
                copier.mailbox(&self.account(target.id)?, mailbox, name, keep, false).await?;
            }
        }
        Ok(copier.said)
    }
}

/// Carries mailboxes from one store to another.
struct Copier {
    source: Account,
    /// Emails that are there already, by their ids in the backup: a message may be in several mailboxes.
    emails: HashMap<EmailId, (EmailId, types::ThreadId)>,
    said: Vec<String>,
}

/// A message on its way.
struct Moving {
    row: Row,
    flags: Flags,
    /// Nothing where its email is there already.
    content: Option<Received>,
}

impl Copier {
    async fn account(&mut self, target: &Account, keep: bool) -> Result<()> {
        let tree = self.source.tree();
        let wanted: Vec<MailboxName> = tree.subscriptions().cloned().collect();
        target.write_back(move |txn| subscribe(txn, &wanted)).await?;
        for entry in tree.entries() {
            self.mailbox(target, &entry.name, entry.name.clone(), keep, true).await?;
        }
        Ok(())
    }

    /// Restores a mailbox under a name that is free, or, in a new account, that of an empty mailbox.
    async fn mailbox(
        &mut self,
        target: &Account,
        from: &MailboxName,
        to: MailboxName,
        keep: bool,
        fresh: bool,
    ) -> Result<()> {
        let who = Principal { account: self.source.id() };
        let source = self.source.open(&who, from)?;
        let tree = self.source.tree();
        let entry = tree.get(from).ok_or(Error::NoSuchMailbox)?;
        let snapshot = source.snapshot()?;
        let (uid_validity, special_use) = (keep.then_some(entry.uid_validity), entry.special_use);
        let name = to.clone();
        let id = target.write_back(move |txn| begin(txn, &name, special_use, uid_validity, fresh)).await?;

        let mut places = vec![];
        snapshot.walk(&snapshot.uids(), |chunk, at, row| {
            places.push((*row, chunk.flags(at, snapshot.keywords())));
            ControlFlow::Continue(())
        })?;
        let mut restored = 0;
        let mut rest = places.into_iter().peekable();
        while rest.peek().is_some() {
            let (mut batch, mut octets) = (vec![], 0);
            while batch.len() < BATCH
                && octets < BATCH_OCTETS
                && let Some((row, flags)) = rest.next()
            {
                octets += u64::from(row.size);
                match self.take(&source, target, row, flags)? {
                    Ok(moving) => batch.push(moving),
                    Err(why) => self.said.push(format!("mailbox {from}: UID {} is lost: {why}", row.uid)),
                }
            }
            restored += batch.len();
            let known: HashMap<_, _> =
                batch.iter().filter_map(|m| Some((m.row.email, *self.emails.get(&m.row.email)?))).collect();
            self.emails.extend(target.write_back(move |txn| put(txn, id, batch, known)).await?);
        }
        let (uid_next, modseq, recent) = (snapshot.uid_next(), snapshot.highest_modseq(), snapshot.head.recent);
        target
            .write_back(move |txn| {
                let mut mailbox = (*txn.mailbox(id)?).clone();
                mailbox.head.uid_next = mailbox.head.uid_next.max(uid_next);
                mailbox.head.modseq = mailbox.head.modseq.max(modseq);
                mailbox.head.recent = mailbox.head.recent.max(recent);
                txn.put(mailbox);
                Ok(())
            })
            .await?;
        self.said.push(format!("mailbox {to}: {restored} messages"));
        Ok(())
    }

    /// Reads a message in the backup; the inner error is damage there.
    fn take(&self, source: &Mailbox, target: &Account, row: Row, flags: Flags) -> Result<Result<Moving, String>> {
        if self.emails.contains_key(&row.email) {
            return Ok(Ok(Moving { row, flags, content: None }));
        }
        let blob = match source.body(row.email) {
            Ok(Some(blob)) => blob,
            Ok(None) => return Ok(Err("its body is gone".to_owned())),
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut incoming = target.receive()?;
        let (mut at, mut buffer) = (0, Vec::new());
        while at < blob.size() {
            let end = blob.size().min(at + 0x1_0000);
            buffer.clear();
            if let Err(error) = blocking(|| blob.read(at..end, &mut buffer)) {
                return Ok(Err(error.to_string()));
            }
            // It was let in once; a limit that is lower now is for what comes from outside.
            incoming.push_trace(&buffer)?;
            at = end;
        }
        Ok(Ok(Moving { row, flags, content: Some(incoming.finish()?) }))
    }
}

/// A new account has the subscriptions of the restored one, and no others.
fn subscribe(txn: &mut Txn, wanted: &[MailboxName]) -> Result<()> {
    txn.alive()?;
    for name in txn.tree().subscriptions().cloned().collect::<Vec<_>>() {
        txn.write(key::subscription(name.as_str()), None);
        txn.tree_mut().unsubscribe(&name);
    }
    for name in wanted {
        txn.write(key::subscription(name.as_str()), Some(vec![]));
        txn.tree_mut().subscribe(name.clone());
    }
    Ok(())
}

/// An empty mailbox for what is to come.
fn begin(
    txn: &mut Txn,
    name: &MailboxName,
    special_use: Option<types::SpecialUse>,
    uid_validity: Option<UidValidity>,
    fresh: bool,
) -> Result<MailboxId> {
    txn.alive()?;
    let id = match txn.tree().get(name) {
        Some(entry) if fresh => entry.id,
        Some(_) => return Err(Error::MailboxExists),
        None => create(txn, name, None)?,
    };
    let mut mailbox = (*txn.mailbox(id)?).clone();
    let entry = txn.tree().by_id(id).cloned().ok_or(Error::Internal)?;
    let taken = special_use.is_some_and(|u| txn.tree().by_use(u).is_some_and(|other| other.id != id));
    // Within an account no two mailboxes have the same UIDVALIDITY: RENAME relies on it.
    let free = |v: &UidValidity| txn.tree().entries().all(|other| other.id == id || other.uid_validity != *v);
    let uid_validity = uid_validity.filter(free).unwrap_or(entry.uid_validity);
    mailbox.head.uid_validity = uid_validity;
    let entry = Entry { uid_validity, special_use: special_use.filter(|_| !taken), ..(*entry).clone() };
    txn.counters().pass_uid_validity(uid_validity);
    txn.write(key::mailbox(id), Some(entry.encode()));
    txn.tree_mut().insert(entry);
    txn.put(mailbox);
    Ok(id)
}

/// Appends messages with the UIDs that they had; gives the ids of the emails that are new.
fn put(
    txn: &mut Txn,
    id: MailboxId,
    messages: Vec<Moving>,
    mut known: HashMap<EmailId, (EmailId, types::ThreadId)>,
) -> Result<HashMap<EmailId, (EmailId, types::ThreadId)>> {
    txn.alive()?;
    let entry = txn.tree().by_id(id).cloned().ok_or(Error::NoSuchMailbox)?;
    let mut mailbox = (*txn.mailbox(id)?).clone();
    let mut names = (*mailbox.keywords).clone();
    let modseq = mailbox.head.modseq.next();
    let mut rows = Vec::with_capacity(messages.len());
    let mut uid = mailbox.uid_next();
    for Moving { row, flags, content } in messages {
        uid = uid.max(row.uid);
        let (email, thread) = match (&content, known.get(&row.email)) {
            (_, Some(known)) => *known,
            (Some(content), None) => (txn.counters().next_email(), thread_of(txn, &content.ids)?),
            (None, None) => return Err(Error::Internal),
        };
        // A backup may have been made before rows knew.
        let international = content.as_ref().map_or(row.international, |content| Some(content.international));
        let new = Row { uid, email, thread, international, ..row };
        if let Some(content) = content.filter(|_| !known.contains_key(&row.email)) {
            let label = Label::of(&entry, &new, &flags).encode();
            txn.blob(NewBlob { id: blob_id(email), upload: content.upload, label });
            txn.put_card(email, content.card);
        }
        known.insert(row.email, (email, thread));
        rows.push((new, modseq, flag_set(&flags, &mut names)));
        uid = uid.next().ok_or(Error::Limit("UIDs of a mailbox"))?;
    }
    if names.len() > mailbox.keywords.len() {
        mailbox.keywords = names.into();
        mailbox.head.keywords_version = txn.version;
    }
    mailbox.append(txn.version, rows)?;
    txn.put(mailbox);
    Ok(known)
}
