//! The login gate: who gets in, at what cost.
//!
//! * Hashing is bounded in CPU and memory ([`Limits::password_hashes`]) and is in nobody's way (`hashing.rs`), and
//!   those who wait for it are bounded ([`Limits::password_queue`]). They have their turns by networks: a flood from one
//!   keeps itself waiting.
//! * An unknown name and a wrong password are one error and take the same time: a name that nobody
//!   has is checked against a dummy hash.
//! * What was right is recognised again without hashing, under a key that lives as long as the
//!   process. The fingerprint covers the stored hash, so changing a password forgets it. There is
//!   one for each account that has logged in, so the accounts bound their number.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use auth::{Credentials, Fingerprint, FingerprintKey, PasswordHash};
use parking_lot::Mutex;
use types::{AccountId, Limits};

use crate::hashing::Hashing;
use crate::turns::{Crowded, Party, Turns};

/// Decides about logins.
#[derive(Debug)]
pub struct LoginGate {
    turns: Arc<Turns>,
    hashing: Arc<Hashing>,
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
    /// More logins wait than [`Limits::password_queue`], and of no network more than of this one.
    #[error("too many logins at this moment; try again")]
    Busy,
}

impl LoginGate {
    /// A gate under a key drawn at random.
    pub fn new(limits: &Limits, key: FingerprintKey) -> Self {
        Self {
            turns: Turns::new(limits.password_hashes.clamp(1, Hashing::most()), limits.password_queue),
            hashing: Arc::new(Hashing::new()),
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

    /// Checks a password against what the store holds for its name; `None` where nobody has that
    /// name, or where nobody can log in to it. `party` is the stranger who asks.
    pub async fn check(
        &self,
        party: Party,
        credentials: &Credentials,
        stored: Option<(AccountId, PasswordHash)>,
    ) -> Result<AccountId, LoginError> {
        let proof = stored.map(|(account, hash)| {
            let fingerprint = self.key.fingerprint(account.0, &credentials.password, &hash);
            (account, hash, fingerprint)
        });
        if let Some((account, _, fingerprint)) = &proof
            && self.known.lock().get(account) == Some(fingerprint)
        {
            return Ok(*account);
        }
        let hash = proof.as_ref().map_or_else(PasswordHash::dummy, |(_, hash, _)| hash.clone());
        let matches = self.hash(party, credentials, hash).await?;
        match proof {
            Some((account, _, fingerprint)) if matches => {
                self.known.lock().insert(account, fingerprint);
                Ok(account)
            }
            _ => Err(LoginError::Wrong),
        }
    }

    /// Gives the memory of hashes back that nobody computes. Call it every second.
    pub fn release(&self) {
        self.hashing.release();
    }

    /// Whoever goes while waiting for a turn is not hashed for.
    async fn hash(&self, party: Party, credentials: &Credentials, hash: PasswordHash) -> Result<bool, LoginError> {
        let turn = self.turns.take(party).await.map_err(|Crowded| LoginError::Busy)?;
        self.hashed.fetch_add(1, Ordering::Relaxed);
        let (password, hashing) = (credentials.password.clone(), Arc::clone(&self.hashing));
        let work = tokio::spawn(async move {
            // Held by the work itself: a client that goes away does not make room for another hash.
            let _turn = turn;
            hashing.matches(password, hash).await
        });
        work.await.ok().flatten().ok_or(LoginError::Busy)
    }
}

#[cfg(test)]
mod tests {
    use auth::{SALT_LEN, Secret};

    use super::*;
    use crate::stream::Peer;

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
        assert_eq!(gate.check(Party::Local, &credentials("secret"), alice.clone()).await, Ok(AccountId(1)));
        assert_eq!(gate.check(Party::Local, &credentials("Secret"), alice).await, Err(LoginError::Wrong));
        assert_eq!(gate.check(Party::Local, &credentials("secret"), None).await, Err(LoginError::Wrong));
    }

    #[tokio::test]
    async fn what_was_right_costs_nothing_until_the_password_changes() {
        let gate = gate(&Limits { password_hashes: 1, password_queue: 0, ..Limits::default() });
        let alice = stored("secret");
        gate.check(Party::Local, &credentials("secret"), alice.clone()).await.unwrap();
        // From here nothing can be hashed, so only what is known gets in.
        let _busy = gate.turns.take(Party::Local).await.unwrap();
        assert_eq!(gate.check(Party::Local, &credentials("secret"), alice.clone()).await, Ok(AccountId(1)));
        assert_eq!(gate.check(Party::Local, &credentials("other"), alice).await, Err(LoginError::Busy));
        assert_eq!(gate.check(Party::Local, &credentials("secret"), stored("changed")).await, Err(LoginError::Busy));
        assert_eq!(gate.check(Party::Local, &credentials("secret"), None).await, Err(LoginError::Busy));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_flood_of_logins_takes_the_memory_of_as_many_hashes_as_are_allowed() {
        let gate = Arc::new(gate(&Limits { password_hashes: 2, ..Limits::default() }));
        let logins: Vec<_> = (0..8)
            .map(|_| {
                let gate = Arc::clone(&gate);
                tokio::spawn(async move { gate.check(Party::Local, &credentials("x"), None).await })
            })
            .collect();
        for login in logins {
            assert_eq!(login.await.unwrap(), Err(LoginError::Wrong));
        }
        assert!(matches!(gate.hashing.kept(), 1..=2));
        gate.release();
        assert_eq!(gate.hashing.kept(), 0, "nobody logs in, and memory is kept for it");
    }

    #[tokio::test]
    async fn as_many_passwords_are_hashed_at_one_time_as_are_allowed_and_no_more() {
        let most = Hashing::most();
        let wrong = credentials("x");
        for (allowed, at_a_time) in [(1, 1), (most, most), (most + 1, most)] {
            let gate = gate(&Limits { password_hashes: allowed, ..Limits::default() });
            let mut others = vec![];
            while others.len() < at_a_time - 1 {
                others.push(gate.turns.take(Party::Local).await.unwrap());
            }
            assert_eq!(gate.check(Party::Local, &wrong, None).await, Err(LoginError::Wrong));
            others.push(gate.turns.take(Party::Local).await.unwrap());
            let mut one_more = Box::pin(gate.check(Party::Local, &wrong, None));
            assert!(futures_pending(&mut one_more).await);
            assert_eq!(gate.hashed(), 1, "of {allowed} allowed");
            others.pop();
            assert_eq!(one_more.await, Err(LoginError::Wrong));
        }
    }

    #[tokio::test]
    async fn the_queue_is_bounded() {
        let gate = gate(&Limits { password_hashes: 1, password_queue: 2, ..Limits::default() });
        let busy = gate.turns.take(Party::Local).await.unwrap();
        let (right, wrong) = (credentials("secret"), credentials("x"));
        let mut first = Box::pin(gate.check(Party::Local, &right, stored("secret")));
        let mut second = Box::pin(gate.check(Party::Local, &wrong, stored("secret")));
        assert!(futures_pending(&mut first).await);
        assert!(futures_pending(&mut second).await);
        assert_eq!(gate.check(Party::Local, &wrong, None).await, Err(LoginError::Busy));
        drop(busy);
        assert_eq!(first.await, Ok(AccountId(1)));
        assert_eq!(second.await, Err(LoginError::Wrong));
    }

    #[tokio::test]
    async fn a_flood_from_one_network_keeps_nobody_else_from_logging_in() {
        let gate = gate(&Limits { password_hashes: 1, password_queue: 3, ..Limits::default() });
        let network = |n: u8| Party::from(Peer::Tcp(([192, 0, n, 1], 1).into()));
        let busy = gate.turns.take(network(1)).await.unwrap();
        let (right, wrong) = (credentials("secret"), credentials("x"));
        let mut flood: Vec<_> = (0..3).map(|_| Box::pin(gate.check(network(1), &wrong, None))).collect();
        for login in &mut flood {
            assert!(futures_pending(login).await);
        }
        assert_eq!(gate.check(network(1), &wrong, None).await, Err(LoginError::Busy));
        // The queue is full, and yet there is room for another network, at the cost of the flood.
        let mut alice = Box::pin(gate.check(network(2), &right, stored("secret")));
        assert!(futures_pending(&mut alice).await);
        assert_eq!(flood.pop().unwrap().await, Err(LoginError::Busy));
        // One of the flood comes before her, and not two.
        drop(busy);
        assert_eq!(flood.remove(0).await, Err(LoginError::Wrong));
        assert_eq!(alice.await, Ok(AccountId(1)));
    }

    #[tokio::test]
    async fn a_flood_from_one_address_does_not_keep_the_others_waiting() {
        let gate = Arc::new(gate(&Limits { password_hashes: 1, ..Limits::default() }));
        let busy = gate.turns.take(Party::Local).await.unwrap();
        let login = |network: u8| {
            let (gate, party) = (Arc::clone(&gate), Party::from(Peer::Tcp(([192, 0, network, 1], 1).into())));
            tokio::spawn(async move { gate.check(party, &credentials("x"), None).await })
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
    }

    /// True where the future, polled once, waits.
    async fn futures_pending<F: Future + Unpin>(future: &mut F) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())).await
    }
}
