//! The commands of LMTP, and the loop that reads them.

use std::io;
use std::sync::Arc;

use proto::lmtp::{Command, CommandError, EnhancedStatus, Event, Extension, Fragmenter, Mail, Reply, write_lhlo_reply};
use tokio::time::timeout;
use tracing::{debug, info};

use super::delivery::{Delivery, Origin, Recipient};
use crate::connections::Admission;
use crate::context::Context;
use crate::lent::{Borrower, CalledBack, LONG, in_turns};
use crate::listen::Connection;
use crate::shutdown::Shutdown;
use crate::stream::{MESSAGE_READ_SIZE, READ_SIZE, Stream};

/// Serves one LMTP connection until it ends.
pub fn serve_lmtp(connection: Connection, context: Arc<Context>) -> impl Future<Output = ()> + Send {
    in_turns(serve(connection, context))
}

async fn serve(connection: Connection, context: Arc<Context>) {
    let Connection { stream, admission, shutdown } = connection;
    let peer = stream.peer();
    let patience = context.limits.write_timeout;
    let mut session = Session {
        fragmenter: Fragmenter::new(context.limits.lmtp_line),
        stream,
        shutdown,
        borrower: context.lender.borrower(),
        context,
        out: Vec::new(),
        state: State::Greeted,
        errors: 0,
        ended: false,
        _admission: admission,
    };
    match session.run().await {
        Ok(()) => debug!("lmtp: {peer}: closed"),
        Err(error) => debug!("lmtp: {peer}: closed: {error}"),
    }
    session.stream.close(patience).await;
}

struct Session {
    stream: Stream,
    shutdown: Shutdown,
    context: Arc<Context>,
    fragmenter: Fragmenter,
    /// Replies that wait to be sent.
    out: Vec<u8>,
    state: State,
    borrower: Borrower,
    errors: u32,
    ended: bool,
    _admission: Admission,
}

/// See the drawing in the module above.
enum State {
    Greeted,
    /// With the name that the client gave.
    Ready(String),
    Envelope(Envelope),
    /// In a message, or between two chunks of it.
    Content(Box<Content>),
}

struct Envelope {
    client: String,
    mail: Mail,
    recipients: Vec<Recipient>,
}

struct Content {
    client: String,
    smtputf8: bool,
    /// `None` where nobody gets the message: its octets are only passed over.
    delivery: Option<Delivery>,
    form: Form,
}

/// How the octets come.
#[derive(Clone, Copy)]
enum Form {
    Data,
    Chunk {
        size: u64,
        last: bool,
    },
    /// After a chunk that was not the last.
    Between,
}

/// What the fragmenter found, without a hold on its buffer.
enum Input {
    Command(Result<Command, CommandError>),
    LineTooLong,
    End,
}

impl Session {
    async fn run(&mut self) -> io::Result<()> {
        // RFC 5321 §4.2: the greeting has no enhanced code (RFC 2034 §4).
        self.reply(220, None, format!("{} LMTP Pillarbox", self.context.hostname));
        loop {
            self.take_input().await?;
            self.flush().await?;
            if self.ended {
                return Ok(());
            }
            self.fragmenter.release();
            // A message that is arriving is taken to its end; whoever stops the server waits a little.
            let interruptible =
                !matches!(&self.state, State::Content(content) if !matches!(content.form, Form::Between));
            let held = self.fragmenter.memory() + self.state.memory();
            let size = if self.fragmenter.is_in_message() { MESSAGE_READ_SIZE } else { READ_SIZE };
            let read = self.stream.read_more(self.fragmenter.input(), size);
            let read = timeout(self.context.limits.lmtp_timeout, read);
            let read = tokio::select! {
                biased;
                () = self.shutdown.requested(), if interruptible => {
                    self.reply(421, status(4, 3, 2), "the server is shutting down");
                    return self.flush().await;
                }
                read = self.borrower.during(held, read) => read,
            };
            match read {
                Err(CalledBack) => {
                    // RFC 3463 §3.5: congestion.
                    self.reply(421, status(4, 4, 5), "memory is short, and this message is slow; try again");
                    return self.flush().await;
                }
                Ok(Ok(Ok(0))) => return Ok(()),
                Ok(Ok(read)) => {
                    read?;
                    self.turn().await?;
                }
                Ok(Err(_)) => {
                    // RFC 5321 §4.5.3.2.7, RFC 3463 §3.5.
                    self.reply(421, status(4, 4, 2), "nothing came for too long");
                    return self.flush().await;
                }
            }
        }
    }

    /// Whoever sends a long message waits for a turn after each read.
    async fn turn(&mut self) -> io::Result<()> {
        let held = self.fragmenter.memory() + self.state.memory();
        if held <= LONG {
            return Ok(());
        }
        Box::pin(self.borrower.turn(self.stream.peer().into(), held)).await.map_err(io::Error::other)
    }

    /// Handles all that has come.
    async fn take_input(&mut self) -> io::Result<()> {
        while !self.ended {
            let smtputf8 = self.state.smtputf8();
            let input = match self.fragmenter.next_event() {
                None => return Ok(()),
                Some(Event::Line(line)) => Input::Command(Command::parse(line, smtputf8)),
                Some(Event::LineTooLong) => Input::LineTooLong,
                Some(Event::Octets(octets)) => {
                    if let State::Content(content) = &mut self.state
                        && let Some(delivery) = &mut content.delivery
                    {
                        delivery.write(octets);
                    }
                    continue;
                }
                Some(Event::End) => Input::End,
            };
            match input {
                Input::Command(Ok(Command::StartTls)) => self.start_tls().await?,
                Input::Command(Ok(command)) => self.command(command).await,
                Input::Command(Err(error)) => self.refuse(error.reply()),
                // RFC 5321 §4.5.3.1.9, RFC 3463 §3.6.
                Input::LineTooLong => self.fail(500, (5, 5, 2), "the line is too long"),
                Input::End => self.end_of_octets().await?,
            }
        }
        Ok(())
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Lhlo(client) => self.lhlo(client),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(rcpt) => self.rcpt(rcpt.to).await,
            Command::Data => self.data(),
            Command::Bdat { size, last } => self.bdat(size, last),
            Command::Rset => {
                self.forget_transaction();
                self.reply(250, status(2, 0, 0), "forgotten");
            }
            // RFC 5321 §3.5.3: 252 where we would take mail but do not tell who is here.
            Command::Vrfy(_) => self.reply(252, status(2, 0, 0), "try it with RCPT"),
            Command::Noop => self.reply(250, status(2, 0, 0), "nothing done"),
            Command::Quit => {
                self.reply(221, status(2, 0, 0), "goodbye");
                self.ended = true;
            }
            // Handled by the caller, which can wait for the handshake.
            Command::StartTls => {}
        }
    }

    fn lhlo(&mut self, client: String) {
        // RFC 5321 §4.1.4: it also ends a transaction.
        self.state = State::Ready(client);
        let limits = &self.context.limits;
        let mut extensions = vec![
            Extension::Pipelining,
            Extension::EightBitMime,
            Extension::SmtpUtf8,
            Extension::Chunking,
            Extension::Size(limits.message_size),
            Extension::EnhancedStatusCodes,
        ];
        // RFC 3207 §4.2: not announced where it is done.
        if self.context.tls.is_some() && !self.stream.is_tls() {
            extensions.push(Extension::StartTls);
        }
        write_lhlo_reply(&mut self.out, &self.context.hostname, &extensions);
    }

    fn mail(&mut self, mail: Mail) {
        let limit = self.context.limits.message_size;
        match &self.state {
            State::Ready(_) if mail.size.is_some_and(|size| size > limit) => {
                // RFC 1870 §6.1
                self.fail(552, (5, 3, 4), format!("a message has at most {limit} octets"));
            }
            State::Ready(client) => {
                let client = client.clone();
                self.state = State::Envelope(Envelope { client, mail, recipients: Vec::new() });
                self.reply(250, status(2, 1, 0), "sender taken");
            }
            State::Greeted => self.fail(503, (5, 5, 1), "say LHLO first"),
            State::Envelope(_) | State::Content(_) => self.fail(503, (5, 5, 1), "there is a sender already"),
        }
    }

    async fn rcpt(&mut self, to: proto::lmtp::Address) {
        let State::Envelope(envelope) = &mut self.state else {
            return self.fail(503, (5, 5, 1), "say MAIL first");
        };
        if envelope.recipients.len() >= self.context.limits.recipients {
            // RFC 5321 §4.5.3.1.10. No error of the client: it sends the rest in another transaction.
            return self.reply(452, status(4, 5, 3), "too many recipients");
        }
        match Recipient::find(&self.context, to, envelope.mail.size) {
            Ok(recipient) => {
                envelope.recipients.push(recipient);
                self.reply(250, status(2, 1, 5), "recipient taken");
            }
            Err(reply) => {
                // No error of the client: it cannot know who is here.
                info!("lmtp: {}: refused: {}", self.stream.peer(), reply.text());
                reply.write(&mut self.out);
            }
        }
    }

    fn data(&mut self) {
        match &self.state {
            State::Envelope(envelope) if !envelope.recipients.is_empty() => {
                self.begin_content(Form::Data);
                self.fragmenter.expect_data();
                self.reply(354, None, "go on; end with a line that is a dot");
            }
            // RFC 2033 §4.2: no recipient, no DATA. RFC 3030 §2: not after BDAT.
            State::Envelope(_) => self.fail(503, (5, 5, 1), "no recipient was taken"),
            State::Content(_) => self.fail(503, (5, 5, 1), "DATA cannot follow BDAT"),
            State::Greeted | State::Ready(_) => self.fail(503, (5, 5, 1), "say MAIL first"),
        }
    }

    /// RFC 3030 §2: the chunk follows at once, so it is passed over even where it is not wanted.
    fn bdat(&mut self, size: u64, last: bool) {
        let limits = &self.context.limits;
        if size > limits.message_size.saturating_add(limits.drain_size) {
            // More than we read past: whoever means it would keep the connection for hours.
            self.reply(552, status(5, 3, 4), "the chunk is too large to pass over");
            self.ended = true;
            return;
        }
        self.fragmenter.expect_chunk(size);
        let form = Form::Chunk { size, last };
        match &mut self.state {
            State::Content(content) => content.form = form,
            _ => self.begin_content(form),
        }
    }

    /// The envelope is complete and the message begins. Without recipients it goes nowhere.
    fn begin_content(&mut self, form: Form) {
        let (client, mail, recipients) = match std::mem::replace(&mut self.state, State::Greeted) {
            State::Envelope(Envelope { client, mail, recipients }) => (client, Some(mail), recipients),
            State::Ready(client) => (client, None, Vec::new()),
            State::Greeted | State::Content(_) => (String::new(), None, Vec::new()),
        };
        let smtputf8 = mail.as_ref().is_some_and(|mail| mail.smtputf8);
        let origin = |mail: Mail| Origin { mail, client: &client, peer: self.stream.peer(), tls: self.stream.is_tls() };
        let delivery = match mail {
            Some(mail) if !recipients.is_empty() => Some(Delivery::begin(&self.context, origin(mail), recipients)),
            _ => None,
        };
        self.state = State::Content(Box::new(Content { client, smtputf8, delivery, form }));
    }

    /// The message of DATA or a chunk of BDAT is complete.
    async fn end_of_octets(&mut self) -> io::Result<()> {
        let State::Content(content) = &mut self.state else { return Ok(()) };
        let form = std::mem::replace(&mut content.form, Form::Between);
        match (form, &content.delivery) {
            (Form::Chunk { size, last: false }, Some(delivery)) => match delivery.refusal() {
                None => self.reply(250, status(2, 0, 0), format!("{size} octets taken")),
                Some(reply) => reply.write(&mut self.out),
            },
            (Form::Chunk { last: false, .. }, None) => {
                // Nothing of it was wanted, so the next command stands where this one stood.
                self.forget_transaction();
                self.fail(503, (5, 5, 1), "no recipient was taken");
            }
            (Form::Data | Form::Chunk { last: true, .. } | Form::Between, _) => self.deliver().await?,
        }
        Ok(())
    }

    /// One reply for each recipient that was taken, in their order (RFC 2033 §4.2, §4.3: none for none).
    async fn deliver(&mut self) -> io::Result<()> {
        let delivery = match &mut self.state {
            State::Content(content) => content.delivery.take(),
            _ => None,
        };
        self.forget_transaction();
        let Some(delivery) = delivery else { return Ok(()) };
        let mut outcomes = delivery.finish(&self.borrower, self.stream.peer().into());
        while let Some(ready) = outcomes.is_next_ready() {
            if !ready {
                // RFC 2033 §5: each reply as soon as possible.
                self.flush().await?;
            }
            if let Some(reply) = outcomes.next().await {
                reply.write(&mut self.out);
            }
        }
        Ok(())
    }

    /// RFC 5321 §4.1.1.5: what the client said of sender and recipients is forgotten, its name is not.
    fn forget_transaction(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Greeted) {
            State::Greeted => State::Greeted,
            State::Content(content) if content.client.is_empty() => State::Greeted,
            State::Content(content) => State::Ready(content.client),
            State::Ready(client) | State::Envelope(Envelope { client, .. }) => State::Ready(client),
        };
    }

    /// RFC 3207 §4: afterwards nothing is known of the client.
    async fn start_tls(&mut self) -> io::Result<()> {
        let Some(tls) = self.context.tls.clone() else {
            self.fail(502, (5, 5, 1), "there is no TLS here");
            return Ok(());
        };
        if self.stream.is_tls() {
            self.fail(503, (5, 5, 1), "TLS is active already");
            return Ok(());
        }
        self.reply(220, status(2, 0, 0), "begin TLS");
        self.flush().await?;
        // RFC 3207 §6: whatever came before the handshake is not part of the protected session.
        self.fragmenter.discard();
        self.stream.start_tls(&tls, self.context.limits.handshake_timeout).await?;
        self.state = State::Greeted;
        Ok(())
    }

    fn reply(&mut self, code: u16, status: Option<EnhancedStatus>, text: impl Into<std::borrow::Cow<'static, str>>) {
        Reply::new(code, status, text).write(&mut self.out);
    }

    /// An answer to a mistake of the client.
    fn fail(
        &mut self,
        code: u16,
        (class, subject, detail): (u8, u16, u16),
        text: impl Into<std::borrow::Cow<'static, str>>,
    ) {
        self.refuse(Reply::new(code, status(class, subject, detail), text));
    }

    /// Answers no; after too many of these the connection ends ([`types::Limits::errors`]).
    fn refuse(&mut self, reply: Reply) {
        reply.write(&mut self.out);
        self.errors = self.errors.saturating_add(1);
        if self.errors >= self.context.limits.errors {
            self.reply(421, status(4, 7, 0), "too many errors");
            self.ended = true;
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            let sending = self.stream.send(&self.out, self.context.limits.write_timeout);
            let sent = self.borrower.during(self.out.capacity() + self.state.memory(), sending).await;
            sent.unwrap_or_else(|called_back| Err(io::Error::other(called_back)))?;
            self.out = Vec::new();
        }
        Ok(())
    }
}

impl State {
    /// Octets of memory that are held, about, where it is much.
    fn memory(&self) -> usize {
        match self {
            Self::Content(content) => content.delivery.as_ref().map_or(0, Delivery::memory),
            Self::Envelope(envelope) => envelope.recipients.capacity() * size_of::<Recipient>(),
            Self::Greeted | Self::Ready(_) => 0,
        }
    }

    fn smtputf8(&self) -> bool {
        match self {
            Self::Envelope(envelope) => envelope.mail.smtputf8,
            Self::Content(content) => content.smtputf8,
            Self::Greeted | Self::Ready(_) => false,
        }
    }
}

fn status(class: u8, subject: u16, detail: u16) -> Option<EnhancedStatus> {
    Some(EnhancedStatus(class, subject, detail))
}
