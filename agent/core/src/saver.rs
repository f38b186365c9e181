//! When the checkpoint is saved: when something changed, at most once an interval, one at a time.

use std::time::Duration;

use crate::event::SaveId;

const RETRY: Duration = Duration::from_secs(1);

/// The state of saving.
#[derive(Debug)]
pub struct Saver {
    next: SaveId,
    last: SaveId,
    under_way: Option<SaveId>,
    dirty: bool,
    not_before: Duration,
    started: Option<Duration>,
}

impl Saver {
    /// Nothing was ever saved.
    pub fn new() -> Self {
        Self {
            next: SaveId::FIRST,
            last: SaveId::default(),
            under_way: None,
            dirty: true,
            not_before: Duration::ZERO,
            started: None,
        }
    }

    /// A checkpoint is there.
    pub fn resumed() -> Self {
        Self {
            next: SaveId(2),
            last: SaveId::FIRST,
            dirty: false,
            ..Self::new()
        }
    }

    /// The checkpoint that will be saved next: it will hold all that is known now.
    pub fn next(&self) -> SaveId {
        self.next
    }

    /// The newest one that is saved.
    pub fn last(&self) -> SaveId {
        self.last
    }

    /// Something changed.
    pub fn touch(&mut self) {
        self.dirty = true;
    }

    /// Something changed that is to be saved now.
    pub fn hurry(&mut self) {
        self.dirty = true;
        self.started = None;
    }

    /// Everything is saved.
    pub fn is_clean(&self) -> bool {
        !self.dirty && self.under_way.is_none()
    }

    /// It is time to save.
    pub fn is_due(&self, now: Duration, interval: Duration) -> bool {
        self.deadline(interval).is_some_and(|due| due <= now)
    }

    /// The number of the checkpoint to be saved now, if it is time.
    pub fn start(&mut self, now: Duration, interval: Duration) -> Option<SaveId> {
        if !self.is_due(now, interval) {
            return None;
        }
        let id = self.next;
        self.next = SaveId(id.0 + 1);
        self.under_way = Some(id);
        self.dirty = false;
        self.started = Some(now);
        Some(id)
    }

    /// When the next one is due; `None` while one is under way or there is nothing to save.
    pub fn deadline(&self, interval: Duration) -> Option<Duration> {
        if self.under_way.is_some() || !self.dirty {
            return None;
        }
        let after = self
            .started
            .map_or(Duration::ZERO, |started| started + interval);
        Some(after.max(self.not_before))
    }

    /// It is on disk.
    pub fn saved(&mut self, id: SaveId) {
        if self.under_way == Some(id) {
            self.under_way = None;
            self.last = id;
            self.not_before = Duration::ZERO;
        }
    }

    /// It is not.
    pub fn failed(&mut self, now: Duration, id: SaveId) {
        if self.under_way == Some(id) {
            self.under_way = None;
            self.dirty = true;
            self.not_before = now + RETRY;
        }
    }
}

impl Default for Saver {
    fn default() -> Self {
        Self::new()
    }
}
