//! What unit tests of this crate begin with: a store in memory with one account, and mail in it.

use std::sync::Arc;

use engine::memory::Memory;
use types::{AccountName, Flags, MailboxName, Principal};

use crate::{Account, Mailbox, NewMessage, Options, Store, SystemClock};

/// The store, its account, and who owns that.
pub(crate) async fn account() -> (Store, Account, Principal) {
    account_with(Options::default()).await
}

/// The same with other options.
pub(crate) async fn account_with(options: Options) -> (Store, Account, Principal) {
    let store = Store::open(Arc::new(Memory::new()), Arc::new(SystemClock), options).unwrap();
    let id = store.create_account(&AccountName::new("a").unwrap(), "hash".into()).await.unwrap();
    let account = store.account(id).unwrap();
    (store, account, Principal { account: id })
}

/// Appends messages to INBOX, all in one verb.
pub(crate) async fn append(account: &Account, who: &Principal, messages: impl IntoIterator<Item = String>) -> Mailbox {
    let message = |octets: String| {
        let mut incoming = account.receive().unwrap();
        incoming.push(octets.as_bytes()).unwrap();
        NewMessage { content: incoming.finish().unwrap(), flags: Flags::NONE, internal_date: None }
    };
    let inbox = MailboxName::inbox();
    account.append(who, &inbox, messages.into_iter().map(message).collect()).await.unwrap();
    account.open(who, &inbox).unwrap()
}
