//! Files that were listed and went before their first line was read: lost, as far as they were
//! seen.

use super::Follow;
use crate::chain::{Chain, Change};
use crate::event::{Listed, Listing};
use crate::generation::Generation;
use crate::identity::Candidate;
use crate::loss::{Loss, LossReason};

/// Most files of one container that are remembered: more than any engine keeps.
const UNREAD_MAX: usize = 1_024;

/// They have one inode, which was not made anew in between.
pub(super) fn is_same(left: &Listed, right: &Listed) -> bool {
    (left.device, left.inode, left.born) == (right.device, right.inode, right.born)
}

/// A file that was listed, and whose first line was not read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unread {
    file: Listed,
    /// The generations that one look showed right before and right behind it.
    beside: [Option<u64>; 2],
    /// An earlier run may have shipped some of it.
    is_old: bool,
}

impl Unread {
    /// A look shows it at this position.
    fn stand(&mut self, chain: &Chain, position: u32) {
        let at = |position: u32| {
            let is_there = |g: &&Generation| g.listed.is_some_and(|l| l.position == position);
            chain.generations().iter().find(is_there).map(|g| g.key)
        };
        self.beside = [at(position + 1), position.checked_sub(1).and_then(at)];
    }

    /// It lives on in this compressed file: that stands beside what it stood beside. When their
    /// first lines were printed does not tell, as lines may wait for long before they are written.
    fn is_in(&self, chain: &Chain, copy: u64) -> bool {
        let follows = |key: u64| chain.get(key).and_then(|g| g.follows);
        let [before, behind] = self.beside;
        (before.is_some() && follows(copy) == before)
            || behind.is_some_and(|behind| follows(behind) == Some(copy))
    }
}

impl Follow {
    /// Rotation gives its files other names, and truncates none.
    pub fn moves(&self) -> bool {
        self.tail.container.files_max > 1
    }

    /// Remembers the first lines that were read for a listing, and not of files that are known by
    /// their descriptors: those may have been truncated meanwhile. So may what has changed since it
    /// was listed, unless rotation moves files.
    pub(super) fn remember(&mut self, files: &mut [Candidate]) {
        for file in files.iter_mut().filter(|_| self.moves()) {
            file.sure_size = file.listed.size;
        }
        let is_sure = |file: &Candidate| file.sure_size == file.listed.size;
        let probed = files.iter().filter(|f| f.known.is_none() && is_sure(f));
        self.remembered = probed.map(|file| (file.listed, file.fingerprint)).collect();
        self.remembered.shrink_to_fit();
    }

    /// These files are listed, and their first lines are not read.
    pub(super) fn note_unread(&mut self, files: &[Listed]) {
        for &file in files {
            let room = self.unread.len() < UNREAD_MAX;
            let (beside, is_old) = ([None; 2], self.tail.chain.begins());
            match self.unread.iter_mut().find(|it| is_same(&it.file, &file)) {
                Some(known) if known.file.size <= file.size => known.file = file,
                // It is cut off; the look that shows that is told of it.
                Some(_) => {}
                None if room => self.unread.push(Unread {
                    file,
                    beside,
                    is_old,
                }),
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

    /// Compressed files that were never seen before: a plain file that is gone may live on in one.
    /// `None` while it is not known of each what it is.
    pub(super) fn new_copies(
        &self,
        change: &Change,
        identified: &[Listed],
        all: &[Listed],
    ) -> Option<Vec<u64>> {
        // Docker deletes a plain file once its copy is whole: a damaged one has nobody's bytes.
        let is_damaged = |file: &Listed| file.size == 0 || self.torn.contains(&file.handle);
        let is_known =
            |file: &Listed| is_damaged(file) || identified.iter().any(|other| is_same(other, file));
        if all.iter().any(|file| file.compressed && !is_known(file)) {
            return None;
        }
        let compressed = |g: &&Generation| g.listed.is_some_and(|file| file.compressed);
        let found = change.found.iter();
        let found = found.filter_map(|&key| self.tail.chain.get(key));
        Some(found.filter(compressed).map(|g| g.key).collect())
    }

    /// What a look at the folder says of the files that are not read: some are identified now,
    /// some are gone for good, if `copies` are known, as [`Follow::new_copies`] finds them.
    pub(super) fn miss_unread(
        &mut self,
        all: &[Listed],
        identified: &[Listed],
        copies: Option<&[u64]>,
    ) -> Vec<Loss> {
        let mut lost = Vec::new();
        let mut kept = Vec::new();
        for mut unread in std::mem::take(&mut self.unread) {
            let file = unread.file;
            let there = all.iter().find(|other| is_same(other, &file));
            match there {
                Some(there) if there.size < file.size => {
                    lost.extend(self.lose_unread(&file, LossReason::Truncated, true));
                }
                Some(there) if identified.contains(there) => {}
                Some(there) => {
                    if copies.is_some() {
                        unread.stand(&self.tail.chain, there.position);
                    }
                    kept.push(unread);
                }
                None if copies.is_none() => kept.push(unread),
                None if copies
                    .unwrap_or_default()
                    .iter()
                    .any(|&copy| unread.is_in(&self.tail.chain, copy)) => {}
                None => {
                    let reason = match self.tail.container.removed {
                        _ if self.evicted.contains(&file.handle) => LossReason::Evicted,
                        true => LossReason::Removed,
                        false => LossReason::RotatedAway,
                    };
                    let mut loss = self.lose_unread(&file, reason, true);
                    if let Some(loss) = &mut loss {
                        loss.bound.may_be_less |= unread.is_old;
                    }
                    lost.extend(loss);
                }
            }
        }
        self.unread = kept;
        self.evicted.retain(|handle| {
            let strays = self.strays.iter().map(|stray| stray.file);
            let mut waiting = strays.chain(self.unread.iter().map(|unread| unread.file));
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
        // What is truncated in place may be another file, or the same one, grown: told as one of
        // its own it is not counted as the loss of another.
        let moves = self.moves() || file.position > 0;
        let state = |file: Listed| (file.size, file.modified);
        let is_it = |g: &Generation| moves || g.evidence.map(state) == Some(state(*file));
        let is_here = |g: &&Generation| {
            let here = g.evidence.filter(|_| !g.replaced);
            here.is_some_and(|it| is_same(&it, file))
        };
        let here = self.tail.chain.generations().iter().filter(is_here);
        let read = here.map(|g| g.read).max();
        if moves && read >= Some(file.size) {
            return None;
        }
        let may_be_known = read.is_some();
        let known = self.tail.chain.by_inode(file, looked);
        if let Some(generation) = known.filter(|g| is_it(g)) {
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
        loss.bound.may_be_less |= copied || self.compresses || may_be_known;
        Some(loss)
    }
}
