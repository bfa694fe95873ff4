//! When what is in the overlay goes to the index: the commit thread's end of the way to the thread of the
//! [indexer](super::indexer).
//!
//! One layer at most is on its way. Commits go on meanwhile, until the next layer is twice as large as it is
//! to be; then they wait.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use super::indexer::{Order, Work};
use super::overlay::{Layer, Overlay};
use crate::Error;

/// See the module.
pub(crate) struct Flusher {
    orders: Sender<Order>,
    done: Receiver<Result<(), Error>>,
    /// Octets of memory that a layer takes.
    size: usize,
    /// The layer that is on its way.
    layer: Option<Arc<Layer>>,
    /// Octets of the journal of the active layer.
    journal: usize,
    /// When the active layer got its first group.
    since: Option<Instant>,
}

/// How many times as long as a layer is large its journal may become: what a crash leaves is to be read again.
const JOURNAL: usize = 4;

/// How old a group becomes at most before it is on its way to the index, while there are commits.
const OLD: Duration = Duration::from_secs(30);

impl Flusher {
    /// With nothing on its way. Layers become `size` octets large.
    pub(crate) fn new(orders: Sender<Order>, done: Receiver<Result<(), Error>>, size: usize) -> Self {
        Self { orders, done, size, layer: None, journal: 0, since: None }
    }

    /// Notes that the active layer has got a group with so many octets of journal.
    pub(crate) fn journaled(&mut self, octets: usize) {
        self.journal += octets;
        self.since.get_or_insert_with(Instant::now);
    }

    /// Says no where the index takes nothing any more and too much waits for it.
    pub(crate) fn room(&self, overlay: &Overlay) -> Result<(), Error> {
        if overlay.size() < self.size.saturating_mul(4) { Ok(()) } else { Err(Error::Full) }
    }

    /// Sends all on its way that is committed. It may wait for the layer before.
    pub(crate) fn flush(&mut self, overlay: &Overlay) {
        // What a full disk has refused is tried once more.
        if !self.is_done(overlay) && !self.is_done(overlay) {
            return;
        }
        if let Some(layer) = overlay.freeze() {
            (self.journal, self.since) = (0, None);
            self.send(layer);
        }
    }

    /// The same, and then some work.
    pub(crate) fn flush_before(&mut self, work: Work, overlay: &Overlay) {
        self.flush(overlay);
        // Nobody to do it: whoever waits for it notices.
        drop(self.orders.send(Order::Work(work)));
    }

    /// The same, if there is enough to be flushed, or it is old.
    pub(crate) fn flush_if_due(&mut self, overlay: &Overlay) {
        let size = overlay.size().max(self.journal / JOURNAL);
        if size < self.size && self.since.is_none_or(|since| since.elapsed() < OLD) {
            return;
        }
        if size < self.size.saturating_mul(2) && self.layer.is_some() {
            match self.done.try_recv() {
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {}
                Ok(done) => self.note(done, overlay),
            }
        }
        self.flush(overlay);
    }

    /// Waits for the layer that is on its way. `false` where it did not arrive and was sent again.
    fn is_done(&mut self, overlay: &Overlay) -> bool {
        if self.layer.is_some() {
            let done = self.done.recv().unwrap_or_else(|_| Err(Error::Io("the thread of the index has ended".into())));
            self.note(done, overlay);
        }
        self.layer.is_none()
    }

    fn note(&mut self, done: Result<(), Error>, overlay: &Overlay) {
        match (self.layer.take(), done) {
            (Some(layer), Err(_)) => self.send(layer),
            (Some(_), Ok(())) => overlay.release(),
            (None, _) => {}
        }
    }

    fn send(&mut self, layer: Arc<Layer>) {
        self.layer = Some(Arc::clone(&layer));
        drop(self.orders.send(Order::Flush(layer)));
    }
}
