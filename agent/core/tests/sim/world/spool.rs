//! The spool as a model: what is on the disk when the agent dies.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::spool::{Body, Covered, Spooled, Unspooled};
use agent_core::{Action, BatchId, ContainerId, Event};

use super::{Due, World};
use crate::random::Random;

/// One batch.
#[derive(Clone, Debug)]
pub struct Segment {
    pub containers: Vec<ContainerId>,
    pub covered: Vec<Covered>,
    pub bodies: Vec<Body>,
}

/// Segments on the disk.
#[derive(Default)]
pub struct Spool {
    /// The agent has one.
    pub is_there: bool,
    /// Half of the writes fail, and of the reads.
    pub fails: bool,
    /// What is in it, fsynced.
    pub segments: BTreeMap<BatchId, Segment>,
    /// Removed, but the folder is not fsynced.
    removed: BTreeMap<BatchId, Segment>,
}

impl Spool {
    /// What an agent finds when it starts.
    pub fn found(&self) -> Vec<Spooled> {
        let found = |(&batch, segment): (&BatchId, &Segment)| Spooled {
            batch,
            containers: segment.containers.clone(),
            entries: segment.bodies.iter().map(|body| body.entries).sum(),
            bytes: segment.bodies.iter().map(|body| body.bytes.len()).sum(),
            covered: segment.covered.clone(),
        };
        self.segments.iter().map(found).collect()
    }

    pub fn forget(&mut self, batch: BatchId) {
        if let Some(segment) = self.segments.remove(&batch) {
            self.removed.insert(batch, segment);
        }
    }

    /// The power fails: what was removed last may be there again.
    pub fn killed(&mut self, random: &mut Random) {
        for (batch, segment) in std::mem::take(&mut self.removed) {
            if random.one_in(2) {
                self.segments.entry(batch).or_insert(segment);
            }
        }
    }
}

impl World {
    pub(super) fn spool(&mut self, action: Action) {
        let Action::Spool {
            batch,
            containers,
            covered,
            bodies,
        } = action
        else {
            return;
        };
        let segment = Segment {
            containers,
            covered,
            bodies,
        };
        assert!(self.spool.is_there, "there is no spool");
        self.outcomes.spooled += 1;
        let works = !(self.spool.fails && self.random.one_in(2));
        let wait = Duration::from_millis(self.random.pick(&[0, 5, 400]));
        self.due
            .push((self.now.mono + wait, Due::Spooled(batch, segment, works)));
    }

    pub(super) fn unspool(&mut self, batch: BatchId) {
        let segment = self.spool.segments.get(&batch).cloned();
        let found = match segment {
            Some(_) if self.spool.fails && self.random.one_in(2) => Unspooled::Unreadable,
            Some(segment) => Unspooled::Found(segment.bodies),
            None => Unspooled::Damaged(Vec::new()),
        };
        self.event(Event::Unspooled { batch, found });
    }
}
