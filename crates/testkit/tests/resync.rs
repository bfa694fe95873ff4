//! Clients that come and go: whatever the history, one that does what RFC 7162 §6 says with our answers
//! ends with the server's mailbox.
//!
//! Three devices change one mailbox in random ways. A device may lose its connection at any moment, also
//! after a command whose answer it never saw; then it comes back with `SELECT (QRESYNC (…))`, with what
//! it has kept: UIDVALIDITY, HIGHESTMODSEQ, and each message's flags.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use testkit::in_process::InProcess;
use testkit::transcript::{Harness, Listener, Options, Server, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use types::Uid;

type Flags = BTreeSet<String>;

/// What one device does: which, what, and two numbers to choose by.
type Op = (usize, u8, u8, u8);

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_device_ends_with_the_servers_mailbox(
        ops in proptest::collection::vec((0..3usize, 0..21u8, any::<u8>(), any::<u8>()), 1..80),
        change_records in prop_oneof![Just(10_000usize), Just(2usize)],
    ) {
        play(&ops, change_records);
    }
}

fn play(ops: &[Op], change_records: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut options = Options::default();
        options.limits.change_records = change_records;
        let harness = InProcess::in_memory().unwrap();
        let mut server = harness.start(&options).await.unwrap();
        let mut devices = [Device::default(), Device::default(), Device::default()];
        for &(device, what, a, b) in ops {
            devices[device].act(&mut *server, what, a, b).await;
        }
        for device in &mut devices {
            device.lose();
            device.connect(&mut *server, 0).await;
        }
        let truth = Device::default().after_full_sync(&mut *server).await;
        for (n, device) in devices.iter_mut().enumerate() {
            assert_eq!(device.kept, truth, "device {n}");
        }
        assert_eq!(server.check(), Vec::<String>::new());
    });
}

/// A client with a disk.
#[derive(Default)]
struct Device {
    uid_validity: u32,
    /// HIGHESTMODSEQ as RFC 7162 §6 has it; 0 before the first synchronisation.
    modseq: u64,
    /// The messages below this UID have been fetched once.
    next: u32,
    kept: BTreeMap<u32, Flags>,
    online: Option<Connection>,
}

struct Connection {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
    /// The messages by number; `None` for one that came and was not fetched.
    numbers: Vec<Option<u32>>,
}

/// What a STORE means for the flags that the device keeps.
struct Own {
    add: bool,
    flag: String,
}

impl Device {
    async fn act(&mut self, server: &mut dyn Server, what: u8, a: u8, b: u8) {
        if what == 20 {
            // Retention ends for everything that went so far; sometimes its UIDs are forgotten, too.
            let history = Duration::from_secs(if b.is_multiple_of(2) { 0 } else { 1 << 30 });
            return server.purge(Duration::ZERO, history).await.unwrap();
        }
        if self.online.is_none() {
            return self.connect(server, a).await;
        }
        if what == 0 {
            return self.lose();
        }
        let Some((command, own)) = self.command(what, a, b) else { return };
        let connection = self.online.as_mut().unwrap();
        if b.is_multiple_of(11) {
            // The server may do it; the device never learns.
            connection.send(&command).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
            return self.lose();
        }
        let closes = command == "CLOSE";
        self.ask(&command, own.as_ref()).await;
        if closes || b.is_multiple_of(7) {
            self.lose();
        } else {
            self.fetch_new().await;
        }
    }

    /// A command, where the mailbox as the device knows it has messages for it.
    fn command(&self, what: u8, a: u8, b: u8) -> Option<(String, Option<Own>)> {
        let numbers = &self.online.as_ref()?.numbers;
        let some = |n: u8| (!numbers.is_empty()).then(|| usize::from(n) % numbers.len() + 1);
        let uid = |n: u8| some(n).and_then(|number| numbers[number - 1]);
        let flag = ["\\Seen", "\\Deleted", "\\Flagged", "$x"][usize::from(a / 4) % 4];
        let sign = if a.is_multiple_of(4) { '-' } else { '+' };
        let own = || Some(Own { add: sign == '+', flag: flag.to_owned() });
        let (from, to) = (some(a), some(b));
        let range = || Some(format!("{}:{}", from?, to?));
        let uids = || Some(format!("{}:{}", uid(a)?, uid(b)?));
        let modseq = self.modseq;
        Some(match what {
            1 | 2 => ("NOOP".into(), None),
            3 => (format!("STORE {} {sign}FLAGS ({flag})", range()?), None),
            4 => (format!("STORE {} {sign}FLAGS.SILENT ({flag})", range()?), own()),
            5 => (format!("UID STORE {} {sign}FLAGS.SILENT ({flag})", uids()?), own()),
            6 => (format!("STORE {} (UNCHANGEDSINCE {modseq}) {sign}FLAGS.SILENT ({flag})", range()?), own()),
            7 => (format!("UID STORE {} (UNCHANGEDSINCE {modseq}) {sign}FLAGS ({flag})", uids()?), None),
            8 => (format!("FETCH {} (UID FLAGS MODSEQ)", range()?), None),
            9 => (format!("FETCH {} (BODY[TEXT])", range()?), None),
            10 => ("EXPUNGE".into(), None),
            11 => (format!("UID EXPUNGE {}", uids()?), None),
            12 => ("APPEND INBOX {7+}\r\nx: \r\n\r\n".into(), None),
            13 => ("APPEND INBOX (\\Deleted $x) {7+}\r\nx: \r\n\r\n".into(), None),
            14 => (format!("MOVE {} Archive", some(a)?), None),
            15 => (format!("UID MOVE {} INBOX", uid(a)?), None),
            16 => (format!("COPY {} INBOX", some(a)?), None),
            17 => (format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq} VANISHED)"), None),
            18 => (format!("UID SEARCH {} MODSEQ {modseq}", some(a)?), None),
            _ => ("CLOSE".into(), None),
        })
    }

    fn lose(&mut self) {
        self.online = None;
    }

    async fn connect(&mut self, server: &mut dyn Server, how: u8) {
        let stream = server.connect(Listener::Imap).unwrap();
        let mut connection = Connection { stream, unread: vec![], numbers: vec![] };
        connection.line().await;
        self.online = Some(connection);
        self.ask("LOGIN alice secret", None).await;
        self.ask("ENABLE QRESYNC", None).await;
        let known = self.kept.keys().map(u32::to_string).collect::<Vec<_>>().join(",");
        let select = if self.modseq == 0 {
            "SELECT INBOX (CONDSTORE)".to_owned()
        } else {
            let matches = match how % 4 {
                1 if !known.is_empty() => format!(" {known}"),
                // Numbers and UIDs as the device last knew them: all of the messages, or every other one.
                2 if !known.is_empty() => format!(" (1:{} {known})", self.kept.len()),
                3 if !known.is_empty() => {
                    let every_other = |(n, uid): (usize, &u32)| (n % 2 == 0).then(|| (n + 1, *uid));
                    let pairs: Vec<_> = self.kept.keys().enumerate().filter_map(every_other).collect();
                    let join = |of: Vec<String>| of.join(",");
                    let numbers = join(pairs.iter().map(|(n, _)| n.to_string()).collect());
                    let uids = join(pairs.iter().map(|(_, uid)| uid.to_string()).collect());
                    format!(" ({numbers} {uids})")
                }
                _ => String::new(),
            };
            format!("SELECT INBOX (QRESYNC ({} {}{matches}))", self.uid_validity, self.modseq)
        };
        self.ask(&select, None).await;
        self.fetch_new().await;
    }

    /// RFC 7162 §6: "At this point, the client is synchronized, except for maybe the new messages."
    async fn fetch_new(&mut self) {
        if self.online.as_ref().unwrap().numbers.iter().any(Option::is_none) {
            self.ask(&format!("UID FETCH {}:* (FLAGS MODSEQ)", self.next.max(1)), None).await;
        }
        let connection = self.online.as_mut().unwrap();
        // The numbers of old messages follow from their UIDs.
        if connection.numbers.len() == self.kept.len() {
            let kept = self.kept.keys();
            for (number, uid) in connection.numbers.iter_mut().zip(kept) {
                assert_eq!(*number.get_or_insert(*uid), *uid, "a number means another message");
            }
            self.next = self.next.max(self.kept.keys().last().map_or(0, |uid| uid + 1));
        } else {
            // Some came and went while we asked: the next command tells.
            assert!(connection.numbers.len() > self.kept.len(), "the device keeps what the server does not have");
        }
    }

    async fn after_full_sync(&mut self, server: &mut dyn Server) -> BTreeMap<u32, Flags> {
        self.connect(server, 0).await;
        self.ask("UID FETCH 1:* (FLAGS)", None).await;
        std::mem::take(&mut self.kept)
    }

    /// Sends a command and does with the answer what a client should.
    async fn ask(&mut self, command: &str, own: Option<&Own>) {
        let mut connection = self.online.take().unwrap();
        connection.send(command).await;
        let (mut told, mut seen) = (None, 0);
        loop {
            let line = connection.line().await;
            if let Some(modseq) = between(&line, "[HIGHESTMODSEQ ", "]") {
                told = Some(modseq.parse().unwrap());
            }
            if let Some(validity) = between(&line, "[UIDVALIDITY ", "]") {
                self.uid_validity = validity.parse().unwrap();
            }
            if let Some(tagged) = line.strip_prefix("a ") {
                assert!(!tagged.starts_with("BAD"), "{command}: {line}");
                break;
            }
            assert!(!line.starts_with("* BAD") && !line.starts_with("* BYE"), "{command}: {line}");
            seen = self.untagged(&mut connection, &line, own).max(seen);
        }
        // RFC 7162 §6: the code, "even if it has seen higher mod-sequences"; otherwise the highest seen.
        self.modseq = told.unwrap_or_else(|| self.modseq.max(seen));
        self.online = Some(connection);
    }

    /// Applies a line; gives the mod-sequence in it.
    fn untagged(&mut self, connection: &mut Connection, line: &str, own: Option<&Own>) -> u64 {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["*", "VANISHED", "(EARLIER)", set] => {
                uids(set).for_each(|uid| drop(self.kept.remove(&uid)));
            }
            ["*", "VANISHED", set] => {
                for uid in uids(set) {
                    self.kept.remove(&uid);
                    let at = connection.numbers.iter().position(|known| *known == Some(uid));
                    // One that was never fetched stands behind all that were.
                    let at = at.or_else(|| connection.numbers.iter().position(Option::is_none));
                    connection.numbers.remove(at.expect("VANISHED names a message that was told"));
                }
            }
            ["*", count, "EXISTS"] => {
                let count = count.parse().unwrap();
                assert!(count >= connection.numbers.len(), "EXISTS shrank");
                connection.numbers.resize(count, None);
            }
            ["*", _, "EXPUNGE"] => panic!("EXPUNGE after ENABLE QRESYNC: {line}"),
            ["*", number, "FETCH", ..] => return self.fetched(connection, number.parse().unwrap(), line, own),
            _ => {}
        }
        0
    }

    fn fetched(&mut self, connection: &mut Connection, number: usize, line: &str, own: Option<&Own>) -> u64 {
        let uid = between(line, "UID ", " ").or_else(|| between(line, "UID ", ")"));
        let slot = &mut connection.numbers[number - 1];
        let Some(uid) = uid.map(|uid| uid.trim_end_matches(')').parse().unwrap()).or(*slot) else { return 0 };
        assert_eq!(*slot.get_or_insert(uid), uid, "{line}");
        let modseq = between(line, "MODSEQ (", ")").map_or(0, |modseq| modseq.parse().unwrap());
        match (between(line, "FLAGS (", ")"), own) {
            (Some(flags), _) => {
                let flags = flags.split(' ').filter(|flag| !flag.is_empty() && *flag != "\\Recent");
                self.kept.insert(uid, flags.map(str::to_owned).collect());
            }
            (None, Some(own)) => {
                let kept = self.kept.entry(uid).or_default();
                if own.add {
                    kept.insert(own.flag.clone());
                } else {
                    kept.remove(&own.flag);
                }
            }
            (None, None) => {}
        }
        modseq
    }
}

impl Connection {
    async fn send(&mut self, command: &str) {
        self.stream.write_all(format!("a {command}\r\n").as_bytes()).await.unwrap();
    }

    async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).collect();
                return String::from_utf8(line[..end].to_vec()).unwrap();
            }
            let read = self.stream.read_buf(&mut self.unread).await.unwrap();
            assert!(read > 0, "the server hung up");
        }
    }
}

fn between<'l>(line: &'l str, before: &str, after: &str) -> Option<&'l str> {
    let (_, rest) = line.split_once(before)?;
    rest.split_once(after).map(|(inside, _)| inside)
}

fn uids(set: &str) -> impl Iterator<Item = u32> + '_ {
    set.split(',').flat_map(|range| {
        let (a, b) = range.split_once(':').unwrap_or((range, range));
        let number = |text: &str| Uid::new(text.parse().unwrap()).unwrap().get();
        number(a)..=number(b)
    })
}
