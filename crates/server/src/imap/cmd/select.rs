//! SELECT and EXAMINE (RFC 9051 §6.3.2, §6.3.3).

use proto::imap::command::Select;
use proto::imap::response::{Condition, ListEntry};
use proto::imap::{Code, Dialect};
use store::{Mailbox, Snapshot, View};
use types::{IdSet, MailboxName, Uid};

use super::list::attributes;
use super::qresync::resync;
use crate::imap::answer::{Answer, Failure, Outcome, sentence};
use crate::imap::lost::Lost;
use crate::imap::object_id;
use crate::imap::state::{Authenticated, Selected, State};
use crate::imap::updates::count;
use crate::imap::wire::Wire;

/// Where a mailbox is selected already: it is closed first, whatever comes of the command.
pub(crate) async fn reselect(
    selected: Box<Selected>,
    wire: &mut Wire,
    command: Select,
    read_only: bool,
) -> (State, Outcome) {
    // RFC 9051 §7.1: the boundary between what belongs to the one and to the other. RFC 7162 §3.2.11:
    // also for a client that knows nothing of it.
    wire.encoder().untagged(Condition::Ok, Some(&Code::Closed), "The previous mailbox is closed");
    select(selected.user, wire, command, read_only).await
}

pub(crate) async fn select(
    mut user: Authenticated,
    wire: &mut Wire,
    command: Select,
    read_only: bool,
) -> (State, Outcome) {
    user.lost = Lost::No;
    let old_name = command.old_name;
    let opened = command.mailbox.map_err(|error| Failure::no(Code::Cannot, sentence(&error))).and_then(|name| {
        let mailbox = user.account.open(&user.principal, &name)?;
        let (attendance, snapshot) = mailbox.attend()?;
        Ok((name, mailbox, attendance, snapshot))
    });
    let (name, mailbox, attendance, snapshot) = match opened {
        Ok(opened) => opened,
        Err(failure) => return (State::Authenticated(user), Err(failure)),
    };
    // RFC 9051 §6.3.2: who can change nothing is told so; at such a time that is everybody.
    let read_only = read_only || mailbox.is_read_only();
    let recent = match recent(&mailbox, &snapshot, wire, read_only) {
        Ok(recent) => recent,
        Err(error) => return (State::Authenticated(user), Err(error.into())),
    };
    let mut selected = Box::new(Selected {
        user,
        ticks: mailbox.watch(),
        mailbox,
        view: View::new(&snapshot),
        attendance,
        read_only,
        saved: IdSet::new(),
        batches: None,
        recent,
        keywords_told: 0,
    });
    let answer = match tell(&mut selected, wire, &name, old_name.as_deref(), &snapshot) {
        Ok(answer) => answer,
        Err(error) => return (State::Authenticated(selected.user), Err(error.into())),
    };
    if let Some(client) = command.qresync
        && let Err(failure) = resync(&selected, wire, &snapshot, &client).await
    {
        return (State::Authenticated(selected.user), Err(failure));
    }
    (State::Selected(selected), Ok(answer))
}

/// RFC 3501 §2.3.2: SELECT claims the new messages, EXAMINE only looks. IMAP4rev2 knows no \Recent.
fn recent(mailbox: &Mailbox, snapshot: &Snapshot, wire: &Wire, read_only: bool) -> store::Result<IdSet<Uid>> {
    if wire.dialect().rev2 {
        return Ok(IdSet::new());
    }
    let from = if read_only { mailbox.recent_from()? } else { mailbox.claim_recent(snapshot.uid_next())? };
    Ok(if from < snapshot.uid_next() { snapshot.uids().within(from, Uid::MAX) } else { IdSet::new() })
}

fn tell(
    selected: &mut Selected,
    wire: &mut Wire,
    name: &MailboxName,
    old_name: Option<&str>,
    snapshot: &Snapshot,
) -> store::Result<Answer> {
    let Dialect { rev2, uid_only, .. } = wire.dialect();
    // RFC 3501 §7.1: the first message without \Seen; not in IMAP4rev2. RFC 9586 §3: it is a number.
    let unseen = if rev2 || uid_only { None } else { snapshot.first_unseen()? };
    selected.tell_keywords(wire, snapshot);

    let mut encoder = wire.encoder();
    encoder.exists(selected.view.exists());
    encoder.recent(count(&selected.recent));
    if let Some(number) = unseen.and_then(|uid| selected.view.number(uid)) {
        encoder.untagged(Condition::Ok, Some(&Code::Unseen(number)), "The first unseen message");
    }
    encoder.untagged(Condition::Ok, Some(&Code::UidValidity(snapshot.uid_validity())), "The UIDs are valid");
    encoder.untagged(Condition::Ok, Some(&Code::UidNext(snapshot.uid_next())), "The next UID");
    // RFC 7162 §3.1.2.1; NOMODSEQ never, and also to a client that has not asked yet.
    encoder.untagged(Condition::Ok, Some(&Code::HighestModSeq(selected.view.reported())), "The latest change");
    // RFC 8474 §4.2
    let id = object_id::mailbox(selected.mailbox.at().owner, snapshot.mailbox());
    encoder.untagged(Condition::Ok, Some(&Code::MailboxId(id)), "The mailbox under any name");
    // RFC 9208 §4.3.1: said where it matters and once, not after every command.
    if selected.user.account.quota().is_over() {
        encoder.untagged(Condition::No, Some(&Code::OverQuota), "The account uses more than its quota allows");
    }
    if rev2 {
        // RFC 9051 §6.3.2: the LIST response is required, with OLDNAME for another spelling.
        let attributes = attributes(&selected.user.account.tree(), name);
        encoder.list(ListEntry { attributes: &attributes, name, child_subscribed: false, old_name });
    }
    Ok(if selected.read_only {
        Answer::ok("Examined").with(Code::ReadOnly)
    } else {
        Answer::ok("Selected").with(Code::ReadWrite)
    })
}
