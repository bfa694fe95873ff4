//! The end of the server: everybody is told, everybody says goodbye, and then we know.

use std::time::Duration;

use tokio::sync::watch;

/// Held by whoever can end the server.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Held by every listener and session for as long as it runs.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Stopper {
    /// A running server.
    pub fn new() -> (Self, Shutdown) {
        let (tx, rx) = watch::channel(false);
        (Self(tx), Shutdown(rx))
    }

    /// Tells every [`Shutdown`] and waits until all of them are gone, at most `patience`. True where
    /// all are gone.
    pub async fn stop(&self, patience: Duration) -> bool {
        self.0.send_replace(true);
        tokio::time::timeout(patience, self.0.closed()).await.is_ok()
    }
}

impl Shutdown {
    /// Returns when the server is to end. Cancelling loses nothing.
    pub async fn requested(&mut self) {
        // An error means that the stopper is gone, which ends the server too.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// True where the server is to end.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_for_everybody_but_not_for_ever() {
        let (stopper, mut shutdown) = Stopper::new();
        let stubborn = shutdown.clone();
        assert!(!shutdown.is_requested());
        let session = tokio::spawn(async move { shutdown.requested().await });
        assert!(!stopper.stop(Duration::from_secs(5)).await);
        session.await.unwrap();
        drop(stubborn);
        assert!(stopper.stop(Duration::from_secs(5)).await);
    }
}
