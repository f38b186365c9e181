//! The pipeline: events in, actions out.

mod gap;
mod proof;
mod reading;
mod rescue;
mod shipping;
mod unspool;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::checkpoint::{Checkpoint, CheckpointError, Streamed};
use crate::clock::Clock;
use crate::event::{Action, BatchId, Chunk, ContainerId, Event, Notice, Now, SaveId};
use crate::follow::{Follow, Reading};
use crate::lane::{Lane, prompt_memory};
use crate::limits;
use crate::loss::Loss;
use crate::outbox::Outbox;
use crate::saver::Saver;
use crate::schedule::{self, Schedule};
use crate::settings::Settings;
use crate::spool::Rescue;
use crate::stamp;
use crate::stats::{ContainerStatus, Gauges, Stats};
pub(crate) use proof::KIND as PROOF;

/// One pipeline: some containers, their batches in flight, one checkpoint.
#[derive(Debug)]
pub struct Pipeline {
    settings: Settings,
    /// The checkpoint but for the containers.
    state: Checkpoint,
    /// Boxed: a look-up goes through keys, not through what they name.
    follows: BTreeMap<ContainerId, Box<Follow>>,
    outbox: Outbox,
    saver: Saver,
    /// Losses that are reported and not in the ledger yet, each with the first checkpoint that has
    /// it.
    unrecorded: Vec<(SaveId, Loss)>,
    schedule: Schedule,
    rescue: Rescue,
    /// Batches that the spool did not keep, and the checkpoint with which that is in the ledger.
    damaged: Vec<(SaveId, BatchId)>,
    clock: Clock,
    /// Those with files to be identified.
    unidentified: BTreeSet<ContainerId>,
    reading: Option<(ContainerId, Reading)>,
    actions: VecDeque<Action>,
    join_bytes: usize,
    /// Length of the last checkpoint.
    checkpoint_bytes: usize,
    stats: Stats,
    draining: bool,
}

impl Pipeline {
    /// A pipeline that knows nothing: the agent's very first start, at wall time `wall`. `epoch`
    /// is a random number that tells this state folder from others.
    pub fn new(settings: Settings, epoch: u64, wall: Duration) -> Self {
        let state = Checkpoint {
            epoch,
            first_start: stamp::from_wall(wall),
            start_cutoff: settings.start_cutoff.clone(),
            containers: Vec::new(),
        };
        Self::with(settings, state, Saver::new())
    }

    /// A pipeline that goes on where this checkpoint stands.
    ///
    /// # Errors
    /// When the bytes are not a checkpoint that this release reads.
    pub fn resume(settings: Settings, checkpoint: &[u8]) -> Result<Self, CheckpointError> {
        let mut state = Checkpoint::decode(checkpoint)?;
        let containers = std::mem::take(&mut state.containers);
        let mut pipeline = Self::with(settings, state, Saver::resumed());
        for container in containers {
            let Some(id) = ContainerId::from_hex(&container.id) else {
                return Err(CheckpointError::Damaged(format!(
                    "container id {}",
                    container.id
                )));
            };
            let tail = container.restore(id, pipeline.state.epoch);
            let follow = Box::new(Follow::new(tail, pipeline.settings.poll_interval));
            pipeline.follows.insert(id, follow);
            pipeline.relabel(id);
            pipeline.actions.push_back(Action::List(id));
        }
        Ok(pipeline)
    }

    fn with(mut settings: Settings, state: Checkpoint, saver: Saver) -> Self {
        // Room for a body being built, one on its way, and the lines under way.
        settings.batch_bytes_max = settings
            .batch_bytes_max
            .min(settings.memory_bytes_max / 3)
            .clamp(limits::BATCH_BYTES_MIN, limits::BATCH_BYTES_LIMIT);
        // A line waits for the look that finds it, and then for others: both within one age.
        let age = settings.batch_age_max.max(schedule::GRID);
        settings.poll_interval = settings.poll_interval.min(age);
        settings.poll_interval_max = settings.poll_interval_max.max(settings.poll_interval);
        Self {
            outbox: Outbox::new(&settings),
            rescue: Rescue::new(settings.spool),
            damaged: Vec::new(),
            clock: Clock::default(),
            settings,
            state,
            follows: BTreeMap::new(),
            saver,
            unrecorded: Vec::new(),
            schedule: Schedule::default(),
            unidentified: BTreeSet::new(),
            reading: None,
            actions: VecDeque::new(),
            join_bytes: 0,
            checkpoint_bytes: 0,
            stats: Stats::default(),
            draining: false,
        }
    }

    /// Tells the core what happened.
    pub fn handle(&mut self, now: Now, event: Event<'_>) {
        match event {
            Event::Listing(listing) => self.listing(now, listing),
            Event::Chunk {
                handle,
                offset,
                bytes,
                hole_bytes,
                end,
                held,
                modified,
            } => {
                let chunk = Chunk {
                    handle,
                    offset,
                    bytes,
                    hole_bytes,
                    end,
                    held,
                    modified,
                };
                self.chunk(now, &chunk);
            }
            Event::ReadFailed { handle, error } => self.read_failed(now, handle, error),
            Event::Sent { batch, outcome } => self.sent(now, batch, &outcome),
            Event::Quarantined { batch, stored } => {
                self.stats.quarantined += u64::from(stored);
                let sent = self.outbox.quarantined(now.mono, batch, stored);
                self.settle_batch(now, batch, sent);
            }
            Event::Spooled { batch, stored } => self.spooled(now, batch, stored),
            Event::Unspooled { batch, found } => self.unspooled(now, batch, found),
            Event::ServiceTime(date) => self.clock.note(now, date),
            Event::LetGo(handle) => {
                self.follows
                    .values_mut()
                    .for_each(|follow| follow.let_go(handle));
            }
            Event::Watched(id) => {
                if let Some(follow) = self.follows.get_mut(&id) {
                    follow.was_watched();
                }
            }
            Event::Written(id) => self.written(now, id),
            Event::Saved(id) => self.saved(id),
            Event::SaveFailed(id) => {
                self.stats.saves_failed += 1;
                self.saver.failed(now.mono, id);
            }
            Event::Drain => {
                self.draining = true;
                self.rescue.hurry();
            }
            Event::Tick => {}
        }
    }

    /// The next thing to do, if any.
    pub fn poll_action(&mut self, now: Now) -> Option<Action> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Some(action);
            }
            self.seal_by_age(now.mono);
            if let Some(action) = self.outbox.send(now.mono) {
                return Some(action);
            }
            let interval = if self.draining {
                Duration::ZERO
            } else {
                self.settings.save_interval
            };
            if self.saver.is_due(now.mono, interval)
                && let Some(loss) = self.take_unrecorded()
            {
                return Some(Action::Record(loss));
            }
            if let Some(id) = self.saver.start(now.mono, interval) {
                let bytes = self.checkpoint();
                return Some(Action::Save { id, bytes });
            }
            if let Some(action) = self.rescue(now) {
                return Some(action);
            }
            if self.reading.is_some() {
                return None;
            }
            if self.read_in_need(now) {
                continue;
            }
            if self.draining || self.reads_at().is_some_and(|at| now.mono < at) {
                return None;
            }
            let bulk = !self.is_full(Lane::Bulk);
            if !self.is_full(Lane::Prompt)
                && let Some(id) = self.schedule.next(now.mono, bulk)
            {
                self.step(now, id);
            } else if bulk || !self.probe_new(now) {
                return None;
            }
        }
    }

    /// When to send [`Event::Tick`] if nothing else happens, on the monotonic clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        let interval = if self.draining {
            Duration::ZERO
        } else {
            self.settings.save_interval
        };
        let seal = |lane: Lane| {
            let due = self.seal_at(lane);
            due.filter(|_| self.outbox.has_slot(lane))
        };
        let timer = self
            .schedule
            .deadline()
            .filter(|_| !self.draining && !self.is_full(Lane::Prompt))
            .map(|due| due.max(self.reads_at().unwrap_or_default()));
        let busy = self.draining || !self.outbox.is_empty() || self.is_full(Lane::Bulk);
        let rescue = busy.then(|| self.rescue.deadline());
        [
            rescue,
            self.outbox.deadline(),
            self.saver.deadline(interval),
            seal(Lane::Prompt),
            seal(Lane::Bulk),
            timer,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// After [`Event::Drain`]: all that was read is accepted or in the spool, files without a name
    /// are read to their end, and the last checkpoint is saved.
    pub fn is_drained(&self) -> bool {
        let empty = self.reading.is_none() && self.outbox.is_empty();
        self.draining && empty && self.saver.is_clean() && self.is_rescued()
    }

    /// Counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The present state.
    pub fn gauges(&self) -> Gauges {
        let (in_flight, spooled, sealed) = self.outbox.counts();
        let gate = self.outbox.gate();
        let generations = self
            .follows
            .values()
            .map(|f| f.tail.chain.generations().len())
            .sum();
        Gauges {
            containers: self.follows.len(),
            generations,
            memory_bytes: self.memory_bytes(),
            in_flight,
            queued: (sealed - in_flight).saturating_sub(spooled),
            spooled,
            in_need: !self.rescue.is_empty(),
            lag_bytes: self
                .follows
                .values()
                .map(|follow| follow.tail.lag_bytes())
                .sum(),
            denied: gate.is_denied(),
            unavailable: !gate.is_open() && !gate.is_denied(),
        }
    }

    /// Checks what must hold at any moment, for the simulator: of each generation and stream, what
    /// is committed was read or committed by an earlier run, and no line is held behind it.
    ///
    /// # Errors
    /// Says what does not hold.
    pub fn audit(&self) -> Result<(), String> {
        for follow in self.follows.values() {
            follow.tail.audit()?;
        }
        Ok(())
    }

    /// Each container, in the order of their ids.
    pub fn containers(&self) -> Vec<ContainerStatus> {
        self.follows
            .values()
            .map(|follow| follow.tail.status())
            .collect()
    }

    /// There is no memory for what would be read: some of it is for the prompt lane alone, and some
    /// for a body of lines that are about to be lost.
    fn is_full(&self, lane: Lane) -> bool {
        let max = self.settings.memory_bytes_max;
        let kept = prompt_memory(max);
        let prompt = self.outbox.lane_bytes(Lane::Prompt);
        let body = self.outbox.bytes_max(Lane::Bulk);
        let reserve = match self.settings.spool {
            // Bodies take a little more than their length.
            true => body + body / 4,
            false => 0,
        };
        match lane {
            Lane::Prompt => prompt >= kept && self.memory_bytes() > max,
            // Spare bodies are the next open ones: they are counted when they are kept. However
            // little memory there is, one body can be filled.
            Lane::Bulk => {
                let bulk = self.outbox.lane_bytes(lane) + self.join_bytes;
                bulk > max.saturating_sub(kept + reserve) && self.outbox.has_sealed(lane)
            }
        }
    }

    /// What is too old for the service is known by its clock only: a moment is spent on waiting for
    /// its first answer, until when nothing is read.
    fn reads_at(&self) -> Option<Duration> {
        let is_asked = !self.settings.retention.is_zero();
        self.clock.wait_until().filter(|_| is_asked)
    }

    fn may_read(&self, lane: Lane) -> bool {
        !self.draining && self.reading.is_none() && !self.is_full(lane)
    }

    fn over_budget(&self) -> bool {
        self.memory_bytes() > self.settings.memory_bytes_max
    }

    fn memory_bytes(&self) -> usize {
        self.outbox.memory_bytes() + self.join_bytes
    }

    fn checkpoint(&mut self) -> Vec<u8> {
        let states = || self.follows.values().map(|follow| follow.tail.state());
        let checkpoint = Checkpoint {
            epoch: self.state.epoch,
            first_start: self.state.first_start.clone(),
            start_cutoff: self.state.start_cutoff.clone(),
            containers: Streamed(states),
        };
        // A little more than the last one.
        let bytes = checkpoint.encode_sized(self.checkpoint_bytes + self.checkpoint_bytes / 16);
        self.checkpoint_bytes = bytes.len();
        bytes
    }

    fn report(&mut self, notices: impl IntoIterator<Item = Notice>) {
        for notice in notices {
            if let Notice::Lost(loss) = &notice {
                self.saver.touch();
                let loss = loss.clone();
                if loss.reason.is_by_age() {
                    self.actions.push_back(Action::Report(notice));
                    self.actions.push_back(Action::Record(loss));
                    continue;
                }
                self.stats.losses += 1;
                self.stats.lost_bytes += loss.bytes();
                self.unrecorded.push((self.saver.next(), loss));
            }
            self.actions.push_back(Action::Report(notice));
        }
    }
}
