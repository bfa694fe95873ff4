//! UIDBATCHES (RFC 10022): UID ranges that cut the mailbox into batches of one size, the newest first.
//!
//! Each end of a range is one look into the view, so the cost is that of the answer; no row is touched.
//! The batches are those of the mailbox as the client knows it, so they agree with EXISTS.

use std::num::NonZeroU32;

use proto::imap::command::UidBatches;
use proto::imap::{Code, Tag};
use store::Told;
use types::{SeqNum, Uid};

use crate::imap::answer::{Answer, Failure, Outcome};
use crate::imap::state::Selected;
use crate::imap::wire::Wire;

/// RFC 10022: clients must not ask for less.
const SMALLEST: u32 = 500;

/// What was answered last, to know whether the client only asks again.
pub(crate) struct Answered {
    command: UidBatches,
    exists: u32,
    last: Option<Uid>,
}

pub(crate) fn uid_batches(selected: &mut Selected, wire: &mut Wire, tag: &Tag, command: UidBatches) -> Outcome {
    if command.size.get() < SMALLEST {
        return Err(Failure::no(Code::TooFew, format!("A batch has at least {SMALLEST} messages")));
    }
    let told = selected.view.told();
    if selected.batches.as_ref().is_some_and(|before| before.is_still_good(&command, told)) {
        return Err(Failure::no(Code::Limit, "The batches are still those that you were told"));
    }
    let numbers = numbers(&command, told.len());
    // A server must be able to answer for 100,000 messages: 200 batches.
    let most = selected.mailbox.account().limits().uid_batches;
    if numbers.len() > most {
        return Err(Failure::no(Code::TooMany, format!("More than {most} batches in one answer")));
    }
    wire.encoder().uid_batches(tag, numbers.filter_map(|batch| ends(told, command.size, batch)));
    selected.batches = Some(Answered { exists: told.len(), last: told.last(), command });
    Ok(Answer::ok("UIDBATCHES completed"))
}

impl Answered {
    /// RFC 10022: the same again only once more than half of a batch has come or gone.
    fn is_still_good(&self, command: &UidBatches, told: &Told) -> bool {
        let new = self.last.map_or(Some(Uid::MIN), Uid::next);
        let came = new.map_or(0, |new| told.uids().count_within(new, Uid::MAX));
        let gone = (u64::from(self.exists) + came).saturating_sub(told.len().into());
        let half = u64::from(command.size.get()) / 2;
        self.command == *command && came <= half && gone <= half
    }
}

/// The batches that are wanted and exist, counted from 0.
fn numbers(command: &UidBatches, exists: u32) -> std::ops::Range<usize> {
    let all = exists.div_ceil(command.size.get());
    let (from, to) = command.batches.as_ref().map_or((0, all), |range| {
        let below = |n: &NonZeroU32| n.get() - 1;
        (below(range.start()).min(all), range.end().get().min(all))
    });
    from as usize..to as usize
}

/// The largest and the smallest UID of a batch. The last one ends with 1, which tells the client that
/// nothing comes behind it.
fn ends(told: &Told, size: NonZeroU32, batch: usize) -> Option<(Uid, Uid)> {
    let before = u32::try_from(batch).ok()?.checked_mul(size.get())?;
    let high = told.len().checked_sub(before)?;
    let low = high.saturating_sub(size.get());
    let low = if low == 0 { Uid::MIN } else { told.uid(SeqNum::new(low + 1)?)? };
    Some((told.uid(SeqNum::new(high)?)?, low))
}
