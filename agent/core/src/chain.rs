//! A container's log is one chain of generations, oldest first. Which file is which generation is
//! decided for the chain as a whole: first lines and order are what counts; device, inode, size
//! and time of change only tell twins apart.

use crate::entry::{GenerationId, IdPrefix};
use crate::event::{ContainerId, FileHandle, Listed, SaveId};
use crate::file_id::{self, Fingerprint, generation_id};
use crate::planted::Bug;

/// One file of the chain, present or gone.
#[derive(Clone, Debug)]
pub struct Generation {
    /// Names it within this run.
    pub key: u64,
    /// Names it for ever.
    pub id: GenerationId,
    /// The start of its entries' ids.
    pub prefix: IdPrefix,
    /// Its first line.
    pub fingerprint: Fingerprint,
    /// Older generations with the same first line, when it was found.
    pub twin: u32,
    /// The file as last listed; of no file when it is gone.
    pub listed: Option<Listed>,
    /// The last listing that had it: what tells twins apart after a restart.
    pub evidence: Option<Listed>,
    /// The descriptor being read; may outlive the name.
    pub handle: Option<FileHandle>,
    /// The shell held that descriptor when a listing last had it.
    pub held: bool,
    /// Bytes known to be there, uncompressed: a lower bound.
    pub size: u64,
    /// Offset up to which it is read.
    pub read: u64,
    /// Length and hash of the line that ends at `read`, where the first line is not complete: it is
    /// read again with what follows, as that first line may begin another file's bytes as well.
    pub last: Option<(u32, u64)>,
    /// Offsets per stream up to which all is accepted or dropped with a reason.
    pub committed: [u64; 2],
    /// Offsets per stream that an earlier run committed: lines before them are passed over.
    pub skip: [u64; 2],
    /// Nothing will be appended any more.
    pub closed: bool,
    /// Read to its end, or lost beyond `read`.
    pub finished: bool,
    /// What dates lines at its start that are not Docker's, when it does not begin with a whole
    /// Docker line: saved before it is read, so that the same line is always the same entry.
    pub start_time: String,
    /// Listings in a row that did not have it.
    pub missing: u32,
    /// Not to be read before this checkpoint is saved: its name depends on the state.
    pub gate: Option<SaveId>,
    /// A damaged stream was reported.
    pub torn: bool,
    /// The generation right before it, when one listing showed both side by side. Without that,
    /// files may have come and gone between them, and no line joins over the gap.
    pub follows: Option<u64>,
    /// Other bytes were found in its place: it was truncated, unless it is found elsewhere.
    pub replaced: bool,
    /// Given up because no listing had it any more; it goes on if one has it again.
    pub vanished: bool,
}

impl Generation {
    /// Everything in it is accepted or accounted for.
    pub fn is_done(&self) -> bool {
        self.finished && self.committed.iter().all(|&offset| offset >= self.read)
    }
}

/// A listed file whose first line is known.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// The file.
    pub listed: Listed,
    /// Its first line.
    pub fingerprint: Fingerprint,
    /// The generation it is known to be: the descriptor was held, or nothing about it changed.
    pub known: Option<u64>,
}

/// The chain of one container.
#[derive(Debug)]
pub struct Chain {
    container: ContainerId,
    epoch: u64,
    generations: Vec<Generation>,
    next_key: u64,
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
        }
    }

    /// Oldest first.
    pub fn generations(&self) -> &[Generation] {
        &self.generations
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

    /// By the descriptor being read.
    pub fn by_handle(&self, handle: FileHandle) -> Option<&Generation> {
        self.generations
            .iter()
            .find(|generation| generation.handle == Some(handle))
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
        generation.follows = self.generations.last().filter(|_| follows).map(|g| g.key);
        generation.prefix = IdPrefix::new(self.container, generation.id);
        self.next_key += 1;
        self.generations.push(generation);
        self.next_key - 1
    }

    /// Takes a view of the folder into the chain. `next` is the next checkpoint to be saved: names
    /// that depend on the state wait for it.
    pub fn reconcile(&mut self, view: &View<'_>, next: SaveId) -> Change {
        let files = view.files;
        let matched = align(&self.generations, files);
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
                    self.generations.insert(at, generation);
                    at
                }
            };
            let generation = &mut self.generations[at];
            change.late |= generation.list(&file.listed);
            // What stands in front of the read offset may not be what was read.
            let read = generation.read;
            let witness = file
                .fingerprint
                .witness
                .filter(|found| found.offset >= read);
            generation.fingerprint.witness = generation.fingerprint.witness.or(witness);
            behind = at + 1;
            let (position, key) = (file.listed.position, self.generations[at].key);
            if let Some((_, previous)) = before.filter(|(other, _)| *other == position + 1) {
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
        change
    }

    /// Takes a file that follows everything known: the current one, or one that was current and
    /// is unlinked now (its position is not 0). `follows` is the generation right before it, `time`
    /// that of the last line read.
    pub fn append(&mut self, file: &Candidate, follows: Option<u64>, time: &str, next: SaveId) {
        let unlinked = file.listed.position > 0;
        let at = match align(&self.generations, std::slice::from_ref(file))[0] {
            Some(known) => self.position_of(known),
            None => {
                let generation = self.found(file, time, next);
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
        Generation {
            key,
            id,
            prefix: IdPrefix::new(self.container, id),
            fingerprint: file.fingerprint,
            twin,
            listed: None,
            evidence: None,
            handle: None,
            held: false,
            size: 0,
            read: 0,
            last: None,
            committed: [0; 2],
            skip: [0; 2],
            closed: false,
            finished: false,
            start_time: if file.fingerprint.complete {
                String::new()
            } else {
                time.to_owned()
            },
            missing: 0,
            gate,
            torn: false,
            follows: None,
            replaced: false,
            vanished: false,
        }
    }
}

impl Generation {
    /// Where the next read starts.
    pub fn read_from(&self) -> u64 {
        self.read - self.last.map_or(0, |(len, _)| u64::from(len))
    }

    /// `bytes` were read from the read offset on.
    pub fn witness(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.last = None;
        if self.fingerprint.complete {
            return;
        }
        let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let start = memchr::memrchr(b'\n', whole).map_or(0, |end| end + 1);
        let last = &bytes[start..];
        self.last = u32::try_from(last.len())
            .ok()
            .map(|len| (len, file_id::head_hash(last)));
        let head = self.fingerprint.head;
        if self.fingerprint.witness.is_none() && self.read <= head.offset + u64::from(head.len) {
            self.fingerprint.witness = file_id::witness(bytes, self.read, &head);
        }
    }

    /// True when it had been given up.
    fn list(&mut self, listed: &Listed) -> bool {
        self.listed = Some(*listed);
        self.evidence = Some(*listed);
        if !listed.compressed {
            self.size = self.size.max(listed.size);
        }
        let revived = std::mem::take(&mut self.vanished);
        self.finished &= !revived;
        if self.finished && !listed.compressed && listed.size > self.read {
            // It was taken for closed, and was not.
            (self.finished, self.closed) = (false, false);
        }
        // A descriptor at hand is kept: gzip's copy of the bytes is only second best.
        let at_hand = self.handle.is_some() && self.held;
        if !self.finished && !at_hand {
            self.handle = Some(listed.handle);
        }
        if self.handle == Some(listed.handle) {
            self.held = listed.held;
        }
        revived
    }

    /// Its descriptor shows another file's bytes, or none: reads on from the listed name if that
    /// is another file.
    pub fn forsake(&mut self, handle: FileHandle) {
        if self.listed.is_some_and(|listed| listed.handle == handle) {
            self.listed = None;
        }
        self.handle = self.listed.map(|listed| listed.handle);
    }
}

fn alike(generation: &Generation, file: &Candidate) -> bool {
    generation.fingerprint.is_like(&file.fingerprint)
}

/// Which generation each file is: as many of those proven as stand in the chain's order.
fn align(generations: &[Generation], files: &[Candidate]) -> Vec<Option<u64>> {
    let (rows, columns) = (generations.len(), files.len());
    let width = columns + 1;
    let proven = prove(generations, files);
    let scores: Vec<u32> = generations
        .iter()
        .flat_map(|generation| {
            proven
                .iter()
                .map(|&key| u32::from(key == Some(generation.key)))
        })
        .collect();
    let mut best = vec![0u32; (rows + 1) * width];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            let skip = best[(row + 1) * width + column].max(best[row * width + column + 1]);
            let taken = match scores[row * columns + column] {
                0 => 0,
                score => score + best[(row + 1) * width + column + 1],
            };
            best[row * width + column] = skip.max(taken);
        }
    }
    let mut matched = vec![None; columns];
    let (mut row, mut column) = (0, 0);
    while row < rows && column < columns {
        let here = best[row * width + column];
        let score = scores[row * columns + column];
        if score > 0 && here == score + best[(row + 1) * width + column + 1] {
            matched[column] = Some(generations[row].key);
            row += 1;
            column += 1;
        } else if here == best[(row + 1) * width + column] {
            row += 1;
        } else {
            column += 1;
        }
    }
    matched
}

/// What each file is beyond doubt. A whole Docker line at its start names a file. A piece of a
/// longer line does not, as the pieces of one line can be all alike: there a line must follow that
/// is not like it, or the inode be known, or a neighbour that has no other generation beside it.
/// What is left is taken for new: in doubt lines are repeated, not lost.
fn prove(generations: &[Generation], files: &[Candidate]) -> Vec<Option<u64>> {
    let mut proven: Vec<Option<u64>> = files
        .iter()
        .map(|file| {
            let is = |generation: &&Generation| {
                (fits(generation, file)
                    && (is_same(generation, file) || is_inode(generation, &file.listed)))
                    || (Bug::InodeIsIdentity.is_planted() && is_inode(generation, &file.listed))
            };
            file.known
                .or_else(|| generations.iter().find(is).map(|found| found.key))
        })
        .collect();
    let adjacent =
        |older: usize| files[older].listed.position == files[older + 1].listed.position + 1;
    for older in 0..files.len().saturating_sub(1) {
        let newer = older + 1;
        if let (Some(before), None, true) = (proven[older], proven[newer], adjacent(older)) {
            let is = |g: &&Generation| g.follows == Some(before) && fits(g, &files[newer]);
            proven[newer] = generations.iter().find(is).map(|found| found.key);
        }
    }
    for older in (0..files.len().saturating_sub(1)).rev() {
        if let (None, Some(after), true) = (proven[older], proven[older + 1], adjacent(older)) {
            let follows = |g: &&Generation| g.key == after;
            let before = generations.iter().find(follows).and_then(|g| g.follows);
            let is = |g: &&Generation| Some(g.key) == before && fits(g, &files[older]);
            proven[older] = generations.iter().find(is).map(|found| found.key);
        }
    }
    proven
}

/// Its fingerprint says so.
fn is_same(generation: &Generation, file: &Candidate) -> bool {
    (generation.fingerprint.is_unique() && file.fingerprint.is_unique())
        || Bug::HeadIsIdentity.is_planted()
}

/// It begins alike, and is not shorter than what was read.
fn fits(generation: &Generation, file: &Candidate) -> bool {
    let reached = generation
        .read
        .max(generation.committed[0])
        .max(generation.committed[1]);
    alike(generation, file) && (file.listed.compressed || file.listed.size >= reached)
}

/// It is the file that was last listed for the generation, by its inode.
fn is_inode(generation: &Generation, listed: &Listed) -> bool {
    if generation.replaced {
        return false;
    }
    // Without a line to compare, other bytes in the same inode would not be noticed.
    if generation.read > 0 && generation.last.is_none() && !generation.fingerprint.complete {
        return false;
    }
    generation.evidence.is_some_and(|before| {
        let same_age = match before.born.is_zero() {
            _ if Bug::InodeIsIdentity.is_planted() => true,
            false => before.born == listed.born,
            true => (before.size, before.modified) == (listed.size, listed.modified),
        };
        (before.device, before.inode, before.compressed)
            == (listed.device, listed.inode, listed.compressed)
            && same_age
    })
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
