//! Transcripts: tests that read like the examples of an RFC.
//!
//! A file under `tests/transcripts/{imap,lmtp}` is one test per revision of IMAP it names.
//! It is a head (what must be there first) and a dialogue, line by line:
//!
//! ```text
//! # RFC 6851 §3.3: the first comment cites the section that the dialogue shows.
//! needs: MOVE UIDPLUS             capabilities without which the file makes no sense
//! revs: 1 2                       revisions to run in (both, where nothing is said)
//! config: errors=3 literals=minus limits of `types::Limits` by name, and options
//! config: quota.storage=10        the quota of every account, in units
//! config: off=MOVE off:bob=ID,SORT capabilities that are switched off, for everybody or for an account
//! account: bob                    an account beside alice
//! mailbox INBOX: simple.eml x3, html.eml (\Seen) "1-Feb-2026 10:00:00 +0000"
//! mailbox Archive: empty
//! C1, C2: select INBOX            shorthand: connect login logout select examine rev2 starttls disconnect
//! C1: deflate partial             from here on compressed both ways, each line flushed so (sync partial full finish);
//!                                 `C1: plain`: what the client sends is not any more
//!
//! C1: a1 UID MOVE 2 Archive       a line of the client, sent with CRLF
//! C1> a2 NOOP                     held back, goes with the next `C1:` in one packet
//! C1- a3 NO                       sent as it stands, without CRLF
//! S1: a1 OK …                     the next line of the server; … is any text
//! S1: * 1 FETCH (UID <uid>)       <uid> is bound once and must be the same from then on
//! S1*: * 2 EXPUNGE                a block of such lines comes in any order
//! S1?: * 0 RECENT                 may come, need not
//! S1+: * … EXPUNGE                may come, as often as it likes
//! S1~: * 1 FETCH (BODY (…))       upper and lower case are one
//! S1!: LOGINDISABLED              the line just read does not contain this
//! S1: <eof>                       the server hangs up
//! rev1 S1: * 0 RECENT             only in that revision
//! C1: a4 LOGIN {5}                a literal: `|` lines, joined by CRLF; sent after the server's `+`
//! | alice
//! > secret                        what follows the literal, to the letter after `>`
//! time: +30m                      scripted time
//! disk: full                      and `disk: free`
//! purge: 0s                       what was expunged or deleted so long ago goes for good; `purge: 0s 0s`
//!                                 and its UIDs are forgotten as well
//! server: stop                    as SIGTERM does
//! deliver alice: simple.eml       through LMTP
//! lmtp: C3                        session 3 speaks LMTP (`imap: C3` in an LMTP file)
//! check: <b> > <a>                numbers bound before; also < = !=
//! ```
//!
//! `{…}` and `{…+}` are literals whose size the runner counts; `\xNN` is a byte; `<repeat 70000 x>`
//! and `<file simple.eml>` are text too long to show. A session that was not connected by hand is
//! logged in as alice (password `secret`) in the revision of the run.
//!
//! Where the grammar leaves the order free (items of FETCH and STATUS, flags, attributes, numbers
//! of SEARCH) or the spelling of a string (quoted or literal), so does the comparison. Lines that
//! are not listed fail the test; so does what [`Server::check`] finds afterwards.

mod arrange;
mod deflated;
mod options;
mod pattern;
mod run;
mod script;
mod session;
mod spell;
#[cfg(test)]
mod tests;

pub use options::{Literals, Options};
pub use run::{Failure, run};
pub use script::{Protocol, Revision, Script};
pub use session::Stream;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// Where a session connects to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listener {
    /// IMAP in plaintext, with STARTTLS.
    Imap,
    /// IMAP after an implicit TLS handshake, which the runner performs.
    Imaps,
    /// LMTP.
    Lmtp,
}

/// Makes servers for transcripts: each transcript gets one of its own.
pub trait Harness: Send + Sync {
    /// A server with the accounts, limits and switches of `options`. Called inside a tokio runtime
    /// with one thread and a paused clock.
    fn start<'a>(&'a self, options: &'a Options) -> Starting<'a>;
}

/// A server that is being started, or why it cannot be.
pub type Starting<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn Server>, String>> + 'a>>;

/// A purge under way.
pub type Purging<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + 'a>>;

/// A running server under test.
pub trait Server {
    /// A new connection.
    fn connect(&mut self, listener: Listener) -> Result<Box<dyn Stream>, String>;

    /// What the client side of a TLS handshake needs to trust the server.
    fn tls(&self) -> std::sync::Arc<rustls::ClientConfig>;

    /// Called before scripted time passes in tokio's clock, so that the wall clock can go along.
    fn time_passes(&mut self, _time: Duration) {}

    /// From now on there is no space for new messages, or there is again.
    fn disk_is_full(&mut self, full: bool);

    /// Purges what was expunged or deleted longer ago than this, and forgets UIDs after that.
    fn purge(&mut self, _expunged: Duration, _history: Duration) -> Purging<'_> {
        Box::pin(std::future::ready(Err("this server cannot purge".into())))
    }

    /// Begins to stop, and lets the sessions say goodbye.
    fn stop(&mut self);

    /// Everything that is wrong with what is stored, in plain words. Called at the end.
    fn check(&mut self) -> Vec<String>;
}
