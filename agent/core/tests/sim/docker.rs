//! A model of dockerd's json-file writer: pieces, rotation with each of its steps apart, background
//! gzip, both behaviours of max-file=1, removal, a crash of the daemon.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::random::Random;

/// One inode. Compressed ones hold their uncompressed bytes too; `readable` is how many of them
/// can be got out.
#[derive(Debug, Default)]
pub struct Inode {
    pub data: Vec<u8>,
    pub compressed: bool,
    pub torn: bool,
    pub modified: Duration,
    pub born: Duration,
    pub names: u32,
}

#[derive(Debug, Default)]
pub struct Disk {
    pub inodes: BTreeMap<u64, Inode>,
    free: Vec<u64>,
    next: u64,
}

impl Disk {
    fn create(&mut self) -> u64 {
        // Inode numbers are reused at once, as ext4 does.
        let number = self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next
        });
        self.inodes.insert(
            number,
            Inode {
                names: 1,
                ..Inode::default()
            },
        );
        number
    }

    /// Frees the inode if neither a name nor a descriptor is left. True when its bytes are gone.
    pub fn release(&mut self, number: u64, held: bool) -> bool {
        if held || self.inodes.get(&number).is_none_or(|inode| inode.names > 0) {
            return false;
        }
        self.inodes.remove(&number);
        self.free.push(number);
        true
    }
}

/// (position, compressed).
pub type Name = (u32, bool);

#[derive(Clone, Copy, Debug)]
enum Step {
    Unlink(Name),
    Rename(Name, Name),
    Create,
    Truncate,
    StartGzip,
}

/// What the daemon does to one container's log.
#[derive(Debug)]
pub struct Log {
    pub names: BTreeMap<Name, u64>,
    pub removed: bool,
    pub created: String,
    max_size: usize,
    pub max_file: u32,
    compress: bool,
    /// max-file=1 unlinks (engine 23 and later) or truncates.
    unlinks: bool,
    steps: Vec<Step>,
    gzip: Option<u64>,
    waiting: Vec<Vec<u8>>,
}

impl Log {
    pub fn new(random: &mut Random, created: String) -> Self {
        Self {
            names: BTreeMap::new(),
            removed: false,
            created,
            max_size: random.pick(&[200, 500, 2_000, 8_000]),
            max_file: random.pick(&[1, 2, 3, 5]),
            compress: random.one_in(2),
            unlinks: random.one_in(2),
            steps: Vec::new(),
            gzip: None,
            waiting: Vec::new(),
        }
    }

    pub fn is_idle(&self) -> bool {
        self.steps.is_empty() && self.waiting.is_empty() && self.gzip.is_none()
    }

    /// The application's line, as Docker lines.
    pub fn write(&mut self, lines: Vec<Vec<u8>>) {
        if !self.removed {
            self.waiting.extend(lines);
        }
    }

    /// One step of the daemon. Returns inodes that lost a name or their bytes.
    pub fn step(&mut self, disk: &mut Disk, random: &mut Random, now: Duration) -> Vec<u64> {
        if self.removed {
            return Vec::new();
        }
        if !self.names.contains_key(&(0, false)) && self.steps.is_empty() {
            self.steps.push(Step::Create);
        }
        if self.gzip.is_some() && (random.one_in(2) || self.waiting.is_empty()) {
            return self.finish_gzip(disk, now);
        }
        if let Some(step) = self.steps.pop() {
            return self.apply(step, disk, now);
        }
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let Some(&current) = self.names.get(&(0, false)) else {
            return Vec::new();
        };
        if disk.inodes[&current].data.len() >= self.max_size {
            if self.gzip.is_none() {
                self.plan_rotation();
            }
            return Vec::new();
        }
        let line = self.waiting.remove(0);
        let inode = disk.inodes.get_mut(&current).expect("the current file");
        inode.data.extend_from_slice(&line);
        inode.modified = now;
        Vec::new()
    }

    fn plan_rotation(&mut self) {
        let mut steps = Vec::new();
        if self.max_file == 1 {
            if self.unlinks {
                steps.extend([Step::Unlink((0, false)), Step::Create]);
            } else {
                steps.push(Step::Truncate);
            }
        } else {
            let gz = self.compress;
            let oldest = self.max_file - 1;
            if self.names.contains_key(&(oldest, gz)) {
                steps.push(Step::Unlink((oldest, gz)));
            }
            for position in (1..oldest).rev() {
                if self.names.contains_key(&(position, gz)) {
                    steps.push(Step::Rename((position, gz), (position + 1, gz)));
                }
            }
            steps.extend([Step::Rename((0, false), (1, false)), Step::Create]);
            if gz {
                steps.push(Step::StartGzip);
            }
        }
        steps.reverse();
        self.steps = steps;
    }

    fn apply(&mut self, step: Step, disk: &mut Disk, now: Duration) -> Vec<u64> {
        match step {
            Step::Unlink(name) => self.unlink(name, disk).into_iter().collect(),
            Step::Rename(from, to) => {
                let lost = self.unlink(to, disk);
                if let Some(inode) = self.names.remove(&from) {
                    self.names.insert(to, inode);
                }
                lost.into_iter().collect()
            }
            Step::Create => {
                let inode = disk.create();
                let made = disk.inodes.get_mut(&inode).expect("just made");
                (made.modified, made.born) = (now, now);
                self.names.insert((0, false), inode);
                Vec::new()
            }
            Step::Truncate => {
                let Some(&current) = self.names.get(&(0, false)) else {
                    return Vec::new();
                };
                disk.inodes
                    .get_mut(&current)
                    .expect("the current file")
                    .data
                    .clear();
                vec![current]
            }
            Step::StartGzip => {
                let Some(&plain) = self.names.get(&(1, false)) else {
                    return Vec::new();
                };
                let half = disk.inodes[&plain].data.clone();
                let gz = disk.create();
                let inode = disk.inodes.get_mut(&gz).expect("just made");
                *inode = Inode {
                    data: half,
                    compressed: true,
                    torn: true,
                    names: 1,
                    modified: now,
                    born: now,
                };
                let lost = self.unlink((1, true), disk);
                self.names.insert((1, true), gz);
                self.gzip = Some(gz);
                lost.into_iter().collect()
            }
        }
    }

    fn finish_gzip(&mut self, disk: &mut Disk, now: Duration) -> Vec<u64> {
        if let Some(inode) = self.gzip.take().and_then(|gz| disk.inodes.get_mut(&gz)) {
            inode.torn = false;
            inode.modified = now;
        }
        self.unlink((1, false), disk).into_iter().collect()
    }

    fn unlink(&mut self, name: Name, disk: &mut Disk) -> Option<u64> {
        let inode = self.names.remove(&name)?;
        disk.inodes.get_mut(&inode).expect("a named inode").names -= 1;
        Some(inode)
    }

    /// The daemon dies and starts again: a gzip under way stays torn, beside its plain twin; the
    /// line being written may stay torn, the next one right behind it.
    pub fn crash(&mut self, disk: &mut Disk, random: &mut Random) -> bool {
        self.gzip = None;
        let mut tore = false;
        if random.one_in(2)
            && let Some(line) = self.waiting.first().cloned()
            && self.steps.is_empty()
            && let Some(inode) = self
                .names
                .get(&(0, false))
                .and_then(|n| disk.inodes.get_mut(n))
        {
            let cut = random.below(line.len() as u64 - 1) as usize;
            inode.data.extend_from_slice(&line[..cut]);
            tore = cut > 0;
        }
        self.steps.clear();
        tore
    }

    pub fn remove(&mut self, disk: &mut Disk) -> Vec<u64> {
        self.removed = true;
        self.steps.clear();
        self.waiting.clear();
        let names: Vec<Name> = self.names.keys().copied().collect();
        names
            .into_iter()
            .filter_map(|name| self.unlink(name, disk))
            .collect()
    }
}
