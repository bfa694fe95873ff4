//! SORT and THREAD of generated mail, through cards, against what the messages themselves say.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::memory::Memory;
use message::{Address, Envelope, collation_key, decode_words, parse, parse_date};
use store::{
    Algorithm, Mailbox, NewMessage, Options, SortBy, SortKey, Sorting, Step, Steps, Store, SystemClock, Threading,
};
use testkit::corpus::Corpus;
use types::{AccountName, DateTime, Flags, Limits, MailboxName, Principal, Uid, UnixTime};

const MESSAGES: u64 = 600;

/// When a message arrived: often at the same time as others.
fn arrived(n: u64) -> DateTime {
    DateTime::utc(UnixTime(1_700_000_000 + (n * 7919 % 50).cast_signed()))
}

async fn mailbox(corpus: &Corpus) -> Mailbox {
    let store = Store::open(Arc::new(Memory::new()), Arc::new(SystemClock), Options::default()).unwrap();
    let id = store.create_account(&AccountName::new("a").unwrap(), "hash".into()).await.unwrap();
    let (account, who) = (store.account(id).unwrap(), Principal { account: id });
    let inbox = MailboxName::new("INBOX").unwrap();
    let new = |n| {
        let mut incoming = account.receive().unwrap();
        incoming.push(&corpus.message(n)).unwrap();
        let content = incoming.finish().unwrap();
        NewMessage { content, flags: Flags::NONE, internal_date: Some(arrived(n)) }
    };
    account.append(&who, &inbox, (0..MESSAGES).map(new).collect()).await.unwrap();
    account.open(&who, &inbox).unwrap()
}

/// The number of a message in the corpus.
fn number(uid: Uid) -> u64 {
    u64::from(uid.get()) - 1
}

fn sorted(mailbox: &Mailbox, by: &[SortBy], wanted: impl Fn(u64) -> bool) -> Vec<u64> {
    let snapshot = mailbox.snapshot().unwrap();
    let uids = snapshot.uids().iter().filter(|&uid| wanted(number(uid))).collect();
    let mut sorting = Sorting::new(mailbox, snapshot, uids, by);
    while sorting.step().unwrap() {}
    let sorted = sorting.finish();
    assert!(sorted.damaged.is_empty());
    sorted.uids.into_iter().map(number).collect()
}

/// The value of a key as text that sorts alike, from the message itself.
fn value(corpus: &Corpus, n: u64, key: SortKey) -> String {
    let octets = corpus.message(n);
    let message = parse(&octets, &Limits::default());
    let header = message.header();
    let envelope = Envelope::of(header);
    let first = |list: &[Address], name: bool| match list.first() {
        Some(Address::Mailbox(mailbox)) => match &mailbox.name {
            Some(display) if name => decode_words(display),
            _ if name => decode_words(&[&*mailbox.local, b"@", &*mailbox.host].concat()),
            _ => decode_words(&mailbox.local),
        },
        Some(Address::GroupStart(name)) => decode_words(name),
        _ => String::new(),
    };
    let text = match key {
        SortKey::Arrival => return format!("{:020}", arrived(n).time.0),
        SortKey::Date => {
            let sent = header.first("Date").and_then(|field| parse_date(field.value)).unwrap_or(arrived(n));
            return format!("{:020}", sent.time.0);
        }
        SortKey::Size => return format!("{:020}", octets.len()),
        SortKey::Subject => header.first("Subject").map_or(String::new(), |f| message::base_subject(&f.decoded()).text),
        SortKey::From => first(&envelope.from, false),
        SortKey::To => first(&envelope.to, false),
        SortKey::Cc => first(&envelope.cc, false),
        SortKey::DisplayFrom => first(&envelope.from, true),
        SortKey::DisplayTo => first(&envelope.to, true),
    };
    let mut mapped = String::new();
    collation_key(&text, &mut mapped);
    mapped
}

#[tokio::test]
async fn sorted_as_the_messages_say() {
    let corpus = Corpus::new(5).with_median(600.0);
    let mailbox = mailbox(&corpus).await;
    use SortKey::*;
    let keys = [Arrival, Date, Size, Subject, From, To, Cc, DisplayFrom, DisplayTo];
    let values: Vec<Vec<String>> =
        keys.iter().map(|&key| (0..MESSAGES).map(|n| value(&corpus, n, key)).collect()).collect();
    for (first, &key) in keys.iter().enumerate() {
        for reverse in [false, true] {
            let second = (first + 3) % keys.len();
            let by = [SortBy { key, reverse }, SortBy { key: keys[second], reverse: !reverse }];
            // The least significant first; a stable sort keeps what is equal in order.
            let mut naive: Vec<u64> = (0..MESSAGES).collect();
            for (of, reverse) in [(&values[second], !reverse), (&values[first], reverse)] {
                naive.sort_by(|&a, &b| {
                    let ordering = of[a as usize].cmp(&of[b as usize]);
                    if reverse { ordering.reverse() } else { ordering }
                });
            }
            // Some of the messages, more behind them, all, some again: columns are kept and added to.
            for round in 0..4 {
                let wanted = |n: u64| match round {
                    0 => n.is_multiple_of(3) && n < 400,
                    1 => n.is_multiple_of(3),
                    2 => true,
                    _ => n.is_multiple_of(2),
                };
                let naive: Vec<u64> = naive.iter().copied().filter(|&n| wanted(n)).collect();
                assert_eq!(sorted(&mailbox, &by, wanted), naive, "{by:?} {round}");
            }
        }
    }
}

/// Each message's parent, and how many messages there are.
fn parents(mailbox: &Mailbox, algorithm: Algorithm, below: u64) -> (BTreeMap<u64, u64>, usize) {
    let snapshot = mailbox.snapshot().unwrap();
    let uids = snapshot.uids().iter().filter(|&uid| number(uid) < below).collect();
    let mut threading = Threading::new(mailbox, snapshot, uids, algorithm);
    while threading.step().unwrap() {}
    let threads = threading.finish();
    let (mut parents, mut count) = (BTreeMap::new(), 0);
    // The last message of each list that is open.
    let mut open: Vec<Option<u64>> = Vec::new();
    for step in threads.steps() {
        match step {
            Step::Open => open.push(open.last().copied().flatten()),
            Step::Close => drop(open.pop()),
            Step::Message(uid) => {
                count += 1;
                if let Some(parent) = open.last_mut().unwrap().replace(number(uid)) {
                    parents.insert(number(uid), parent);
                }
            }
        }
    }
    (parents, count)
}

#[tokio::test]
async fn threaded_as_the_messages_were_made() {
    let corpus = Corpus::new(6).with_median(400.0);
    let mailbox = mailbox(&corpus).await;
    let answers: BTreeMap<u64, u64> = (0..MESSAGES).filter_map(|n| Some((n, corpus.answers(n)?))).collect();
    assert!(answers.len() > 100);
    for algorithm in [Algorithm::References, Algorithm::Refs] {
        // An answer comes after what it answers, so the first messages are threaded among themselves.
        for below in [200, MESSAGES, 300] {
            let (parents, count) = parents(&mailbox, algorithm, below);
            let answers = answers.iter().map(|(&n, &of)| (n, of)).filter(|(n, _)| *n < below).collect();
            assert_eq!((count as u64, parents), (below, answers), "{algorithm:?}");
        }
    }
    let (of_subjects, count) = parents(&mailbox, Algorithm::OrderedSubject, MESSAGES);
    assert_eq!(count as u64, MESSAGES);
    // No grandchildren, and the same base subject.
    let subject = |n| value(&corpus, n, SortKey::Subject);
    assert!(
        of_subjects
            .iter()
            .all(|(child, parent)| !of_subjects.contains_key(parent) && subject(*child) == subject(*parent))
    );
}
