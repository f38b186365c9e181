//! Files that the shell holds and the chain does not know yet: they may lose their names before
//! their first line is seen, and are read all the same.

use super::unread::is_same;
use super::{Follow, Settled, Stray};
use crate::event::{FileHandle, Listed, Listing, SaveId};
use crate::generation::Generation;
use crate::probe::{Identified, Probe};

impl Stray {
    /// As far as a listing showed it.
    pub(super) fn unread(self) -> Listed {
        Listed {
            size: self.unread,
            ..self.file
        }
    }
}

impl Follow {
    /// Takes a listing; it is put off while files are being probed.
    pub fn list(&mut self, listing: Listing) {
        self.note(&listing);
        self.compresses |= listing.files.iter().any(|file| file.compressed);
        if self.probe.is_some() {
            if let Some(skipped) = self.next.replace(Box::new(listing)) {
                self.note_skipped(&skipped);
            }
            return;
        }
        let is_listed = |stray: &&Stray| {
            let handle = stray.file.handle;
            listing.files.iter().any(|file| file.handle == handle)
        };
        match self.strays.iter().find(|stray| !is_listed(stray)) {
            Some(stray) => {
                // It lost its name before its first line was seen, and is older than whatever
                // else the chain does not know yet.
                self.probe = Some(Probe::again(Listed {
                    position: stray.file.position.max(1),
                    ..stray.unread()
                }));
                self.next = Some(Box::new(listing));
            }
            None => self.start_probe(listing),
        }
    }

    /// Remembers the files of a listing that the shell holds and the chain does not know.
    fn note(&mut self, listing: &Listing) {
        let mut files: Vec<&Listed> = listing.files.iter().collect();
        files.sort_by_key(|file| std::cmp::Reverse(file.position));
        for &file in files {
            self.part_from_stray(&file);
            match self
                .strays
                .iter_mut()
                .find(|stray| stray.file.handle == file.handle)
            {
                Some(stray) => {
                    // It was cut off before it was read.
                    let cut = Some(stray.unread()).filter(|_| file.size < stray.unread);
                    (stray.file, stray.unread) = (file, file.size);
                    self.cut.extend(cut);
                }
                None if file.held && !file.compressed && self.tail.chain.known(&file).is_none() => {
                    let follows = None;
                    let unread = file.size;
                    self.strays.push(Stray {
                        file,
                        unread,
                        follows,
                    });
                }
                None => {}
            }
        }
    }

    /// Once its descriptor is closed, a stray's handle may be given to another file in its inode.
    fn part_from_stray(&mut self, file: &Listed) {
        let is_other = |stray: &Stray| {
            stray.file.handle == file.handle && (file.compressed || !is_same(&stray.file, file))
        };
        if let Some(at) = self.strays.iter().position(is_other) {
            let stray = self.strays.remove(at);
            let unread = Some(stray.unread()).filter(|gone| gone.size > 0);
            self.note_unread(unread.as_slice());
        }
    }

    fn start_probe(&mut self, listing: Listing) {
        self.tail.container.removed |= listing.container.removed;
        self.probe = Some(Probe::new(listing, &self.tail.chain, &self.remembered));
    }

    /// The chain knows these files of a listing now, but for `unborn`.
    pub(super) fn forget_strays(&mut self, listed: &[Listed], unborn: Option<Listed>) {
        let first = |g: &&Generation| g.listed.is_some_and(|listed| listed.position == 1);
        let follows = self
            .tail
            .chain
            .generations()
            .iter()
            .find(first)
            .map(|g| g.key);
        self.strays
            .retain(|stray| !listed.iter().any(|file| file.handle == stray.file.handle));
        if let Some(file) = unborn {
            let unread = file.size;
            let stray = Stray {
                file,
                unread,
                follows,
            };
            self.strays.insert(0, stray);
        }
        self.strays.shrink_to_fit();
    }

    /// A file that had no first line has one now, or still has none.
    pub(super) fn settle_again(
        &mut self,
        handle: FileHandle,
        identified: Identified,
        next_save: SaveId,
    ) -> Settled {
        let at = self
            .strays
            .iter()
            .position(|stray| stray.file.handle == handle);
        let stray = at.map(|at| self.strays.remove(at));
        self.relist |= identified.partial;
        let found = identified.files.first();
        if let (Some(file), Some(stray)) = (found, stray) {
            let time = self.tail.line_time(file.listed.modified);
            self.tail
                .chain
                .append(file, stray.follows, &time, next_save);
        }
        if let (Some(file), Some(stray)) = (identified.unborn, stray) {
            self.strays.insert(at.unwrap_or(0), Stray { file, ..stray });
        }
        let gone = stray.filter(|_| found.is_none() && identified.unborn.is_none());
        // It could not be read; the next listing tells whether it is gone.
        let unread = gone.filter(|stray| identified.partial && stray.unread > 0);
        self.note_unread(unread.map(Stray::unread).as_slice());
        Settled {
            moved: found.is_some(),
            again: true,
            spare: gone.map(|stray| stray.file.handle).into_iter().collect(),
            ..Settled::default()
        }
    }
}
