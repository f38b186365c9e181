//! How far a container's log is shipped: the committed position follows the oldest batch that is
//! not yet acknowledged, so a late acknowledgement never moves it past a hole.

use std::collections::VecDeque;

use crate::entry::GenerationId;
use crate::event::BatchId;
use crate::planted::Bug;

/// A line of several pieces, as far as its parts are shipped.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GroupMark {
    /// Generation in which the line began.
    pub generation: GenerationId,
    /// Offset of its first piece there.
    pub offset: u64,
    /// The time that all its pieces carry.
    pub time: String,
    /// Decoded bytes of the line that are shipped.
    pub next_start: u64,
    /// Parts that are shipped.
    pub index: u32,
    /// Where the piece at the stream's committed offset starts in the decoded line.
    pub piece_start: u64,
}

/// A place in a container's log up to which everything is in batches or dropped with a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Generation key, and the offset of each stream in it; generations not named are unchanged.
    pub marks: Vec<(u64, [u64; 2])>,
    /// Generation key, and the time of the last line read of it.
    pub times: Vec<(u64, Vec<u8>)>,
    /// Generations whose lost bytes are passed: their markers are in batches.
    pub passed: Vec<u64>,
    /// The open line of each stream.
    pub groups: [Option<GroupMark>; 2],
    /// Time of the last line.
    pub last_time: Vec<u8>,
    /// [`crate::tail::Tail::read_bytes`] up to there.
    pub read_bytes: u64,
}

impl Position {
    /// Goes on to `later`.
    pub fn advance(&mut self, later: Self) {
        for (key, offsets) in later.marks {
            match self.marks.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => *known = offsets,
                None => self.marks.push((key, offsets)),
            }
        }
        for (key, time) in later.times {
            match self.times.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => *known = time,
                None => self.times.push((key, time)),
            }
        }
        for key in later.passed {
            if !self.passed.contains(&key) {
                self.passed.push(key);
            }
        }
        self.groups = later.groups;
        self.last_time = later.last_time;
        self.read_bytes = later.read_bytes;
    }
}

#[derive(Debug)]
struct Pending {
    batch: BatchId,
    acked: bool,
    position: Position,
}

/// The batches that hold a container's entries, oldest first.
#[derive(Debug, Default)]
pub struct InFlight {
    queue: VecDeque<Pending>,
}

impl InFlight {
    /// Once `batch` and all before it are acknowledged, `position` is committed.
    pub fn push(&mut self, batch: BatchId, position: Position) {
        self.queue.push_back(Pending {
            batch,
            acked: false,
            position,
        });
    }

    /// Nothing was put in a batch since the newest one, and the log is read up to `position`.
    /// Gives it back when no batch is under way, so it is committed now.
    pub fn extend(&mut self, position: Position) -> Option<Position> {
        match self.queue.back_mut() {
            Some(newest) => {
                newest.position.advance(position);
                None
            }
            None => Some(position),
        }
    }

    /// The batch is accepted: what is committed by that, if anything.
    pub fn ack(&mut self, batch: BatchId) -> Option<Position> {
        if let Some(pending) = self.queue.iter_mut().find(|pending| pending.batch == batch) {
            pending.acked = true;
        }
        let mut committed: Option<Position> = None;
        if Bug::CommitPastHole.is_planted()
            && let Some(at) = self.queue.iter().position(|pending| pending.batch == batch)
        {
            return self.queue.remove(at).map(|pending| pending.position);
        }
        while self.queue.front().is_some_and(|oldest| oldest.acked) {
            let Some(oldest) = self.queue.pop_front() else {
                break;
            };
            match &mut committed {
                Some(position) => position.advance(oldest.position),
                None => committed = Some(oldest.position),
            }
        }
        if self.queue.is_empty() {
            // Thousands of quiet containers need no room for batches.
            self.queue = VecDeque::new();
        }
        committed
    }

    /// Where a batch of this container begins and ends, and whether all batches in front of it are
    /// acknowledged. It begins where the one in front of it ends, or at what is committed.
    pub fn around(&self, batch: BatchId) -> Option<(Option<&Position>, &Position, bool)> {
        let at = self.queue.iter().position(|it| it.batch == batch)?;
        let before = at.checked_sub(1).map(|before| &self.queue[before].position);
        let is_first = self.queue.range(..at).all(|it| it.acked);
        Some((before, &self.queue[at].position, is_first))
    }

    /// No batch holds entries of this container.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Position {
        Position {
            marks: vec![(1, [offset; 2])],
            ..Position::default()
        }
    }

    #[test]
    fn a_late_ack_does_not_pass_a_hole() {
        let mut inflight = InFlight::default();
        for n in 1..=3 {
            inflight.push(BatchId(n), at(n * 10));
        }
        assert_eq!(inflight.ack(BatchId(2)), None);
        assert_eq!(inflight.ack(BatchId(1)), Some(at(20)));
        assert_eq!(inflight.extend(at(35)), None);
        assert_eq!(inflight.ack(BatchId(3)), Some(at(35)));
        assert_eq!(inflight.extend(at(40)), Some(at(40)));
    }
}
