//! `check --repair` for bodies: messages that cannot be read in full leave their mailboxes for one called
//! `Damaged`, where whoever wrote them can still be seen, and nothing else trips over them.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use engine::about_blob;
use types::{AccountId, EmailId, IdSet, MailboxName, Uid};

use crate::account::Account;
use crate::blocking::blocking;
use crate::error::{Error, Result};
use crate::removal::Reason;
use crate::store::Store;
use crate::txn::Txn;
use crate::verb::{create, transfer};

/// The mailbox of messages that cannot be read.
pub(crate) const ASIDE: &str = "Damaged";

impl Store {
    /// Moves messages with damaged bodies aside. Says which, in plain words.
    pub async fn set_damaged_aside(&self) -> Result<Vec<String>> {
        let mut bodies: HashMap<AccountId, HashSet<EmailId>> = HashMap::new();
        for line in blocking(|| self.engine().check())? {
            if let Some((account, id, _)) = about_blob(&line) {
                bodies.entry(account).or_default().insert(EmailId(id.0));
            }
        }
        let mut said = vec![];
        if bodies.contains_key(&AccountId::DIRECTORY) {
            self.rewrite_credentials().await?;
        }
        for record in self.accounts()? {
            let Some(bodies) = bodies.remove(&record.id) else { continue };
            let account = self.load(record.id)?;
            for (name, uids) in set_aside(&account, bodies).await? {
                let count = uids.len();
                said.push(format!("account {}: mailbox {name}: UIDs {uids}: moved to {ASIDE} ({count})", record.name));
            }
        }
        Ok(said)
    }
}

async fn set_aside(account: &Account, bodies: HashSet<EmailId>) -> Result<Vec<(MailboxName, IdSet<Uid>)>> {
    account
        .write_back(move |txn| {
            txn.alive()?;
            let aside = MailboxName::new(ASIDE)?;
            let mut moved = vec![];
            for entry in txn.tree().entries().cloned().collect::<Vec<_>>() {
                if entry.name == aside {
                    continue;
                }
                let uids = concerned(txn, entry.id, &bodies)?;
                if !uids.is_empty() {
                    let target = match txn.tree().get(&aside) {
                        Some(entry) => entry.id,
                        None => create(txn, &aside, None)?,
                    };
                    transfer(txn, entry.id, target, &uids, Some(Reason::Moved))?;
                    moved.push((entry.name.clone(), uids));
                }
            }
            Ok(moved)
        })
        .await
}

/// The messages of a mailbox with these bodies. A mailbox that cannot be read has none that could be moved.
fn concerned(txn: &mut Txn, id: types::MailboxId, bodies: &HashSet<EmailId>) -> Result<IdSet<Uid>> {
    let mut uids = IdSet::new();
    let walked = txn.mailbox(id).and_then(|mailbox| {
        mailbox.walk(&mailbox.uids(), |_, _, row| {
            if bodies.contains(&row.email) {
                uids.insert(row.uid);
            }
            ControlFlow::Continue(())
        })
    });
    match walked {
        Err(Error::Damaged(_)) => Ok(IdSet::new()),
        walked => walked.map(|()| uids),
    }
}
