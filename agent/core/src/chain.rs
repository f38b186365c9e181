//! A container's log is one chain of generations, oldest first. [`crate::identity`] proves which
//! listed file is which generation; the chain keeps their order and what lies beside what.

use crate::entry::{GenerationId, IdPrefix};
use crate::event::{ContainerId, FileHandle, Head, Listed, SaveId};
use crate::file_id::{self, Fingerprint, generation_id};
use crate::generation::Generation;
use crate::identity::{Candidate, align};
use crate::stamp::Time;

/// Stands for a generation that was accepted and forgotten.
const FORGOTTEN: u64 = 0;

/// The chain of one container.
#[derive(Debug)]
pub struct Chain {
    container: ContainerId,
    epoch: u64,
    generations: Vec<Generation>,
    next_key: u64,
    /// No look at the whole folder is settled yet: of what is found an earlier run may have shipped
    /// more than its last checkpoint says.
    begins: bool,
}

/// What a look at the folder showed.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Its files, oldest first.
    pub files: &'a [Candidate],
    /// There is a current file with no first line yet, or the container is removed: none of
    /// `files` will grow.
    pub newer: bool,
    /// Some file could not be read, so what is not in `files` may be there all the same.
    pub partial: bool,
    /// The folder changed all the time: files that seem to be neighbours need not be.
    pub unstable: bool,
    /// The time of the last line read.
    pub time: &'a str,
}

/// What a listing changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Keys of generations found.
    pub found: Vec<u64>,
    /// One of them stands in front of bytes that are read already: lines do not join over that.
    pub late: bool,
    /// Keys of generations that no listing has any more, unread, with no descriptor left.
    pub vanished: Vec<u64>,
}

impl Chain {
    /// An empty chain.
    pub fn new(container: ContainerId, epoch: u64) -> Self {
        Self {
            container,
            epoch,
            generations: Vec::new(),
            next_key: 1,
            begins: true,
        }
    }

    /// What is there now may have been shipped by an earlier run.
    pub fn begins(&self) -> bool {
        self.begins
    }

    /// Oldest first.
    pub fn generations(&self) -> &[Generation] {
        &self.generations
    }

    /// Oldest first.
    pub fn generations_mut(&mut self) -> &mut [Generation] {
        &mut self.generations
    }

    /// By key.
    pub fn get_mut(&mut self, key: u64) -> Option<&mut Generation> {
        self.generations
            .iter_mut()
            .find(|generation| generation.key == key)
    }

    /// By key.
    pub fn get(&self, key: u64) -> Option<&Generation> {
        self.generations
            .iter()
            .find(|generation| generation.key == key)
    }

    /// Time of the first line that is there behind the generation, as far as it was seen.
    pub fn time_behind(&self, key: u64) -> String {
        let behind = self.generations.iter().skip_while(|g| g.key != key).skip(1);
        behind
            .filter(|g| g.loss.is_none())
            .map(|g| g.fingerprint.time.as_str())
            .find(|time| !time.is_empty())
            .unwrap_or_default()
            .to_owned()
    }

    /// By the descriptor being read.
    pub fn by_handle(&mut self, handle: FileHandle) -> Option<&mut Generation> {
        self.generations
            .iter_mut()
            .find(|generation| generation.handle == Some(handle))
    }

    /// The markers of this generation's loss are written.
    pub fn set_marked(&mut self, id: GenerationId) {
        let losses = self.generations.iter_mut().filter(|g| g.id == id);
        losses
            .filter_map(|g| g.loss.as_mut())
            .for_each(|loss| loss.marked = true);
    }

    /// The generation whose plain file this was when it was last listed, by its inode.
    /// With `gone` it is none that is listed now.
    pub fn by_inode(&mut self, file: &Listed, gone: bool) -> Option<&mut Generation> {
        self.generations.iter_mut().find(|generation| {
            let is_it = |before: Listed| {
                !before.compressed
                    && (before.device, before.inode, before.born)
                        == (file.device, file.inode, file.born)
            };
            // In an inode that was truncated other bytes are another generation's.
            let fits = match generation.finished {
                true => generation.loss.is_none() && generation.size == file.size,
                false => generation.read <= file.size,
            };
            let fits = fits && !(gone && generation.listed.is_some());
            !generation.replaced && fits && generation.evidence.is_some_and(is_it)
        })
    }

    /// Takes in a file that was gone before its first line was read, in front of what is there
    /// now. It has nothing but its size; the caller loses it.
    pub fn append_unread(&mut self, file: &Listed) -> u64 {
        let id = file_id::unread_id(file);
        let head = Head {
            len: 0,
            hash: id.0,
            offset: 0,
        };
        let fingerprint = Fingerprint {
            head,
            complete: false,
            witness: None,
            time: Time::default(),
        };
        let candidate = Candidate {
            listed: *file,
            fingerprint,
            sure_size: file.size,
            known: None,
        };
        let mut generation = self.found(&candidate, "", SaveId::default());
        (generation.id, generation.prefix) = (id, IdPrefix::new(self.container, id));
        (generation.gate, generation.closed) = (None, true);
        (generation.size, generation.sure_size) = (file.size, file.size);
        generation.sealed = file.position > 0;
        // No look had it twice.
        generation.missing = 2;
        let key = generation.key;
        let there = |g: &Generation| g.listed.is_some();
        let at = self.generations.iter().position(there);
        let at = at.unwrap_or(self.generations.len());
        self.generations.insert(at, generation);
        key
    }

    /// The generation that a listed file is beyond doubt: its descriptor was held all the time,
    /// or it is closed and nothing about it changed.
    pub fn known(&self, listed: &Listed) -> Option<u64> {
        let same = |generation: &&Generation| match generation.listed {
            Some(before) if before.handle == listed.handle => {
                (listed.held && before.held && listed.size >= before.size)
                    || (before.size == listed.size && before.modified == listed.modified)
            }
            _ => listed.held && generation.handle == Some(listed.handle),
        };
        self.generations
            .iter()
            .find(same)
            .map(|generation| generation.key)
    }

    /// The first generation that is not read to its end.
    pub fn cursor(&self) -> Option<&Generation> {
        self.generations
            .iter()
            .find(|generation| !generation.finished)
    }

    /// Puts back a generation of a checkpoint, behind all others, and right behind them if it
    /// `follows`.
    pub fn restore(&mut self, mut generation: Generation, follows: bool) -> u64 {
        generation.key = self.next_key;
        let before = self
            .generations
            .last()
            .map_or(FORGOTTEN, |before| before.key);
        generation.follows = follows.then_some(before);
        generation.prefix = IdPrefix::new(self.container, generation.id);
        self.next_key += 1;
        self.make_room();
        self.generations.push(generation);
        self.next_key - 1
    }

    /// For one more. Most containers have one generation, and of thousands of containers room for
    /// four would be a fifth of all memory.
    fn make_room(&mut self) {
        self.generations.reserve_exact(1);
    }

    /// Takes a view of the folder into the chain. `next` is the next checkpoint to be saved: names
    /// that depend on the state wait for it.
    pub fn reconcile(&mut self, view: &View<'_>, next: SaveId) -> Change {
        let files = view.files;
        let matched = align(&self.generations, files, view.unstable);
        if !view.unstable {
            self.put_in_order(&matched);
        }
        let mut change = Change::default();
        for generation in &mut self.generations {
            generation.listed = None;
        }
        // Where the next generation goes that is found: behind the file before it.
        let mut behind = 0;
        let mut before: Option<(u32, u64)> = None;
        for (index, file) in files.iter().enumerate() {
            let at = match matched[index] {
                Some(at_key) => self.position_of(at_key),
                None => {
                    change.late |= self.generations[behind..]
                        .iter()
                        .any(|later| later.read > 0);
                    let generation = self.found(file, view.time, next);
                    change.found.push(generation.key);
                    // New files follow everything known, unless a known one follows them.
                    let followed = matched[index..].iter().flatten().next();
                    let at = followed.map_or(self.generations.len(), |&key| self.position_of(key));
                    self.make_room();
                    self.generations.insert(at, generation);
                    at
                }
            };
            let generation = &mut self.generations[at];
            if file.known.is_none() && !file.listed.compressed {
                generation.sure_size = generation.sure_size.max(file.sure_size);
            }
            if generation.fingerprint.time.as_str().is_empty() {
                generation.fingerprint.time = file.fingerprint.time;
            }
            change.late |= generation.list(&file.listed);
            // What stands in front of the read offset may not be what was read.
            let reached = generation.reached();
            let witness = file
                .fingerprint
                .witness
                .filter(|found| found.offset >= reached);
            generation.fingerprint.witness = generation.fingerprint.witness.or(witness);
            behind = at + 1;
            let (position, key) = (file.listed.position, self.generations[at].key);
            if let Some((_, previous)) =
                before.filter(|(other, _)| *other == position + 1 && !view.unstable)
            {
                self.generations[at].follows = Some(previous);
            }
            before = Some((position, key));
        }
        let last = self.generations.len().saturating_sub(1);
        for (index, generation) in self.generations.iter_mut().enumerate() {
            let rotated = generation.listed.is_some_and(|listed| listed.position > 0);
            generation.closed |= index < last || view.newer || rotated;
            generation.missing = match generation.listed {
                Some(_) => 0,
                None => generation.missing + u32::from(!view.partial),
            };
            if generation.missing > 1 && generation.handle.is_none() && !generation.finished {
                generation.vanished = true;
                change.vanished.push(generation.key);
            }
        }
        self.begins &= view.partial || view.unstable;
        change
    }

    /// Earlier looks may have missed a file and put it behind newer ones: those that are listed now
    /// change places until they stand as their names do.
    fn put_in_order(&mut self, matched: &[Option<u64>]) {
        let mut places: Vec<usize> = matched
            .iter()
            .flatten()
            .map(|&key| self.position_of(key))
            .collect();
        if places.is_sorted() {
            return;
        }
        let listed: Vec<Generation> = places
            .iter()
            .map(|&place| self.generations[place].clone())
            .collect();
        places.sort_unstable();
        for (place, generation) in places.into_iter().zip(listed) {
            self.generations[place] = generation;
        }
    }

    /// Takes a file that follows everything known: the current one, or one that was current and
    /// is unlinked now (its position is not 0). `follows` is the generation right before it, `time`
    /// that of the last line read.
    pub fn append(&mut self, file: &Candidate, follows: Option<u64>, time: &str, next: SaveId) {
        let unlinked = file.listed.position > 0;
        let at = match align(&self.generations, std::slice::from_ref(file), true)[0] {
            Some(known) => self.position_of(known),
            None => {
                let generation = self.found(file, time, next);
                self.make_room();
                self.generations.push(generation);
                self.generations.len() - 1
            }
        };
        let last = self.generations.len() - 1;
        for (index, generation) in self.generations.iter_mut().enumerate() {
            generation.closed |= index < last || unlinked;
        }
        let generation = &mut self.generations[at];
        generation.list(&file.listed);
        generation.follows = generation
            .follows
            .or(follows.filter(|&key| key != generation.key));
        if unlinked {
            generation.listed = None;
        }
    }

    /// Forgets what is accepted and gone. The newest stays: it tells where the chain ended.
    pub fn prune(&mut self) {
        let Some(newest) = self.generations.last().map(|generation| generation.key) else {
            return;
        };
        let surplus = self
            .generations
            .len()
            .saturating_sub(crate::limits::GENERATIONS_MAX);
        let mut index = 0;
        self.generations.retain(|generation| {
            index += 1;
            let gone = generation.listed.is_none() && generation.missing > 1;
            generation.key == newest || !(generation.is_done() && (gone || index <= surplus))
        });
    }

    fn position_of(&self, key: u64) -> usize {
        self.generations
            .iter()
            .position(|generation| generation.key == key)
            .unwrap_or_default()
    }

    fn found(&mut self, file: &Candidate, time: &str, next: SaveId) -> Generation {
        let twins = self
            .generations
            .iter()
            .filter(|other| other.fingerprint.head == file.fingerprint.head)
            .map(|other| other.twin + 1);
        let twin = twins.max().unwrap_or(0);
        let id = generation_id(&file.fingerprint, twin, self.epoch);
        // What depends on the state is saved before it is used.
        let gate = (twin > 0 || !file.fingerprint.complete).then_some(next);
        let key = self.next_key;
        self.next_key += 1;
        let prefix = IdPrefix::new(self.container, id);
        Generation {
            twin,
            gate,
            start_time: match file.fingerprint.complete {
                true => String::new(),
                false => time.to_owned(),
            },
            unsure_to: if self.begins { u64::MAX } else { 0 },
            ..Generation::new(key, id, prefix, file.fingerprint)
        }
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
