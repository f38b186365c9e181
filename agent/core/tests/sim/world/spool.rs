//! The spool as a model: what is on the disk when the agent dies.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::spool::{Body, Spooled, Unspooled};
use agent_core::{BatchId, Event};

use super::{Due, World};
use crate::random::Random;

/// Segments on the disk.
#[derive(Default)]
pub struct Spool {
    /// The agent has one.
    pub is_there: bool,
    /// Half of the writes fail, and of the reads.
    pub fails: bool,
    /// What is in it, fsynced.
    pub segments: BTreeMap<BatchId, Vec<Body>>,
    /// Removed, but the folder is not fsynced.
    removed: BTreeMap<BatchId, Vec<Body>>,
}

impl Spool {
    /// What an agent finds when it starts.
    pub fn found(&self) -> Vec<Spooled> {
        let found = |(&batch, bodies): (&BatchId, &Vec<Body>)| Spooled {
            batch,
            containers: Vec::new(),
            entries: bodies.iter().map(|body| body.entries).sum(),
            bytes: bodies.iter().map(|body| body.bytes.len()).sum(),
        };
        self.segments.iter().map(found).collect()
    }

    pub fn forget(&mut self, batch: BatchId) {
        if let Some(bodies) = self.segments.remove(&batch) {
            self.removed.insert(batch, bodies);
        }
    }

    /// The power fails: what was removed last may be there again.
    pub fn killed(&mut self, random: &mut Random) {
        for (batch, bodies) in std::mem::take(&mut self.removed) {
            if random.one_in(2) {
                self.segments.entry(batch).or_insert(bodies);
            }
        }
    }
}

impl World {
    pub(super) fn spool(&mut self, batch: BatchId, bodies: Vec<Body>) {
        assert!(self.spool.is_there, "there is no spool");
        self.outcomes.spooled += 1;
        let works = !(self.spool.fails && self.random.one_in(2));
        let wait = Duration::from_millis(self.random.pick(&[0, 5, 400]));
        self.due
            .push((self.now.mono + wait, Due::Spooled(batch, bodies, works)));
    }

    pub(super) fn unspool(&mut self, batch: BatchId) {
        let bodies = self.spool.segments.get(&batch).cloned();
        let found = match bodies {
            Some(_) if self.spool.fails && self.random.one_in(2) => Unspooled::Unreadable,
            Some(bodies) => Unspooled::Found(bodies),
            None => Unspooled::Damaged,
        };
        self.event(Event::Unspooled { batch, found });
    }
}
