//! One container between listings and reads: what is to be read next, and when.

pub mod failure;
mod pace;
mod stray;
mod unread;

use std::time::Duration;

use crate::chain::{Change, View};
use crate::event::{Action, Chunk, Container, FileHandle, Listed, Listing, SaveId};
use crate::file_id::{Fingerprint, head_hash};
use crate::generation::Generation;
use crate::lane::Lane;
use crate::limits::CHUNK_BYTES;
use crate::loss::Loss;
use crate::probe::{Identified, Probe};
use crate::tail::Tail;
use pace::Alarm;
use unread::Unread;

/// Listings of a folder that never stands still, before lines are broken off for want of a better.
const UNSTABLE_MAX: u32 = 10;

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
    /// The way its lines go.
    pub lane: Lane,
    /// When it is to be looked at again; `None` when it waits for an event.
    pub wake: Option<Duration>,
    /// How long to wait after the next look that finds nothing.
    interval: Duration,
    /// Looks are at multiples of this.
    period: Duration,
    /// Who tells of the next write.
    alarm: Alarm,
    /// Reading failed: not before `wake`, whatever is there.
    blocked: bool,
    probe: Option<Probe>,
    next: Option<Box<Listing>>,
    /// Which names and inodes the last listing had, as one number.
    names: u64,
    /// Held files that the chain does not know yet, oldest first: their descriptors read them
    /// even when they have lost their names.
    strays: Vec<Stray>,
    remembered: Vec<(Listed, Fingerprint)>,
    /// Listed files that nobody holds and whose first line is not read.
    unread: Vec<Unread>,
    /// Its rotated files are compressed: one was listed.
    compresses: bool,
    /// Strays as they were before they were cut off.
    cut: Vec<Listed>,
    /// Strays that the shell let go of.
    evicted: Vec<FileHandle>,
    /// Damaged files that were told.
    torn: Vec<FileHandle>,
    /// Listings have to confirm that something is gone, or readable again.
    relist: bool,
    /// Listings in a row of a folder that never stood still.
    unstable: u32,
    /// The last short chunk (file, offset, length) in front of an end, and how often it came.
    short: Option<(FileHandle, u64, usize)>,
    short_times: u32,
    /// When something of it was last committed, or nothing was left to be.
    pub progress: Duration,
}

/// A file that is not identified.
#[derive(Clone, Copy, Debug)]
struct Stray {
    file: Listed,
    /// Bytes of it that a listing showed and nobody has read.
    unread: u64,
    /// The generation right before it.
    follows: Option<u64>,
}

/// What a listing led to.
#[derive(Debug, Default)]
pub struct Settled {
    /// What the chain made of it.
    pub change: Change,
    /// Files that went before their first line was read.
    pub lost: Vec<Loss>,
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
            lane: Lane::default(),
            wake: None,
            interval,
            period: interval,
            alarm: Alarm::Off,
            blocked: false,
            probe: None,
            next: None,
            names: names_hash(&[]),
            strays: Vec::new(),
            remembered: Vec::new(),
            unread: Vec::new(),
            compresses: false,
            cut: Vec::new(),
            evicted: Vec::new(),
            torn: Vec::new(),
            relist: false,
            unstable: 0,
            short: None,
            short_times: 0,
            progress: Duration::ZERO,
        }
    }

    /// The folder is gone, and all that was read of it is accepted.
    pub fn is_over(&self) -> bool {
        self.is_read() && self.tail.inflight.is_empty()
    }

    /// All that will ever be in its log is read.
    pub fn is_read(&self) -> bool {
        self.tail.container.removed
            && self.probe.is_none()
            && self.strays.is_empty()
            && self.unread.is_empty()
            && self.cut.is_empty()
            && self.tail.chain.cursor().is_none()
    }

    /// The probe has all it needs: the chain takes the listing.
    pub fn settle(&mut self, next_save: SaveId) -> Option<Settled> {
        if self.probe.as_ref()?.wanted().is_some() {
            return None;
        }
        let probe = self.probe.take()?;
        let all = probe.files();
        self.note_unread(&probe.unread());
        self.cut.extend(&probe.shrunk);
        let shrunk = self.lose_cut();
        if let Some(handle) = probe.about() {
            let identified = probe.finish(&self.tail.chain);
            let settled = self.settle_again(handle, identified, next_save);
            return Some(Settled {
                lost: shrunk,
                ..settled
            });
        }
        if probe.is_stale() {
            return Some(Settled {
                stale: self.next.is_none(),
                lost: shrunk,
                ..Settled::default()
            });
        }
        let identified = probe.finish(&self.tail.chain);
        let settled = self.settle_listing(&all, identified, next_save);
        Some(Settled {
            lost: shrunk.into_iter().chain(settled.lost).collect(),
            ..settled
        })
    }

    /// `all` files of the listing, and what they are.
    fn settle_listing(
        &mut self,
        all: &[Listed],
        identified: Identified,
        next_save: SaveId,
    ) -> Settled {
        let Identified {
            mut files,
            unborn,
            unreadable,
            torn,
            partial,
            unstable,
            removed,
        } = identified;
        let listed: Vec<Listed> = files.iter().map(|file| file.listed).collect();
        let before = std::mem::replace(&mut self.names, names_hash(&listed));
        let moved = before != self.names;
        self.remember(&mut files);
        self.unstable = match unstable {
            true => self.unstable + 1,
            false => 0,
        };
        let unborn = unborn.filter(|_| !removed);
        let newer = unborn.is_some() || self.tail.container.removed;
        let modified = all.iter().map(|file| file.modified).max();
        let time = self.tail.line_time(modified.unwrap_or_default());
        let change = self.tail.chain.reconcile(
            &View {
                files: &files,
                newer,
                partial,
                unstable,
                time: &time,
            },
            next_save,
        );
        // A folder that did not stand still shows what is there, not what is gone.
        let copies = self.new_copies(&change, &listed, all).filter(|_| !unstable);
        let lost = self.miss_unread(all, &listed, copies.as_deref());
        self.torn
            .retain(|handle| all.iter().any(|file| file.handle == *handle));
        let read = |file: &&Listed| !unreadable.contains(&file.handle);
        let read: Vec<Listed> = all.iter().filter(read).copied().collect();
        self.forget_strays(&read, unborn);
        self.tail.chain.prune();
        let missing = |g: &Generation| g.handle.is_none() && !g.finished;
        self.relist = torn || partial || self.tail.chain.generations().iter().any(missing);
        let done = |g: &&Generation| g.finished && g.handle.is_none();
        let done = self.tail.chain.generations().iter().filter(done);
        let spare = done.filter_map(|g| g.listed).filter(|listed| listed.held);
        Settled {
            change,
            lost,
            moved,
            stale: false,
            again: false,
            spare: spare.map(|listed| listed.handle).collect(),
        }
    }

    /// After [`Follow::settle`]: the listing that came meanwhile.
    pub fn take_next(&mut self) -> Option<Listing> {
        self.next.take().map(|next| *next)
    }

    /// What to do now, or when to ask again.
    pub fn step(&mut self, now: Duration, saved: SaveId) -> Step {
        if self.probe.is_none() && self.is_due(now) {
            self.probe = self
                .strays
                .first()
                .map(|stray| Probe::again(stray.unread()));
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

    /// A file is to be identified now.
    pub fn probes(&self, now: Duration) -> bool {
        self.probe_wanted(now).is_some()
    }

    /// The generation to be read now.
    fn readable(&self, now: Duration, saved: SaveId) -> Option<(u64, FileHandle)> {
        let generation = self.tail.chain.cursor()?;
        if generation.gate.is_some_and(|gate| gate > saved) {
            return None;
        }
        // What it follows is not known yet: the next listing may tell, and its line goes on.
        let waits = (1..UNSTABLE_MAX).contains(&self.unstable);
        if waits && self.tail.breaks_at(generation.key) {
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

    /// The answer to a probe's read.
    pub fn probed(&mut self, chunk: &Chunk<'_>) {
        self.blocked = false;
        if let Some(probe) = &mut self.probe {
            probe.read(chunk);
        }
    }

    /// Takes over what a listing says of the container; true when its name changed.
    pub fn meet(&mut self, container: &Container) -> bool {
        // Of one that is gone nobody may know the name any more.
        let nameless = container.removed && container.id.to_string().starts_with(&container.name);
        let renamed = !nameless && self.tail.container.name != container.name;
        if renamed {
            self.tail.container.name.clone_from(&container.name);
        }
        if !container.removed {
            self.tail.container.files_max = container.files_max;
        }
        if !container.created.is_empty() {
            self.tail.container.created.clone_from(&container.created);
        }
        renamed
    }
}

fn names_hash(files: &[Listed]) -> u64 {
    let numbers = files.iter().flat_map(|f| {
        let name = u64::from(f.position) << 1 | u64::from(f.compressed);
        [name, f.device, f.inode]
    });
    let bytes: Vec<u8> = numbers.flat_map(u64::to_le_bytes).collect();
    head_hash(&bytes)
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
