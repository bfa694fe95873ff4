//! Every size, count and time that a peer can influence, with its default.
//!
//! This is the only place where such numbers stand. `docs/limits.md` documents them, the
//! configuration sets them by the same names, and transcripts stand on both sides of each.

use std::time::Duration;

/// What a peer may ask of the server. The defaults suit a family and a provider alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Octets of one message in APPEND and LMTP (RFC 7889 APPENDLIMIT, RFC 1870 SIZE). Above: `NO [TOOBIG]`, `552`.
    pub message_size: u64,
    /// Octets of one IMAP command without its message literals. Above: BAD, and BYE where the rest cannot be skipped.
    pub command_size: usize,
    /// Octets of one literal in a command that is not a message. Above: BAD.
    pub literal_size: usize,
    /// Octets that are read and thrown away after a refused non-synchronising literal. Above: BYE.
    pub drain_size: u64,
    /// Octets of one command before login: strangers get less.
    pub command_size_before_login: usize,
    /// Depth of parentheses in a SEARCH or a list.
    pub nesting: usize,
    /// Search keys in one SEARCH.
    pub search_keys: usize,
    /// Items in one FETCH, and header fields in one of them.
    pub fetch_items: usize,
    /// Patterns in one LIST.
    pub list_patterns: usize,
    /// Ranges in one sequence set.
    pub set_ranges: usize,
    /// Batches in one answer to UIDBATCHES: at least 200 (RFC 10022). Above: `NO [TOOMANY]`.
    pub uid_batches: usize,
    /// Messages in one MULTIAPPEND (RFC 3502).
    pub multiappend: usize,
    /// Errors (BAD, failed logins) of a connection before BYE.
    pub errors: u32,
    /// Failed logins of a connection before BYE.
    pub login_failures: u32,
    /// Silence before login ends the connection.
    pub login_timeout: Duration,
    /// Silence after login ends the connection: at least 30 minutes (RFC 9051 §5.4).
    pub idle_timeout: Duration,
    /// Between two `* OK Still here` in IDLE.
    pub idle_keepalive: Duration,
    /// A command that is at work for so long says so (RFC 9585).
    pub progress_after: Duration,
    /// And again after each so long: 10 to 15 seconds are recommended.
    pub progress_interval: Duration,
    /// A peer that does not take what we write for so long is gone.
    pub write_timeout: Duration,
    /// A TLS handshake ends in this time or not at all.
    pub handshake_timeout: Duration,
    /// Connections to all listeners together.
    pub connections: usize,
    /// Connections of one account. Above: `NO [LIMIT]`.
    pub connections_per_account: usize,
    /// Connections from one address that are not logged in.
    pub unauthenticated_per_address: usize,
    /// Mailboxes of one account.
    pub mailboxes: usize,
    /// Different keywords that a mailbox has ever seen. Above: `NO [LIMIT]`.
    pub keywords: usize,
    /// Keywords on one message.
    pub keywords_per_message: usize,
    /// Subscriptions of one account.
    pub subscriptions: usize,
    /// Recipients of one LMTP message, at least 100 (RFC 5321 §4.5.3.1.8): each has a copy that arrives. Above: `452 4.5.3`.
    pub recipients: usize,
    /// Silence of an LMTP client ends its connection: at least 5 minutes (RFC 5321 §4.5.3.2.7).
    pub lmtp_timeout: Duration,
    /// Octets of one LMTP command line (RFC 5321 §4.5.3.1.4 asks for at least 512, extensions add).
    pub lmtp_line: usize,
    /// Octets of one line of a message: longer ones are accepted in IMAP and broken up in nothing; LMTP answers 500 above this.
    pub message_line: usize,
    /// MIME parts of one message that are looked at; what follows counts as text of the last one.
    pub mime_parts: usize,
    /// Depth of MIME multiparts that is looked at; deeper ones count as opaque.
    pub mime_depth: usize,
    /// Octets of one header block that are looked at.
    pub header_size: usize,
    /// Password hashes computed at one time, and therefore memory: 19 MiB each, and as much again
    /// while the machine has no time for them. At most as many as there are processors.
    pub password_hashes: usize,
    /// Logins that wait for a password hash; networks take turns. Above: `NO [UNAVAILABLE]` for one of the network that most are from.
    pub password_queue: usize,
    /// Octets held while clients are waited for: commands and messages that are half there, answers that are not taken. Above: whoever waits with most is hung up on.
    pub waiting_memory: usize,
    /// Bytes of mailbox snapshots kept in memory for mailboxes that nobody has selected, and of filters of the message ids of accounts that get much mail.
    pub snapshot_memory: usize,
    /// Records of what was expunged (one for each command, or for 128 messages) that are read to answer QRESYNC. Above: the answer names every UID that is gone (RFC 7162 §3.2.6).
    pub change_records: usize,
}

impl Limits {
    /// Octets of memory that a server with so many connections stays below, whatever their clients do. How it comes
    /// about, and what an administrator's own accounts add: `docs/limits.md`.
    pub fn memory(&self, connections: usize) -> u64 {
        const PROGRAM: usize = 160 << 20;
        const CONNECTION: usize = 64 << 10;
        const PASSWORD_HASH: usize = 38 << 20;
        /// What comes and goes in large pieces costs so many times what is in use, with glibc's allocator: 2.9 measured.
        const ALLOCATOR: usize = 3;
        let parts = [
            PROGRAM,
            connections.saturating_mul(CONNECTION),
            self.waiting_memory.saturating_mul(ALLOCATOR),
            self.snapshot_memory,
            self.password_hashes.saturating_mul(PASSWORD_HASH),
        ];
        parts.into_iter().fold(0, |sum, part| sum.saturating_add(part as u64))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size: 50 << 20,
            command_size: 128 << 10,
            literal_size: 64 << 10,
            drain_size: 1 << 20,
            command_size_before_login: 8 << 10,
            nesting: 20,
            search_keys: 1000,
            fetch_items: 1000,
            list_patterns: 100,
            set_ranges: 10_000,
            uid_batches: 10_000,
            multiappend: 1000,
            errors: 20,
            login_failures: 5,
            login_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(30 * 60),
            idle_keepalive: Duration::from_secs(2 * 60),
            progress_after: Duration::from_secs(5),
            progress_interval: Duration::from_secs(10),
            write_timeout: Duration::from_secs(2 * 60),
            handshake_timeout: Duration::from_secs(20),
            connections: 50_000,
            connections_per_account: 100,
            unauthenticated_per_address: 200,
            mailboxes: 10_000,
            keywords: 5000,
            keywords_per_message: 200,
            subscriptions: 10_000,
            recipients: 100,
            lmtp_timeout: Duration::from_secs(5 * 60),
            lmtp_line: 4096,
            message_line: 1 << 20,
            mime_parts: 2000,
            mime_depth: 50,
            header_size: 1 << 20,
            password_hashes: 2,
            password_queue: 2000,
            waiting_memory: 256 << 20,
            snapshot_memory: 256 << 20,
            change_records: 10_000,
        }
    }
}
