//! Mail clients with a disk: each keeps a [`Picture`] of an account, changes things, loses its
//! connection, comes back, and synchronises by a [`Strategy`] of its own.
//!
//! A device does what an RFC tells a client to do and no more, so that a picture that differs from the
//! server's mailbox afterwards is the server's fault. What the server must keep beyond that is in
//! `promises`: what was acknowledged stays, and what was told never comes undone.
//!
//! [`Device::act`] does something at random; [`Device::come_back`] and [`Device::catch_up`] end with a
//! picture that must be right. The files: `wire` has octets and lines, `picture` what is kept, `told`
//! what an untagged response does to it, `strategy` how to synchronise, `act` what users do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // a test that fails panics

mod act;
mod picture;
mod promises;
mod strategy;
mod told;
mod wire;

use std::collections::{BTreeSet, VecDeque};

pub use picture::{Differences, Kept, Message, Picture};
pub use strategy::Strategy;
pub use wire::{Gone, announced, deliver};

use act::Offline;
use promises::Promises;
use told::{Asked, Reply, Selected, Then};
use wire::Wire;

use crate::transcript::{Listener, Stream};

/// Where devices connect to; an error where nobody listens.
pub type Dial<'d> = dyn FnMut(Listener) -> std::io::Result<Box<dyn Stream>> + 'd;

/// See the module.
#[derive(Debug)]
pub struct Device {
    number: usize,
    strategy: Strategy,
    /// Nobody else acts while this one does: what a conditional STORE does is known beforehand.
    alone: bool,
    kept: Picture,
    promises: Promises,
    /// What the user did without a connection.
    offline: Vec<Offline>,
    connections: u64,
    online: Option<Online>,
    logs: bool,
}

/// What goes with the connection.
#[derive(Debug)]
struct Online {
    wire: Wire,
    capabilities: BTreeSet<String>,
    selected: Option<Selected>,
    /// Commands whose answers were not read yet.
    owed: VecDeque<Asked>,
    idling: bool,
}

impl Device {
    /// A device with an empty disk. `number` names the keyword that only this one sets; `alone` says
    /// that devices act one after the other.
    pub fn new(number: usize, strategy: Strategy, alone: bool) -> Self {
        let (kept, promises, offline) = (Picture::new(), Promises::default(), vec![]);
        Self { number, strategy, alone, kept, promises, offline, connections: 0, online: None, logs: false }
    }

    /// Writes to standard error what it says and hears.
    pub fn logging(self, logs: bool) -> Self {
        Self { logs, ..self }
    }

    /// What it has on its disk.
    pub fn kept(&self) -> &Picture {
        &self.kept
    }

    /// The connection goes, with whatever was on its way.
    pub fn lose(&mut self) {
        self.online = None;
    }

    /// Where the device has something else than `truth`, and what was promised and is not so.
    pub fn check(&mut self, truth: &Picture, differences: &mut Differences) {
        let who = format!("device {} ({:?})", self.number, self.strategy);
        differences.compare(&who, &self.kept, truth, self.strategy.counts_changes());
        differences.found.extend(self.promises.broken(truth).into_iter().map(|what| format!("{who}: {what}")));
    }

    /// Online again, if it was not, with all answers read; what the user did meanwhile is done.
    pub async fn come_back(&mut self, dial: &mut Dial<'_>) -> Result<(), Gone> {
        loop {
            let back = match &self.online {
                None => self.connect(dial).await,
                Some(_) => self.hear_all().await,
            };
            match back {
                Ok(()) => return self.replay_offline().await,
                Err(gone) => self.gone(gone)?,
            }
        }
    }

    /// Synchronises every mailbox; ends with a picture of all that the server has.
    pub async fn catch_up(&mut self, dial: &mut Dial<'_>) -> Result<(), Gone> {
        loop {
            if self.online.is_none() {
                self.connect(dial).await?;
            }
            match self.synchronise().await {
                Ok(()) => return Ok(()),
                Err(gone) => self.gone(gone)?,
            }
        }
    }

    /// A server may say goodbye where the selected mailbox was deleted; nothing else ends a connection.
    fn gone(&mut self, gone: Gone) -> Result<(), Gone> {
        self.lose();
        match gone {
            Gone::Bye(why) if why.contains("[NONEXISTENT]") => Ok(()),
            gone => Err(gone),
        }
    }

    async fn connect(&mut self, dial: &mut Dial<'_>) -> Result<(), Gone> {
        let wire = Wire::new(dial(Listener::Imap)?);
        let (capabilities, owed) = (BTreeSet::new(), VecDeque::new());
        self.connections += 1;
        let rev2 = self.connections.is_multiple_of(3);
        let mut online = Online { wire, capabilities, selected: None, owed, idling: false };
        online.wire.response().await?;
        self.online = Some(online);
        self.ask("LOGIN alice secret").await?;
        self.ask("CAPABILITY").await?;
        let mut enable = self.strategy.enables().to_vec();
        if rev2 {
            enable.push("IMAP4rev2");
        }
        if !enable.is_empty() {
            self.ask(&format!("ENABLE {}", enable.join(" "))).await?;
        }
        self.survey().await?;
        Ok(())
    }

    fn log(&self, who: char, line: &str) {
        if self.logs {
            eprintln!("{} {who}: {line}", self.number);
        }
    }

    fn online(&mut self) -> Result<&mut Online, Gone> {
        self.online.as_mut().ok_or(Gone::HungUp)
    }

    fn selected(&self) -> Option<&Selected> {
        self.online.as_ref()?.selected.as_ref()
    }

    /// The picture of the selected mailbox.
    fn here(&self) -> Option<&Kept> {
        self.kept.get(&self.selected()?.name)
    }

    /// Sends a command and reads all answers up to its own.
    async fn ask(&mut self, command: &str) -> Result<Reply, Gone> {
        self.ask_then(command, Then::Nothing).await
    }

    async fn ask_then(&mut self, command: &str, then: Then) -> Result<Reply, Gone> {
        self.send(command, then).await?;
        let mut last = None;
        while !self.online()?.owed.is_empty() {
            last = Some(self.hear().await?);
        }
        last.ok_or(Gone::HungUp)
    }

    /// Sends a command and reads nothing.
    async fn send(&mut self, command: &str, then: Then) -> Result<(), Gone> {
        if let Some(name) = self.selected().map(|selected| selected.name.clone()) {
            self.kept.entry(name).or_default().whole = false;
        }
        self.promises.asked(&then);
        self.log('C', command);
        let online = self.online()?;
        let tag = online.wire.tag();
        let text = format!("{tag} {command}\r\n");
        online.owed.push_back(Asked { tag, text: command.to_owned(), then });
        online.wire.send(text.as_bytes()).await
    }

    /// Reads what is owed.
    async fn hear_all(&mut self) -> Result<(), Gone> {
        if std::mem::take(&mut self.online()?.idling) {
            self.online()?.wire.send(b"DONE\r\n").await?;
        }
        while !self.online()?.owed.is_empty() {
            self.hear().await?;
        }
        self.fetch_new().await
    }
}
