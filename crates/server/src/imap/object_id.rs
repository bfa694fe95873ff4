//! Identifiers that are unique in the store (RFC 8474 §3): the kind, the account, the number there.

use proto::imap::ObjectId;
use types::{AccountId, EmailId, MailboxId, ThreadId};

const MAILBOX: char = 'F';
const EMAIL: char = 'E';
const THREAD: char = 'T';

/// RFC 8474 §4
pub(crate) fn mailbox(account: AccountId, id: MailboxId) -> ObjectId {
    ObjectId::numbered(MAILBOX, account.0, id.0)
}

/// RFC 8474 §5.1
pub(crate) fn email(account: AccountId, id: EmailId) -> ObjectId {
    ObjectId::numbered(EMAIL, account.0, id.0)
}

/// RFC 8474 §5.2
pub(crate) fn thread(account: AccountId, id: ThreadId) -> ObjectId {
    ObjectId::numbered(THREAD, account.0, id.0)
}

/// The message content of this account that is meant, if any.
pub(crate) fn to_email(account: AccountId, id: &ObjectId) -> Option<EmailId> {
    id.numbers(EMAIL).filter(|&(owner, _)| owner == account.0).map(|(_, number)| EmailId(number))
}

/// The thread of this account that is meant, if any.
pub(crate) fn to_thread(account: AccountId, id: &ObjectId) -> Option<ThreadId> {
    id.numbers(THREAD).filter(|&(owner, _)| owner == account.0).map(|(_, number)| ThreadId(number))
}
