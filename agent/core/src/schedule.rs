//! Which container is looked at next: those with something to read take turns, the others wait for
//! their time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::event::ContainerId;

/// Times are rounded up to this, so that many containers are looked at after one waking.
pub const GRID: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ready,
    At(Duration),
}

/// The queue and the timers.
#[derive(Debug, Default)]
pub struct Schedule {
    places: BTreeMap<ContainerId, Place>,
    ready: VecDeque<ContainerId>,
    timers: BTreeSet<(Duration, ContainerId)>,
}

impl Schedule {
    /// It has something to do now: to the end of the queue, unless it stands there.
    pub fn enqueue(&mut self, id: ContainerId) {
        if self.places.get(&id) != Some(&Place::Ready) {
            self.forget(id);
            self.places.insert(id, Place::Ready);
            self.ready.push_back(id);
        }
    }

    /// It has nothing to do before `at`, or before an event.
    pub fn wait(&mut self, id: ContainerId, at: Option<Duration>) {
        self.forget(id);
        if let Some(at) = at {
            let at = rounded_up(at);
            self.places.insert(id, Place::At(at));
            self.timers.insert((at, id));
        }
    }

    /// It is not to be looked at.
    pub fn forget(&mut self, id: ContainerId) {
        match self.places.remove(&id) {
            Some(Place::At(at)) => {
                self.timers.remove(&(at, id));
            }
            Some(Place::Ready) => self.ready.retain(|&other| other != id),
            None => {}
        }
    }

    /// [`Schedule::next`] has one.
    pub fn is_ready(&self, now: Duration) -> bool {
        !self.ready.is_empty() || self.deadline().is_some_and(|at| at <= now)
    }

    /// The next one to be looked at.
    pub fn next(&mut self, now: Duration) -> Option<ContainerId> {
        while let Some(&(at, id)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            self.places.insert(id, Place::Ready);
            self.ready.push_back(id);
        }
        let id = self.ready.pop_front()?;
        self.places.remove(&id);
        Some(id)
    }

    /// When the first timer goes off.
    pub fn deadline(&self) -> Option<Duration> {
        self.timers.first().map(|&(at, _)| at)
    }
}

fn rounded_up(at: Duration) -> Duration {
    let steps = at.as_nanos().div_ceil(GRID.as_nanos());
    // A monotonic clock does not run for 500 years.
    Duration::from_nanos(u64::try_from(steps * GRID.as_nanos()).unwrap_or(u64::MAX))
}
