//! The values of Pillarbox, and nothing else: no I/O, no clock, no randomness.
//!
//! Each type can only hold what is valid; the constructors say no.  Numbers of different
//! meaning have different types and never mix.

mod account_name;
mod date;
mod flag;
mod id;
mod idset;
mod limits;
mod mailbox_name;
mod principal;
mod quota;
mod sequence_set;
mod special_use;

pub use account_name::{AccountName, AccountNameError};
pub use date::{Civil, DateTime, UnixTime};
pub use flag::{Flag, FlagError, Flags, Keyword};
pub use id::{AccountId, EmailId, MailboxId, ModSeq, Number, SeqNum, ThreadId, Uid, UidValidity};
pub use idset::IdSet;
pub use limits::Limits;
pub use mailbox_name::{MailboxName, NameError};
pub use principal::{MailboxRef, Principal};
pub use quota::{Resource, Resources};
pub use sequence_set::{SequenceSet, SetBound};
pub use special_use::SpecialUse;
