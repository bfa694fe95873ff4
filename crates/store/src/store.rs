//! The store: an engine, and the accounts that are in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::{Engine, Figures, Reclaimed};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use types::{AccountId, Limits, MailboxName, SpecialUse, UnixTime};

use crate::account::{Account, AccountCell, Shared};
use crate::blocking::{blocking, brief};
use crate::clock::Clock;
use crate::directory::Records;
use crate::error::{Error, Result};
use crate::quota::QuotaOptions;
use crate::retention::Retention;
use crate::source::Source;

/// Accounts that stay in memory although nobody uses them; each is a few KiB beside its snapshots,
/// which [`Limits::snapshot_memory`] bounds.
const IDLE_ACCOUNTS: usize = 2000;

/// How a store behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// What peers may ask for.
    pub limits: Arc<Limits>,
    /// What each new account has besides INBOX.
    pub default_mailboxes: Vec<(MailboxName, Option<SpecialUse>)>,
    /// What accounts may use, and who is told.
    pub quota: QuotaOptions,
    /// For how long what was expunged or deleted is kept.
    pub retention: Retention,
}

/// A store. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    engine: Arc<dyn Engine>,
    shared: Arc<Shared>,
    default_mailboxes: Vec<(MailboxName, Option<SpecialUse>)>,
    accounts: Mutex<HashMap<AccountId, Slot>>,
    records: Records,
    uses: AtomicU64,
}

struct Slot {
    cell: Arc<AccountCell>,
    /// When it was last asked for, in uses.
    used: u64,
}

impl Default for Options {
    /// Drafts, Sent, Junk, Trash and Archive, each with its special use (RFC 6154).
    fn default() -> Self {
        let uses = [SpecialUse::Drafts, SpecialUse::Sent, SpecialUse::Junk, SpecialUse::Trash, SpecialUse::Archive];
        let named = uses.into_iter().filter_map(|special_use| {
            let name = MailboxName::new(special_use.as_str().trim_start_matches('\\')).ok()?;
            Some((name, Some(special_use)))
        });
        let (quota, retention) = (QuotaOptions::default(), Retention::default());
        Self { limits: Arc::default(), default_mailboxes: named.collect(), quota, retention }
    }
}

impl Store {
    /// Opens the store that an engine holds.
    pub fn open(engine: Arc<dyn Engine>, clock: Arc<dyn Clock>, options: Options) -> Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let searches = Arc::new(Semaphore::new(processors));
        let Options { limits, default_mailboxes, quota, retention } = options;
        let shared = Arc::new(Shared { clock, limits, quota, retention, searches });
        let store = Self(Arc::new(Inner {
            engine,
            shared,
            default_mailboxes,
            accounts: Mutex::default(),
            records: Records::default(),
            uses: AtomicU64::new(0),
        }));
        store.load(AccountId::DIRECTORY)?;
        Ok(store)
    }

    /// The account with that id, which [`Store::find_account`] gave.
    pub fn account(&self, id: AccountId) -> Result<Account> {
        if id == AccountId::DIRECTORY {
            return Err(Error::NoSuchAccount);
        }
        let account = self.load(id)?;
        if account.is_gone() || account.tree().is_empty() { Err(Error::NoSuchAccount) } else { Ok(account) }
    }

    /// The limits.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.0.shared.limits
    }

    /// Makes a backup in a directory, or brings the one that is there up to date, while everything goes on.
    pub fn backup(&self, directory: &std::path::Path) -> Result<engine::Backup> {
        Ok(blocking(|| self.0.engine.backup(directory))?)
    }

    pub(crate) fn quota_options(&self) -> &QuotaOptions {
        &self.0.shared.quota
    }

    /// Why nothing can be written, if so.
    pub fn read_only(&self) -> Option<Arc<str>> {
        self.0.engine.read_only()
    }

    /// What time it is.
    pub(crate) fn now(&self) -> UnixTime {
        self.0.shared.clock.now()
    }

    /// What the engine holds, and what it has cost.
    pub fn figures(&self) -> Result<Figures> {
        Ok(self.0.engine.figures()?)
    }

    /// Gives the space of bodies that nobody refers to any more back now.
    pub async fn reclaim(&self) -> Result<Reclaimed> {
        Ok(self.0.engine.reclaim().await?)
    }

    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        &self.0.engine
    }

    pub(crate) fn default_mailboxes(&self) -> &[(MailboxName, Option<SpecialUse>)] {
        &self.0.default_mailboxes
    }

    /// There is one cell for an account, whoever asks: it has the one writer.
    pub(crate) fn load(&self, id: AccountId) -> Result<Account> {
        let used = self.0.uses.fetch_add(1, Ordering::Relaxed);
        if let Some(slot) = self.0.accounts.lock().get_mut(&id) {
            slot.used = used;
            return Ok(Account(Arc::clone(&slot.cell)));
        }
        let source = Arc::new(Source { engine: Arc::clone(&self.0.engine), account: id });
        let cell = brief(|| AccountCell::load(source, Arc::clone(&self.0.shared)))?;
        // Two may have loaded it at the same time: the first one stays.
        let mut accounts = self.0.accounts.lock();
        let slot = accounts.entry(id).or_insert_with(|| Slot { cell: Arc::new(cell), used });
        Ok(Account(Arc::clone(&slot.cell)))
    }

    pub(crate) fn records(&self) -> &Records {
        &self.0.records
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    pub(crate) fn forget(&self, id: AccountId) {
        self.0.accounts.lock().remove(&id);
    }

    /// Gives memory back: first accounts that nobody has used for long and columns that nobody has asked for in
    /// some minutes, then filters of message ids and snapshots that nobody looks at, down to [`Limits::snapshot_memory`].
    /// Call it every few seconds.
    pub fn evict_idle(&self) {
        let mut cells: Vec<(u64, Arc<AccountCell>)> = {
            let mut accounts = self.0.accounts.lock();
            let idle = |slot: &Slot| Arc::strong_count(&slot.cell) == 1;
            let mut ages: Vec<u64> = accounts.values().filter(|slot| idle(slot)).map(|slot| slot.used).collect();
            if let Some(surplus) = ages.len().checked_sub(IDLE_ACCOUNTS).filter(|&n| n > 0) {
                ages.sort_unstable();
                let youngest = ages.get(surplus - 1).copied().unwrap_or(0);
                accounts.retain(|_, slot| !idle(slot) || slot.used > youngest);
            }
            accounts.values().map(|slot| (slot.used, Arc::clone(&slot.cell))).collect()
        };
        cells.sort_unstable_by_key(|(used, _)| *used);
        let mailboxes: Vec<_> =
            cells.iter().flat_map(|(_, cell)| cell.mailboxes.lock().values().cloned().collect::<Vec<_>>()).collect();
        mailboxes.iter().for_each(|mailbox| mailbox.grow_old());
        let known_ids = cells.iter().map(|(_, cell)| {
            let mut known_ids = cell.known_ids.lock();
            known_ids.grow_old();
            known_ids.memory()
        });
        let mut total = known_ids.sum::<usize>() + mailboxes.iter().map(|mailbox| mailbox.memory()).sum::<usize>();
        let of_accounts = cells.iter().map(|(_, cell)| cell.known_ids.lock().evict());
        let mut freed = of_accounts.chain(mailboxes.iter().map(|mailbox| mailbox.evict()));
        while total > self.0.shared.limits.snapshot_memory
            && let Some(octets) = freed.next()
        {
            total = total.saturating_sub(octets);
        }
    }
}

#[cfg(test)]
mod tests {
    use types::Limits;

    use super::*;
    use crate::known_ids::KnownIds;
    use crate::testing;

    #[tokio::test]
    async fn snapshots_that_nobody_looks_at_are_kept_up_to_the_limit() {
        let kept = async |snapshot_memory: usize| {
            let limits = Arc::new(Limits { snapshot_memory, ..Limits::default() });
            let (store, account, who) = testing::account_with(Options { limits, ..Options::default() }).await;
            let inbox = testing::append(&account, &who, ["Subject: x\r\n\r\n".to_owned()]).await;
            let seen = inbox.snapshot().unwrap();
            let memory = inbox.cell.memory();
            store.evict_idle();
            assert_eq!(inbox.cell.memory(), memory, "somebody looks at it");
            drop(seen);
            store.evict_idle();
            (memory, inbox.cell.memory())
        };
        let (memory, _) = kept(usize::MAX).await;
        assert!(memory > 0);
        assert_eq!(kept(memory).await, (memory, memory));
        assert_eq!(kept(memory - 1).await, (memory, 0));
    }

    #[tokio::test]
    async fn filters_of_message_ids_go_first() {
        let limits = Arc::new(Limits { snapshot_memory: 20_000, ..Limits::default() });
        let (store, account, who) = testing::account_with(Options { limits, ..Options::default() }).await;
        let inbox = testing::append(&account, &who, ["Subject: x\r\n\r\n".to_owned()]).await;
        let learn = |count: u64| *account.0.known_ids.lock() = KnownIds::of(&(0..count).collect::<Vec<_>>());
        let kept = || (account.0.known_ids.lock().memory() > 0, inbox.cell.memory() > 0);
        learn(1000);
        store.evict_idle();
        assert_eq!(kept(), (true, true));
        learn(100_000);
        store.evict_idle();
        assert_eq!(kept(), (false, true));
    }
}
