//! `[quota] warning_command`: a program that is started when an account crosses a threshold of its quota.
//!
//! Events of one account are told in their order. [`AT_ONCE`] programs run at one time, each for [`PATIENCE`] at most, and
//! nothing waits for them: what comes while too many events wait is lost, and the log says so.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use store::{QuotaEvent, QuotaOptions, Store};
use tokio::process::Command;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;
use tracing::{error, info, warn};

use server::shutdown::Shutdown;

/// Programs that run at one time.
const AT_ONCE: usize = 4;

/// How long one may run.
const PATIENCE: Duration = Duration::from_secs(60);

/// Events that wait.
const WAITING: usize = 1000;

/// A program, and the events that it is to be told.
pub(crate) struct Warnings {
    program: Arc<Program>,
    events: Receiver<QuotaEvent>,
}

/// What is started, and for how long at most.
struct Program {
    command: Vec<PathBuf>,
    patience: Duration,
}

impl Warnings {
    /// Takes the events of the store that these options are for; `None` where no program is configured.
    pub(crate) fn new(command: &[PathBuf], options: &mut QuotaOptions) -> Option<Self> {
        if command.is_empty() {
            return None;
        }
        let (sender, events) = channel(WAITING);
        options.events = Some(sender);
        Some(Self { program: Arc::new(Program { command: command.to_owned(), patience: PATIENCE }), events })
    }

    /// Starts the program for each event until the server ends.
    pub(crate) async fn give(mut self, store: Store, mut shutdown: Shutdown) {
        let worker = |_| {
            let (sender, events) = channel(WAITING);
            tokio::spawn(work(Arc::clone(&self.program), store.clone(), events));
            sender
        };
        let workers: Vec<Sender<QuotaEvent>> = (0..AT_ONCE as u64).map(worker).collect();
        loop {
            let event = tokio::select! {
                () = shutdown.requested() => return,
                event = self.events.recv() => event,
            };
            let Some(event) = event else { return };
            // All events of an account go to one worker: that keeps their order.
            let number = event.account.0 % AT_ONCE as u64;
            let worker = usize::try_from(number).ok().and_then(|number| workers.get(number));
            if worker.is_none_or(|worker| worker.try_send(event).is_err()) {
                warn!("quota: too many programs wait, one is not started: {event:?}");
            }
        }
    }
}

async fn work(program: Arc<Program>, store: Store, mut events: Receiver<QuotaEvent>) {
    while let Some(event) = events.recv().await {
        let accounts = store::blocking(|| store.accounts());
        match accounts.map(|all| all.into_iter().find(|record| record.id == event.account)) {
            Ok(Some(record)) => program.start(record.name.as_str(), &event).await,
            // It was deleted meanwhile.
            Ok(None) => {}
            Err(error) => error!("quota: {error}; nobody is told of {event:?}"),
        }
    }
}

impl Program {
    /// Starts it and waits for its end; the log has how it ended.
    async fn start(&self, account: &str, event: &QuotaEvent) {
        let Some((program, arguments)) = self.command.split_first() else { return };
        let QuotaEvent { resource, usage, limit, percent, threshold, .. } = *event;
        let word = if event.reached { "warning" } else { "ok" };
        info!("quota: {account}: {word} {threshold}%: {usage} of {limit} {}", resource.name());
        let child = Command::new(program)
            .args(arguments)
            .envs([("PILLARBOX_EVENT", word), ("PILLARBOX_ACCOUNT", account), ("PILLARBOX_RESOURCE", resource.name())])
            .env("PILLARBOX_USAGE", usage.to_string())
            .env("PILLARBOX_LIMIT", limit.to_string())
            .env("PILLARBOX_PERCENT", percent.to_string())
            .env("PILLARBOX_THRESHOLD", threshold.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        let name = program.display();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => return error!("quota: cannot start {name}: {error}"),
        };
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        match timeout(self.patience, child.wait()).await {
            Ok(Ok(status)) if status.success() => info!("quota: {name} for {account}: done"),
            Ok(Ok(status)) => warn!("quota: {name} for {account}: {status}"),
            Ok(Err(error)) => error!("quota: {name} for {account}: {error}"),
            Err(_) => {
                // With everything that it has started.
                if let Some(group) = group {
                    let _ = kill_process_group(group, Signal::KILL);
                }
                let _ = child.wait().await;
                warn!("quota: {name} for {account}: ended after {:?}", self.patience);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, mkfifoat};
    use tokio::io::AsyncReadExt as _;
    use tokio::net::unix::pipe;
    use types::{AccountId, Resource};

    use super::*;

    #[tokio::test]
    async fn a_program_that_does_not_end_is_ended_with_its_children() {
        let directory = tempfile::tempdir().unwrap();
        let (started, alive) = (directory.path().join("started"), directory.path().join("alive"));
        mkfifoat(CWD, &alive, Mode::RWXU).unwrap();
        // It and its child hold one end for as long as they live.
        let script = format!("exec 3>{}; sleep 1000 & >{}; wait", alive.display(), started.display());
        let mut alive = pipe::OpenOptions::new().open_receiver(&alive).unwrap();
        let command = ["/bin/sh", "-c", &script].map(PathBuf::from).to_vec();
        let event = QuotaEvent {
            account: AccountId(1),
            resource: Resource::Storage,
            usage: 8,
            limit: 10,
            percent: 80,
            threshold: 80,
            reached: true,
        };
        // However slow the machine is: the child is there before the patience ends, or the patience was too short.
        let mut patience = Duration::from_millis(100);
        while !started.exists() {
            Program { command: command.clone(), patience }.start("alice", &event).await;
            patience *= 2;
        }
        // Killed is not dead yet.
        let died = timeout(PATIENCE, alive.read_to_end(&mut Vec::new())).await;
        assert_eq!(died.expect("the child lives").unwrap(), 0);
    }
}
