//! While the service does not take them, lines that are about to be lost are read before all
//! others, and spooled.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Pipeline;
use crate::event::{Action, BatchId, ContainerId, Now};
use crate::follow::Follow;
use crate::lane::Lane;
use crate::planted::Bug;
use crate::spool::SPOOL_AGE;

impl Pipeline {
    /// Sees who is in need, now and then, and asks for the next batch to be spooled.
    pub(super) fn rescue(&mut self, now: Now) -> Option<Action> {
        let idle = self.outbox.is_empty() && !self.is_full(Lane::Bulk) && !self.draining;
        if idle {
            if !self.rescue.is_empty() {
                self.rescue.look(now.mono, BTreeSet::new());
            }
            return None;
        }
        if self.rescue.is_due(now.mono) {
            let leaving = self.draining;
            let in_need = self.follows.iter_mut();
            let in_need = in_need.filter_map(|(&id, follow)| {
                let needy = follow.is_in_need(now.mono, leaving);
                needy.then_some(id)
            });
            let in_need: BTreeSet<ContainerId> = in_need.collect();
            self.rescue.look(now.mono, in_need);
        }
        if self.rescue.is_empty() || !self.rescue.takes(now.mono) {
            return None;
        }
        self.seal_for_spool(now);
        // What can be sent is not spooled.
        if self.outbox.has_slot(Lane::Bulk) {
            return None;
        }
        let (rescue, follows) = (&self.rescue, &self.follows);
        let action = self.outbox.spool(
            |containers| rescue.wants(now.mono, containers),
            |batch, containers| {
                let of = |id| follows.get(id).and_then(|follow| follow.covered(batch));
                containers.iter().filter_map(of).collect()
            },
        )?;
        if Bug::SpoolEarly.is_planted()
            && let Action::Spool {
                batch, containers, ..
            } = &action
        {
            self.commit_batch(now.mono, *batch, containers);
        }
        Some(action)
    }

    /// A body that waits for a slot only grows; one with lines to be rescued does not wait long.
    fn seal_for_spool(&mut self, now: Now) {
        for lane in Lane::ALL {
            let open = &self.outbox.open[lane as usize];
            let waited = |since: Duration| self.draining || since + SPOOL_AGE <= now.mono;
            if open.batch.since().is_some_and(waited)
                && !self.outbox.has_slot(lane)
                && self.rescue.wants(now.mono, open.containers())
            {
                self.seal(lane);
            }
        }
    }

    /// Reads of those in need, whose turn it is.
    pub(super) fn read_in_need(&mut self, now: Now) -> bool {
        if self.over_budget() || !(self.draining || self.rescue.takes(now.mono)) {
            return false;
        }
        let saved = self.saver.last();
        let age = self.settings.join_age_max;
        let reads = |id: &ContainerId| {
            self.follows.get(id).is_some_and(|follow| {
                let join = follow.tail.join_deadline(age);
                (follow.reads_on_in_need() && follow.can_act(now.mono, saved))
                    || join.is_some_and(|at| at <= now.mono)
            })
        };
        let goes_on = |id| self.schedule.is_in_turn(id);
        let Some(id) = self.rescue.in_turn(goes_on).find(reads) else {
            return false;
        };
        self.rescue.helped(id);
        self.step(now, id);
        true
    }

    /// What is new is identified though memory is full: it may be what is lost next.
    pub(super) fn probe_new(&mut self, now: Now) -> bool {
        while let Some(id) = self.unidentified.pop_first() {
            let probes = |follow: &Follow| follow.probes(now.mono);
            if self.follows.get(&id).is_some_and(|follow| probes(follow)) {
                self.unidentified.insert(id);
                self.step(now, id);
                return true;
            }
        }
        false
    }

    pub(super) fn spooled(&mut self, now: Now, batch: BatchId, stored: bool) {
        let containers = self.outbox.spooled(batch, stored);
        match stored {
            // A kill before that would tell lines as lost that the spool has.
            true => {
                self.stats.spooled += 1;
                self.saver.hurry();
            }
            false => self.rescue.refused(now.mono),
        }
        self.commit_batch(now.mono, batch, &containers);
    }

    /// After [`crate::Event::Drain`]: nothing is in need any more that could still be helped.
    pub(super) fn is_rescued(&self) -> bool {
        let leaves = |follow: &Follow| {
            let mut generations = follow.tail.chain.generations().iter();
            generations.any(|g| g.is_nameless() && g.owes())
        };
        !self.follows.values().any(|follow| leaves(follow))
    }
}
