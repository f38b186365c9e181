//! Bodies on their way: the one being built, those waiting, those being sent; and the memory they
//! take.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::bisect::halve;
use crate::event::{Action, BatchId, ContainerId, Outcome};
use crate::retry::{Gate, refused_delay};
use crate::settings::Settings;

const BODY_BYTES_START: usize = 32 * 1024;
/// More are given back: reading would wait for the memory.
const SPARES_MAX: usize = 2;

#[derive(Debug)]
struct Sealed {
    /// What is not settled of it, first to last: the whole body, or what bisecting left.
    pieces: VecDeque<Piece>,
    entries: u32,
    bytes: usize,
    attempts: u32,
    busy: Busy,
    not_before: Duration,
    /// [`Outbox::accepted`] when the service last refused a single entry of it.
    refused_at: Option<u64>,
    containers: Vec<ContainerId>,
}

impl Sealed {
    /// Another body was accepted since a single entry was refused: time to see which it is.
    fn is_proved(&self, accepted: u64) -> bool {
        self.refused_at.is_some_and(|at| at < accepted)
    }
}

#[derive(Debug)]
struct Piece {
    body: Arc<Vec<u8>>,
    entries: u32,
}

/// What is going on with the first piece of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Busy {
    No,
    Sending,
    /// It is refused alone, and being written to the quarantine.
    Quarantining,
}

/// What follows from an outcome.
#[derive(Debug)]
pub enum Sent {
    /// Nothing yet.
    Open,
    /// All of the batch is accepted or in quarantine.
    Settled(Settled),
    /// This entry is refused while others are accepted: it goes to the quarantine.
    Reject(Arc<Vec<u8>>),
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
    /// The body being built.
    pub open: Batch,
    open_containers: Vec<ContainerId>,
    sealed: BTreeMap<BatchId, Sealed>,
    gate: Gate,
    next: u64,
    /// Memory of accepted bodies, for those to come.
    spares: Vec<Vec<u8>>,
    in_flight: usize,
    in_flight_max: usize,
    batch_bytes_max: usize,
    rate: Rate,
    /// Bodies accepted so far.
    accepted: u64,
}

/// A token bucket over body bytes; it may go into debt by one body.
#[derive(Debug)]
struct Rate {
    per_second: u64,
    free_at: Duration,
}

impl Rate {
    fn take(&mut self, now: Duration, bytes: usize) {
        if self.per_second > 0 {
            let cost = Duration::from_secs_f64(bytes as f64 / self.per_second as f64);
            self.free_at = self.free_at.max(now) + cost;
        }
    }
}

impl Outbox {
    /// An empty outbox.
    pub fn new(settings: &Settings) -> Self {
        Self {
            open: Batch::new(Vec::with_capacity(BODY_BYTES_START)),
            open_containers: Vec::new(),
            sealed: BTreeMap::new(),
            gate: Gate::new(settings.seed),
            next: 1,
            spares: Vec::new(),
            in_flight: 0,
            in_flight_max: settings.in_flight_max.max(1),
            batch_bytes_max: settings.batch_bytes_max,
            rate: Rate {
                per_second: settings.bytes_per_second_max,
                free_at: Duration::ZERO,
            },
            accepted: 0,
        }
    }

    /// The container's entries are in the open body.
    pub fn touch(&mut self, container: ContainerId) {
        if self.open_containers.last() != Some(&container)
            && !self.open_containers.contains(&container)
        {
            self.open_containers.push(container);
        }
    }

    /// The open body holds entries of this container.
    pub fn holds(&self, container: ContainerId) -> bool {
        self.open_containers.contains(&container)
    }

    /// Closes the open body: its number and the containers with entries in it. `None` if empty.
    pub fn seal(&mut self) -> Option<(BatchId, Vec<ContainerId>)> {
        let entries = self.open.entries();
        if entries == 0 {
            return None;
        }
        // Behind, the next body will be a full one too; caught up, memory is given back.
        let is_behind = self.is_large(self.open.len());
        if !is_behind {
            self.spares.clear();
        }
        let next = self.spares.pop().unwrap_or_else(|| {
            Vec::with_capacity(match is_behind {
                true => self.batch_bytes_max,
                false => BODY_BYTES_START,
            })
        });
        let body = std::mem::replace(&mut self.open, Batch::new(next)).seal();
        let id = BatchId(self.next);
        self.next += 1;
        let containers = std::mem::take(&mut self.open_containers);
        let sealed = Sealed {
            entries,
            bytes: body.len(),
            pieces: VecDeque::from([Piece {
                body: Arc::new(body),
                entries,
            }]),
            attempts: 0,
            busy: Busy::No,
            not_before: Duration::ZERO,
            refused_at: None,
            containers: containers.clone(),
        };
        self.sealed.insert(id, sealed);
        Some((id, containers))
    }

    /// A body of this length was not sealed by age.
    fn is_large(&self, bytes: usize) -> bool {
        bytes >= self.batch_bytes_max / 8 * 7
    }

    /// Bytes held, the open body's possible growth included.
    pub fn memory_bytes(&self) -> usize {
        let sealed: usize = self
            .sealed
            .values()
            .flat_map(|sealed| &sealed.pieces)
            .map(|piece| piece.body.capacity())
            .sum();
        let spares: usize = self.spares.iter().map(Vec::capacity).sum();
        sealed + spares + self.open.memory_bytes().max(self.batch_bytes_max)
    }

    /// Batches being sent, and all that are sealed.
    pub fn counts(&self) -> (usize, usize) {
        (self.in_flight, self.sealed.len())
    }

    /// A body that is sealed now would be sent now.
    pub fn has_slot(&self) -> bool {
        self.in_flight < self.in_flight_max && self.gate.is_open()
    }

    /// No entry is in memory.
    pub fn is_empty(&self) -> bool {
        self.sealed.is_empty() && self.open.entries() == 0
    }

    /// The way to the service.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The next body to send, oldest first.
    pub fn send(&mut self, now: Duration) -> Option<Action> {
        if self.in_flight >= self.in_flight_max || now < self.rate.free_at {
            return None;
        }
        if !self.gate.is_open() && (self.in_flight > 0 || now < self.gate.until()) {
            return None;
        }
        let accepted = self.accepted;
        let ready = |sealed: &Sealed| {
            sealed.busy == Busy::No && (sealed.not_before <= now || sealed.is_proved(accepted))
        };
        let (&batch, sealed) = self.sealed.iter_mut().find(|(_, sealed)| ready(sealed))?;
        let piece = sealed.pieces.front()?;
        sealed.busy = Busy::Sending;
        sealed.attempts += 1;
        self.in_flight += 1;
        self.rate.take(now, piece.body.len());
        Some(Action::Send {
            batch,
            attempt: sealed.attempts,
            body: Arc::clone(&piece.body),
            entries: piece.entries,
        })
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
        self.in_flight -= 1;
        self.gate.note(now, outcome);
        match outcome {
            Outcome::Accepted => {
                self.accepted += 1;
                self.piece_done(batch)
            }
            Outcome::Refused => refuse(sealed, now, self.accepted),
            Outcome::Unavailable { .. } | Outcome::Denied => Sent::Open,
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
            && self.is_large(piece.body.len())
            && self.spares.len() < SPARES_MAX
            && let Ok(body) = Arc::try_unwrap(piece.body)
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
        if self.in_flight >= self.in_flight_max || (!self.gate.is_open() && self.in_flight > 0) {
            return None;
        }
        let idle = self
            .sealed
            .values()
            .filter(|sealed| sealed.busy == Busy::No);
        let ready = idle.map(|sealed| sealed.not_before).min()?;
        let gate = if self.gate.is_open() {
            Duration::ZERO
        } else {
            self.gate.until()
        };
        Some(ready.max(gate).max(self.rate.free_at))
    }
}

/// The service refused the first piece: its halves are tried next. A single entry goes to the
/// quarantine if it is refused, another body is accepted, and it is refused again: as long as the
/// service takes nothing from us, the fault is not in the entry (the log's id, say), and
/// everything would end there.
fn refuse(sealed: &mut Sealed, now: Duration, accepted: u64) -> Sent {
    let Some(piece) = sealed.pieces.pop_front() else {
        return Sent::Open;
    };
    if let Some(halves) = halve(&piece.body) {
        for half in halves.into_iter().rev() {
            sealed.pieces.push_front(Piece {
                body: Arc::new(half.body),
                entries: half.entries,
            });
        }
        sealed.attempts = 0;
        return Sent::Open;
    }
    if sealed.is_proved(accepted) {
        let body = Arc::clone(&piece.body);
        sealed.pieces.push_front(piece);
        sealed.busy = Busy::Quarantining;
        return Sent::Reject(body);
    }
    // Others of the batch may be accepted, which tells; then it is its turn again.
    sealed.pieces.push_back(piece);
    sealed.refused_at = Some(accepted);
    let tried = u32::try_from(sealed.pieces.len()).unwrap_or(u32::MAX);
    if sealed.attempts >= tried {
        sealed.not_before = now + refused_delay(1 + sealed.attempts - tried);
    }
    Sent::Open
}
