//! EXPUNGE, UID EXPUNGE and CLOSE.

use types::{IdSet, MailboxId, Principal, Uid};

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
    let deleted = mailbox.deleted()?;
    let deleted = match among {
        Some(among) => deleted.intersection(among),
        None => deleted,
    };
    if !deleted.is_empty() {
        take_out(txn, &mut mailbox, &deleted, Reason::Expunged)?;
        txn.put(mailbox);
    }
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use types::{Flag, Flags};

    use super::*;
    use crate::{FlagChange, FlagMode, testing};

    /// What EXPUNGE costs does not depend on how many messages stay.
    #[tokio::test]
    async fn expunge_reads_only_where_something_is_deleted() {
        let (_store, account, who) = testing::account().await;
        let messages = std::iter::repeat_n("Subject: x\r\n\r\n".to_owned(), 1000);
        let mailbox = testing::append(&account, &who, messages).await;
        assert!(mailbox.cell.evict() > 0, "somebody holds the snapshot");

        let three = IdSet::from_iter([Uid::new(3).unwrap(), Uid::new(7).unwrap(), Uid::new(500).unwrap()]);
        let flags = Flags::from_iter([Flag::Deleted]);
        let change = FlagChange { mode: FlagMode::Add, flags, unchanged_since: None };
        mailbox.store_flags(&who, three.clone(), change, mailbox.snapshot().unwrap().highest_modseq()).await.unwrap();
        let among = IdSet::range(Uid::new(5).unwrap(), Uid::new(400).unwrap());
        let some = mailbox.expunge(&who, Some(among.clone())).await.unwrap();
        assert_eq!(some, three.intersection(&among));
        assert_eq!(mailbox.expunge(&who, None).await.unwrap(), three.difference(&among));
        let snapshot = mailbox.snapshot().unwrap();
        assert_eq!(snapshot.absent(&three), three);
        let read = snapshot.chunk_refs().filter(|chunk| chunk.cell.get().is_some()).count();
        assert_eq!(read, 2, "of {} chunks", snapshot.chunk_refs().count());
    }
}
