//! One container between listings and reads: what is to be read next, and when.

use std::time::Duration;

use crate::chain::{Change, Generation, View};
use crate::event::{
    Action, Chunk, Container, FileHandle, Listed, Listing, LossReason, Notice, ReadError, SaveId,
};
use crate::file_id::Fingerprint;
use crate::limits::CHUNK_BYTES;
use crate::probe::{Identified, Probe};
use crate::settings::Settings;
use crate::tail::Tail;

/// A read under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Of a file's start, to identify it.
    Probe {
        /// The file.
        handle: FileHandle,
    },
    /// Of the generation being followed.
    Follow {
        /// Its key.
        key: u64,
        /// The file.
        handle: FileHandle,
        /// Nothing was to be appended any more when the read was asked for.
        closed: bool,
    },
}

/// A container being followed.
#[derive(Debug)]
pub struct Follow {
    /// Its log.
    pub tail: Tail,
    /// When it is to be looked at again; `None` when it waits for an event.
    pub wake: Option<Duration>,
    /// How long to wait after the next look that finds nothing.
    interval: Duration,
    /// Reading failed: not before `wake`, whatever is there.
    blocked: bool,
    probe: Option<Probe>,
    next: Option<Listing>,
    files: Vec<Listed>,
    /// Held files that the chain does not know yet, oldest first: their descriptors read them
    /// even when they have lost their names.
    strays: Vec<Stray>,
    remembered: Vec<(Listed, Fingerprint)>,
    /// Listings have to confirm that something is gone, or readable again.
    relist: bool,
}

/// A file that is not identified.
#[derive(Clone, Copy, Debug)]
struct Stray {
    file: Listed,
    /// The generation right before it.
    follows: Option<u64>,
}

/// What a listing led to.
#[derive(Debug, Default)]
pub struct Settled {
    /// What the chain made of it.
    pub change: Change,
    /// Names or inodes differ from the listing before.
    pub moved: bool,
    /// Nothing follows from it, since the folder has changed: it is to be looked at again.
    pub stale: bool,
    /// It was another look at one file.
    pub again: bool,
    /// Descriptors that are not needed.
    pub spare: Vec<FileHandle>,
}

impl Follow {
    /// Nothing is known but the container.
    pub fn new(tail: Tail, interval: Duration) -> Self {
        Self {
            tail,
            wake: None,
            interval,
            blocked: false,
            probe: None,
            next: None,
            files: Vec::new(),
            strays: Vec::new(),
            remembered: Vec::new(),
            relist: false,
        }
    }

    /// The folder is gone, and all that was read of it is accepted.
    pub fn is_over(&self) -> bool {
        self.tail.container.removed
            && self.probe.is_none()
            && self.strays.is_empty()
            && self.tail.chain.cursor().is_none()
            && self.tail.inflight.is_empty()
    }

    /// All that will ever be in its log is read.
    pub fn is_read(&self) -> bool {
        self.tail.container.removed
            && self.probe.is_none()
            && self.strays.is_empty()
            && self.tail.chain.cursor().is_none()
    }

    /// Takes a listing; it is put off while files are being probed.
    pub fn list(&mut self, listing: Listing) {
        self.note(&listing);
        if self.probe.is_some() {
            self.next = Some(listing);
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
                    ..stray.file
                }));
                self.next = Some(listing);
            }
            None => self.start_probe(listing),
        }
    }

    /// Remembers the files of a listing that the shell holds and the chain does not know.
    fn note(&mut self, listing: &Listing) {
        let mut files: Vec<&Listed> = listing.files.iter().collect();
        files.sort_by_key(|file| std::cmp::Reverse(file.position));
        for &file in files {
            match self
                .strays
                .iter_mut()
                .find(|stray| stray.file.handle == file.handle)
            {
                Some(stray) => stray.file = file,
                None if file.held && !file.compressed && self.tail.chain.known(&file).is_none() => {
                    let follows = None;
                    self.strays.push(Stray { file, follows });
                }
                None => {}
            }
        }
    }

    fn start_probe(&mut self, listing: Listing) {
        self.tail.container.removed |= listing.container.removed;
        self.probe = Some(Probe::new(listing, &self.tail.chain, &self.remembered));
    }

    /// The probe has all it needs: the chain takes the listing.
    pub fn settle(&mut self, next_save: SaveId) -> Option<Settled> {
        if self.probe.as_ref()?.wanted().is_some() {
            return None;
        }
        let probe = self.probe.take()?;
        let all = probe.files();
        if let Some(handle) = probe.about() {
            let identified = probe.finish(&self.tail.chain);
            return Some(self.settle_again(handle, identified, next_save));
        }
        if probe.is_stale() {
            return Some(Settled {
                stale: self.next.is_none(),
                ..Settled::default()
            });
        }
        let identified = probe.finish(&self.tail.chain);
        let Identified {
            files,
            unborn,
            torn,
            partial,
            removed,
        } = identified;
        let listed: Vec<Listed> = files.iter().map(|file| file.listed).collect();
        let names = |files: &[Listed]| -> Vec<(u32, u64, u64, bool)> {
            files
                .iter()
                .map(|f| (f.position, f.device, f.inode, f.compressed))
                .collect()
        };
        let moved = names(&listed) != names(&self.files);
        // Only what was read is remembered: a file that is known by its descriptor may have been
        // truncated meanwhile.
        let probed = files.iter().filter(|file| file.known.is_none());
        self.remembered = probed.map(|file| (file.listed, file.fingerprint)).collect();
        self.files = listed;
        let unborn = unborn.filter(|_| !removed);
        let newer = unborn.is_some() || self.tail.container.removed;
        let modified = all.iter().map(|file| file.modified).max();
        let time = self.tail.line_time(modified.unwrap_or_default());
        let change = self.tail.chain.reconcile(
            &View {
                files: &files,
                newer,
                partial,
                time: &time,
            },
            next_save,
        );
        self.forget_strays(&all, unborn);
        self.tail.chain.prune();
        let missing = |g: &Generation| g.handle.is_none() && !g.finished;
        self.relist = torn || partial || self.tail.chain.generations().iter().any(missing);
        let done = |g: &&Generation| g.finished && g.handle.is_none();
        let done = self.tail.chain.generations().iter().filter(done);
        let spare = done.filter_map(|g| g.listed).filter(|listed| listed.held);
        Some(Settled {
            change,
            moved,
            stale: false,
            again: false,
            spare: spare.map(|listed| listed.handle).collect(),
        })
    }

    /// The chain knows the files of a listing now, but for `unborn`.
    fn forget_strays(&mut self, listed: &[Listed], unborn: Option<Listed>) {
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
            self.strays.insert(0, Stray { file, follows });
        }
    }

    /// A file that had no first line has one now, or still has none.
    fn settle_again(
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
        Settled {
            moved: found.is_some(),
            again: true,
            spare: gone.map(|stray| stray.file.handle).into_iter().collect(),
            ..Settled::default()
        }
    }

    /// After [`Follow::settle`]: the listing that came meanwhile.
    pub fn take_next(&mut self) -> Option<Listing> {
        self.next.take()
    }

    /// What to do now, or when to ask again.
    pub fn step(&mut self, now: Duration, saved: SaveId) -> Step {
        if self.probe.is_none() && self.is_due(now) {
            self.probe = self.strays.first().map(|stray| Probe::again(stray.file));
        }
        if let Some((handle, offset)) = self.probe_wanted(now) {
            return Step::Act(
                Action::Read {
                    container: self.tail.container.id,
                    handle,
                    offset,
                    len: CHUNK_BYTES as u32,
                    head: None,
                },
                Reading::Probe { handle },
            );
        }
        if let Some((key, handle)) = self.readable(now, saved)
            && let Some(generation) = self.tail.chain.get(key)
        {
            return Step::Act(
                Action::Read {
                    container: self.tail.container.id,
                    handle,
                    offset: generation.read_from(),
                    len: CHUNK_BYTES as u32,
                    head: Some(generation.fingerprint.head),
                },
                Reading::Follow {
                    key,
                    handle,
                    closed: generation.closed,
                },
            );
        }
        if self.relist && self.is_due(now) {
            Step::List
        } else {
            Step::Wait
        }
    }

    fn probe_wanted(&self, now: Duration) -> Option<(FileHandle, u64)> {
        let wanted = self.probe.as_ref().and_then(Probe::wanted);
        wanted.filter(|_| !self.blocked || self.is_due(now))
    }

    /// The generation to be read now.
    fn readable(&self, now: Duration, saved: SaveId) -> Option<(u64, FileHandle)> {
        let generation = self.tail.chain.cursor()?;
        if generation.gate.is_some_and(|gate| gate > saved) {
            return None;
        }
        let behind = generation.closed || generation.size > generation.read;
        let now = self.is_due(now) || (behind && !self.blocked);
        generation
            .handle
            .filter(|_| now)
            .map(|handle| (generation.key, handle))
    }

    /// [`Follow::step`] would do something.
    pub fn can_act(&self, now: Duration, saved: SaveId) -> bool {
        let due = self.is_due(now);
        self.probe_wanted(now).is_some()
            || (due && self.probe.is_none() && !self.strays.is_empty())
            || (due && self.relist)
            || self.readable(now, saved).is_some()
    }

    fn is_due(&self, now: Duration) -> bool {
        self.wake.is_none_or(|wake| wake <= now)
    }

    /// The last listing left something open.
    pub fn must_look_again(&self) -> bool {
        self.probe.is_none() && (!self.strays.is_empty() || self.relist)
    }

    /// A chunk of the generation was consumed, `done` bytes of it.
    pub fn was_read(
        &mut self,
        now: Duration,
        key: u64,
        done: usize,
        end: bool,
        settings: &Settings,
    ) {
        self.blocked = false;
        if done > 0 {
            self.refresh(settings.poll_interval);
        }
        if let Some(generation) = self.tail.chain.get_mut(key)
            && end
            && !generation.finished
        {
            // All there is now; half a line at the end counts as nothing.
            generation.size = generation.read;
            self.rest(now, settings.poll_interval_max);
        }
    }

    /// Reading failed: not again before the next look.
    pub fn block(&mut self, now: Duration, interval_max: Duration) {
        self.blocked = true;
        self.rest(now, interval_max);
    }

    /// Nothing new was found: look again later, and ever later.
    pub fn rest(&mut self, now: Duration, interval_max: Duration) {
        self.wake = Some(now + self.interval);
        self.interval = (self.interval * 2).min(interval_max);
    }

    /// Something was found: look again soon. After a failed read not before its time, however
    /// often there is news.
    pub fn refresh(&mut self, interval: Duration) {
        self.interval = interval;
        if !self.blocked {
            self.wake = None;
        }
    }

    /// The answer to a probe's read.
    pub fn probed(&mut self, chunk: &Chunk<'_>) {
        self.blocked = false;
        if let Some(probe) = &mut self.probe {
            probe.read(chunk);
        }
    }

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

    /// Takes over what a listing says of the container; true when its name changed.
    pub fn meet(&mut self, container: &Container) -> bool {
        let renamed = self.tail.container.name != container.name;
        self.tail.container.name.clone_from(&container.name);
        if !container.created.is_empty() {
            self.tail.container.created.clone_from(&container.created);
        }
        renamed
    }
}

/// What [`Follow::step`] wants.
#[derive(Debug)]
pub enum Step {
    /// A read.
    Act(Action, Reading),
    /// A look at the folder.
    List,
    /// Nothing before the next look or event.
    Wait,
}
