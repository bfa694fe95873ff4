//! How many connections there are: in all, of strangers by address, and by account.
//!
//! An [`Admission`] is one connection's place in these numbers; dropping it gives the place back.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use types::{AccountId, Limits};

use crate::stream::Peer;

/// The connections of all listeners together.
#[derive(Debug)]
pub struct Connections {
    total: usize,
    per_address: usize,
    per_account: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    strangers: HashMap<IpAddr, usize>,
    accounts: HashMap<AccountId, usize>,
}

/// Which limit a connection met.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TooMany {
    /// [`Limits::connections`]
    #[error("the limit of connections is reached")]
    Connections,
    /// [`Limits::unauthenticated_per_address`]
    #[error("too many connections from this address are not logged in")]
    Strangers,
    /// [`Limits::connections_per_account`]
    #[error("the limit of connections of this account is reached")]
    Account,
}

/// One connection's place. It begins as a stranger's.
#[derive(Debug)]
pub struct Admission {
    connections: Arc<Connections>,
    counted: Counted,
}

/// For what a connection counts.
#[derive(Clone, Copy, Debug)]
enum Counted {
    Stranger(Option<IpAddr>),
    Account(AccountId),
}

impl Connections {
    /// Nobody is here yet.
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            total: limits.connections,
            per_address: limits.unauthenticated_per_address,
            per_account: limits.connections_per_account,
            counts: Mutex::default(),
        })
    }

    /// Lets a new connection in, or says which limit is reached.
    pub fn admit(self: &Arc<Self>, peer: Peer) -> Result<Admission, TooMany> {
        let mut counts = self.counts.lock();
        if counts.total >= self.total {
            return Err(TooMany::Connections);
        }
        let ip = peer.ip();
        if let Some(ip) = ip
            && !take(&mut counts.strangers, ip, self.per_address)
        {
            return Err(TooMany::Strangers);
        }
        counts.total += 1;
        Ok(Admission { connections: self.clone(), counted: Counted::Stranger(ip) })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.counts.lock().total
    }
}

impl Admission {
    /// The connection has logged in: it is no stranger any more and counts for its account. After
    /// an error it still is a stranger.
    pub fn log_in(&mut self, account: AccountId) -> Result<(), TooMany> {
        let mut counts = self.connections.counts.lock();
        if !take(&mut counts.accounts, account, self.connections.per_account) {
            return Err(TooMany::Account);
        }
        counts.give_back(std::mem::replace(&mut self.counted, Counted::Account(account)));
        Ok(())
    }

    /// The connection, which is from `peer`, is a stranger's again (RFC 8437). After an error it still
    /// counts for its account.
    pub fn log_out(&mut self, peer: Peer) -> Result<(), TooMany> {
        let mut counts = self.connections.counts.lock();
        if matches!(self.counted, Counted::Stranger(_)) {
            return Ok(());
        }
        let ip = peer.ip();
        if let Some(ip) = ip
            && !take(&mut counts.strangers, ip, self.connections.per_address)
        {
            return Err(TooMany::Strangers);
        }
        counts.give_back(std::mem::replace(&mut self.counted, Counted::Stranger(ip)));
        Ok(())
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut counts = self.connections.counts.lock();
        counts.total = counts.total.saturating_sub(1);
        counts.give_back(self.counted);
    }
}

impl Counts {
    fn give_back(&mut self, counted: Counted) {
        match counted {
            Counted::Stranger(ip) => give_back(&mut self.strangers, ip),
            Counted::Account(account) => give_back(&mut self.accounts, Some(account)),
        }
    }
}

fn take<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K, limit: usize) -> bool {
    let count = counts.get(&key).copied().unwrap_or(0);
    if count >= limit {
        return false;
    }
    counts.insert(key, count + 1);
    true
}

/// Nobody left is no entry, so the map does not grow with everybody who was ever here.
fn give_back<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: Option<K>) {
    let Some(key) = key else { return };
    match counts.get_mut(&key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::Tcp(text.parse().unwrap())
    }

    #[test]
    fn each_limit_counts_what_it_says() {
        let limits =
            Limits { connections: 4, unauthenticated_per_address: 2, connections_per_account: 2, ..Limits::default() };
        let connections = Connections::new(&limits);
        let mut one = connections.admit(peer("192.0.2.1:1")).unwrap();
        let mut two = connections.admit(peer("[::ffff:192.0.2.1]:2")).unwrap();
        assert_eq!(connections.admit(peer("192.0.2.1:3")).unwrap_err(), TooMany::Strangers);
        one.log_in(AccountId(7)).unwrap();
        let mut three = connections.admit(peer("192.0.2.1:3")).unwrap();
        two.log_in(AccountId(7)).unwrap();
        assert_eq!(three.log_in(AccountId(7)), Err(TooMany::Account));
        drop(one);
        three.log_in(AccountId(7)).unwrap();
        let _four = connections.admit(Peer::Unix).unwrap();
        let _five = connections.admit(Peer::Unix).unwrap();
        assert_eq!(connections.admit(Peer::Unix).unwrap_err(), TooMany::Connections);
    }

    #[test]
    fn who_logs_out_is_a_stranger() {
        let limits = Limits { unauthenticated_per_address: 1, connections_per_account: 1, ..Limits::default() };
        let connections = Connections::new(&limits);
        let mut one = connections.admit(peer("192.0.2.1:1")).unwrap();
        one.log_in(AccountId(7)).unwrap();
        one.log_out(peer("192.0.2.1:1")).unwrap();
        assert_eq!(connections.admit(peer("192.0.2.1:2")).unwrap_err(), TooMany::Strangers);
        one.log_in(AccountId(8)).unwrap();
        let mut two = connections.admit(peer("192.0.2.1:2")).unwrap();
        assert_eq!(one.log_out(peer("192.0.2.1:1")), Err(TooMany::Strangers));
        assert_eq!(two.log_in(AccountId(8)), Err(TooMany::Account));
        two.log_in(AccountId(7)).unwrap();
        one.log_out(peer("192.0.2.1:1")).unwrap();
        drop((one, two));
        let counts = connections.counts.lock();
        assert!(counts.total == 0 && counts.strangers.is_empty() && counts.accounts.is_empty());
    }

    #[test]
    fn nothing_is_left_behind() {
        let connections = Connections::new(&Limits::default());
        let mut one = connections.admit(peer("192.0.2.1:1")).unwrap();
        let two = connections.admit(peer("192.0.2.2:1")).unwrap();
        one.log_in(AccountId(1)).unwrap();
        one.log_in(AccountId(2)).unwrap();
        assert_eq!(connections.count(), 2);
        drop((one, two));
        let counts = connections.counts.lock();
        assert!(counts.total == 0 && counts.strangers.is_empty() && counts.accounts.is_empty());
    }
}
