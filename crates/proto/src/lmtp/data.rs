//! The content of a message after DATA: transparency undone, oddities noted (RFC 5321 §4.5.2).
//!
//! Only `CRLF . CRLF` ends a message. A bare LF or CR never counts as a line end (RFC 5321
//! §2.3.8), so `LF . LF`, `LF . CRLF` and the like are content: ending there is what lets one
//! message smuggle another past a filter.

use memchr::memmem;

/// What was noticed in a message while it passed. The caller decides whether to take it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Findings {
    /// A NUL octet (RFC 5321 §4.5.2 forbids it in DATA; with BDAT it needs BINARYMIME, RFC 3030 §3).
    pub nul: bool,
    /// A CR without LF or an LF without CR (RFC 5321 §2.3.8).
    pub bare_line_end: bool,
    /// An octet beyond ASCII (needs BODY=8BITMIME, RFC 6152).
    pub eight_bit: bool,
    /// Octets of the longest line, without its line end (RFC 5321 §4.5.3.1.6: up to 998 must be taken).
    pub longest_line: usize,
}

/// Notes the oddities of a message that comes in pieces: one for each message, fed with every
/// [`super::Event::Octets`].
#[derive(Clone, Debug, Default)]
pub struct Inspector {
    findings: Findings,
    line: usize,
    after_cr: bool,
}

impl Inspector {
    /// Looks at the next octets.
    pub fn look(&mut self, octets: &[u8]) {
        self.findings.nul |= memchr::memchr(0, octets).is_some();
        self.findings.eight_bit |= !octets.is_ascii();
        let mut rest = octets;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            self.text(line);
            // Every LF has its CR.
            self.findings.bare_line_end |= !self.after_cr;
            (self.after_cr, self.line) = (false, 0);
            rest = after.get(1..).unwrap_or_default();
        }
        self.text(rest);
    }

    /// A line without its LF, or a piece of one.
    fn text(&mut self, octets: &[u8]) {
        let Some(last) = octets.last() else { return };
        let crs = memchr::memchr_iter(b'\r', octets).count();
        let ends_in_cr = *last == b'\r';
        // Every CR has its LF: none comes before something else.
        self.findings.bare_line_end |= self.after_cr || crs > usize::from(ends_in_cr);
        self.after_cr = ends_in_cr;
        self.line = self.line.saturating_add(octets.len() - crs);
        self.findings.longest_line = self.findings.longest_line.max(self.line);
    }

    /// What was noticed, at the end of the message.
    pub fn finish(&self) -> Findings {
        Findings { bare_line_end: self.findings.bare_line_end || self.after_cr, ..self.findings }
    }
}

/// Where the octets that were taken so far end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Place {
    /// Before the first octet of the message, or after CRLF.
    #[default]
    LineStart,
    /// After a CR.
    Cr,
    /// Anywhere else.
    Text,
}

/// Finds the end of a message and drops the dots that were put before lines with a dot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DataDecoder {
    place: Place,
}

/// What stands at the start of the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// `. CRLF`: three octets that end the message.
    End,
    /// `skip` octets to drop and then `len` octets of content, not zero.
    Content { skip: usize, len: usize },
    /// Not enough to tell.
    Wait,
}

impl DataDecoder {
    pub(super) fn step(&mut self, input: &[u8]) -> Step {
        const END: &[u8] = b".\r\n";
        let mut skip = 0;
        if self.place == Place::LineStart && input.first() == Some(&b'.') {
            if input.starts_with(END) {
                self.place = Place::LineStart;
                return Step::End;
            }
            if END.starts_with(input) {
                return Step::Wait;
            }
            // RFC 5321 §4.5.2: a dot with something after it is dropped.
            skip = 1;
            self.place = Place::Text;
        }
        let content = input.get(skip..).unwrap_or_default();
        let len = self.before_dot(content);
        self.place = match content.get(..len) {
            Some([.., b'\r', b'\n']) => Place::LineStart,
            Some([b'\n']) if self.place == Place::Cr => Place::LineStart,
            Some([.., b'\r']) => Place::Cr,
            Some([.., _]) => Place::Text,
            _ => self.place,
        };
        if len == 0 { Step::Wait } else { Step::Content { skip, len } }
    }

    /// How many octets come before a dot that begins a line.
    fn before_dot(&self, content: &[u8]) -> usize {
        match (self.place, content) {
            (Place::Cr, [b'\n', b'.', ..]) => 1,
            _ => memmem::find(content, b"\r\n.").map_or(content.len(), |at| at + 2),
        }
    }
}
