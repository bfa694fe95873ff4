//! The life of one connection: reads, has commands carried out, answers, says goodbye.

use std::pin::pin;
use std::sync::Arc;

use proto::imap::command::AppendHead;
use proto::imap::response::Condition;
use proto::imap::{Code, Command, Event, ParseError, Refusal, Request, Tag};
use store::Error;
use tracing::{debug, error, info};
use types::{IdSet, ModSeq};

use super::answer::{Answer, End, Failure, Outcome, sentence};
use super::capability::capabilities;
use super::cmd::idle::{self, Idling};
use super::dispatch;
use super::lost;
use super::refusal::refusal;
use super::state::{NotAuthenticated, State};
use super::updates::CatchUp;
use super::upload;
use super::wire::{END_OF_SERVER, Wire, Woken};
use crate::connections::Admission;
use crate::context::Context;
use crate::lent::{LONG, in_turns};
use crate::listen::Connection;
use crate::log_id::LogId;
use crate::stream::Carried;

/// Serves one IMAP connection until it ends.
// No async function: its future would hold what it is given beside what it makes of it.
pub fn serve_imap(connection: Connection, server: Arc<Context>) -> impl Future<Output = ()> + Send {
    let Connection { stream, admission, shutdown } = connection;
    let wire = Wire::new(stream, shutdown, &server);
    let state = State::NotAuthenticated(NotAuthenticated::default());
    let mut session = Session { wire, server, admission, state, idling: None, name: None, commands: 0, errors: 0 };
    in_turns(async move {
        let end = session.live().await;
        // Boxed, as everything that is not waiting: what a connection that waits costs is decided here.
        Box::pin(session.finish(end)).await;
    })
}

/// A connection and what it has come to.
struct Session {
    wire: Wire,
    server: Arc<Context>,
    admission: Admission,
    state: State,
    /// The IDLE that waits for its end.
    idling: Option<Box<Idling>>,
    /// Who logged in, for the log.
    name: Option<types::AccountName>,
    commands: u32,
    /// Commands that were BAD and logins that failed.
    errors: u32,
}

/// What the client sent, free of the buffer it came in.
enum Input {
    Request(Result<Request, ParseError>),
    Append(Result<AppendHead, ParseError>),
    Continue,
    /// While idling.
    Idled(Outcome),
    Refused {
        tag: Option<Tag>,
        why: Refusal,
        hang_up: bool,
    },
}

/// What is to be carried out.
enum Task {
    Command(Command),
    /// APPEND or REPLACE, whose messages are still to be read.
    Append(AppendHead),
}

/// What the connection becomes behind a tagged OK.
#[derive(Clone, Copy)]
enum Turn {
    Tls,
    Compressed,
    Unauthenticated,
}

impl Turn {
    fn behind(task: &Task) -> Option<Self> {
        match task {
            Task::Command(Command::StartTls) => Some(Self::Tls),
            Task::Command(Command::Compress) => Some(Self::Compressed),
            Task::Command(Command::Unauthenticate) => Some(Self::Unauthenticated),
            _ => None,
        }
    }
}

impl Session {
    async fn live(&mut self) -> Result<(), End> {
        self.greet();
        loop {
            match self.next_input() {
                Some(input) => {
                    // Boxed, so that a connection that waits is small.
                    Box::pin(self.take(input)).await?;
                    self.wire.between().await?;
                    if matches!(self.state, State::Logout) {
                        return Ok(());
                    }
                    // The running command ended; those that are pipelined behind it are not begun.
                    if self.wire.is_ending() {
                        return Err(END_OF_SERVER);
                    }
                }
                // Boxed: not everybody who waits idles.
                None if self.idling.is_some() => Box::pin(self.idle()).await?,
                None => self.wire.wait().await?,
            }
        }
    }

    fn greet(&mut self) {
        let greeting = Code::Capability(capabilities(&self.wire, &self.server, false));
        self.wire.encoder().untagged(Condition::Ok, Some(&greeting), "Pillarbox is ready");
    }

    /// Waits for a client that idles, and for what there is to tell it.
    async fn idle(&mut self) -> Result<(), End> {
        match self.sleep().await? {
            Woken::Heard => {}
            Woken::By(()) => Box::pin(self.push()).await?,
            Woken::Alarm => {
                if let Some(idling) = &mut self.idling {
                    idling.keep_alive(&mut self.wire, &self.server.limits);
                }
            }
        }
        Ok(())
    }

    async fn sleep(&mut self) -> Result<Woken<()>, End> {
        let keepalive = self.idling.as_ref().map(|idling| idling.keepalive);
        let ticks = match &mut self.state {
            State::Selected(selected) if keepalive.is_some() => Some(&mut selected.ticks),
            _ => None,
        };
        let tick = pin!(async {
            // The mailbox holds the other end for as long as it is selected, so an error is none of ours.
            let Some(Ok(())) = (match ticks {
                Some(ticks) => Some(ticks.changed().await),
                None => None,
            }) else {
                return std::future::pending().await;
            };
        });
        self.wire.wait_or(tick, keepalive).await
    }

    fn next_input(&mut self) -> Option<Input> {
        if self.idling.is_some() {
            return self.wire.next_event().map(|event| Input::Idled(idle::end(&event)));
        }
        let (dialect, limits) = (self.wire.dialect(), &self.server.limits);
        Some(match self.wire.next_event()? {
            Event::Command(octets) => {
                let parse = || Request::parse(octets, dialect, limits);
                // A long command has the others moved out of its way.
                let request = if octets.len() > LONG { store::blocking(parse) } else { parse() };
                Input::Request(request.and_then(|request| self.wire.off().known(dialect, request)))
            }
            Event::Append(octets) => {
                let head = AppendHead::parse(octets, dialect, limits);
                Input::Append(head.and_then(|head| self.wire.off().known_append(dialect, head)))
            }
            Event::Continue => Input::Continue,
            Event::Refused { tag, why } => Input::Refused { tag, why, hang_up: false },
            Event::HangUp { tag, why } => Input::Refused { tag, why, hang_up: true },
            // Handlers that ask for these take all of them.
            Event::Line(_) | Event::AppendNext(_) | Event::Octets(_) | Event::AppendEnd => {
                Input::Refused { tag: None, why: Refusal::Message, hang_up: true }
            }
        })
    }

    async fn take(&mut self, input: Input) -> Result<(), End> {
        match input {
            Input::Request(Ok(request)) => self.carry_out(request.tag, Task::Command(request.command)).await,
            Input::Append(Ok(head)) => self.carry_out(head.tag.clone(), Task::Append(head)).await,
            Input::Append(Err(error)) => {
                let tag = error.tag.clone();
                let outcome = upload::skip(&mut self.wire, error.into()).await;
                self.conclude(tag.as_ref(), outcome).await
            }
            Input::Request(Err(error)) => {
                if let State::Selected(selected) = &mut self.state
                    && error.empties_saved
                {
                    selected.saved = IdSet::new();
                }
                self.conclude(error.tag.clone().as_ref(), Ok(error.into())).await
            }
            Input::Continue => {
                self.wire.encoder().continuation("Ready for the literal");
                Ok(())
            }
            Input::Idled(outcome) => self.end_idle(outcome).await,
            Input::Refused { tag, why, hang_up } => {
                let answer = Answer { code: why.code(), ..Answer::bad(sentence(&why)) };
                self.conclude(tag.as_ref(), Ok(answer)).await?;
                if hang_up { Err(End::bye("Too much was sent that cannot be taken")) } else { Ok(()) }
            }
        }
    }

    /// One command: what the handler does, what has happened meanwhile, the tagged answer.
    async fn carry_out(&mut self, tag: Tag, task: Task) -> Result<(), End> {
        self.commands = self.commands.saturating_add(1);
        self.wire.begin(&tag, &self.server.limits);
        let turn = Turn::behind(&task);
        let idles = matches!(task, Task::Command(Command::Idle));
        let how = match &task {
            Task::Command(command) => dispatch::catch_up_after(command),
            Task::Append(head) => Some(dispatch::catch_up_after_append(head)),
        };
        self.look_after_selection()?;
        let reported = match &self.state {
            State::Selected(selected) => selected.view.reported(),
            _ => ModSeq::ZERO,
        };

        let state = std::mem::replace(&mut self.state, State::Logout);
        let mut room =
            dispatch::Room { tag: &tag, wire: &mut self.wire, server: &self.server, admission: &mut self.admission };
        let (state, outcome) = match task {
            Task::Command(command) => dispatch::carry_out(state, &mut room, command).await,
            Task::Append(head) => dispatch::append(state, &mut room, head).await,
        };
        self.state = state;
        self.note_login();
        let done = matches!(&outcome, Ok(answer) if answer.condition == Condition::Ok);
        if idles && done {
            self.wire.end();
            self.idling = Some(Box::new(Idling::new(tag, reported, &self.server.limits)));
            // What had happened before comes at once.
            return self.push().await;
        }
        let done = self.end_command(&tag, outcome, how, reported).await?;
        match turn {
            Some(turn) if done => Box::pin(self.turn(turn)).await,
            _ => Ok(()),
        }
    }

    /// What has happened meanwhile, and the tagged answer; true for OK. `reported` is what was before.
    async fn end_command(
        &mut self,
        tag: &Tag,
        mut outcome: Outcome,
        how: Option<CatchUp<'_>>,
        reported: ModSeq,
    ) -> Result<bool, End> {
        if let (State::Selected(selected), Some(how)) = (&mut self.state, how)
            && !matches!(outcome, Err(Failure::End(_) | Failure::Last(..)))
        {
            let caught_up = selected.catch_up(&mut self.wire, how).await;
            outcome = selected.with_modseq(&mut self.wire, reported, outcome);
            outcome = self.told(outcome, caught_up);
        }
        let done = matches!(&outcome, Ok(answer) if answer.condition == Condition::Ok);
        self.conclude(Some(tag), outcome).await?;
        self.wire.end();
        Ok(done)
    }

    /// Tells a client that idles what its mailbox has become.
    async fn push(&mut self) -> Result<(), End> {
        let State::Selected(selected) = &mut self.state else { return Ok(()) };
        match idle::push(&mut self.wire, selected).await {
            Ok(()) => Ok(()),
            Err(failure) => self.end_idle(Err(failure)).await,
        }
    }

    async fn end_idle(&mut self, outcome: Outcome) -> Result<(), End> {
        let Some(idling) = self.idling.take() else { return Ok(()) };
        let how = dispatch::catch_up_after(&Command::Idle);
        self.end_command(&idling.tag, outcome, how, idling.reported).await.map(drop)
    }

    async fn turn(&mut self, turn: Turn) -> Result<(), End> {
        match (turn, &self.server.tls) {
            (Turn::Tls, Some(tls)) => self.wire.start_tls(tls, self.server.limits.handshake_timeout).await,
            (Turn::Tls, None) => Ok(()),
            (Turn::Compressed, _) => self.wire.start_compression().await,
            (Turn::Unauthenticated, _) => {
                if let Some(name) = self.name.take() {
                    info!("imap: {}: {name} unauthenticated", self.wire.peer());
                }
                self.wire.end_compression().await
            }
        }
    }

    /// Before a command: is the account still there, and the selected mailbox?
    fn look_after_selection(&mut self) -> Result<(), End> {
        let user = match &self.state {
            State::Authenticated(user) => user,
            State::Selected(selected) => &selected.user,
            State::NotAuthenticated(_) | State::Logout => return Ok(()),
        };
        if user.account.is_gone() {
            return Err(lost::ACCOUNT_DELETED);
        }
        let state = std::mem::replace(&mut self.state, State::Logout);
        self.state = lost::look(state, &mut self.wire);
        Ok(())
    }

    fn note_login(&mut self) {
        if let (None, State::Authenticated(user)) = (&self.name, &self.state) {
            info!(
                "imap: {}: {} logged in{}",
                self.wire.peer(),
                user.name,
                if self.wire.is_tls() { " (TLS)" } else { "" }
            );
            self.name = Some(user.name.clone());
        }
    }

    /// Writes the tagged line.
    async fn conclude(&mut self, tag: Option<&Tag>, outcome: Outcome) -> Result<(), End> {
        let (outcome, then) = match outcome {
            Err(Failure::Last(why, end)) => (Err(*why), Some(end)),
            outcome => (outcome, None),
        };
        let answer = match outcome {
            Ok(answer) | Err(Failure::Refused(answer)) => answer,
            Err(Failure::Store(error)) => refusal(&error).unwrap_or_else(|| self.our_fault(&error)),
            Err(Failure::Last(_, end) | Failure::End(end)) => return Err(end),
        };
        let mut encoder = self.wire.encoder();
        match tag {
            Some(tag) => encoder.tagged(tag, answer.condition, answer.code.as_ref(), &answer.text),
            // RFC 9051 §7.1.3: untagged where it is not known to which command it belongs.
            None => encoder.untagged(answer.condition, answer.code.as_ref(), &answer.text),
        }
        self.count_errors(&answer)?;
        then.map_or(Ok(()), Err)
    }

    fn count_errors(&mut self, answer: &Answer) -> Result<(), End> {
        let failed_login = answer.code == Some(Code::AuthenticationFailed);
        if answer.condition == Condition::Bad || failed_login {
            self.errors += 1;
        }
        let limits = &self.server.limits;
        match &self.state {
            State::NotAuthenticated(stranger) if stranger.failures >= limits.login_failures => {
                Err(End::bye("Too many failed logins"))
            }
            _ if self.errors >= limits.errors => Err(End::bye("Too many errors")),
            _ => Ok(()),
        }
    }

    /// What becomes of a command after which the client should be told what else happened. A command
    /// that was carried out is answered so, even where the rest cannot be told: a client that hears
    /// NO to an APPEND would append again.
    fn told(&self, outcome: Outcome, caught_up: Result<(), Failure>) -> Outcome {
        match caught_up {
            // The mailbox went away in this moment: the next command finds out.
            Ok(()) | Err(Failure::Store(Error::NoSuchMailbox)) => outcome,
            Err(Failure::Store(error)) => {
                self.log_fault(&error);
                outcome
            }
            Err(failure) => Err(failure),
        }
    }

    /// Nobody but the administrator can do anything about it: the log has it under the id that the
    /// client was told.
    fn our_fault(&self, error: &Error) -> Answer {
        let id = self.log_fault(error);
        let (code, what) = match error {
            Error::Damaged(_) => (Code::Corruption, "What is stored is damaged"),
            Error::Engine(_) if self.server.store.read_only().is_some() => {
                (Code::Unavailable, "The mail store is read-only at the moment")
            }
            _ => (Code::ServerBug, "The server failed"),
        };
        Answer::no(code, format!("{what}; its log has this as fault {id}"))
    }

    fn log_fault(&self, error: &Error) -> LogId {
        let id = LogId::next();
        let name = self.name.as_ref().map_or("-", |name| name.as_str());
        error!("imap: {}: {name}: fault {id}: {error}", self.wire.peer());
        id
    }

    async fn finish(mut self, end: Result<(), End>) {
        let is_lost = matches!(end, Err(End::Lost(_)));
        let why = match end {
            Ok(()) => "logged out".to_owned(),
            Err(End::Lost(error)) => error.to_string(),
            Err(End::Bye { code, text }) => {
                self.wire.encoder().bye(code.as_ref(), text);
                text.to_owned()
            }
        };
        // A client that is gone does not mind; one that takes nothing has had its time.
        if !is_lost {
            let _ = self.wire.flush().await;
        }
        let (received, sent) = self.wire.counts();
        let (peer, commands) = (self.wire.peer(), self.commands);
        match &self.name {
            Some(name) => {
                let carried = self.wire.carried().map(|on_line| ratio(on_line, received, sent)).unwrap_or_default();
                info!(
                    "imap: {peer}: {name} left after {commands} commands, {received} octets in, {sent} out{carried}: {why}"
                );
            }
            None => debug!("imap: {peer}: closed before login after {commands} commands: {why}"),
        }
        if !is_lost {
            self.wire.close().await;
        }
    }
}

/// What compression made of it, for the log.
fn ratio(on_line: Carried, received: u64, sent: u64) -> String {
    let percent = |part: u64, whole: u64| part.saturating_mul(100) / whole.max(1);
    let Carried { received: packed_in, sent: packed_out } = on_line;
    let (of_in, of_out) = (percent(packed_in, received), percent(packed_out, sent));
    format!(" (compressed to {packed_in} and {packed_out}, {of_in} and {of_out} %)")
}
