//! Which account and mailbox an address means.

use std::sync::Arc;

use proto::lmtp::Address;
use store::{Entry, Tree};
use types::{AccountName, MailboxName};

/// An account that an address may mean, and the folder it then names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Candidate {
    pub(super) account: AccountName,
    pub(super) folder: Option<String>,
}

/// True where mail for this domain is ours; an empty list is every domain. An address without a
/// domain (RFC 5321 §4.5.1 `<Postmaster>`) is always ours.
pub(super) fn is_ours(address: &Address, domains: &[String]) -> bool {
    match address.domain() {
        Some(domain) => domains.is_empty() || domains.iter().any(|d| d.eq_ignore_ascii_case(domain)),
        None => true,
    }
}

/// The accounts that an address may mean, the most exact first: the whole address, the local part,
/// and the same again with `+folder` taken off (RFC 5233 §4 calls it the detail).
pub(super) fn candidates(address: &Address) -> Vec<Candidate> {
    let (local, domain) = (address.local(), address.domain());
    let mut found = Vec::new();
    let mut add = |user: &str, folder: Option<&str>| {
        let names = [domain.map(|domain| format!("{user}@{domain}")), Some(user.to_owned())];
        // What cannot be an account's name is nobody's.
        for account in names.into_iter().flatten().filter_map(|name| AccountName::new(&name).ok()) {
            found.push(Candidate { account, folder: folder.map(str::to_owned) });
        }
    };
    add(local, None);
    if let Some((user, folder)) = local.split_once('+') {
        add(user, Some(folder));
    }
    found
}

/// The mailbox that `folder` names: as written, or the only one that differs in case, since MTAs
/// write local parts in the case they like. `None` where it names none that can hold messages: that
/// is INBOX then.
pub(super) fn folder<'a>(tree: &'a Tree, folder: &str) -> Option<&'a Arc<Entry>> {
    let name = MailboxName::new(folder).ok()?;
    if let Some(entry) = tree.get(&name) {
        return Some(entry);
    }
    let wanted = name.as_str().to_lowercase();
    let mut same = tree.entries().filter(|entry| entry.name.as_str().to_lowercase() == wanted);
    same.next().filter(|_| same.next().is_none())
}
