//! When to try again: the whole way to the service has one backoff, so that an outage is probed
//! with one request at a time and not with all of them.

use std::time::Duration;

use crate::event::Outcome;

const UNAVAILABLE_MIN: Duration = Duration::from_secs(1);
const UNAVAILABLE_MAX: Duration = Duration::from_secs(30);
const DENIED_MIN: Duration = Duration::from_secs(2);
const DENIED_MAX: Duration = Duration::from_secs(300);
const REFUSED_MIN: Duration = Duration::from_secs(30);
const REFUSED_MAX: Duration = Duration::from_secs(600);

/// `min · 2^(failures - 1)`, at most `max`.
fn doubled(min: Duration, max: Duration, failures: u32) -> Duration {
    min.saturating_mul(1 << failures.saturating_sub(1).min(16))
        .min(max)
}

/// How long a body that the service refused waits before it is tried again.
pub fn refused_delay(attempts: u32) -> Duration {
    doubled(REFUSED_MIN, REFUSED_MAX, attempts)
}

/// The way to the service: open, or closed until a time.
#[derive(Debug)]
pub struct Gate {
    failures: u32,
    until: Duration,
    denied: bool,
    random: u64,
}

impl Gate {
    /// An open gate; `seed` decides the jitter.
    pub fn new(seed: u64) -> Self {
        Self {
            failures: 0,
            until: Duration::ZERO,
            denied: false,
            random: seed | 1,
        }
    }

    /// The service answers.
    pub fn is_open(&self) -> bool {
        self.failures == 0
    }

    /// The last answer was 401, 403 or 404.
    pub fn is_denied(&self) -> bool {
        self.denied
    }

    /// While closed: when to probe.
    pub fn until(&self) -> Duration {
        self.until
    }

    /// Takes note of an attempt's outcome.
    pub fn note(&mut self, now: Duration, outcome: &Outcome) {
        match outcome {
            // A refusal is an answer: other bodies may go.
            Outcome::Accepted | Outcome::Refused => {
                self.failures = 0;
                self.denied = false;
            }
            Outcome::Unavailable { retry_after } => {
                self.denied = false;
                self.fail(now, UNAVAILABLE_MIN, UNAVAILABLE_MAX, *retry_after);
            }
            Outcome::Denied => {
                self.denied = true;
                self.fail(now, DENIED_MIN, DENIED_MAX, None);
            }
        }
    }

    fn fail(&mut self, now: Duration, min: Duration, max: Duration, least: Option<Duration>) {
        let within = self.failures > 0 && now < self.until;
        let jitter = Duration::from_millis(self.next_random() % 1_000);
        if !within {
            // Requests that were under way together fail together: one failure.
            self.failures += 1;
            self.until = now
                + doubled(min, max, self.failures)
                    .saturating_add(jitter)
                    .min(max);
        }
        if let Some(least) = least {
            // A mistaken header must not stop us for a day. Others were told the same time.
            self.until = self.until.max(now + least.min(DENIED_MAX) + jitter);
        }
    }

    fn next_random(&mut self) -> u64 {
        // xorshift64: jitter needs no more.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTAGE: Outcome = Outcome::Unavailable { retry_after: None };

    #[test]
    fn backs_off_to_a_bound_and_recovers_at_once() {
        let mut gate = Gate::new(7);
        let mut now = Duration::ZERO;
        for failure in 1..=20 {
            gate.note(now, &OUTAGE);
            let wait = gate.until() - now;
            assert!(
                wait >= doubled(UNAVAILABLE_MIN, UNAVAILABLE_MAX, failure).min(UNAVAILABLE_MAX)
            );
            assert!(wait <= UNAVAILABLE_MAX);
            now = gate.until();
        }
        gate.note(now, &Outcome::Accepted);
        assert!(gate.is_open());
    }

    #[test]
    fn requests_that_fail_together_count_once() {
        let mut gate = Gate::new(7);
        gate.note(Duration::ZERO, &OUTAGE);
        let until = gate.until();
        gate.note(Duration::from_millis(1), &OUTAGE);
        assert_eq!(gate.until(), until);
    }

    #[test]
    fn honours_retry_after_within_reason() {
        let mut gate = Gate::new(7);
        gate.note(
            Duration::ZERO,
            &Outcome::Unavailable {
                retry_after: Some(Duration::from_secs(45)),
            },
        );
        let jitter = Duration::from_secs(1);
        let is_about = |until: Duration, wait| (wait..wait + jitter).contains(&until);
        assert!(is_about(gate.until(), Duration::from_secs(45)));
        gate.note(
            Duration::ZERO,
            &Outcome::Unavailable {
                retry_after: Some(Duration::from_secs(86_400)),
            },
        );
        assert!(is_about(gate.until(), DENIED_MAX));
    }
}
