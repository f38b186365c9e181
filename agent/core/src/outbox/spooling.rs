//! Batches that go to the spool on disk, and come back to be sent.

use std::collections::VecDeque;
use std::time::Duration;

use super::sealed::{Busy, Sealed};
use super::{Damaged, Outbox, Sent};
use crate::event::{Action, BatchId, ContainerId};
use crate::lane::Lane;
use crate::retry::refused_delay;
use crate::spool::{Covered, Spooled, Unspooled};

impl Outbox {
    /// Batches of an earlier run that the spool has: older than all others.
    pub fn adopt(&mut self, spooled: &[Spooled]) {
        for found in spooled {
            self.next = self.next.max(found.batch.0 + 1);
            let containers = found.containers.clone();
            let sealed = Sealed {
                pieces: VecDeque::new(),
                spooled: true,
                bytes: found.bytes,
                ..Sealed::new(Vec::new(), found.entries, Lane::Bulk, containers)
            };
            self.sealed.insert(found.batch, sealed);
        }
    }

    /// The oldest batch in memory that is `wanted` in the spool; one at a time. `covered` says what
    /// of its containers' logs it holds.
    pub fn spool(
        &mut self,
        wanted: impl Fn(&[ContainerId]) -> bool,
        covered: impl Fn(BatchId, &[ContainerId]) -> Vec<Covered>,
    ) -> Option<Action> {
        if self.sealed.values().any(|it| it.busy == Busy::Spooling) {
            return None;
        }
        let wanted = |sealed: &Sealed| {
            sealed.busy == Busy::No && !sealed.spooled && wanted(&sealed.containers)
        };
        let (&batch, sealed) = self.sealed.iter_mut().find(|(_, sealed)| wanted(sealed))?;
        sealed.busy = Busy::Spooling;
        Some(Action::Spool {
            batch,
            containers: sealed.containers.clone(),
            covered: covered(batch, &sealed.containers),
            bodies: sealed.pieces.iter().cloned().collect(),
        })
    }

    /// The spool has a batch, or not: whose lines are safe now.
    pub fn spooled(&mut self, batch: BatchId, stored: bool) -> Vec<ContainerId> {
        let Some(sealed) = self.sealed.get_mut(&batch) else {
            return Vec::new();
        };
        if sealed.busy != Busy::Spooling {
            return Vec::new();
        }
        sealed.busy = Busy::No;
        if !stored {
            return Vec::new();
        }
        sealed.spooled = true;
        sealed.lane = Lane::Bulk;
        sealed.pieces.clear();
        sealed.containers.clone()
    }

    /// What was found of a batch in the spool.
    pub fn unspooled(&mut self, now: Duration, batch: BatchId, found: Unspooled) -> Sent {
        let Some(sealed) = self.sealed.get_mut(&batch) else {
            return Sent::Open;
        };
        if sealed.busy != Busy::Unspooling {
            return Sent::Open;
        }
        sealed.busy = Busy::No;
        match found {
            Unspooled::Found(bodies) if !bodies.is_empty() => sealed.pieces = bodies.into(),
            Unspooled::Unreadable => sealed.not_before = now + refused_delay(1),
            Unspooled::Found(_) => return self.damaged(batch, Vec::new()),
            Unspooled::Damaged(covered) => return self.damaged(batch, covered),
        }
        Sent::Open
    }

    fn damaged(&mut self, batch: BatchId, covered: Vec<Covered>) -> Sent {
        match self.sealed.remove(&batch) {
            Some(sealed) => Sent::Damaged(Damaged {
                entries: sealed.entries,
                containers: sealed.containers,
                covered,
            }),
            None => Sent::Open,
        }
    }

    /// There is room for a batch from the spool. One is always let in, or nothing would go on when
    /// the memory is full.
    pub(super) fn may_unspool(&self, sealed: &Sealed) -> bool {
        let in_memory = |it: &Sealed| it.spooled && !it.pieces.is_empty();
        let alone = !self.sealed.values().any(in_memory);
        let fits = || self.memory_bytes() + sealed.bytes <= self.memory_bytes_max;
        !self.is_unspooling() && (alone || fits())
    }

    /// Asks for the bodies of the batch whose turn it is.
    pub(super) fn unspool(&mut self, batch: BatchId) -> Action {
        if let Some(sealed) = self.sealed.get_mut(&batch) {
            sealed.busy = Busy::Unspooling;
        }
        Action::Unspool(batch)
    }

    /// A batch is being read from the spool.
    pub(super) fn is_unspooling(&self) -> bool {
        let mut sealed = self.sealed.values();
        sealed.any(|sealed| sealed.busy == Busy::Unspooling)
    }

    /// Lines of this container are in the spool: newer ones go behind them.
    pub fn has_spooled(&self, container: ContainerId) -> bool {
        let mut spooled = self.sealed.values().filter(|sealed| sealed.spooled);
        spooled.any(|sealed| sealed.containers.contains(&container))
    }
}
