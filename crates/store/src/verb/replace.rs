//! REPLACE (RFC 8508): a new message comes and an old one goes, in one commit.

use types::{IdSet, MailboxId, MailboxName, Principal, Uid};

use super::append::{Appended, NewMessage, append};
use super::relocate::take_out;
use crate::error::{Error, Result};
use crate::mailbox::Mailbox;
use crate::removal::Reason;
use crate::rights;
use crate::txn::Txn;

impl Mailbox {
    /// Puts a message at the end of `to`, which may be this mailbox, and removes `uid` from this one,
    /// whatever its flags. The old message stays restorable; the new one inherits nothing from it
    /// (RFC 8508 §1). [`Error::Expunged`] where the old message is gone: then nothing happens.
    pub async fn replace(&self, who: &Principal, uid: Uid, to: &MailboxName, by: NewMessage) -> Result<Appended> {
        // RFC 8508 §4.1: the rights of STORE and EXPUNGE here, and of APPEND there.
        rights::may_change(who, self.at.owner)?;
        rights::may_change(who, self.account.id())?;
        let (from, to) = (self.at.mailbox, to.clone());
        self.account
            .write(move |txn| {
                txn.alive()?;
                replace(txn, from, uid, &to, by)
            })
            .await
    }
}

fn replace(txn: &mut Txn, from: MailboxId, uid: Uid, to: &MailboxName, by: NewMessage) -> Result<Appended> {
    txn.tree().get(to).ok_or(Error::NoSuchTarget)?;
    let mut mailbox = (*txn.mailbox(from)?).clone();
    let uids = IdSet::from_iter([uid]);
    if !mailbox.absent(&uids).is_empty() {
        return Err(Error::Expunged);
    }
    // RFC 8508 §3.4: only the net consumption counts, so first what goes. Whoever looks sees both or
    // neither.
    take_out(txn, &mut mailbox, &uids, Reason::Expunged)?;
    txn.put(mailbox);
    append(txn, to, vec![by])
}
