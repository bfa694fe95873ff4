//! Cuts the stream of a client into commands, lines and message literals.
//!
//! Sizes are checked here, before any grammar. Invariants: the buffer holds at most one command (or
//! one head of an APPEND or REPLACE) of the allowed size and what one read brought beyond it; octets of
//! messages and of what is refused are never kept; how the stream is split into reads changes
//! nothing but the pieces of [`Event::Octets`].

use std::ops::Range;

use types::Limits;

use super::literal::LiteralHeader;
use super::{Code, Tag};

/// Which non-synchronising literals the server announces and takes (RFC 7888): one or the other, or
/// neither.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NonSyncLiterals {
    /// `LITERAL+`: of any size.
    Plus,
    /// `LITERAL-`: up to 4096 octets.
    Minus,
    /// None at all.
    None,
}

/// RFC 7888 §5
const LITERAL_MINUS_MAX: u64 = 4096;

/// Why something was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// More octets than [`Limits::command_size`].
    #[error("the command is longer than {0} octets")]
    CommandTooLong(usize),
    /// More octets than [`Limits::literal_size`].
    #[error("the literal is longer than {0} octets")]
    LiteralTooLong(usize),
    /// RFC 7888 §5: with LITERAL-, 4096 octets.
    #[error("a non-synchronizing literal cannot be longer than 4096 octets")]
    NonSyncTooLong,
    /// Where none are taken.
    #[error("non-synchronizing literals are not possible here")]
    NonSync,
    /// A message that the caller did not [`Fragmenter::accept`]: it knows why.
    #[error("the message was refused")]
    Message,
    /// Something other than a further message follows a message.
    #[error("the end of the line, or another message of an APPEND, should follow the message")]
    AfterMessage,
}

impl Refusal {
    /// The code of the answer: RFC 7888 §5 wants TOOBIG for a message.
    pub fn code(self) -> Option<Code> {
        match self {
            Self::LiteralTooLong(_) | Self::NonSyncTooLong => Some(Code::TooBig),
            Self::NonSync | Self::CommandTooLong(_) | Self::Message | Self::AfterMessage => None,
        }
    }
}

/// What the client's octets amount to, where `T` is a run of them: `&[u8]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event<T> {
    /// A whole command without its line end, literals embedded: for [`super::Request::parse`].
    Command(T),
    /// The line asked for by [`Fragmenter::expect_line`], without its line end.
    Line(T),
    /// A synchronising literal is accepted: write a continuation request now.
    Continue,
    /// APPEND or REPLACE up to its first message: for [`super::command::AppendHead::parse`]. Call
    /// [`Fragmenter::accept`] to take the message; otherwise it is refused by the next call of
    /// [`Fragmenter::next_event`].
    Append(T),
    /// Between a message and the next one (RFC 3502): for [`super::command::AppendMessage::parse`].
    /// To be accepted in the same way.
    AppendNext(T),
    /// The next octets of an accepted message, never empty. All of them together are exactly as
    /// many as the header said; then comes [`Event::AppendNext`], [`Event::AppendEnd`] or
    /// [`Event::Refused`].
    Octets(T),
    /// The line ends after the last message: the APPEND or REPLACE is complete.
    AppendEnd,
    /// A command was refused and has been skipped: answer BAD, or with your own reason for
    /// [`Refusal::Message`]. The next command may follow.
    Refused {
        /// The command's tag; otherwise answer untagged.
        tag: Option<Tag>,
        /// What was wrong.
        why: Refusal,
    },
    /// As [`Event::Refused`], but more would have to be skipped than [`Limits::drain_size`]: say
    /// BYE and close. Nothing follows.
    HangUp {
        /// The command's tag.
        tag: Option<Tag>,
        /// What was wrong.
        why: Refusal,
    },
}

impl<T> Event<T> {
    fn map<U>(self, run: impl FnOnce(T) -> U) -> Event<U> {
        match self {
            Self::Command(t) => Event::Command(run(t)),
            Self::Line(t) => Event::Line(run(t)),
            Self::Continue => Event::Continue,
            Self::Append(t) => Event::Append(run(t)),
            Self::AppendNext(t) => Event::AppendNext(run(t)),
            Self::Octets(t) => Event::Octets(run(t)),
            Self::AppendEnd => Event::AppendEnd,
            Self::Refused { tag, why } => Event::Refused { tag, why },
            Self::HangUp { tag, why } => Event::HangUp { tag, why },
        }
    }
}

/// What comes next in the stream.
///
/// ```text
///          line end                      {n}               n octets
/// Command ──────────▶ Command   Command ─────▶ Literal ──────────────▶ Command
///
///          APPEND … {n}         accept           n octets
/// Command ──────────────▶ Offer ───────▶ Message ─────────▶ AfterMessage ─▶ Offer, Command
///                           │ not accepted
///          too long         ▼         all skipped                    too much to skip
/// Command ──────────────▶ Skip ──────────────────▶ Command     Skip ─────────────────▶ Closed
/// ```
#[derive(Clone, Debug)]
enum State {
    /// In the lines of a command.
    Command,
    /// In a literal of a command, which ends at this place in the buffer.
    Literal { end: usize },
    /// Before a line that is no command.
    Line,
    /// The caller has been told of a message.
    Offer { header: LiteralHeader, accepted: bool },
    /// So many octets of a message are missing; `announce` that they may come.
    Message { missing: u64, announce: bool },
    /// In the line after a message.
    AfterMessage,
    /// In something that was refused.
    Skip(Skip),
    /// After [`Event::HangUp`].
    Closed,
}

/// One step through the stream.
enum Step {
    /// More octets are needed.
    Wait,
    /// The state has changed: look again.
    Again,
    /// Something for the caller, as places in the buffer.
    Event(Event<Range<usize>>),
}

/// Something that was refused and is thrown away.
#[derive(Clone, Debug)]
struct Skip {
    tag: Option<Tag>,
    why: Refusal,
    /// Octets of a literal that are still to come.
    literal: u64,
    /// Octets that may still be thrown away.
    budget: u64,
}

/// A command with messages.
#[derive(Clone, Debug, Default)]
struct Append {
    tag: Option<Tag>,
    /// More than one message may come: RFC 3502, but not in REPLACE (RFC 8508 §4.7).
    several: bool,
    /// A parenthesis follows the message: `UTF8 (~{n}` (RFC 6855 §4).
    closes: bool,
}

/// Cuts the stream of one connection.
#[derive(Debug)]
pub struct Fragmenter {
    buffer: Vec<u8>,
    /// Where the current command or line begins; what is before it can go.
    start: usize,
    /// Where the current line of the command begins, after the last literal.
    line: usize,
    /// How far the search for a line end has come.
    searched: usize,
    state: State,
    /// The APPEND or REPLACE whose messages are streaming.
    append: Append,
    literals: NonSyncLiterals,
    command_size: usize,
    command_size_after_login: usize,
    literal_size: usize,
    drain_size: u64,
}

impl Fragmenter {
    /// For a client that has not logged in yet.
    pub fn new(limits: &Limits, literals: NonSyncLiterals) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            line: 0,
            searched: 0,
            state: State::Command,
            append: Append::default(),
            literals,
            command_size: limits.command_size_before_login,
            command_size_after_login: limits.command_size,
            literal_size: limits.literal_size,
            drain_size: limits.drain_size,
        }
    }

    /// The client has logged in: commands may be as long as [`Limits::command_size`].
    pub fn logged_in(&mut self) {
        self.command_size = self.command_size_after_login;
    }

    /// From the next literal on, these are taken.
    pub fn take_literals(&mut self, literals: NonSyncLiterals) {
        self.literals = literals;
    }

    /// Where to append what the socket brings: only append, a few KiB at a time, and take all
    /// events before the next time.
    pub fn input(&mut self) -> &mut Vec<u8> {
        let done = self.start.min(self.buffer.len());
        if done > 0 {
            self.buffer.drain(..done);
            self.start -= done;
            self.line = self.line.saturating_sub(done);
            self.searched = self.searched.saturating_sub(done);
            if let State::Literal { end } = &mut self.state {
                *end = end.saturating_sub(done);
            }
        }
        &mut self.buffer
    }

    /// The next line is no command but the client's part of IDLE or AUTHENTICATE. Holds for one
    /// line. To be called right after the event that brought the command (or the last line).
    pub fn expect_line(&mut self) {
        self.state = State::Line;
    }

    /// Takes the message that the last [`Event::Append`] or [`Event::AppendNext`] announced. A
    /// caller that wants to answer NO to a large non-synchronising message without hanging up can
    /// also take it and throw it away.
    pub fn accept(&mut self) {
        if let State::Offer { accepted, .. } = &mut self.state {
            *accepted = true;
        }
    }

    /// Nobody is logged in any more: commands may be as long as [`Limits::command_size_before_login`].
    pub fn logged_out(&mut self, limits: &Limits) {
        self.command_size = limits.command_size_before_login;
    }

    /// Takes out all octets that were not yet read: behind COMPRESS they are something else than
    /// commands (RFC 4978 §3).
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.buffer.split_off(self.start.min(self.buffer.len()));
        self.discard();
        rest
    }

    /// Forgets all octets that were not yet read: STARTTLS must not let commands from before the
    /// handshake count as if they were protected (RFC 9051 §11.1).
    pub fn discard(&mut self) {
        self.buffer.clear();
        self.begin_command(0);
    }

    /// True where nothing is waiting: neither part of a command nor a pipelined one.
    pub fn is_empty(&self) -> bool {
        self.start >= self.buffer.len()
    }

    /// True in the middle of messages: what comes next is probably much, and is not kept here.
    pub fn is_in_message(&self) -> bool {
        matches!(self.state, State::Message { .. } | State::AfterMessage)
    }

    /// Octets of memory that are held.
    pub fn memory(&self) -> usize {
        self.buffer.capacity()
    }

    /// Gives back the memory of the buffer, if it is empty.
    pub fn release(&mut self) {
        if self.is_empty() {
            self.buffer = Vec::new();
            (self.start, self.line, self.searched) = (0, 0, 0);
        }
    }

    /// The next event, or `None` until more octets come.
    pub fn next_event(&mut self) -> Option<Event<&[u8]>> {
        let event = loop {
            match self.step() {
                Step::Wait => return None,
                Step::Again => {}
                Step::Event(event) => break event,
            }
        };
        Some(event.map(|run| self.buffer.get(run).unwrap_or_default()))
    }

    fn step(&mut self) -> Step {
        match self.state {
            State::Command => self.command(),
            State::Literal { end } if self.buffer.len() < end => Step::Wait,
            State::Literal { end } => {
                (self.line, self.searched, self.state) = (end, end, State::Command);
                Step::Again
            }
            State::Line => self.plain_line(),
            State::Offer { header, accepted: true } => {
                self.state = State::Message { missing: header.size, announce: header.sync };
                Step::Again
            }
            State::Offer { header, accepted: false } => self.refuse_literal(Refusal::Message, header, self.start),
            State::Message { missing, announce } => self.message(missing, announce),
            State::AfterMessage => self.after_message(),
            State::Skip(_) => self.skip(),
            State::Closed => {
                self.buffer.clear();
                Step::Wait
            }
        }
    }

    fn command(&mut self) -> Step {
        let (line_end, end) = match self.find_line_end() {
            Ok(Some(ends)) => ends,
            Ok(None) => return Step::Wait,
            Err(why) => return self.refuse_line(why),
        };
        let Some((header, before)) = self.literal_header(line_end) else {
            let command = self.start..line_end;
            self.begin_command(end);
            return Step::Event(Event::Command(command));
        };
        let several = announces_message(self.buffer.get(self.start..before).unwrap_or_default());
        let is_message = several.is_some();
        if let Some(several) = several {
            self.append = Append { tag: self.tag(), several, closes: self.opens_parenthesis(before) };
        }
        if let Some(why) = self.too_big(header, is_message, end) {
            return self.refuse_literal(why, header, end);
        }
        if is_message {
            let head = self.start..line_end;
            self.offer(header, end);
            return Step::Event(Event::Append(head));
        }
        // Within `command_size`, so it fits.
        self.state = State::Literal { end: end.saturating_add(header.size as usize) };
        if header.sync { Step::Event(Event::Continue) } else { Step::Again }
    }

    fn plain_line(&mut self) -> Step {
        match self.find_line_end() {
            Ok(Some((line_end, end))) => {
                let line = self.start..line_end;
                self.begin_command(end);
                Step::Event(Event::Line(line))
            }
            Ok(None) => Step::Wait,
            Err(why) => self.refuse_line(why),
        }
    }

    fn message(&mut self, missing: u64, announce: bool) -> Step {
        if announce {
            self.state = State::Message { missing, announce: false };
            return Step::Event(Event::Continue);
        }
        if missing == 0 {
            self.state = State::AfterMessage;
            return Step::Again;
        }
        let there = self.buffer.len().saturating_sub(self.start);
        if there == 0 {
            return Step::Wait;
        }
        let take = usize::try_from(missing).unwrap_or(usize::MAX).min(there);
        let octets = self.start..self.start + take;
        self.go_to(octets.end);
        self.state = State::Message { missing: missing - take as u64, announce: false };
        Step::Event(Event::Octets(octets))
    }

    fn after_message(&mut self) -> Step {
        let (line_end, end) = match self.find_line_end() {
            Ok(Some(ends)) => ends,
            Ok(None) => return Step::Wait,
            Err(why) => return self.refuse_line(why),
        };
        let from = self.start + usize::from(self.append.closes);
        let closed = !self.append.closes || self.buffer.get(self.start) == Some(&b')');
        if let Some((header, before)) = self.literal_header(line_end) {
            let unwanted = (!self.append.several || !closed).then_some(Refusal::AfterMessage);
            if let Some(why) = unwanted.or_else(|| self.too_big(header, true, end)) {
                return self.refuse_literal(why, header, end);
            }
            self.append.closes = self.opens_parenthesis(before);
            self.offer(header, end);
            return Step::Event(Event::AppendNext(from..line_end));
        }
        let rest = self.buffer.get(from..line_end).filter(|_| closed);
        let nothing_more = rest.is_some_and(|rest| rest.iter().all(|&b| b == b' '));
        let tag = self.tag();
        self.begin_command(end);
        Step::Event(if nothing_more { Event::AppendEnd } else { Event::Refused { tag, why: Refusal::AfterMessage } })
    }

    /// Throws away the literal and the rest of the line, and further non-synchronising literals and
    /// lines, until the client waits for us.
    fn skip(&mut self) -> Step {
        let State::Skip(skip) = &mut self.state else {
            return Step::Again;
        };
        let there = self.buffer.len().saturating_sub(self.start);
        if skip.literal > 0 {
            if skip.literal > skip.budget {
                return self.hang_up();
            }
            let take = usize::try_from(skip.literal).unwrap_or(usize::MAX).min(there);
            skip.literal -= take as u64;
            skip.budget -= take as u64;
            let waits = skip.literal > 0;
            self.go_to(self.start + take);
            return if waits { Step::Wait } else { Step::Again };
        }
        let line_end = memchr::memchr(b'\n', self.buffer.get(self.searched..).unwrap_or_default())
            .map(|at| self.searched + at + 1);
        // Of a line that has not ended only so much is kept that a literal's header can be seen.
        let next = line_end.unwrap_or(self.start + there.saturating_sub(LiteralHeader::MAX_LEN));
        let tail = self.start.max(next.saturating_sub(LiteralHeader::MAX_LEN))..next;
        let Some(budget) = skip.budget.checked_sub((next - self.start) as u64) else {
            return self.hang_up();
        };
        skip.budget = budget;
        if line_end.is_none() {
            self.start = next;
            self.searched = self.buffer.len();
            return Step::Wait;
        }
        let line = without_line_end(self.buffer.get(tail).unwrap_or_default());
        match LiteralHeader::at_end(line) {
            Some((header, _)) if !header.sync => {
                skip.literal = header.size;
                self.go_to(next);
                Step::Again
            }
            _ => {
                let (tag, why) = (skip.tag.take(), skip.why);
                self.begin_command(next);
                Step::Event(Event::Refused { tag, why })
            }
        }
    }

    /// The ends of the current line, without and with its line end, once it is there.
    fn find_line_end(&mut self) -> Result<Option<(usize, usize)>, Refusal> {
        let found = memchr::memchr(b'\n', self.buffer.get(self.searched..).unwrap_or_default());
        let end = found.map(|at| self.searched + at + 1);
        self.searched = end.unwrap_or(self.buffer.len());
        if self.searched.saturating_sub(self.start) > self.command_size {
            return Err(Refusal::CommandTooLong(self.command_size));
        }
        let line = end.and_then(|end| self.buffer.get(self.line..end));
        Ok(line.map(|line| (self.line + without_line_end(line).len(), self.searched)))
    }

    /// The literal's header at the end of the current line, and where it begins.
    fn literal_header(&self, line_end: usize) -> Option<(LiteralHeader, usize)> {
        let (header, before) = LiteralHeader::at_end(self.buffer.get(self.line..line_end)?)?;
        Some((header, self.line + before.len()))
    }

    /// True where the literal whose header begins there stands in the parentheses of RFC 6855 §4.
    fn opens_parenthesis(&self, before: usize) -> bool {
        const UTF8: &[u8] = b" UTF8 (";
        let head = self.buffer.get(self.line..before).unwrap_or_default();
        head.len()
            .checked_sub(UTF8.len())
            .and_then(|at| head.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(UTF8))
    }

    fn too_big(&self, header: LiteralHeader, is_message: bool, end: usize) -> Option<Refusal> {
        match self.literals {
            _ if header.sync => {}
            NonSyncLiterals::None => return Some(Refusal::NonSync),
            NonSyncLiterals::Minus if header.size > LITERAL_MINUS_MAX => return Some(Refusal::NonSyncTooLong),
            NonSyncLiterals::Minus | NonSyncLiterals::Plus => {}
        }
        if is_message {
            return None;
        }
        if header.size > self.literal_size as u64 {
            return Some(Refusal::LiteralTooLong(self.literal_size));
        }
        let whole = (end.saturating_sub(self.start) as u64).saturating_add(header.size);
        (whole > self.command_size as u64).then_some(Refusal::CommandTooLong(self.command_size))
    }

    fn offer(&mut self, header: LiteralHeader, end: usize) {
        self.go_to(end);
        self.state = State::Offer { header, accepted: false };
    }

    /// Refuses a line that is too long.
    fn refuse_line(&mut self, why: Refusal) -> Step {
        let tag = self.tag();
        self.go_to(self.line);
        self.state = State::Skip(Skip { tag, why, literal: 0, budget: self.drain_size });
        Step::Again
    }

    /// Refuses a literal whose octets begin at `end`. A client that waits for our leave to send
    /// them has nothing to skip.
    fn refuse_literal(&mut self, why: Refusal, header: LiteralHeader, end: usize) -> Step {
        let tag = self.tag();
        if header.sync {
            self.begin_command(end);
            return Step::Event(Event::Refused { tag, why });
        }
        self.go_to(end);
        self.state = State::Skip(Skip { tag, why, literal: header.size, budget: self.drain_size });
        Step::Again
    }

    fn hang_up(&mut self) -> Step {
        let state = std::mem::replace(&mut self.state, State::Closed);
        self.buffer.clear();
        self.go_to(0);
        match state {
            State::Skip(Skip { tag, why, .. }) => Step::Event(Event::HangUp { tag, why }),
            _ => Step::Again,
        }
    }

    /// The tag of the current command. Only at its beginning is it in the buffer: what follows the
    /// head of an APPEND is somebody's message.
    fn tag(&self) -> Option<Tag> {
        match self.state {
            State::Command => Tag::of_line(self.buffer.get(self.start..)?),
            _ => self.append.tag.clone(),
        }
    }

    fn begin_command(&mut self, at: usize) {
        self.go_to(at);
        self.state = State::Command;
        self.append = Append::default();
    }

    fn go_to(&mut self, at: usize) {
        (self.start, self.line, self.searched) = (at, at, at);
    }
}

/// CRLF, or LF alone as sent by hand.
fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Whether `head`, which a literal follows, is an APPEND (true) or REPLACE (false) that has its mailbox
/// already; `None` where the literal is no message.
fn announces_message(head: &[u8]) -> Option<bool> {
    let mut words = head.split(|&b| b == b' ').skip(1);
    let mut next = || words.next().unwrap_or_default().to_ascii_uppercase();
    let command = next();
    let command = if command == b"UID" { next() } else { command };
    let mut arguments = words.filter(|word| !word.is_empty());
    match &command[..] {
        b"APPEND" => arguments.next().map(|_mailbox| true),
        b"REPLACE" => arguments.nth(1).map(|_mailbox| false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
