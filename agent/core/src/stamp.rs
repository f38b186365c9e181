//! Docker's times as text: `2026-11-23T17:29:31.764048983Z`, UTC, trailing zeros trimmed.

use std::time::Duration;

/// Length of the part that is always there: `2026-11-23T17:29:31`.
pub const SECONDS_LEN: usize = 19;
/// Longest time: nine digits and the `Z`.
pub const LEN_MAX: usize = 30;
/// Length of a time up to its sixth digit behind the second, without the `Z`.
pub const MICROS_LEN: usize = 26;

/// A time of a line, kept without an allocation; empty where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    bytes: [u8; LEN_MAX],
    len: u8,
}

impl Time {
    /// Of a line's bytes; empty if they are no time that dockerd writes.
    pub fn of(time: &[u8]) -> Self {
        let mut kept = Self::default();
        if is_valid(time) {
            kept.bytes[..time.len()].copy_from_slice(time);
            kept.len = time.len() as u8;
        }
        kept
    }

    /// Since 1970-01-01 UTC; `None` where there is none, or it is before that.
    pub fn since_epoch(&self) -> Option<Duration> {
        let digits = self.as_str().as_bytes();
        let number = |from: usize, to: usize| {
            let digits = digits.get(from..to)?;
            Some(
                digits
                    .iter()
                    .fold(0u64, |n, &d| n * 10 + u64::from(d - b'0')),
            )
        };
        // Hinnant's days from the civil date; the year begins in March.
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let year = year.checked_sub(u64::from(month <= 2))?;
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let days = year * 365 + year / 4 - year / 100 + year / 400 + of_year;
        let seconds = days.checked_sub(719_468)? * 86_400
            + number(11, 13)? * 3_600
            + number(14, 16)? * 60
            + number(17, 19)?;
        let fraction = digits.get(20..digits.len() - 1).unwrap_or_default();
        let nanos = (0..9).fold(0, |n, at| {
            n * 10 + fraction.get(at).map_or(0, |d| u32::from(d - b'0'))
        });
        Some(Duration::new(seconds, nanos))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

/// True for a time exactly as dockerd writes it (RFC3339Nano in UTC) that the calendar has: a
/// damaged one could make the service refuse a whole request.
pub fn is_valid(time: &[u8]) -> bool {
    const SHAPE: &[u8; SECONDS_LEN] = b"dddd-dd-ddTdd:dd:dd";
    let Some((seconds, rest)) = time.split_first_chunk::<SECONDS_LEN>() else {
        return false;
    };
    let shaped = seconds.iter().zip(SHAPE).all(|(&byte, &want)| match want {
        b'd' => byte.is_ascii_digit(),
        _ => byte == want,
    });
    shaped
        && is_on_calendar(seconds)
        && match rest {
            [b'Z'] => true,
            [b'.', digits @ .., b'Z'] => {
                (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
            }
            _ => false,
        }
}

/// The calendar and the clock have this time. Digits must stand where they should.
#[inline]
pub(crate) fn is_on_calendar(seconds: &[u8; SECONDS_LEN]) -> bool {
    let two = |at: usize| (seconds[at] - b'0') * 10 + (seconds[at + 1] - b'0');
    let (century, year, month, day) = (two(0), two(2), two(5), two(8));
    let month_days = match month {
        2 if (if year == 0 { century } else { year }).is_multiple_of(4) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=month_days).contains(&day) && two(11) < 24 && two(14) < 60 && two(17) < 60
}

/// Appends a valid time with at most microseconds, which is what Oracle's SDK sends.
pub fn write_micros(time: &[u8], out: &mut Vec<u8>) {
    if time.len() > MICROS_LEN + 1 {
        out.extend_from_slice(&time[..MICROS_LEN]);
        out.push(b'Z');
    } else {
        out.extend_from_slice(time);
    }
}

/// `wall` (since 1970-01-01 UTC) to the second, in the same form.
pub fn from_wall(wall: Duration) -> String {
    let seconds = wall.as_secs();
    let (days, day) = (seconds / 86_400, seconds % 86_400);
    // Days to civil date, Howard Hinnant's algorithm, for years from 1970 on.
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let date = doy - (153 * mp + 2) / 5 + 1;
    format!(
        "{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}Z",
        day / 3_600,
        day / 60 % 60,
        day % 60
    )
}

/// True when `time` is before `cutoff`, to the second; never for an empty cutoff.
pub fn is_before(time: &[u8], cutoff: &[u8]) -> bool {
    cutoff.len() >= SECONDS_LEN
        && time.len() >= SECONDS_LEN
        && time[..SECONDS_LEN] < cutoff[..SECONDS_LEN]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_dockerd_writes() {
        for time in [
            "2026-11-23T17:29:31Z",
            "2026-11-23T17:29:31.5Z",
            "2026-11-23T17:29:31.764048983Z",
            "2000-02-29T23:59:59Z",
            "2028-02-29T00:00:00Z",
            "2026-12-31T00:00:00Z",
        ] {
            assert!(is_valid(time.as_bytes()), "{time}");
        }
        for time in [
            "",
            "2026-11-23T17:29:31",
            "2026-11-23T17:29:31.Z",
            "2026-11-23 17:29:31Z",
            "2026-11-23T17:29:31.7640489831Z",
            "2026-11-23T17:29:31+00:00",
            "2026-11-23T17:29:3\"Z",
            "2026-00-23T17:29:31Z",
            "2026-13-23T17:29:31Z",
            "2026-11-00T17:29:31Z",
            "2026-11-31T17:29:31Z",
            "2026-02-29T17:29:31Z",
            "2100-02-29T17:29:31Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T17:60:00Z",
            "2026-11-23T17:29:60Z",
        ] {
            assert!(!is_valid(time.as_bytes()), "{time}");
        }
    }

    #[test]
    fn cuts_to_microseconds() {
        for (time, micros) in [
            (
                "2026-11-23T17:29:31.764048983Z",
                "2026-11-23T17:29:31.764048Z",
            ),
            ("2026-11-23T17:29:31.764048Z", "2026-11-23T17:29:31.764048Z"),
            ("2026-11-23T17:29:31Z", "2026-11-23T17:29:31Z"),
        ] {
            let mut out = Vec::new();
            write_micros(time.as_bytes(), &mut out);
            assert_eq!(out, micros.as_bytes());
        }
    }

    #[test]
    fn reads_fractions() {
        for (text, nanos) in [("31.5Z", 500_000_000), ("31.000000001Z", 1), ("31Z", 0)] {
            let time = Time::of(format!("2026-11-23T17:38:{text}").as_bytes());
            assert_eq!(
                time.since_epoch(),
                Some(Duration::new(1_795_455_511, nanos))
            );
        }
        assert_eq!(Time::of(b"no time").since_epoch(), None);
    }

    #[test]
    fn writes_wall_time() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_795_455_511, "2026-11-23T17:38:31Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
        ] {
            assert_eq!(from_wall(Duration::from_secs(seconds)), text);
            let time = Time::of(text.as_bytes());
            assert_eq!(time.since_epoch(), Some(Duration::from_secs(seconds)));
        }
    }
}
