//! EXPUNGE, UID EXPUNGE and CLOSE.

use std::ops::ControlFlow;

use types::{Flags, IdSet, MailboxId, Principal, Uid};

use super::relocate::take_out;
use crate::error::Result;
use crate::mailbox::Mailbox;
use crate::removal::Reason;
use crate::rights;
use crate::txn::Txn;

impl Mailbox {
    /// Removes the messages that have `\Deleted` now, whatever the client was told; with `among`,
    /// only those of them (UID EXPUNGE, RFC 4315 §2.1). They stay restorable. Gives what went.
    pub async fn expunge(&self, who: &Principal, among: Option<IdSet<Uid>>) -> Result<IdSet<Uid>> {
        rights::may_change(who, self.at.owner)?;
        let id = self.at.mailbox;
        let deleted = self.snapshot().map_or(0, |snapshot| snapshot.sums().deleted);
        self.account
            .write_over(deleted.into(), move |txn| {
                txn.alive()?;
                expunge(txn, id, among.as_ref())
            })
            .await
    }
}

fn expunge(txn: &mut Txn, id: MailboxId, among: Option<&IdSet<Uid>>) -> Result<IdSet<Uid>> {
    let mut mailbox = (*txn.mailbox(id)?).clone();
    let mut deleted = IdSet::new();
    if mailbox.sums().deleted > 0 {
        let all = mailbox.uids();
        mailbox.walk(among.unwrap_or(&all), |chunk, at, row| {
            if chunk.system_bits(at) & Flags::DELETED_BIT != 0 {
                deleted.insert(row.uid);
            }
            ControlFlow::Continue(())
        })?;
    }
    if !deleted.is_empty() {
        take_out(txn, &mut mailbox, &deleted, Reason::Expunged)?;
        txn.put(mailbox);
    }
    Ok(deleted)
}
