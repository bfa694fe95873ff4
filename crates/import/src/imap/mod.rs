//! Another IMAP server: its mailboxes, with UIDs and UIDVALIDITY where the mailbox here is empty.
//!
//! ```text
//! Session        connects, logs in, asks; knows no store
//! mailboxes      which mailbox there becomes which one here
//! Transfer       one mailbox: what is new comes, in batches, the UIDs ascending
//! memory         what came is noted in the commit that brought it
//! workers        one connection each, a mailbox at a time, and again after a pause where the server fails
//! ```
//! An attempt at a mailbox begins with what the store says, so going on after a lost connection, after a kill and a
//! week later are one thing. Servers are taken as they are: what one of them cannot deliver is named, and the rest comes.

mod connection;
pub mod framer;
mod mailboxes;
mod matching;
mod memory;
mod progress;
mod receiver;
pub mod response;
mod session;
mod transfer;
mod workers;

use std::path::PathBuf;
use std::time::Duration;

use store::Account;
use types::Principal;

use crate::{Report, Result};
use response::Answer;

pub use progress::{Progress, Shown};
pub use proto::Secret;

/// Where mail comes from.
#[derive(Clone, Debug)]
pub struct Server {
    /// A name or an address; its certificate must be for it.
    pub host: String,
    /// TCP.
    pub port: u16,
    /// What keeps others from reading along.
    pub security: Security,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// Whose mail.
    pub user: String,
    /// A password or a token.
    pub secret: Secret,
    /// Which of both.
    pub login: Login,
    /// It is gone when it says nothing for so long.
    pub silence: Duration,
    /// What is done when it fails.
    pub patience: Patience,
}

/// What keeps others from reading along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Security {
    /// TLS from the beginning, as on port 993.
    Tls,
    /// TLS after STARTTLS, as on port 143. Without it nothing is sent.
    StartTls,
    /// Nothing does.
    Insecure,
}

/// Whose certificates are believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trust {
    /// Those of the authorities that this machine knows.
    System,
    /// Those in a PEM file, and those that they issued.
    File(PathBuf),
    /// Everybody's: whoever stands in between can read along.
    Anybody,
}

/// What the secret is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Login {
    /// For AUTHENTICATE PLAIN or LOGIN.
    Password,
    /// An OAuth 2.0 access token, for OAUTHBEARER (RFC 7628) or XOAUTH2.
    Token,
}

/// After a failure: how long until the first new attempt, twice as long each time, up to `most`, and how many that
/// bring nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// Before the first.
    pub first: Duration,
    /// Before each.
    pub most: Duration,
    /// In a row.
    pub attempts: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), most: Duration::from_secs(60), attempts: 8 }
    }
}

/// What of it is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Only mailboxes whose name here matches one of these; all where there is none. `*` stands for anything.
    pub only: Vec<String>,
    /// None that match one of these.
    pub exclude: Vec<String>,
    /// Also what belongs to others or is shared (RFC 2342).
    pub shared: bool,
    /// Mailboxes at a time.
    pub connections: usize,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { only: vec![], exclude: vec![], shared: false, connections: 4 }
    }
}

impl Wanted {
    fn has(&self, name: &str) -> bool {
        let matches = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, name));
        (self.only.is_empty() || matches(&self.only)) && !matches(&self.exclude)
    }
}

/// `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Why something of it did not succeed.
#[derive(Clone, Debug)]
enum Failure {
    /// The connection: another one may do better.
    Lost(String),
    /// The server does not want to.
    Refused(Answer),
    /// It never will.
    Fatal(String),
    /// Ours.
    Store(store::Error),
}

impl Failure {
    fn lost(error: std::io::Error) -> Self {
        Self::Lost(error.to_string())
    }

    fn bye(answer: Answer) -> Self {
        Self::Lost(format!("the server says good-bye: {}", answer.text))
    }

    /// Whether it may succeed in a while.
    fn is_for_later(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Refused(answer) => answer.is_for_later(),
            Self::Fatal(_) | Self::Store(_) => false,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost(why) | Self::Fatal(why) => f.write_str(why),
            Self::Refused(answer) if answer.code.is_empty() => write!(f, "the server says: {}", answer.text),
            Self::Refused(answer) => write!(f, "the server says: [{}] {}", answer.code, answer.text),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

/// Takes over the mail of a user of another server. Run again, it takes what is new, and flags that changed there.
pub async fn import(
    account: &Account,
    who: &Principal,
    server: Server,
    wanted: Wanted,
    progress: &Progress,
) -> Result<Report> {
    let Some(one) = account.begin_import().await? else { return Err(crate::Error::Busy) };
    let host = server.host.clone();
    match workers::run((account, one), who, server, wanted, progress).await {
        Ok(report) => Ok(report),
        Err(Failure::Store(error)) => Err(error.into()),
        Err(other) => Err(crate::Error::Server { host, why: other.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, name, wanted) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("[Gmail]/*", "[Gmail]/All Mail", true),
            ("*/All*", "[Gmail]/All Mail", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("ab*b", "ab", false),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
