//! Cuts the stream of a client into command lines and message octets.
//!
//! Invariant: the buffer holds at most one line's worth of octets beyond what one read brought;
//! message octets and the rest of an over-long line are never kept.

use super::data::{DataDecoder, Step};

/// What the client's octets amount to.
#[derive(PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// A command line without its line end: for [`super::Command::parse`].
    Line(&'a [u8]),
    /// A command line that was too long, and has been skipped: answer 500 5.5.2 (RFC 5321 §4.5.3.1.9).
    LineTooLong,
    /// The next octets of the message, never empty.
    Octets(&'a [u8]),
    /// The message of DATA, or the chunk of BDAT, is complete.
    End,
}

/// What comes next in the stream.
#[derive(Clone, Copy, Debug)]
enum Mode {
    Line,
    /// The rest of a line that was too long.
    Skip,
    Data(DataDecoder),
    /// So many octets are missing from a chunk.
    Chunk(u64),
}

/// Cuts the stream of one connection.
#[derive(Debug)]
pub struct Fragmenter {
    buffer: Vec<u8>,
    /// What has been given out and can go.
    done: usize,
    /// How far the search for a line end has come.
    searched: usize,
    mode: Mode,
    line_limit: usize,
}

impl Fragmenter {
    /// Lines of up to `line_limit` octets with their line end ([`types::Limits::lmtp_line`]).
    pub fn new(line_limit: usize) -> Self {
        Self { buffer: Vec::new(), done: 0, searched: 0, mode: Mode::Line, line_limit }
    }

    /// Where to append what the socket brings: only append, a few KiB at a time, and take all
    /// events before the next time.
    pub fn input(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.done.min(self.buffer.len()));
        self.searched = self.searched.saturating_sub(self.done);
        self.done = 0;
        &mut self.buffer
    }

    /// What follows is a message in the form of DATA.
    pub fn expect_data(&mut self) {
        self.mode = Mode::Data(DataDecoder::default());
    }

    /// What follows is a chunk of BDAT of so many octets, perhaps none.
    pub fn expect_chunk(&mut self, size: u64) {
        self.mode = Mode::Chunk(size);
    }

    /// Forgets all octets that were not yet read: STARTTLS must not let commands from before the
    /// handshake count as if they were protected (RFC 3207 §6).
    pub fn discard(&mut self) {
        *self = Self::new(self.line_limit);
    }

    /// True where nothing is waiting: neither part of a command nor a pipelined one.
    pub fn is_empty(&self) -> bool {
        self.done >= self.buffer.len()
    }

    /// True in the middle of a message: what comes next is probably much, and is not kept here.
    pub fn is_in_message(&self) -> bool {
        matches!(self.mode, Mode::Data(_) | Mode::Chunk(_))
    }

    /// Octets of memory that are held.
    pub fn memory(&self) -> usize {
        self.buffer.capacity()
    }

    /// Gives back the memory of the buffer, if it is empty.
    pub fn release(&mut self) {
        if self.is_empty() {
            self.buffer = Vec::new();
            (self.done, self.searched) = (0, 0);
        }
    }

    /// The next event, or `None` until more octets come.
    pub fn next_event(&mut self) -> Option<Event<'_>> {
        match self.mode {
            Mode::Line => self.line(),
            Mode::Skip => self.skip_line(),
            Mode::Data(mut decoder) => {
                let step = decoder.step(self.buffer.get(self.done..)?);
                self.mode = Mode::Data(decoder);
                self.take_step(step)
            }
            Mode::Chunk(0) => {
                self.mode = Mode::Line;
                Some(Event::End)
            }
            Mode::Chunk(missing) => {
                let there = self.buffer.len().saturating_sub(self.done);
                let take = usize::try_from(missing).unwrap_or(usize::MAX).min(there);
                self.mode = Mode::Chunk(missing - take as u64);
                self.octets(0, take)
            }
        }
    }

    fn line(&mut self) -> Option<Event<'_>> {
        let start = self.done;
        let end = memchr::memchr(b'\n', self.buffer.get(self.searched..)?).map(|at| self.searched + at + 1);
        self.searched = end.unwrap_or(self.buffer.len());
        if self.searched - start > self.line_limit {
            self.mode = Mode::Skip;
            return self.skip_line();
        }
        self.done = end?;
        // LF alone comes from hand-typed sessions. No message is in a command line, so there is
        // nothing to smuggle.
        let line = self.buffer.get(start..self.done.saturating_sub(1))?;
        Some(Event::Line(line.strip_suffix(b"\r").unwrap_or(line)))
    }

    fn skip_line(&mut self) -> Option<Event<'_>> {
        let end = memchr::memchr(b'\n', self.buffer.get(self.done..)?).map(|at| self.done + at + 1);
        self.done = end.unwrap_or(self.buffer.len());
        self.searched = self.done;
        end?;
        self.mode = Mode::Line;
        Some(Event::LineTooLong)
    }

    fn take_step(&mut self, step: Step) -> Option<Event<'_>> {
        match step {
            Step::Wait => None,
            Step::Content { skip, len } => self.octets(skip, len),
            Step::End => {
                self.done += 3;
                self.searched = self.done;
                self.mode = Mode::Line;
                Some(Event::End)
            }
        }
    }

    /// Gives out `len` octets after `skip`.
    fn octets(&mut self, skip: usize, len: usize) -> Option<Event<'_>> {
        let start = self.done + skip;
        self.done = start + len;
        self.searched = self.done;
        self.buffer.get(start..self.done).filter(|octets| !octets.is_empty()).map(Event::Octets)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lmtp::{Findings, Inspector};

    /// What a client that sends `input` in pieces of `size` octets comes to; a line DATA or BDAT is
    /// followed by a message.
    fn run(input: &[u8], size: usize) -> Vec<String> {
        let mut fragmenter = Fragmenter::new(20);
        let mut seen: Vec<String> = Vec::new();
        let mut message = Vec::new();
        for piece in input.chunks(size) {
            fragmenter.input().extend_from_slice(piece);
            let mut mode: Option<u64> = None;
            loop {
                match mode.take() {
                    Some(0) => fragmenter.expect_data(),
                    Some(size) => fragmenter.expect_chunk(size),
                    None => {}
                }
                match fragmenter.next_event() {
                    None => break,
                    Some(Event::Line(b"DATA")) => mode = Some(0),
                    Some(Event::Line(b"BDAT 5")) => mode = Some(5),
                    Some(Event::Line(line)) => seen.push(format!("line {}", String::from_utf8_lossy(line))),
                    Some(Event::LineTooLong) => seen.push("too long".into()),
                    Some(Event::Octets(octets)) => {
                        assert!(!octets.is_empty());
                        message.extend_from_slice(octets);
                    }
                    Some(Event::End) => {
                        seen.push(format!("{:?}", String::from_utf8_lossy(&std::mem::take(&mut message))))
                    }
                }
            }
            assert!(fragmenter.buffer.len() - fragmenter.done <= 20 + size);
        }
        seen
    }

    fn always(input: &[u8], expected: &[&str]) {
        for size in 1..=input.len() {
            assert_eq!(run(input, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn commands_and_a_message() {
        always(
            b"LHLO x\r\nDATA\r\nSubject: x\r\n\r\n..two\r\n.one\r\n.\r\nQUIT\r\n",
            &["line LHLO x", r#""Subject: x\r\n\r\n.two\r\none\r\n""#, "line QUIT"],
        );
        always(b"DATA\r\n.\r\nNOOP\n", &[r#""""#, "line NOOP"]);
    }

    #[test]
    fn only_crlf_dot_crlf_ends_a_message() {
        always(b"DATA\r\na\n.\nb\r\n.\r\n", &[r#""a\n.\nb\r\n""#]);
        always(b"DATA\r\na\n.\r\nb\r\n.\r\n", &[r#""a\n.\r\nb\r\n""#]);
        always(b"DATA\r\na\r\n.\nb\r\n.\r\n", &[r#""a\r\n\nb\r\n""#]);
        always(b"DATA\r\na\r.\rb\r\n.\r\n", &[r#""a\r.\rb\r\n""#]);
        always(b"DATA\r\na\r\n.\rb\r\n.\r\n", &[r#""a\r\n\rb\r\n""#]);
        always(b"DATA\r\na\r\n.\r\r\n.\r\n", &[r#""a\r\n\r\r\n""#]);
    }

    #[test]
    fn chunks_are_taken_as_they_are() {
        always(b"BDAT 5\r\n.\r\n.\rBDAT 5\r\n12345RSET\r\n", &[r#"".\r\n.\r""#, r#""12345""#, "line RSET"]);
    }

    #[test]
    fn both_sides_of_the_line_limit() {
        let line = |n: usize| [&vec![b'x'; n][..], b"\r\nNOOP\r\n"].concat();
        always(&line(18), &[&format!("line {}", "x".repeat(18)), "line NOOP"]);
        always(&line(19), &["too long", "line NOOP"]);
        always(&line(300), &["too long", "line NOOP"]);
    }

    #[test]
    fn starttls_forgets_what_was_pipelined() {
        let mut f = Fragmenter::new(100);
        f.input().extend_from_slice(b"STARTTLS\r\nMAIL FROM:<a@b>\r\n");
        assert_eq!(f.next_event(), Some(Event::Line(b"STARTTLS")));
        f.discard();
        assert_eq!(f.next_event(), None);
        assert!(f.is_empty());
    }

    #[test]
    fn an_idle_connection_holds_no_buffer() {
        let mut f = Fragmenter::new(100);
        f.input().extend_from_slice(b"NOOP\r\nNO");
        assert!(f.next_event().is_some() && f.next_event().is_none());
        f.release();
        assert!(!f.is_empty());
        f.input().extend_from_slice(b"OP\r\n");
        assert_eq!(f.next_event(), Some(Event::Line(b"NOOP")));
        f.release();
        assert_eq!(f.buffer.capacity(), 0);
    }

    #[test]
    fn findings() {
        let look = |pieces: &[&[u8]]| {
            let mut inspector = Inspector::default();
            pieces.iter().for_each(|p| inspector.look(p));
            inspector.finish()
        };
        assert_eq!(look(&[b"abc\r", b"\nde\r\n"]), Findings { longest_line: 3, ..Findings::default() });
        for bare in [&b"a\nb\r\n"[..], b"a\rb\r\n", b"\n", b"a\r", b"a\r\r\n"] {
            assert!(look(&[bare]).bare_line_end, "{bare:?}");
        }
        assert!(look(&[b"\0\r\n"]).nul && look(&[b"\xfc\r\n"]).eight_bit);
    }

    proptest! {
        /// What RFC 5321 §4.5.2 tells a client to do, undone.
        #[test]
        fn stuffing_there_and_back(body in "([.\r\na]|\r\n){0,40}", size in 1usize..9) {
            let body = format!("{body}\r\n");
            let mut stuffed = body.replace("\r\n.", "\r\n..");
            if stuffed.starts_with('.') {
                stuffed.insert(0, '.');
            }
            let input = format!("DATA\r\n{stuffed}.\r\nNOOP\r\n");
            prop_assert_eq!(run(input.as_bytes(), size), [format!("{body:?}"), "line NOOP".into()]);
        }

        /// Octet by octet there is nothing that could be overlooked.
        #[test]
        fn findings_do_not_depend_on_the_split(octets in "[\r\na\u{0}\u{fc}]{0,40}", size in 2usize..41) {
            let look = |size| {
                let mut inspector = Inspector::default();
                octets.as_bytes().chunks(size).for_each(|piece| inspector.look(piece));
                inspector.finish()
            };
            prop_assert_eq!(look(size), look(1));
        }

        #[test]
        fn any_split_gives_the_same(input in "(DATA\r\n|BDAT 5\r\n|[.\r\nx]){0,60}", size in 1usize..9) {
            prop_assert_eq!(run(input.as_bytes(), size), run(input.as_bytes(), input.len().max(1)));
        }
    }
}
