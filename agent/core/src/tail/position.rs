//! How far a log is read, as a place to resume from, and how far it is committed.

use super::Tail;
use crate::docker::Stream;
use crate::generation::Generation;
use crate::inflight::Position;
use crate::planted::Bug;

impl Tail {
    /// Everything read so far, as a place to resume from: where a line is held, its stream resumes
    /// at the piece with the first byte that is not in a batch.
    pub fn position(&mut self) -> Position {
        self.moved = false;
        let held = [0, 1].map(|slot| {
            self.groups[slot]
                .as_ref()
                .and_then(|group| group.held_from())
        });
        let mut behind = [false; 2];
        let mut marks = Vec::with_capacity(self.chain.generations().len());
        for generation in self.chain.generations() {
            let offset = |slot: usize| match held[slot] {
                Some((key, offset)) if key == generation.key => offset,
                _ if behind[slot] => 0,
                _ => generation.read,
            };
            let mut offsets = [0, 1].map(|slot| offset(slot).max(generation.skip[slot]));
            if Bug::OneOffset.is_planted() {
                offsets = [offsets[0].max(offsets[1]); 2];
            }
            if Bug::CommitInsideGroup.is_planted() {
                offsets = [generation.read.max(offsets[0].max(offsets[1])); 2];
            }
            for slot in 0..2 {
                behind[slot] |= held[slot].is_some_and(|(key, _)| key == generation.key);
            }
            marks.push((generation.key, offsets));
        }
        let mark = |slot: usize| {
            let open = self.groups[slot].as_ref().and_then(|group| group.mark());
            open.or_else(|| self.resumed[slot].clone())
        };
        let groups = [mark(0), mark(1)];
        let lost = |g: &&Generation| g.loss.is_some_and(|loss| loss.marked && !loss.passed);
        let generations = self.chain.generations().iter();
        Position {
            marks,
            times: self.times(),
            passed: generations.filter(lost).map(|g| g.key).collect(),
            groups,
            last_time: self.last_time.clone(),
            read_bytes: self.read_bytes,
        }
    }

    /// The time of the last line of each file that goes on, or of which that is not committed yet.
    fn times(&self) -> Vec<(u64, Vec<u8>)> {
        let generations = self.chain.generations().iter();
        let is_settled = |g: &&Generation| g.finished && g.committed == [g.read; 2];
        let open = generations.filter(|g| g.read > 0 && !is_settled(g));
        open.map(|g| match self.is_at(g.key) {
            true => (g.key, self.last_time.clone()),
            false => (g.key, g.last_time.clone()),
        })
        .collect()
    }

    /// See [`crate::Pipeline::audit`].
    pub(crate) fn audit(&self) -> Result<(), String> {
        for generation in self.chain.generations() {
            for stream in Stream::ALL {
                let slot = stream as usize;
                let (committed, skip) = (generation.committed[slot], generation.skip[slot]);
                if committed > generation.read.max(skip) {
                    return Err(format!("{stream:?} is committed unread: {generation:?}"));
                }
                let held = self.groups[slot]
                    .as_ref()
                    .and_then(|group| group.held_from());
                if held.is_some_and(|(key, from)| key == generation.key && from < committed) {
                    return Err(format!("{stream:?} is committed and held: {generation:?}"));
                }
            }
        }
        Ok(())
    }

    /// Takes a position as committed.
    pub fn commit(&mut self, position: Position) {
        for (key, offsets) in position.marks {
            if let Some(generation) = self.chain.get_mut(key) {
                generation.committed = offsets;
            }
        }
        for (key, time) in position.times {
            if let Some(generation) = self.chain.get_mut(key) {
                generation.committed_time = time;
            }
        }
        for key in position.passed {
            if let Some(loss) = self.chain.get_mut(key).and_then(|g| g.loss.as_mut()) {
                loss.passed = true;
            }
        }
        self.committed_groups = position.groups;
        self.committed_time = position.last_time;
        self.committed_bytes = position.read_bytes;
    }
}
