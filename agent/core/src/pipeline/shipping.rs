//! The shipping side: the open body, what is accepted, what that commits.

use std::time::Duration;

use super::Pipeline;
use crate::entry::Style;
use crate::event::{Action, BatchId, ContainerId, Now, Outcome};
use crate::follow::Follow;
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
        let follow = self.follows.get_mut(&id)?;
        let retention = self.settings.retention;
        let retention_cutoff = match retention.is_zero() || retention > now.wall {
            true => String::new(),
            false => stamp::from_wall(now.wall - retention),
        };
        let before = (self.outbox.open.entries(), follow.tail.join_bytes());
        let mut sink = Sink {
            batch: &mut self.outbox.open,
            batch_bytes_max: self.settings.batch_bytes_max,
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
        if self.outbox.open.entries() > before.0 {
            self.outbox.touch(id);
        }
        Some(result)
    }

    /// When the open body is due: its first line may have been written right behind the look
    /// before the one that found it.
    pub(super) fn seal_at(&self) -> Option<Duration> {
        let age = self.settings.batch_age_max;
        let age = age.saturating_sub(self.settings.poll_interval);
        self.outbox.open.since().map(|since| since + age)
    }

    pub(super) fn seal_by_age(&mut self, now: Duration) {
        let Some(due) = self.seal_at() else { return };
        // Files are looked at in rounds: what the round at hand finds goes along.
        let in_round = self.may_read()
            && self.schedule.is_ready(now)
            && now < due + self.settings.poll_interval;
        let due = self.draining || (due <= now && !in_round);
        // While nothing can be sent the body may as well grow.
        if due && self.outbox.has_slot() {
            self.seal();
        }
    }

    pub(super) fn seal(&mut self) {
        let Some((batch, containers)) = self.outbox.seal() else {
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
        let over = self.follows.get(&id).is_some_and(Follow::is_over);
        if over && !self.outbox.holds(id) {
            self.schedule.forget(id);
            self.follows.remove(&id);
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
        self.settle_batch(batch, sent);
    }

    pub(super) fn settle_batch(&mut self, batch: BatchId, sent: Sent) {
        let settled = match sent {
            Sent::Open => return,
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
        for id in settled.containers {
            if let Some(follow) = self.follows.get_mut(&id)
                && let Some(position) = follow.tail.inflight.ack(batch)
            {
                follow.tail.commit(position);
                self.saver.touch();
            }
            self.retire(id);
        }
    }
}
