//! Cuts the stream of a client into commands, lines and message literals.

use types::Limits;

use super::Tag;

/// Which non-synchronising literals the server announces and takes (RFC 7888): one or the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NonSyncLiterals {
    /// `LITERAL+`: of any size.
    Plus,
    /// `LITERAL-`: up to 4096 octets.
    Minus,
}

/// `{n}`, `{n+}`, `~{n}`, `~{n+}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LiteralHeader {
    /// Octets that follow.
    pub size: u64,
    /// The client waits for a continuation request before it sends them.
    pub sync: bool,
    /// `literal8` (RFC 3516): NUL octets are allowed.
    pub binary: bool,
}

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
    /// A message that the caller did not [`Fragmenter::accept`]: it knows why.
    #[error("the message was refused")]
    Message,
    /// Something other than a further message follows a message.
    #[error("the end of the line or another message should follow the message")]
    AfterMessage,
}

/// What the client's octets amount to.
#[derive(PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// A whole command without its line end, literals embedded: for [`super::Request::parse`].
    Command(&'a [u8]),
    /// The line asked for by [`Fragmenter::expect_line`], without its line end.
    Line(&'a [u8]),
    /// A synchronising literal is accepted: write a continuation request now.
    Continue,
    /// APPEND up to its first message: for [`super::command::AppendHead::parse`]. Call
    /// [`Fragmenter::accept`] to take the message; otherwise it is refused by the next call of
    /// [`Fragmenter::next_event`].
    Append(&'a [u8]),
    /// Between a message and the next one (RFC 3502): for [`super::command::AppendMessage::parse`].
    /// To be accepted in the same way.
    AppendNext(&'a [u8]),
    /// The next octets of an accepted message, never empty. All of them together are exactly as
    /// many as the header said; then comes [`Event::AppendNext`], [`Event::AppendEnd`] or
    /// [`Event::Refused`].
    Octets(&'a [u8]),
    /// The line ends after the last message: the APPEND is complete.
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

/// Cuts the stream of one connection.
#[derive(Debug)]
pub struct Fragmenter {
    buffer: Vec<u8>,
}

impl Fragmenter {
    /// For a client that has not logged in yet.
    pub fn new(_limits: &Limits, _literals: NonSyncLiterals) -> Self {
        Self { buffer: Vec::new() }
    }

    /// The client has logged in: commands may be as long as [`Limits::command_size`].
    pub fn logged_in(&mut self) {}

    /// Where to append what the socket brings: only append, a few KiB at a time, and take all
    /// events before the next time.
    pub fn input(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// The next event, or `None` until more octets come.
    pub fn next_event(&mut self) -> Option<Event<'_>> {
        None
    }

    /// The next line is no command but the client's part of IDLE or AUTHENTICATE. Holds for one line.
    pub fn expect_line(&mut self) {}

    /// Takes the message that the last [`Event::Append`] or [`Event::AppendNext`] announced.
    pub fn accept(&mut self) {}

    /// Forgets all octets that were not yet read: STARTTLS (RFC 9051 §11.1) must not let commands
    /// from before the handshake count as if they were protected.
    pub fn discard(&mut self) {}

    /// True where no part of a command is waiting.
    pub fn is_idle(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Gives back the memory of the buffer, if it is empty.
    pub fn release(&mut self) {}
}
