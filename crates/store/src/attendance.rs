//! Who is looking at a mailbox, and up to where: a session whose client was not told yet that a message
//! is gone can still FETCH it, and until then it is not purged.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::{MailboxId, ModSeq};

use crate::account::AccountCell;
use crate::error::Result;
use crate::mailbox::Mailbox;
use crate::snapshot::Snapshot;

/// Held by whoever shows a mailbox to somebody; dropped, it ends.
pub struct Attendance {
    account: Arc<AccountCell>,
    mailbox: MailboxId,
    /// Every removal up to here was told.
    told: ModSeq,
}

impl Mailbox {
    /// The mailbox as it is now, for somebody who stays: what is removed from now on can be read until
    /// [`Attendance::told`] says that it need not.
    pub fn attend(&self) -> Result<(Attendance, Arc<Snapshot>)> {
        // First the name in the book, then the look: nothing that this snapshot shows is purged in between.
        let mut attendance = Attendance::new(Arc::clone(&self.account.0), self.at.mailbox);
        let snapshot = self.snapshot()?;
        attendance.told(snapshot.highest_modseq());
        Ok((attendance, snapshot))
    }
}

impl Attendance {
    pub(crate) fn new(account: Arc<AccountCell>, mailbox: MailboxId) -> Self {
        *account.attending.lock().entry((mailbox, ModSeq::ZERO)).or_insert(0) += 1;
        Self { account, mailbox, told: ModSeq::ZERO }
    }

    /// The client knows of every removal up to here ([`crate::View::reported`]).
    pub fn told(&mut self, upto: ModSeq) {
        if upto == self.told {
            return;
        }
        let mut attending = self.account.attending.lock();
        *attending.entry((self.mailbox, upto)).or_insert(0) += 1;
        leave(&mut attending, (self.mailbox, self.told));
        self.told = upto;
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        leave(&mut self.account.attending.lock(), (self.mailbox, self.told));
    }
}

fn leave(attending: &mut BTreeMap<(MailboxId, ModSeq), usize>, place: (MailboxId, ModSeq)) {
    if let Some(count) = attending.get_mut(&place) {
        *count -= 1;
        if *count == 0 {
            attending.remove(&place);
        }
    }
}

impl AccountCell {
    /// The mailboxes that somebody looks at; removals after the mod-sequence are needed.
    pub(crate) fn needed(&self) -> BTreeMap<MailboxId, ModSeq> {
        // Of several who look at the same mailbox, the one who knows least comes last here and stays.
        self.attending.lock().keys().rev().copied().collect()
    }
}

impl std::fmt::Debug for Attendance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attendance({} up to {})", self.mailbox, self.told)
    }
}
