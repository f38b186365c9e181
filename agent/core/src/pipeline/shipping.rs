//! The shipping side: the open body, what is accepted, what that commits.

use std::time::Duration;

use super::Pipeline;
use crate::entry::Style;
use crate::event::{Action, BatchId, ContainerId, Now, Outcome};
use crate::lane::{Lane, PROMPT_BYTES_MAX, prompt_memory};
use crate::outbox::Sent;
use crate::planted::Bug;
use crate::stamp;
use crate::tail::{Sink, Tail};

impl Pipeline {
    /// Lets a container write into the open body.
    pub(super) fn with_sink<T>(
        &mut self,
        now: Now,
        id: ContainerId,
        write: impl FnOnce(&mut Tail, &mut Sink<'_>) -> T,
    ) -> Option<T> {
        let retention_cutoff = self.retention_cutoff(now);
        let follow = self.follows.get_mut(&id)?;
        let lane = follow.lane;
        let batch_bytes_max = self.outbox.bytes_max(lane);
        let open = &mut self.outbox.open[lane as usize].batch;
        let before = (open.entries(), follow.tail.join_bytes());
        let mut sink = Sink {
            batch: open,
            batch_bytes_max,
            style: Style {
                nanoseconds: self.settings.nanoseconds,
                part_marks: self.settings.part_marks,
            },
            retention_cutoff: &retention_cutoff,
            start_cutoff: &self.state.start_cutoff,
            now: now.mono,
            wall: now.wall,
            stats: &mut self.stats,
        };
        let result = write(&mut follow.tail, &mut sink);
        self.join_bytes = self.join_bytes + follow.tail.join_bytes() - before.1;
        let open = &self.outbox.open[lane as usize];
        if open.batch.entries() > before.0 {
            let idle = follow.tail.inflight.is_empty() && !self.outbox.holds(id);
            if idle {
                follow.progressed(now.mono);
            }
            self.outbox.open[lane as usize].touch(id);
        }
        Some(result)
    }

    /// Lines before this the service drops; empty while that is not known.
    fn retention_cutoff(&self, now: Now) -> String {
        let retention = self.settings.retention;
        let time = self.clock.time(now).filter(|_| !retention.is_zero());
        let cutoff = time.and_then(|time| time.checked_sub(retention));
        cutoff.map_or_else(String::new, stamp::from_wall)
    }

    /// When the open body of a lane is due: its first line may have been written right behind the
    /// look before the one that found it.
    pub(super) fn seal_at(&self, lane: Lane) -> Option<Duration> {
        let age = self.settings.batch_age_max;
        let age = age.saturating_sub(self.settings.poll_interval);
        let since = self.outbox.open[lane as usize].batch.since();
        since.map(|since| since + age)
    }

    pub(super) fn seal_by_age(&mut self, now: Duration) {
        for lane in Lane::ALL {
            let Some(due) = self.seal_at(lane) else {
                continue;
            };
            // Files are looked at in rounds: what the round at hand finds goes along.
            let in_round = self.may_read(lane)
                && self.schedule.is_ready(now, lane)
                && now < due + self.settings.poll_interval;
            let due = self.draining || (due <= now && !in_round);
            // While nothing can be sent the body may as well grow.
            if due && self.outbox.has_slot(lane) {
                self.seal(lane);
            }
        }
    }

    /// Decides which way a container's lines go that has `bytes` more to be read now.
    pub(super) fn choose_lane(&mut self, id: ContainerId, bytes: u64) {
        let Some(follow) = self.follows.get_mut(&id) else {
            return;
        };
        if follow.lane == Lane::Bulk && (!follow.tail.inflight.is_empty() || self.outbox.holds(id))
        {
            return;
        }
        let prompt_max = prompt_memory(self.settings.memory_bytes_max);
        let is_prompt = !self.outbox.has_spooled(id)
            && follow.tail.under_way_bytes() + bytes <= PROMPT_BYTES_MAX
            && self.outbox.lane_bytes(Lane::Prompt) < prompt_max;
        let lane = match is_prompt {
            true => Lane::Prompt,
            false => Lane::Bulk,
        };
        if follow.lane != lane {
            follow.lane = lane;
            self.schedule.set_lane(id, lane);
            // A position covers all that was read: its lines must not stand in two open bodies.
            if self.outbox.open[Lane::Prompt as usize].holds(id) {
                self.seal(Lane::Prompt);
            }
        }
    }

    /// Closes the open body that the container writes into.
    pub(super) fn seal_of(&mut self, id: ContainerId) {
        if let Some(follow) = self.follows.get(&id) {
            self.seal(follow.lane);
        }
    }

    pub(super) fn seal(&mut self, lane: Lane) {
        let Some((batch, containers)) = self.outbox.seal(lane) else {
            return;
        };
        for id in containers {
            if let Some(follow) = self.follows.get_mut(&id) {
                let position = follow.tail.position();
                follow.tail.inflight.push(batch, position);
            }
        }
    }

    /// Bytes that led to no entry are committed with the newest batch, or at once.
    pub(super) fn advance(&mut self, id: ContainerId) {
        let Some(follow) = self.follows.get_mut(&id) else {
            return;
        };
        if !self.outbox.holds(id)
            && follow.tail.moved
            && let position = follow.tail.position()
            && let Some(position) = follow.tail.inflight.extend(position)
        {
            follow.tail.commit(position);
            self.saver.touch();
        }
    }

    pub(super) fn retire(&mut self, id: ContainerId) {
        let over = self.follows.get(&id).is_some_and(|follow| follow.is_over());
        if over && !self.outbox.holds(id) {
            self.schedule.forget(id);
            self.follows.remove(&id);
            self.unidentified.remove(&id);
            self.saver.touch();
        }
    }

    pub(super) fn sent(&mut self, now: Now, batch: BatchId, outcome: &Outcome) {
        match outcome {
            Outcome::Accepted => {}
            Outcome::Unavailable { .. } => self.stats.unavailable += 1,
            Outcome::Refused => self.stats.refused += 1,
            Outcome::Denied => self.stats.denied += 1,
        }
        let outcome = match outcome {
            Outcome::Unavailable { .. } if Bug::ForgetRetry.is_planted() => &Outcome::Accepted,
            outcome => outcome,
        };
        let sent = self.outbox.sent(now.mono, batch, outcome);
        self.settle_batch(now, batch, sent);
    }

    pub(super) fn settle_batch(&mut self, now: Now, batch: BatchId, sent: Sent) {
        let settled = match sent {
            Sent::Open | Sent::Damaged(_) => return,
            Sent::Unproved => return self.prove(now),
            Sent::Disproved => return self.actions.push_back(Action::Forget(batch)),
            Sent::Reject(body) => {
                self.actions.push_back(Action::Quarantine { batch, body });
                return;
            }
            Sent::Settled(settled) => settled,
        };
        self.stats.accepted_batches += 1;
        self.stats.accepted_entries += u64::from(settled.entries);
        self.stats.accepted_bytes += settled.bytes as u64;
        self.actions.push_back(Action::Forget(batch));
        self.commit_batch(now.mono, batch, &settled.containers);
    }

    /// The batch is accepted, in quarantine or in the spool.
    pub(super) fn commit_batch(
        &mut self,
        now: Duration,
        batch: BatchId,
        containers: &[ContainerId],
    ) {
        for &id in containers {
            if let Some(follow) = self.follows.get_mut(&id)
                && let Some(position) = follow.tail.inflight.ack(batch)
            {
                follow.tail.commit(position);
                follow.progressed(now);
                let behind = follow.tail.lag_bytes();
                self.saver.touch();
                self.choose_lane(id, behind);
            }
            self.retire(id);
        }
    }
}
