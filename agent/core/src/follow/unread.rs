//! Files that were listed and went before their first line was read: lost, as far as they were
//! seen.

use std::time::Duration;

use super::Follow;
use crate::chain::Change;
use crate::event::{Listed, Listing};
use crate::loss::{Loss, LossReason};
use crate::stamp::Time;

/// Most files of one container that are remembered: more than any engine keeps.
const UNREAD_MAX: usize = 1_024;

/// How long a line may lie in dockerd's buffer before it is written. In doubt a file is told as
/// lost, perhaps, though a copy of it is read; not the other way round.
const BUFFERED_MAX: Duration = Duration::from_secs(5);

fn is_same(left: &Listed, right: &Listed) -> bool {
    (left.device, left.inode, left.born) == (right.device, right.inode, right.born)
}

/// A compressed file with this first time may be what became of a plain one: its first line was
/// written before the plain file was last changed, and not long before that was made.
fn may_be_copy(first: &Time, plain: &Listed) -> bool {
    let Some(first) = first.since_epoch() else {
        return true;
    };
    let made = plain.born.saturating_sub(BUFFERED_MAX);
    (made..=plain.modified).contains(&first)
}

impl Follow {
    /// These files are listed, and their first lines are not read.
    pub(super) fn note_unread(&mut self, files: &[Listed]) {
        for file in files {
            let room = self.unread.len() < UNREAD_MAX;
            match self.unread.iter_mut().find(|known| is_same(known, file)) {
                Some(known) if known.size <= file.size => *known = *file,
                // It is cut off; the look that shows that is told of it.
                Some(_) => {}
                None if room => self.unread.push(*file),
                None => {}
            }
        }
    }

    /// A listing is passed over for a newer one.
    pub(super) fn note_skipped(&mut self, listing: &Listing) {
        let is_unread = |file: &&Listed| file.size > 0 && !file.compressed && !file.held;
        let files: Vec<Listed> = listing.files.iter().filter(is_unread).copied().collect();
        self.note_unread(&files);
    }

    /// First times of compressed files that were never seen before: a plain file that is gone may
    /// live on in one. `None` while it is not known of each what it is.
    pub(super) fn new_copies(
        &self,
        change: &Change,
        identified: &[Listed],
        all: &[Listed],
    ) -> Option<Vec<Time>> {
        let is_known = |file: &Listed| identified.iter().any(|other| is_same(other, file));
        if all.iter().any(|file| file.compressed && !is_known(file)) {
            return None;
        }
        let found = change
            .found
            .iter()
            .filter_map(|&key| self.tail.chain.get(key));
        let copies = found.filter(|g| g.listed.is_some_and(|file| file.compressed));
        Some(copies.map(|g| g.fingerprint.time).collect())
    }

    /// What a look at the folder says of the files that are not read: some are identified now,
    /// some are gone for good. `copies` as [`Follow::new_copies`] counts them.
    pub(super) fn miss_unread(
        &mut self,
        all: &[Listed],
        identified: &[Listed],
        copies: Option<Vec<Time>>,
    ) -> Vec<Loss> {
        let Some(mut copies) = copies else {
            return Vec::new();
        };
        let mut lost = Vec::new();
        let mut kept = Vec::new();
        // The oldest files go first: what copies there are, are of the newest.
        for file in std::mem::take(&mut self.unread).into_iter().rev() {
            let there = all.iter().find(|other| is_same(other, &file));
            match there {
                Some(there) if there.size < file.size => {
                    lost.extend(self.lose_unread(&file, LossReason::Truncated, true));
                }
                Some(there) if identified.contains(there) => {}
                Some(_) => kept.push(file),
                None => {
                    if let Some(at) = copies.iter().position(|copy| may_be_copy(copy, &file)) {
                        copies.swap_remove(at);
                        continue;
                    }
                    let removed = self.tail.container.removed;
                    let reason = match removed {
                        _ if self.evicted.contains(&file.handle) => LossReason::Evicted,
                        true => LossReason::Removed,
                        false => LossReason::RotatedAway,
                    };
                    lost.extend(self.lose_unread(&file, reason, true));
                }
            }
        }
        kept.reverse();
        lost.reverse();
        self.unread = kept;
        self.evicted.retain(|handle| {
            let mut waiting = self.strays.iter().map(|stray| stray.file);
            waiting.any(|file| file.handle == *handle)
        });
        lost
    }

    /// Files that were cut off before they were read.
    pub(super) fn lose_cut(&mut self) -> Vec<Loss> {
        let cut = std::mem::take(&mut self.cut).into_iter();
        cut.filter_map(|file| self.lose_unread(&file, LossReason::Truncated, false))
            .collect()
    }

    /// Loses it, unless it is the file of a generation that is known: then that one is lost, as
    /// far as this one was seen. `looked`: what is in its inode now, the chain has listed.
    fn lose_unread(&mut self, file: &Listed, reason: LossReason, looked: bool) -> Option<Loss> {
        if let Some(generation) = self.tail.chain.by_inode(file, looked) {
            if !generation.finished {
                generation.size = generation.size.max(file.size);
                generation.sure_size = generation.sure_size.max(file.size);
                generation.sealed |= file.position > 0;
            }
            return None;
        }
        let key = self.tail.chain.append_unread(file);
        let mut loss = self.lose(key, reason)?;
        // Its lines may have arrived out of a copy that was not known for one.
        let copied = [LossReason::RotatedAway, LossReason::Truncated].contains(&loss.reason);
        loss.bound.may_be_less |= copied;
        Some(loss)
    }
}
