//! When to renew a token: a state machine that is told the time and does nothing by itself.

use std::time::Duration;

use crate::error::Error;

/// Ahead of its end, as Oracle's Go SDK has it; a short token is renewed at half its life.
const AHEAD_MAX: Duration = Duration::from_secs(5 * 60);
/// A request on its way must still find its token alive.
const USABLE_MARGIN_MAX: Duration = Duration::from_secs(10);
/// A token younger than this was not refused for its age: another one would fare no better.
const YOUNG: Duration = Duration::from_secs(10);
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Monotonic time since some start that the caller chose.
pub(crate) type Instant = Duration;

/// What to do at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The token is good; nothing to do.
    Use,
    /// The token is good, and it is time to fetch the next one. One caller does.
    UseAndRenew,
    /// There is no good token: fetch one first.
    Renew,
    /// There is no good token, and the last attempt is too recent to try again.
    Fail,
}

/// The life of one token after the other.
#[derive(Debug, Default)]
pub(crate) struct Refresh {
    token: Option<Life>,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Life {
    obtained: Instant,
    renew: Instant,
    end: Instant,
}

#[derive(Debug)]
struct Failure {
    error: Error,
    attempts: u32,
    again: Instant,
}

impl Refresh {
    pub(crate) fn step(&self, now: Instant) -> Step {
        let waits = self
            .failure
            .as_ref()
            .is_some_and(|failure| now < failure.again);
        match &self.token {
            Some(life) if now < life.renew => Step::Use,
            Some(life) if now < life.end && waits => Step::Use,
            Some(life) if now < life.end => Step::UseAndRenew,
            _ if waits => Step::Fail,
            _ => Step::Renew,
        }
    }

    /// A token came that lives for `lifetime` from `now`.
    pub(crate) fn renewed(&mut self, now: Instant, lifetime: Duration) {
        let ahead = AHEAD_MAX.min(lifetime / 2);
        let margin = USABLE_MARGIN_MAX.min(lifetime / 10);
        self.failure = None;
        self.token = Some(Life {
            obtained: now,
            renew: now + (lifetime - ahead),
            end: now + (lifetime - margin),
        });
    }

    /// An attempt failed. `jitter` is from 0 to 1: a fleet must not come back in step.
    pub(crate) fn failed(&mut self, now: Instant, error: Error, jitter: f64) {
        let attempts = self.failure.as_ref().map_or(0, |failure| failure.attempts);
        let wait = BACKOFF_FIRST
            .saturating_mul(1 << attempts.min(16))
            .min(BACKOFF_MAX);
        let wait = wait.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
        self.failure = Some(Failure {
            error,
            attempts: attempts + 1,
            again: now + wait,
        });
    }

    /// A service refused the present token. Whether it is given up for that.
    pub(crate) fn refused(&mut self, now: Instant) -> bool {
        let Some(life) = &self.token else { return true };
        if now.saturating_sub(life.obtained) < YOUNG {
            return false;
        }
        self.token = None;
        true
    }

    /// Why the last attempt failed, until one succeeds.
    pub(crate) fn error(&self) -> Option<&Error> {
        self.failure.as_ref().map(|failure| &failure.error)
    }

    /// How long the present token can still be used.
    pub(crate) fn remaining(&self, now: Instant) -> Option<Duration> {
        self.token.as_ref().map(|life| life.end.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const fn at(seconds: u64) -> Instant {
        Duration::from_secs(seconds)
    }

    fn failure() -> Error {
        Error::credentials("no")
    }

    #[test]
    fn a_long_token_is_renewed_five_minutes_ahead() {
        let mut refresh = Refresh::default();
        assert_eq!(refresh.step(at(0)), Step::Renew);
        refresh.renewed(at(100), at(3600));
        assert_eq!(refresh.step(at(100 + 3299)), Step::Use);
        assert_eq!(refresh.step(at(100 + 3300)), Step::UseAndRenew);
        assert_eq!(refresh.step(at(100 + 3589)), Step::UseAndRenew);
        assert_eq!(refresh.step(at(100 + 3590)), Step::Renew);
    }

    #[test]
    fn a_short_token_is_renewed_at_half_its_life() {
        let mut refresh = Refresh::default();
        refresh.renewed(at(0), at(90));
        assert_eq!(refresh.step(at(44)), Step::Use);
        assert_eq!(refresh.step(at(45)), Step::UseAndRenew);
        assert_eq!(refresh.step(at(80)), Step::UseAndRenew);
        assert_eq!(refresh.step(at(81)), Step::Renew);
        assert_eq!(refresh.remaining(at(80)), Some(at(1)));
    }

    #[test]
    fn a_failed_attempt_is_repeated_later_and_later() {
        let mut refresh = Refresh::default();
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..7 {
            assert_eq!(refresh.step(now), Step::Renew);
            refresh.failed(now, failure(), 1.0);
            let wait = (1..).find(|seconds| refresh.step(now + at(*seconds)) == Step::Renew);
            assert_eq!(refresh.step(now), Step::Fail);
            assert!(refresh.error().is_some());
            waits.push(wait.unwrap());
            now += at(wait.unwrap());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        refresh.renewed(now, at(90));
        assert!(refresh.error().is_none());
    }

    #[test]
    fn while_the_old_token_lives_a_failure_stops_nobody() {
        let mut refresh = Refresh::default();
        refresh.renewed(at(0), at(90));
        refresh.failed(at(45), failure(), 1.0);
        assert_eq!(refresh.step(at(45)), Step::Use);
        assert_eq!(refresh.step(at(46)), Step::UseAndRenew);
        assert!(refresh.error().is_some());
    }

    #[test]
    fn a_refused_token_is_given_up_unless_it_is_new() {
        let mut refresh = Refresh::default();
        refresh.renewed(at(0), at(3600));
        assert!(!refresh.refused(at(9)));
        assert_eq!(refresh.step(at(9)), Step::Use);
        assert!(refresh.refused(at(10)));
        assert_eq!(refresh.step(at(10)), Step::Renew);
    }

    /// A made-up random number: the run is the same for the same seed.
    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    /// Ten days of 90-second tokens, a request a second, an issuer that refuses for up to three
    /// minutes at random, and services that refuse good tokens now and then.
    #[test]
    fn ten_days_of_short_tokens_and_refusals() {
        const DAYS: u64 = 10;
        const LIFETIME: u64 = 90;
        let mut seed = 0x9e37_79b9_7f4a_7c15;
        let mut refresh = Refresh::default();
        let mut end = 0;
        let (mut refuses_until, mut asked, mut without, mut refused) = (0, 0u64, 0u64, 0u64);
        for second in 0..DAYS * 24 * 3600 {
            if random(&mut seed).is_multiple_of(1200) {
                refuses_until = second + random(&mut seed) % 180;
                refused += refuses_until - second;
            }
            if random(&mut seed).is_multiple_of(3600) {
                refresh.refused(at(second));
            }
            if matches!(refresh.step(at(second)), Step::Renew | Step::UseAndRenew) {
                asked += 1;
                if second < refuses_until {
                    refresh.failed(at(second), failure(), 1.0);
                } else {
                    refresh.renewed(at(second), at(LIFETIME));
                    end = second + LIFETIME;
                }
            }
            match refresh.step(at(second)) {
                Step::Use | Step::UseAndRenew => assert!(second < end, "a token past its end"),
                // Only as long as the issuer refuses, and one wait more.
                Step::Fail | Step::Renew => {
                    assert!(second < refuses_until + BACKOFF_MAX.as_secs());
                    without += 1;
                }
            }
        }
        let needed = DAYS * 24 * 3600 / (LIFETIME / 2);
        assert!(asked >= needed, "{asked} < {needed}");
        assert!(asked < needed * 2, "the issuer is asked {asked} times");
        assert!(0 < without && without < refused, "{without} of {refused} s");
    }

    proptest! {
        /// Whatever the issuer does, a token is used only while it lives, and a caller without one
        /// never waits for longer than the longest backoff.
        #[test]
        fn no_token_is_used_past_its_end(
            events in prop::collection::vec((0u64..400, 0u8..4, 0u64..8000, 0.0f64..1.0), 1..60)
        ) {
            let mut refresh = Refresh::default();
            let mut now = at(0);
            let mut end = None;
            for (wait, event, lifetime, jitter) in events {
                now += at(wait);
                match refresh.step(now) {
                    Step::Use | Step::UseAndRenew => prop_assert!(Some(now) < end),
                    Step::Fail => {
                        prop_assert!(refresh.error().is_some());
                        prop_assert_eq!(refresh.step(now + BACKOFF_MAX), Step::Renew);
                    }
                    Step::Renew => {}
                }
                match event {
                    0 => {
                        refresh.renewed(now, at(lifetime));
                        end = Some(now + at(lifetime));
                    }
                    1 => refresh.failed(now, failure(), jitter),
                    2 => { refresh.refused(now); }
                    _ => {}
                }
            }
        }
    }
}
