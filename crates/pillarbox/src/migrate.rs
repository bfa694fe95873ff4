//! `pillarbox import` and `pillarbox export`: mail from and to files, by the running server if there is one. The
//! server then reads and writes the files: they must be its own user's. [`imap`] takes it from another server.

pub(crate) mod imap;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use import::maildir::Layout;
use import::{Report, maildir, mbox};
use serde::{Deserialize, Serialize};
use store::{Account, Store};
use tracing::info;
use types::{AccountName, Principal};

use crate::admin::Request;
use crate::config::Config;
use crate::{account, console};

/// From where, and whose mail it becomes.
#[derive(Args)]
pub(crate) struct ImportOptions {
    #[command(subcommand)]
    from: From,
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = "pillarbox.toml")]
    config: PathBuf,
}

/// Into which files, and whose mail.
#[derive(Args)]
pub(crate) struct ExportOptions {
    #[command(subcommand)]
    format: Format,
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = "pillarbox.toml")]
    config: PathBuf,
}

/// Where mail comes from.
#[derive(Subcommand)]
enum From {
    #[command(flatten)]
    Files(Format),
    /// Another server, by IMAP: run again, it takes only what is new.
    Imap(Box<imap::Options>),
}

/// The formats.
#[derive(Subcommand)]
enum Format {
    /// A file for each message.
    Maildir {
        /// Whose mail.
        account: String,
        /// A directory; for an export a new or empty one.
        directory: PathBuf,
        /// How an export makes directories of mailboxes; an import takes both.
        #[arg(long, value_enum, default_value_t = Nesting::Dots)]
        layout: Nesting,
    },
    /// A file for each mailbox.
    Mbox {
        /// Whose mail.
        account: String,
        /// A directory; for an import also a file.
        path: PathBuf,
        /// For the import of a file: where its messages go (INBOX).
        #[arg(long)]
        mailbox: Option<String>,
    },
}

/// How mailboxes become directories.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Nesting {
    /// Maildir++: `.Work.Old`
    Dots,
    /// `Work/Old`
    Nested,
}

/// Which way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    Import,
    Export,
}

/// The files on one side; paths are absolute.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Files {
    Maildir { directory: PathBuf, layout: Nesting },
    Mbox { path: PathBuf, mailbox: Option<String> },
}

/// Takes mail over and says how much it was.
pub(crate) fn import(options: ImportOptions) -> Result<()> {
    let config = Config::read(&options.config)?;
    match options.from {
        From::Files(format) => migrate(&config, format, Direction::Import),
        From::Imap(options) => imap::import(&config, *options),
    }
}

/// Writes mail into files and says how much it was.
pub(crate) fn export(options: ExportOptions) -> Result<()> {
    migrate(&Config::read(&options.config)?, options.format, Direction::Export)
}

fn migrate(config: &Config, format: Format, direction: Direction) -> Result<()> {
    let absolute = |path: PathBuf| std::path::absolute(&path).with_context(|| path.display().to_string());
    let (account, files) = match format {
        Format::Maildir { account, directory, layout } => {
            (account, Files::Maildir { directory: absolute(directory)?, layout })
        }
        Format::Mbox { account, path, mailbox } => (account, Files::Mbox { path: absolute(path)?, mailbox }),
    };
    for line in account::perform(config, Request::Migrate { account, direction, files })? {
        console::print(&line)?;
    }
    Ok(())
}

/// What the request asks for, by whoever owns the store.
pub(crate) async fn perform(store: &Store, name: &str, direction: Direction, files: Files) -> Result<Vec<String>> {
    let name = AccountName::new(name).with_context(|| format!("{name:?}"))?;
    let (account, who) = find(store, &name)?;
    let report = match (direction, files) {
        (Direction::Export, Files::Maildir { directory, layout }) => {
            let layout = match layout {
                Nesting::Dots => Layout::MaildirPlusPlus,
                Nesting::Nested => Layout::Nested,
            };
            store::blocking(|| maildir::export(&account, &who, &directory, layout))?
        }
        (Direction::Export, Files::Mbox { path, mailbox }) => {
            if mailbox.is_some() {
                bail!("--mailbox is for the import of one file");
            }
            store::blocking(|| mbox::export(&account, &who, &path))?
        }
        (Direction::Import, Files::Maildir { directory, .. }) => maildir::import(&account, &who, &directory).await?,
        (Direction::Import, Files::Mbox { path, mailbox }) => {
            mbox::import(&account, &who, &path, mailbox.as_deref()).await?
        }
    };
    let way = match direction {
        Direction::Import => "imported",
        Direction::Export => "exported",
    };
    said(&name, report, way)
}

fn find(store: &Store, name: &AccountName) -> Result<(Account, Principal)> {
    let record = store::blocking(|| store.find_account(name))?.context("there is no such account")?;
    Ok((store.account(record.id)?, Principal { account: record.id }))
}

/// The report in words; an error where something failed.
fn said(name: &AccountName, report: Report, way: &str) -> Result<Vec<String>> {
    let Report { mailboxes, messages, octets, flags, failed, problems, remarks } = report;
    info!("account {name}: {messages} messages {way}, {failed} failed");
    let mut lines = remarks;
    lines.extend(problems);
    if flags > 0 {
        lines.push(format!("flags brought up to date: {flags} messages"));
    }
    lines.push(format!("{way}: {messages} messages of {octets} octets in {mailboxes} mailboxes"));
    if failed > 0 {
        bail!("{}; {failed} could not be", lines.join("\n"));
    }
    Ok(lines)
}
