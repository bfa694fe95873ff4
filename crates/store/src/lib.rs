//! The mail domain on an engine: accounts, mailboxes, snapshots, views, verbs.
//!
//! The idea, from which the rest follows:
//!
//! * A mailbox is an immutable [`Snapshot`] shared by everyone who looks at it.
//! * A session keeps what its client has been told, a [`View`]; catching up is one function from
//!   (told, current), [`View::advance`].
//! * A change goes to the one writer of its [`Account`]: it takes everything that is waiting, applies
//!   it verb by verb, commits once, publishes once, and then answers.
//!
//! Commit, then publish, then answer: nobody is told of anything that could still be lost. Reads
//! never wait for writes. Every verb takes the [`types::Principal`], and `rights` decides.
//!
//! No protocol word here, and no key outside of this crate.

mod account;
mod attendance;
mod blocking;
mod cards;
mod check;
mod chunk;
mod clock;
mod codec;
mod columns;
mod damage;
mod directory;
mod error;
mod gather;
mod incoming;
mod key;
mod keywords;
mod known_ids;
mod label;
mod load;
mod mailbox;
mod persist;
mod quota;
mod recover;
mod removal;
mod repair;
mod restore;
mod retention;
mod rights;
mod search;
mod snapshot;
mod sort;
mod source;
mod steps;
mod store;
#[cfg(test)]
mod testing;
mod thread;
mod tree;
mod txn;
mod verb;
mod view;
mod writer;

pub use account::Account;
pub use attendance::Attendance;
pub use blocking::{blocking, brief};
pub use cards::{Cards, CardsOfBodies};
pub use chunk::{Chunk, Row, Sums};
pub use clock::{Clock, SystemClock};
pub use directory::AccountRecord;
pub use engine::{Backup, Blob};
pub use error::{Error, Result};
pub use incoming::{Incoming, Received};
pub use keywords::Keywords;
pub use mailbox::{Mailbox, RecentFrom};
pub use quota::{Growth, Quota, QuotaEvent, QuotaOptions, QuotaSetting};
pub use restore::Restore;
pub use retention::{Purged, Retention};
pub use search::{Found, Key, Query, Search, When};
pub use snapshot::Snapshot;
pub use sort::{SortBy, SortKey, Sorted, Sorting};
pub use steps::{Steps, Turn};
pub use store::{Options, Store};
pub use thread::{Algorithm, Step, Threading, Threads};
pub use tree::{Entry, Summary, Tree};
pub use verb::{
    Appended, Copied, DeletedMailbox, Filling, FlagChange, FlagMode, FlagsStored, Importing, Lost, LostQuery, Missing,
    NewMessage, Note, Restored,
};
pub use view::{Silent, Told, Updates, View};
