//! `pillarbox undelete`: lists what was expunged or deleted, and brings it back.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use store::{Account, LostQuery, Store};
use tracing::info;
use types::{AccountName, Civil, DateTime, EmailId, MailboxName, Principal, UnixTime};

use crate::admin::Request;
use crate::config::Config;
use crate::{account, console};

/// Whose, and what.
#[derive(Args)]
pub(crate) struct Options {
    /// Whose mail.
    account: String,
    #[command(subcommand)]
    action: Action,
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = "pillarbox.toml")]
    config: PathBuf,
}

/// What is asked of the owner of the store.
#[derive(Debug, Serialize, Deserialize, Subcommand)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// Lists the deleted mailboxes and the expunged messages that can be restored, the last ones first.
    List {
        #[command(flatten)]
        filter: Filter,
        /// So many messages at most.
        #[arg(long, value_name = "NUMBER", default_value_t = 100)]
        limit: usize,
    },
    /// Puts messages back where they were.
    Restore {
        /// Their numbers in the list; all that the filters leave, if none is given.
        messages: Vec<u64>,
        #[command(flatten)]
        filter: Filter,
        /// Everything that can be restored.
        #[arg(long)]
        all: bool,
        /// Puts them into this mailbox, which is created if need be.
        #[arg(long, value_name = "MAILBOX")]
        to: Option<String>,
    },
    /// Brings a deleted mailbox back as it was.
    RestoreMailbox {
        /// The name that it had, or its number in the list where several had it.
        mailbox: String,
        /// Under this name.
        #[arg(long, value_name = "MAILBOX")]
        to: Option<String>,
    },
}

/// Which messages.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, Args)]
pub(crate) struct Filter {
    /// Expunged from this mailbox.
    #[arg(long)]
    mailbox: Option<String>,
    /// Received on this day (UTC) or later.
    #[arg(long, value_name = "YYYY-MM-DD")]
    since: Option<Day>,
    /// Received before this day.
    #[arg(long, value_name = "YYYY-MM-DD")]
    before: Option<Day>,
    /// Expunged on this day or later.
    #[arg(long, value_name = "YYYY-MM-DD")]
    expunged_since: Option<Day>,
    /// With this in the subject.
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// With this in the sender's name or address.
    #[arg(long, value_name = "TEXT")]
    from: Option<String>,
}

/// The beginning of a day in UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Day(i64);

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, '-').map(|part| part.parse::<u16>().ok());
        let mut part = || parts.next().flatten();
        let date = part().zip(part()).zip(part()).and_then(|((year, month), day)| {
            let (month, day) = (u8::try_from(month).ok()?, u8::try_from(day).ok()?);
            DateTime::new(Civil { year: year.into(), month, day, hour: 0, minute: 0, second: 0 }, 0)
        });
        date.map(|date| Self(date.time.0)).ok_or_else(|| format!("{text:?} is no day such as 2026-11-20"))
    }
}

/// Does it and prints what came of it.
pub(crate) fn undelete(options: Options) -> Result<()> {
    let config = Config::read(&options.config)?;
    let request = Request::Undelete { account: options.account, action: options.action };
    for line in account::perform(&config, request)? {
        console::print(&line)?;
    }
    Ok(())
}

/// What the request asks for, by whoever owns the store.
pub(crate) async fn perform(store: &Store, name: &str, action: Action) -> Result<Vec<String>> {
    let name = AccountName::new(name).with_context(|| format!("{name:?}"))?;
    let record = store::blocking(|| store.find_account(&name))?.context("there is no such account")?;
    let (account, who) = (store.account(record.id)?, Principal { account: record.id });
    match action {
        Action::List { filter, limit } => store::blocking(|| list(&account, &who, &filter.query()?, limit)),
        Action::Restore { messages, filter, all, to } => {
            if messages.is_empty() && filter == Filter::default() && !all {
                bail!("say which messages: by number, by a filter such as --mailbox or --since, or --all");
            }
            let mut query = filter.query()?;
            let wanted: BTreeSet<_> = messages.into_iter().map(EmailId).collect();
            let count = wanted.len() as u64;
            query.emails = (!wanted.is_empty()).then_some(wanted);
            let to = to.as_deref().map(MailboxName::new).transpose()?;
            let restored = account.restore(&who, &query, to.as_ref()).await?;
            let total: u64 = restored.messages.values().sum();
            info!("account {name}: {total} messages restored");
            let mut lines: Vec<_> =
                restored.messages.iter().map(|(to, count)| format!("{count} messages restored to {to}")).collect();
            if total == 0 {
                bail!("no such message can be restored");
            }
            if total < count {
                lines.push(format!("{} of the numbers are not in the list", count - total));
            }
            Ok(lines)
        }
        Action::RestoreMailbox { mailbox, to } => {
            let id = find_mailbox(&account, &who, &mailbox)?;
            let to = to.as_deref().map(MailboxName::new).transpose()?;
            let restored = account.restore_mailbox(&who, id, to).await.map_err(|error| match error {
                store::Error::MailboxExists => anyhow::anyhow!("{error}; give it another one with --to"),
                other => other.into(),
            })?;
            info!("account {name}: a mailbox restored");
            Ok(vec![format!("{restored} restored")])
        }
    }
}

impl Filter {
    fn query(&self) -> Result<LostQuery> {
        let time = |day: Option<Day>| day.map(|day| UnixTime(day.0));
        Ok(LostQuery {
            emails: None,
            mailbox: self.mailbox.as_deref().map(MailboxName::new).transpose()?,
            since: time(self.since),
            before: time(self.before),
            expunged_since: time(self.expunged_since),
            subject: self.subject.clone(),
            from: self.from.clone(),
        })
    }
}

fn list(account: &Account, who: &Principal, query: &LostQuery, limit: usize) -> Result<Vec<String>> {
    let mut lines = vec![];
    for mailbox in account.deleted_mailboxes(who)? {
        lines.push(format!(
            "mailbox {}  deleted {}  {} messages of {} octets  {}",
            mailbox.id,
            moment(mailbox.deleted),
            mailbox.messages,
            mailbox.octets,
            printable(mailbox.name.as_str()),
        ));
    }
    let (lost, count) = account.lost(who, query, limit)?;
    for message in &lost {
        lines.push(format!(
            "{}  expunged {}  from {}  received {}  {} octets  {}  {}",
            message.email,
            moment(message.expunged),
            printable(message.mailbox.as_str()),
            moment(message.internal_date.time),
            message.size,
            printable(&message.from),
            printable(&message.subject),
        ));
    }
    if count > lost.len() {
        lines.push(format!("and {} more: use the filters, or --limit", count - lost.len()));
    }
    if lines.is_empty() {
        lines.push("nothing can be restored".to_owned());
    }
    Ok(lines)
}

fn find_mailbox(account: &Account, who: &Principal, wanted: &str) -> Result<types::MailboxId> {
    let deleted = store::blocking(|| account.deleted_mailboxes(who))?;
    let named: Vec<_> = deleted.iter().filter(|mailbox| mailbox.name.as_str() == wanted).collect();
    match named[..] {
        [one] => Ok(one.id),
        [] => {
            let numbered = deleted.iter().find(|mailbox| mailbox.id.to_string() == wanted);
            numbered.map(|mailbox| mailbox.id).context("no such mailbox can be restored; `list` shows those that can")
        }
        _ => {
            let ids: Vec<_> = named.iter().map(|mailbox| mailbox.id.to_string()).collect();
            bail!("several deleted mailboxes had that name: say which by its number ({})", ids.join(", "))
        }
    }
}

fn moment(time: UnixTime) -> String {
    let Civil { year, month, day, hour, minute, .. } = DateTime::utc(time).civil();
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

/// Texts come from strangers; a terminal gets no control characters from them.
fn printable(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let _ = if c.is_control() { out.write_char('\u{fffd}') } else { out.write_char(c) };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days() {
        assert_eq!("1970-01-02".parse::<Day>(), Ok(Day(86_400)));
        for wrong in ["", "2026", "2026-13-01", "2026-02-30", "20261120", "2026-11-20-1", "x-y-z"] {
            assert!(wrong.parse::<Day>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn strangers_do_not_command_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\r\nc\u{9b}ü"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}ü");
    }
}
