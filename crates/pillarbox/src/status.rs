//! `pillarbox status` and `pillarbox reclaim`: what the store holds, how the server does, and space that
//! deleted mail leaves.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use server::connections::Connections;
use server::lent::Lender;
use store::Store;
use types::Limits;

use crate::account::perform;
use crate::admin::Request;
use crate::config::Config;
use crate::console;

/// A server that answers.
pub(crate) struct Running {
    pub(crate) since: Instant,
    pub(crate) connections: Arc<Connections>,
    pub(crate) lender: Arc<Lender>,
    pub(crate) limits: Arc<Limits>,
}

impl Running {
    /// How the process does.
    pub(crate) fn lines(&self) -> Vec<String> {
        let (up, connections) = (self.since.elapsed(), self.connections.count());
        let (lent, limits) = (self.lender.lent() as u64, &self.limits);
        vec![
            format!("running: for {}", span(up)),
            format!("connections: {connections}"),
            format!(
                "memory: {} of {} are held for clients that are waited for; {} connections were ended for it; below {} MiB in all",
                size(lent),
                size(limits.waiting_memory as u64),
                self.lender.called_back(),
                limits.memory(connections) >> 20,
            ),
        ]
    }
}

/// Prints what there is to know.
pub(crate) fn status(path: &Path) -> Result<()> {
    print(path, Request::Status)
}

/// Gives space back at once and prints how much.
pub(crate) fn reclaim(path: &Path) -> Result<()> {
    print(path, Request::Reclaim)
}

fn print(path: &Path, request: Request) -> Result<()> {
    let config = Config::read(path)?;
    if !config.store.path.is_dir() {
        bail!("there is no store in {}", config.store.path.display());
    }
    perform(&config, request)?.iter().try_for_each(|line| console::print(line))
}

/// What the store says of itself. `running` is empty where no server runs.
pub(crate) fn of_store(store: &Store, running: Vec<String>) -> Result<Vec<String>> {
    let figures = store::blocking(|| store.figures())?;
    let accounts = store::blocking(|| store.accounts())?.len();
    let mut lines = vec![format!("version: {}", env!("CARGO_PKG_VERSION"))];
    let here = running.is_empty();
    lines.extend(if here { vec!["running: no".to_owned()] } else { running });
    let free = figures.free.unwrap_or(0);
    let writing = match store.read_only() {
        Some(reason) => format!("stopped: {reason}"),
        None if free < figures.reserve => "deleting and changing only: the disk is nearly full".to_owned(),
        None => "yes".to_owned(),
    };
    lines.extend([
        format!("writing: {writing}"),
        format!("accounts: {accounts}"),
        format!("messages: {} live, {} dead, in {} segments", size(figures.live), size(figures.dead), figures.segments),
        format!("index: {}", size(figures.index)),
        format!("disk: {} free, of which {} are the reserve", size(free), size(figures.reserve.min(free))),
    ]);
    if let Some(factor) = figures.write_amplification() {
        let (bodies, segments, index) = (figures.bodies, figures.segments_written, figures.index_written);
        lines.push(format!(
            "written since the start: {} of messages; {} to segments, {} to the index: {factor:.2} times",
            size(bodies),
            size(segments),
            size(index),
        ));
    }
    if !here {
        lines.push(format!(
            "reclaimed since the start: {}, for which {} were copied; {} segments wait for readers",
            size(figures.reclaimed),
            size(figures.copied),
            figures.waiting
        ));
    }
    Ok(lines)
}

/// Gives back what is worth it.
pub(crate) async fn reclaim_in(store: &Store) -> Result<Vec<String>> {
    let done = store.reclaim().await?;
    let mut lines = done.damaged;
    lines.push(format!(
        "reclaimed: {} in {} segments, for which {} were copied",
        size(done.octets),
        done.segments,
        size(done.copied)
    ));
    if done.waiting > 0 {
        lines.push(format!("{} segments go when the last reader has ended", done.waiting));
    }
    Ok(lines)
}

/// Octets for people.
fn size(octets: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut shown = format!("{octets} octets");
    let mut value = octets as f64;
    for unit in units {
        value /= 1024.0;
        if value < 1.0 {
            break;
        }
        shown = format!("{value:.1} {unit}");
    }
    shown
}

fn span(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => format!("{} s", time.as_secs()),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times() {
        assert_eq!(
            [0, 1023, 1024, 1 << 20, (3 << 30) / 2].map(size),
            ["0 octets", "1023 octets", "1.0 KiB", "1.0 MiB", "1.5 GiB"]
        );
        let span = |seconds| span(Duration::from_secs(seconds));
        assert_eq!([5, 60, 3660, 90_000].map(span), ["5 s", "1 min", "1 h 1 min", "1 d 1 h"]);
    }
}
