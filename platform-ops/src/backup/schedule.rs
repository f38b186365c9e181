//! When a scheduled backup is due: decided from the time, the configuration and the last set alone,
//! so a missed run is made up for whatever started the program, and never in trading hours.

mod hours;
pub mod install;
pub mod unit;

use jiff::civil::Time;
use jiff::{Timestamp, ToSpan as _, ZonedDateTime};
use serde::{Deserialize, Serialize};

pub use hours::{Opening, Trading, Window};

/// `[schedule]` of `backup.toml`. All times are those of the host's zone.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// When a run may begin, once a day: `02:00-05:00`. It is tried again each hour of it.
    pub window: Window,
    /// When a missed run does not begin: `Mon-Fri 08:00-22:00`.
    pub trading_hours: Vec<Trading>,
    /// A set that is older is too old.
    pub age_hours_max: u32,
    /// A set must have been restored within so many days.
    pub drill_days_max: u32,
    /// The key that is kept elsewhere must have opened one within so many days.
    pub escrow_drill_days_max: u32,
    /// Bytes in the store from which on something is wrong; none is set.
    pub store_bytes_max: Option<u64>,
}

impl Default for Schedule {
    fn default() -> Self {
        let time = |hour| Time::constant(hour, 0, 0, 0);
        Self {
            window: Window {
                begin: time(2),
                end: time(5),
            },
            trading_hours: vec![Trading::weekdays(time(8), time(22))],
            age_hours_max: 30,
            drill_days_max: 7,
            escrow_drill_days_max: 90,
            store_bytes_max: None,
        }
    }
}

/// What to do now.
#[derive(Clone, Debug, PartialEq)]
pub enum Due {
    /// Begin.
    Now {
        /// Whether the window has passed without a set.
        missed: bool,
    },
    /// There is a set since the last window began.
    No {
        /// When the next window begins.
        next: ZonedDateTime,
    },
    /// One was missed, and the platform is at work.
    Held {
        /// When trading hours end.
        until: ZonedDateTime,
    },
}

impl Schedule {
    /// Refuses windows that no run could begin in.
    ///
    /// # Errors
    /// Names both.
    pub fn check(&self) -> Result<(), String> {
        for trading in &self.trading_hours {
            if trading.overlaps(&self.window) {
                return Err(format!(
                    "window {:?} lies in trading_hours {:?}",
                    self.window.to_string(),
                    trading.to_string()
                ));
            }
        }
        Ok(())
    }

    /// Whether a backup is due at `now`, where the last set was begun at `last`.
    pub fn due(&self, now: &ZonedDateTime, last: Option<Timestamp>) -> Due {
        let begin = self.window_before(now);
        if last.is_some_and(|last| last >= begin.timestamp()) {
            let next = self.window_after(now);
            return Due::No { next };
        }
        if self.window.contains(now.time()) {
            return Due::Now { missed: false };
        }
        match self.trading_ends(now) {
            Some(until) => Due::Held { until },
            None => Due::Now { missed: true },
        }
    }

    /// When the last window began.
    fn window_before(&self, now: &ZonedDateTime) -> ZonedDateTime {
        let today = hours::on(now, self.window.begin);
        if today <= *now {
            return today;
        }
        now.yesterday()
            .map_or(today, |yesterday| hours::on(&yesterday, self.window.begin))
    }

    /// When the next window begins.
    pub fn window_after(&self, now: &ZonedDateTime) -> ZonedDateTime {
        hours::next(now, self.window.begin)
    }

    /// When trading hours end, if it is one of them.
    fn trading_ends(&self, now: &ZonedDateTime) -> Option<ZonedDateTime> {
        let trades = |at: &ZonedDateTime| {
            let mut all = self.trading_hours.iter();
            all.any(|trading| trading.contains(at.datetime()))
        };
        if !trades(now) {
            return None;
        }
        // There is an end: the window lies outside of them.
        let mut at = now.with().second(0).subsec_nanosecond(0).build().ok()?;
        while trades(&at) {
            at = at.checked_add(1.minute()).ok()?;
        }
        Some(at)
    }
}

/// A time as a log should have it: in the host's zone and in UTC.
pub fn both_zones(at: &ZonedDateTime) -> String {
    let utc = at.timestamp().strftime("%Y-%m-%d %H:%M UTC");
    if at.offset().is_zero() {
        return utc.to_string();
    }
    format!("{} ({utc})", at.strftime("%Y-%m-%d %H:%M %Z"))
}

/// The same, of a moment.
pub fn local(at: Timestamp) -> String {
    both_zones(&at.to_zoned_datetime(jiff::tz::TimeZone::system()))
}

/// As `schedule show` tells it.
#[derive(Clone, Debug, Serialize)]
pub struct Described {
    /// The window.
    pub window: String,
    /// The trading hours.
    pub trading_hours: Vec<String>,
    /// Name of the host's zone.
    pub zone: String,
}

impl Schedule {
    /// Describes it in a zone.
    pub fn describe(&self, now: &ZonedDateTime) -> Described {
        let zone = now.time_zone();
        Described {
            window: self.window.to_string(),
            trading_hours: self.trading_hours.iter().map(ToString::to_string).collect(),
            zone: zone
                .iana_name()
                .map_or_else(|| now.strftime("%Z").to_string(), str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests;
