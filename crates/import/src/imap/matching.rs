//! Messages of the source that are here already although nothing is noted of them: they came by another way, or
//! the source has numbered its mailbox anew. They are known by Message-ID and INTERNALDATE, or, where they have no
//! Message-ID, by INTERNALDATE and size. Each message here stands for one there.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::ControlFlow;

use message::{Header, message_ids};
use store::{Account, Mailbox};
use types::{IdSet, MailboxId, Principal, Uid, UnixTime};
use xxhash_rust::xxh3::xxh3_64;

use super::Failure;
use super::session::{Messages, Session};

/// Message-ID fields that are asked for at a time.
const STEP: u64 = 200;

/// What tells a message from others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Mark {
    Id(u64),
    Size(u64),
}

/// The messages here, by date; those that have the same in the order of their UIDs.
struct Here(HashMap<UnixTime, HashMap<Mark, VecDeque<Uid>>>);

/// The messages there that are here, and as which ones: UIDs there ascend.
pub(super) async fn find(
    account: &Account,
    who: &Principal,
    mailbox: MailboxId,
    listed: &Messages,
    session: &mut Session,
) -> Result<Vec<(Uid, Uid)>, Failure> {
    let mut here = Here::read(&account.open_by_id(who, mailbox)?)?;
    let dated = listed.iter().filter_map(|(uid, message)| Some((*uid, message.internal_date?.time, message.size)));
    let candidates: Vec<_> = dated.filter(|(_, date, _)| here.0.contains_key(date)).collect();
    let uids: IdSet<Uid> = candidates.iter().map(|(uid, _, _)| *uid).collect();
    let mut ids = BTreeMap::new();
    for first in (0..uids.len()).step_by(usize::try_from(STEP).unwrap_or(1)) {
        let some = uids.at(first..(first + STEP).min(uids.len()));
        ids.append(&mut session.message_ids(&some).await?);
    }
    let mut found = vec![];
    for (uid, date, size) in candidates {
        let header = ids.get(&uid).map(|header| Header::new(header));
        let field = header.and_then(|header| header.first("Message-ID"));
        let id = field.and_then(|field| message_ids(field.value).next());
        let mark = id.map(|id| Mark::Id(xxh3_64(&id))).or(size.map(Mark::Size));
        if let Some(same) = mark.and_then(|mark| here.take(date, mark)) {
            found.push((uid, same));
        }
    }
    Ok(found)
}

impl Here {
    fn read(mailbox: &Mailbox) -> store::Result<Self> {
        store::blocking(|| {
            let snapshot = mailbox.snapshot()?;
            let mut rows = vec![];
            snapshot.walk(&snapshot.uids(), |_, _, row| {
                rows.push((row.uid, row.internal_date.time, row.size, row.email));
                ControlFlow::Continue(())
            })?;
            let mut cards = mailbox.reader();
            let mut here: HashMap<UnixTime, HashMap<Mark, VecDeque<Uid>>> = HashMap::new();
            for (uid, date, size, email) in rows {
                let id = match cards.card(email) {
                    Ok(card) => card.message_id().map(xxh3_64),
                    Err(store::Error::Damaged(_)) => continue,
                    Err(error) => return Err(error),
                };
                let mark = id.map_or(Mark::Size(size.into()), Mark::Id);
                here.entry(date).or_default().entry(mark).or_default().push_back(uid);
            }
            Ok(Self(here))
        })
    }

    fn take(&mut self, date: UnixTime, mark: Mark) -> Option<Uid> {
        self.0.get_mut(&date)?.get_mut(&mark)?.pop_front()
    }
}
