//! Everything that must hold of a store, verified; what does not is said in plain words.
//!
//! Reads what is on disk, not what is in memory, and compares the two where an account is loaded.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use engine::ReadView;
use types::{AccountId, EmailId, MailboxId, ModSeq, Resources, ThreadId, Uid};

use crate::account::{AccountCell, each};
use crate::chunk::{Chunk, MAX_ROWS};
use crate::codec::Reader;
use crate::error::{Error, Result};
use crate::key;
use crate::quota;
use crate::removal::Removal;
use crate::repair::ASIDE;
use crate::retention::{mailbox_of, rows_in, walk};
use crate::snapshot::Snapshot;
use crate::source::Source;
use crate::store::Store;
use crate::tree::{Entry, Summary};
use crate::txn::blob_id;
use crate::writer::Counters;

impl Store {
    /// Verifies every invariant; gives one line for each violation. Reads everything, bodies too. Damaged messages that
    /// [`Store::set_damaged_aside`] has moved are none.
    pub fn check(&self) -> Result<Vec<String>> {
        crate::blocking(|| {
            let mut problems = vec![];
            let mut bodies: HashMap<AccountId, Bodies> = HashMap::new();
            for line in self.engine().check()? {
                match engine::about_blob(&line) {
                    Some((account, id, what)) if account != AccountId::DIRECTORY => {
                        bodies.entry(account).or_default().entry(EmailId(id.0)).or_default().push(what.to_owned());
                    }
                    _ => problems.push(line),
                }
            }
            let mut ids = HashSet::new();
            for record in self.accounts()? {
                if !ids.insert(record.id) {
                    problems.push(format!("two accounts share the id {}, one is {}", record.id, record.name));
                }
                let mut check = Check::new(Arc::clone(self.engine()), record.id, record.name.to_string());
                check.bodies = bodies.remove(&record.id).unwrap_or_default();
                if let Err(error) = self.load(record.id).and_then(|loaded| check.account(&loaded.0)) {
                    check.problem(format_args!("{error}"));
                }
                check.homeless();
                problems.append(&mut check.problems);
            }
            match self.nameless() {
                Ok(ids) => problems.extend(ids.iter().map(|id| format!("account {id} has content but no name"))),
                Err(error) => problems.push(error.to_string()),
            }
            for (account, bodies) in bodies {
                let mut check = Check::new(Arc::clone(self.engine()), account, account.to_string());
                check.bodies = bodies;
                check.homeless();
                problems.append(&mut check.problems);
            }
            Ok(problems)
        })
    }
}

impl Store {
    /// The accounts of which something does not fit together, bodies aside.
    pub fn inconsistent(&self) -> Result<BTreeSet<AccountId>> {
        crate::blocking(|| {
            let mut ids = BTreeSet::new();
            for record in self.accounts()? {
                let mut check = Check::new(Arc::clone(self.engine()), record.id, record.name.to_string());
                let done = self.load(record.id).and_then(|loaded| check.account(&loaded.0));
                if done.is_err() || !check.problems.is_empty() {
                    ids.insert(record.id);
                }
            }
            if let Err(Error::Damaged(_)) = Counters::read(&*self.directory()?.read()?) {
                ids.insert(AccountId::DIRECTORY);
            }
            match self.nameless() {
                Ok(nameless) if !nameless.is_empty() => drop(ids.insert(AccountId::DIRECTORY)),
                // What SQLite cannot read says nothing of the directory.
                Ok(_) | Err(Error::Damaged(_)) => {}
                Err(error) => return Err(error),
            }
            Ok(ids)
        })
    }

    /// Accounts with content that the directory does not know.
    fn nameless(&self) -> Result<BTreeSet<AccountId>> {
        let mut ids = self.engine().accounts()?;
        ids.remove(&AccountId::DIRECTORY);
        for record in self.accounts()? {
            ids.remove(&record.id);
        }
        each(&*self.directory()?.read()?, b"z", |key, _| {
            ids.remove(&AccountId(key::number(key, 0).unwrap_or(0)));
            Ok(())
        })?;
        Ok(ids)
    }
}

/// What is wrong with the bodies of an account.
type Bodies = BTreeMap<EmailId, Vec<String>>;

/// One account under examination.
struct Check {
    /// What the engine says of bodies, and whether a message was named with it.
    bodies: Bodies,
    named: BTreeSet<EmailId>,
    source: Arc<Source>,
    name: String,
    problems: Vec<String>,
    emails: BTreeSet<EmailId>,
}

impl Check {
    fn new(engine: Arc<dyn engine::Engine>, account: AccountId, name: String) -> Self {
        Self {
            source: Arc::new(Source { engine, account }),
            name,
            problems: vec![],
            emails: BTreeSet::new(),
            bodies: Bodies::new(),
            named: BTreeSet::new(),
        }
    }

    /// Damaged bodies that belong to no message which could be named.
    fn homeless(&mut self) {
        for (email, what) in std::mem::take(&mut self.bodies) {
            if !self.named.contains(&email) {
                self.problem(format_args!("the body of email {email}, which is in no mailbox: {}", what.join("; ")));
            }
        }
    }

    fn problem(&mut self, what: std::fmt::Arguments<'_>) {
        self.problems.push(format!("account {}: {what}", self.name));
    }

    fn account(&mut self, loaded: &AccountCell) -> Result<()> {
        let view = self.source.read()?;
        let counters = Counters::read(&*view)?;
        let mut mailboxes = BTreeMap::new();
        for (letter, deleted) in [(b"m", false), (b"y", true)] {
            each(&*view, letter, |key, value| {
                let id = mailbox_of(key)?;
                let value = if deleted { live_part(value)? } else { value.to_vec() };
                mailboxes.insert(id, (value, deleted));
                Ok(())
            })?;
        }
        let mut buried = BTreeSet::new();
        each(&*view, b"g", |key, _| {
            buried.insert(mailbox_of(key)?);
            Ok(())
        })?;
        let mut names = BTreeMap::new();
        let mut uid_validities = BTreeMap::new();
        let mut expected = Keys::default();
        let mut usage = Resources::default();
        for (&id, (value, deleted)) in &mailboxes {
            match self.mailbox(&*view, id, value, &counters, &mut expected) {
                Ok((entry, snapshot)) => {
                    if !deleted && let Some(other) = names.insert(entry.name.clone(), id) {
                        self.problem(format_args!("mailboxes {other} and {id} have the same name {}", entry.name));
                    }
                    if let Some(other) = uid_validities.insert(entry.uid_validity, id) {
                        self.problem(format_args!("mailboxes {other} and {id} have the same UIDVALIDITY"));
                    }
                    if !deleted {
                        count(&mut usage, &entry);
                        self.compare(loaded, &entry, &snapshot);
                    }
                }
                Err(error) => self.problem(format_args!("mailbox {id}: {error}")),
            }
        }
        self.quota(&*view, loaded, &usage)?;
        if !names.keys().any(types::MailboxName::is_inbox) {
            self.problem(format_args!("there is no INBOX"));
        }
        self.buried(&*view, &buried)?;
        self.strays(&*view, &expected, &buried)?;
        self.removals(&*view, mailboxes.keys().chain(&buried).copied())?;
        self.bodies(&*view)
    }

    /// Verifies one mailbox from its head down to its rows.
    fn mailbox(
        &mut self,
        view: &dyn ReadView,
        id: MailboxId,
        value: &[u8],
        counters: &Counters,
        expected: &mut Keys,
    ) -> Result<(Entry, Snapshot)> {
        let snapshot = Snapshot::read(view, id, Arc::clone(&self.source))?;
        let snapshot = snapshot.ok_or_else(|| Error::Damaged("its head is missing".into()))?;
        let entry = Entry::decode(id, value, Summary::of(&snapshot))?;
        let (mailbox_end, email_end, thread_end) = counters.bounds();
        let mut say =
            |what: String| self.problems.push(format!("account {}: mailbox {}: {what}", self.name, entry.name));
        if id >= mailbox_end {
            say(format!("its id {id} is beyond the counter"));
        }
        if entry.uid_validity != snapshot.uid_validity() {
            say("its record and its head have different UIDVALIDITYs".into());
        }
        let mut sums = crate::chunk::Sums::default();
        let mut last: Option<Uid> = None;
        for node in &snapshot.nodes {
            expected.keys.insert(key::node(id, node.id));
            for chunk_ref in &node.chunks {
                expected.keys.insert(key::rows(id, chunk_ref.id));
                expected.keys.insert(key::marks(id, chunk_ref.id, key::SHARED_PLANE));
                if chunk_ref.id.0 >= snapshot.head.next_chunk || node.id.0 >= snapshot.head.next_node {
                    say(format!("chunk {} or its node is beyond the counter", chunk_ref.id.0));
                }
                let chunk = match snapshot.load(chunk_ref) {
                    Ok(chunk) => chunk,
                    Err(error) => {
                        say(format!("the messages with the UIDs {} cannot be read: {error}", chunk_ref.uids));
                        continue;
                    }
                };
                if chunk.sums() != chunk_ref.sums || chunk.len() > MAX_ROWS || chunk.is_empty() {
                    say(format!("the sums of chunk {} are wrong, or its size is", chunk_ref.id.0));
                }
                if chunk.rows().first().map(|row| row.uid) <= last {
                    say(format!("the UIDs do not ascend at chunk {}", chunk_ref.id.0));
                }
                last = chunk.rows().last().map(|row| row.uid).or(last);
                sums = sums.plus(chunk.sums());
                rows(chunk, &snapshot, email_end, thread_end, &mut say);
                for row in chunk.rows() {
                    if let Some(what) = self.bodies.get(&row.email) {
                        // What was set aside is known, and nobody can do more about it.
                        if entry.name.as_str() != ASIDE {
                            say(format!("UID {}: its body is damaged: {}", row.uid, what.join("; ")));
                        }
                        self.named.insert(row.email);
                    }
                }
                self.emails.extend(chunk.rows().iter().map(|row| row.email));
            }
        }
        if sums != snapshot.sums() {
            say("its counters (messages, unseen, deleted, size) are not those of its messages".into());
        }
        if last >= Some(snapshot.uid_next()) {
            say(format!("UIDNEXT is {} but there is UID {last:?}", snapshot.uid_next()));
        }
        if sums.modseq > snapshot.highest_modseq() {
            say("a message changed after HIGHESTMODSEQ".into());
        }
        Ok((entry, snapshot))
    }

    /// What is in memory must be what is on disk.
    fn compare(&mut self, loaded: &AccountCell, entry: &Entry, stored: &Snapshot) {
        let tree = Arc::clone(&loaded.tree.borrow());
        if tree.get(&entry.name).is_none_or(|known| **known != *entry) {
            self.problem(format_args!("mailbox {}: memory and disk differ in its entry", entry.name));
        }
        match loaded.mailbox(entry.id).snapshot() {
            Ok(memory) => {
                let mut head = memory.head;
                // The watermark of \Recent may be ahead in memory: it is saved with the next commit.
                head.recent = stored.head.recent;
                if head != stored.head || memory.sums() != stored.sums() || memory.uids() != stored.uids() {
                    self.problem(format_args!("mailbox {}: memory and disk differ in its messages", entry.name));
                }
            }
            Err(error) => self.problem(format_args!("mailbox {}: {error}", entry.name)),
        }
    }

    /// What the quota counts must be what is there.
    fn quota(&mut self, view: &dyn ReadView, loaded: &AccountCell, stored: &Resources<u64>) -> Result<()> {
        let settings = view.get(key::QUOTA)?.map(|value| quota::decode(&value)).transpose()?.unwrap_or_default();
        let tree = Arc::clone(&loaded.tree.borrow());
        if tree.usage() != *stored {
            self.problem(format_args!("its usage is counted as {:?} and is {stored:?}", tree.usage()));
        }
        if *tree.quota() != settings {
            self.problem(format_args!("memory and disk differ in its quota"));
        }
        Ok(())
    }

    /// Of mailboxes whose content is on its way out, only the bodies count.
    fn buried(&mut self, view: &dyn ReadView, ids: &BTreeSet<MailboxId>) -> Result<()> {
        for &id in ids {
            walk(view, key::of_mailbox(b'r', id), |_, value| {
                self.emails.extend(rows_in(value)?.iter().map(|row| row.email));
                Ok(std::ops::ControlFlow::Continue(()))
            })?;
        }
        Ok(())
    }

    /// Rows, marks and nodes that belong to no spine.
    fn strays(&mut self, view: &dyn ReadView, expected: &Keys, buried: &BTreeSet<MailboxId>) -> Result<()> {
        for letter in [b"n", b"r", b"k"] {
            let mut stray = 0u64;
            each(view, letter, |key, _| {
                let known = expected.keys.contains(key) || buried.contains(&mailbox_of(key)?);
                stray += u64::from(!known);
                Ok(())
            })?;
            if stray > 0 {
                let letter = char::from(letter[0]);
                self.problem(format_args!("{stray} values of kind {letter} belong to no mailbox"));
            }
        }
        Ok(())
    }

    fn removals(&mut self, view: &dyn ReadView, mailboxes: impl Iterator<Item = MailboxId>) -> Result<()> {
        for id in mailboxes {
            let mut emails = vec![];
            Removal::scan(view, id, ModSeq::ZERO, |_, removal| {
                emails.extend(removal.messages.rows().iter().map(|row| row.email));
                std::ops::ControlFlow::Continue(())
            })?;
            self.emails.extend(emails);
        }
        Ok(())
    }

    /// Every message has a body, and every body a message.
    fn bodies(&mut self, view: &dyn ReadView) -> Result<()> {
        let stored: BTreeSet<EmailId> = view.blobs()?.into_iter().map(|blob| EmailId(blob.0)).collect();
        let emails = std::mem::take(&mut self.emails);
        for missing in emails.difference(&stored) {
            self.problem(format_args!("email {missing} has no body (blob {:?})", blob_id(*missing)));
        }
        for stray in stored.difference(&emails) {
            self.problem(format_args!("the body of email {stray} belongs to no message"));
        }
        Ok(())
    }
}

fn count(usage: &mut Resources<u64>, entry: &Entry) {
    let sums = entry.summary.sums;
    usage.storage = usage.storage.saturating_add(sums.size);
    usage.message = usage.message.saturating_add(sums.count.into());
    usage.mailbox += 1;
}

/// Keys that a spine names.
#[derive(Default)]
struct Keys {
    keys: HashSet<Vec<u8>>,
}

fn rows(chunk: &Chunk, snapshot: &Snapshot, emails: EmailId, threads: ThreadId, say: &mut impl FnMut(String)) {
    for (at, row) in chunk.rows().iter().enumerate() {
        if row.email >= emails || row.thread >= threads {
            say(format!("UID {} has an email or thread id beyond the counter", row.uid));
        }
        if chunk.keyword_ids(at).iter().any(|&id| snapshot.keywords().name(id).is_none()) {
            say(format!("UID {} has a keyword that the mailbox does not know", row.uid));
        }
    }
}

/// The record of a deleted mailbox without the time of its deletion.
fn live_part(value: &[u8]) -> Result<Vec<u8>> {
    let (_, mut r) = Reader::new("a deleted mailbox", value, 1)?;
    r.signed()?;
    let entry = r.bytes()?.to_vec();
    r.end()?;
    Ok(entry)
}
