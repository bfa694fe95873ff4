//! The states of a session and what each knows.
//!
//! ```text
//!                   greeting
//!                      │
//!                      ▼
//!            ┌──────────────────┐  STARTTLS: the same state, under TLS
//!            │ NotAuthenticated │◄─┐
//!            └──────────────────┘──┘
//!                      │ LOGIN, AUTHENTICATE
//!                      ▼
//!            ┌──────────────────┐
//!        ┌──►│  Authenticated   │
//!        │   └──────────────────┘
//!        │             │ SELECT, EXAMINE
//!        │             ▼
//!        │   ┌──────────────────┐  SELECT, EXAMINE: another mailbox
//!        │   │     Selected     │◄─┐
//!        │   └──────────────────┘──┘
//!        └─────────────┘ CLOSE, UNSELECT, a SELECT that fails, [CLOSED]
//!
//!   from every state: LOGOUT, BYE, the end of the connection
//! ```

use proto::imap::{Dialect, Ids};
use store::{Account, Attendance, Mailbox, View};
use tokio::sync::watch;
use types::{AccountName, IdSet, Principal, Uid};

use super::answer::Failure;
use super::cmd::uid_batches::Answered;
use super::lost::Lost;

/// Where a session is (RFC 9051 §3).
pub(crate) enum State {
    /// Nobody has logged in.
    NotAuthenticated(NotAuthenticated),
    /// Somebody has, no mailbox is selected.
    Authenticated(Authenticated),
    /// A mailbox is selected. Boxed: the others are small.
    Selected(Box<Selected>),
    /// The client said LOGOUT.
    Logout,
}

/// A stranger.
#[derive(Debug, Default)]
pub(crate) struct NotAuthenticated {
    /// Logins that failed.
    pub(crate) failures: u32,
}

/// Somebody who has logged in.
pub(crate) struct Authenticated {
    /// Under which name.
    pub(crate) name: AccountName,
    /// Whose rights count.
    pub(crate) principal: Principal,
    /// The account of this session.
    pub(crate) account: Account,
    /// Whether the mailbox that was selected has been deleted by somebody else.
    pub(crate) lost: Lost,
}

/// Somebody with a mailbox.
pub(crate) struct Selected {
    /// Who.
    pub(crate) user: Authenticated,
    /// Which mailbox. Its snapshot is taken when needed and not kept.
    pub(crate) mailbox: Mailbox,
    /// What the client has been told.
    pub(crate) view: View,
    /// Keeps what the client may still read although it is gone: goes along with the view.
    pub(crate) attendance: Attendance,
    /// By EXAMINE.
    pub(crate) read_only: bool,
    /// The result that `$` names (RFC 5182, RFC 9051 §6.4.4.1); empty at first.
    pub(crate) saved: IdSet<Uid>,
    /// The messages that are `\Recent` in this session (RFC 3501 §2.3.2).
    pub(crate) recent: IdSet<Uid>,
    /// How many of the mailbox's keywords the client was told in FLAGS.
    pub(crate) keywords_told: usize,
    /// The UIDBATCHES that was answered last.
    pub(crate) batches: Option<Answered>,
    /// Ticks when the mailbox changes.
    pub(crate) ticks: watch::Receiver<u64>,
}

impl Selected {
    /// The messages that a command names, ghosts included. The one way from a command's numbers to
    /// messages; SEARCH keys have their own rules.
    ///
    /// RFC 9051 §9 `seq-number`: BAD for a number above EXISTS, and for `*` in an empty mailbox.
    pub(crate) fn resolve(&self, ids: &Ids) -> Result<IdSet<Uid>, Failure> {
        match ids {
            Ids::Seq(set) => self.view.resolve(set).ok_or_else(|| Failure::bad("There is no message with that number")),
            Ids::Uid(set) => Ok(self.view.resolve_uids(set)),
            // RFC 5182 §2.1: a message that is gone is taken out of the result.
            Ids::Saved { .. } => Ok(self.saved.intersection(self.view.told().uids())),
        }
    }

    /// Is this message `\Recent` here? Never in IMAP4rev2 (RFC 9051 Appendix E).
    pub(crate) fn is_recent(&self, uid: Uid, dialect: Dialect) -> bool {
        !dialect.rev2 && self.recent.contains(uid)
    }
}
