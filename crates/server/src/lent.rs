//! What connections hold, and how many hold much at one time.
//!
//! * **While the server works** on what is much (a large message, the rest of a long command, a long answer), those
//!   have memory and processors who have a [turn](Borrower::turn). There are few turns, and nobody who asks for
//!   something small waits behind them. A turn ends by itself when the session waits for anything (`in_turns`).
//! * **While a client is waited for**, or a turn, what is held is lent.
//! * **While it is committed**, what is much has a turn of its size (`Borrower::turn_to_commit`): it cannot be called back, and
//!   is held more than once on its way to the disk.
//!
//! What is lent is memory of commands and messages that are half there, of answers that are not taken. There is so much ([`Limits::waiting_memory`]); once that is used up, whoever waits with the largest
//! loan, and of equals the one who has waited longest, is called back: its connection ends. So nobody is
//! refused because of others who hold on to much, and a client that takes what it asked for never meets this.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use types::Limits;

use crate::turns::{Party, Turn, Turns};

/// How many have a turn at one time, for each processor: some of them wait for the disk.
const TURNS: usize = 4;

/// Octets of one command or message, above which whoever sends more has to wait for a turn.
pub(crate) const LONG: usize = 16 << 10;

/// This part of what is lent at most may be committed at one time. There are four copies of it at worst: the messages that
/// arrived, what the store and the journal make of them, and what is written.
const COMMITTED: usize = 8;

/// So long a session goes on, with a turn or without: then the others have theirs.
const SLICE: Duration = Duration::from_micros(250);

thread_local! {
    /// The turn of the session that is being polled.
    static TURN: Cell<Option<Turn>> = const { Cell::new(None) };
    /// Since when it is being polled.
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// True where the session that asks has been at work for longer than a `SLICE`: if it has more to do, it should wait
/// for a turn.
pub(crate) fn is_slice_over() -> bool {
    SINCE.get().is_none_or(|since| since.elapsed() > SLICE)
}

/// A session that takes turns: what it has taken ends when it waits for anything, or ends.
// Boxed, and no async function: each would hold the session twice.
pub(crate) fn in_turns<T>(session: impl Future<Output = T> + Send) -> impl Future<Output = T> + Send {
    let mut session = Box::pin(session);
    std::future::poll_fn(move |cx| {
        SINCE.set(Some(Instant::now()));
        let polled = session.as_mut().poll(cx);
        TURN.take();
        polled
    })
}

/// Lends to all connections of a server.
#[derive(Debug)]
pub struct Lender {
    most: usize,
    turns: Arc<Turns>,
    /// Their sizes are octets.
    commits: Arc<Turns>,
    book: Mutex<Book>,
}

/// Who has how much.
#[derive(Debug, Default)]
struct Book {
    lent: usize,
    /// The number of the next loan: those of older ones are smaller.
    next: u64,
    /// The last one is the first to be called back.
    loans: BTreeMap<(usize, Reverse<u64>), Arc<Notify>>,
    called_back: u64,
}

/// What one connection may borrow while it waits.
#[derive(Clone, Debug)]
pub struct Borrower(Arc<Lender>);

/// The memory is needed elsewhere: the connection is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the memory that this connection held while it was waited for is needed elsewhere")]
pub struct CalledBack;

impl Lender {
    /// Nothing is lent yet.
    pub fn new(limits: &Limits) -> Arc<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let turns = Turns::new(TURNS * processors, usize::MAX);
        let commits = Turns::new(limits.waiting_memory / COMMITTED, usize::MAX);
        Arc::new(Self { most: limits.waiting_memory, turns, commits, book: Mutex::default() })
    }

    /// For a connection.
    pub fn borrower(self: &Arc<Self>) -> Borrower {
        Borrower(Arc::clone(self))
    }

    /// Octets that are lent at this moment.
    pub fn lent(&self) -> usize {
        self.book.lock().lent
    }

    /// Connections that were ended since the start.
    pub fn called_back(&self) -> u64 {
        self.book.lock().called_back
    }
}

impl Borrower {
    /// Waits for a turn to do much, while `octets` are held; done at once for a session that has one and has not been at
    /// work for long. In a session that goes `in_turns`.
    pub async fn turn(&self, party: Party, octets: usize) -> Result<(), CalledBack> {
        let mut turn = TURN.take();
        if turn.is_none() || is_slice_over() {
            // Ours goes to the next in line, where there is one, and we stand behind all of them.
            drop(turn);
            // Nobody is sent away from where all may wait.
            turn = self.during(octets, self.0.turns.take(party)).await?.ok();
        }
        if is_slice_over() {
            // Nobody was in line. Whoever can be served at once comes first. The turn is kept meanwhile: those who have none
            // stand in the line, and not with everybody else among what can run.
            tokio::task::yield_now().await;
        }
        TURN.set(turn);
        Ok(())
    }

    /// Waits until so many octets, which are held, may be committed: hold what this gives until they are. What is no more
    /// than [`LONG`] needs no turn.
    pub(crate) async fn turn_to_commit(&self, party: Party, octets: usize) -> Result<Option<Turn>, CalledBack> {
        if octets <= LONG {
            return Ok(None);
        }
        Ok(self.during(octets, self.0.commits.take_large(party, octets)).await?.ok())
    }

    /// Waits for a client, or a turn, while `octets` are held. What needs no waiting needs no loan.
    pub async fn during<T>(&self, octets: usize, wait: impl Future<Output = T>) -> Result<T, CalledBack> {
        let mut wait = pin!(wait);
        if octets == 0 {
            return Ok(wait.await);
        }
        if let Poll::Ready(done) = std::future::poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await {
            return Ok(done);
        }
        let loan = self.0.lend(octets);
        tokio::select! {
            biased;
            () = loan.call.notified() => Err(CalledBack),
            done = wait => Ok(done),
        }
    }
}

/// Given back when dropped.
struct Loan<'a> {
    lender: &'a Lender,
    key: (usize, Reverse<u64>),
    call: Arc<Notify>,
}

impl Lender {
    fn lend(&self, octets: usize) -> Loan<'_> {
        let call = Arc::new(Notify::new());
        let mut book = self.book.lock();
        let key = (octets, Reverse(book.next));
        book.next += 1;
        book.lent = book.lent.saturating_add(octets);
        book.loans.insert(key, Arc::clone(&call));
        while book.lent > self.most {
            // It may be the new one.
            let Some(((octets, _), largest)) = book.loans.pop_last() else { break };
            book.lent = book.lent.saturating_sub(octets);
            book.called_back += 1;
            largest.notify_one();
        }
        Loan { lender: self, key, call }
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        let mut book = self.lender.book.lock();
        if book.loans.remove(&self.key).is_some() {
            book.lent = book.lent.saturating_sub(self.key.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use types::AccountId;

    use super::*;

    fn lender(waiting_memory: usize) -> Arc<Lender> {
        Lender::new(&Limits { waiting_memory, ..Limits::default() })
    }

    /// A connection that waits for ever.
    fn waits(lender: &Arc<Lender>, octets: usize) -> tokio::task::JoinHandle<Result<(), CalledBack>> {
        let borrower = lender.borrower();
        tokio::spawn(async move { borrower.during(octets, pending()).await })
    }

    #[tokio::test]
    async fn what_does_not_wait_borrows_nothing() {
        let lender = lender(10);
        assert_eq!(lender.borrower().during(1000, ready(7)).await, Ok(7));
        assert_eq!((lender.lent(), lender.called_back()), (0, 0));
        let mut idle = pin!(async { lender.borrower().during(0, pending::<()>()).await });
        assert!(std::future::poll_fn(|cx| Poll::Ready(idle.as_mut().poll(cx).is_pending())).await);
        assert_eq!(lender.lent(), 0);
    }

    #[tokio::test]
    async fn a_turn_ends_when_its_session_waits() {
        let lender = lender(100);
        let turns = TURNS * std::thread::available_parallelism().unwrap().get();
        let session = |rounds: usize| {
            let borrower = lender.borrower();
            in_turns(async move {
                for _ in 0..rounds {
                    borrower.turn(Party::Local, 1).await.unwrap();
                    borrower.turn(Party::Local, 1).await.unwrap();
                    tokio::task::yield_now().await;
                }
            })
        };
        // None of those who wait for something keeps its turn: all get to their end.
        let sessions: Vec<_> = (0..2 * turns).map(|_| tokio::spawn(session(3))).collect();
        for session in sessions {
            session.await.unwrap();
        }
        let mut waits = Box::pin(in_turns(async {
            lender.borrower().turn(Party::Local, 1).await.unwrap();
            assert_eq!(lender.turns.free(), turns - 1);
            pending::<()>().await;
        }));
        assert!(std::future::poll_fn(|cx| Poll::Ready(waits.as_mut().poll(cx).is_pending())).await);
        assert_eq!(lender.turns.free(), turns);
    }

    /// One thread, a crowd that has much to do, and somebody who has little.
    #[test]
    fn who_has_little_to_do_waits_for_those_with_a_turn_and_for_no_crowd() {
        let lender = lender(1000);
        let turns = lender.turns.free();
        let (slices, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let crowd = |n: usize| {
            let (borrower, slices, over) = (lender.borrower(), Arc::clone(&slices), Arc::clone(&over));
            in_turns(async move {
                while !over.load(Ordering::Relaxed) {
                    borrower.turn(Party::Account(AccountId(n as u64)), 1).await.unwrap();
                    slices.fetch_add(1, Ordering::Relaxed);
                    while !is_slice_over() {}
                }
            })
        };
        let crowd: Vec<_> = (0..10 * turns).map(crowd).collect();
        let longest = async move {
            crowd.into_iter().for_each(|member| drop(tokio::spawn(member)));
            // Everybody comes to the line.
            while slices.load(Ordering::Relaxed) < 3 * turns {
                tokio::task::yield_now().await;
            }
            let mut longest = 0;
            for _ in 0..20 {
                let before = slices.load(Ordering::Relaxed);
                tokio::task::yield_now().await;
                longest = longest.max(slices.load(Ordering::Relaxed) - before);
            }
            over.store(true, Ordering::Relaxed);
            longest
        };
        // Whoever yields is looked for after each step.
        let runtime = tokio::runtime::Builder::new_current_thread().event_interval(1).build().unwrap();
        let longest = runtime.block_on(async { tokio::spawn(longest).await.unwrap() });
        assert!(longest <= 2 * turns, "{longest} slices of the crowd, of whom {turns} have a turn, came first");
    }

    #[tokio::test]
    async fn who_waits_for_a_turn_has_lent_what_it_holds() {
        let lender = lender(100);
        let mut busy = vec![];
        while lender.turns.free() > 0 {
            busy.push(lender.turns.take(Party::Local).await.unwrap());
        }
        let waits = |octets| {
            let borrower = lender.borrower();
            tokio::spawn(in_turns(async move { borrower.turn(Party::Local, octets).await }))
        };
        let (large, small) = (waits(60), waits(30));
        tokio::task::yield_now().await;
        assert_eq!(lender.lent(), 90);
        let other = waits(40);
        assert_eq!(large.await.unwrap(), Err(CalledBack));
        drop(busy);
        assert_eq!((small.await.unwrap(), other.await.unwrap()), (Ok(()), Ok(())));
        assert_eq!(lender.lent(), 0);
    }

    #[tokio::test]
    async fn what_waits_to_be_committed_is_lent() {
        let lender = lender(8 * 10 * LONG);
        let commit = |octets| {
            let borrower = lender.borrower();
            tokio::spawn(async move { borrower.turn_to_commit(Party::Local, octets).await })
        };
        let first = commit(8 * LONG).await.unwrap().unwrap();
        assert_eq!((first.is_some(), lender.lent()), (true, 0));
        let (second, third) = (commit(20 * LONG), commit(30 * LONG));
        tokio::task::yield_now().await;
        assert_eq!(lender.lent(), 50 * LONG);
        // What is little is committed without a look.
        assert!(commit(LONG).await.unwrap().unwrap().is_none());
        let fourth = commit(40 * LONG);
        assert_eq!(fourth.await.unwrap().unwrap_err(), CalledBack);
        drop(first);
        drop(second.await.unwrap().unwrap());
        drop(third.await.unwrap().unwrap());
        assert_eq!(lender.lent(), 0);
    }

    #[tokio::test]
    async fn the_largest_is_called_back_and_of_equals_the_oldest() {
        let lender = lender(100);
        let all = [waits(&lender, 40), waits(&lender, 20), waits(&lender, 40)];
        tokio::task::yield_now().await;
        assert_eq!((lender.lent(), lender.called_back()), (100, 0));
        let small = waits(&lender, 5);
        let [first, second, third] = all;
        assert_eq!(first.await.unwrap(), Err(CalledBack));
        assert_eq!((lender.lent(), lender.called_back()), (65, 1));
        // More than there is: it calls itself back, after the one that is as large as nobody else.
        let large = waits(&lender, 101);
        assert_eq!(large.await.unwrap(), Err(CalledBack));
        assert_eq!((lender.lent(), lender.called_back()), (65, 2));
        assert!(!second.is_finished() && !third.is_finished() && !small.is_finished());
        for left in [second, third, small] {
            left.abort();
            assert!(left.await.unwrap_err().is_cancelled());
        }
        assert_eq!(lender.lent(), 0);
        assert!(lender.book.lock().loans.is_empty());
    }
}
