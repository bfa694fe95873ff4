//! A mailbox that mail is put into.

use store::{Account, Filling, NewMessage, Received};
use types::{DateTime, Flags, MailboxName, Principal, Uid, UidValidity};

use crate::details::Details;
use crate::{Report, Result};

/// Messages, and octets, that one commit takes.
const BATCH: usize = 100;
const BATCH_OCTETS: u64 = 8 << 20;

/// Whose mail it becomes.
pub(crate) struct Importer<'a> {
    pub(crate) account: &'a Account,
    pub(crate) who: &'a Principal,
    pub(crate) details: Details,
    pub(crate) report: Report,
}

/// See the module.
pub(crate) struct Target<'i, 'a> {
    importer: &'i mut Importer<'a>,
    name: MailboxName,
    filling: Option<Filling>,
    uid_next: Uid,
    waiting: Vec<(Uid, NewMessage)>,
    octets: u64,
}

/// The UIDs that a mailbox has where it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Numbering {
    pub(crate) uid_validity: UidValidity,
    pub(crate) uid_next: Uid,
}

impl<'a> Importer<'a> {
    /// Opens a mailbox, which is created if need be. `None` where that cannot be; the report says why. Where it is empty,
    /// messages keep their UIDs, if there is a numbering.
    pub(crate) async fn target<'i>(
        &'i mut self,
        name: &str,
        numbering: Option<Numbering>,
    ) -> Result<Option<Target<'i, 'a>>> {
        let name = match MailboxName::new(name) {
            Ok(name) => name,
            Err(error) => {
                self.report.problem(format!("the mailbox {name:?}: {error}"));
                return Ok(None);
            }
        };
        let tree = self.account.tree();
        let there = tree.get(&name);
        let special_use = self.details.special_use(&name).filter(|special_use| tree.by_use(*special_use).is_none());
        let empty = there.is_none_or(|entry| entry.summary.sums.count == 0);
        let (mut filling, mut uid_next) = (None, Uid::MIN);
        if let Some(numbering) = numbering.filter(|_| empty) {
            let uid_validity = Some(numbering.uid_validity);
            filling = Some(self.account.fill(self.who, name.clone(), special_use, uid_validity, vec![]).await?);
            uid_next = numbering.uid_next;
        } else if there.is_none() {
            match self.account.create_mailbox(self.who, name.clone(), special_use).await {
                Ok(_) => {}
                Err(
                    error @ (store::Error::Cannot(_) | store::Error::Limit(_) | store::Error::SpecialUseUnsupported),
                ) => {
                    self.report.problem(format!("the mailbox {name}: {error}"));
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if there.is_none() && self.details.subscribed(&name) {
            self.account.subscribe(self.who, name.clone()).await?;
        }
        self.report.mailboxes += 1;
        Ok(Some(Target { importer: self, name, filling, uid_next, waiting: vec![], octets: 0 }))
    }
}

impl Target<'_, '_> {
    pub(crate) fn account(&self) -> &Account {
        self.importer.account
    }

    pub(crate) fn report(&mut self) -> &mut Report {
        &mut self.importer.report
    }

    /// Puts a message behind the others, with this UID where UIDs are kept.
    pub(crate) async fn push(
        &mut self,
        uid: Uid,
        content: Received,
        flags: Flags,
        internal_date: Option<DateTime>,
    ) -> Result<()> {
        self.octets += u64::from(content.size());
        self.waiting.push((uid, NewMessage { content, flags, internal_date }));
        if self.waiting.len() >= BATCH || self.octets >= BATCH_OCTETS { self.flush().await } else { Ok(()) }
    }

    /// The mailbox is whole.
    pub(crate) async fn close(mut self) -> Result<()> {
        self.flush().await?;
        if let Some(filling) = self.filling.take() {
            filling.finish(self.importer.who, self.uid_next, vec![]).await?;
        }
        Ok(())
    }

    /// Nothing waits any more.
    async fn flush(&mut self) -> Result<()> {
        let (messages, octets) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.octets));
        if messages.is_empty() {
            return Ok(());
        }
        let count = messages.len() as u64;
        let Importer { account, who, report, .. } = &mut *self.importer;
        match &self.filling {
            Some(filling) => filling.push(who, messages, vec![]).await?,
            None => account.append(who, &self.name, messages.into_iter().map(|(_, message)| message).collect()).await?,
        };
        report.messages += count;
        report.octets += octets;
        Ok(())
    }
}
