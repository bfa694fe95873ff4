//! Turns: so many do something at one time, the others wait in lines, one for each party, and the lines are served in
//! rotation. So a crowd keeps itself waiting, and somebody else no longer than one of it.
//!
//! Three things go by turns: hashing passwords ([`crate::login`]), whatever is much, and committing it ([`crate::lent`]). Of the
//! last, turns have sizes: so many octets are committed at one time.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use types::AccountId;

use crate::stream::Peer;

/// Who stands in one line.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Party {
    /// Whoever is logged in to the same account.
    Account(AccountId),
    /// Strangers by where they come from: 256 neighbours in IPv4, in IPv6 what one site has (RFC 6177 §2).
    Network(IpAddr),
    /// Processes on this machine.
    Local,
}

impl From<Peer> for Party {
    fn from(peer: Peer) -> Self {
        match peer.ip() {
            None => Self::Local,
            Some(IpAddr::V4(ip)) => Self::Network(Ipv4Addr::from_bits(ip.to_bits() >> 8 << 8).into()),
            Some(IpAddr::V6(ip)) => Self::Network(Ipv6Addr::from_bits(ip.to_bits() >> 80 << 80).into()),
        }
    }
}

/// The turns at one thing.
#[derive(Debug)]
pub(crate) struct Turns {
    /// How much may be done at one time: the sizes of all turns together.
    all: usize,
    /// How many may wait.
    most: usize,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    /// What nobody has; less than the next one needs, while somebody waits.
    free: usize,
    waiting: usize,
    /// The number of the next one who waits.
    next: u64,
    lines: HashMap<Party, VecDeque<Waiting>>,
    /// The parties in the order in which they are served: those who have a line, which is not empty.
    rotation: VecDeque<Party>,
}

/// Somebody in a line. Numbers ascend in it.
#[derive(Debug)]
struct Waiting {
    number: u64,
    size: usize,
    call: oneshot::Sender<Turn>,
}

/// A turn; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Option<Arc<Turns>>,
    size: usize,
}

/// More wait than may, and nobody more of one party than of this one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Crowded;

impl Turns {
    /// So much at one time, while at most so many wait.
    pub(crate) fn new(all: usize, most: usize) -> Arc<Self> {
        let (lines, rotation) = Default::default();
        Arc::new(Self { all, most, book: Mutex::new(Book { free: all, waiting: 0, next: 0, lines, rotation }) })
    }

    /// Waits for a turn of size 1. Where too many wait, the last one of the longest line is sent away: it may be this one.
    pub(crate) async fn take(self: &Arc<Self>, party: Party) -> Result<Turn, Crowded> {
        self.take_large(party, 1).await
    }

    /// As [`Turns::take`]; what is larger than all together has them all.
    pub(crate) async fn take_large(self: &Arc<Self>, party: Party, size: usize) -> Result<Turn, Crowded> {
        let size = size.min(self.all);
        let (number, turn) = {
            let mut book = self.book.lock();
            if book.rotation.is_empty() && book.free >= size {
                book.free -= size;
                return Ok(Turn { turns: Some(Arc::clone(self)), size });
            }
            let joined = book.join(party, size);
            if book.waiting > self.most {
                book.send_away();
            }
            joined
        };
        let _place = Place { turns: self, party, number };
        turn.await.map_err(|_| Crowded)
    }

    /// Turns that nobody has at this moment.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.book.lock().free
    }

    /// Something is free: those who come next have their turns, as far as it goes.
    fn serve(self: &Arc<Self>) {
        loop {
            let next = self.book.lock().call();
            let Some(Waiting { size, call, .. }) = next else { return };
            if let Err(mut turn) = call.send(Turn { turns: Some(Arc::clone(self)), size }) {
                // Whoever that was does not wait any more.
                turn.turns = None;
                self.book.lock().free += size;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            turns.book.lock().free += self.size;
            turns.serve();
        }
    }
}

/// Somebody's place in a line; it is left when this is dropped.
struct Place<'a> {
    turns: &'a Arc<Turns>,
    party: Party,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.turns.book.lock().leave(self.party, self.number) {
            // What was too large for what is free may have kept smaller ones waiting.
            self.turns.serve();
        }
    }
}

impl Book {
    fn join(&mut self, party: Party, size: usize) -> (u64, oneshot::Receiver<Turn>) {
        let (call, called) = oneshot::channel();
        let number = self.next;
        self.next += 1;
        let line = self.lines.entry(party).or_default();
        if line.is_empty() {
            self.rotation.push_back(party);
        }
        line.push_back(Waiting { number, size, call });
        self.waiting += 1;
        (number, called)
    }

    /// False where it was not in line any more.
    fn leave(&mut self, party: Party, number: u64) -> bool {
        let Some(line) = self.lines.get_mut(&party) else { return false };
        let Ok(at) = line.binary_search_by_key(&number, |waiting| waiting.number) else { return false };
        line.remove(at);
        self.left(party);
        true
    }

    /// The next one in rotation, if what it needs is free; it has it now.
    fn call(&mut self) -> Option<Waiting> {
        let party = *self.rotation.front()?;
        let line = self.lines.get_mut(&party)?;
        let free = self.free.checked_sub(line.front()?.size)?;
        let called = line.pop_front()?;
        self.free = free;
        self.rotation.rotate_left(1);
        self.left(party);
        Some(called)
    }

    fn send_away(&mut self) {
        let longest = self.lines.iter().max_by_key(|(_, line)| line.len()).map(|(party, _)| *party);
        if let Some(party) = longest {
            self.lines.get_mut(&party).and_then(VecDeque::pop_back);
            self.left(party);
        }
    }

    /// One of this party waits no more.
    fn left(&mut self, party: Party) {
        self.waiting = self.waiting.saturating_sub(1);
        if self.lines.get(&party).is_some_and(VecDeque::is_empty) {
            self.lines.remove(&party);
            self.rotation.retain(|waiting| *waiting != party);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::*;

    fn party(n: u64) -> Party {
        Party::Account(AccountId(n))
    }

    /// Joins a line, and writes its name down once it has its turn, which it ends at once.
    async fn waits(turns: &Arc<Turns>, n: u64, order: &Arc<Mutex<Vec<u64>>>) -> JoinHandle<Result<(), Crowded>> {
        let (turns, order) = (Arc::clone(turns), Arc::clone(order));
        let task = tokio::spawn(async move {
            let turn = turns.take(party(n)).await?;
            order.lock().push(n);
            drop(turn);
            Ok(())
        });
        tokio::task::yield_now().await;
        task
    }

    #[tokio::test]
    async fn lines_are_served_in_rotation() {
        let (turns, order) = (Turns::new(1, 100), Arc::default());
        let busy = turns.take(party(1)).await.unwrap();
        let mut tasks = vec![];
        for n in [1, 1, 1, 1, 2, 3, 2] {
            tasks.push(waits(&turns, n, &order).await);
        }
        drop(busy);
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(*order.lock(), [1, 2, 3, 1, 2, 1, 1]);
        let book = turns.book.lock();
        assert!(book.free == 1 && book.waiting == 0 && book.lines.is_empty() && book.rotation.is_empty());
    }

    #[tokio::test]
    async fn where_too_many_wait_the_longest_line_is_shortened() {
        let (turns, order) = (Turns::new(1, 3), Arc::default());
        let busy = turns.take(party(9)).await.unwrap();
        let mut crowd = vec![];
        for _ in 0..3 {
            crowd.push(waits(&turns, 1, &order).await);
        }
        assert_eq!(turns.take(party(1)).await.unwrap_err(), Crowded);
        let alone = waits(&turns, 2, &order).await;
        assert_eq!(crowd.pop().unwrap().await.unwrap(), Err(Crowded));
        drop(busy);
        alone.await.unwrap().unwrap();
        for task in crowd {
            task.await.unwrap().unwrap();
        }
        assert_eq!(*order.lock(), [1, 2, 1]);
    }

    #[tokio::test]
    async fn who_leaves_keeps_no_place_and_no_turn() {
        let (turns, order) = (Turns::new(1, 100), Arc::default());
        let busy = turns.take(party(1)).await.unwrap();
        let (one, two) = (waits(&turns, 1, &order).await, waits(&turns, 2, &order).await);
        one.abort();
        assert!(one.await.unwrap_err().is_cancelled());
        assert_eq!(turns.book.lock().waiting, 1);
        // One whose turn comes at the moment in which it goes passes it on.
        let gone = Arc::clone(&turns);
        let mut three = Box::pin(async move { gone.take(party(2)).await });
        assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(three.as_mut().poll(cx).is_pending())).await);
        drop(busy);
        two.await.unwrap().unwrap();
        drop(three);
        assert_eq!(*order.lock(), [2]);
        let book = turns.book.lock();
        assert_eq!((book.free, book.waiting), (1, 0));
    }

    #[tokio::test]
    async fn so_much_is_done_at_one_time_and_nothing_small_overtakes() {
        let turns = Turns::new(10, 100);
        let (six, three) = (turns.take_large(party(1), 6).await.unwrap(), turns.take_large(party(1), 3).await.unwrap());
        // Larger than all there is, so it comes alone; one behind it that would fit waits nevertheless.
        let mut large = Box::pin(turns.take_large(party(2), 1000));
        let mut small = Box::pin(turns.take_large(party(3), 1));
        assert!(is_pending(&mut large).await && is_pending(&mut small).await);
        drop(six);
        assert_eq!(turns.free(), 7);
        drop(three);
        let large = large.await.unwrap();
        assert_eq!((large.size, turns.free()), (10, 0));
        drop(large);
        drop(small.await.unwrap());
        assert_eq!(turns.free(), 10);
    }

    #[tokio::test]
    async fn who_leaves_makes_room_for_what_is_smaller() {
        let turns = Turns::new(10, 100);
        let busy = turns.take_large(party(1), 6).await.unwrap();
        let (mut large, mut small) = (Box::pin(turns.take_large(party(2), 5)), Box::pin(turns.take_large(party(2), 4)));
        assert!(is_pending(&mut large).await && is_pending(&mut small).await);
        drop(large);
        drop(small.await.unwrap());
        drop(busy);
        assert_eq!(turns.free(), 10);
    }

    /// True where the future, polled once, waits.
    async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx).is_pending())).await
    }

    #[test]
    fn strangers_go_by_their_network() {
        let party = |address: &str| Party::from(Peer::Tcp(address.parse().unwrap()));
        assert_eq!(party("192.0.2.1:1"), party("192.0.2.255:7"));
        assert_eq!(party("192.0.2.1:1"), party("[::ffff:192.0.2.9]:1"));
        assert_ne!(party("192.0.2.1:1"), party("192.0.3.1:1"));
        assert_eq!(party("[2001:db8:1::1]:1"), party("[2001:db8:1:ffff::2]:1"));
        assert_ne!(party("[2001:db8:1::1]:1"), party("[2001:db8:2::1]:1"));
    }
}
