//! When a container is looked at again.

use std::time::Duration;

use super::Follow;
use crate::event::Chunk;
use crate::limits::{CHUNK_BYTES, SHORT_READS_MAX, WATCHED_INTERVAL};
use crate::settings::Settings;

/// Who tells of the next write to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// Nobody: it is looked at often.
    Off,
    /// The shell was asked to.
    Asked,
    /// The shell will.
    Set,
}

impl Follow {
    /// A chunk of the generation was consumed, `done` bytes of it. True when the shell is to tell
    /// of the next write: the log has been quiet for long.
    pub fn was_read(
        &mut self,
        now: Duration,
        key: u64,
        done: usize,
        end: bool,
        settings: &Settings,
    ) -> bool {
        self.blocked = false;
        if done > 0 {
            self.alarm = Alarm::Off;
            self.refresh(settings.poll_interval);
        }
        match self.tail.chain.get_mut(key) {
            Some(generation) if end && !generation.finished => {
                // All there is now; half a line at the end counts as nothing.
                generation.size = generation.read;
            }
            _ => return false,
        }
        let is_quiet = done == 0 && self.interval >= settings.poll_interval_max;
        match self.alarm {
            Alarm::Set if is_quiet && !self.must_look_again() => {
                self.wake = Some(self.round(now, WATCHED_INTERVAL));
            }
            _ => self.rest(now, settings.poll_interval_max),
        }
        // Looked at once more when it is set: a write may have come before.
        let asks = is_quiet && self.alarm == Alarm::Off;
        if asks {
            self.alarm = Alarm::Asked;
        }
        asks
    }

    /// The shell will tell of the next write.
    pub fn was_watched(&mut self) {
        if self.alarm == Alarm::Asked {
            self.alarm = Alarm::Set;
        }
    }

    /// There was a write.
    pub fn was_written(&mut self, settings: &Settings) {
        self.alarm = Alarm::Off;
        self.refresh(settings.poll_interval);
    }

    /// What is read, or next, is a compressed generation.
    pub fn is_compressed(&self) -> bool {
        let file = self.tail.chain.cursor().and_then(|next| next.evidence);
        file.is_some_and(|file| file.compressed)
    }

    /// The same short chunk has come so often that nothing more will come: a compressed file is
    /// damaged in the middle of a line, and asking again at once would never end.
    pub fn is_stuck(&mut self, chunk: &Chunk<'_>) -> bool {
        let len = chunk.bytes.len();
        let is_short = !chunk.end && len > 0 && len < CHUNK_BYTES;
        let short = is_short.then_some((chunk.handle, chunk.offset, len));
        if short.is_none() || self.short != short {
            self.short_times = 0;
        }
        self.short = short;
        self.short_times += u32::from(is_short);
        self.short_times > SHORT_READS_MAX
    }

    /// Reading failed: not again before the next look.
    pub fn block(&mut self, now: Duration, interval_max: Duration) {
        self.blocked = true;
        self.rest(now, interval_max);
    }

    /// Nothing new was found: look again later, and ever later. All files are looked at together,
    /// so that one waking serves them all, and one body takes what they have.
    pub fn rest(&mut self, now: Duration, interval_max: Duration) {
        self.wake = Some(self.round(now, self.interval));
        self.interval = (self.interval * 2).min(interval_max);
    }

    /// The round of looks at all files that is to come `wait` after the one before `now`.
    fn round(&self, now: Duration, wait: Duration) -> Duration {
        let past = (now.as_nanos() % self.period.as_nanos().max(1)) as u64;
        now + wait - Duration::from_nanos(past)
    }

    /// Something was found: look again soon. After a failed read not before its time, however
    /// often there is news.
    pub fn refresh(&mut self, interval: Duration) {
        self.interval = interval;
        if !self.blocked {
            self.wake = None;
        }
    }
}
