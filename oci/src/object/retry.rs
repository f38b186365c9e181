//! When to ask again.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, Result};

/// How long an operation is tried. Each attempt has the client's own limit besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Before the second attempt; doubled before each that follows.
    pub pause_first: Duration,
    /// No pause is longer, unless the service asks for it.
    pub pause_max: Duration,
    /// No attempt begins so long after the first one.
    pub total_max: Duration,
}

impl Default for RetryPolicy {
    /// Half a second, half a minute, ten minutes: as Oracle's SDKs, whose
    /// `DEFAULT_RETRY_STRATEGY` gives up after ten minutes.
    fn default() -> Self {
        Self {
            pause_first: Duration::from_millis(500),
            pause_max: Duration::from_secs(30),
            total_max: Duration::from_secs(600),
        }
    }
}

impl RetryPolicy {
    /// Begins to try.
    pub(super) fn begin(&self) -> Tries {
        Tries {
            policy: *self,
            began: Instant::now(),
            pause: self.pause_first,
            failed: 0,
        }
    }
}

/// An operation that is being tried.
#[derive(Debug)]
pub(super) struct Tries {
    policy: RetryPolicy,
    began: Instant,
    pause: Duration,
    failed: u32,
}

impl Tries {
    /// Whether the request may have been carried out already: an answer can be lost.
    pub(super) fn is_repeated(&self) -> bool {
        self.failed > 0
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// `error` itself when no further attempt is due.
    pub(super) async fn pause_after(&mut self, error: Error) -> Result<()> {
        if !error.is_retryable() {
            return Err(error);
        }
        self.failed += 1;
        let wait = wait(&error, self.pause);
        if self.began.elapsed() + wait > self.policy.total_max {
            return Err(error.after_attempts(self.failed));
        }
        tokio::time::sleep(wait).await;
        self.pause = (self.pause * 2).min(self.policy.pause_max);
        Ok(())
    }
}

/// What the service asks for, or between half of `pause` and all of it: many clients that failed
/// together do not come back together.
fn wait(error: &Error, pause: Duration) -> Duration {
    if let Some(asked) = error.retry_after() {
        return asked;
    }
    let mut byte = [0; 1];
    // Without randomness the pause is merely a fixed one.
    let _ = getrandom::fill(&mut byte);
    pause / 2 + pause / 2 * u32::from(byte[0]) / 255
}
