//! A mailbox that mail is put into.

use store::{Account, NewMessage, Received};
use types::{DateTime, Flags, MailboxName, Principal};

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
    waiting: Vec<NewMessage>,
    octets: u64,
}

impl<'a> Importer<'a> {
    /// Opens a mailbox, which is created if need be. `None` where that cannot be; the report says why.
    pub(crate) async fn target<'i>(&'i mut self, name: &str) -> Result<Option<Target<'i, 'a>>> {
        let name = match MailboxName::new(name) {
            Ok(name) => name,
            Err(error) => {
                self.report.problem(format!("the mailbox {name:?}: {error}"));
                return Ok(None);
            }
        };
        if self.account.tree().get(&name).is_none() {
            let tree = self.account.tree();
            let special_use = self.details.special_use(&name).filter(|special_use| tree.by_use(*special_use).is_none());
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
            if self.details.subscribed(&name) {
                self.account.subscribe(self.who, name.clone()).await?;
            }
        }
        self.report.mailboxes += 1;
        Ok(Some(Target { importer: self, name, waiting: vec![], octets: 0 }))
    }
}

impl Target<'_, '_> {
    pub(crate) fn account(&self) -> &Account {
        self.importer.account
    }

    pub(crate) fn report(&mut self) -> &mut Report {
        &mut self.importer.report
    }

    /// Puts a message behind the others.
    pub(crate) async fn push(
        &mut self,
        content: Received,
        flags: Flags,
        internal_date: Option<DateTime>,
    ) -> Result<()> {
        self.octets += u64::from(content.size());
        self.waiting.push(NewMessage { content, flags, internal_date });
        if self.waiting.len() >= BATCH || self.octets >= BATCH_OCTETS { self.flush().await } else { Ok(()) }
    }

    /// Nothing waits any more.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        let (messages, octets) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.octets));
        if messages.is_empty() {
            return Ok(());
        }
        let count = messages.len() as u64;
        let Importer { account, who, report, .. } = &mut *self.importer;
        account.append(who, &self.name, messages).await?;
        report.messages += count;
        report.octets += octets;
        Ok(())
    }
}
