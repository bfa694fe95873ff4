//! What waits for the thread that commits, in the order in which it came.
//!
//! Whoever takes says how many it waits for, and is not woken before they are there: a group that waits for company
//! costs one change of thread, not one for each.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// The end on which jobs are put.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// The end on which they are taken. There is one.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    enough: Condvar,
}

struct State<T> {
    jobs: VecDeque<T>,
    /// How many jobs wake the one who waits for them.
    wanted: usize,
    senders: usize,
    /// Nobody takes any more.
    ended: bool,
}

/// Why nothing was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Nothing {
    /// In all the time nothing came.
    Yet,
    /// And nothing will.
    Ever,
}

/// An empty queue.
pub(crate) fn queue<T>() -> (Sender<T>, Receiver<T>) {
    let state = State { jobs: VecDeque::new(), wanted: NOBODY, senders: 1, ended: false };
    let shared = Arc::new(Shared { state: Mutex::new(state), enough: Condvar::new() });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// So many are wanted when nobody waits.
const NOBODY: usize = usize::MAX;

impl<T> Sender<T> {
    /// Puts a job at the end. It comes back where nobody takes any more.
    pub(crate) fn send(&self, job: T) -> Result<(), T> {
        let mut state = self.0.state.lock();
        if state.ended {
            return Err(job);
        }
        state.jobs.push_back(job);
        if state.jobs.len() >= state.wanted {
            self.0.wake(&mut state);
        }
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// The first job, if there is one.
    pub(crate) fn take(&self) -> Option<T> {
        self.0.state.lock().jobs.pop_front()
    }

    /// The first job; waits for it, but no longer than this.
    pub(crate) fn take_within(&self, patience: Duration) -> Result<T, Nothing> {
        self.wait(1, patience);
        let mut state = self.0.state.lock();
        let nothing = if state.senders == 0 { Nothing::Ever } else { Nothing::Yet };
        state.jobs.pop_front().ok_or(nothing)
    }

    /// Waits until so many are there, but no longer than this.
    pub(crate) fn wait(&self, wanted: usize, patience: Duration) {
        let until = Instant::now() + patience;
        let mut state = self.0.state.lock();
        while state.jobs.len() < wanted && state.senders > 0 && !patience.is_zero() {
            state.wanted = wanted;
            let late = self.0.enough.wait_until(&mut state, until).timed_out();
            state.wanted = NOBODY;
            if late {
                return;
            }
        }
    }
}

impl<T> Shared<T> {
    /// Once for each time that somebody waits.
    fn wake(&self, state: &mut State<T>) {
        state.wanted = NOBODY;
        self.enough.notify_one();
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.senders -= 1;
        if state.senders == 0 {
            self.0.wake(&mut state);
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.ended = true;
        // Who waits for them is told; that may take this lock.
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        drop(jobs);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn jobs_come_out_in_the_order_in_which_they_came() {
        let (sender, jobs) = queue();
        (0..3).for_each(|n| sender.send(n).unwrap());
        assert_eq!((jobs.take(), jobs.take_within(LONG), jobs.take()), (Some(0), Ok(1), Some(2)));
        assert_eq!((jobs.take(), jobs.take_within(Duration::ZERO)), (None, Err(Nothing::Yet)));
        let other = sender.clone();
        drop(sender);
        other.send(3).unwrap();
        drop(other);
        assert_eq!((jobs.take_within(LONG), jobs.take_within(LONG)), (Ok(3), Err(Nothing::Ever)));
    }

    #[test]
    fn who_waits_for_some_is_woken_when_they_are_there_or_never_will_be() {
        let (sender, jobs) = queue();
        let waiting = thread::spawn(move || {
            let begun = Instant::now();
            jobs.wait(3, LONG);
            let there = std::iter::from_fn(|| jobs.take()).count();
            jobs.wait(3, LONG);
            (there, std::iter::from_fn(|| jobs.take()).count(), begun.elapsed() < LONG)
        });
        // Not before the third, whenever the other thread begins to wait; it may find the fourth as well.
        (0..3).for_each(|n| sender.send(n).unwrap());
        while !sender.0.state.lock().jobs.is_empty() {
            thread::yield_now();
        }
        sender.send(3).unwrap();
        drop(sender);
        let (there, later, woken) = waiting.join().unwrap();
        assert!(there >= 3 && there + later == 4 && woken, "{there}, {later}, {woken}");
    }

    #[test]
    fn what_nobody_takes_any_more_comes_back() {
        let (sender, jobs) = queue();
        let (answer, answered) = std::sync::mpsc::channel::<()>();
        sender.send(answer).unwrap();
        drop(jobs);
        assert!(answered.recv().is_err(), "nobody does it");
        assert!(sender.send(std::sync::mpsc::channel().0).is_err());
    }
}
