//! Reads a transcript into steps. What is wrong with the file itself is found here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::options::{Options, duration};
use super::pattern::{ANY_CASE, mark, mark_any};
use super::spell::{octets, quoted, spell};

/// What a session speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// IMAP, either revision.
    Imap,
    /// LMTP.
    Lmtp,
}

/// Revision of IMAP.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Revision {
    /// RFC 3501.
    One,
    /// RFC 9051, enabled after login.
    Two,
}

/// A transcript, ready to run.
#[derive(Clone, Debug)]
pub struct Script {
    /// The path under `tests/transcripts`, without `.txt`: the name of the test.
    pub name: String,
    /// What `C1` speaks where nothing is said.
    pub protocol: Protocol,
    /// The revisions to run in.
    pub revisions: BTreeSet<Revision>,
    /// How the server is started.
    pub options: Options,
    pub(crate) needs: Vec<String>,
    pub(crate) mailboxes: Vec<Setup>,
    pub(crate) protocols: BTreeMap<u32, Protocol>,
    pub(crate) steps: Vec<Step>,
}

/// A mailbox that is there when the dialogue begins.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) account: String,
    pub(crate) name: String,
    pub(crate) messages: Vec<Message>,
}

/// A message of a [`Setup`], `count` times.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Message {
    pub(crate) content: Vec<u8>,
    pub(crate) count: u32,
    /// With parentheses, or nothing.
    pub(crate) flags: String,
    /// With quotes, or nothing.
    pub(crate) date: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) only: Option<Revision>,
    pub(crate) action: Action,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    Send { session: u32, parts: Vec<Part>, ending: Ending },
    Shorthand { sessions: Vec<u32>, verb: String, argument: String },
    Expect { session: u32, pattern: String, any_order: bool, times: Times },
    Absent { session: u32, text: String },
    Eof { session: u32 },
    Time(Duration),
    Disk { full: bool },
    Purge { expunged: Duration, history: Duration },
    Stop,
    Deliver { to: String, content: Vec<u8> },
    Check { left: String, relation: String, right: String },
}

/// How often a line of the server is expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Times {
    Once,
    /// Once or not at all.
    Perhaps,
    /// As often as it likes.
    Any,
}

/// What follows the text of a line of the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// CRLF, and off it goes.
    Sent,
    /// CRLF, and waits for the next line.
    Held,
    /// Nothing, and off it goes.
    Raw,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// With names to substitute.
    Text(String),
    /// Octets of a literal; a synchronising one waits for `+`.
    Literal { octets: Vec<u8>, synchronising: bool },
}

const SHORTHANDS: [&str; 10] =
    ["connect", "login", "logout", "select", "examine", "rev2", "starttls", "disconnect", "deflate", "plain"];

impl Script {
    /// Reads `transcripts/name.txt`; messages come from the directory `messages`.
    pub fn load(transcripts: &Path, messages: &Path, name: &str) -> Result<Self, String> {
        let path = transcripts.join(format!("{name}.txt"));
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Self::parse(name, &text, &|file| std::fs::read(messages.join(file)).map_err(|e| format!("{file}: {e}")))
    }

    /// Reads a transcript; `file` reads a message.
    pub fn parse(name: &str, text: &str, file: &dyn Fn(&str) -> Result<Vec<u8>, String>) -> Result<Self, String> {
        let protocol = if name.starts_with("lmtp/") { Protocol::Lmtp } else { Protocol::Imap };
        check_citation(name, text)?;
        let script = Self {
            name: name.to_owned(),
            protocol,
            revisions: match protocol {
                Protocol::Imap => [Revision::One, Revision::Two].into(),
                Protocol::Lmtp => [Revision::Two].into(),
            },
            options: Options::default(),
            needs: Vec::new(),
            mailboxes: Vec::new(),
            protocols: BTreeMap::new(),
            steps: Vec::new(),
        };
        let lines = text.lines().enumerate().map(|(i, l)| (i + 1, l)).collect::<Vec<_>>();
        let mut reader = Reader { script, lines: lines.into_iter().peekable(), file };
        while let Some((number, line)) = reader.lines.next() {
            reader.line(number, line).map_err(|e| format!("{name}.txt:{number}: {e}"))?;
        }
        Ok(reader.script)
    }
}

/// The first comment cites a section, and of the RFC that the folder is named after.
fn check_citation(name: &str, text: &str) -> Result<(), String> {
    let comment: Vec<&str> = text.lines().take_while(|l| l.starts_with('#')).collect();
    let comment = comment.join(" ");
    let numbers = comment.split("RFC ").skip(1).filter_map(|rest| {
        let (number, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        rest.trim_start_matches([' ', ',']).starts_with('§').then_some(number)
    });
    let folder = name.split('/').nth(1).and_then(|f| f.strip_prefix("rfc"));
    let cited: Vec<&str> = numbers.collect();
    if cited.is_empty() || folder.is_some_and(|f| !cited.contains(&f)) {
        return Err(format!(
            "{name}.txt:1: begin with a comment that cites the section: # RFC {} §x.y: …",
            folder.unwrap_or("nnnn")
        ));
    }
    Ok(())
}

struct Reader<'a, L: Iterator<Item = (usize, &'a str)>> {
    script: Script,
    lines: std::iter::Peekable<L>,
    file: &'a dyn Fn(&str) -> Result<Vec<u8>, String>,
}

impl<'a, L: Iterator<Item = (usize, &'a str)>> Reader<'a, L> {
    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if self.head(line)? {
            return Ok(());
        }
        let (only, line) = match (line.strip_prefix("rev1 "), line.strip_prefix("rev2 ")) {
            (Some(line), _) => (Some(Revision::One), line),
            (_, Some(line)) => (Some(Revision::Two), line),
            _ => (None, line),
        };
        let action = self.action(line)?;
        self.script.steps.push(Step { line: number, only, action });
        Ok(())
    }

    /// Lines that say how to begin.
    fn head(&mut self, line: &str) -> Result<bool, String> {
        let Some((key, value)) = line.split_once(':') else { return Ok(false) };
        let words = || value.split_whitespace();
        match key {
            "needs" => self.script.needs.extend(words().map(str::to_owned)),
            "revs" => {
                self.script.revisions = words().map(revision).collect::<Result<_, _>>()?;
            }
            "config" => {
                for word in words() {
                    let (key, value) = word.split_once('=').ok_or("config: name=value")?;
                    self.script.options.set(key, value)?;
                }
            }
            "account" => self.script.options.accounts.extend(words().map(str::to_owned)),
            "imap" | "lmtp" => {
                let protocol = if key == "imap" { Protocol::Imap } else { Protocol::Lmtp };
                for s in sessions(value.trim())? {
                    self.script.protocols.insert(s, protocol);
                }
            }
            _ => {
                let Some(name) = key.strip_prefix("mailbox ") else { return Ok(false) };
                let (account, name) = name.split_once("'s ").unwrap_or(("alice", name));
                let messages = self.messages(value.trim())?;
                self.script.mailboxes.push(Setup { account: account.to_owned(), name: name.to_owned(), messages });
            }
        }
        Ok(true)
    }

    /// `empty`, or `file.eml x3 (\Seen) "date"` as often as you like, with commas.
    fn messages(&self, text: &str) -> Result<Vec<Message>, String> {
        if text == "empty" {
            return Ok(Vec::new());
        }
        text.split(',').map(|m| self.message(m.trim())).collect()
    }

    fn message(&self, text: &str) -> Result<Message, String> {
        let (file, mut rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut message = Message { content: self.content(file)?, count: 1, flags: String::new(), date: String::new() };
        loop {
            rest = rest.trim_start();
            let close = match rest.chars().next() {
                None => return Ok(message),
                Some('(') => ')',
                Some('"') => '"',
                Some(_) => ' ',
            };
            let end =
                rest.char_indices().skip(1).find(|(_, c)| *c == close).map_or(rest.len(), |(i, c)| i + c.len_utf8());
            let (word, after) = rest.split_at(end);
            match close {
                ')' => message.flags = word.to_owned(),
                '"' => message.date = word.to_owned(),
                _ => {
                    let count = word.trim().strip_prefix('x').and_then(|n| n.parse().ok());
                    message.count = count.ok_or_else(|| format!("no count (x3): {word}"))?;
                }
            }
            rest = after;
        }
    }

    /// A file with CRLF line ends.
    fn content(&self, file: &str) -> Result<Vec<u8>, String> {
        let raw = (self.file)(file)?;
        let mut out = Vec::with_capacity(raw.len());
        for byte in raw {
            if byte == b'\n' && out.last() != Some(&b'\r') {
                out.push(b'\r');
            }
            out.push(byte);
        }
        Ok(out)
    }

    fn action(&mut self, line: &str) -> Result<Action, String> {
        if let Some(rest) = line.strip_prefix("deliver ") {
            let (to, file) = rest.split_once(": ").ok_or("deliver WHO: file.eml")?;
            return Ok(Action::Deliver { to: to.to_owned(), content: self.content(file)? });
        }
        if let Some(time) = line.strip_prefix("time: +") {
            return Ok(Action::Time(duration(time)?));
        }
        if line == "server: stop" {
            return Ok(Action::Stop);
        }
        if let Some(state) = line.strip_prefix("disk: ") {
            let full = state == "full";
            return if full || state == "free" { Ok(Action::Disk { full }) } else { Err("disk: full or free".into()) };
        }
        if let Some(times) = line.strip_prefix("purge: ") {
            let (expunged, history) = times.split_once(' ').unwrap_or((times, "180d"));
            return Ok(Action::Purge { expunged: duration(expunged)?, history: duration(history)? });
        }
        if let Some(check) = line.strip_prefix("check: ") {
            let mut words = check.split(' ').map(str::to_owned);
            let mut word = || words.next().ok_or("check: <a> < <b>");
            return Ok(Action::Check { left: word()?, relation: word()?, right: word()? });
        }
        let colon = line.find([':', '>', '-']).ok_or("no such line in a transcript")?;
        let (who, rest) = line.split_at(colon);
        let (mark, text) = rest.split_at(1);
        let text = text.strip_prefix(' ').unwrap_or(text);
        if let Some(who) = who.strip_prefix('S') {
            return self.server(who, text);
        }
        if !who.starts_with('C') {
            return Err("no such line in a transcript".into());
        }
        let sessions = sessions(who)?;
        let (verb, argument) = text.split_once(' ').unwrap_or((text, ""));
        if SHORTHANDS.contains(&verb) {
            return Ok(Action::Shorthand { sessions, verb: verb.to_owned(), argument: argument.to_owned() });
        }
        let [session] = sessions.as_slice() else { return Err("several clients only in a shorthand".into()) };
        let ending = match mark {
            ":" => Ending::Sent,
            ">" => Ending::Held,
            _ => Ending::Raw,
        };
        Ok(Action::Send { session: *session, parts: self.parts(text)?, ending })
    }

    fn server(&mut self, who: &str, text: &str) -> Result<Action, String> {
        let digits = who.trim_end_matches(['*', '?', '+', '!', '~']);
        let session: u32 = digits.parse().map_err(|_| format!("no session: S{who}"))?;
        if text == "<eof>" {
            return Ok(Action::Eof { session });
        }
        if who.ends_with('!') {
            return Ok(Action::Absent { session, text: text.to_owned() });
        }
        let mut pattern = if who.contains('~') { ANY_CASE.to_string() } else { String::new() };
        // What is UTF-8 is read as UTF-8, however it is written here.
        let mut text = spell(&octets(&self.expand(text)?));
        loop {
            let Some((before, _, literal)) = self.literal(&text)? else {
                pattern.push_str(&mark(&text));
                break;
            };
            pattern.push_str(&mark(&before));
            pattern.push_str(&mark_any(&quoted(&spell(&octets(&literal)))));
            match self.continuation() {
                Some(more) => text = self.expand(&more)?,
                None => break,
            }
        }
        let times = match (who.contains('?'), who.contains('+')) {
            (true, _) => Times::Perhaps,
            (_, true) => Times::Any,
            _ => Times::Once,
        };
        Ok(Action::Expect { session, pattern, any_order: who.contains('*'), times })
    }

    /// Text and literals of a line of the client.
    fn parts(&mut self, text: &str) -> Result<Vec<Part>, String> {
        let mut parts = Vec::new();
        let mut text = self.expand(text)?;
        while let Some((before, marker, literal)) = self.literal(&text)? {
            let octets = octets(&literal);
            let plus = if marker.ends_with("+}") { "+" } else { "" };
            parts.push(Part::Text(format!("{before}{{{}{plus}}}\n", octets.len())));
            parts.push(Part::Literal { octets, synchronising: plus.is_empty() });
            match self.continuation() {
                Some(more) => text = self.expand(&more)?,
                None => return Ok(parts),
            }
        }
        parts.push(Part::Text(text));
        Ok(parts)
    }

    /// The line up to its literal, the marker, and the text of the `|` lines that follow.
    fn literal(&mut self, text: &str) -> Result<Option<(String, String, String)>, String> {
        if !self.lines.peek().is_some_and(|(_, next)| next.starts_with('|')) {
            return Ok(None);
        }
        let at = text.rfind('{').filter(|_| text.ends_with('}')).ok_or("lines with | follow a literal: {…}")?;
        let (before, marker) = text.split_at(at);
        let mut lines = Vec::new();
        while let Some((_, line)) = self.lines.next_if(|(_, next)| next.starts_with('|')) {
            let line = line.strip_prefix('|').unwrap_or(line);
            lines.push(self.expand(line.strip_prefix(' ').unwrap_or(line))?);
        }
        let content = lines.join("\n");
        let size = marker.trim_matches(['{', '}']).trim_end_matches('+');
        let real = octets(&content).len();
        if size != "…" && size.parse() != Ok(real) {
            return Err(format!("the literal says {size} and has {real} octets"));
        }
        Ok(Some((before.to_owned(), marker.to_owned(), content)))
    }

    fn continuation(&mut self) -> Option<String> {
        let (_, line) = self.lines.next_if(|(_, next)| next.starts_with('>'))?;
        Some(line.strip_prefix('>').unwrap_or(line).to_owned())
    }

    /// `<repeat 70000 x>` and `<file simple.eml>`.
    fn expand(&self, text: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("<repeat ").into_iter().chain(rest.find("<file ")).min() {
            let (before, macro_) = rest.split_at(at);
            let (body, after) = macro_.split_once('>').ok_or("no > after <")?;
            out.push_str(before);
            if let Some(file) = body.strip_prefix("<file ") {
                out.push_str(&spell(&self.content(file)?));
            } else {
                let (count, what) = body.trim_start_matches("<repeat ").split_once(' ').ok_or("<repeat 3 x>")?;
                let count: usize = count.parse().map_err(|_| "<repeat 3 x>")?;
                out.push_str(&what.repeat(count));
            }
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

fn revision(text: &str) -> Result<Revision, String> {
    match text {
        "1" => Ok(Revision::One),
        "2" => Ok(Revision::Two),
        _ => Err(format!("no revision: {text}")),
    }
}

/// `C1, C2`.
fn sessions(text: &str) -> Result<Vec<u32>, String> {
    let session =
        |s: &str| s.trim().strip_prefix('C').and_then(|s| s.parse().ok()).ok_or_else(|| format!("no session: {s}"));
    text.split(',').map(session).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Script, String> {
        let text = format!("# RFC 9051 §6: x\n{text}");
        Script::parse("imap/rfc9051/x", &text, &|_| Ok(b"a\nb\r\n".to_vec()))
    }

    fn actions(text: &str) -> Vec<Action> {
        parse(text).unwrap().steps.into_iter().map(|s| s.action).collect()
    }

    #[test]
    fn the_citation_is_checked() {
        let load = |text| Script::parse("imap/rfc6851/move", text, &|_| Ok(vec![]));
        assert!(load("# RFC 6851 §3.3: COPYUID\n").is_ok());
        assert!(load("# RFC 9051 §7: x,\n# and RFC 6851 §3\n").is_ok());
        assert!(load("# RFC 9051 §7: x\n").is_err());
        assert!(load("# RFC 6851: x\n").is_err());
        assert!(load("C1: a NOOP\n").is_err());
    }

    #[test]
    fn the_head() {
        let script = parse("needs: MOVE\nrevs: 2\nconfig: errors=3\nmailbox INBOX: a.eml x3, b.eml (\\Seen \\Draft) \"1-Feb-2026 10:00:00 +0000\"\nmailbox bob's A b: empty\n").unwrap();
        assert_eq!(script.options.limits.errors, 3);
        assert_eq!(script.revisions, [Revision::Two].into());
        let message = Message { content: b"a\r\nb\r\n".to_vec(), count: 3, flags: String::new(), date: String::new() };
        let second = Message {
            count: 1,
            flags: "(\\Seen \\Draft)".into(),
            date: "\"1-Feb-2026 10:00:00 +0000\"".into(),
            ..message.clone()
        };
        assert_eq!(script.mailboxes[0].messages, [message, second]);
        assert_eq!((script.mailboxes[1].account.as_str(), script.mailboxes[1].name.as_str()), ("bob", "A b"));
    }

    #[test]
    fn literals_are_counted() {
        let sent = actions("C1: a LOGIN {…}\n| alice\n> {6+}\n| secret\n");
        let text = |t: &str| Part::Text(t.into());
        let literal = |t: &str, synchronising| Part::Literal { octets: t.into(), synchronising };
        let parts = vec![text("a LOGIN {5}\n"), literal("alice", true), text(" {6+}\n"), literal("secret", false)];
        assert_eq!(sent, [Action::Send { session: 1, parts, ending: Ending::Sent }]);
        assert!(parse("C1: a LOGIN {4}\n| alice\n").is_err());
        assert!(parse("C1: a LOGIN\n| alice\n").is_err());
    }

    #[test]
    fn repeats_and_files() {
        let parts = vec![Part::Text("a xxx a\nb\n.".into())];
        assert_eq!(actions("C1> a <repeat 3 x> <file f>."), [Action::Send { session: 1, parts, ending: Ending::Held }]);
    }

    #[test]
    fn shorthands_guards_and_the_rest() {
        let script = parse("C1, C2: select INBOX\nrev1 S2*?: * 0 RECENT\ntime: +30m\nC1- a\n").unwrap();
        assert!(matches!(&script.steps[0].action, Action::Shorthand { sessions, .. } if sessions == &[1, 2]));
        assert_eq!(script.steps[1].only, Some(Revision::One));
        assert!(matches!(
            &script.steps[1].action,
            Action::Expect { session: 2, any_order: true, times: Times::Perhaps, .. }
        ));
        assert_eq!(script.steps[2].action, Action::Time(Duration::from_secs(1800)));
        assert!(matches!(&script.steps[3].action, Action::Send { ending: Ending::Raw, .. }));
        assert!(parse("what\n").unwrap_err().starts_with("imap/rfc9051/x.txt:2:"));
    }
}
