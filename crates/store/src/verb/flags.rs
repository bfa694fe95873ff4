//! STORE.

use types::{Flags, IdSet, ModSeq, Principal, Uid};

use crate::chunk::{FlagSet, flag_set};
use crate::error::{Error, Result};
use crate::keywords::Keywords;
use crate::mailbox::Mailbox;
use crate::rights;
use crate::txn::Txn;
use crate::view::Silent;

/// What STORE does with the flags it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlagMode {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
}

/// What STORE asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlagChange {
    /// How.
    pub mode: FlagMode,
    /// Which.
    pub flags: Flags,
    /// Only messages that did not change after this (RFC 7162 §3.1.3).
    pub unchanged_since: Option<ModSeq>,
}

/// What STORE did.
#[derive(Clone, Debug, Default)]
pub struct FlagsStored {
    /// The mod-sequence of the change; `None` where nothing changed.
    pub modseq: Option<ModSeq>,
    /// The messages whose flags are not what they were.
    pub changed: IdSet<Uid>,
    /// The messages left alone because they changed after `unchanged_since`.
    pub modified: IdSet<Uid>,
    /// The messages that do not exist any more.
    pub missing: IdSet<Uid>,
    /// What `.SILENT` keeps quiet about.
    pub silent: Option<Silent>,
}

impl Mailbox {
    /// STORE on messages by UID. `told` is what the client knew ([`crate::View::seen`]): with it,
    /// `.SILENT` hides a change only where the client knew the state before.
    pub async fn store_flags(
        &self,
        who: &Principal,
        uids: IdSet<Uid>,
        change: FlagChange,
        told: ModSeq,
    ) -> Result<FlagsStored> {
        rights::may_change(who, self.at.owner)?;
        let id = self.at.mailbox;
        self.account
            .write_over(uids.len(), move |txn| {
                txn.alive()?;
                store(txn, id, &uids, &change, told)
            })
            .await
    }
}

fn store(
    txn: &mut Txn,
    id: types::MailboxId,
    uids: &IdSet<Uid>,
    change: &FlagChange,
    told: ModSeq,
) -> Result<FlagsStored> {
    let mut mailbox = (*txn.mailbox(id)?).clone();
    let limits = txn.limits();
    let modseq = mailbox.head.modseq.next();
    let mut names = (*mailbox.keywords).clone();
    let operand = match change.mode {
        // Taking away what nobody ever had needs no entry in the table.
        FlagMode::Remove => known(&change.flags, &names),
        FlagMode::Add | FlagMode::Replace => flag_set(&change.flags, &mut names),
    };
    if names.len() > limits.keywords && names.len() > mailbox.keywords.len() {
        return Err(Error::Limit("keywords of a mailbox"));
    }
    let mut stored = FlagsStored { missing: mailbox.absent(uids), ..FlagsStored::default() };
    let mut quiet = IdSet::new();
    let mut too_many = false;
    let apply = |set: &FlagSet| apply(change.mode, set, &operand);
    let exceeds = |set: &FlagSet| {
        let new = apply(set).keywords.len();
        new > limits.keywords_per_message && new > set.keywords.len()
    };
    mailbox.remark(txn.version, uids, modseq, |chunk| {
        let wanted = chunk.among(uids);
        let late = chunk.changed(|last| change.unchanged_since.is_some_and(|since| last > since)).and(wanted);
        chunk.uids_at(late, &mut stored.modified);
        let (marks, changed) = chunk.marks.changed(wanted.without(late), modseq, apply)?;
        too_many |= !chunk.marks.positions(exceeds).and(changed).is_empty();
        chunk.uids_at(changed, &mut stored.changed);
        chunk.uids_at(chunk.changed(|last| last <= told).and(changed), &mut quiet);
        Some(marks)
    })?;
    if too_many {
        return Err(Error::Limit("keywords of a message"));
    }
    if !stored.changed.is_empty() {
        stored.modseq = Some(modseq);
        stored.silent = Some(Silent { uids: quiet, modseq });
        if names.len() > mailbox.keywords.len() {
            mailbox.keywords = names.into();
            mailbox.head.keywords_version = txn.version;
        }
        txn.put(mailbox);
    }
    Ok(stored)
}

/// The flag set of those flags that the mailbox has ever seen.
fn known(flags: &Flags, names: &Keywords) -> FlagSet {
    let mut keywords: Vec<u32> = flags.keywords().iter().filter_map(|keyword| names.id(keyword)).collect();
    keywords.sort_unstable();
    FlagSet { system: flags.system_bits(), keywords: keywords.into() }
}

fn apply(mode: FlagMode, set: &FlagSet, operand: &FlagSet) -> FlagSet {
    match mode {
        FlagMode::Replace => operand.clone(),
        FlagMode::Add => {
            let mut keywords = [&set.keywords[..], &operand.keywords[..]].concat();
            keywords.sort_unstable();
            keywords.dedup();
            FlagSet { system: set.system | operand.system, keywords: keywords.into() }
        }
        FlagMode::Remove => {
            let keep = set.keywords.iter().filter(|id| operand.keywords.binary_search(id).is_err());
            FlagSet { system: set.system & !operand.system, keywords: keep.copied().collect() }
        }
    }
}
