//! One connection's bytes: octets in through the fragmenter, responses out through a buffer.
//!
//! * Responses collect in the buffer and go out when [`PIECE`] octets wait, before we wait for the
//!   client, and before the connection ends.
//! * While the connection waits and nothing is half read, neither direction holds memory.
//! * Who awaits one of these functions holds no guard or reader of the store.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use proto::imap::response::Condition;
use proto::imap::{Capability, Code, Dialect, Encoder, Event, Fragmenter, Tag};
use tokio::time::{Instant, sleep_until};
use types::{AccountId, Limits};

use super::answer::{End, Failure, sentence};
use super::switch::Off;
use crate::context::{Context, ImapOptions};
use crate::deflate::Malformed;
use crate::lent::{Borrower, CalledBack, LONG, is_slice_over};
use crate::shutdown::Shutdown;
use crate::stream::{Carried, MESSAGE_READ_SIZE, Peer, READ_SIZE, Stream};
use crate::tls::Tls;
use crate::turns::{Party, Turn};

/// Octets that may wait in the buffer before they go out; also the size in which bodies should be
/// appended. The buffer is never much larger than twice this.
pub(crate) const PIECE: usize = 64 << 10;

/// Octets that a command holds beside its answer while that is sent, where it does not say: itself, what it
/// has found. A guess on the high side; what is large on purpose is the answer, or a message that arrives.
const AT_WORK: usize = 32 << 10;

/// See the module.
pub(crate) struct Wire {
    sink: Sink,
    fragmenter: Fragmenter,
    out: Vec<u8>,
    dialect: Dialect,
    off: Off,
    shutdown: Shutdown,
    /// When silence has lasted too long.
    deadline: Instant,
    patience: Duration,
    /// While a command is at work. Boxed: a connection that waits is small.
    progress: Option<Box<Progress>>,
    received: u64,
    /// `received` when the last command had come.
    whole: u64,
}

/// Why a wait ended well.
pub(crate) enum Woken<T> {
    /// The client sent something.
    Heard,
    /// What else was waited for.
    By(T),
    /// The moment came.
    Alarm,
}

/// When the running command says next that it is at work (RFC 9585).
struct Progress {
    tag: Tag,
    next: Instant,
    interval: Duration,
}

/// Where responses go. Apart from the buffer, so that a response which is still being written can
/// send what is there already: see [`Wire::parts`].
pub(crate) struct Sink {
    stream: Stream,
    borrower: Borrower,
    party: Party,
    /// Octets that the command holds beside the buffer.
    beside: usize,
    write_timeout: Duration,
    sent: u64,
}

impl Wire {
    /// For a client that has not logged in.
    pub(crate) fn new(stream: Stream, shutdown: Shutdown, server: &Context) -> Self {
        let limits = &*server.limits;
        let (dialect, off) = (Dialect::default(), server.imap.off.clone());
        let (party, borrower) = (stream.peer().into(), server.lender.borrower());
        let sink = Sink { stream, borrower, party, beside: AT_WORK, write_timeout: limits.write_timeout, sent: 0 };
        Self {
            sink,
            fragmenter: Fragmenter::new(limits, off.literals(&server.imap, dialect)),
            out: Vec::new(),
            dialect,
            off,
            shutdown,
            deadline: Instant::now() + limits.login_timeout,
            patience: limits.login_timeout,
            progress: None,
            received: 0,
            whole: 0,
        }
    }

    // ---- out ----

    /// Writes responses into the buffer.
    pub(crate) fn encoder(&mut self) -> Encoder<'_> {
        Encoder::new(&mut self.out, self.dialect)
    }

    /// The buffer and where it goes, for responses that are longer than the buffer should be:
    /// ```text
    /// let (out, sink) = wire.parts();
    /// let mut response = Encoder::new(out, dialect).fetch(number, uid);
    /// response.section(…);
    /// response.buffer().extend_from_slice(piece);
    /// sink.relieve(response.buffer()).await?;
    /// ```
    pub(crate) fn parts(&mut self) -> (&mut Vec<u8>, &mut Sink) {
        (&mut self.out, &mut self.sink)
    }

    /// Between two commands: what waits is sent where it is much, and others have their turn. Whoever waits for the answer
    /// to the last command before sending the next one is not kept waiting for it.
    pub(crate) async fn between(&mut self) -> Result<(), End> {
        self.heard();
        self.whole = self.received;
        self.relieve().await?;
        if self.fragmenter.is_empty() { Ok(()) } else { self.sink.give_way(&self.out).await }
    }

    /// Sends what waits, if that is [`PIECE`] octets or more: call it between responses.
    pub(crate) async fn relieve(&mut self) -> Result<(), End> {
        self.sink.relieve(&mut self.out).await
    }

    /// Sends everything that waits, and gives back the buffer: whatever is waited for next, it is not needed.
    pub(crate) async fn flush(&mut self) -> Result<(), End> {
        self.sink.flush(&mut self.out).await?;
        self.out = Vec::new();
        Ok(())
    }

    // ---- while a command is at work ----

    /// A command begins.
    pub(crate) fn begin(&mut self, tag: &Tag, limits: &Limits) {
        let (next, interval) = (Instant::now() + limits.progress_after, limits.progress_interval);
        self.progress = Some(Box::new(Progress { tag: tag.clone(), next, interval }));
    }

    /// The command has been answered.
    pub(crate) fn end(&mut self) {
        self.progress = None;
        self.sink.holds(0);
    }

    /// Waits for `work` to be done, and says now and then that it is not yet. The work is done also
    /// where the client has gone meanwhile: it is not for us to break it off.
    pub(crate) async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Result<T, End> {
        let mut work = pin!(work);
        let mut lost = None;
        loop {
            let next = self.progress.as_ref().map(|progress| progress.next).filter(|_| lost.is_none());
            let pause = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                done = &mut work => return lost.map_or(Ok(done), Err),
                () = pause => lost = self.say_at_work(None).await.err(),
            }
        }
    }

    /// As [`Wire::meanwhile`], for work that is of no use to anybody but the client: it is broken off when the client
    /// goes. Where that has sent something behind the command, which is to be answered, nobody looks whether it has gone.
    pub(crate) async fn while_there<T: Send>(&mut self, work: impl Future<Output = T> + Send) -> Result<T, End> {
        let mut work = pin!(work);
        while self.fragmenter.is_empty() {
            // It is we who are silent.
            self.heard();
            let alarm = self.progress.as_ref().map(|progress| progress.next);
            match self.wait_or(work.as_mut(), alarm).await? {
                Woken::By(done) => return Ok(done),
                Woken::Alarm => self.say_at_work(None).await?,
                Woken::Heard => {}
            }
        }
        self.meanwhile(work).await
    }

    /// Says that the command is at work, if it is time to: `done` of `goal` messages are behind it.
    pub(crate) async fn at_work(&mut self, progress: impl FnOnce() -> (u64, u64)) -> Result<(), End> {
        if self.progress.as_ref().is_none_or(|running| running.next > Instant::now()) {
            return Ok(());
        }
        let (done, goal) = progress();
        self.say_at_work(u32::try_from(done).ok().zip(u32::try_from(goal).ok())).await
    }

    async fn say_at_work(&mut self, progress: Option<(u32, u32)>) -> Result<(), End> {
        let Some(running) = &mut self.progress else { return Ok(()) };
        running.next = Instant::now() + running.interval;
        let code = Code::InProgress { tag: Some(running.tag.clone()), progress };
        let code = Some(&code).filter(|_| !self.off.has(&Capability::InProgress));
        self.encoder().untagged(Condition::Ok, code, "Still at work");
        self.flush().await
    }

    // ---- in ----

    /// What the client sent next, or `None` until [`Wire::wait`] has brought more.
    pub(crate) fn next_event(&mut self) -> Option<Event<&[u8]>> {
        self.fragmenter.next_event()
    }

    /// The fragmenter, to tell it what to expect.
    pub(crate) fn fragmenter(&mut self) -> &mut Fragmenter {
        &mut self.fragmenter
    }

    /// Sends what waits, then waits for the client. Ends when the client or the server ends, or when
    /// there was silence for too long.
    pub(crate) async fn wait(&mut self) -> Result<(), End> {
        self.wait_or(pin!(std::future::pending::<()>()), None).await.map(drop)
    }

    /// As [`Wire::wait`], in the middle of an APPEND that holds so many octets.
    pub(crate) async fn wait_for_rest(&mut self, held: usize) -> Result<(), End> {
        self.settle().await?;
        self.sink.stream.acknowledge();
        let held = held.saturating_add(self.fragmenter.memory());
        self.read_lent(held, pin!(std::future::pending::<()>()), None).await.map(drop)?;
        self.take_turn(held).await
    }

    /// As [`Wire::wait`], but ends also with what `other` gives, and at `alarm`.
    pub(crate) async fn wait_or<T: Send>(
        &mut self,
        // Pinned by the caller, or it would take its place twice in every connection that waits.
        other: Pin<&mut (impl Future<Output = T> + Send)>,
        alarm: Option<Instant>,
    ) -> Result<Woken<T>, End> {
        self.settle().await?;
        let woken = match self.fragmenter.memory() {
            0 => self.read_or(other, alarm).await?,
            held => self.read_lent(held, other, alarm).await?,
        };
        self.take_turn(0).await?;
        Ok(woken)
    }

    /// Whoever sends a long command waits for a turn after each read, with so many octets in hand beside its beginning.
    async fn take_turn(&mut self, held: usize) -> Result<(), End> {
        if self.received - self.whole <= LONG as u64 {
            return Ok(());
        }
        let held = held.saturating_add(self.fragmenter.memory());
        Box::pin(self.sink.borrower.turn(self.sink.party, held)).await.map_err(|CalledBack| CALLED_BACK)
    }

    /// Waits until so many octets of messages may be committed, and says now and then that it does.
    pub(crate) async fn turn_to_commit(&mut self, octets: usize) -> Result<Option<Turn>, End> {
        let (borrower, party) = (self.sink.borrower.clone(), self.sink.party);
        let turn = Box::pin(self.meanwhile(borrower.turn_to_commit(party, octets))).await?;
        turn.map_err(|CalledBack| CALLED_BACK)
    }

    /// Sends what waits, and gives back what is not needed to wait. Boxed, as everything that is not waiting.
    fn settle(&mut self) -> Pin<Box<dyn Future<Output = Result<(), End>> + Send + '_>> {
        Box::pin(async {
            self.flush().await?;
            if !self.fragmenter.is_empty() {
                self.sink.stream.acknowledge();
            }
            self.fragmenter.release();
            Ok(())
        })
    }

    /// As [`Wire::read_or`], while so many octets are held. Boxed: most who wait hold nothing.
    fn read_lent<'a, T: Send + 'a>(
        &'a mut self,
        held: usize,
        other: Pin<&'a mut (impl Future<Output = T> + Send)>,
        alarm: Option<Instant>,
    ) -> Pin<Box<dyn Future<Output = Result<Woken<T>, End>> + Send + 'a>> {
        let borrower = self.sink.borrower.clone();
        Box::pin(async move { borrower.during(held, self.read_or(other, alarm)).await.unwrap_or(Err(CALLED_BACK)) })
    }

    async fn read_or<T>(
        &mut self,
        other: Pin<&mut impl Future<Output = T>>,
        alarm: Option<Instant>,
    ) -> Result<Woken<T>, End> {
        let Self { sink, fragmenter, shutdown, deadline, received, .. } = self;
        let size = if fragmenter.is_in_message() { MESSAGE_READ_SIZE } else { READ_SIZE };
        let alarm = alarm.filter(|alarm| alarm <= deadline);
        tokio::select! {
            biased;
            () = shutdown.requested() => Err(END_OF_SERVER),
            read = sink.stream.read_more(fragmenter.input(), size) => match read.map_err(readable)? {
                0 => Err(End::Lost(io::ErrorKind::UnexpectedEof.into())),
                read => {
                    *received += read as u64;
                    Ok(Woken::Heard)
                }
            },
            other = other => Ok(Woken::By(other)),
            () = sleep_until(alarm.unwrap_or(*deadline)) => alarm.map_or(Err(AUTOLOGOUT), |_| Ok(Woken::Alarm)),
        }
    }

    /// The client's line within a command, as `read` understands it.
    pub(crate) async fn line<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T, Failure> {
        self.fragmenter.expect_line();
        loop {
            match self.fragmenter.next_event() {
                Some(Event::Line(line)) => return Ok(read(line)),
                Some(Event::HangUp { why, .. }) => {
                    let why = Failure::bad(sentence(&why));
                    return Err(Failure::Last(Box::new(why), End::bye("A line was too long")));
                }
                Some(Event::Refused { why, .. }) => return Err(Failure::bad(sentence(&why))),
                Some(_) => return Err(Failure::bad("A line was expected")),
                None => self.wait().await?,
            }
        }
    }

    /// True where the server is to end.
    pub(crate) fn is_ending(&self) -> bool {
        self.shutdown.is_requested()
    }

    /// The client did something: silence begins anew.
    pub(crate) fn heard(&mut self) {
        self.deadline = Instant::now() + self.patience;
    }

    // ---- the connection ----

    /// Who this is, where turns are given.
    pub(crate) fn party(&self) -> Party {
        self.sink.party
    }

    /// The client has logged in and is given more room and time.
    pub(crate) fn logged_in(&mut self, account: AccountId, limits: &Limits) {
        self.sink.party = Party::Account(account);
        self.fragmenter.logged_in();
        self.patience = limits.idle_timeout;
        self.heard();
    }

    /// Nobody is logged in any more: everything is as in [`Wire::new`] but what is on the way.
    pub(crate) fn logged_out(&mut self, server: &Context) {
        self.dialect = Dialect::default();
        self.sink.party = self.peer().into();
        self.fragmenter.logged_out(&server.limits);
        self.switch_off(server.imap.off.clone(), &server.imap);
        self.patience = server.limits.login_timeout;
        self.heard();
    }

    /// What the session has enabled.
    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The capabilities that are switched off in this session.
    pub(crate) fn off(&self) -> &Off {
        &self.off
    }

    /// From here on other capabilities are off.
    pub(crate) fn switch_off(&mut self, off: Off, options: &ImapOptions) {
        self.fragmenter.take_literals(off.literals(options, self.dialect));
        self.off = off;
    }

    /// ENABLE IMAP4rev2.
    pub(crate) fn enable_rev2(&mut self, options: &ImapOptions) {
        self.dialect.rev2 = true;
        self.fragmenter.take_literals(self.off.literals(options, self.dialect));
    }

    /// A CONDSTORE enabling command (RFC 7162 §3.1).
    pub(crate) fn enable_condstore(&mut self) {
        self.dialect.condstore = true;
    }

    /// ENABLE QRESYNC (RFC 7162 §3.2.3).
    pub(crate) fn enable_qresync(&mut self) {
        self.dialect.condstore = true;
        self.dialect.qresync = true;
    }

    /// ENABLE UTF8=ACCEPT (RFC 9755 §3).
    pub(crate) fn enable_utf8(&mut self) {
        self.dialect.utf8 = true;
    }

    /// True where the client takes nothing but ASCII in headers (RFC 9755 §7, §8). Where UTF8=ACCEPT is
    /// switched off, nobody could say otherwise, and everything goes out and in as it is.
    pub(crate) fn takes_only_ascii(&self) -> bool {
        !self.off.has(&Capability::Utf8Accept) && !self.dialect.unicode_headers()
    }

    /// ENABLE UIDONLY (RFC 9586 §3).
    pub(crate) fn enable_uid_only(&mut self) {
        self.dialect.uid_only = true;
    }

    /// True where nobody on the way can read what is said.
    pub(crate) fn is_tls(&self) -> bool {
        self.sink.stream.is_tls()
    }

    /// Who is at the other end.
    pub(crate) fn peer(&self) -> Peer {
        self.sink.stream.peer()
    }

    /// TLS from here on. RFC 9051 §6.2.1: nothing that came in plaintext counts afterwards.
    pub(crate) async fn start_tls(&mut self, tls: &Tls, limit: Duration) -> Result<(), End> {
        self.flush().await?;
        self.fragmenter.discard();
        Ok(self.sink.stream.start_tls(tls, limit).await?)
    }

    /// Compression from here on. RFC 4978 §3: a client waits for the answer before it goes on; what has
    /// come nevertheless is taken as compressed.
    pub(crate) async fn start_compression(&mut self) -> Result<(), End> {
        self.flush().await?;
        self.sink.stream.start_compression(self.fragmenter.take_rest());
        Ok(())
    }

    /// The answer that waits is the last that is compressed, if it is (RFC 8437 §4.1).
    pub(crate) async fn end_compression(&mut self) -> Result<(), End> {
        self.sink.sent += self.out.len() as u64;
        self.sink.stream.pack_last(&mut self.out);
        self.sink.send(&self.out).await?;
        self.out.clear();
        Ok(())
    }

    /// True while what is said is compressed.
    pub(crate) fn is_compressed(&self) -> bool {
        self.sink.stream.is_compressed()
    }

    /// What went over the line compressed, if anything was.
    pub(crate) fn carried(&self) -> Option<Carried> {
        self.sink.stream.carried()
    }

    /// Octets received and sent.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.received, self.sink.sent)
    }

    /// Hangs up.
    pub(crate) async fn close(self) {
        let patience = self.sink.write_timeout.min(Duration::from_secs(5));
        self.sink.stream.close(patience).await;
    }
}

impl Sink {
    /// Sends what is in `buffer`, if that is [`PIECE`] octets or more.
    pub(crate) async fn relieve(&mut self, buffer: &mut Vec<u8>) -> Result<(), End> {
        if buffer.len() < PIECE {
            return Ok(());
        }
        self.flush(buffer).await?;
        self.give_way(buffer).await
    }

    /// The command holds so many octets beside the buffer, until it says otherwise.
    pub(crate) fn holds(&mut self, octets: usize) {
        self.beside = AT_WORK.saturating_add(octets);
    }

    /// A session that has much to do must not keep the others waiting. `buffer` is what it holds meanwhile.
    pub(crate) async fn give_way(&mut self, buffer: &Vec<u8>) -> Result<(), End> {
        if is_slice_over() { self.turn(buffer).await } else { Ok(()) }
    }

    /// Waits for a turn to do much.
    pub(crate) async fn turn(&mut self, buffer: &Vec<u8>) -> Result<(), End> {
        let turn = self.borrower.turn(self.party, self.held(buffer));
        Ok(Box::pin(turn).await.map_err(io::Error::other)?)
    }

    /// Octets that are held while an answer is written.
    fn held(&self, buffer: &Vec<u8>) -> usize {
        buffer.capacity().saturating_add(self.beside)
    }

    /// Sends everything that is in `buffer`.
    pub(crate) async fn flush(&mut self, buffer: &mut Vec<u8>) -> Result<(), End> {
        if buffer.is_empty() {
            return Ok(());
        }
        self.sent += buffer.len() as u64;
        self.stream.pack(buffer);
        self.send(buffer).await?;
        buffer.clear();
        // An envelope of a megabyte leaves no megabyte behind for the commands that follow it.
        buffer.shrink_to(2 * PIECE);
        Ok(())
    }

    async fn send(&mut self, buffer: &Vec<u8>) -> Result<(), End> {
        // Boxed, as what follows: what a connection that waits costs is decided by its largest part.
        let held = self.held(buffer);
        let mut sending = Box::pin(self.stream.send(buffer, self.write_timeout));
        if let Poll::Ready(sent) = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await {
            return Ok(sent?);
        }
        let sent = Box::pin(self.borrower.during(held, sending)).await;
        // Nothing can be said to a client that takes nothing.
        Ok(sent.unwrap_or_else(|called_back| Err(io::Error::other(called_back)))?)
    }
}

/// A connection that broke is lost; one that brings nonsense can still be told so.
fn readable(error: io::Error) -> End {
    match error.kind() {
        io::ErrorKind::InvalidData if error.get_ref().is_some_and(|inner| inner.is::<Malformed>()) => {
            End::bye("What came is not compressed by DEFLATE")
        }
        _ => End::Lost(error),
    }
}

/// RFC 5530 §3
const CALLED_BACK: End =
    End::Bye { code: Some(Code::Unavailable), text: "Memory is short; you left half a command waiting for too long" };

/// RFC 9051 §5.4
pub(crate) const AUTOLOGOUT: End = End::Bye { code: None, text: "Nothing was heard for too long" };

/// RFC 9051 §7.1.5
pub(crate) const END_OF_SERVER: End = End::Bye { code: None, text: "The server is shutting down" };

#[cfg(test)]
mod tests;
