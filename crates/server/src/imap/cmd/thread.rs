//! THREAD and UID THREAD (RFC 5256 §3).
//!
//! Messages are found as by SEARCH, then threaded. One whose header is damaged is in the answer, as
//! if it had none; an untagged NO names it.

use std::sync::Arc;

use proto::imap::command::{Thread, ThreadAlgorithm};
use proto::imap::response::ThreadToken;
use store::{Algorithm, Step, Threading};
use types::Number;

use super::search::{find, in_turns, query, warn};
use crate::imap::answer::{Answer, Outcome};
use crate::imap::state::Selected;
use crate::imap::wire::Wire;

/// Carries out THREAD and UID THREAD.
pub(crate) async fn thread(selected: &mut Selected, wire: &mut Wire, thread: &Thread) -> Outcome {
    let snapshot = selected.mailbox.snapshot()?;
    let query = query(selected, &snapshot, &thread.key)?;
    let found = find(selected, wire, Arc::clone(&snapshot), query, None).await?;
    warn(wire, "not searched", &found.damaged);
    let algorithm = match thread.algorithm {
        ThreadAlgorithm::OrderedSubject => Algorithm::OrderedSubject,
        ThreadAlgorithm::References => Algorithm::References,
        ThreadAlgorithm::Refs => Algorithm::Refs,
    };
    let mut threading = Threading::new(&selected.mailbox, snapshot, found.uids, algorithm);
    // What was answered before need not wait.
    wire.flush().await?;
    in_turns(wire, &mut threading, |_| false).await?;
    let threads = threading.finish();
    warn(wire, "threaded without their headers", &threads.damaged);
    if thread.by_uid {
        wire.encoder().thread(threads.steps().filter_map(|step| token(step, Some)));
    } else {
        let view = &selected.view;
        wire.encoder().thread(threads.steps().filter_map(|step| token(step, |uid| view.number(uid))));
    }
    Ok(Answer::ok("THREAD completed"))
}

fn token<T: Number>(step: Step<types::Uid>, number: impl Fn(types::Uid) -> Option<T>) -> Option<ThreadToken<T>> {
    Some(match step {
        Step::Open => ThreadToken::Open,
        Step::Close => ThreadToken::Close,
        Step::Message(uid) => ThreadToken::Id(number(uid)?),
    })
}
