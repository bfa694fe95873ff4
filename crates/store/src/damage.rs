//! An account of which some values cannot be read: what can be is served, and what cannot is said.
//!
//! Nothing is put right here: that is done by `pillarbox check --repair`, from a copy of the index and the
//! segments. Until then the account is served without what is damaged, and new mail can come in, unless
//! the damage is such that it could not be told where.

use std::ops::ControlFlow;

use engine::ReadView;
use types::{MailboxId, MailboxName, ModSeq, Uid};

use crate::chunk::Sums;
use crate::error::{Error, Result};
use crate::key;
use crate::quota;
use crate::snapshot::Snapshot;
use crate::tree::{Entry, Summary, Tree};
use crate::writer::Counters;

/// How far a counter goes beyond what can be seen of what it gave.
const JUMP: u64 = 1 << 20;

/// Calls `f` with every key that begins so, and its value where it can be read.
pub(crate) fn each_readable(
    view: &dyn ReadView,
    prefix: &[u8],
    mut f: impl FnMut(&[u8], Result<Vec<u8>>) -> Result<()>,
) -> Result<()> {
    let mut keys = vec![];
    let range = key::below(prefix.to_vec());
    view.keys(&range.start..&range.end, &mut |key| {
        keys.push(key.to_vec());
        ControlFlow::Continue(())
    })?;
    for key in keys {
        let value =
            view.get(&key).and_then(|value| value.ok_or_else(|| engine::Error::Damaged("a value is gone".into())));
        f(&key, value.map_err(Error::from))?;
    }
    Ok(())
}

/// Counters beyond everything that there is, where their own value cannot be read.
pub(crate) fn counters(view: &dyn ReadView) -> Result<Counters> {
    let mut mailbox = 0;
    for letter in [b"m", b"y", b"h", b"b", b"z", b"g"] {
        each_readable(view, letter, |key, _| {
            mailbox = mailbox.max(key::number(key, 0).unwrap_or(0));
            Ok(())
        })?;
    }
    let email = view.blobs()?.last().map_or(0, |id| id.0);
    let mut uid_validity = 0;
    each_readable(view, b"h", |_, value| {
        if let Ok((head, _)) = value.and_then(|value| Snapshot::read_summary(&value)) {
            uid_validity = uid_validity.max(head.uid_validity.get());
        }
        Ok(())
    })?;
    // No email brings more than one thread.
    Ok(Counters::beyond(uid_validity, mailbox + JUMP, email + JUMP))
}

/// The mailboxes as far as they can be read. An error where INBOX may be among those that cannot.
pub(crate) fn tree(view: &dyn ReadView) -> Result<Tree> {
    let mut tree = Tree::default();
    let mut nameless = None;
    each_readable(view, b"m", |key, value| {
        let Some(id) = key::number(key, 0).map(MailboxId) else { return Ok(()) };
        // Its messages cannot be read; its name is taken all the same.
        let unknown = Summary { uid_next: Uid::MIN, modseq: ModSeq::ZERO.next(), sums: Sums::default() };
        let summary = summary(view, id).unwrap_or_else(|error| {
            tracing::error!(%error, mailbox = %id, "the head of a mailbox is damaged");
            unknown
        });
        match value.and_then(|value| Entry::decode(id, &value, summary)) {
            Ok(entry) => tree.insert(entry),
            Err(error) => {
                tracing::error!(%error, mailbox = %id, "the name of a mailbox is damaged");
                nameless = Some(error);
            }
        }
        Ok(())
    })?;
    if let Some(error) = nameless.filter(|_| tree.get(&MailboxName::inbox()).is_none()) {
        return Err(error);
    }
    let settings = view.get(key::QUOTA).map_err(Error::from);
    let settings = settings.and_then(|value| value.map(|value| quota::decode(&value)).transpose());
    match settings {
        Ok(settings) => tree.set_quota(settings.unwrap_or_default()),
        Err(error) => tracing::error!(%error, "the quota of an account is damaged: it has that of the configuration"),
    }
    each_readable(view, b"s", |key, _| {
        if let Some(name) = key::text(key).and_then(|name| MailboxName::new(name).ok()) {
            tree.subscribe(name);
        }
        Ok(())
    })?;
    Ok(tree)
}

fn summary(view: &dyn ReadView, id: MailboxId) -> Result<Summary> {
    let head = view.get(&key::head(id))?.ok_or_else(|| Error::Damaged(format!("mailbox {id} has no head")))?;
    let (head, sums) = Snapshot::read_summary(&head)?;
    Ok(Summary { uid_next: head.uid_next, modseq: head.modseq, sums })
}
