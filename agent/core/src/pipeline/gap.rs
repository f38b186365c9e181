//! Losses: told, and marked in the log that has the gap.

use super::Pipeline;
use crate::batch::Labels;
use crate::entry::IdPrefix;
use crate::event::{ContainerId, Notice, Now, SaveId};
use crate::follow::Follow;
use crate::loss::Loss;

impl Pipeline {
    /// Bytes of this container's log are lost: lines under way end here, a marker goes where the
    /// bytes were, and the loss is told. The position passes them with the batch that has the
    /// marker, so that after a kill they are found lost again.
    pub(super) fn tell_lost(&mut self, now: Now, id: ContainerId, lost: Vec<Loss>) {
        if lost.is_empty() {
            return;
        }
        self.break_off(now, id);
        self.mark_gaps(now, id, &lost);
        self.report(lost.into_iter().map(Notice::Lost));
    }

    /// Tells what of a chunk was passed over for its age.
    pub(super) fn report_expired(&mut self, id: ContainerId) {
        let expired = self.follows.get_mut(&id).map(|f| f.tail.take_expired());
        let expired = expired.unwrap_or_default().into_iter();
        self.report(expired.map(Notice::Lost));
    }

    /// A loss whose time has come to be in the ledger. Before that a checkpoint must have been
    /// saved that has it, or its marker be committed: else an agent that is killed between ledger
    /// and checkpoint would not find it lost again, and no marker would follow. A checkpoint that
    /// forgets a loss is saved after this gave it.
    pub(super) fn take_unrecorded(&mut self) -> Option<Loss> {
        let is_open = |loss: &Loss| {
            let follow = self.follows.get(&loss.container);
            let generations = follow.map_or(&[][..], |f| f.tail.chain.generations());
            let mut lost = generations.iter().filter(|g| g.id == loss.generation);
            lost.any(|g| g.loss.is_some_and(|loss| !loss.passed))
        };
        let saved = self.saver.last();
        let mut unrecorded = self.unrecorded.iter();
        let ripe = unrecorded.position(|(first, loss)| *first <= saved || !is_open(loss))?;
        Some(self.unrecorded.remove(ripe).1)
    }

    pub(super) fn mark_gaps(&mut self, now: Now, id: ContainerId, lost: &[Loss]) {
        let Some(follow) = self.follows.get(&id) else {
            return;
        };
        let name = &follow.tail.container.name;
        let labels = Labels::gap(&self.settings.source, &self.settings.type_prefix, name);
        let marks = self.settings.gap_markers;
        for loss in lost {
            let prefix = IdPrefix::new(id, loss.generation);
            while marks
                && self.with_sink(now, id, |tail, sink| {
                    tail.mark_gap(loss, prefix, &labels, sink)
                }) == Some(false)
            {
                self.seal_of(id);
            }
            if let Some(follow) = self.follows.get_mut(&id) {
                follow.tail.chain.set_marked(loss.generation);
            }
        }
    }

    /// A checkpoint is on disk: losses that it has may be recorded now.
    pub(super) fn saved(&mut self, id: SaveId) {
        self.stats.saves += 1;
        self.saver.saved(id);
        if !self.unrecorded.is_empty() {
            self.saver.touch();
        }
        self.set_damaged_aside(id);
        let gated = |follow: &Follow| follow.tail.chain.cursor().is_some_and(|g| g.gate.is_some());
        let waiting: Vec<_> = self
            .follows
            .iter()
            .filter(|(_, f)| gated(f))
            .map(|(&id, _)| id)
            .collect();
        waiting.into_iter().for_each(|id| self.schedule.enqueue(id));
    }
}
