//! Batches in the spool: those that an earlier run left, and those that it did not keep.

use std::collections::BTreeSet;

use super::Pipeline;
use crate::event::{Action, BatchId, Notice, Now, SaveId};
use crate::outbox::{Damaged, Sent};
use crate::spool::{Covered, Spooled, Unspooled, unknown};
use crate::{ContainerId, Loss};

impl Pipeline {
    /// Takes over what an earlier run left in the spool, before anything else happens.
    pub fn adopt(&mut self, spooled: &[Spooled]) {
        self.outbox.adopt(spooled);
    }

    /// What all that is in the spool holds is shipped, though the run that spooled it may have been
    /// killed before a checkpoint said so. Also of batches that another pipeline sends.
    pub fn cover(&mut self, spooled: &[Spooled]) {
        let covered: Vec<&Covered> = spooled.iter().flat_map(|it| &it.covered).collect();
        // One may lead on to another whatever their numbers.
        loop {
            let mut leads = false;
            for covered in &covered {
                let id = ContainerId::from_hex(&covered.container);
                let follow = id.and_then(|id| self.follows.get_mut(&id));
                leads |= follow.is_some_and(|follow| follow.cover(covered));
            }
            if !leads {
                return;
            }
            self.saver.touch();
        }
    }

    pub(super) fn unspooled(&mut self, now: Now, batch: BatchId, found: Unspooled) {
        let sent = self.outbox.unspooled(now.mono, batch, found);
        if let Sent::Damaged(damaged) = sent {
            self.tell_damaged(now, batch, damaged);
        }
    }

    /// Losses of what counted as shipped: each with its marker, and kept aside once they are in the
    /// ledger.
    fn tell_damaged(&mut self, now: Now, batch: BatchId, damaged: Damaged) {
        let Damaged {
            entries,
            containers,
            covered,
        } = damaged;
        let told: BTreeSet<&str> = covered.iter().map(|it| it.container.as_str()).collect();
        let mut lost: Vec<Loss> = covered.iter().flat_map(Covered::losses).collect();
        for id in containers {
            if !told.contains(id.to_string().as_str()) {
                let follow = self.follows.get(&id);
                let name = follow.map(|follow| follow.tail.container.name.clone());
                lost.push(unknown(id, &name.unwrap_or_else(|| format!("{id:?}"))));
            }
        }
        let is_nameless = lost.is_empty();
        self.stats.losses += u64::from(is_nameless);
        self.stats.spool_lost_entries += u64::from(entries);
        for loss in &lost {
            self.mark_gaps(now, loss.container, std::slice::from_ref(loss));
        }
        self.report(lost.into_iter().map(Notice::Lost));
        self.report([Notice::SpoolDamaged {
            batch,
            entries,
            is_nameless,
        }]);
        self.saver.touch();
        self.damaged.push((self.saver.next(), batch));
    }

    /// A checkpoint is saved, and what was lost before is in the ledger.
    pub(super) fn set_damaged_aside(&mut self, saved: SaveId) {
        let (told, rest) = std::mem::take(&mut self.damaged)
            .into_iter()
            .partition(|(save, _)| *save <= saved);
        self.damaged = rest;
        let told: Vec<(SaveId, BatchId)> = told;
        let forget = |(_, batch)| Action::Forget(batch);
        self.actions.extend(told.into_iter().map(forget));
    }
}
