//! The whole import: the plan by the first connection, then some connections, each with a mailbox at a time. A
//! connection that ends is made again after a pause; one more than the server allows is done without.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use store::{Account, Importing};
use tokio::task::JoinSet;
use types::{Principal, UidValidity};

use super::mailboxes::{Planned, plan};
use super::progress::Progress;
use super::response::Counted;
use super::session::Session;
use super::transfer::Transfer;
use super::{Failure, Patience, Server, Wanted};
use crate::Report;

type Survey = (Vec<(u32, Planned)>, Option<UidValidity>, Report);

/// What all connections have in common.
struct Work {
    account: Account,
    who: Principal,
    server: Server,
    progress: Progress,
    queue: Mutex<VecDeque<Planned>>,
    /// Nobody else begins before the last worker has ended.
    _importing: Importing,
}

pub(super) async fn run(
    (account, importing): (&Account, Importing),
    who: &Principal,
    server: Server,
    wanted: Wanted,
    progress: &Progress,
) -> Result<Report, Failure> {
    // Whatever is wrong with the options shows here, at once.
    let mut session = Session::open(&server).await?;
    let mut pause = Pause::new(server.patience);
    let (mut counted, uid_validity, mut report) = loop {
        match survey(&mut session, &wanted).await {
            Ok(found) => break found,
            Err(failure) if failure.is_for_later() && pause.wait().await => session = Session::open(&server).await?,
            Err(failure) => return Err(failure),
        }
    };
    // What is created on the way, such as a name above another, takes none of those that are still to come.
    if let Some(last) = uid_validity {
        account.pass_uid_validity(who, last).await?;
    }
    progress.plan(counted.len() as u64, counted.iter().map(|(count, _)| u64::from(*count)).sum());
    // The largest first, so that none of them is what all wait for at the end.
    counted.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let connections = wanted.connections.clamp(1, counted.len().max(1));
    let queue = Mutex::new(counted.into_iter().map(|(_, planned)| planned).collect());
    let work = Arc::new(Work {
        account: account.clone(),
        who: who.clone(),
        server,
        progress: progress.clone(),
        queue,
        _importing: importing,
    });
    let mut workers = JoinSet::new();
    workers.spawn(worker(Arc::clone(&work), session));
    for _ in 1..connections {
        workers.spawn(another(Arc::clone(&work)));
    }
    // Dropped before its end, it takes the workers with it.
    while let Some(done) = workers.join_next().await {
        report.add(done.map_err(|_| Failure::Store(store::Error::Internal))??);
    }
    Ok(report)
}

/// What there is to do, how many messages there are in each mailbox, and the last UIDVALIDITY of all.
async fn survey(session: &mut Session, wanted: &Wanted) -> Result<Survey, Failure> {
    let mut report = Report::default();
    let namespaces = session.namespaces().await?;
    let listed = session.mailboxes().await?;
    let subscriptions = session.subscriptions().await?;
    let planned = plan(listed, namespaces.as_ref(), subscriptions.as_deref(), wanted, &mut report);
    let (mut counted, mut last) = (vec![], None);
    for one in planned {
        let Counted { messages, uid_validity } = session.count(&one.source).await?;
        counted.push((messages.unwrap_or(0), one));
        last = last.max(uid_validity.and_then(UidValidity::new));
    }
    Ok((counted, last, report))
}

/// One more connection, if the server allows it.
async fn another(work: Arc<Work>) -> Result<Report, Failure> {
    match Session::open(&work.server).await {
        Ok(session) => worker(work, session).await,
        Err(failure) => {
            let mut report = Report::default();
            report.remark(format!("one connection less: {failure}"));
            Ok(report)
        }
    }
}

async fn worker(work: Arc<Work>, session: Session) -> Result<Report, Failure> {
    let (mut report, mut session) = (Report::default(), Some(session));
    loop {
        let next = work.queue.lock().pop_front();
        let Some(planned) = next else { break };
        report.add(mailbox(&work, &planned, &mut session).await?);
        work.progress.mailbox_done();
    }
    if let Some(session) = session {
        session.logout().await;
    }
    Ok(report)
}

/// One mailbox, whatever it takes. An error is the end of the whole import.
async fn mailbox(work: &Work, planned: &Planned, session: &mut Option<Session>) -> Result<Report, Failure> {
    let mut transfer = Transfer::new(&work.account, &work.who, &work.server, planned, &work.progress);
    let mut pause = Pause::new(work.server.patience);
    loop {
        let (connected, done) = match session {
            Some(session) => (true, transfer.attempt(session).await),
            None => match Session::open(&work.server).await {
                Ok(new) => (true, transfer.attempt(session.insert(new)).await),
                Err(failure) => (false, Err(failure)),
            },
        };
        let failure = match done {
            Ok(true) => return Ok(transfer.report),
            Ok(false) => continue,
            Err(failure) => failure,
        };
        // Where it is not only refused, nobody knows what the server would say next.
        if !matches!(failure, Failure::Refused(_)) {
            *session = None;
        }
        if std::mem::take(&mut transfer.advanced) {
            pause = Pause::new(work.server.patience);
        }
        if failure.is_for_later() && pause.wait().await {
            tracing::info!("{}: {failure}: once more", planned.name);
            continue;
        }
        if !connected || failure.concerns_all() {
            return Err(failure);
        }
        transfer.report.problem(format!("{}: {failure}", planned.name));
        return Ok(transfer.report);
    }
}

impl Failure {
    /// Whether other mailboxes would not do better.
    fn concerns_all(&self) -> bool {
        use store::Error;
        match self {
            Self::Lost(_) | Self::Refused(_) => false,
            Self::Fatal(_) => true,
            Self::Store(error) => matches!(
                error,
                Error::OverQuota(_) | Error::DiskFull | Error::NoSuchAccount | Error::Engine(_) | Error::Internal
            ),
        }
    }
}

/// The time between attempts.
struct Pause {
    patience: Patience,
    next: Duration,
    left: u32,
}

impl Pause {
    fn new(patience: Patience) -> Self {
        Self { patience, next: patience.first, left: patience.attempts }
    }

    /// `false` when it is enough.
    async fn wait(&mut self) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        tokio::time::sleep(self.next).await;
        self.left = left;
        self.next = (self.next * 2).min(self.patience.most);
        true
    }
}
