//! The words of plain text: without quotations, attributions, signatures and rules.

use super::Words;

/// Octets of a line that are looked at together; a longer one is text.
const LINE: usize = 1000;

/// Octets of a paragraph that could be an attribution.
const ATTRIBUTION: usize = 300;

/// Octets that most lines have at most.
const USUAL: usize = 128;

/// Reads plain text.
#[derive(Debug, Default)]
pub(super) struct Plain {
    words: Words,
    line: String,
    /// The line began before what is in `line`.
    goes_on: bool,
    /// It began as a quotation.
    quotes: bool,
    /// The last paragraph, which may introduce a quotation.
    paragraph: String,
    /// An empty line, or a quotation, came behind it.
    is_complete: bool,
    place: Place,
}

/// Where in the text we are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Place {
    #[default]
    Text,
    /// Between the first line of a signed text (RFC 9580 §7) and the empty line.
    Armor,
    /// Behind the line from which on everything is somebody else's.
    Forwarded,
    /// Behind the last line of interest.
    End,
}

impl Plain {
    pub(super) fn push(&mut self, text: &str) {
        for line in text.split_inclusive('\n') {
            let (mut rest, ends) = line.strip_suffix('\n').map_or((line, false), |line| (line, true));
            while !rest.is_empty() {
                let room = rest.ceil_char_boundary(LINE.saturating_sub(self.line.len()).max(1));
                let (now, later) = rest.split_at(room);
                if self.line.capacity() == 0 {
                    self.line.reserve(now.len().max(USUAL));
                }
                self.line.push_str(now);
                rest = later;
                // So long that it can only be text or a quotation.
                if self.line.len() >= LINE {
                    self.some_line();
                    self.goes_on = true;
                }
            }
            if ends {
                self.end_line();
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.place == Place::End || self.words.own.is_full()
    }

    pub(super) fn finish(mut self) -> String {
        self.end_line();
        self.commit();
        self.words.finish()
    }

    fn end_line(&mut self) {
        self.some_line();
        self.goes_on = false;
        match self.place {
            Place::Text => self.paragraph.push('\n'),
            Place::Forwarded => {}
            Place::Armor | Place::End => return,
        }
        self.words.quoted.space();
    }

    /// A line, or as much of it as there is.
    fn some_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        match self.goes_on {
            false => self.begin_line(&line),
            true if self.quotes => self.words.quoted.push_str(&line),
            true => self.text(&line),
        }
        line.clear();
        self.line = line;
    }

    fn begin_line(&mut self, line: &str) {
        let text = line.trim();
        self.quotes = self.place == Place::Text && text.starts_with('>');
        match self.place {
            Place::End => {}
            Place::Armor if text.is_empty() => self.place = Place::Text,
            Place::Armor => {}
            _ if text.is_empty() => self.is_complete = true,
            // RFC 3676 §4.3; many lose the space.
            _ if text == "--" => {
                self.commit();
                self.place = Place::End;
            }
            _ if text.starts_with("-----BEGIN PGP MESSAGE") => {
                self.words = Words::default();
                self.paragraph.clear();
                self.place = Place::End;
            }
            _ if text.starts_with("-----BEGIN PGP SIGNED") => self.place = Place::Armor,
            _ if text.starts_with("-----BEGIN PGP SIGNATURE") => {
                self.commit();
                self.place = Place::End;
            }
            _ if text.starts_with("-----Original Message") => {
                self.commit();
                self.place = Place::Forwarded;
            }
            _ if is_rule(text) => self.is_complete = true,
            _ if self.quotes => self.quotation(text),
            Place::Text | Place::Forwarded => self.text(line),
        }
    }

    /// What was quoted; and who said it, which stands before it.
    fn quotation(&mut self, text: &str) {
        if is_attribution(&self.paragraph) {
            self.paragraph.clear();
        }
        self.is_complete = true;
        self.words.quoted.push_str(text.trim_start_matches(['>', ' ']));
    }

    fn text(&mut self, line: &str) {
        match self.place {
            Place::Text => {}
            Place::Forwarded => return self.words.quoted.push_str(line),
            Place::Armor | Place::End => return,
        }
        if self.is_complete {
            self.commit();
        }
        if self.paragraph.capacity() == 0 {
            self.paragraph.reserve(ATTRIBUTION + line.len());
        }
        self.paragraph.push_str(line);
        if self.paragraph.len() > ATTRIBUTION {
            self.commit();
        }
    }

    /// The paragraph introduces nothing: it is text.
    fn commit(&mut self) {
        self.words.own.push_str(&self.paragraph);
        self.paragraph.clear();
        self.is_complete = false;
    }
}

/// `On 1 October 2026, Ann <ann@example.org> wrote:` in any language: it says when or who.
fn is_attribution(paragraph: &str) -> bool {
    paragraph.trim_end().ends_with([':', '\u{ff1a}']) && paragraph.contains(|c: char| c.is_ascii_digit() || c == '@')
}

/// A line drawn with one character.
fn is_rule(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next().filter(|c| "-_=*~#+".contains(*c));
    text.len() > 2 && first.is_some_and(|first| chars.all(|c| c == first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> String {
        let mut plain = Plain::default();
        plain.push(text);
        plain.finish()
    }

    #[test]
    fn quotations_and_who_said_them() {
        assert_eq!(words("On 1 Oct 2026, Ann wrote:\n> Lunch?\n> Today?\nYes, at noon.\n"), "Yes, at noon.");
        assert_eq!(words("Am 1.10.2026 schrieb\nAnn <ann@example.org>:\r\n\r\n> Essen?\r\n\r\nJa.\r\n"), "Ja.");
        assert_eq!(words("I agree with this:\n> All of it.\nBut not now."), "I agree with this: But not now.");
        assert_eq!(words("Yes.\n\nOn 1 Oct 2026, Ann wrote:\n> Lunch?\n"), "Yes.");
        // Better than nothing.
        assert_eq!(words("> Lunch?\n>> When?\n"), "Lunch? When?");
        assert_eq!(words("On 1 Oct 2026, Ann wrote:\n> Lunch?\n"), "Lunch?");
        assert_eq!(words("FYI\n\n-----Original Message-----\nFrom: Ann\n"), "FYI");
        assert_eq!(words("-----Original Message-----\nFrom: Ann\n\nLunch?\n"), "From: Ann Lunch?");
    }

    #[test]
    fn signatures_and_rules() {
        assert_eq!(words("Hello\n-- \nAnn\n"), "Hello");
        assert_eq!(words("News\n=====\n\n* one\n-----\n* two"), "News * one * two");
        assert_eq!(
            words("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nHello\n-----BEGIN PGP SIGNATURE-----\n\niQ"),
            "Hello"
        );
        assert_eq!(words("Hi\n-----BEGIN PGP MESSAGE-----\n\nhQ"), "");
        assert_eq!(words("a -- b\n--c\n"), "a -- b --c");
    }

    #[test]
    fn long_lines_and_pieces() {
        let text = format!("{}word", " ".repeat(3 * LINE));
        assert_eq!(words(&text), "word");
        let mut plain = Plain::default();
        for c in "On 1 Oct 2026, Ann wrote:\r\n> a\r\nb\r\n-- \r\nc".chars() {
            plain.push(c.encode_utf8(&mut [0; 4]));
        }
        assert_eq!(plain.finish(), "b");
    }
}
