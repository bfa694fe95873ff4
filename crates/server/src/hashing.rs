//! Hashing passwords without being in anybody's way.
//!
//! * Each hash has a thread of its own, which runs only where nobody else wants to (`SCHED_IDLE`): whoever is woken up
//!   takes the processor from it at once. A mere `nice` thread would use up its slice first, which is milliseconds.
//!   A thread of its own, because nobody but root can take such a thing back.
//! * On a machine that is busy such a thread has next to no time, and a login would wait for seconds. So a hash that is
//!   not there after a while is computed once more, by a thread that is only `nice`. The first one goes on: as long as
//!   it does, the machine has no time to spare, and others are not begun like this.
//! * Where there are more processors than one, one has no hash at all: a thread that gives up its claim keeps the slice
//!   that it has begun, and somebody waits for that.
//! * Therefore at most twice as many are computed as have their turn.

use std::sync::Arc;
use std::time::Duration;

use auth::{PasswordHash, Secret, Workspace};
use parking_lot::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

/// How long a hash may take that runs only where nobody else wants to: some twenty times what it takes alone.
const PATIENCE: Duration = Duration::from_millis(400);

/// The priority of the others, as `nice` counts: far behind the sessions (0), and yet not so far that nobody gets in
/// while the machine is busy with something else. It is a tenth of the time.
#[cfg(target_os = "linux")]
const BEHIND: i32 = 10;

/// Computes hashes. How many at a time is for the caller to say.
#[derive(Debug)]
pub(crate) struct Hashing {
    patience: Duration,
    /// The memory of those that are not computed at this moment, for the next ones.
    workspaces: Arc<Mutex<Vec<Workspace>>>,
    /// Those that were waited for in vain.
    stuck: Mutex<Vec<JoinHandle<Option<bool>>>>,
}

/// When a thread runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Claim {
    /// Where nobody else wants to.
    None,
    /// Less than others.
    Little,
}

impl Hashing {
    pub(crate) fn new() -> Self {
        Self { patience: PATIENCE, workspaces: Arc::default(), stuck: Mutex::default() }
    }

    /// As many hashes as are worth computing at one time: a processor is left to those who are in. With hashes on all of
    /// them somebody's NOOP waits for five times as long at 99 %, for the slices of those threads.
    pub(crate) fn most() -> usize {
        std::thread::available_parallelism().map_or(1, usize::from).saturating_sub(1).max(1)
    }

    /// Whether a password is the one that was hashed; `None` where there was no thread to be had.
    pub(crate) async fn matches(&self, password: Secret, hash: PasswordHash) -> Option<bool> {
        if !self.is_starved() {
            let mut first = self.begin(Claim::None, password.clone(), hash.clone());
            match timeout(self.patience, &mut first).await {
                Ok(matches) => return matches.ok().flatten(),
                Err(_) => self.stuck.lock().push(first),
            }
        }
        self.begin(Claim::Little, password, hash).await.ok().flatten()
    }

    /// Gives the memory back that no hash needs at this moment.
    pub(crate) fn release(&self) {
        self.workspaces.lock().clear();
    }

    /// Of how many hashes memory is kept.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.workspaces.lock().len()
    }

    /// True while nobody has time for what has no claim to it.
    fn is_starved(&self) -> bool {
        let mut stuck = self.stuck.lock();
        stuck.retain(|hash| !hash.is_finished());
        !stuck.is_empty()
    }

    fn begin(&self, claim: Claim, password: Secret, hash: PasswordHash) -> JoinHandle<Option<bool>> {
        let workspaces = Arc::clone(&self.workspaces);
        let work = move || {
            claim.make();
            let mut workspace = workspaces.lock().pop().unwrap_or_default();
            let matches = hash.matches_in(&password, &mut workspace);
            workspaces.lock().push(workspace);
            matches
        };
        spawn_blocking(move || std::thread::Builder::new().name("password".to_owned()).spawn(work).ok()?.join().ok())
    }
}

impl Claim {
    /// The thread's, from now on. Where this fails, logins are in the way of others.
    #[cfg(target_os = "linux")]
    fn make(self) {
        use thread_priority::{
            NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
            thread_native_id,
        };
        match self {
            Self::None => {
                let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
                let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
                // The slice that a thread has begun stays its own, whatever has become of its policy, until the next
                // tick of the clock: milliseconds.
                std::thread::yield_now();
            }
            // On Linux this is the thread's, not the process's.
            Self::Little => drop(rustix::process::setpriority_process(None, BEHIND)),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn make(self) {}
}

#[cfg(test)]
mod tests {
    use auth::SALT_LEN;

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn hashing_comes_behind_everybody_and_changes_nobody_else() {
        use thread_priority::{NormalThreadSchedulePolicy, ThreadSchedulePolicy, thread_schedule_policy};
        let state = || (thread_schedule_policy().unwrap(), rustix::process::getpriority_process(None).unwrap());
        let of_a_thread = |claim: Claim| {
            let work = move || {
                claim.make();
                state()
            };
            std::thread::spawn(work).join().unwrap()
        };
        let before = state();
        assert_eq!(of_a_thread(Claim::None).0, ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle));
        assert_eq!(of_a_thread(Claim::Little), (before.0, BEHIND));
        assert_eq!(state(), before);
    }

    #[tokio::test]
    async fn a_login_on_a_busy_machine_is_hashed_with_more_of_a_claim() {
        let hash = PasswordHash::new(&Secret::from("secret"), [1; SALT_LEN]).unwrap();
        let matches = async |hashing: &Hashing, password| hashing.matches(Secret::from(password), hash.clone()).await;
        // A machine that has no time at all.
        let busy = Hashing { patience: Duration::ZERO, ..Hashing::new() };
        assert_eq!(matches(&busy, "secret").await, Some(true));
        assert_eq!(matches(&busy, "x").await, Some(false));

        // While one waits in vain no other does, and none is kept from its answer.
        let starved = Hashing { patience: Duration::MAX, ..Hashing::new() };
        let (end, ends) = std::sync::mpsc::channel();
        starved.stuck.lock().push(spawn_blocking(move || ends.recv().ok()));
        assert_eq!(matches(&starved, "secret").await, Some(true));
        assert!(starved.is_starved());
        end.send(true).unwrap();
        while starved.is_starved() {
            tokio::task::yield_now().await;
        }
        assert_eq!(matches(&starved, "x").await, Some(false));
    }
}
