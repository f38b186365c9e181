//! Bodies on their way: those being built, those waiting, those being sent, those in the spool; and
//! the memory they take.

mod sealed;
mod spooling;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::event::{Action, BatchId, ContainerId, Outcome};
use crate::lane::{Lane, Rate, Turns, prompt_memory};
use crate::limits::BATCH_BYTES_MIN;
use crate::retry::{Gate, refused_delay};
use crate::settings::Settings;
use crate::spool::Covered;
use sealed::{Busy, Sealed};

const BODY_BYTES_START: usize = 32 * 1024;
/// More are given back: reading would wait for the memory.
const SPARES_MAX: usize = 2;

/// What follows from an outcome.
#[derive(Debug)]
pub enum Sent {
    /// Nothing yet.
    Open,
    /// All of the batch is accepted or in quarantine.
    Settled(Settled),
    /// This entry is refused while others are accepted: it goes to the quarantine.
    Reject(Arc<Vec<u8>>),
    /// The spool did not keep the batch.
    Damaged(Damaged),
    /// A single entry is refused again, and nothing was accepted meanwhile: another body is to show
    /// whether the service takes anything from us.
    Unproved,
    /// That body is refused as well.
    Disproved,
}

/// A batch that the spool did not keep.
#[derive(Debug)]
pub struct Damaged {
    /// Entries in it.
    pub entries: u32,
    /// Whose they are, as far as that is known.
    pub containers: Vec<ContainerId>,
    /// What of their logs it held, as far as that is known.
    pub covered: Vec<Covered>,
}

/// A batch that is done with.
#[derive(Debug)]
pub struct Settled {
    /// Containers that had entries in it.
    pub containers: Vec<ContainerId>,
    /// Entries of it that were accepted.
    pub entries: u32,
    /// Its length.
    pub bytes: usize,
}

/// The way out.
#[derive(Debug)]
pub struct Outbox {
    /// The bodies being built, by lane.
    pub open: [Open; 2],
    sealed: BTreeMap<BatchId, Sealed>,
    gate: Gate,
    next: u64,
    /// Memory of accepted bodies, for those to come.
    spares: Vec<Vec<u8>>,
    turns: Turns,
    bytes_max: [usize; 2],
    memory_bytes_max: usize,
    rate: Rate,
    /// Bodies accepted so far.
    accepted: u64,
}

/// A body being built.
#[derive(Debug)]
pub struct Open {
    /// What is in it.
    pub batch: Batch,
    containers: Vec<ContainerId>,
}

impl Open {
    fn new(body: Vec<u8>) -> Self {
        Self {
            batch: Batch::new(body),
            containers: Vec::new(),
        }
    }

    /// The container's entries are in it.
    pub fn touch(&mut self, container: ContainerId) {
        if self.containers.last() != Some(&container) && !self.holds(container) {
            self.containers.push(container);
        }
    }

    /// Those with entries in it.
    pub fn containers(&self) -> &[ContainerId] {
        &self.containers
    }

    /// It holds entries of this container.
    pub fn holds(&self, container: ContainerId) -> bool {
        self.containers.contains(&container)
    }
}

impl Outbox {
    /// An empty outbox.
    pub fn new(settings: &Settings) -> Self {
        Self {
            open: [0, 1].map(|_| Open::new(Vec::with_capacity(BODY_BYTES_START))),
            sealed: BTreeMap::new(),
            gate: Gate::new(settings.seed),
            next: 1,
            spares: Vec::new(),
            turns: Turns::new(settings.in_flight_max),
            bytes_max: [
                prompt_memory(settings.memory_bytes_max).min(settings.batch_bytes_max),
                settings.batch_bytes_max,
            ]
            .map(|bytes| bytes.max(BATCH_BYTES_MIN)),
            memory_bytes_max: settings.memory_bytes_max,
            rate: Rate::new(settings.bytes_per_second_max),
            accepted: 0,
        }
    }

    /// Bytes of a body of this lane at most.
    pub fn bytes_max(&self, lane: Lane) -> usize {
        self.bytes_max[lane as usize]
    }

    /// An open body holds entries of this container.
    pub fn holds(&self, container: ContainerId) -> bool {
        self.open.iter().any(|open| open.holds(container))
    }

    /// Closes an open body: its number and the containers with entries in it. `None` if empty.
    pub fn seal(&mut self, lane: Lane) -> Option<(BatchId, Vec<ContainerId>)> {
        let open = &self.open[lane as usize].batch;
        let entries = open.entries();
        if entries == 0 {
            return None;
        }
        // Behind, the next body will be a full one too; caught up, memory is given back.
        let next = match (lane, self.is_large(open.len())) {
            (Lane::Prompt, _) => None,
            (Lane::Bulk, true) => {
                let large = || Vec::with_capacity(self.bytes_max[Lane::Bulk as usize]);
                Some(self.spares.pop().unwrap_or_else(large))
            }
            (Lane::Bulk, false) => {
                self.spares.clear();
                None
            }
        };
        let next = next.unwrap_or_else(|| Vec::with_capacity(BODY_BYTES_START));
        let Open { batch, containers } =
            std::mem::replace(&mut self.open[lane as usize], Open::new(next));
        let body = batch.seal();
        let id = BatchId(self.next);
        self.next += 1;
        if !self.sealed.values().any(|sealed| sealed.lane == lane) {
            self.turns.join(lane);
        }
        let sealed = Sealed::new(body, entries, lane, containers.clone());
        self.sealed.insert(id, sealed);
        Some((id, containers))
    }

    /// Takes a body with one entry that shows whether the service takes anything from us, unless
    /// there is one already.
    pub fn prove(&mut self, body: Vec<u8>) {
        if self.sealed.values().any(|sealed| sealed.is_proof) {
            return;
        }
        let id = BatchId(self.next);
        self.next += 1;
        let mut sealed = Sealed::new(body, 1, Lane::Prompt, Vec::new());
        sealed.is_proof = true;
        self.sealed.insert(id, sealed);
    }

    /// A body of this length was not sealed by age.
    fn is_large(&self, bytes: usize) -> bool {
        bytes >= self.bytes_max(Lane::Bulk) / 8 * 7
    }

    /// Bytes held, the open body's possible growth included.
    pub fn memory_bytes(&self) -> usize {
        let spares: usize = self.spares.iter().map(Vec::capacity).sum();
        let lanes: usize = Lane::ALL.map(|lane| self.lane_bytes(lane)).iter().sum();
        spares + lanes
    }

    /// Bytes of a lane's bodies.
    pub fn lane_bytes(&self, lane: Lane) -> usize {
        let open = self.open[lane as usize].batch.memory_bytes();
        let open = match lane {
            Lane::Prompt => open,
            Lane::Bulk => open.max(self.bytes_max(lane)),
        };
        let sealed = self.sealed.values().filter(|sealed| sealed.lane == lane);
        open + sealed.map(Sealed::memory_bytes).sum::<usize>()
    }

    /// Sealed bodies of this lane are in memory.
    pub fn has_sealed(&self, lane: Lane) -> bool {
        let mut sealed = self.sealed.values();
        sealed.any(|sealed| sealed.lane == lane && !sealed.pieces.is_empty())
    }

    /// Batches being sent, those in the spool, and all that are sealed.
    pub fn counts(&self) -> (usize, usize, usize) {
        let spooled = self.sealed.values().filter(|it| it.spooled).count();
        (self.turns.in_flight(), spooled, self.sealed.len())
    }

    /// A body of this lane that is sealed now would be sent now.
    pub fn has_slot(&self, lane: Lane) -> bool {
        self.turns.has_slot(lane) && self.gate.is_open()
    }

    /// No entry is in memory alone.
    pub fn is_empty(&self) -> bool {
        self.sealed.values().all(|sealed| sealed.spooled)
            && self.open.iter().all(|open| open.batch.entries() == 0)
    }

    /// The way to the service.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The next body to send, the oldest of the lane whose turn it is.
    pub fn send(&mut self, now: Duration) -> Option<Action> {
        if !self.gate.is_open() && (self.turns.in_flight() > 0 || now < self.gate.until()) {
            return None;
        }
        let mut order = self.turns.order().into_iter();
        let batch = order.find_map(|lane| self.ready(now, lane))?;
        let sealed = self.sealed.get_mut(&batch)?;
        let Some(piece) = sealed.pieces.front() else {
            return Some(self.unspool(batch));
        };
        sealed.busy = Busy::Sending;
        sealed.attempts += 1;
        self.turns.begin(sealed.lane, piece.bytes.len());
        self.rate.take(now, sealed.lane, piece.bytes.len());
        Some(Action::Send {
            batch,
            attempt: sealed.attempts,
            body: Arc::clone(&piece.bytes),
            entries: piece.entries,
        })
    }

    /// The oldest body of a lane that may be sent now.
    fn ready(&self, now: Duration, lane: Lane) -> Option<BatchId> {
        if !self.turns.has_slot(lane) || now < self.rate.free_at(lane) {
            return None;
        }
        let is_ready = |sealed: &Sealed| sealed.lane == lane && sealed.is_ready(now, self.accepted);
        let found = self.sealed.iter().find(|(_, sealed)| is_ready(sealed));
        // Newer ones of the lane wait for one that comes from the spool: they may hold lines of
        // the same containers.
        let (&batch, sealed) = found?;
        (!sealed.pieces.is_empty() || self.may_unspool(sealed)).then_some(batch)
    }

    /// Takes note of an attempt's outcome.
    pub fn sent(&mut self, now: Duration, batch: BatchId, outcome: &Outcome) -> Sent {
        let Some(sealed) = self.sealed.get_mut(&batch) else {
            return Sent::Open;
        };
        if sealed.busy != Busy::Sending {
            return Sent::Open;
        }
        sealed.busy = Busy::No;
        self.turns.end(sealed.lane);
        self.gate.note(now, outcome);
        match outcome {
            Outcome::Accepted => {
                self.accepted += 1;
                self.piece_done(batch)
            }
            Outcome::Refused if sealed.is_proof => {
                self.sealed.remove(&batch);
                Sent::Disproved
            }
            Outcome::Refused => sealed.refuse(now, self.accepted),
            Outcome::Unavailable { .. } | Outcome::Denied => {
                if sealed.spooled {
                    sealed.pieces.clear();
                }
                Sent::Open
            }
        }
    }

    /// The quarantine has the entry, or could not be written.
    pub fn quarantined(&mut self, now: Duration, batch: BatchId, stored: bool) -> Sent {
        let Some(sealed) = self.sealed.get_mut(&batch) else {
            return Sent::Open;
        };
        if sealed.busy != Busy::Quarantining {
            return Sent::Open;
        }
        sealed.busy = Busy::No;
        if stored {
            sealed.entries -= 1;
            return self.piece_done(batch);
        }
        sealed.not_before = now + refused_delay(sealed.attempts);
        Sent::Open
    }

    /// The first piece is accepted or in quarantine.
    fn piece_done(&mut self, batch: BatchId) -> Sent {
        let Some(sealed) = self.sealed.get_mut(&batch) else {
            return Sent::Open;
        };
        let piece = sealed.pieces.pop_front();
        if !sealed.pieces.is_empty() {
            return Sent::Open;
        }
        if let Some(piece) = piece
            && self.is_large(piece.bytes.len())
            && self.spares.len() < SPARES_MAX
            && self.memory_bytes() + piece.bytes.capacity() <= self.memory_bytes_max
            && let Ok(body) = Arc::try_unwrap(piece.bytes)
        {
            self.spares.push(body);
        }
        match self.sealed.remove(&batch) {
            Some(sealed) => Sent::Settled(Settled {
                containers: sealed.containers,
                entries: sealed.entries,
                bytes: sealed.bytes,
            }),
            None => Sent::Open,
        }
    }

    /// When [`Outbox::send`] may have something that it has not now; `None` while it waits for an
    /// outcome, or has nothing.
    pub fn deadline(&self) -> Option<Duration> {
        if !self.gate.is_open() && self.turns.in_flight() > 0 {
            return None;
        }
        let unspooling = self.is_unspooling();
        let idle = self.sealed.values().filter(|sealed| {
            let waits = unspooling && sealed.lane == Lane::Bulk;
            sealed.busy == Busy::No && !waits && self.turns.has_slot(sealed.lane)
        });
        let free = |sealed: &Sealed| sealed.not_before.max(self.rate.free_at(sealed.lane));
        let ready = idle.map(free).min()?;
        let gate = if self.gate.is_open() {
            Duration::ZERO
        } else {
            self.gate.until()
        };
        Some(ready.max(gate))
    }
}
