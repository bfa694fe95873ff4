//! Which capabilities a command needs: those without which it, or a part of it, would be unknown.
//!
//! The one place that knows, so that a capability can be switched off without a word in any handler.
//! An extension adds its line here; what IMAP4rev1 has needs nothing.

use types::Resource;

use super::{
    AppendHead, AppendMessage, Command, Copy, Fetch, FetchItem, List, Move, SearchKey, SearchReturn, Sort, SortKey,
    StatusItem, Store, ThreadAlgorithm,
};
use crate::imap::Capability as C;
use crate::imap::Ids;

impl Command {
    /// What must not be switched off for this command to be known, in no order and with repetitions.
    pub fn needs(&self) -> Vec<C> {
        let mut needs = Needs(Vec::new());
        needs.command(self);
        needs.0
    }
}

impl AppendHead {
    /// As [`Command::needs`].
    pub fn needs(&self) -> Vec<C> {
        let mut needs = Needs(self.message.needs(false));
        needs.when(self.replaces.is_some(), C::Replace);
        if let Some(ids) = &self.replaces {
            needs.ids(ids);
        }
        needs.0
    }
}

impl AppendMessage {
    /// As [`Command::needs`]; `further` for the second message of an APPEND and those behind it.
    pub fn needs(&self, further: bool) -> Vec<C> {
        let mut needs = Needs(Vec::new());
        needs.when(further, C::MultiAppend);
        // RFC 3516 §4.4: literal8.
        needs.when(self.literal.binary, C::Binary);
        needs.0
    }
}

struct Needs(Vec<C>);

impl Needs {
    fn when(&mut self, used: bool, capability: C) {
        if used {
            self.0.push(capability);
        }
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::Id(_) => self.0.push(C::Id),
            Command::Enable(_) => self.0.push(C::Enable),
            Command::Namespace => self.0.push(C::Namespace),
            Command::Compress => self.0.push(C::CompressDeflate),
            Command::Unauthenticate => self.0.push(C::Unauthenticate),
            Command::Idle => self.0.push(C::Idle),
            Command::Unselect => self.0.push(C::Unselect),
            // RFC 4959 §3
            Command::Authenticate(first) => self.when(first.initial.is_some(), C::SaslIr),
            Command::Select(select) | Command::Examine(select) => {
                self.when(select.condstore, C::CondStore);
                self.when(select.qresync.is_some(), C::QResync);
            }
            Command::Create(create) => self.when(!create.special_use.is_empty(), C::CreateSpecialUse),
            Command::List(list) => self.list(list),
            Command::Status(status) => self.status(&status.items),
            Command::GetQuota(_) | Command::GetQuotaRoot(_) => self.0.push(C::Quota),
            Command::SetQuota(set) => {
                self.0.push(C::QuotaSet);
                let listed = Resource::ALL.into_iter().filter(|&resource| set.limits.get(resource).is_some());
                self.0.extend(listed.map(C::QuotaRes));
            }
            Command::UidBatches(_) => self.0.push(C::UidBatches),
            Command::UidExpunge(ids) => {
                self.0.push(C::UidPlus);
                self.ids(ids);
            }
            Command::Copy(Copy { ids, .. }) => self.ids(ids),
            Command::Move(Move { ids, .. }) => {
                self.0.push(C::Move);
                self.ids(ids);
            }
            Command::Store(Store { ids, unchanged_since, .. }) => {
                self.when(unchanged_since.is_some(), C::CondStore);
                self.ids(ids);
            }
            Command::Fetch(fetch) => self.fetch(fetch),
            Command::Search(search) => {
                self.search_return(search.returns, C::ESearch);
                self.search_key(&search.key);
            }
            Command::Sort(sort) => self.sort(sort),
            Command::Thread(thread) => {
                self.0.push(C::Thread(match thread.algorithm {
                    ThreadAlgorithm::OrderedSubject => "ORDEREDSUBJECT",
                    ThreadAlgorithm::References => "REFERENCES",
                    ThreadAlgorithm::Refs => "REFS",
                }));
                self.search_key(&thread.key);
            }
            Command::Capability
            | Command::Noop
            | Command::Logout
            | Command::StartTls
            | Command::Login(_)
            | Command::Delete(_)
            | Command::Rename(_)
            | Command::Subscribe(_)
            | Command::Unsubscribe(_)
            | Command::Lsub(_)
            | Command::Check
            | Command::Close
            | Command::Expunge => {}
        }
    }

    fn ids(&mut self, ids: &Ids) {
        self.when(matches!(ids, Ids::Saved { .. }), C::SearchRes);
    }

    fn list(&mut self, list: &List) {
        let (select, returns) = (&list.select, &list.returns);
        self.when(select.given || returns.given || list.patterns.len() > 1, C::ListExtended);
        self.when(returns.special_use, C::SpecialUse);
        self.when(!returns.status.is_empty(), C::ListStatus);
        self.status(&returns.status);
    }

    fn status(&mut self, items: &[StatusItem]) {
        self.0.extend(items.iter().filter_map(|item| match item {
            StatusItem::AppendLimit => Some(C::AppendLimit(0)),
            StatusItem::DeletedStorage => Some(C::QuotaRes(Resource::Storage)),
            StatusItem::HighestModSeq => Some(C::CondStore),
            StatusItem::MailboxId => Some(C::ObjectId),
            StatusItem::Size => Some(C::StatusSize),
            StatusItem::Deleted
            | StatusItem::Messages
            | StatusItem::Recent
            | StatusItem::UidNext
            | StatusItem::UidValidity
            | StatusItem::Unseen => None,
        }));
    }

    fn fetch(&mut self, fetch: &Fetch) {
        self.ids(&fetch.ids);
        self.when(fetch.changed_since.is_some(), C::CondStore);
        self.when(fetch.vanished, C::QResync);
        self.when(fetch.partial.is_some(), C::Partial);
        self.0.extend(fetch.items.iter().filter_map(|item| match item {
            FetchItem::Binary { .. } | FetchItem::BinarySize(_) => Some(C::Binary),
            FetchItem::EmailId | FetchItem::ThreadId => Some(C::ObjectId),
            FetchItem::ModSeq => Some(C::CondStore),
            FetchItem::Preview { .. } => Some(C::Preview),
            FetchItem::SaveDate => Some(C::SaveDate),
            _ => None,
        }));
    }

    fn sort(&mut self, sort: &Sort) {
        self.0.push(C::Sort);
        self.search_return(sort.returns, C::ESort);
        self.when(
            sort.criteria.iter().any(|by| matches!(by.key, SortKey::DisplayFrom | SortKey::DisplayTo)),
            C::SortDisplay,
        );
        self.search_key(&sort.key);
    }

    fn search_return(&mut self, returns: Option<SearchReturn>, by: C) {
        let Some(returns) = returns else { return };
        self.0.push(by);
        self.when(returns.save, C::SearchRes);
        self.when(returns.partial.is_some(), C::Partial);
    }

    fn search_key(&mut self, key: &SearchKey) {
        self.0.extend(match key {
            SearchKey::And(keys) | SearchKey::Or(keys) => return keys.iter().for_each(|key| self.search_key(key)),
            SearchKey::Not(key) => return self.search_key(key),
            SearchKey::EmailId(_) | SearchKey::ThreadId(_) => Some(C::ObjectId),
            SearchKey::ModSeq(_) => Some(C::CondStore),
            SearchKey::Older(_) | SearchKey::Younger(_) => Some(C::Within),
            SearchKey::SaveDateSupported
            | SearchKey::SavedBefore(_)
            | SearchKey::SavedOn(_)
            | SearchKey::SavedSince(_) => Some(C::SaveDate),
            SearchKey::Saved => Some(C::SearchRes),
            _ => None,
        });
    }
}
