//! Hours of a day and of a week, as an operator writes them.

use std::fmt;
use std::str::FromStr;

use jiff::ZonedDateTime;
use jiff::civil::{DateTime, Time, Weekday};
use serde::Deserialize;

const DAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

/// Whether a window is open.
#[derive(Clone, Debug, PartialEq)]
pub enum Opening {
    /// It is.
    Open {
        /// When it closes; one of all day never does.
        until: Option<ZonedDateTime>,
    },
    /// It is not.
    Closed {
        /// When it opens.
        next: ZonedDateTime,
    },
}

/// A time on the day of `day`; where clocks go forward over it, it comes later.
pub(super) fn on(day: &ZonedDateTime, time: Time) -> ZonedDateTime {
    let at = day.date().to_datetime(time);
    at.to_zoned_datetime(day.time_zone().clone())
        .unwrap_or_else(|_| day.clone())
}

/// The first moment after `now` with this time of the day.
pub(super) fn next(now: &ZonedDateTime, time: Time) -> ZonedDateTime {
    let today = on(now, time);
    if today > *now {
        return today;
    }
    now.tomorrow().map_or(today, |tomorrow| on(&tomorrow, time))
}

/// Hours of each day; they may run past midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Window {
    /// The first moment.
    pub begin: Time,
    /// The first moment after.
    pub end: Time,
}

impl Window {
    /// Whether it holds this time of the day.
    pub fn contains(&self, time: Time) -> bool {
        if self.is_over_midnight() {
            time >= self.begin || time < self.end
        } else {
            self.begin <= time && time < self.end
        }
    }

    /// Whether it is open at `now`, and how long, or when it opens.
    pub fn opening(&self, now: &ZonedDateTime) -> Opening {
        if self.contains(now.time()) {
            let all_day = self.begin == self.end;
            let until = (!all_day).then(|| next(now, self.end));
            return Opening::Open { until };
        }
        let next = next(now, self.begin);
        Opening::Closed { next }
    }

    fn is_over_midnight(&self) -> bool {
        self.end <= self.begin
    }

    /// The full hours from its beginning on that lie in it, its beginning among them.
    pub fn ticks(&self) -> Vec<Time> {
        let hours = (0..24).map(|hour| self.begin.wrapping_add(jiff::Span::new().hours(hour)));
        hours.filter(|time| self.contains(*time)).collect()
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let failed = || format!("{text:?} is no window such as 02:00-05:00");
        let (begin, end) = text.split_once('-').ok_or_else(failed)?;
        let time = |text: &str| Time::strptime("%H:%M", text.trim()).map_err(|_| failed());
        // Midnight at the end of a day is written as 24:00 or as 00:00.
        let end = if end.trim() == "24:00" { "00:00" } else { end };
        let window = Self {
            begin: time(begin)?,
            end: time(end)?,
        };
        Ok(window)
    }
}

impl TryFrom<String> for Window {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: Time| time.strftime("%H:%M").to_string();
        write!(f, "{}-{}", time(self.begin), time(self.end))
    }
}

/// Hours of some days of the week; the day is the one that they begin on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Trading {
    first: usize,
    last: usize,
    hours: Window,
}

impl Trading {
    /// From Monday to Friday.
    pub fn weekdays(begin: Time, end: Time) -> Self {
        Self {
            first: 0,
            last: 4,
            hours: Window { begin, end },
        }
    }

    /// When they end.
    pub fn end(&self) -> Time {
        self.hours.end
    }

    fn is_on(&self, day: Weekday) -> bool {
        let day = DAYS.iter().position(|(_, one)| *one == day).unwrap_or(0);
        if self.first <= self.last {
            (self.first..=self.last).contains(&day)
        } else {
            day >= self.first || day <= self.last
        }
    }

    /// Whether this is one of them.
    pub fn contains(&self, at: DateTime) -> bool {
        if !self.hours.contains(at.time()) {
            return false;
        }
        let of_yesterday = self.hours.is_over_midnight() && at.time() < self.hours.end;
        let day = at.date().weekday();
        self.is_on(if of_yesterday { day.previous() } else { day })
    }

    /// Whether a run could begin in both on some day.
    pub fn overlaps(&self, window: &Window) -> bool {
        let monday = jiff::civil::date(2026, 1, 5);
        let minutes = (0..7 * 24 * 60_i64).map(|minute| {
            monday
                .at(0, 0, 0, 0)
                .saturating_add(jiff::Span::new().minutes(minute))
        });
        let mut minutes = minutes.filter(|at| window.contains(at.time()));
        minutes.any(|at| self.contains(at))
    }
}

impl FromStr for Trading {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let failed =
            || format!("{text:?} is none such as \"Mon-Fri 08:00-22:00\" or \"daily 09:00-17:00\"");
        let (days, hours) = text.trim().split_once(' ').ok_or_else(failed)?;
        let day = |name: &str| {
            let is = |(day, _): &(&str, Weekday)| day.eq_ignore_ascii_case(name.trim());
            DAYS.iter().position(is).ok_or_else(failed)
        };
        let (first, last) = match days.split_once('-') {
            _ if days.eq_ignore_ascii_case("daily") => (0, 6),
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(days)?, day(days)?),
        };
        let hours = hours.parse().map_err(|_| failed())?;
        Ok(Self { first, last, hours })
    }
}

impl TryFrom<String> for Trading {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Trading {
    /// As systemd writes days, but for the dots.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (0, 6) => write!(f, "daily {}", self.hours),
            (first, last) if first == last => write!(f, "{} {}", DAYS[first].0, self.hours),
            (first, last) => write!(f, "{}-{} {}", DAYS[first].0, DAYS[last].0, self.hours),
        }
    }
}
