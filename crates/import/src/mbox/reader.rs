//! Reads the messages of an mbox one after the other, in pieces.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use types::{DateTime, Flag, Flags, Keyword};

use super::{LETTERS, date};

/// Octets of a line that are looked at together; longer ones come in pieces.
const LINE: u64 = 64 << 10;

/// Octets of a header that are looked at.
const HEADER: usize = 1 << 20;

/// By which the notes of the c-client library are known.
const FOR_PROGRAMS: &[u8] = b"Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA";

/// See the module.
pub(super) struct Reader<R = BufReader<File>> {
    input: R,
    line: Vec<u8>,
    /// The line is still to be given out: it is not a `From ` line, or none of ours yet.
    held: bool,
    /// `line` begins where a line begins.
    starts: bool,
    /// An empty line that belongs to the message unless a `From ` line follows.
    blank: bool,
    /// What to give out.
    out: Vec<u8>,
    /// A `From ` line was read: the next message begins.
    from: Option<DateTime>,
}

/// What a message begins with.
pub(super) struct Begun {
    pub(super) date: DateTime,
    pub(super) flags: Flags,
    /// The header without what only mbox has, and its empty line.
    pub(super) header: Vec<u8>,
    /// Some programs keep notes for themselves in a first message that is none.
    pub(super) is_for_programs: bool,
}

/// What comes next of a message.
pub(super) enum Event<'a> {
    Octets(&'a [u8]),
    End,
}

impl Reader {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::new(BufReader::with_capacity(256 << 10, File::open(path)?)))
    }

    /// Whether a file is an mbox: it begins with a `From ` line, or is empty.
    pub(super) fn is_mbox(path: &Path) -> io::Result<bool> {
        let mut begin = vec![];
        let mut file = File::open(path)?;
        file.rewind()?;
        file.take(5).read_to_end(&mut begin)?;
        Ok(begin.is_empty() || begin == b"From ")
    }
}

impl<R: BufRead> Reader<R> {
    fn new(input: R) -> Self {
        Self { input, line: vec![], held: false, starts: true, blank: true, out: vec![], from: None }
    }

    /// The next message, whose content is then asked for. What stands before the first is passed over.
    pub(super) fn next(&mut self) -> io::Result<Option<Begun>> {
        self.skip()?;
        let Some(date) = self.from.take() else { return Ok(None) };
        self.blank = false;
        let mut header = vec![];
        while header.len() < HEADER {
            let Event::Octets(octets) = self.content()? else { break };
            header.extend_from_slice(octets);
            // A message may begin with its empty line.
            if octets == b"\n" || octets == b"\r\n" {
                break;
            }
        }
        Ok(Some(Begun::new(date, header)))
    }

    /// To the end of the message.
    pub(super) fn skip(&mut self) -> io::Result<()> {
        while let Event::Octets(_) = self.content()? {}
        Ok(())
    }

    /// The next line of the message, or a piece of it. The empty line before the next message is no part of it.
    pub(super) fn content(&mut self) -> io::Result<Event<'_>> {
        if self.from.is_some() {
            return Ok(Event::End);
        }
        self.out.clear();
        loop {
            let starts = self.starts;
            if !self.held {
                self.line.clear();
                if self.input.by_ref().take(LINE).read_until(b'\n', &mut self.line)? == 0 {
                    return Ok(Event::End);
                }
            }
            self.held = false;
            self.starts = self.line.ends_with(b"\n");
            if starts
                && self.blank
                && let Some(date) = from_line(&self.line)
            {
                self.from = Some(date);
                return Ok(Event::End);
            }
            let blank = std::mem::take(&mut self.blank);
            if blank && !self.out.is_empty() {
                // The empty line that was held back goes out first, by itself.
                self.held = true;
                self.starts = starts;
                return Ok(Event::Octets(&self.out));
            }
            if starts && (self.line == b"\n" || self.line == b"\r\n") {
                self.blank = true;
                self.out.extend_from_slice(&self.line);
                continue;
            }
            let quoted = starts && is_quoted(&self.line);
            let line = if quoted { self.line.get(1..).unwrap_or_default() } else { &self.line };
            self.out.extend_from_slice(line);
            return Ok(Event::Octets(&self.out));
        }
    }
}

/// `>From `, with any number of `>`.
fn is_quoted(line: &[u8]) -> bool {
    let at = line.iter().position(|&octet| octet != b'>').unwrap_or(0);
    at > 0 && line.get(at..).is_some_and(|rest| rest.starts_with(b"From "))
}

/// The date of a line that begins a message.
fn from_line(line: &[u8]) -> Option<DateTime> {
    let rest = line.strip_prefix(b"From ")?;
    date::read(&String::from_utf8_lossy(rest))
}

impl Begun {
    fn new(date: DateTime, header: Vec<u8>) -> Self {
        let mut begun =
            Self { date, flags: Flags::NONE, header: Vec::with_capacity(header.len()), is_for_programs: false };
        let mut fields: Vec<(&str, String)> = vec![];
        let mut skipping = false;
        for line in header.split_inclusive(|&octet| octet == b'\n') {
            let folded = line.first().is_some_and(|octet| matches!(octet, b' ' | b'\t'));
            if !folded {
                let field = ours(line).filter(|(name, _)| fields.iter().all(|(known, _)| known != name));
                skipping = field.is_some();
                fields.extend(field);
            } else if let Some((_, value)) = fields.last_mut().filter(|_| skipping) {
                value.push_str(&String::from_utf8_lossy(line));
            }
            if !skipping {
                begun.is_for_programs |= line.starts_with(FOR_PROGRAMS);
                begun.header.extend_from_slice(line);
            }
        }
        fields.iter().for_each(|(name, value)| begun.field(name, value));
        begun
    }

    fn field(&mut self, name: &str, value: &str) {
        match name {
            "Status" if value.contains('R') => self.flags.insert(Flag::Seen),
            "X-Status" => LETTERS
                .iter()
                .filter(|(letter, _)| value.contains(*letter))
                .for_each(|(_, flag)| self.flags.insert(flag.clone())),
            "X-Keywords" => value
                .split(|c: char| c.is_ascii_whitespace() || c == ',')
                .filter_map(|word| Keyword::new(word).ok())
                .for_each(|keyword| self.flags.insert(Flag::Keyword(keyword))),
            _ => {}
        }
    }
}

/// A field that only mbox has.
fn ours(line: &[u8]) -> Option<(&'static str, String)> {
    let colon = line.iter().position(|&octet| octet == b':')?;
    let (name, value) = line.split_at(colon);
    let known = ["Status", "X-Status", "X-Keywords"];
    let name = known.into_iter().find(|known| name.eq_ignore_ascii_case(known.as_bytes()))?;
    Some((name, String::from_utf8_lossy(value.get(1..)?).trim().to_owned()))
}
