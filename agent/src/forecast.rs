//! How long an outage may last before lines are lost: how fast each log grows, and how much of it
//! rotation keeps.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::ContainerId;

use crate::container::Rotation;

/// Growth is measured over at least this.
const MEASURED_MIN: Duration = Duration::from_secs(10);

/// A log at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Bytes written since the agent's start.
    pub written: u64,
    /// Bytes of it that are neither accepted nor in the spool.
    pub behind: u64,
}

/// What an outage does.
#[derive(Debug, Default)]
pub struct Forecast {
    /// Level and time when it began.
    began: BTreeMap<ContainerId, (Level, Duration)>,
    left: BTreeMap<ContainerId, (String, Duration)>,
}

impl Forecast {
    /// OCI takes something.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes note of a log while OCI takes nothing.
    pub fn note(
        &mut self,
        now: Duration,
        (id, name): (ContainerId, &str),
        level: Level,
        rotation: Option<Rotation>,
    ) {
        let &mut (first, since) = self.began.entry(id).or_insert((level, now));
        let measured = now.saturating_sub(since);
        let grown = level.written.saturating_sub(first.written);
        let Some(rotation) = rotation.filter(|_| measured >= MEASURED_MIN && grown > 0) else {
            return;
        };
        let kept = rotation
            .bytes_max
            .saturating_mul(u64::from(rotation.files_max));
        let room = kept.saturating_sub(level.behind);
        let rate = grown as f64 / measured.as_secs_f64();
        // A year is as good as for ever.
        let seconds = (room as f64 / rate).min(31_536_000.0);
        let left = Duration::from_secs_f64(seconds);
        self.left.insert(id, (name.to_owned(), left));
    }

    /// Who loses lines first, and when.
    pub fn first(&self) -> Option<(String, Duration)> {
        self.left.values().min_by_key(|(_, left)| *left).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_log_that_fills_its_files_first_is_the_first_to_lose() {
        let (slow, fast) = (ContainerId([1; 32]), ContainerId([2; 32]));
        let rotation = Some(Rotation {
            bytes_max: 1_000,
            files_max: 3,
        });
        let mut forecast = Forecast::default();
        for second in 0..=20u32 {
            let level = |rate: u64| Level {
                written: u64::from(second) * rate,
                behind: u64::from(second) * rate,
            };
            let now = SECOND * second;
            forecast.note(now, (slow, "slow"), level(10), rotation);
            forecast.note(now, (fast, "fast"), level(50), rotation);
            forecast.note(now, (ContainerId([3; 32]), "kept"), level(900), None);
            let measured = second >= 10;
            assert_eq!(forecast.first().is_some(), measured);
        }
        // 3,000 bytes are kept, 1,000 are behind, 50 come each second.
        assert_eq!(forecast.first(), Some(("fast".to_owned(), SECOND * 40)));
        forecast.clear();
        assert_eq!(forecast.first(), None);
    }
}
