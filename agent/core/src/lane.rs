//! Two ways through the agent, so that a container which is behind does not delay those that are
//! not: what is read of it fills memory and requests, and their few lines would wait behind it.
//!
//! A container with little under way has bodies of its own kind ([`Lane::Prompt`]): there is
//! memory kept for them, a request, and a share of the rate. Neither lane can keep the other from
//! being sent: while both have something to send they take turns by bytes.

use std::time::Duration;

use crate::limits::BATCH_BYTES_MIN;

/// The way that a container's lines go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lane {
    /// Of a container with little under way: its lines are there soon.
    #[default]
    Prompt,
    /// Of one that has read more than [`PROMPT_BYTES_MAX`] that is not accepted yet.
    Bulk,
}

impl Lane {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Prompt, Self::Bulk];
}

/// A container with more log bytes than this under way is in no hurry: half of one read, so that
/// whoever fills a read is not.
pub const PROMPT_BYTES_MAX: u64 = crate::limits::CHUNK_BYTES as u64 / 2;
/// Memory of the prompt lane at most: at 1 MB a second it is sent within a second.
const PROMPT_MEMORY_MAX: usize = 1024 * 1024;

/// Memory of `memory_bytes_max` that is for the prompt lane alone.
pub fn prompt_memory(memory_bytes_max: usize) -> usize {
    (memory_bytes_max / 8).clamp(BATCH_BYTES_MIN, PROMPT_MEMORY_MAX)
}

/// Whose turn it is to send.
#[derive(Debug)]
pub struct Turns {
    /// Bytes sent, by lane; a lane that had nothing to send has no credit for it.
    sent: [u64; 2],
    in_flight: [usize; 2],
    in_flight_max: usize,
}

impl Turns {
    /// Nothing is on its way; at most so many requests at once.
    pub fn new(in_flight_max: usize) -> Self {
        Self {
            sent: [0; 2],
            in_flight: [0; 2],
            in_flight_max: in_flight_max.max(1),
        }
    }

    /// Requests under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.iter().sum()
    }

    /// One more request of this lane may be under way: of several, one is kept for prompt bodies.
    pub fn has_slot(&self, lane: Lane) -> bool {
        let bulk_max = (self.in_flight_max - 1).max(1);
        self.in_flight() < self.in_flight_max
            && (lane == Lane::Prompt || self.in_flight[lane as usize] < bulk_max)
    }

    /// The lanes, the one whose turn it is first.
    pub fn order(&self) -> [Lane; 2] {
        let [prompt, bulk] = self.sent;
        match prompt <= bulk {
            true => [Lane::Prompt, Lane::Bulk],
            false => [Lane::Bulk, Lane::Prompt],
        }
    }

    /// The lane had nothing to send, and now has.
    pub fn join(&mut self, lane: Lane) {
        let least = self.sent.into_iter().max().unwrap_or_default();
        self.sent[lane as usize] = least;
    }

    /// A request begins.
    pub fn begin(&mut self, lane: Lane, bytes: usize) {
        self.in_flight[lane as usize] += 1;
        self.sent[lane as usize] += bytes as u64;
    }

    /// A request has ended.
    pub fn end(&mut self, lane: Lane) {
        self.in_flight[lane as usize] -= 1;
    }
}

/// A token bucket over body bytes; it may go into debt by one body. Prompt bodies do not wait for
/// the debt of others, but take at most half of the rate that way.
#[derive(Debug)]
pub struct Rate {
    per_second: u64,
    free_at: Duration,
    prompt_free_at: Duration,
}

impl Rate {
    /// So many bytes a second; 0: as many as there are.
    pub fn new(per_second: u64) -> Self {
        Self {
            per_second,
            free_at: Duration::ZERO,
            prompt_free_at: Duration::ZERO,
        }
    }

    /// When a body of this lane may be sent.
    pub fn free_at(&self, lane: Lane) -> Duration {
        match lane {
            Lane::Prompt => self.free_at.min(self.prompt_free_at),
            Lane::Bulk => self.free_at,
        }
    }

    /// So many bytes are sent.
    pub fn take(&mut self, now: Duration, lane: Lane, bytes: usize) {
        if self.per_second == 0 {
            return;
        }
        let cost = Duration::from_secs_f64(bytes as f64 / self.per_second as f64);
        self.free_at = self.free_at.max(now) + cost;
        if lane == Lane::Prompt {
            self.prompt_free_at = self.prompt_free_at.max(now) + 2 * cost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t64_lanes_that_both_have_much_to_send_share_by_bytes() {
        let mut turns = Turns::new(1);
        turns.join(Lane::Prompt);
        turns.join(Lane::Bulk);
        let mut sent = [0, 0];
        for _ in 0..1_000 {
            let [lane, _] = turns.order();
            let bytes = [100_000, 4_000_000][lane as usize];
            turns.begin(lane, bytes);
            turns.end(lane);
            sent[lane as usize] += bytes;
        }
        assert!(sent[0].abs_diff(sent[1]) <= 4_000_000, "{sent:?}");
    }

    #[test]
    fn t64_of_several_requests_one_is_kept_for_prompt_bodies() {
        let mut turns = Turns::new(3);
        turns.begin(Lane::Bulk, 1);
        assert!(turns.has_slot(Lane::Bulk));
        turns.begin(Lane::Bulk, 1);
        assert!(!turns.has_slot(Lane::Bulk) && turns.has_slot(Lane::Prompt));
        turns.begin(Lane::Prompt, 1);
        assert!(!turns.has_slot(Lane::Prompt));
        assert!(
            Turns::new(1).has_slot(Lane::Bulk),
            "the only request there is"
        );
    }

    #[test]
    fn t64_prompt_bodies_do_not_wait_for_the_debt_of_a_large_one_and_keep_to_half_of_the_rate() {
        let mut rate = Rate::new(1_000_000);
        let mut now = Duration::ZERO;
        rate.take(now, Lane::Bulk, 4_000_000);
        assert_eq!(rate.free_at(Lane::Bulk), Duration::from_secs(4));
        assert_eq!(rate.free_at(Lane::Prompt), now);
        let mut sent = 0;
        while now < Duration::from_secs(3) {
            rate.take(now, Lane::Prompt, 10_000);
            sent += 10_000;
            now = rate.free_at(Lane::Prompt);
        }
        assert_eq!(sent, 1_500_000);
        assert_eq!(rate.free_at(Lane::Bulk), Duration::from_millis(5_500));
    }
}
