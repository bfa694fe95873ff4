//! Which command is carried out where: one match for each state.
//!
//! A handler takes the state it needs, so it cannot be called in another one. The larger ones are
//! boxed: the future of a session is as large as the largest that is not.

use proto::imap::command::{AppendHead, Search, SearchKey, Sort, Thread};
use proto::imap::{Command, Ids, Tag};

use super::answer::{Answer, Outcome};
use super::cmd;
use super::lost::{self, Lost};
use super::state::{Authenticated, NotAuthenticated, Selected, State};
use super::updates::CatchUp;
use super::upload;
use super::wire::Wire;
use crate::connections::Admission;
use crate::context::Context;

/// What handlers have around them.
pub(crate) struct Room<'a> {
    /// Of the command.
    pub(crate) tag: &'a Tag,
    pub(crate) wire: &'a mut Wire,
    pub(crate) server: &'a Context,
    pub(crate) admission: &'a mut Admission,
}

/// Carries out one command: the state it leads to, and its answer.
pub(crate) async fn carry_out(state: State, room: &mut Room<'_>, command: Command) -> (State, Outcome) {
    let logged_in = !matches!(state, State::NotAuthenticated(_));
    enable_condstore(&state, room.wire, &command);
    match command {
        Command::Capability => (state, Ok(cmd::capability::capability(room, logged_in))),
        Command::Noop => (state, Ok(Answer::ok("Nothing done"))),
        Command::Id(fields) => (state, Ok(cmd::id::id(room, &fields))),
        Command::Logout => (State::Logout, Ok(cmd::logout::logout(room))),
        Command::Unauthenticate => cmd::unauthenticate::unauthenticate(state, room),
        command => match state {
            State::NotAuthenticated(stranger) => not_authenticated(stranger, room, command).await,
            State::Authenticated(user) => authenticated(user, room, command).await,
            State::Selected(selected) => self::selected(selected, room, command).await,
            State::Logout => (State::Logout, Ok(session_is_over())),
        },
    }
}

/// As [`carry_out`], for APPEND and REPLACE: their messages are still to be read, whatever the answer.
pub(crate) async fn append(state: State, room: &mut Room<'_>, head: AppendHead) -> (State, Outcome) {
    let (wire, server) = (&mut *room.wire, room.server);
    let (state, refused) = match (state, &head.replaces) {
        (State::Authenticated(user), None) => {
            let outcome = cmd::append::append(wire, server, &user, head).await;
            return (State::Authenticated(user), outcome);
        }
        (State::Selected(selected), None) => {
            let outcome = cmd::append::append(wire, server, &selected.user, head).await;
            return (State::Selected(selected), outcome);
        }
        (State::Selected(mut selected), Some(ids)) => {
            let outcome = cmd::replace::replace(&mut selected, wire, server, &ids.clone(), head).await;
            return (State::Selected(selected), outcome);
        }
        // RFC 8508 §3.5: only in the selected state.
        (State::Authenticated(user), Some(_)) if user.lost != Lost::No => lost::refuse(user, wire, false),
        (State::Authenticated(user), Some(_)) => (State::Authenticated(user), Ok(no_mailbox())),
        (state @ State::NotAuthenticated(_), _) => (state, Ok(log_in_first())),
        (State::Logout, _) => (State::Logout, Ok(session_is_over())),
    };
    let outcome = match refused {
        Ok(answer) => upload::skip(wire, answer).await,
        failure => failure,
    };
    (state, outcome)
}

/// RFC 7162 §3.1: a client that asks for a mod-sequence gets them from then on, and at once the
/// HIGHESTMODSEQ of the mailbox that is selected. SELECT tells that of the one it selects.
fn enable_condstore(state: &State, wire: &mut Wire, command: &Command) {
    if wire.dialect().condstore || !command.enables_condstore() {
        return;
    }
    match state {
        State::Selected(selected) => {
            wire.enable_condstore();
            if !matches!(command, Command::Select(_) | Command::Examine(_)) {
                selected.tell_modseq(wire);
            }
        }
        State::Authenticated(_) if !needs_selection(command) => wire.enable_condstore(),
        State::Authenticated(_) | State::NotAuthenticated(_) | State::Logout => {}
    }
}

async fn not_authenticated(mut stranger: NotAuthenticated, room: &mut Room<'_>, command: Command) -> (State, Outcome) {
    let login = match command {
        Command::Login(login) => Box::pin(cmd::login::login(&mut stranger, room, login)).await,
        Command::Authenticate(first) => Box::pin(cmd::authenticate::authenticate(&mut stranger, room, first)).await,
        Command::StartTls => return (State::NotAuthenticated(stranger), cmd::starttls::starttls(room)),
        _ => return (State::NotAuthenticated(stranger), Ok(log_in_first())),
    };
    match login {
        Ok((user, answer)) => (State::Authenticated(user), Ok(answer)),
        Err(failure) => (State::NotAuthenticated(stranger), Err(failure)),
    }
}

async fn authenticated(mut user: Authenticated, room: &mut Room<'_>, command: Command) -> (State, Outcome) {
    let wire = &mut *room.wire;
    if user.lost != Lost::No && (needs_selection(&command) || command == Command::Idle) {
        return lost::refuse(user, wire, matches!(command, Command::Close | Command::Unselect));
    }
    let outcome = match command {
        Command::Select(select) => return Box::pin(cmd::select::select(user, wire, select, false)).await,
        Command::Examine(select) => return Box::pin(cmd::select::select(user, wire, select, true)).await,
        Command::Idle => Ok(cmd::idle::idle(wire)),
        command if needs_selection(&command) => Ok(no_mailbox()),
        command => Box::pin(for_account(&mut user, wire, room.server, command)).await,
    };
    (State::Authenticated(user), outcome)
}

async fn selected(mut selected: Box<Selected>, room: &mut Room<'_>, command: Command) -> (State, Outcome) {
    let (wire, server) = (&mut *room.wire, room.server);
    let it = &mut *selected;
    let outcome = match command {
        // RFC 9051 §6.3.2: SELECT deselects first, whatever comes of it.
        Command::Select(select) => return Box::pin(cmd::select::reselect(selected, wire, select, false)).await,
        Command::Examine(select) => return Box::pin(cmd::select::reselect(selected, wire, select, true)).await,
        Command::Close => return close(selected, wire).await,
        Command::Unselect => return (State::Authenticated(selected.user), Ok(Answer::ok("Unselected"))),
        Command::Check => Ok(Answer::ok("Everything is stored")),
        Command::Enable(names) => Ok(cmd::enable::enable(wire, &server.imap, &names, Some(it))),
        Command::Idle => Ok(cmd::idle::idle(wire)),
        Command::Expunge => at_work(wire, cmd::expunge::expunge(it)).await,
        Command::UidExpunge(ids) => at_work(wire, cmd::expunge::uid_expunge(it, &ids)).await,
        Command::Store(store) => Box::pin(cmd::store::store(it, wire, store)).await,
        Command::Copy(copy) => Box::pin(at_work(wire, cmd::copy::copy(it, copy))).await,
        Command::Move(move_) => Box::pin(cmd::move_::move_(it, wire, move_)).await,
        Command::Fetch(fetch) => Box::pin(cmd::fetch::fetch(it, wire, &fetch)).await,
        Command::Search(search) => Box::pin(cmd::search::search(it, wire, room.tag, &search)).await,
        Command::Sort(sort) => Box::pin(cmd::sort::sort(it, wire, room.tag, &sort)).await,
        Command::UidBatches(batches) => cmd::uid_batches::uid_batches(it, wire, room.tag, batches),
        Command::Thread(thread) => Box::pin(cmd::thread::thread(it, wire, &thread)).await,
        command => Box::pin(for_account(&mut it.user, wire, server, command)).await,
    };
    (State::Selected(selected), outcome)
}

/// The commands that are the same with and without a selected mailbox.
async fn for_account(user: &mut Authenticated, wire: &mut Wire, server: &Context, command: Command) -> Outcome {
    match command {
        Command::Enable(names) => Ok(cmd::enable::enable(wire, &server.imap, &names, None)),
        Command::Compress => Ok(cmd::compress::compress(wire)),
        Command::Namespace => Ok(cmd::namespace::namespace(wire)),
        Command::Create(create) => cmd::create::create(user, wire, create).await,
        Command::Delete(delete) => cmd::delete::delete(user, wire, &delete).await,
        Command::Rename(rename) => cmd::rename::rename(user, wire, rename).await,
        Command::Subscribe(name) => at_work(wire, cmd::subscribe::subscribe(user, name)).await,
        Command::Unsubscribe(name) => at_work(wire, cmd::subscribe::unsubscribe(user, name)).await,
        Command::List(list) => cmd::list::list(user, wire, server, &list).await,
        Command::Lsub(lsub) => cmd::lsub::lsub(user, wire, &lsub).await,
        Command::Status(status) => cmd::status::status(user, wire, server, &status),
        Command::GetQuota(root) => cmd::quota::get(user, wire, server, &root),
        Command::GetQuotaRoot(mailbox) => Ok(cmd::quota::get_root(user, wire, &mailbox)),
        Command::SetQuota(set) => cmd::quota::set(user, wire, server, set).await,
        Command::StartTls | Command::Login(_) | Command::Authenticate(_) => {
            Ok(Answer::bad("You are logged in already"))
        }
        _ => Ok(Answer::bad("That is not possible now")),
    }
}

async fn close(selected: Box<Selected>, wire: &mut Wire) -> (State, Outcome) {
    match wire.meanwhile(cmd::close::close(selected)).await {
        Ok(closed) => closed,
        Err(end) => (State::Logout, Err(end.into())),
    }
}

/// What writes nothing itself, and waits for the account's writer.
async fn at_work(wire: &mut Wire, work: impl Future<Output = Outcome>) -> Outcome {
    wire.meanwhile(work).await?
}

/// BAD for what needs a login.
pub(crate) fn log_in_first() -> Answer {
    Answer::bad("Log in first")
}

/// BAD for what needs a mailbox.
fn no_mailbox() -> Answer {
    Answer::bad("No mailbox is selected")
}

/// BAD for what comes after LOGOUT.
fn session_is_over() -> Answer {
    Answer::bad("This session is over")
}

/// True for the commands of the selected state (RFC 9051 §6.4).
pub(crate) fn needs_selection(command: &Command) -> bool {
    matches!(
        command,
        Command::Check
            | Command::Close
            | Command::Unselect
            | Command::Expunge
            | Command::UidExpunge(_)
            | Command::Search(_)
            | Command::Sort(_)
            | Command::Thread(_)
            | Command::UidBatches(_)
            | Command::Fetch(_)
            | Command::Store(_)
            | Command::Copy(_)
            | Command::Move(_)
    )
}

/// As [`catch_up_after`], for APPEND and REPLACE.
pub(crate) fn catch_up_after_append(head: &AppendHead) -> CatchUp<'static> {
    let by_uid = head.replaces.as_ref().is_some_and(Ids::by_uid);
    CatchUp { may_renumber: true, by_uid, ..CatchUp::default() }
}

/// How the view catches up before the tagged answer; `None` where it does not: a mailbox that was
/// selected right now has nothing to tell.
pub(crate) fn catch_up_after(command: &Command) -> Option<CatchUp<'static>> {
    let by_uid = match command {
        Command::Select(_) | Command::Examine(_) | Command::Logout => return None,
        Command::Fetch(fetch) => fetch.ids.by_uid(),
        Command::Store(store) => store.ids.by_uid(),
        Command::Search(search) => search.by_uid,
        Command::Sort(sort) => sort.by_uid,
        Command::Thread(thread) => thread.by_uid,
        Command::Copy(copy) => copy.ids.by_uid(),
        Command::Move(move_) => move_.ids.by_uid(),
        _ => false,
    };
    // RFC 9051 §7.5.1: no EXPUNGE while FETCH, STORE or SEARCH is answered; UID commands are others.
    // RFC 5256 §3: nor while SORT or THREAD is.
    let fixed = match command {
        Command::Fetch(_) | Command::Store(_) => !by_uid,
        // RFC 7162 §3.2.10.2: nor during a UID SEARCH that names sequence numbers.
        Command::Search(Search { key, .. }) | Command::Sort(Sort { key, .. }) | Command::Thread(Thread { key, .. }) => {
            !by_uid || key.any(&|key| matches!(key, SearchKey::Seq(_)))
        }
        _ => false,
    };
    Some(CatchUp { may_renumber: !fixed, by_uid, ..CatchUp::default() })
}
