//! Commands at random, of somebody who tries to find out what others have.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proto::imap::{Command, Dialect, Request};
use testkit::fault_disk::Random;
use types::Limits;

/// What a client sends next.
pub(crate) struct Step {
    /// Each is sent when nothing more comes for the one before.
    pub(crate) pieces: Vec<String>,
    /// The server hangs up.
    pub(crate) last: bool,
}

/// Names of mailboxes: one's own, those that bob has, and ways to spell somebody else's.
const NAMES: &[&str] = &[
    "INBOX",
    "Sent",
    "Work",
    "Work/2026",
    "Secret",
    "Secret/Plans",
    "bob",
    "bob/INBOX",
    "user/bob",
    "user/bob/Secret",
    "\"Other Users/bob\"",
    "~bob",
    "#user/bob",
    "../bob",
    "Shared",
    "F4-1",
];
const PATTERNS: &[&str] =
    &["*", "%", "bob*", "Secret*", "~bob/%", "#*", "\"Other Users/%\"", "user/*", "Work/%", "\"\""];
const SETS: &[&str] = &["1", "1:*", "*", "2:4", "1,3", "4294967295", "7:9"];
/// Of alice (account 1), of bob (account 4), and of nobody.
const IDS: &[&str] = &["E1-1", "E1-2", "E4-1", "E4-2", "T1-1", "T4-1", "T4-7", "F1-1", "F4-1", "E0-1", "M"];
const ROOTS: &[&str] = &["alice", "bob", "nobody", "\"\"", "carol", "INBOX", "Alice"];
const WRONG: &[(&str, &str)] =
    &[("bob", "x"), ("nobody", "x"), ("bob", "\"\""), ("alice", "x"), ("bob@example.org", "secret")];
const ITEMS: &str =
    "(UID FLAGS MODSEQ INTERNALDATE SAVEDATE RFC822.SIZE EMAILID THREADID ENVELOPE BODYSTRUCTURE PREVIEW BODY.PEEK[])";
const STATUS: &str = "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN SIZE DELETED HIGHESTMODSEQ MAILBOXID)";

macro_rules! kinds {
    ($($name:ident)*) => {
        /// All there are; a new one does not compile until it stands here, and fails until it is tried.
        pub(crate) const KINDS: &[&str] = &[$(stringify!($name)),*];

        fn kind(command: &Command) -> &'static str {
            match command {
                $(Command::$name { .. } => stringify!($name),)*
            }
        }
    };
}
kinds! {
    Capability Noop Logout StartTls Compress Unauthenticate Authenticate Login Id Enable Select Examine Create Delete
    Rename Subscribe Unsubscribe List Lsub Namespace Status Idle Check Close Unselect Expunge UidExpunge Search Fetch
    Store Copy Move GetQuota GetQuotaRoot SetQuota Sort Thread UidBatches
}

/// Draws commands and keeps what kinds there were.
pub(crate) struct Commands {
    pub(crate) chance: Random,
    pub(crate) tried: BTreeSet<&'static str>,
    /// As far as it can be known without looking at the answers.
    logged_in: bool,
}

impl Commands {
    pub(crate) fn new(seed: u64) -> Self {
        Self { chance: Random::new(seed), tried: BTreeSet::new(), logged_in: false }
    }

    /// A new connection is a stranger's.
    pub(crate) fn begin(&mut self) {
        self.logged_in = false;
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[self.chance.below(from.len() as u64) as usize]
    }

    pub(crate) fn next(&mut self) -> Step {
        let command = if self.logged_in { self.of_user() } else { self.of_stranger() };
        self.note(&command);
        let last = command == "LOGOUT";
        self.logged_in = match command.as_str() {
            "LOGIN alice secret" | "LOGIN carol secret" => true,
            "UNAUTHENTICATE" => false,
            _ => self.logged_in,
        };
        let mut pieces = vec![format!("a {command}\r\n")];
        if command == "IDLE" && self.logged_in {
            pieces.push("DONE\r\n".into());
        }
        Step { pieces, last }
    }

    fn note(&mut self, command: &str) {
        let dialect = Dialect { rev2: false, utf8: false, condstore: true, qresync: true, uid_only: false };
        if let Ok(request) = Request::parse(format!("a {command}").as_bytes(), dialect, &Limits::default()) {
            self.tried.insert(kind(&request.command));
        } else if command.starts_with("APPEND") {
            self.tried.insert("APPEND");
        } else if command.contains("REPLACE") {
            self.tried.insert("REPLACE");
        } else {
            panic!("no command: {command}");
        }
    }

    fn of_stranger(&mut self) -> String {
        match self.chance.below(14) {
            0 | 7 | 8 => {
                let (name, password) = WRONG[self.chance.below(WRONG.len() as u64) as usize];
                format!("LOGIN {name} {password}")
            }
            1 => {
                let name = self.pick(&["bob", "nobody", "alice"]);
                format!("AUTHENTICATE PLAIN {}", BASE64_STANDARD.encode(format!("\0{name}\0x")))
            }
            // To act as somebody else (RFC 4616).
            2 => format!("AUTHENTICATE PLAIN {}", BASE64_STANDARD.encode("bob\0alice\0secret")),
            3 => "COMPRESS DEFLATE".into(),
            4 => "CAPABILITY".into(),
            5 => format!("STATUS {} {STATUS}", self.pick(NAMES)),
            6 => "LOGIN carol secret".into(),
            _ => "LOGIN alice secret".into(),
        }
    }

    fn of_user(&mut self) -> String {
        let (name, other) = (self.pick(NAMES), self.pick(NAMES));
        let (set, id, pattern) = (self.pick(SETS), self.pick(IDS), self.pick(PATTERNS));
        let uid = self.pick(&["", "UID "]);
        match self.chance.below(72) {
            0 => "CAPABILITY".into(),
            1 => "NOOP".into(),
            2 => "CHECK".into(),
            3 => "ID (\"name\" \"x\")".into(),
            4 => "NAMESPACE".into(),
            5 => format!("ENABLE {}", self.pick(&["CONDSTORE", "QRESYNC", "X-ALL"])),
            6 => "STARTTLS".into(),
            7 => self.pick(&["UNAUTHENTICATE", "LOGOUT"]).into(),
            8 => "APPEND INBOX {16+}\r\nSubject: c\r\n\r\nd\r\n".into(),
            9 | 10 => "IDLE".into(),
            11..=13 => "SELECT INBOX".into(),
            14 => format!("SELECT {name} (QRESYNC (1795176000 1 1:9))"),
            15 => format!("{} {name}", self.pick(&["SELECT", "EXAMINE"])),
            16 => "CREATE Work (USE (\\Archive))".into(),
            17 | 18 => format!("CREATE {name}"),
            19 => format!("DELETE {name}"),
            20 => format!("RENAME {name} {other}"),
            21 => format!("SUBSCRIBE {name}"),
            22 => format!("UNSUBSCRIBE {name}"),
            23 => format!("LIST \"\" {pattern}"),
            24 => format!("LIST {name} {pattern} RETURN (SUBSCRIBED CHILDREN SPECIAL-USE STATUS {STATUS})"),
            25 => format!("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" ({pattern} *)"),
            26 => format!("LSUB \"\" {pattern}"),
            27..=30 => format!("STATUS {name} {STATUS}"),
            31..=34 => format!("APPEND {name} (\\Seen $x) {{16+}}\r\nSubject: a\r\n\r\nb\r\n"),
            35..=38 => format!("{uid}FETCH {set} {ITEMS}"),
            39 => format!("{uid}FETCH {set} (FLAGS) (CHANGEDSINCE 1)"),
            40 => format!("{uid}SEARCH RETURN (ALL COUNT) OR EMAILID {id} THREADID {id}"),
            41 => format!("{uid}SEARCH OR TEXT secret SUBJECT a"),
            42 => format!("{uid}SORT (SUBJECT REVERSE DATE) UTF-8 ALL"),
            43 => format!("{uid}THREAD REFERENCES UTF-8 ALL"),
            44 => format!("{uid}STORE {set} +FLAGS (\\Deleted $y)"),
            45 => format!("{uid}STORE {set} (UNCHANGEDSINCE 3) -FLAGS (\\Seen)"),
            46..=48 => format!("{uid}COPY {set} {other}"),
            49 | 50 => format!("{uid}MOVE {set} {other}"),
            51 => "EXPUNGE".into(),
            52 => format!("UID EXPUNGE {set}"),
            53 => "UIDBATCHES 500".into(),
            54 => self.pick(&["CLOSE", "UNSELECT"]).into(),
            55 => format!("{uid}REPLACE {set} {name} {{3+}}\r\na\r\n"),
            56 | 57 => format!("GETQUOTA {}", self.pick(ROOTS)),
            58 => format!("GETQUOTAROOT {name}"),
            59 => format!("SETQUOTA {} (STORAGE 1)", self.pick(ROOTS)),
            60 => "LOGIN bob x".into(),
            // Much is only possible with a mailbox that has messages.
            _ => "SELECT INBOX".into(),
        }
    }
}
