//! Retention: the server takes away what has been kept long enough, and `pillarbox purge` for those who must
//! do so now.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use server::shutdown::Shutdown;
use store::{Purged, Retention, Store};
use tracing::{error, info};
use types::AccountName;

use crate::admin::Request;
use crate::config::{Config, Span};
use crate::{account, console};

/// What to take away.
#[derive(Args)]
pub(crate) struct Options {
    /// Whose; of all accounts, if nobody is named.
    account: Option<String>,
    /// What was expunged or deleted longer ago than this (90s, 30m, 2h, 1d; 0d is everything). Without
    /// it, what the configuration says (retention.expunged).
    #[arg(long, value_name = "TIME")]
    older_than: Option<Span>,
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "pillarbox.toml")]
    config: PathBuf,
}

/// Does it and says how much it was.
pub(crate) fn purge(options: &Options) -> Result<()> {
    let config = Config::read(&options.config)?;
    let older_than = options.older_than.map(|span| span.0.as_secs());
    let request = Request::Purge { account: options.account.clone(), older_than };
    for line in account::perform(&config, request)? {
        console::print(&line)?;
    }
    Ok(())
}

/// What the request asks for, by whoever owns the store.
pub(crate) async fn perform(store: &Store, name: Option<&str>, older_than: Option<u64>) -> Result<Vec<String>> {
    let mut retention = store.retention();
    if let Some(seconds) = older_than {
        retention.expunged = Duration::from_secs(seconds);
    }
    let purged = match name {
        None => store.purge_all(retention).await?,
        Some(name) => {
            let name = AccountName::new(name).with_context(|| format!("{name:?}"))?;
            let record = store::blocking(|| store.find_account(&name))?.context("there is no such account")?;
            store.purge(record.id, retention).await?
        }
    };
    info!("purged by hand: {}", words(&purged));
    Ok(vec![format!("purged: {}", words(&purged))])
}

fn words(purged: &Purged) -> String {
    let Purged { mailboxes, messages, octets } = purged;
    format!("{messages} messages of {octets} octets, {mailboxes} deleted mailboxes")
}

/// Purges from time to time until the server ends.
pub(crate) async fn regularly(store: Store, mut shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(interval(store.retention()));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            _ = ticks.tick() => {}
        }
        if store.read_only().is_some() {
            continue;
        }
        // What is being committed is committed; the rest waits for the next time.
        tokio::select! {
            () = shutdown.requested() => return,
            done = store.purge_all(store.retention()) => match done {
                Ok(purged) if purged.is_nothing() => {}
                Ok(purged) => info!("retention has ended: {}", words(&purged)),
                Err(error) => error!(%error, "what is due cannot be purged"),
            },
        }
    }
}

/// Nothing is kept much longer than it should be.
fn interval(retention: Retention) -> Duration {
    (retention.expunged / 24).clamp(Duration::from_secs(5), Duration::from_secs(3600))
}
