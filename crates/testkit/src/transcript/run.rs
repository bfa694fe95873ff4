//! Runs a script against a server.
//!
//! Whether something more comes is asked of tokio's paused clock: when every task waits, the clock
//! jumps to our timeout, so that silence costs nothing and is never a guess.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::arrange::arrange;
use super::pattern::{self, ANY_CASE, Bindings, show};
use super::script::{Action, Ending, Part, Protocol, Revision, Script, Setup, Step, Times};
use super::session::{Event, Session};
use super::spell::octets;
use super::{Harness, Listener, Server};

/// How long a listed line may take, and how long we listen at the end. Below every time that a
/// transcript waits for on purpose.
const PATIENCE: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(2);

/// Why a transcript failed: where, what, and the dialogue so far.
#[derive(Debug)]
pub struct Failure {
    place: String,
    what: String,
    dialogue: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.place, self.what)?;
        let skip = self.dialogue.len().saturating_sub(30);
        self.dialogue.iter().skip(skip).try_for_each(|line| writeln!(f, "    {line}"))
    }
}

/// Runs the script in one revision, on a runtime of its own.
pub fn run(script: &Script, revision: Revision, harness: &dyn Harness) -> Result<(), Failure> {
    let place = format!("{}.txt", script.name);
    let early = |what: String| Failure { place: place.clone(), what, dialogue: Vec::new() };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .map_err(|e| early(e.to_string()))?;
    runtime.block_on(async {
        let server = harness.start(&script.options).await.map_err(&early)?;
        let (sessions, bound) = (BTreeMap::new(), Bindings::new());
        let mut play = Play { script, revision, server, sessions, bound, optional: Vec::new(), dialogue: Vec::new() };
        let mut line = 1;
        let result = play.all(&mut line).await;
        result.map_err(|what| Failure { place: format!("{place}:{line}"), what, dialogue: play.dialogue })
    })
}

struct Play<'a> {
    script: &'a Script,
    revision: Revision,
    server: Box<dyn Server>,
    sessions: BTreeMap<u32, Session>,
    bound: Bindings,
    /// Lines that may come now: session, pattern, how often.
    optional: Vec<(u32, String, Times)>,
    dialogue: Vec<String>,
}

impl Play<'_> {
    async fn all(&mut self, line: &mut usize) -> Result<(), String> {
        self.prepare().await?;
        let steps: Vec<&Step> =
            self.script.steps.iter().filter(|s| s.only.is_none_or(|r| r == self.revision)).collect();
        let mut at = 0;
        while let Some(step) = steps.get(at) {
            *line = step.line;
            let block = self.block(steps.get(at..).unwrap_or_default());
            at += block.len().max(1);
            match block.is_empty() {
                true => self.step(&step.action).await?,
                false => self.expect_any_order(block).await?,
            }
        }
        *line = self.script.steps.last().map_or(1, |s| s.line);
        self.silence().await?;
        self.sessions.clear();
        let wrong = self.server.check();
        if wrong.is_empty() { Ok(()) } else { Err(format!("the store is not as it should be:\n{}", wrong.join("\n"))) }
    }

    /// The patterns at the beginning of `steps` that may come in any order.
    fn block<'s>(&self, steps: &[&'s Step]) -> Vec<(u32, &'s str, Times)> {
        let expected = |step: &&'s Step| match &step.action {
            Action::Expect { session, pattern, any_order: true, times } => Some((*session, pattern.as_str(), *times)),
            _ => None,
        };
        let first = steps.first().and_then(expected).map(|(session, ..)| session);
        steps.iter().map_while(expected).take_while(|(session, ..)| Some(*session) == first).collect()
    }

    async fn step(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Send { session, parts, ending } => self.send(*session, parts, *ending).await,
            Action::Shorthand { sessions, verb, argument } => {
                for session in sessions {
                    self.shorthand(*session, verb, argument).await?;
                }
                Ok(())
            }
            Action::Expect { session, pattern, times: Times::Once, .. } => {
                self.expect(*session, pattern).await?;
                self.optional.retain(|(s, ..)| s != session);
                Ok(())
            }
            Action::Expect { session, pattern, times, .. } => {
                self.optional.push((*session, pattern.clone(), *times));
                Ok(())
            }
            Action::Absent { session, text } => match self.session(*session).await?.last.contains(text.as_str()) {
                true => Err(format!("this should not contain {text}")),
                false => Ok(()),
            },
            Action::Eof { session } => self.expect_eof(*session).await,
            Action::Time(time) => {
                self.server.time_passes(*time);
                // Every timer on the way fires in its turn; nobody waits for real.
                tokio::time::sleep(*time).await;
                Ok(())
            }
            Action::Disk { full } => {
                self.server.disk_is_full(*full);
                Ok(())
            }
            Action::Purge { expunged, history } => self.server.purge(*expunged, *history).await,
            Action::Stop => {
                self.server.stop();
                Ok(())
            }
            Action::Deliver { to, content } => self.deliver(to, content).await,
            Action::Check { left, relation, right } => self.check(left, relation, right),
        }
    }

    // ---- before the dialogue ----

    async fn prepare(&mut self) -> Result<(), String> {
        if !self.script.needs.is_empty() {
            let mut session = self.logged_in("alice", Revision::One).await?;
            let lines = self.command(&mut session, "CAPABILITY").await?;
            let has = |need: &&String| lines.iter().any(|l| l.split(' ').any(|word| word == need.as_str()));
            if let Some(missing) = self.script.needs.iter().find(|need| !has(need)) {
                return Err(format!("needs the capability {missing}"));
            }
        }
        for setup in &self.script.mailboxes {
            self.fill(setup).await?;
        }
        self.dialogue.clear();
        Ok(())
    }

    /// Creates and fills a mailbox through the protocol, without ever selecting it.
    async fn fill(&mut self, setup: &Setup) -> Result<(), String> {
        let mut session = self.logged_in(&setup.account, Revision::Two).await?;
        let name = super::spell::quoted(&setup.name);
        let there = self.command(&mut session, &format!("LIST \"\" {name}")).await?;
        if !there.iter().any(|l| l.starts_with("* LIST ") && !l.contains("\\NonExistent")) {
            self.command(&mut session, &format!("CREATE {name}")).await?;
        }
        for message in &setup.messages {
            let words = [&message.flags, &message.date].into_iter().filter(|w| !w.is_empty());
            let options: String = words.map(|w| format!(" {w}")).collect();
            for _ in 0..message.count {
                let command = format!("APPEND {name}{options} {{{}}}\n", message.content.len());
                let tag = session.tag();
                session.send(&octets(&format!("{tag} {command}"))).await;
                self.answer(&mut session, "+ ").await?;
                session.send(&message.content).await;
                session.send(b"\r\n").await;
                self.answer(&mut session, &format!("{tag} OK ")).await?;
            }
        }
        self.command(&mut session, "LOGOUT").await?;
        Ok(())
    }

    // ---- sessions ----

    async fn session(&mut self, number: u32) -> Result<&mut Session, String> {
        if !self.sessions.contains_key(&number) {
            let protocol = self.script.protocols.get(&number).copied().unwrap_or(self.script.protocol);
            let session = match protocol {
                Protocol::Imap => self.logged_in("alice", self.revision).await?,
                Protocol::Lmtp => self.greeted_by_lmtp().await?,
            };
            self.sessions.insert(number, session);
        }
        self.sessions.get_mut(&number).ok_or_else(|| "no session".into())
    }

    async fn connected(&mut self, listener: Listener) -> Result<Session, String> {
        let protocol = if listener == Listener::Lmtp { Protocol::Lmtp } else { Protocol::Imap };
        let mut session = Session::new(self.server.connect(listener)?, protocol);
        if listener == Listener::Imaps {
            session.handshake(self.server.tls()).await?;
        }
        Ok(session)
    }

    async fn logged_in(&mut self, user: &str, revision: Revision) -> Result<Session, String> {
        let plain = self.script.options.plaintext_login;
        let mut session = self.connected(if plain { Listener::Imap } else { Listener::Imaps }).await?;
        self.answer(&mut session, "* OK ").await?;
        self.login(&mut session, user, revision).await?;
        Ok(session)
    }

    async fn login(&mut self, session: &mut Session, user: &str, revision: Revision) -> Result<(), String> {
        self.command(session, &format!("LOGIN {user} secret")).await?;
        if revision == Revision::Two {
            self.command(session, "ENABLE IMAP4rev2").await?;
        }
        Ok(())
    }

    async fn greeted_by_lmtp(&mut self) -> Result<Session, String> {
        let mut session = self.connected(Listener::Lmtp).await?;
        self.answer(&mut session, "220 ").await?;
        session.send(b"LHLO client.example.org\r\n").await;
        self.answer(&mut session, "250 ").await?;
        Ok(session)
    }

    async fn shorthand(&mut self, number: u32, verb: &str, argument: &str) -> Result<(), String> {
        if verb == "connect" {
            let protocol = self.script.protocols.get(&number).copied().unwrap_or(self.script.protocol);
            let session = match (protocol, argument) {
                (Protocol::Lmtp, _) => self.connected(Listener::Lmtp).await?,
                (_, "tls") => self.connected(Listener::Imaps).await?,
                _ => self.connected(Listener::Imap).await?,
            };
            self.sessions.insert(number, session);
            return Ok(());
        }
        if verb == "login" && !self.sessions.contains_key(&number) {
            let user = if argument.is_empty() { "alice" } else { argument };
            let session = self.logged_in(user, self.revision).await?;
            self.sessions.insert(number, session);
            return Ok(());
        }
        self.session(number).await?;
        let Some(mut session) = self.sessions.remove(&number) else { return Ok(()) };
        let result = match verb {
            "login" => {
                self.login(&mut session, if argument.is_empty() { "alice" } else { argument }, self.revision).await
            }
            "rev2" => self.command(&mut session, "ENABLE IMAP4rev2").await.map(drop),
            "select" | "examine" | "logout" => {
                let command = format!("{} {argument}", verb.to_uppercase());
                self.command(&mut session, command.trim_end()).await.map(drop)
            }
            "starttls" => session.handshake(self.server.tls()).await,
            "deflate" => session.deflate(argument),
            "plain" => {
                session.end_deflate();
                Ok(())
            }
            _ => {
                session.disconnect();
                Ok(())
            }
        };
        self.sessions.insert(number, session);
        result
    }

    /// A command of the runner's own: what was answered, if it was OK.
    async fn command(&mut self, session: &mut Session, command: &str) -> Result<Vec<String>, String> {
        let tag = session.tag();
        session.send(&octets(&format!("{tag} {command}\n"))).await;
        self.answer(session, &format!("{tag} OK ")).await
    }

    /// Responses up to the one that begins so. A refusal of any kind ends the wait.
    async fn answer(&mut self, session: &mut Session, beginning: &str) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        loop {
            match session.next(PATIENCE).await? {
                Event::Response(line) => {
                    let done = line.starts_with(beginning);
                    let tagged = line.starts_with("kit")
                        || line.starts_with("+ ")
                        || (session.protocol == Protocol::Lmtp && line.get(3..4) == Some(" "));
                    lines.push(line);
                    match (done, tagged) {
                        (true, _) => return Ok(lines),
                        (false, true) => {
                            return Err(format!("preparing: expected {beginning}…, got {}", lines.join("\n")));
                        }
                        (false, false) => {}
                    }
                }
                other => {
                    return Err(format!("preparing: expected {beginning}…, got {other:?} after {}", lines.join("\n")));
                }
            }
        }
    }

    // ---- the dialogue ----

    async fn send(&mut self, number: u32, parts: &[Part], ending: Ending) -> Result<(), String> {
        for part in parts {
            match part {
                Part::Text(text) => {
                    let text = pattern::substitute(text, &self.bound)?;
                    self.dialogue.push(format!("C{number}: {}", text.trim_end_matches('\n')));
                    self.session(number).await?.held.extend(octets(&text));
                }
                Part::Literal { octets, synchronising } => {
                    if *synchronising {
                        self.flush(number).await?;
                        self.expect(number, &pattern::mark("+ …")).await?;
                    }
                    self.session(number).await?.held.extend(octets);
                }
            }
        }
        if ending != Ending::Raw {
            self.session(number).await?.held.extend(b"\r\n");
        }
        if ending != Ending::Held { self.flush(number).await } else { Ok(()) }
    }

    async fn flush(&mut self, number: u32) -> Result<(), String> {
        let session = self.session(number).await?;
        let held = std::mem::take(&mut session.held);
        session.send(&held).await;
        Ok(())
    }

    async fn expect(&mut self, number: u32, expected: &str) -> Result<(), String> {
        loop {
            let event = self.next(number).await?;
            if let Event::Response(line) = &event {
                if self.fits(number, expected, line) {
                    return Ok(());
                }
                if self.take_optional(number, line) {
                    continue;
                }
            }
            return Err(format!("expected  {}\n     got  {}", show(expected), shown(&event)));
        }
    }

    async fn expect_any_order(&mut self, block: Vec<(u32, &str, Times)>) -> Result<(), String> {
        let Some(&(number, ..)) = block.first() else { return Ok(()) };
        let (wanted, optional): (Vec<_>, Vec<_>) = block.into_iter().partition(|(.., times)| *times == Times::Once);
        self.optional.extend(optional.into_iter().map(|(s, p, times)| (s, p.to_owned(), times)));
        let mut wanted: Vec<&str> = wanted.into_iter().map(|(_, p, _)| p).collect();
        while !wanted.is_empty() {
            let event = self.next(number).await?;
            if let Event::Response(line) = &event {
                let lmtp = other_separator(line);
                let is_lmtp = self.session(number).await?.protocol == Protocol::Lmtp;
                if let Some(at) =
                    wanted.iter().position(|p| self.fits(number, p, line) || is_lmtp && self.fits(number, p, &lmtp))
                {
                    wanted.remove(at);
                    continue;
                }
                if self.take_optional(number, line) {
                    continue;
                }
            }
            let wanted: Vec<String> = wanted.iter().map(|p| show(p)).collect();
            return Err(format!("expected  {}\n     got  {}", wanted.join("\n      or  "), shown(&event)));
        }
        Ok(())
    }

    async fn next(&mut self, number: u32) -> Result<Event, String> {
        let event = self.session(number).await?.next(PATIENCE).await?;
        self.dialogue.push(format!("S{number}: {}", shown(&event)));
        Ok(event)
    }

    fn take_optional(&mut self, number: u32, line: &str) -> bool {
        let mut candidates = std::mem::take(&mut self.optional);
        let found = candidates.iter().position(|(s, p, _)| *s == number && self.fits(number, p, line));
        if let Some(at) = found.filter(|at| candidates.get(*at).is_some_and(|(.., times)| *times == Times::Perhaps)) {
            candidates.remove(at);
        }
        self.optional = candidates;
        found.is_some()
    }

    fn fits(&mut self, number: u32, expected: &str, line: &str) -> bool {
        if self.sessions.get(&number).is_some_and(|s| s.protocol == Protocol::Lmtp) {
            return pattern::matches(expected, line, &mut self.bound);
        }
        let (expected, line) = match expected.strip_prefix(ANY_CASE) {
            Some(expected) => arrange(&expected.to_ascii_lowercase(), &line.to_ascii_lowercase()),
            None => arrange(expected, line),
        };
        pattern::matches(&expected, &line, &mut self.bound)
    }

    async fn expect_eof(&mut self, number: u32) -> Result<(), String> {
        loop {
            match self.next(number).await? {
                Event::Eof => {
                    self.session(number).await?.ended = true;
                    return Ok(());
                }
                Event::Response(line) if self.take_optional(number, &line) => {}
                event => return Err(format!("expected the end, got  {}", shown(&event))),
            }
        }
    }

    /// Nothing more comes on any session that we did not list.
    async fn silence(&mut self) -> Result<(), String> {
        for number in self.sessions.keys().copied().collect::<Vec<_>>() {
            loop {
                let session = self.session(number).await?;
                let event = session.next(SILENCE).await?;
                match &event {
                    Event::Silence => break,
                    Event::Eof if session.ended => break,
                    Event::Response(line) if self.take_optional(number, line) => {}
                    _ => return Err(format!("at the end, not listed: S{number}: {}", shown(&event))),
                }
            }
        }
        Ok(())
    }

    async fn deliver(&mut self, to: &str, content: &[u8]) -> Result<(), String> {
        let mut session = self.greeted_by_lmtp().await?;
        for (command, answer) in [
            ("MAIL FROM:<sender@example.net>".to_owned(), "250 "),
            (format!("RCPT TO:<{to}@example.org>"), "250 "),
            ("DATA".to_owned(), "354 "),
        ] {
            session.send(format!("{command}\r\n").as_bytes()).await;
            self.answer(&mut session, answer).await?;
        }
        let stuffed: Vec<u8> = content
            .split_inclusive(|b| *b == b'\n')
            .flat_map(|line| {
                let dot: &[u8] = if line.starts_with(b".") { b"." } else { b"" };
                [dot, line].concat()
            })
            .collect();
        session.send(&stuffed).await;
        session.send(if content.ends_with(b"\n") { b".\r\n" } else { b"\r\n.\r\n" }).await;
        self.answer(&mut session, "250 ").await.map(drop)
    }

    fn check(&self, left: &str, relation: &str, right: &str) -> Result<(), String> {
        let value = |text: &str| pattern::substitute(text, &self.bound);
        let (l, r) = (value(left)?, value(right)?);
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("no number: {text}"));
        let holds = match relation {
            "=" => l == r,
            "!=" => l != r,
            "<" => number(&l)? < number(&r)?,
            ">" => number(&l)? > number(&r)?,
            _ => return Err(format!("no relation: {relation}")),
        };
        if holds { Ok(()) } else { Err(format!("{left} {relation} {right} does not hold: {l}, {r}")) }
    }
}

/// In a block of LMTP lines in any order it is open which one is the last, the one with a space.
fn other_separator(line: &str) -> String {
    match (line.get(..3), line.get(3..4), line.get(4..)) {
        (Some(code), Some("-"), Some(text)) => format!("{code} {text}"),
        (Some(code), Some(" "), Some(text)) => format!("{code}-{text}"),
        _ => line.to_owned(),
    }
}

fn shown(event: &Event) -> String {
    match event {
        Event::Response(line) if line.len() > 2000 => {
            format!("{}[… {} octets]", line.chars().take(2000).collect::<String>(), line.len())
        }
        Event::Response(line) => line.clone(),
        Event::Eof => "<eof>".into(),
        Event::Silence => "nothing".into(),
    }
}
