//! `pillarbox import` and `pillarbox export`: mail from and to files, by the running server if there is one. The
//! server then reads and writes the files: they must be its own user's.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use import::maildir::Layout;
use import::{Report, maildir, mbox};
use serde::{Deserialize, Serialize};
use store::Store;
use tracing::info;
use types::{AccountName, Principal};

use crate::admin::Request;
use crate::config::Config;
use crate::{account, console};

/// Which files, and whose mail.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    format: Format,
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = "pillarbox.toml")]
    config: PathBuf,
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

/// Does it and says how much it was.
pub(crate) fn migrate(options: Options, direction: Direction) -> Result<()> {
    let config = Config::read(&options.config)?;
    let absolute = |path: PathBuf| std::path::absolute(&path).with_context(|| path.display().to_string());
    let (account, files) = match options.format {
        Format::Maildir { account, directory, layout } => {
            (account, Files::Maildir { directory: absolute(directory)?, layout })
        }
        Format::Mbox { account, path, mailbox } => (account, Files::Mbox { path: absolute(path)?, mailbox }),
    };
    for line in account::perform(&config, Request::Migrate { account, direction, files })? {
        console::print(&line)?;
    }
    Ok(())
}

/// What the request asks for, by whoever owns the store.
pub(crate) async fn perform(store: &Store, name: &str, direction: Direction, files: Files) -> Result<Vec<String>> {
    let name = AccountName::new(name).with_context(|| format!("{name:?}"))?;
    let record = store::blocking(|| store.find_account(&name))?.context("there is no such account")?;
    let (account, who) = (store.account(record.id)?, Principal { account: record.id });
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
    let Report { mailboxes, messages, octets, failed, mut problems } = report;
    let way = match direction {
        Direction::Import => "imported",
        Direction::Export => "exported",
    };
    info!("account {name}: {messages} messages {way}, {failed} failed");
    problems.push(format!("{way}: {messages} messages of {octets} octets in {mailboxes} mailboxes"));
    if failed > 0 {
        bail!("{}; {failed} could not be", problems.join("\n"));
    }
    Ok(problems)
}
