//! A server's octets cut into responses, without I/O. Messages are passed on as they arrive; everything else is
//! gathered into a [`Line`], whose size is bounded.
//!
//! Lines may end with a bare LF. A literal is looked for where one can stand: not in the text of a status response.

/// Octets of one response, messages aside. LIST, FLAGS and CAPABILITY are far below; only a broken server is above.
pub const MAX_LINE: usize = 1 << 20;

/// One response.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Line {
    pub(super) parts: Vec<Part>,
}

/// A part of a response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// Without CRLF, and without `{…}` at its end where a literal follows.
    Text(Vec<u8>),
    /// A literal that is no message.
    Literal(Vec<u8>),
    /// Here a message stood: it was passed on.
    Message,
}

/// What comes out.
#[derive(PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// Octets of the message that this response brings.
    Octets(&'a [u8]),
    /// The response is complete.
    Line(Line),
}

/// The server talks, but not IMAP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the server sent a response of more than {MAX_LINE} octets")]
pub struct Endless;

/// See the module.
#[derive(Debug, Default)]
pub struct Framer {
    input: Vec<u8>,
    /// Of the input, so much is done.
    at: usize,
    line: Line,
    text: Vec<u8>,
    size: usize,
    literal: Option<Literal>,
}

#[derive(Debug)]
struct Literal {
    left: u64,
    /// Of a message nothing is kept.
    kept: Option<Vec<u8>>,
}

impl Framer {
    /// Where octets from the server are put.
    pub fn input(&mut self) -> &mut Vec<u8> {
        self.input.drain(..std::mem::take(&mut self.at));
        &mut self.input
    }

    /// True where nothing is left over (RFC 3501 §6.2.1: nothing that came before TLS may count after it).
    pub fn is_empty(&self) -> bool {
        self.at == self.input.len() && self.text.is_empty() && self.line.parts.is_empty()
    }

    /// What comes next; `None` until there is more input.
    pub fn next_event(&mut self) -> Result<Option<Event<'_>>, Endless> {
        loop {
            let rest = self.input.get(self.at..).unwrap_or_default();
            if let Some(literal) = &mut self.literal {
                let take = rest.len().min(usize::try_from(literal.left).unwrap_or(usize::MAX));
                let (from, now) = (self.at, rest.get(..take).unwrap_or_default());
                self.at += take;
                literal.left -= take as u64;
                let done = literal.left == 0;
                match &mut literal.kept {
                    Some(kept) => kept.extend_from_slice(now),
                    None if take > 0 => {
                        if done {
                            self.end_literal();
                        }
                        return Ok(Some(Event::Octets(self.input.get(from..from + take).unwrap_or_default())));
                    }
                    None => {}
                }
                if !done {
                    return Ok(None);
                }
                self.end_literal();
                continue;
            }
            let end = rest.iter().position(|&octet| octet == b'\n');
            let text = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            self.size += text.len();
            if self.size > MAX_LINE {
                return Err(Endless);
            }
            self.text.extend_from_slice(text);
            self.at += text.len() + usize::from(end.is_some());
            if end.is_none() {
                return Ok(None);
            }
            if self.text.last() == Some(&b'\r') {
                self.text.pop();
            }
            match self.marker() {
                Some((marker, size)) => self.begin_literal(marker, size)?,
                None => {
                    let text = std::mem::take(&mut self.text);
                    self.line.parts.push(Part::Text(text));
                    self.size = 0;
                    return Ok(Some(Event::Line(std::mem::take(&mut self.line))));
                }
            }
        }
    }

    /// `literal = "{" number64 ["+"] "}"`, `literal8 = "~{" …` (RFC 9051 §9) at the end of the text: where it begins,
    /// and the number.
    fn marker(&self) -> Option<(usize, u64)> {
        let inner = self.text.strip_suffix(b"}")?;
        let inner = inner.strip_suffix(b"+").unwrap_or(inner);
        let open = inner.iter().rposition(|&octet| octet == b'{')?;
        let size = std::str::from_utf8(inner.get(open + 1..)?).ok()?;
        let size = size.bytes().all(|digit| digit.is_ascii_digit()).then(|| size.parse().ok()).flatten()?;
        let first = match self.line.parts.first() {
            Some(Part::Text(first)) => first,
            _ => &self.text,
        };
        let open = if open > 0 && self.text.get(open - 1) == Some(&b'~') { open - 1 } else { open };
        (!is_status(first)).then_some((open, size))
    }

    fn begin_literal(&mut self, marker: usize, size: u64) -> Result<(), Endless> {
        self.text.truncate(marker);
        let message = is_message(&self.text);
        if !message && size > MAX_LINE.saturating_sub(self.size) as u64 {
            return Err(Endless);
        }
        if !message {
            self.size += usize::try_from(size).unwrap_or(MAX_LINE);
        }
        self.line.parts.push(Part::Text(std::mem::take(&mut self.text)));
        self.literal = Some(Literal { left: size, kept: (!message).then(Vec::new) });
        Ok(())
    }

    fn end_literal(&mut self) {
        if let Some(literal) = self.literal.take() {
            self.line.parts.push(literal.kept.map_or(Part::Message, Part::Literal));
        }
    }
}

/// Whether a response is of the kind that ends with text for people, in which `{5}` means nothing.
fn is_status(line: &[u8]) -> bool {
    let mut words = line.split(|&octet| octet == b' ');
    let (tag, word) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    tag == b"+"
        || [&b"OK"[..], b"NO", b"BAD", b"BYE", b"PREAUTH"].iter().any(|status| word.eq_ignore_ascii_case(status))
}

/// Whether what follows this is a message: `BODY[]`, `BODY[]<0>`, `RFC822`.
fn is_message(text: &[u8]) -> bool {
    let text = text.trim_ascii_end();
    let origin = text
        .strip_suffix(b">")
        .and_then(|text| text.iter().rposition(|&octet| octet == b'<').and_then(|at| text.get(..at)));
    let ends = |text: &[u8], word: &[u8]| {
        text.len() >= word.len()
            && text.get(text.len() - word.len()..).is_some_and(|end| end.eq_ignore_ascii_case(word))
    };
    ends(origin.unwrap_or(text), b"BODY[]") || ends(text, b" RFC822") || ends(text, b"(RFC822")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(octets: &[u8], piece: usize) -> (Vec<Line>, Vec<u8>) {
        let (mut framer, mut lines, mut message) = (Framer::default(), vec![], vec![]);
        for piece in octets.chunks(piece) {
            framer.input().extend_from_slice(piece);
            while let Some(event) = framer.next_event().unwrap() {
                match event {
                    Event::Octets(octets) => message.extend_from_slice(octets),
                    Event::Line(line) => lines.push(line),
                }
            }
        }
        assert!(framer.is_empty());
        (lines, message)
    }

    fn text(text: &str) -> Part {
        Part::Text(text.into())
    }

    #[test]
    fn messages_pass_and_the_rest_is_kept() {
        let octets = b"* 1 FETCH (BODY[] {3}\r\na\nb FLAGS ())\r\n* LIST () \"/\" {4}\r\na{1}\r\n* 2 FETCH (BODY[]<0> ~{0}\r\n)\n\
            * 3 FETCH (BODY[HEADER.FIELDS (MESSAGE-ID)] {2}\r\n\r\n)\r\n";
        for piece in 1..20 {
            let (lines, message) = events(octets, piece);
            assert_eq!(message, b"a\nb");
            let parts: Vec<_> = lines.into_iter().map(|line| line.parts).collect();
            assert_eq!(parts[0], [text("* 1 FETCH (BODY[] "), Part::Message, text(" FLAGS ())")]);
            assert_eq!(parts[1], [text("* LIST () \"/\" "), Part::Literal(b"a{1}".into()), text("")]);
            assert_eq!(parts[2], [text("* 2 FETCH (BODY[]<0> "), Part::Message, text(")")]);
            assert_eq!(parts[3][1], Part::Literal(b"\r\n".into()));
        }
    }

    #[test]
    fn text_for_people_announces_nothing() {
        for line in ["* OK see {5}", "a1 NO {7}", "+ {9}", "* BYE {1+}", "* 1 FETCH (FLAGS ()) {x}"] {
            assert_eq!(events(format!("{line}\r\n").as_bytes(), 64).0, [Line { parts: vec![text(line)] }]);
        }
    }

    #[test]
    fn what_never_ends_is_refused() {
        let mut framer = Framer::default();
        framer.input().extend(std::iter::repeat_n(b'a', MAX_LINE));
        assert_eq!(framer.next_event(), Ok(None));
        framer.input().push(b'a');
        assert_eq!(framer.next_event(), Err(Endless));
        let mut framer = Framer::default();
        framer.input().extend_from_slice(b"* LIST () NIL {99999999}\r\n");
        assert_eq!(framer.next_event(), Err(Endless));
        // Many small literals are one large response.
        let mut framer = Framer::default();
        let ended = (0..MAX_LINE).any(|_| {
            framer.input().extend_from_slice(b"* X {4}\r\nabcd");
            framer.next_event() == Err(Endless)
        });
        assert!(ended);
    }
}
