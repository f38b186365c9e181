//! What time it is at the service: a line's age is measured by its clock, which decides what it
//! drops for its age. The host's clock may be wrong by days.

use std::time::Duration;

use crate::event::Now;

/// How long reading waits for the service's first answer, when lines may be too old for it.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The service's clock, as its last answer showed it.
#[derive(Debug, Default)]
pub struct Clock {
    /// Monotonic time, and what its `Date` said then.
    known: Option<(Duration, Duration)>,
    /// It was asked, and did not say.
    is_silent: bool,
}

impl Clock {
    /// It answered, or did not.
    pub fn note(&mut self, now: Now, date: Option<Duration>) {
        match date {
            Some(date) => self.known = Some((now.mono, date)),
            None => self.is_silent = true,
        }
    }

    /// The time there, since 1970-01-01; `None` before its first answer.
    pub fn time(&self, now: Now) -> Option<Duration> {
        let (at, date) = self.known?;
        Some(date + now.mono.saturating_sub(at))
    }

    /// Until when its first answer is worth waiting for.
    pub fn wait_until(&self) -> Option<Duration> {
        (self.known.is_none() && !self.is_silent).then_some(WAIT_MAX)
    }
}
