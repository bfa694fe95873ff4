//! SEARCH and UID SEARCH (RFC 9051 §6.4.4, RFC 3501 §6.4.4, RFC 4731, RFC 5182, RFC 5032, RFC 9394).
//!
//! * Messages are looked for among those that the client has been told of; what was expunged
//!   meanwhile is not found.
//! * The search goes on step by step, when it is its turn; others run in between.
//! * A search that takes long says so now and then, which is also how we find out that the client
//!   has gone; it ends with the client and with the server.
//! * A message that is damaged is not found; an untagged NO names it.

use std::num::NonZeroU32;
use std::sync::Arc;

use proto::imap::command::{Search, SearchKey, SearchReturn};
use proto::imap::response::{Condition, ESearch};
use proto::imap::{Code, Tag, Window};
use store::{Found, Key, Query, Snapshot, Steps, When};
use types::{IdSet, ModSeq, Number, SeqNum, Uid, UnixTime};

use super::fetch::named;
use crate::imap::answer::{Answer, End, Failure, Outcome};
use crate::imap::object_id;
use crate::imap::state::Selected;
use crate::imap::wire::{END_OF_SERVER, Wire};

/// Carries out SEARCH and UID SEARCH.
pub(crate) async fn search(selected: &mut Selected, wire: &mut Wire, tag: &Tag, search: &Search) -> Outcome {
    let Search { by_uid, returns, key } = search;
    let (by_uid, returns) = (*by_uid, *returns);
    let saves = returns.is_some_and(|returns| returns.save);
    let snapshot = selected.mailbox.snapshot()?;
    let result = async {
        let query = query(selected, &snapshot, key)?;
        let found = find(selected, wire, Arc::clone(&snapshot), query, returns).await?;
        // RFC 7162 §3.1.6, RFC 4731 §3.2: the latest change of the messages that are returned.
        let modseq = if key.asks_modseq() { snapshot.latest_change(&returned(returns, &found.uids))? } else { None };
        Ok((found, modseq))
    };
    let (found, modseq) = match result.await {
        Ok(found) => found,
        Err(failure) => {
            // RFC 5182 §2.1: a SEARCH with SAVE that is answered NO empties the saved result; BAD does not.
            let bad = matches!(&failure, Failure::Refused(answer) if answer.condition == Condition::Bad);
            if saves && !bad {
                selected.saved = IdSet::new();
            }
            return Err(failure);
        }
    };
    warn(wire, "not searched", &found.damaged);
    if by_uid {
        answer(wire, tag, by_uid, returns, &found.uids, modseq).await?;
    } else {
        answer(wire, tag, by_uid, returns, &selected.view.told().numbers_of(&found.uids), modseq).await?;
    }
    if saves {
        selected.saved = returned(returns, &found.uids);
    }
    Ok(Answer::ok(if saves { "SEARCH completed, result saved" } else { "SEARCH completed" }))
}

/// Names the messages that are damaged. RFC 9051 §7.1.2: "The untagged form indicates a warning".
pub(super) fn warn(wire: &mut Wire, what: &str, damaged: &IdSet<Uid>) {
    if !damaged.is_empty() {
        let text = format!("Damaged and {what}: UID {}", named(damaged));
        wire.encoder().untagged(Condition::No, Some(&Code::Corruption), &text);
    }
}

/// Looks at one message after the other.
pub(super) async fn find(
    selected: &Selected,
    wire: &mut Wire,
    snapshot: Arc<Snapshot>,
    query: Query,
    returns: Option<SearchReturn>,
) -> Result<Found, Failure> {
    let enough = returns.and_then(enough);
    let scope = selected.view.told().uids().clone();
    let mut search = store::Search::new(&selected.mailbox, snapshot, query, scope);
    if enough.is_some_and(|enough| enough.from_the_end) {
        search = search.from_the_end();
    }
    if search.reads_messages() {
        // What was answered before need not wait for this search, and tells us who has gone meanwhile.
        wire.flush().await?;
    }
    in_turns(wire, &mut search, |search| enough.is_some_and(|enough| search.found().uids.len() >= enough.matches))
        .await?;
    Ok(search.finish())
}

/// Goes on step by step until all is done or `enough`; ends with the client and with the server.
pub(super) async fn in_turns<W: Steps + Send + Sync>(
    wire: &mut Wire,
    work: &mut W,
    enough: impl Fn(&W) -> bool + Send,
) -> Result<(), Failure> {
    loop {
        let turn = wire.meanwhile(work.turn()).await?;
        let more = work.step()?;
        if !more || enough(work) {
            return Ok(());
        }
        if wire.is_ending() {
            return Err(END_OF_SERVER.into());
        }
        // Kept while the others run: those who have none wait for it, and are not among what can run.
        tokio::task::yield_now().await;
        drop(turn);
        wire.at_work(|| work.progress()).await?;
    }
}

/// When everything that is returned is known, where it does not take all matches.
#[derive(Clone, Copy)]
struct Enough {
    /// After so many.
    matches: u64,
    /// Of the last messages, and not of the first.
    from_the_end: bool,
}

/// The smallest or the largest, or a window at one of the ends.
fn enough(returns: SearchReturn) -> Option<Enough> {
    let SearchReturn { min, max, all, count, partial, save: _ } = returns;
    let from_the_end = max || partial.is_some_and(Window::is_from_last);
    let from_the_beginning = min || partial.is_some_and(|window| !window.is_from_last());
    if all || count || from_the_end == from_the_beginning {
        return None;
    }
    Some(Enough { matches: partial.map_or(1, Window::known_after), from_the_end })
}

/// The messages that are returned, which are also those that SAVE keeps: the tables of RFC 5182 §2.4 and
/// RFC 9394 §3.2.
fn returned(returns: Option<SearchReturn>, found: &IdSet<Uid>) -> IdSet<Uid> {
    match returns {
        Some(SearchReturn { min, max, all: false, count: false, partial, .. }) if min || max || partial.is_some() => {
            let window = partial.map_or_else(IdSet::new, |window| found.at(window.positions(found.len())));
            let ends = found.first().filter(|_| min).into_iter().chain(found.last().filter(|_| max));
            window.union(&ends.collect())
        }
        _ => found.clone(),
    }
}

/// How many numbers are written before they go out: what a client has found is larger than what we hold for it.
pub(super) const AT_ONCE: u32 = 8192;

/// Writes the untagged response.
async fn answer<T: Number + Send + Sync>(
    wire: &mut Wire,
    tag: &Tag,
    by_uid: bool,
    returns: Option<SearchReturn>,
    found: &IdSet<T>,
    modseq: Option<ModSeq>,
) -> Result<(), End> {
    let returns = match returns {
        // RFC 3501 §7.2.5. RFC 9051 §6.4.4: in IMAP4rev2 ESEARCH also answers a SEARCH without RETURN.
        None if !wire.dialect().rev2 => {
            wire.encoder().begin_search();
            for part in found.parts(AT_ONCE) {
                wire.encoder().numbers(part.ranges());
                wire.relieve().await?;
            }
            wire.encoder().end_numbers(modseq);
            return Ok(());
        }
        None => SearchReturn { all: true, ..SearchReturn::default() },
        Some(returns) => returns,
    };
    // RFC 9051 §6.4.4: "In absence of any other SEARCH result option, the SAVE result option also
    // suppresses any ESEARCH response".
    if !returns.is_answered() {
        return Ok(());
    }
    let SearchReturn { min, max, all, count, partial, save: _ } = returns;
    let partial = partial.map(|window| (window, found.at(window.positions(found.len()))));
    let found = ESearch {
        by_uid,
        min: found.first().filter(|_| min),
        max: found.last().filter(|_| max),
        all: Some(found).filter(|_| all),
        count: count.then(|| found.len()),
        partial: partial.as_ref().map(|(window, messages)| (*window, messages)),
        modseq,
    };
    wire.encoder().esearch(tag, &found);
    Ok(())
}

/// The store's words for a search key.
pub(super) fn query(selected: &Selected, snapshot: &Snapshot, key: &SearchKey) -> Result<Query, Failure> {
    let queries = |keys: &[SearchKey]| keys.iter().map(|key| query(selected, snapshot, key)).collect::<Result<_, _>>();
    let owner = selected.mailbox.at().owner;
    let header = |name: &str, value: &str| Key::Header { name: name.into(), value: value.into() };
    Ok(Query::Key(match key {
        SearchKey::All => return Ok(Query::ALL),
        SearchKey::And(keys) => return Ok(Query::And(queries(keys)?)),
        SearchKey::Or(keys) => return Ok(Query::Or(queries(keys)?)),
        SearchKey::Not(key) => return Ok(Query::Not(Box::new(query(selected, snapshot, key)?))),
        SearchKey::Seq(set) => Key::Uids(numbered(selected, set)?),
        SearchKey::Uid(set) => Key::Uids(selected.view.resolve_uids(set)),
        // RFC 7162 §3.1.5: "equal to or greater than".
        SearchKey::ModSeq(from) => match from.get().checked_sub(1).and_then(ModSeq::new) {
            Some(since) => Key::Uids(snapshot.changed_since(since, selected.view.told().uids())?),
            None => return Ok(Query::ALL),
        },
        // RFC 8474 §5.3: an identifier that is none of this account's finds nothing.
        SearchKey::EmailId(id) => match object_id::to_email(owner, id) {
            Some(email) => Key::Email(email),
            None => return Ok(Query::NONE),
        },
        SearchKey::ThreadId(id) => match object_id::to_thread(owner, id) {
            Some(thread) => Key::Thread(thread),
            None => return Ok(Query::NONE),
        },
        // RFC 8514 §4.3: all of them, where the mailbox knows save dates.
        SearchKey::SaveDateSupported => return Ok(Query::ALL),
        SearchKey::SavedBefore(day) => Key::Saved(When::Before(day.0)),
        SearchKey::SavedOn(day) => Key::Saved(When::On(day.0)),
        SearchKey::SavedSince(day) => Key::Saved(When::Since(day.0)),
        SearchKey::Saved => Key::Uids(selected.saved.clone()),
        // RFC 3501 §6.4.4; nothing is recent in IMAP4rev2, which has no such key.
        SearchKey::Recent => Key::Uids(selected.recent.clone()),
        SearchKey::Flag(flag) => Key::Flag(flag.clone()),
        SearchKey::Larger(octets) => Key::Larger(*octets),
        SearchKey::Smaller(octets) => Key::Smaller(*octets),
        SearchKey::Before(day) => Key::Received(When::Before(day.0)),
        SearchKey::On(day) => Key::Received(When::On(day.0)),
        SearchKey::Since(day) => Key::Received(When::Since(day.0)),
        // RFC 5032 §2: "less recent than or equal to the target time", by the server's clock.
        SearchKey::Older(seconds) => Key::Until(ago(selected, *seconds)),
        SearchKey::Younger(seconds) => Key::From(ago(selected, *seconds)),
        SearchKey::SentBefore(day) => Key::Sent(When::Before(day.0)),
        SearchKey::SentOn(day) => Key::Sent(When::On(day.0)),
        SearchKey::SentSince(day) => Key::Sent(When::Since(day.0)),
        SearchKey::Bcc(value) => header("Bcc", value),
        SearchKey::Cc(value) => header("Cc", value),
        SearchKey::From(value) => header("From", value),
        SearchKey::Subject(value) => header("Subject", value),
        SearchKey::To(value) => header("To", value),
        SearchKey::Header { name, value } => header(name, value),
        SearchKey::Body(text) => Key::Body(text.clone()),
        SearchKey::Text(text) => Key::Text(text.clone()),
    }))
}

fn ago(selected: &Selected, seconds: NonZeroU32) -> UnixTime {
    UnixTime(selected.mailbox.account().now().0.saturating_sub(seconds.get().into()))
}

/// RFC 9051 §9 `seq-number`: a number above EXISTS is an error, also in SEARCH.
fn numbered(selected: &Selected, set: &types::SequenceSet<SeqNum>) -> Result<IdSet<Uid>, Failure> {
    selected.view.resolve(set).ok_or_else(|| Failure::bad("There is no message with that number"))
}
