//! Sizes, durations and starting points as people type them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::Timestamp;

/// Bytes from `4MiB`, `64KB` or a bare number.
pub fn size(text: &str) -> Result<u64, String> {
    ByteSize::from_str(text)
        .map(|size| size.as_u64())
        .map_err(|_| format!("`{text}` is no size; write \"64KiB\", \"4MiB\" or \"1GiB\""))
}

/// A duration from `200ms`, `1h 30m` or `30d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| {
        format!("`{text}` is no duration; write \"200ms\", \"5s\", \"24h\" or \"30d\"")
    })
}

/// How much of the logs that exist at the very first start is shipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// Everything.
    Beginning,
    /// Nothing that was written before the start.
    End,
    /// What was written this long before the start.
    Ago(Duration),
    /// What was written since then.
    Time(Timestamp),
}

impl FromStr for StartAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "beginning" => return Ok(Self::Beginning),
            "end" => return Ok(Self::End),
            _ => {}
        }
        if let Ok(ago) = humantime::parse_duration(text) {
            return Ok(Self::Ago(ago));
        }
        text.parse().map(Self::Time).map_err(|_| {
            format!(
                "`{text}` is neither a duration (\"24h\"), \"beginning\", \"end\" nor a time \
                 (\"2026-11-23T00:00:00Z\")"
            )
        })
    }
}

impl fmt::Display for StartAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beginning => f.write_str("beginning"),
            Self::End => f.write_str("end"),
            Self::Ago(ago) => write!(f, "{} ago", humantime::format_duration(*ago)),
            Self::Time(time) => time.fmt(f),
        }
    }
}

impl StartAt {
    /// Lines before this time are skipped; `None` when none are.
    pub fn cutoff(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Beginning => None,
            Self::End => Some(now),
            Self::Ago(ago) => now.checked_sub(ago).ok(),
            Self::Time(time) => Some(time),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sizes_are_binary_where_they_say_so() {
        assert_eq!(size("4MiB"), Ok(4 << 20));
        assert_eq!(size("128 KiB"), Ok(128 << 10));
        assert_eq!(size("1000"), Ok(1000));
        assert_eq!(size("5MB"), Ok(5_000_000));
        assert!(size("lots").is_err());
    }

    #[test]
    fn durations_reach_from_milliseconds_to_days() {
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert!(duration("5").is_err());
    }

    #[test]
    fn start_points_give_their_cutoff() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let cutoff = |text: &str| text.parse::<StartAt>().unwrap().cutoff(now);
        assert_eq!(cutoff("beginning"), None);
        assert_eq!(cutoff("end"), Some(now));
        assert_eq!(cutoff("24h").unwrap().to_string(), "2026-11-22T12:00:00Z");
        assert_eq!(
            cutoff("2026-01-02T03:04:05+01:00").unwrap().to_string(),
            "2026-01-02T02:04:05Z"
        );
        assert!("yesterday".parse::<StartAt>().is_err());
    }
}
