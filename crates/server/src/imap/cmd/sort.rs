//! SORT and UID SORT (RFC 5256 §3, RFC 5957, RFC 5267 §3, RFC 9394).
//!
//! Messages are found as by SEARCH, then put in order step by step. One whose header is damaged is
//! in the answer, as if it had none; an untagged NO names it.

use std::sync::Arc;

use proto::imap::Tag;
use proto::imap::command::{SearchReturn, Sort, SortCriterion, SortKey};
use proto::imap::response::{Condition, ESort};
use store::{SortBy, Sorted, Sorting};
use types::{IdSet, ModSeq, Number, Uid};

use super::search::{AT_ONCE, find, in_turns, query, warn};
use crate::imap::answer::{Answer, End, Failure, Outcome};
use crate::imap::state::Selected;
use crate::imap::wire::Wire;

/// Carries out SORT and UID SORT.
pub(crate) async fn sort(selected: &mut Selected, wire: &mut Wire, tag: &Tag, sort: &Sort) -> Outcome {
    let saves = sort.returns.is_some_and(|returns| returns.save);
    let (sorted, modseq) = match sorted(selected, wire, sort).await {
        Ok(sorted) => sorted,
        Err(failure) => {
            // RFC 5182 §2.1, as SEARCH: NO empties it, BAD does not.
            let bad = matches!(&failure, Failure::Refused(answer) if answer.condition == Condition::Bad);
            if saves && !bad {
                selected.saved = IdSet::new();
            }
            return Err(failure);
        }
    };
    if sort.by_uid {
        answer(wire, tag, sort, &sorted.uids, modseq).await?;
    } else {
        let numbers: Vec<_> = sorted.uids.iter().filter_map(|&uid| selected.view.number(uid)).collect();
        answer(wire, tag, sort, &numbers, modseq).await?;
    }
    if saves {
        selected.saved = returned(sort, &sorted.uids);
    }
    Ok(Answer::ok(if saves { "SORT completed, result saved" } else { "SORT completed" }))
}

async fn sorted(selected: &Selected, wire: &mut Wire, sort: &Sort) -> Result<(Sorted, Option<ModSeq>), Failure> {
    let snapshot = selected.mailbox.snapshot()?;
    let query = query(selected, &snapshot, &sort.key)?;
    let found = find(selected, wire, Arc::clone(&snapshot), query, None).await?;
    warn(wire, "not searched", &found.damaged);
    let by: Vec<_> = sort.criteria.iter().map(sort_by).collect();
    let mut sorting = Sorting::new(&selected.mailbox, Arc::clone(&snapshot), found.uids, &by);
    // What was answered before need not wait.
    wire.flush().await?;
    in_turns(wire, &mut sorting, |_| false).await?;
    let sorted = sorting.finish();
    warn(wire, "sorted without their headers", &sorted.damaged);
    // RFC 7162 §3.1.9 and §3.1.10; with MIN, MAX and PARTIAL alone that of these (RFC 4731 §3.2).
    let modseq = if sort.key.asks_modseq() { snapshot.latest_change(&returned(sort, &sorted.uids))? } else { None };
    Ok((sorted, modseq))
}

/// The store's word for it.
fn sort_by(criterion: &SortCriterion) -> SortBy {
    let key = match criterion.key {
        SortKey::Arrival => store::SortKey::Arrival,
        SortKey::Cc => store::SortKey::Cc,
        SortKey::Date => store::SortKey::Date,
        SortKey::DisplayFrom => store::SortKey::DisplayFrom,
        SortKey::DisplayTo => store::SortKey::DisplayTo,
        SortKey::From => store::SortKey::From,
        SortKey::Size => store::SortKey::Size,
        SortKey::Subject => store::SortKey::Subject,
        SortKey::To => store::SortKey::To,
    };
    SortBy { key, reverse: criterion.reverse }
}

/// Writes the untagged response.
async fn answer<T: Number + Send + Sync>(
    wire: &mut Wire,
    tag: &Tag,
    sort: &Sort,
    sorted: &[T],
    modseq: Option<ModSeq>,
) -> Result<(), End> {
    // RFC 5267 §3: without RETURN, "the server will return results as specified in [SORT]", also in IMAP4rev2.
    let Some(returns) = sort.returns else {
        wire.encoder().begin_sort();
        for part in sorted.chunks(AT_ONCE as usize) {
            wire.encoder().numbers(part.iter().copied());
            wire.relieve().await?;
        }
        wire.encoder().end_numbers(modseq);
        return Ok(());
    };
    // RFC 5182 §2.1: SAVE alone has no answer.
    if returns.is_answered() {
        let found = ESort {
            by_uid: sort.by_uid,
            min: sorted.first().copied().filter(|_| returns.min),
            max: sorted.last().copied().filter(|_| returns.max),
            all: Some(sorted).filter(|_| returns.all),
            count: returns.count.then_some(sorted.len() as u64),
            partial: returns.partial.map(|window| (window, window.of(sorted))),
            modseq,
        };
        wire.encoder().esort(tag, &found);
    }
    Ok(())
}

/// The messages that are returned, which are also those that SAVE keeps: as for SEARCH, but MIN, MAX and
/// PARTIAL are those of the order.
fn returned(sort: &Sort, sorted: &[Uid]) -> IdSet<Uid> {
    match sort.returns {
        Some(SearchReturn { min, max, all: false, count: false, partial, .. }) if min || max || partial.is_some() => {
            let window = partial.map_or(&[][..], |window| window.of(sorted));
            let ends = sorted.first().filter(|_| min).into_iter().chain(sorted.last().filter(|_| max));
            window.iter().chain(ends).copied().collect()
        }
        _ => sorted.iter().copied().collect(),
    }
}
