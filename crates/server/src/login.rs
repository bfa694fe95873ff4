//! The login gate: who gets in, at what cost.
//!
//! * Hashing is bounded in CPU and memory by a semaphore ([`Limits::password_hashes`], and a processor is left to
//!   those who are in wherever there are two), and those who wait for it by [`Limits::password_queue`]. Addresses take turns: whoever floods us with logins waits for
//!   itself, not everybody for it.
//! * An unknown name and a wrong password are one error and take the same time: a name that nobody
//!   has is checked against a dummy hash.
//! * What was right is recognised again without hashing, under a key that lives as long as the
//!   process. The fingerprint covers the stored hash, so changing a password forgets it. There is
//!   one for each account that has logged in, so the accounts bound their number.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use auth::{Credentials, Fingerprint, FingerprintKey, PasswordHash, Workspace};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use types::{AccountId, Limits};

/// The priority of threads that hash, as `nice` counts: far behind the sessions (0), and yet not so far that nobody
/// gets in while the machine is busy with something else.
#[cfg(target_os = "linux")]
const BEHIND: i32 = 10;

/// Decides about logins.
#[derive(Debug)]
pub struct LoginGate {
    hashes: usize,
    hashing: Arc<Semaphore>,
    /// For each address with logins that wait: as many of them at a time as can be hashed wait for that, in line
    /// with those of the other addresses.
    turns: Mutex<HashMap<Option<IpAddr>, Weak<Semaphore>>>,
    /// The memory of those hashes that are not computed at this moment, for the next ones.
    workspaces: Arc<Mutex<Vec<Workspace>>>,
    /// Those who hash and those who wait for it.
    queue: Semaphore,
    key: FingerprintKey,
    known: Mutex<HashMap<AccountId, Fingerprint>>,
    hashed: AtomicU64,
}

/// Why somebody does not get in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LoginError {
    /// No such name, or not its password: nobody is told which.
    #[error("the name or the password is wrong")]
    Wrong,
    /// More logins wait than [`Limits::password_queue`].
    #[error("too many logins at this moment; try again")]
    Busy,
}

impl LoginGate {
    /// A gate under a key drawn at random.
    pub fn new(limits: &Limits, key: FingerprintKey) -> Self {
        let hashes = limits.password_hashes.clamp(1, processors_for_hashes());
        let queue = hashes.saturating_add(limits.password_queue).min(Semaphore::MAX_PERMITS);
        Self {
            hashes,
            hashing: Arc::new(Semaphore::new(hashes)),
            turns: Mutex::default(),
            workspaces: Arc::default(),
            queue: Semaphore::new(queue),
            key,
            known: Mutex::default(),
            hashed: AtomicU64::new(0),
        }
    }

    /// Passwords that were hashed, or began to be, since the start: what a login costs is this.
    pub fn hashed(&self) -> u64 {
        self.hashed.load(Ordering::Relaxed)
    }

    /// True where the password was right before, and still is.
    pub fn recognises(&self, credentials: &Credentials, account: AccountId, hash: &PasswordHash) -> bool {
        let fingerprint = self.key.fingerprint(account.0, &credentials.password, hash);
        self.known.lock().get(&account) == Some(&fingerprint)
    }

    /// Checks a password that comes from an address against what the store holds for its name; `None` where
    /// nobody has that name, or where nobody can log in to it.
    pub async fn check(
        &self,
        from: Option<IpAddr>,
        credentials: &Credentials,
        stored: Option<(AccountId, PasswordHash)>,
    ) -> Result<AccountId, LoginError> {
        if let Some((account, hash)) = &stored
            && self.recognises(credentials, *account, hash)
        {
            return Ok(*account);
        }
        let hash = stored.as_ref().map_or_else(PasswordHash::dummy, |(_, hash)| hash.clone());
        let matches = self.hash(from, credentials, hash).await?;
        let (account, hash) = stored.filter(|_| matches).ok_or(LoginError::Wrong)?;
        self.known.lock().insert(account, self.key.fingerprint(account.0, &credentials.password, &hash));
        Ok(account)
    }

    /// Gives back what is kept for hashes that nobody computes. Call it every second.
    pub fn release(&self) {
        self.workspaces.lock().clear();
        self.turns.lock().retain(|_, turns| turns.strong_count() > 0);
    }

    async fn hash(
        &self,
        from: Option<IpAddr>,
        credentials: &Credentials,
        hash: PasswordHash,
    ) -> Result<bool, LoginError> {
        let _place = self.queue.try_acquire().map_err(|_| LoginError::Busy)?;
        let turns = self.turns_of(from);
        let _turn = turns.acquire().await.map_err(|_| LoginError::Busy)?;
        let permit = self.hashing.clone().acquire_owned().await.map_err(|_| LoginError::Busy)?;
        self.hashed.fetch_add(1, Ordering::Relaxed);
        let (password, workspaces) = (credentials.password.clone(), Arc::clone(&self.workspaces));
        let work = tokio::task::spawn_blocking(move || {
            // Held by the work itself: a client that goes away does not make room for another hash.
            let _permit = permit;
            behind_everybody(move || {
                let mut workspace = workspaces.lock().pop().unwrap_or_default();
                let matches = hash.matches_in(&password, &mut workspace);
                workspaces.lock().push(workspace);
                matches
            })
        });
        work.await.ok().flatten().ok_or(LoginError::Busy)
    }

    fn turns_of(&self, address: Option<IpAddr>) -> Arc<Semaphore> {
        let mut turns = self.turns.lock();
        let kept = turns.entry(address).or_default();
        kept.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Semaphore::new(self.hashes));
            *kept = Arc::downgrade(&new);
            new
        })
    }
}

/// One processor less than there are: a thread that is woken up waits for milliseconds for one that hashes, whatever
/// the priority of that, unless another processor is free.
fn processors_for_hashes() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| (processors.get() - 1).max(1))
}

/// Runs `work` on a thread that leaves the processors to the others: those who are in must not wait for those
/// who come. A thread of its own, because nobody but root can give a priority back.
fn behind_everybody<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let politely = move || {
        // On Linux this is the thread's, not the process's. Where it fails, logins are in the way of others.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::setpriority_process(None, BEHIND);
        work()
    };
    std::thread::Builder::new().name("password".to_owned()).spawn(politely).ok()?.join().ok()
}

#[cfg(test)]
mod tests {
    use auth::{SALT_LEN, Secret};

    use super::*;

    fn credentials(password: &str) -> Credentials {
        Credentials { name: "alice".to_owned(), password: Secret::from(password) }
    }

    fn stored(password: &str) -> Option<(AccountId, PasswordHash)> {
        Some((AccountId(1), PasswordHash::new(&Secret::from(password), [1; SALT_LEN]).unwrap()))
    }

    fn gate(limits: &Limits) -> LoginGate {
        LoginGate::new(limits, FingerprintKey::new([9; 64]))
    }

    #[tokio::test]
    async fn right_wrong_and_unknown() {
        let gate = gate(&Limits::default());
        let alice = stored("secret");
        assert_eq!(gate.check(None, &credentials("secret"), alice.clone()).await, Ok(AccountId(1)));
        assert_eq!(gate.check(None, &credentials("Secret"), alice).await, Err(LoginError::Wrong));
        assert_eq!(gate.check(None, &credentials("secret"), None).await, Err(LoginError::Wrong));
    }

    #[tokio::test]
    async fn what_was_right_costs_nothing_until_the_password_changes() {
        let gate = gate(&Limits::default());
        let alice = stored("secret");
        gate.check(None, &credentials("secret"), alice.clone()).await.unwrap();
        // From here nothing can be hashed, so only what is known gets in.
        gate.hashing.close();
        assert_eq!(gate.check(None, &credentials("secret"), alice.clone()).await, Ok(AccountId(1)));
        assert_eq!(gate.check(None, &credentials("other"), alice).await, Err(LoginError::Busy));
        assert_eq!(gate.check(None, &credentials("secret"), stored("changed")).await, Err(LoginError::Busy));
        assert_eq!(gate.check(None, &credentials("secret"), None).await, Err(LoginError::Busy));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_flood_of_logins_takes_the_memory_of_as_many_hashes_as_are_allowed() {
        let gate = Arc::new(gate(&Limits { password_hashes: 2, ..Limits::default() }));
        let logins: Vec<_> = (0..8)
            .map(|_| {
                let gate = Arc::clone(&gate);
                tokio::spawn(async move { gate.check(None, &credentials("x"), None).await })
            })
            .collect();
        for login in logins {
            assert_eq!(login.await.unwrap(), Err(LoginError::Wrong));
        }
        assert!(matches!(gate.workspaces.lock().len(), 1..=2));
        gate.release();
        assert!(gate.workspaces.lock().is_empty(), "nobody logs in, and memory is kept for it");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn hashing_comes_behind_everybody_and_changes_nobody_else() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        assert_eq!(behind_everybody(priority), Some(BEHIND));
        assert_eq!(priority(), before);
    }

    #[tokio::test]
    async fn the_queue_is_bounded() {
        let gate = gate(&Limits { password_hashes: 1, password_queue: 1, ..Limits::default() });
        let busy = gate.hashing.clone().acquire_owned().await.unwrap();
        let (right, wrong) = (credentials("secret"), credentials("x"));
        let mut first = Box::pin(gate.check(None, &right, stored("secret")));
        let mut second = Box::pin(gate.check(None, &wrong, stored("secret")));
        assert!(futures_pending(&mut first).await);
        assert!(futures_pending(&mut second).await);
        assert_eq!(gate.check(None, &wrong, None).await, Err(LoginError::Busy));
        drop(busy);
        assert_eq!(first.await, Ok(AccountId(1)));
        assert_eq!(second.await, Err(LoginError::Wrong));
    }

    #[tokio::test]
    async fn a_flood_from_one_address_does_not_keep_the_others_waiting() {
        let gate = Arc::new(gate(&Limits { password_hashes: 1, ..Limits::default() }));
        let busy = gate.hashing.clone().acquire_owned().await.unwrap();
        let login = |from: u8| {
            let (gate, from) = (Arc::clone(&gate), Some(IpAddr::from([192, 0, 2, from])));
            tokio::spawn(async move { gate.check(from, &credentials("x"), None).await })
        };
        let flood: Vec<_> = (0..20).map(|_| login(1)).collect();
        tokio::task::yield_now().await;
        let other = login(2);
        tokio::task::yield_now().await;
        drop(busy);
        assert_eq!(other.await.unwrap(), Err(LoginError::Wrong));
        assert!(gate.hashed() <= 3, "{} of the flood came first", gate.hashed() - 1);
        for login in flood {
            assert_eq!(login.await.unwrap(), Err(LoginError::Wrong));
        }
        gate.release();
        assert!(gate.turns.lock().is_empty(), "nobody logs in, and addresses are kept");
    }

    /// True where the future, polled once, waits.
    async fn futures_pending<F: Future + Unpin>(future: &mut F) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())).await
    }
}
