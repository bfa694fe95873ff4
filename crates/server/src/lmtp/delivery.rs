//! One message on its way to its recipients: it goes into the store while it arrives, a copy for each
//! mailbox, since each begins with lines of its own.

use proto::lmtp::{Address, EnhancedStatus, Inspector, Mail, Reply};
use store::{Account, Growth, Incoming, NewMessage};
use tokio::task::JoinHandle;
use tracing::{error, info};
use types::{AccountName, Flags, MailboxName, Principal};

use super::recipient;
use super::trace::{ReturnPathFilter, Trace, prefix};
use crate::context::{Context, OverQuota};
use crate::lent::{Borrower, CalledBack};
use crate::log_id::LogId;
use crate::stream::Peer;
use crate::turns::Party;

/// A recipient that was taken.
pub(super) struct Recipient {
    address: Address,
    name: AccountName,
    account: Account,
    mailbox: MailboxName,
}

impl Recipient {
    /// Finds whose address this is, or says why it is nobody's, or that nothing more fits in there. `declared` is what
    /// the client says of the message's size (RFC 1870 §6.1).
    pub(super) fn find(context: &Context, address: Address, declared: Option<u64>) -> Result<Self, Reply> {
        let over_quota = context.lmtp.over_quota;
        if !recipient::is_ours(&address, &context.lmtp.domains) {
            // RFC 3463 §3.2: bad destination system address.
            return Err(reply(550, (5, 1, 2), format!("<{address}> is not of a domain that is served here")));
        }
        for candidate in recipient::candidates(&address) {
            let found = context.store.find_account(&candidate.account);
            let account = match found.and_then(|found| found.map(|it| context.store.account(it.id)).transpose()) {
                Ok(Some(account)) => account,
                Ok(None) => continue,
                Err(error) => return Err(refusal(&error, over_quota, "-")),
            };
            // The store decides when the message is there; what will not do is said now.
            let growth = Growth::default().plus_message(declared.unwrap_or(1));
            account.may_grow(growth).map_err(|error| refusal(&error, over_quota, "-"))?;
            let tree = account.tree();
            let folder = candidate.folder.and_then(|folder| recipient::folder(&tree, &folder).cloned());
            let mailbox = folder.map_or_else(MailboxName::inbox, |entry| entry.name.clone());
            return Ok(Self { address, name: candidate.account, account, mailbox });
        }
        // RFC 3463 §3.2: bad destination mailbox address.
        Err(reply(550, (5, 1, 1), format!("<{address}> is nobody here")))
    }
}

/// Where a message comes from.
pub(super) struct Origin<'a> {
    pub(super) mail: Mail,
    pub(super) client: &'a str,
    pub(super) peer: Peer,
    pub(super) tls: bool,
}

/// A message that is arriving. Dropped, it was never there.
pub(super) struct Delivery {
    id: String,
    from: String,
    copies: Vec<Copy>,
    /// The recipients in their order, with the number of their copy.
    recipients: Vec<(Address, usize)>,
    filter: ReturnPathFilter,
    inspector: Inspector,
    size: u64,
    size_limit: u64,
    line_limit: usize,
    over_quota: OverQuota,
    /// Why nobody gets the message; its rest is passed over.
    refusal: Option<Reply>,
}

/// What goes into one mailbox.
struct Copy {
    name: AccountName,
    account: Account,
    mailbox: MailboxName,
    incoming: store::Result<Incoming>,
}

impl Delivery {
    /// The envelope is complete: begins a copy for each mailbox.
    pub(super) fn begin(context: &Context, origin: Origin<'_>, recipients: Vec<Recipient>) -> Self {
        let now = context.clock.now();
        let id = LogId::next().to_string();
        let Origin { mail, client, peer, tls } = origin;
        let host = &context.hostname;
        let trace = Trace { client, peer, host, tls, smtputf8: mail.smtputf8, id: &id, now };
        let mut copies: Vec<Copy> = Vec::new();
        let mut numbered = Vec::with_capacity(recipients.len());
        for Recipient { address, name, account, mailbox } in recipients {
            // RFC 2033 §4.2: a recipient that is named twice gets two replies; one message is enough.
            let same = |copy: &Copy| copy.account.id() == account.id() && copy.mailbox == mailbox;
            let number = copies.iter().position(same).unwrap_or_else(|| {
                let top = prefix(&trace, mail.from.as_ref(), &address);
                let begun = account.receive().and_then(|mut incoming| {
                    incoming.push_trace(top.as_bytes())?;
                    Ok(incoming)
                });
                copies.push(Copy { name, account, mailbox, incoming: begun });
                copies.len() - 1
            });
            numbered.push((address, number));
        }
        Self {
            id,
            from: mail.from.map(|from| from.to_string()).unwrap_or_default(),
            copies,
            recipients: numbered,
            filter: ReturnPathFilter::default(),
            inspector: Inspector::default(),
            size: 0,
            size_limit: context.limits.message_size,
            line_limit: context.limits.message_line,
            over_quota: context.lmtp.over_quota,
            refusal: None,
        }
    }

    /// Takes the next octets of the message.
    pub(super) fn write(&mut self, octets: &[u8]) {
        if self.refusal.is_some() {
            return;
        }
        self.size = self.size.saturating_add(octets.len() as u64);
        self.inspector.look(octets);
        self.refusal = self.objection();
        if self.refusal.is_some() {
            // What has been stored of it is given back at once.
            self.copies.iter_mut().for_each(|copy| copy.incoming = Err(store::Error::Internal));
            return;
        }
        let (held, rest) = self.filter.pass(octets);
        self.copies.iter_mut().for_each(|copy| copy.push(&[&held, rest]));
    }

    /// What is wrong with the message as far as it has come.
    fn objection(&self) -> Option<Reply> {
        let findings = self.inspector.finish();
        if self.size > self.size_limit {
            // RFC 1870 §6.3
            let text = format!("a message has at most {} octets", self.size_limit);
            return Some(reply(552, (5, 3, 4), text));
        }
        if findings.nul {
            // RFC 2045 §2.7, §2.8; RFC 3463 §3.7.
            return Some(reply(554, (5, 6, 0), "the message contains a NUL octet"));
        }
        // RFC 5321 §4.5.3.1.9 suggests this code.
        let long = findings.longest_line > self.line_limit;
        long.then(|| reply(500, (5, 6, 0), format!("a line of the message has more than {} octets", self.line_limit)))
    }

    /// Octets of memory that are held, about.
    pub(super) fn memory(&self) -> usize {
        let copies = self.copies.iter().filter_map(|copy| copy.incoming.as_ref().ok());
        copies.map(|incoming| size_of::<Copy>() + incoming.memory()).fold(0, usize::saturating_add)
    }

    /// Why nobody will get the message, if that is known already.
    pub(super) fn refusal(&self) -> Option<Reply> {
        self.refusal.clone()
    }

    /// The message is complete: all copies are committed at the same time.
    pub(super) fn finish(self, borrower: &Borrower, party: Party) -> Outcomes {
        let Self { id, from, mut copies, recipients, filter, over_quota, refusal, .. } = self;
        let held = filter.finish();
        copies.iter_mut().for_each(|copy| copy.push(&[&held]));
        let copies = copies.into_iter().map(|copy| match &refusal {
            Some(reply) => Outcome::Known(reply.clone()),
            None => {
                let commit = copy.commit(over_quota, id.clone(), from.clone(), borrower.clone(), party);
                Outcome::Running(tokio::spawn(commit))
            }
        });
        Outcomes { copies: copies.collect(), recipients: recipients.into_iter() }
    }
}

impl Copy {
    fn push(&mut self, pieces: &[&[u8]]) {
        for octets in pieces.iter().filter(|octets| !octets.is_empty()) {
            if let Ok(incoming) = &mut self.incoming
                && let Err(error) = incoming.push(octets)
            {
                // Dropping what has come gives its space back.
                self.incoming = Err(error);
            }
        }
    }

    /// 250 once the message is durable.
    async fn commit(self, over_quota: OverQuota, id: String, from: String, borrower: Borrower, party: Party) -> Reply {
        let Self { name, account, mailbox, incoming } = self;
        let who = Principal { account: account.id() };
        let content = match incoming.and_then(Incoming::finish) {
            Ok(content) => content,
            Err(error) => return refused(&name, &error, over_quota, &id),
        };
        let Ok(_turn) = borrower.turn_to_commit(party, content.memory()).await else {
            info!("lmtp: not delivered to {name}: {CalledBack}, id {id}");
            // RFC 3463 §3.5: congestion.
            return reply(452, (4, 4, 5), format!("memory is short; try again, id {id}"));
        };
        let size = content.size();
        let message = NewMessage { content, flags: Flags::NONE, internal_date: None };
        match account.append(&who, &mailbox, vec![message]).await {
            Ok(appended) => {
                let uid = appended.uids.first().map_or(0, types::Uid::get);
                info!("lmtp: delivered to {name}: {mailbox} uid {uid}, {size} octets, from <{from}>, id {id}");
                reply(250, (2, 0, 0), format!("delivered, id {id}"))
            }
            Err(error) => refused(&name, &error, over_quota, &id),
        }
    }
}

/// The store did not take it.
fn refused(name: &AccountName, error: &store::Error, over_quota: OverQuota, id: &str) -> Reply {
    info!("lmtp: not delivered to {name}: {error}, id {id}");
    refusal(error, over_quota, id)
}

/// What becomes of each recipient.
pub(super) struct Outcomes {
    copies: Vec<Outcome>,
    recipients: std::vec::IntoIter<(Address, usize)>,
}

enum Outcome {
    Running(JoinHandle<Reply>),
    Known(Reply),
}

impl Outcomes {
    /// Whether the next reply is known without waiting; `None` after the last.
    pub(super) fn is_next_ready(&self) -> Option<bool> {
        let (_, number) = self.recipients.as_slice().first()?;
        Some(match self.copies.get(*number) {
            Some(Outcome::Running(task)) => task.is_finished(),
            Some(Outcome::Known(_)) | None => true,
        })
    }

    /// The reply for the next recipient.
    pub(super) async fn next(&mut self) -> Option<Reply> {
        let (address, number) = self.recipients.next()?;
        let outcome = self.copies.get_mut(number)?;
        if let Outcome::Running(task) = outcome {
            // A task that panicked is our fault; the client tries again.
            let reply = task.await.unwrap_or_else(|_| reply(451, (4, 3, 0), "internal error"));
            *outcome = Outcome::Known(reply);
        }
        match outcome {
            Outcome::Known(reply) => {
                Some(Reply::new(reply.code(), reply.status(), format!("<{address}> {}", reply.text())))
            }
            Outcome::Running(_) => None,
        }
    }
}

/// The one place where the store's errors become replies (RFC 3463).
fn refusal(error: &store::Error, over_quota: OverQuota, id: &str) -> Reply {
    use store::Error as E;
    match error {
        E::TooBig { .. } => reply(552, (5, 3, 4), error.to_string()),
        E::DiskFull => reply(452, (4, 3, 1), error.to_string()),
        // RFC 3463 §3.3: mailbox full.
        E::OverQuota(_) => match over_quota {
            OverQuota::Temporary => reply(452, (4, 2, 2), error.to_string()),
            OverQuota::Permanent => reply(552, (5, 2, 2), error.to_string()),
        },
        E::Limit(_) => reply(452, (4, 2, 2), error.to_string()),
        E::NoSuchAccount | E::NoSuchMailbox => reply(550, (5, 1, 1), "the account is gone"),
        // The folder went between RCPT and now: the next attempt finds INBOX.
        E::NoSuchTarget => reply(451, (4, 2, 0), "the folder is gone; try again"),
        E::Internal | E::Conflict => reply(451, (4, 3, 2), error.to_string()),
        _ => {
            error!("lmtp: id {id}: {error}");
            reply(451, (4, 3, 0), format!("the store failed, id {id}"))
        }
    }
}

fn reply(
    code: u16,
    (class, subject, detail): (u8, u16, u16),
    text: impl Into<std::borrow::Cow<'static, str>>,
) -> Reply {
    Reply::new(code, Some(EnhancedStatus(class, subject, detail)), text)
}
