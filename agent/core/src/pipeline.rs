//! The pipeline: events in, actions out.

use std::time::Duration;

use crate::event::{Action, Event, Now};
use crate::settings::Settings;
use crate::stats::{ContainerStatus, Gauges, Stats};

/// One pipeline: some containers, their batches in flight, one checkpoint.
#[derive(Debug)]
pub struct Pipeline {
    settings: Settings,
}

/// A checkpoint that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointError(pub String);

impl Pipeline {
    /// A pipeline that knows nothing: the agent's very first start. `epoch` is a random number
    /// that tells this state folder from others; it becomes part of the checkpoint.
    pub fn new(settings: Settings, epoch: u64) -> Self {
        let _ = epoch;
        Self { settings }
    }

    /// A pipeline that goes on where this checkpoint stands.
    pub fn resume(settings: Settings, checkpoint: &[u8]) -> Result<Self, CheckpointError> {
        let _ = checkpoint;
        Ok(Self { settings })
    }

    /// Tells the core what happened.
    pub fn handle(&mut self, now: Now, event: Event<'_>) {
        let _ = (now, event, &self.settings);
    }

    /// The next thing to do, if any.
    pub fn poll_action(&mut self, now: Now) -> Option<Action> {
        let _ = now;
        None
    }

    /// When to send [`Event::Tick`] if nothing else happens, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        None
    }

    /// After [`Event::Drain`]: all that was read is accepted and the last checkpoint is saved.
    pub fn is_drained(&self) -> bool {
        true
    }

    /// Counters.
    pub fn stats(&self) -> &Stats {
        unimplemented!()
    }

    /// The present state.
    pub fn gauges(&self) -> Gauges {
        unimplemented!()
    }

    /// Each container, in the order of their ids.
    pub fn containers(&self) -> Vec<ContainerStatus> {
        unimplemented!()
    }
}
