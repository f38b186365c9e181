//! Which container is looked at next: those with something to read share by bytes, the others wait
//! for their time.
//!
//! Fair queueing by bytes (start-time fair queueing: deficit round robin whose deficits are sorted
//! instead of gone round): next is who has had the fewest bytes, and whoever comes back after a
//! rest starts level with the others. A container that fills each read waits until all others had
//! as much; one with a line now and then is always next. A turn is several reads long where changing
//! costs: of a container that is behind, and more so at a compressed log, as the shell's few decoders
//! only go forward, and one that had to make room starts again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::event::ContainerId;
use crate::lane::Lane;

/// Times are rounded up to this, so that many containers are looked at after one waking.
pub const GRID: Duration = Duration::from_millis(20);
/// A look that finds little costs as much as reading this.
const LOOK_BYTES: u64 = 4 * 1024;
/// Uncompressed bytes of one turn at a compressed log: more than Docker's logs usually have, and
/// read in a fraction of a second.
const COMPRESSED_TURN_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of one turn of a container that is behind: what is kept of it from read to read (a line
/// that is being joined, above all) stays in the CPU's cache.
const BULK_TURN_BYTES: u64 = 1024 * 1024;

/// The bytes it has had when its turn comes, and a number that keeps equals in order.
type Turn = (u64, u64);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Nowhere,
    Ready(Turn),
    At(Duration),
}

#[derive(Debug, Default)]
struct Account {
    place: Place,
    lane: Lane,
    /// Bytes it has had, on the common scale.
    had: u64,
    /// The number of its turn.
    turn: u64,
    /// Bytes it has had in a turn that is not over.
    under_way: u64,
}

impl Account {
    fn end_turn(&mut self, level: u64) {
        self.had = self.had.max(level) + std::mem::take(&mut self.under_way);
    }
}

/// The queues and the timers.
#[derive(Debug, Default)]
pub struct Schedule {
    accounts: BTreeMap<ContainerId, Account>,
    ready: [BTreeSet<(Turn, ContainerId)>; 2],
    timers: BTreeSet<(Duration, ContainerId)>,
    /// What the one whose turn it was last had had.
    level: u64,
    turns: u64,
}

impl Schedule {
    /// It has something to do now.
    pub fn enqueue(&mut self, id: ContainerId) {
        let account = self.accounts.entry(id).or_default();
        if let Place::Ready(_) = account.place {
            return;
        }
        if let Place::At(at) = account.place {
            self.timers.remove(&(at, id));
        }
        if account.under_way == 0 {
            self.turns += 1;
            account.turn = self.turns;
            account.had = account.had.max(self.level);
        }
        let turn = (account.had, account.turn);
        account.place = Place::Ready(turn);
        self.ready[account.lane as usize].insert((turn, id));
    }

    /// It has nothing to do before `at`, or before an event.
    pub fn wait(&mut self, id: ContainerId, at: Option<Duration>) {
        self.withdraw(id);
        let account = self.accounts.entry(id).or_default();
        account.end_turn(self.level);
        if let Some(at) = at {
            let at = rounded_up(at);
            account.place = Place::At(at);
            self.timers.insert((at, id));
        }
    }

    /// It has been read, so many bytes.
    pub fn charge(&mut self, id: ContainerId, bytes: usize, compressed: bool) {
        let account = self.accounts.entry(id).or_default();
        account.under_way += (bytes as u64).max(LOOK_BYTES);
        let turn = match account.lane {
            _ if compressed => COMPRESSED_TURN_BYTES,
            Lane::Bulk => BULK_TURN_BYTES,
            Lane::Prompt => 0,
        };
        if account.under_way >= turn {
            account.end_turn(self.level);
        }
    }

    /// Its turn is not over.
    pub fn is_in_turn(&self, id: ContainerId) -> bool {
        self.under_way(id) > 0
    }

    fn under_way(&self, id: ContainerId) -> u64 {
        let account = self.accounts.get(&id);
        account.map_or(0, |account| account.under_way)
    }

    /// It goes this way from now on.
    pub fn set_lane(&mut self, id: ContainerId, lane: Lane) {
        let account = self.accounts.entry(id).or_default();
        if let Place::Ready(turn) = account.place {
            self.ready[account.lane as usize].remove(&(turn, id));
            self.ready[lane as usize].insert((turn, id));
        }
        account.lane = lane;
    }

    /// It is not to be looked at any more.
    pub fn forget(&mut self, id: ContainerId) {
        self.withdraw(id);
        self.accounts.remove(&id);
    }

    fn withdraw(&mut self, id: ContainerId) {
        let Some(account) = self.accounts.get_mut(&id) else {
            return;
        };
        match std::mem::take(&mut account.place) {
            Place::At(at) => {
                self.timers.remove(&(at, id));
            }
            Place::Ready(turn) => {
                self.ready[account.lane as usize].remove(&(turn, id));
            }
            Place::Nowhere => {}
        }
    }

    /// [`Schedule::next`] has one of this lane, or one whose time has come.
    pub fn is_ready(&self, now: Duration, lane: Lane) -> bool {
        !self.ready[lane as usize].is_empty() || self.deadline().is_some_and(|at| at <= now)
    }

    /// The next one to be looked at, among those of the prompt lane and, with `bulk`, the others.
    pub fn next(&mut self, now: Duration, bulk: bool) -> Option<ContainerId> {
        while let Some(&(at, id)) = self.timers.first()
            && at <= now
        {
            self.enqueue(id);
        }
        let [prompt, others] = [0, 1].map(|lane| self.ready[lane].first().copied());
        let others = others.filter(|_| bulk);
        let (turn, id) = match (prompt, others) {
            // A long turn keeps no line waiting that has little before it: what it has had counts.
            (Some(line), Some((turn, long)))
                if !self.is_in_turn(line.1) && line.0.0 <= turn.0 + self.under_way(long) =>
            {
                line
            }
            _ => [prompt, others].into_iter().flatten().min()?,
        };
        self.withdraw(id);
        self.level = self.level.max(turn.0);
        Some(id)
    }

    /// When the first timer goes off.
    pub fn deadline(&self) -> Option<Duration> {
        self.timers.first().map(|&(at, _)| at)
    }
}

fn rounded_up(at: Duration) -> Duration {
    let steps = at.as_nanos().div_ceil(GRID.as_nanos());
    // A monotonic clock does not run for 500 years.
    Duration::from_nanos(u64::try_from(steps * GRID.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn id(n: u8) -> ContainerId {
        ContainerId([n; 32])
    }

    /// Reads of each container when each always has so many bytes to read.
    fn reads(schedule: &mut Schedule, bytes: &[usize], turns: usize) -> Vec<usize> {
        let mut reads = vec![0; bytes.len()];
        for _ in 0..turns {
            let next = schedule.next(NOW, true).expect("one is ready");
            let n = usize::from(next.0[0]);
            reads[n] += 1;
            schedule.charge(next, bytes[n], false);
            schedule.enqueue(next);
        }
        reads
    }

    #[test]
    fn t64_containers_share_by_bytes_and_not_by_reads() {
        let mut schedule = Schedule::default();
        (0..3).for_each(|n| schedule.enqueue(id(n)));
        let bytes = [256 << 10, 64 << 10, 16 << 10];
        let reads = reads(&mut schedule, &bytes, 2_100);
        let had: Vec<usize> = reads
            .iter()
            .zip(bytes)
            .map(|(n, bytes)| n * bytes)
            .collect();
        for one in &had {
            assert!(one.abs_diff(had[0]) <= bytes[0], "{reads:?}");
        }
    }

    #[test]
    fn t64_who_rested_is_next_and_has_no_credit_for_the_rest() {
        let mut schedule = Schedule::default();
        (0..2).for_each(|n| schedule.enqueue(id(n)));
        schedule.wait(id(2), Some(Duration::from_secs(1)));
        reads(&mut schedule, &[1 << 20; 2], 1_000);
        schedule.enqueue(id(2));
        let bytes = [1 << 20; 3];
        assert_eq!(reads(&mut schedule, &bytes, 1), [0, 0, 1]);
        let next = reads(&mut schedule, &bytes, 300);
        assert!(next.iter().all(|&n| n.abs_diff(100) <= 1), "{next:?}");
        assert_eq!(schedule.deadline(), None);
    }

    #[test]
    fn a_turn_at_a_compressed_log_is_long_and_keeps_no_line_waiting() {
        let mut schedule = Schedule::default();
        for n in 0..2 {
            schedule.set_lane(id(n), Lane::Bulk);
            schedule.enqueue(id(n));
        }
        let mut reads = Vec::new();
        let chunk = 1 << 20;
        for read in 0..256 {
            let next = schedule.next(NOW, true).expect("one is ready");
            schedule.charge(next, chunk, true);
            schedule.enqueue(next);
            reads.push(next.0[0]);
            // One line after the other.
            if (70..90).contains(&read) {
                schedule.enqueue(id(2));
                assert_eq!(schedule.next(NOW, true), Some(id(2)));
                schedule.charge(id(2), 100, false);
                schedule.wait(id(2), None);
            }
        }
        let turns: Vec<_> = reads.chunk_by(|a, b| a == b).map(<[u8]>::len).collect();
        assert_eq!(turns, [64; 4]);
    }

    #[test]
    fn t64_while_there_is_no_memory_for_the_others_the_prompt_ones_are_read() {
        let mut schedule = Schedule::default();
        (0..3).for_each(|n| schedule.enqueue(id(n)));
        schedule.set_lane(id(0), Lane::Bulk);
        schedule.set_lane(id(1), Lane::Bulk);
        assert_eq!(schedule.next(NOW, false), Some(id(2)));
        assert_eq!(schedule.next(NOW, false), None);
        schedule.set_lane(id(1), Lane::Prompt);
        assert_eq!(schedule.next(NOW, false), Some(id(1)));
        assert_eq!(schedule.next(NOW, true), Some(id(0)));
        assert_eq!(schedule.next(NOW, true), None);
    }
}
