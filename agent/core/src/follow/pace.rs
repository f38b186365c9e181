//! When a container is looked at again.

use std::time::Duration;

use super::Follow;
use crate::event::Chunk;
use crate::limits::{CHUNK_BYTES, SHORT_READS_MAX};
use crate::settings::Settings;

impl Follow {
    /// A chunk of the generation was consumed, `done` bytes of it.
    pub fn was_read(
        &mut self,
        now: Duration,
        key: u64,
        done: usize,
        end: bool,
        settings: &Settings,
    ) {
        self.blocked = false;
        if done > 0 {
            self.refresh(settings.poll_interval);
        }
        if let Some(generation) = self.tail.chain.get_mut(key)
            && end
            && !generation.finished
        {
            // All there is now; half a line at the end counts as nothing.
            generation.size = generation.read;
            self.rest(now, settings.poll_interval_max);
        }
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
        let past = (now.as_nanos() % self.period.as_nanos().max(1)) as u64;
        self.wake = Some(now + self.interval - Duration::from_nanos(past));
        self.interval = (self.interval * 2).min(interval_max);
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
