//! Other people's stores: reads mail from them and writes mail for them.
//!
//! [`imap`], another server; [`maildir`] (Maildir++ and nested) and [`mbox`], files. All stream: no message is held in memory. Line ends
//! are LF in the files and CRLF in the store. What a format cannot say by itself stands in a small file
//! beside the mail: special uses and subscriptions (`pillarbox.json`).

mod details;
pub mod imap;
mod lines;
pub mod maildir;
pub mod mbox;
mod names;
mod target;

use std::path::{Path, PathBuf};

/// What was done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Mailboxes.
    pub mailboxes: u64,
    /// Messages.
    pub messages: u64,
    /// Their octets, as they are in the store.
    pub octets: u64,
    /// Messages and mailboxes that could not be taken over.
    pub failed: u64,
    /// Flags that were brought up to date: messages.
    pub flags: u64,
    /// What was the matter with the first of them.
    pub problems: Vec<String>,
    /// What is worth knowing and no failure.
    pub remarks: Vec<String>,
}

/// So many problems are told.
const MAX_PROBLEMS: usize = 50;

impl Report {
    pub(crate) fn problem(&mut self, what: String) {
        self.failed += 1;
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(what);
        }
    }

    pub(crate) fn remark(&mut self, what: String) {
        if self.remarks.len() < MAX_PROBLEMS {
            self.remarks.push(what);
        }
    }

    /// What two did.
    pub(crate) fn add(&mut self, other: Self) {
        self.mailboxes += other.mailboxes;
        self.messages += other.messages;
        self.octets += other.octets;
        self.flags += other.flags;
        let failed = self.failed + other.failed;
        other.problems.into_iter().for_each(|problem| self.problem(problem));
        other.remarks.into_iter().for_each(|remark| self.remark(remark));
        self.failed = failed;
    }
}

/// Why it ended before it was done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The files.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An export goes into a directory of its own.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// The other server.
    #[error("{host}: {why}")]
    Server {
        /// Its name.
        host: String,
        /// What it did.
        why: String,
    },
    /// Two imports would bring everything twice.
    #[error("another import into this account is at work")]
    Busy,
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What the functions of this crate give.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Says of which file an error is.
pub(crate) trait At<T> {
    fn at(self, path: &Path) -> Result<T>;
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io { path: path.to_owned(), source })
    }
}

/// Makes the directory of an export, which must be new or empty.
pub(crate) fn fresh(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory).at(directory)?;
    match std::fs::read_dir(directory).at(directory)?.next() {
        Some(_) => Err(Error::Exists(directory.to_owned())),
        None => Ok(()),
    }
}
