//! Messages on their way in, of APPEND and REPLACE: they go to the store as they arrive.
//!
//! What can be refused is refused before a message is read (RFC 9051 §7.6: the tagged answer comes
//! instead of the continuation request). After that everything the client sends is read, kept or
//! not, and answered at the end. Of many messages only the last ones are held in memory: the others are written to the
//! disk while the next ones come.

use message::BinaryParts;
use proto::imap::command::AppendMessage;
use proto::imap::{Code, Event, ParseError, Refusal};
use store::{Error, Growth, Incoming, NewMessage};
use tokio::task::{JoinHandle, spawn_blocking};
use types::MailboxName;

use super::answer::{Answer, End, Failure, Outcome, sentence};
use super::state::Authenticated;
use super::wire::Wire;
use crate::context::Context;
use crate::turns::Turn;

/// Octets of messages that are held until they are written to the disk, all at once.
const HELD: usize = 1 << 20;

/// The messages of one command.
pub(crate) struct Upload<'a> {
    user: &'a Authenticated,
    server: &'a Context,
    to: &'a MailboxName,
    /// How many have begun.
    count: usize,
    /// Those that are on the disk.
    written: Vec<NewMessage>,
    /// Those that are on their way there.
    writing: Option<JoinHandle<store::Result<Vec<NewMessage>>>>,
    /// Those that came after them.
    messages: Vec<NewMessage>,
    current: Option<Current>,
    /// By what the command raises the usage, as far as it has come.
    growth: Growth,
    /// The first reason for which none of them will be kept.
    refused: Option<Failure>,
}

/// A message that is arriving.
struct Current {
    incoming: Incoming,
    /// RFC 3516 §6: a literal8 may hold what BODY cannot show.
    binary: Option<BinaryParts>,
    message: AppendMessage,
}

/// Reads past a command that is refused as a whole.
pub(crate) async fn skip(wire: &mut Wire, why: Answer) -> Outcome {
    loop {
        match wire.next_event() {
            None => wire.wait().await?,
            Some(Event::HangUp { .. }) => return Err(last(why.into())),
            // Nothing is accepted, so this is the refusal.
            Some(_) => return Ok(why),
        }
    }
}

/// The answer, and then BYE: what follows is more than we read past.
fn last(failure: Failure) -> Failure {
    Failure::Last(Box::new(failure), End::bye("The rest of the refused message is too much to read past"))
}

impl<'a> Upload<'a> {
    /// Nothing has come yet. `permitted` is by what the command raises the usage without its messages, less than nothing
    /// for REPLACE; or an error where no message needs to come.
    pub(crate) fn new(
        user: &'a Authenticated,
        server: &'a Context,
        to: &'a MailboxName,
        permitted: Result<Growth, Failure>,
    ) -> Self {
        let (growth, refused) = match permitted {
            Ok(growth) => (growth, None),
            Err(failure) => (Growth::default(), Some(failure)),
        };
        let (written, messages) = (vec![], vec![]);
        Self { user, server, to, count: 0, written, writing: None, messages, current: None, growth, refused }
    }

    /// Reads all of them, to the end of the command, and waits until they may be committed: the turn is held until they are.
    pub(crate) async fn receive(
        mut self,
        wire: &mut Wire,
        first: AppendMessage,
    ) -> Result<(Vec<NewMessage>, Option<Turn>), Failure> {
        if self.begin(Ok(first)) {
            wire.fragmenter().accept();
        }
        let (dialect, ascii_only, limits) = (wire.dialect(), wire.takes_only_ascii(), &self.server.limits);
        loop {
            match wire.next_event() {
                None => {
                    wire.wait_for_rest(self.memory()).await?;
                    wire.heard();
                }
                Some(Event::Continue) => wire.encoder().continuation("Ready for the message"),
                Some(Event::Octets(octets)) => self.take(octets),
                Some(Event::AppendNext(octets)) => {
                    let message = AppendMessage::parse(octets, dialect, limits);
                    let message = message.and_then(|message| wire.off().known_message(dialect, message));
                    self.end(ascii_only);
                    self.write_out().await;
                    if self.begin(message) {
                        wire.fragmenter().accept();
                    }
                }
                Some(Event::AppendEnd) => break,
                Some(Event::Refused { why, .. }) => return Err(self.reason(why)),
                Some(Event::HangUp { why, .. }) => return Err(last(self.reason(why))),
                Some(Event::Command(_) | Event::Line(_) | Event::Append(_)) => return Err(Failure::bad("Not now")),
            }
        }
        self.end(ascii_only);
        self.wait_until_written().await;
        self.written.append(&mut self.messages);
        if let Some(failure) = self.refused {
            return Err(failure);
        }
        let turn = wire.turn_to_commit(self.memory()).await?;
        Ok((self.written, turn))
    }

    /// Where enough have come, sends them on their way to the disk; waits until those before are there.
    async fn write_out(&mut self) {
        if octets(&self.messages) < HELD {
            return;
        }
        self.wait_until_written().await;
        let (account, mut messages) = (self.user.account.clone(), std::mem::take(&mut self.messages));
        self.writing = Some(spawn_blocking(move || account.write_out(&mut messages).map(|()| messages)));
    }

    async fn wait_until_written(&mut self) {
        let Some(writing) = self.writing.take() else { return };
        match writing.await.unwrap_or(Err(Error::Internal)) {
            Ok(messages) => self.written.extend(messages),
            Err(error) => {
                self.refused.get_or_insert(error.into());
            }
        }
    }

    /// Octets of memory that are held.
    fn memory(&self) -> usize {
        let arriving = self.current.as_ref().map_or(0, |current| current.incoming.memory());
        let writing = self.writing.as_ref().map_or(0, |_| 2 * HELD);
        arriving.saturating_add(writing).saturating_add(octets(&self.messages)).saturating_add(octets(&self.written))
    }

    /// True where the message is to be read.
    fn begin(&mut self, message: Result<AppendMessage, ParseError>) -> bool {
        if self.refused.is_some() {
            return false;
        }
        match message.map_err(Failure::from).and_then(|message| self.admit(message)) {
            Ok(()) => true,
            Err(failure) => {
                self.refused = Some(failure);
                false
            }
        }
    }

    fn admit(&mut self, message: AppendMessage) -> Result<(), Failure> {
        let limits = &self.server.limits;
        if self.count == 0 && self.user.account.tree().get(self.to).is_none() {
            // RFC 9051 §6.3.12: TRYCREATE.
            return Err(Error::NoSuchTarget.into());
        }
        if message.literal.size > limits.message_size {
            return Err(Error::TooBig { limit: limits.message_size }.into());
        }
        if self.count >= limits.multiappend {
            return Err(Error::Limit("messages in one APPEND").into());
        }
        if message.literal.size == 0 {
            // RFC 3502 §6.3.11: so a client cancels. It has the literal and its line end still to
            // send, so those are read before the answer.
            self.refused = Some(Failure::no(Code::Cannot, "A message of no octets cancels the command"));
            return Ok(());
        }
        // RFC 9208 §4.3.1; the store decides when the messages are there.
        self.growth = self.growth.plus_message(message.literal.size);
        self.user.account.may_grow(self.growth)?;
        let binary = message.literal.binary.then(|| BinaryParts::new(limits));
        self.count += 1;
        self.current = Some(Current { incoming: self.user.account.receive()?, binary, message });
        Ok(())
    }

    fn take(&mut self, octets: &[u8]) {
        let Some(Current { incoming, binary, .. }) = &mut self.current else { return };
        let taken = match binary {
            Some(binary) => {
                let mut out = Vec::new();
                binary.push(octets, &mut out);
                incoming.push(&out).map_err(Failure::from)
            }
            // RFC 9051 §4.3: only a literal8 can hold NUL.
            None if octets.contains(&0) => Err(Failure::bad("A message with NUL octets needs a literal8")),
            None => incoming.push(octets).map_err(Failure::from),
        };
        if let Err(failure) = taken {
            self.current = None;
            self.refused.get_or_insert(failure);
        }
    }

    fn end(&mut self, ascii_only: bool) {
        let Some(Current { mut incoming, binary, message }) = self.current.take() else { return };
        let mut rest = Vec::new();
        if let Some(binary) = binary {
            binary.finish(&mut rest);
        }
        match incoming.push(&rest).and_then(|()| incoming.finish()) {
            Ok(content) if ascii_only && content.has_eight_bit_header() => {
                // RFC 9755 §4: a MUST; whoever says so by ENABLE may.
                let why = "A header beyond ASCII needs ENABLE UTF8=ACCEPT first";
                self.refused.get_or_insert(Failure::no(Code::Cannot, why));
            }
            Ok(content) => {
                self.messages.push(NewMessage { content, flags: message.flags, internal_date: message.date });
            }
            Err(error) => {
                self.refused.get_or_insert(error.into());
            }
        }
    }

    /// Why the fragmenter gave up: our own reason, or its.
    fn reason(&mut self, why: Refusal) -> Failure {
        self.refused.take().unwrap_or_else(|| Failure::bad(sentence(&why)))
    }
}

fn octets(messages: &[NewMessage]) -> usize {
    messages.iter().map(|message| message.content.memory()).fold(0, usize::saturating_add)
}
