//! Purging: what is due goes, in small commits between those of everybody else.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::Write;
use types::{AccountId, EmailId};

use crate::account::Account;
use crate::blocking::blocking;
use crate::cards;
use crate::error::{Error, Result};
use crate::key;
use crate::retention::{Place, Purged, Retention, Round, Rules};
use crate::source::Source;
use crate::store::Store;
use crate::txn::{Txn, blob_id};

/// Messages and keys that one commit takes.
const STEP: usize = 500;

impl Store {
    /// How long expunged messages and deleted mailboxes are kept.
    pub fn retention(&self) -> Retention {
        self.shared().retention
    }

    /// Takes away what an account has kept longer than `retention` says; nobody can restore it then.
    /// Other changes to the account go on in between.
    pub async fn purge(&self, id: AccountId, retention: Retention) -> Result<Purged> {
        // A look from outside first: most accounts have nothing to do and need not be loaded.
        let shared = self.shared();
        let source = Source { engine: Arc::clone(self.engine()), account: id };
        let rules = Rules::new(retention, shared.clock.now(), shared.limits.change_records, BTreeMap::new());
        if !blocking(|| rules.anything(&*source.read()?))? {
            return Ok(Purged::default());
        }
        self.account(id)?.purge(retention).await
    }
}

/// How often it is looked again where mail came while it was looked which threads have ended.
const TRIES: u32 = 3;

/// The next things to go.
#[derive(Default)]
struct Step {
    places: Vec<Place>,
    /// Emails that nothing refers to after this, with their size.
    dead: BTreeMap<EmailId, u32>,
}

impl Account {
    async fn purge(&self, retention: Retention) -> Result<Purged> {
        let _bin = self.0.bin.lock().await;
        let mut purged = Purged { mailboxes: self.bury(retention).await?, ..Purged::default() };
        let mut tries = 0;
        loop {
            let (mut round, unknown_from) = self.look(retention).await?;
            if round.places.is_empty() {
                return Ok(purged);
            }
            tries += 1;
            let lookups = std::mem::take(&mut round.lookups);
            if !self.forget_threads(lookups, unknown_from).await? && tries < TRIES {
                continue;
            }
            for step in steps(round) {
                purged.messages += step.dead.len() as u64;
                purged.octets += step.dead.values().map(|&size| u64::from(size)).sum::<u64>();
                self.write(move |txn| {
                    txn.alive()?;
                    apply(txn, step)
                })
                .await?;
            }
        }
    }

    /// Puts deleted mailboxes out of reach; gives how many.
    async fn bury(&self, retention: Retention) -> Result<u64> {
        let cell = Arc::clone(&self.0);
        self.write(move |txn| {
            txn.alive()?;
            let rules = Rules::new(retention, txn.now, txn.limits().change_records, cell.needed());
            let due = rules.to_bury(txn.view()?)?;
            for &id in &due {
                txn.write(key::deleted_mailbox(id), None);
                txn.write(key::buried_mailbox(id), Some(vec![]));
            }
            Ok(due.len() as u64)
        })
        .await
    }

    /// Looks what is due. The view is taken by the writer: whatever is in it was published, so a session
    /// that is not in the book by now will never show what is gone from it.
    async fn look(&self, retention: Retention) -> Result<(Round, EmailId)> {
        let cell = Arc::clone(&self.0);
        let (view, rules, unknown_from) = self
            .write(move |txn| {
                txn.alive()?;
                let view = blocking(|| cell.source.read())?;
                let (_, emails, _) = crate::writer::Counters::read(&*view)?.bounds();
                Ok((view, Rules::new(retention, txn.now, txn.limits().change_records, cell.needed()), emails))
            })
            .await?;
        Ok((blocking(|| Round::find(&*view, &rules))?, unknown_from))
    }

    /// Takes away the lookups of threads that end. False where mail came since it was looked, which may
    /// have continued one of them.
    async fn forget_threads(&self, lookups: Vec<Vec<u8>>, unknown_from: EmailId) -> Result<bool> {
        for keys in lookups.chunks(STEP) {
            let keys = keys.to_vec();
            let forget = move |txn: &mut Txn| {
                txn.alive()?;
                let (_, emails, _) = txn.counters().bounds();
                if emails == unknown_from {
                    txn.derived().extend(keys.into_iter().map(|key| Write { key, value: None }));
                }
                Ok(emails == unknown_from)
            };
            if !self.write(forget).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn steps(round: Round) -> impl Iterator<Item = Step> {
    let Round { places, mut references, .. } = round;
    let mut places = places.into_iter().peekable();
    std::iter::from_fn(move || {
        places.peek()?;
        let mut step = Step::default();
        let mut work = 0;
        while work < STEP
            && let Some(place) = places.next()
        {
            work += place.messages.len() + place.writes.len();
            for row in &place.messages {
                let Some(left) = references.get_mut(&row.email) else { continue };
                *left -= 1;
                if *left == 0 {
                    step.dead.insert(row.email, row.size);
                }
            }
            step.places.push(place);
        }
        Some(step)
    })
}

fn apply(txn: &mut Txn, Step { places, dead }: Step) -> Result<()> {
    for place in places {
        txn.essential().extend(place.writes);
    }
    for &email in dead.keys() {
        txn.drop_blob(blob_id(email));
    }
    let emails: Vec<_> = dead.into_keys().collect();
    let cards = cards::without(txn.view()?, &emails)?;
    txn.derived().extend(cards);
    Ok(())
}

impl Purged {
    /// True where there was nothing to do.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Store {
    /// As [`Store::purge`], of all accounts one after the other. An account that fails is named in the
    /// log and left as it is; the others go on.
    pub async fn purge_all(&self, retention: Retention) -> Result<Purged> {
        let mut purged = Purged::default();
        for record in blocking(|| self.accounts())? {
            match self.purge(record.id, retention).await {
                Ok(more) => purged += more,
                Err(Error::NoSuchAccount) => {}
                Err(error) => tracing::error!(account = %record.name, %error, "what is due cannot be purged"),
            }
            tokio::task::yield_now().await;
        }
        Ok(purged)
    }
}
