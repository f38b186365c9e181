//! Losses: told, and marked in the log that has the gap.

use super::Pipeline;
use crate::batch::Labels;
use crate::entry::IdPrefix;
use crate::event::{ContainerId, Notice, Now};
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
}
