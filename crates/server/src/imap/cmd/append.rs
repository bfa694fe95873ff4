//! APPEND (RFC 9051 §6.3.12) and MULTIAPPEND (RFC 3502): messages go to the store as they arrive.
//!
//! What can be refused is refused before a message is read (RFC 9051 §7.6: the tagged answer comes
//! instead of the continuation request). After that everything the client sends is read, kept or
//! not, and answered at the end. All messages are appended, or none.

use proto::imap::command::{AppendHead, AppendMessage};
use proto::imap::{Code, Event, ParseError, Refusal};
use store::{Error, Growth, Incoming, NewMessage};
use types::MailboxName;

use crate::context::Context;
use crate::imap::answer::{Answer, End, Failure, Outcome, sentence};
use crate::imap::state::Authenticated;
use crate::imap::wire::Wire;

pub(crate) async fn append(wire: &mut Wire, server: &Context, user: &Authenticated, head: AppendHead) -> Outcome {
    let AppendHead { mailbox, message, .. } = head;
    let mut upload =
        Upload { user, server, to: mailbox, messages: vec![], current: None, growth: Growth::default(), refused: None };
    if upload.begin(Ok(message)) {
        wire.fragmenter().accept();
    }
    let (dialect, limits) = (wire.dialect(), &server.limits);
    loop {
        match wire.next_event() {
            None => {
                wire.wait_for_rest().await?;
                wire.heard();
            }
            Some(Event::Continue) => wire.encoder().continuation("Ready for the message"),
            Some(Event::Octets(octets)) => upload.take(octets),
            Some(Event::AppendNext(octets)) => {
                let message = AppendMessage::parse(octets, dialect, limits);
                upload.end();
                if upload.begin(message) {
                    wire.fragmenter().accept();
                }
            }
            Some(Event::AppendEnd) => break,
            Some(Event::Refused { why, .. }) => return Err(upload.reason(why)),
            Some(Event::HangUp { why, .. }) => return Err(last(upload.reason(why))),
            Some(Event::Command(_) | Event::Line(_) | Event::Append(_)) => return Err(Failure::bad("Not now")),
        }
    }
    upload.end();
    upload.store().await
}

/// Reads past an APPEND that is refused as a whole.
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

struct Upload<'a> {
    user: &'a Authenticated,
    server: &'a Context,
    to: MailboxName,
    messages: Vec<NewMessage>,
    current: Option<(Incoming, AppendMessage)>,
    /// By what the messages so far will raise the usage.
    growth: Growth,
    /// The first reason for which nothing will be appended.
    refused: Option<Failure>,
}

impl Upload<'_> {
    /// True where the message is to be read.
    fn begin(&mut self, message: Result<AppendMessage, ParseError>) -> bool {
        if self.refused.is_some() {
            return false;
        }
        match message.map_err(Failure::from).and_then(|message| self.receive(message)) {
            Ok(()) => true,
            Err(failure) => {
                self.refused = Some(failure);
                false
            }
        }
    }

    fn receive(&mut self, message: AppendMessage) -> Result<(), Failure> {
        let limits = &self.server.limits;
        if self.messages.is_empty() && self.user.account.tree().get(&self.to).is_none() {
            // RFC 9051 §6.3.12: TRYCREATE.
            return Err(Error::NoSuchTarget.into());
        }
        if message.literal.size > limits.message_size {
            return Err(Error::TooBig { limit: limits.message_size }.into());
        }
        if self.messages.len() >= limits.multiappend {
            return Err(Error::Limit("messages in one APPEND").into());
        }
        if message.literal.size == 0 {
            // RFC 3502 §6.3.11: so a client cancels. It has the literal and its line end still to
            // send, so those are read before the answer.
            self.refused = Some(Failure::no(Code::Cannot, "A message of no octets cancels the APPEND"));
            return Ok(());
        }
        // RFC 9208 §4.3.1; the store decides when the messages are there.
        self.growth = self.growth.plus_message(message.literal.size);
        self.user.account.may_grow(self.growth)?;
        self.current = Some((self.user.account.receive()?, message));
        Ok(())
    }

    fn take(&mut self, octets: &[u8]) {
        let Some((incoming, message)) = &mut self.current else { return };
        let taken = if !message.literal.binary && octets.contains(&0) {
            // RFC 9051 §4.3: only a literal8 can hold NUL.
            Err(Failure::bad("A message with NUL octets needs a literal8"))
        } else {
            incoming.push(octets).map_err(Failure::from)
        };
        if let Err(failure) = taken {
            self.current = None;
            self.refused.get_or_insert(failure);
        }
    }

    fn end(&mut self) {
        let Some((incoming, message)) = self.current.take() else { return };
        match incoming.finish() {
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

    async fn store(self) -> Outcome {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let appended = self.user.account.append(&self.user.principal, &self.to, self.messages).await?;
        // RFC 4315 §3
        Ok(Answer::ok("Appended").with(Code::AppendUid(appended.uid_validity, appended.uids)))
    }
}
