//! The verbs: everything that changes an account. One verb is one function of the transaction,
//! wholly applied or not at all; its rights are decided first.

mod append;
mod expunge;
mod fill;
mod flags;
mod mailboxes;
mod notes;
mod purge;
mod quota;
mod relocate;
mod replace;
mod undelete;

pub(crate) use append::thread_of;
pub use append::{Appended, NewMessage};
pub use fill::Filling;
pub use flags::{FlagChange, FlagMode, FlagsStored};
pub(crate) use mailboxes::{create, first_mailboxes, new_entry};
pub use notes::{Importing, Note};
pub(crate) use relocate::transfer;
pub use relocate::{Copied, Missing};
pub(crate) use undelete::renew_deleted;
pub use undelete::{DeletedMailbox, Lost, LostQuery, Restored};
