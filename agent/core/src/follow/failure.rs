//! Reads that failed, and what is given up.

use super::{Follow, Stray};
use crate::event::{FileHandle, LossReason, Notice, ReadError};
use crate::probe::Probe;

impl Follow {
    /// A probe's read failed.
    pub fn probe_failed(&mut self, handle: FileHandle, error: ReadError) -> Option<Notice> {
        let torn = self.probe.as_mut()?.failed(handle, error)?;
        let known = self
            .remembered
            .iter()
            .any(|(file, _)| file.handle == torn.handle);
        let container = self.tail.container.id;
        (!known).then_some(Notice::Torn {
            container,
            position: torn.position,
        })
    }

    /// A probe's read is to be tried again, later.
    pub fn probe_waits(&self) -> bool {
        self.probe.as_ref().is_some_and(Probe::waits)
    }

    /// A read of the generation being followed failed. Says what is lost by that.
    pub fn read_failed(&mut self, key: u64, handle: FileHandle, error: ReadError) -> Vec<Notice> {
        let container = self.tail.container.id;
        let Some(generation) = self.tail.chain.get_mut(key) else {
            return Vec::new();
        };
        match error {
            ReadError::Io => Vec::new(),
            ReadError::Gone => {
                generation.forsake(handle);
                self.relist = true;
                Vec::new()
            }
            ReadError::Torn if !generation.torn => {
                generation.torn = true;
                self.relist = true;
                let position = generation.listed.map_or(0, |listed| listed.position);
                vec![Notice::Torn {
                    container,
                    position,
                }]
            }
            ReadError::Torn => vec![self.lose(key, LossReason::Damaged)]
                .into_iter()
                .flatten()
                .collect(),
            // The bytes may go on elsewhere (renamed, compressed, copied): listings will tell.
            ReadError::Replaced => {
                // The descriptor reads other bytes now, which may lose their name as well.
                let now = generation.evidence.filter(|_| generation.held);
                self.strays
                    .extend(now.filter(|file| file.handle == handle).map(|file| Stray {
                        file,
                        follows: None,
                    }));
                generation.forsake(handle);
                generation.replaced = true;
                self.remembered.retain(|(file, _)| file.handle != handle);
                self.relist = true;
                Vec::new()
            }
        }
    }

    /// What is not read of the generation never will be.
    pub fn lose(&mut self, key: u64, reason: LossReason) -> Option<Notice> {
        let last_time = String::from_utf8_lossy(&self.tail.last_time).into_owned();
        let container = self.tail.container.id;
        let generation = self.tail.chain.get_mut(key)?;
        let reason = if generation.replaced {
            LossReason::Truncated
        } else {
            reason
        };
        generation.finished = true;
        let to = (generation.size > generation.read).then_some(generation.size);
        generation.size = generation.read;
        let (generation, from) = (generation.id.to_string(), generation.read);
        self.tail.moved = true;
        Some(Notice::Lost {
            container,
            generation,
            from,
            to,
            reason,
            last_time,
        })
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
