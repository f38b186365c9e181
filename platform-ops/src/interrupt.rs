//! SIGINT and SIGTERM: the first asks to stop at the next safe point, the second ends at once.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::exit::Exit;
use crate::failure::Failure;

/// Knows whether a signal came.
#[derive(Clone, Debug)]
pub struct Interrupt {
    received: Arc<watch::Sender<bool>>,
}

impl Interrupt {
    /// Listens from now on. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the signals cannot be caught.
    pub fn listen() -> std::io::Result<Self> {
        let mut int = signal(SignalKind::interrupt())?;
        let mut term = signal(SignalKind::terminate())?;
        let received = Arc::new(watch::Sender::new(false));
        let sender = received.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = int.recv() => {}
                    _ = term.recv() => {}
                }
                if sender.send_replace(true) {
                    std::process::exit(Exit::INTERRUPTED.code().into());
                }
            }
        });
        Ok(Self { received })
    }

    /// Ends the work here if a signal came.
    ///
    /// # Errors
    /// [`Exit::INTERRUPTED`].
    pub fn check(&self) -> Result<(), Failure> {
        if *self.received.borrow() {
            return Err(self.failure());
        }
        Ok(())
    }

    /// Waits for a signal.
    pub async fn wait(&self) {
        let mut receiver = self.received.subscribe();
        // The sender lives as long as self.
        let _ = receiver.wait_for(|received| *received).await;
    }

    /// What to end with.
    pub fn failure(&self) -> Failure {
        Failure::new(Exit::INTERRUPTED, "interrupted")
            .try_next("run the same command again: it continues")
    }
}
