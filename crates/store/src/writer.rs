//! The one writer of an account: takes everything that is waiting, applies it verb by verb, commits
//! once, publishes once, and then answers.
//!
//! The writer is a task that exists only while there is something to write. A verb is a function of
//! the transaction; one that fails leaves nothing behind, and the others go on.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use engine::{AccountBatch, Batch, CommitNumber, ReadView};
use tokio::sync::oneshot;
use types::{EmailId, MailboxId, ThreadId, UidValidity, UnixTime};

use crate::account::{Account, AccountCell};
use crate::blocking::blocking;
use crate::codec::{Reader, Writer};
use crate::error::{Error, Result};
use crate::key;
use crate::txn::{Done, Txn};

/// Verbs that one commit takes together. Bounds what a crash can lose (nothing acknowledged) and
/// how long the first of them waits.
const MAX_VERBS: usize = 500;

/// What the account will give out next; none of it is ever given twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Counters {
    uid_validity: u32,
    mailbox: u64,
    email: u64,
    thread: u64,
}

/// Where the writer is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriterState {
    pub(crate) commit: CommitNumber,
    pub(crate) counters: Counters,
}

/// What waits for the writer.
pub(crate) struct Queue {
    pub(crate) jobs: VecDeque<Job>,
    /// The writer's state while it has nothing to do; `None` while it works.
    pub(crate) idle: Option<WriterState>,
}

/// Applies a verb and gives what to answer once the commit succeeded or failed.
type Apply = Box<dyn FnOnce(&mut Txn) -> Option<Answer> + Send>;
type Answer = Box<dyn FnOnce(Result<()>) + Send>;

/// Verbs over more messages than this take so long that other tasks must not wait for the thread.
const MANY: u64 = 1000;

pub(crate) struct Job {
    apply: Apply,
    long: bool,
}

impl Counters {
    /// Of an account without content.
    pub(crate) fn new() -> Self {
        Self { uid_validity: 0, mailbox: 1, email: 1, thread: 1 }
    }

    pub(crate) fn read(view: &dyn ReadView) -> Result<Self> {
        let Some(value) = view.get(key::COUNTERS)? else {
            // Only an account without content has none.
            let content = [b"m", b"u"].into_iter().try_fold(false, |found, letter| {
                let range = key::below(letter.to_vec());
                Ok::<_, Error>(found || view.last(&range.start..&range.end)?.is_some())
            })?;
            return if content { Err(Error::Damaged("its counters are missing".into())) } else { Ok(Self::new()) };
        };
        let (_, mut r) = Reader::new("the counters of an account", &value, 1)?;
        let counters = Self { uid_validity: r.small()?, mailbox: r.number()?, email: r.number()?, thread: r.number()? };
        r.end()?;
        Ok(counters)
    }

    /// As if so many had been given out.
    pub(crate) fn beyond(uid_validity: u32, mailbox: u64, email: u64) -> Self {
        Self { uid_validity, mailbox, email, thread: email }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(1);
        w.number(self.uid_validity.into()).number(self.mailbox).number(self.email).number(self.thread);
        w.finish()
    }

    /// `max(now, last + 1)`: also unlike any value that a mailbox of that name had in a store that
    /// was lost.
    pub(crate) fn next_uid_validity(&mut self, now: UnixTime) -> Result<UidValidity> {
        let now = u32::try_from(now.0.max(1)).unwrap_or(u32::MAX - 1);
        self.uid_validity = self.uid_validity.saturating_add(1).max(now);
        UidValidity::new(self.uid_validity).filter(|v| *v < UidValidity::MAX).ok_or(Error::Limit("UIDVALIDITY values"))
    }

    /// A UIDVALIDITY that comes from elsewhere: those to come are larger. `false` where there would be too
    /// few of them.
    pub(crate) fn take_uid_validity(&mut self, given: UidValidity) -> bool {
        let enough = given.get() < u32::MAX - (1 << 24);
        if enough {
            self.uid_validity = self.uid_validity.max(given.get());
        }
        enough
    }

    pub(crate) fn next_mailbox(&mut self) -> MailboxId {
        self.mailbox += 1;
        MailboxId(self.mailbox - 1)
    }

    pub(crate) fn next_email(&mut self) -> EmailId {
        self.email += 1;
        EmailId(self.email - 1)
    }

    pub(crate) fn next_thread(&mut self) -> ThreadId {
        self.thread += 1;
        ThreadId(self.thread - 1)
    }

    /// In the directory, mailbox ids are account ids.
    pub(crate) fn next_account(&mut self) -> types::AccountId {
        types::AccountId(self.next_mailbox().0)
    }

    /// As if so many more had been given out: what a lost commit may have given is not given again.
    /// A second for each UIDVALIDITY.
    pub(crate) fn skip(&mut self, many: u32, now: UnixTime) {
        let now = u32::try_from(now.0.max(1)).unwrap_or(u32::MAX - 1);
        self.uid_validity = self.uid_validity.max(now).saturating_add(many);
        for counter in [&mut self.mailbox, &mut self.email, &mut self.thread] {
            *counter = counter.saturating_add(many.into());
        }
    }

    /// This has been given out.
    pub(crate) fn pass_uid_validity(&mut self, uid_validity: UidValidity) {
        self.uid_validity = self.uid_validity.max(uid_validity.get());
    }

    /// These have been given out.
    pub(crate) fn pass(&mut self, mailbox: MailboxId, email: EmailId, thread: ThreadId) {
        self.mailbox = self.mailbox.max(mailbox.0.saturating_add(1));
        self.email = self.email.max(email.0.saturating_add(1));
        self.thread = self.thread.max(thread.0.saturating_add(1));
    }

    /// Everything that was given out is below these; for [`crate::Store::check`].
    pub(crate) fn bounds(&self) -> (MailboxId, EmailId, ThreadId) {
        (MailboxId(self.mailbox), EmailId(self.email), ThreadId(self.thread))
    }
}

impl Account {
    /// The commit that the account is at, if nothing is being written.
    pub(crate) fn settled(&self) -> Option<CommitNumber> {
        self.0.queue.lock().idle.map(|state| state.commit)
    }

    /// Queues a verb and waits until it is durable. One that would break the rule of [`crate::quota`] fails.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&mut Txn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.write_over(0, verb).await
    }

    /// As [`Account::write`], for a verb that looks at so many messages.
    pub(crate) async fn write_over<T: Send + 'static>(
        &self,
        messages: u64,
        verb: impl FnOnce(&mut Txn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let ruled = move |txn: &mut Txn| {
            let before = txn.quota();
            let outcome = verb(txn)?;
            before.permits(&txn.tree().usage()).map(|()| outcome)
        };
        self.queue(messages, ruled).await
    }

    /// As [`Account::write`], without the rule: for what was there before and was lost.
    pub(crate) async fn write_back<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&mut Txn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.queue(0, verb).await
    }

    async fn queue<T: Send + 'static>(
        &self,
        messages: u64,
        verb: impl FnOnce(&mut Txn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tx, rx) = oneshot::channel();
        let apply = move |txn: &mut Txn| -> Option<Answer> {
            // A receiver that is gone is a client that hung up; the verb happens all the same.
            match verb(txn) {
                Ok(outcome) => Some(Box::new(move |committed: Result<()>| {
                    let _ = tx.send(committed.map(|()| outcome));
                })),
                Err(error) => {
                    let _ = tx.send(Err(error));
                    None
                }
            }
        };
        let start = {
            let mut queue = self.0.queue.lock();
            queue.jobs.push_back(Job { apply: Box::new(apply), long: messages > MANY });
            queue.idle.take()
        };
        if let Some(state) = start {
            tokio::spawn(work(Arc::clone(&self.0), state));
        }
        rx.await.map_err(|_| Error::Internal)?
    }
}

/// Works until nothing waits.
async fn work(account: Arc<AccountCell>, mut state: WriterState) {
    loop {
        let jobs: Vec<Job> = {
            let mut queue = account.queue.lock();
            if queue.jobs.is_empty() {
                queue.idle = Some(state);
                return;
            }
            let take = queue.jobs.len().min(MAX_VERBS);
            queue.jobs.drain(..take).collect()
        };
        state = group(&account, state, jobs).await;
    }
}

/// One commit.
async fn group(account: &Arc<AccountCell>, state: WriterState, jobs: Vec<Job>) -> WriterState {
    let long = jobs.iter().any(|job| job.long);
    let applied = || apply(account, state, jobs);
    let (finished, answers) = if long { blocking(applied) } else { applied() };
    let Some((batch, done)) = finished else {
        // Nothing changed, nothing to wait for.
        answers.into_iter().for_each(|answer| answer(Ok(())));
        return state;
    };
    let committed = account.source.engine.commit(batch).await.map_err(Error::from);
    let state = match &committed {
        Ok(()) => done.publish(account),
        Err(Error::Conflict) => reload(account, state),
        Err(_) => state,
    };
    for answer in answers {
        answer(committed.clone());
    }
    state
}

/// The verbs, one after the other: what to commit, if anything, and what to answer then.
fn apply(account: &Arc<AccountCell>, state: WriterState, jobs: Vec<Job>) -> (Option<(Batch, Done)>, Vec<Answer>) {
    let mut txn = Txn::new(account, state);
    let mut answers = Vec::with_capacity(jobs.len());
    for Job { apply, .. } in jobs {
        let before = txn.savepoint();
        // A verb that panics is a bug, but one account's bug must not silence its writer for good.
        match catch_unwind(AssertUnwindSafe(|| apply(&mut txn))) {
            Ok(Some(answer)) => answers.push(answer),
            Ok(None) | Err(_) => txn.roll_back(before),
        }
    }
    (txn.finish(), answers)
}

/// Somebody else changed the account: take over what is there now. The verbs of this commit are
/// answered as failed, and nothing of them happened.
fn reload(account: &AccountCell, state: WriterState) -> WriterState {
    blocking(|| account.reload()).unwrap_or(state)
}

/// A batch of one account's changes.
pub(crate) fn batch_of(batch: AccountBatch, others: Vec<AccountBatch>) -> Batch {
    let mut accounts = vec![batch];
    accounts.extend(others);
    Batch { accounts }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use engine::memory::Memory;
    use types::AccountName;

    use super::*;
    use crate::{Options, Store, SystemClock};

    /// One thread, and a verb on it that ends only when another task has run.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_verb_over_many_messages_keeps_no_task_waiting() {
        let store = Store::open(Arc::new(Memory::new()), Arc::new(SystemClock), Options::default()).unwrap();
        let id = store.create_account(&AccountName::new("a").unwrap(), "hash".into()).await.unwrap();
        let account = store.account(id).unwrap();
        let (began, beginning) = oneshot::channel();
        let (tx, rx) = std::sync::mpsc::channel();
        let verb = move |_: &mut Txn| {
            began.send(()).unwrap();
            Ok(rx.recv_timeout(Duration::from_secs(30)).is_ok())
        };
        let writing = tokio::spawn(async move { account.write_over(MANY + 1, verb).await });
        tokio::spawn(async move {
            beginning.await.unwrap();
            tx.send(()).unwrap();
        });
        assert!(writing.await.unwrap().unwrap(), "the thread was not given up");
    }
}
