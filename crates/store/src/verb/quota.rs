//! GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208 §4.1), and what the administrator of the machine does about quotas.
//!
//! Each account has one quota root. Its name is the account's, to the letter.

use types::{AccountId, AccountName, Principal, Resources};

use crate::account::Account;
use crate::blocking::blocking;
use crate::directory::AccountRecord;
use crate::error::{Error, Result};
use crate::key;
use crate::quota::{self, Growth, Quota, QuotaSetting};
use crate::rights;
use crate::store::Store;

impl Account {
    /// What the account uses and may use.
    pub fn quota(&self) -> Quota {
        Quota::of(&self.tree(), &self.0.shared)
    }

    /// [`Error::OverQuota`] where a verb that raises the usage by this would fail now. For an early answer: the
    /// verb itself decides.
    pub fn may_grow(&self, growth: Growth) -> Result<()> {
        self.quota().permits_growth(growth)
    }

    async fn change_quota(&self, change: Resources<Option<QuotaSetting>>) -> Result<Quota> {
        self.write(move |txn| {
            txn.alive()?;
            let before = *txn.tree().quota();
            let after = Resources::each(|resource| change.get(resource).unwrap_or(*before.get(resource)));
            if after != before {
                let value = (after != Resources::default()).then(|| quota::encode(&after));
                txn.write(key::QUOTA.to_vec(), value);
                txn.tree_mut().set_quota(after);
            }
            Ok(txn.quota())
        })
        .await
    }
}

impl Store {
    /// GETQUOTA. A root that this principal may not see does not exist for it.
    pub fn quota_root(&self, who: &Principal, root: &str) -> Result<Quota> {
        Ok(self.root(who, root)?.quota())
    }

    /// SETQUOTA: these limits in units, and no others. Gives what holds then. [`Error::NotPermitted`] for all but
    /// [`crate::QuotaOptions::administrators`].
    pub async fn set_quota_root(&self, who: &Principal, root: &str, limits: Resources<Option<u64>>) -> Result<Quota> {
        rights::may_administer_quotas(who, &self.quota_administrators()?)?;
        // RFC 9208 §4.1.3: limits that are not listed are removed, also those that the default would give.
        let setting = |limit: &Option<u64>| limit.map_or(QuotaSetting::Unlimited, QuotaSetting::Limit);
        let change = Resources::each(|resource| Some(setting(limits.get(resource))));
        self.root(who, root)?.change_quota(change).await
    }

    /// What an account uses and may use, for the administrator of the machine.
    pub fn quota(&self, name: &AccountName) -> Result<Quota> {
        let record = self.find_account(name)?.ok_or(Error::NoSuchAccount)?;
        Ok(self.account(record.id)?.quota())
    }

    /// Sets some of an account's limits, by the administrator of the machine; `None` leaves one as it is.
    pub async fn set_quota(&self, name: &AccountName, change: Resources<Option<QuotaSetting>>) -> Result<Quota> {
        let record = self.find_account(name)?.ok_or(Error::NoSuchAccount)?;
        self.account(record.id)?.change_quota(change).await
    }

    /// The account whose quota root has that name, if this principal may know of it.
    fn root(&self, who: &Principal, root: &str) -> Result<Account> {
        // Before the name is looked up: the work is the same whether somebody has it or not.
        let administrators = self.quota_administrators()?;
        let found = blocking(|| match AccountName::new(root) {
            // RFC 9208 §3.2: an opaque string, which another spelling is not.
            Ok(name) if name.as_str() == root => self.read_account(&name),
            _ => Ok(None),
        });
        let AccountRecord { id, .. } = found?.ok_or(Error::NoSuchQuotaRoot)?;
        rights::may_see_quota(who, id, &administrators)?;
        match blocking(|| self.account(id)) {
            Err(Error::NoSuchAccount) => Err(Error::NoSuchQuotaRoot),
            account => account,
        }
    }

    fn quota_administrators(&self) -> Result<Vec<AccountId>> {
        let names = &self.quota_options().administrators;
        let ids = blocking(|| names.iter().map(|name| self.read_account(name)).collect::<Result<Vec<_>>>())?;
        Ok(ids.into_iter().flatten().map(|record| record.id).collect())
    }
}
