//! What a segment file says of a body, for the day when nothing but the segment is left.

use types::{DateTime, Flags, Keyword, MailboxId, MailboxName, ThreadId, Uid, UidValidity, UnixTime};

use crate::chunk::Row;
use crate::codec::{Reader, Writer};
use crate::directory::AccountRecord;
use crate::error::Result;
use crate::key;
use crate::tree::Entry;

/// Where a message came into the account, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Label {
    pub(crate) mailbox: MailboxId,
    pub(crate) name: MailboxName,
    pub(crate) uid_validity: UidValidity,
    pub(crate) uid: Uid,
    pub(crate) internal_date: DateTime,
    pub(crate) thread: ThreadId,
    /// Those it came with.
    pub(crate) flags: Flags,
}

impl Label {
    pub(crate) fn of(entry: &Entry, row: &Row, flags: &Flags) -> Self {
        Self {
            mailbox: entry.id,
            name: entry.name.clone(),
            uid_validity: entry.uid_validity,
            uid: row.uid,
            internal_date: row.internal_date,
            thread: row.thread,
            flags: flags.clone(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new(1);
        w.number(self.mailbox.0).bytes(self.name.as_str().as_bytes()).number(self.uid_validity.get().into());
        w.number(self.uid.get().into());
        w.signed(self.internal_date.time.0).signed(self.internal_date.zone.into());
        w.number(self.thread.0).flags(&self.flags);
        w.finish()
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self> {
        let (_, mut r) = Reader::new("the label of a body", value, 1)?;
        let mailbox = MailboxId(r.number()?);
        let name = MailboxName::new(r.text()?).ok();
        let uid_validity = UidValidity::new(r.small()?);
        let uid = Uid::new(r.small()?);
        let (time, zone) = (UnixTime(r.signed()?), i16::try_from(r.signed()?).ok());
        let thread = ThreadId(r.number()?);
        let system = u8::try_from(r.number()?).ok();
        let count = r.count()?;
        let keywords = (0..count).map(|_| {
            let keyword = Keyword::new(r.text()?).ok();
            r.valid(keyword)
        });
        let keywords = keywords.collect::<Result<Vec<_>>>()?;
        let label = Self {
            mailbox,
            name: r.valid(name)?,
            uid_validity: r.valid(uid_validity)?,
            uid: r.valid(uid)?,
            internal_date: DateTime { time, zone: r.valid(zone)? },
            thread,
            flags: Flags::from_parts(r.valid(system)?, keywords),
        };
        r.end()?;
        Ok(label)
    }
}

/// An account, in the label of a body of the directory that has no octets.
pub(crate) fn encode_account(record: &AccountRecord) -> Vec<u8> {
    let mut w = Writer::new(1);
    w.bytes(&key::directory(record.name.as_str())).bytes(&record.encode());
    w.finish()
}

pub(crate) fn decode_account(value: &[u8]) -> Result<AccountRecord> {
    let (_, mut r) = Reader::new("the label of an account", value, 1)?;
    let record = AccountRecord::decode(r.bytes()?, r.bytes()?)?;
    r.end()?;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use types::{AccountId, AccountName};

    use super::*;

    #[test]
    fn labels_there_and_back() {
        let label = Label {
            mailbox: MailboxId(7),
            name: MailboxName::new("Lists/räksmörgås").unwrap(),
            uid_validity: UidValidity::new(1_700_000_000).unwrap(),
            uid: Uid::new(42).unwrap(),
            internal_date: DateTime { time: UnixTime(-5), zone: -330 },
            thread: ThreadId(9),
            flags: Flags::from_parts(Flags::SEEN_BIT, ["$Junk", "later"].map(|k| Keyword::new(k).unwrap())),
        };
        assert_eq!(Label::decode(&label.encode()).unwrap(), label);
        let record = AccountRecord {
            id: AccountId(3),
            name: AccountName::new("alice@example.org").unwrap(),
            password_hash: "$argon2id$…".into(),
            created: UnixTime(5),
            off: vec!["IDLE".into()],
        };
        assert_eq!(decode_account(&encode_account(&record)).unwrap(), record);
    }

    proptest! {
        #[test]
        fn rubbish_is_an_error_not_a_panic(mut bytes: Vec<u8>) {
            if let Some(first) = bytes.first_mut() { *first = 1; }
            let _ = (Label::decode(&bytes), decode_account(&bytes));
        }
    }
}
