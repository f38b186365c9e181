//! Reads that failed, and what is given up.

use super::{Follow, Stray};
use crate::event::{FileHandle, Notice, ReadError};
use crate::generation::Lost;
use crate::loss::{Bound, Loss, LossReason};
use crate::probe::Probe;

/// What a failed read means.
#[derive(Debug)]
pub enum Failed {
    /// Nothing that is worth a word yet.
    Nothing,
    /// The file is damaged.
    Torn(Notice),
    /// So what is behind the damage is lost.
    Lost(Loss),
}

impl Follow {
    /// A probe's read failed.
    pub fn probe_failed(&mut self, handle: FileHandle, error: ReadError) -> Option<Notice> {
        let torn = self.probe.as_mut()?.failed(handle, error)?;
        self.tell_torn(torn.handle, torn.position)
    }

    /// Said once a file.
    fn tell_torn(&mut self, handle: FileHandle, position: u32) -> Option<Notice> {
        if self.torn.contains(&handle) {
            return None;
        }
        self.torn.push(handle);
        Some(Notice::Torn {
            container: self.tail.container.id,
            position,
        })
    }

    /// A probe's read is to be tried again, later.
    pub fn probe_waits(&self) -> bool {
        self.probe.as_ref().is_some_and(Probe::waits)
    }

    /// A read of the generation being followed failed.
    pub fn read_failed(&mut self, key: u64, handle: FileHandle, error: ReadError) -> Failed {
        let Some(generation) = self.tail.chain.get_mut(key) else {
            return Failed::Nothing;
        };
        match error {
            ReadError::Io => Failed::Nothing,
            ReadError::Gone => {
                generation.forsake(handle);
                self.relist = true;
                Failed::Nothing
            }
            ReadError::Torn if !generation.torn => {
                generation.torn = true;
                self.relist = true;
                let position = generation.listed.map_or(0, |listed| listed.position);
                self.tell_torn(handle, position)
                    .map_or(Failed::Nothing, Failed::Torn)
            }
            ReadError::Torn => self
                .lose(key, LossReason::Damaged)
                .map_or(Failed::Nothing, Failed::Lost),
            // The bytes may go on elsewhere (renamed, compressed, copied): listings will tell.
            ReadError::Replaced => {
                // The descriptor reads other bytes now, which may lose their name as well.
                let now = generation.evidence.filter(|_| generation.held);
                self.strays
                    .extend(now.filter(|file| file.handle == handle).map(|file| Stray {
                        file,
                        unread: 0,
                        follows: None,
                    }));
                generation.forsake(handle);
                generation.replaced = true;
                // What a look found behind what is read may be the other file's.
                let read = generation.read;
                let witness = &mut generation.fingerprint.witness;
                *witness = witness.filter(|line| line.offset < read);
                self.remembered.retain(|(file, _)| file.handle != handle);
                self.relist = true;
                Failed::Nothing
            }
        }
    }

    /// What is not read of the generation never will be; `None` if that is nothing.
    pub fn lose(&mut self, key: u64, reason: LossReason) -> Option<Loss> {
        let last_time = String::from_utf8_lossy(&self.tail.last_time).into_owned();
        let (container, name) = (self.tail.container.id, self.tail.container.name.clone());
        let next_time = self.tail.chain.time_behind(key);
        let generation = self.tail.chain.get_mut(key)?;
        let reason = match reason {
            LossReason::Damaged => reason,
            _ if generation.replaced => LossReason::Truncated,
            _ if generation.evicted => LossReason::Evicted,
            _ => reason,
        };
        let (from, size) = (generation.read, generation.sure_size.max(generation.read));
        generation.finished = true;
        generation.size = from;
        self.tail.moved = true;
        if generation.sealed && size == from {
            return None;
        }
        generation.loss = Some(Lost {
            to: size,
            marked: false,
            passed: false,
        });
        let head = &generation.fingerprint.head;
        let is_whole = from <= head.offset;
        let first_lost_time = match is_whole {
            true => generation.fingerprint.time.as_str(),
            false => "",
        };
        Some(Loss {
            container,
            name,
            generation: generation.id,
            from,
            to: (size > from).then_some(size),
            bound: Bound {
                may_be_more: !generation.sealed,
                may_be_less: from < generation.unsure_to,
            },
            reason,
            last_time,
            first_lost_time: first_lost_time.to_owned(),
            next_time,
        })
    }

    /// The shell let go of a deleted file at a bound: what it had the descriptor of is gone, and its
    /// inode may be another file's the next time.
    pub fn let_go(&mut self, handle: FileHandle) {
        if let Some(generation) = self.tail.chain.by_handle(handle) {
            generation.evicted = true;
            generation.forsake(handle);
            self.relist = true;
        }
        let mut strays = self.strays.iter().map(|stray| stray.file);
        if let Some(file) = strays.find(|file| file.handle == handle) {
            self.evicted.push(file.handle);
        }
    }

    /// The generation is read to its end: what descriptor is not needed any more.
    pub fn finish(&mut self, key: u64) -> Option<FileHandle> {
        let generation = self.tail.chain.get_mut(key)?;
        generation.finished = true;
        generation.size = generation.read;
        let handle = generation.handle.take();
        self.tail.moved = true;
        handle
    }
}
