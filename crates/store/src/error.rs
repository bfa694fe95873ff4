//! What can go wrong with a verb, told apart by whose fault it is.

use engine::CommitError;
use types::{FlagError, NameError};

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// There is no such mailbox, or none that this principal may know of.
    #[error("there is no such mailbox")]
    NoSuchMailbox,
    /// The target of an APPEND, COPY or MOVE does not exist but could be created.
    #[error("there is no such mailbox; create it first")]
    NoSuchTarget,
    /// The name is taken.
    #[error("a mailbox of that name exists")]
    MailboxExists,
    /// INBOX cannot be deleted, a mailbox cannot become its own inferior, and the like.
    #[error("{0}")]
    Cannot(&'static str),
    /// The mailbox has inferiors and nothing else to give up.
    #[error("the mailbox has inferiors; delete them first")]
    HasChildren,
    /// A number in [`types::Limits`] is reached.
    #[error("the limit of {0} is reached")]
    Limit(&'static str),
    /// The account would use more than its quota allows (RFC 9208).
    #[error("that is more than the account's quota of {0} allows")]
    OverQuota(types::Resource),
    /// There is no such quota root, or none that this principal may know of.
    #[error("there is no such quota root")]
    NoSuchQuotaRoot,
    /// The principal may see it and not do it.
    #[error("that is not permitted")]
    NotPermitted,
    /// A message is larger than the limit.
    #[error("the message is larger than the {limit} octets allowed")]
    TooBig {
        /// [`types::Limits::message_size`]
        limit: u64,
    },
    /// The disk is full: reading and deleting still work.
    #[error("the mail server's disk is full")]
    DiskFull,
    /// Some of the messages have been expunged by another session.
    #[error("some of the messages no longer exist")]
    Expunged,
    /// Another mailbox has this special use already.
    #[error("another mailbox has that special use")]
    SpecialUseTaken,
    /// `\All` and `\Flagged` would be views of other mailboxes, which we do not keep.
    #[error("mailboxes for that special use cannot be created here")]
    SpecialUseUnsupported,
    /// There is no such account.
    #[error("there is no such account")]
    NoSuchAccount,
    /// The account exists.
    #[error("an account of that name exists")]
    AccountExists,
    /// No name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No flag.
    #[error(transparent)]
    Flag(#[from] FlagError),
    /// What is stored is damaged; the text names it for the administrator.
    #[error("damaged: {0}")]
    Damaged(String),
    /// The engine failed, or the store is read-only since it did.
    #[error("{0}")]
    Engine(engine::Error),
    /// Another process changed the account.
    #[error("the account was changed by somebody else; try again")]
    Conflict,
    /// A bug of ours; the log has the details.
    #[error("an internal error")]
    Internal,
}

impl From<engine::Error> for Error {
    fn from(error: engine::Error) -> Self {
        match error {
            engine::Error::Full => Self::DiskFull,
            engine::Error::Damaged(what) => Self::Damaged(what),
            other => Self::Engine(other),
        }
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict => Self::Conflict,
            CommitError::Failed(error) => error.into(),
        }
    }
}

/// What the store's functions give.
pub type Result<T, E = Error> = std::result::Result<T, E>;
