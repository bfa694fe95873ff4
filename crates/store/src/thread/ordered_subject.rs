//! ORDEREDSUBJECT (RFC 5256 §3).

use super::forest::Forest;
use super::table::Table;

/// "The searched messages are sorted by base subject and then by the sent date. The messages are
/// then split into separate threads, with each thread containing messages with the same base
/// subject text. Finally, the threads are sorted by the sent date of the first message."
pub(super) fn thread(table: &Table) -> Forest {
    let mut forest = Forest::new(table.len());
    let date = |id: u32| (table.sent.get(id as usize).copied(), id);
    let subjects = table.subjects.compared();
    let same = |a: u32, b: u32| subjects.compare(a as usize, b as usize);
    let mut order: Vec<u32> = (0..forest.messages).collect();
    order.sort_unstable_by(|&a, &b| same(a, b).then_with(|| date(a).cmp(&date(b))));
    for thread in order.chunk_by(|&a, &b| same(a, b).is_eq()) {
        if let Some((first, others)) = thread.split_first() {
            forest.adopt(*first, others.iter().copied());
            forest.roots.push(*first);
        }
    }
    forest.roots.sort_unstable_by_key(|&root| date(root));
    forest
}
