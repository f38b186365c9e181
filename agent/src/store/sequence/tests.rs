//! Power fails behind every step of a save, and what was not synced is lost in every way it can be.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use agent_core::checkpoint::Checkpoint;

use super::*;
use crate::store::Store;

fn checkpoint(epoch: u64) -> Vec<u8> {
    let checkpoint = Checkpoint {
        epoch,
        ..<Checkpoint>::default()
    };
    checkpoint.encode()
}

/// Which checkpoint an agent that starts on this folder goes on from.
fn found(dir: &Path) -> Option<u64> {
    let found = Store::open(dir).unwrap().load().unwrap();
    let read = |bytes: &[u8]| Checkpoint::decode(bytes).ok();
    found
        .iter()
        .find_map(|found| read(&found.bytes))
        .map(|found| found.epoch)
}

/// A change of the folder that is not on the disk yet.
#[derive(Clone, Copy, Debug)]
enum Change {
    Remove(&'static str),
    Name(&'static str, usize),
    Rename(&'static str, &'static str, usize),
}

/// A folder of which the kernel has written only what it was told to sync.
#[derive(Clone, Debug, Default)]
struct Disk {
    /// Contents, and whether they are synced.
    files: Vec<(Vec<u8>, bool)>,
    /// Names as programs see them.
    names: BTreeMap<&'static str, usize>,
    /// Names on the disk.
    durable: BTreeMap<&'static str, usize>,
    changes: Vec<Change>,
}

impl Disk {
    fn with(files: &[(&'static str, Vec<u8>)]) -> Self {
        let mut disk = Self::default();
        for (name, bytes) in files {
            disk.names.insert(name, disk.files.len());
            disk.files.push((bytes.clone(), true));
        }
        disk.durable = disk.names.clone();
        disk
    }

    fn take(&mut self, step: Step<'static>, bytes: &[u8]) {
        match step {
            Step::Remove(name) => {
                self.names.remove(name);
                self.changes.push(Change::Remove(name));
            }
            Step::Write(name) => {
                self.changes.push(Change::Name(name, self.files.len()));
                self.names.insert(name, self.files.len());
                self.files.push((bytes.to_vec(), false));
            }
            Step::Sync => self.files.last_mut().unwrap().1 = true,
            Step::Link(from, to) => {
                let file = self.names[from];
                self.names.insert(to, file);
                self.changes.push(Change::Name(to, file));
            }
            Step::Rename(from, to) => {
                let file = self.names.remove(from).unwrap();
                self.names.insert(to, file);
                self.changes.push(Change::Rename(from, to, file));
            }
            Step::SyncFolder => {
                self.durable = self.names.clone();
                self.changes.clear();
            }
        }
    }

    /// Every state the disk can be in after power failed: each change of names made or not, each
    /// file that was not synced cut anywhere or full of zeros.
    fn outcomes(&self) -> Vec<Vec<(&'static str, Vec<u8>)>> {
        let mut outcomes = Vec::new();
        for chosen in 0..1u32 << self.changes.len() {
            let mut names = self.durable.clone();
            for (n, change) in self.changes.iter().enumerate() {
                match *change {
                    _ if chosen >> n & 1 == 0 => {}
                    Change::Remove(name) => drop(names.remove(name)),
                    Change::Name(name, file) => drop(names.insert(name, file)),
                    Change::Rename(from, to, file) => {
                        names.remove(from);
                        names.insert(to, file);
                    }
                }
            }
            for loss in 0..4 {
                let content = |file: usize| match &self.files[file] {
                    (bytes, true) => bytes.clone(),
                    (bytes, false) => match loss {
                        0 => bytes.clone(),
                        1 => bytes[..bytes.len() / 2].to_vec(),
                        2 => vec![0; bytes.len()],
                        _ => Vec::new(),
                    },
                };
                let files = names.iter().map(|(&name, &file)| (name, content(file)));
                outcomes.push(files.collect());
            }
        }
        outcomes.sort();
        outcomes.dedup();
        outcomes
    }
}

/// What agents find after power failed behind any of these steps, and behind all of them.
fn found_after(
    steps: &[Step<'static>],
    before: &[(&'static str, Vec<u8>)],
) -> (Vec<Option<u64>>, Vec<Option<u64>>) {
    let mut disk = Disk::with(before);
    let mut any = Vec::new();
    let mut last = look(&disk);
    for &step in steps {
        any.append(&mut last);
        disk.take(step, &checkpoint(2));
        last = look(&disk);
    }
    (any, last)
}

fn look(disk: &Disk) -> Vec<Option<u64>> {
    let look = |files: Vec<(&'static str, Vec<u8>)>| {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        found(dir.path())
    };
    disk.outcomes().into_iter().map(look).collect()
}

fn starts() -> [Vec<(&'static str, Vec<u8>)>; 3] {
    [
        vec![(CURRENT, checkpoint(1))],
        vec![(CURRENT, checkpoint(1)), (PREVIOUS, checkpoint(0))],
        // An earlier attempt was broken off.
        vec![
            (CURRENT, checkpoint(1)),
            (PREVIOUS, checkpoint(0)),
            (NEW, b"half".to_vec()),
        ],
    ]
}

#[test]
fn t51_power_may_fail_behind_every_step_of_a_save() {
    for before in starts() {
        let (any, last) = found_after(NEXT, &before);
        assert!(any.len() > NEXT.len());
        assert!(
            any.iter().all(|found| [Some(1), Some(2)].contains(found)),
            "{any:?}"
        );
        assert!(last.iter().all(|&found| found == Some(2)), "{last:?}");
    }
    for (before, old) in [(vec![], None), (vec![(PREVIOUS, checkpoint(1))], Some(1))] {
        let (any, last) = found_after(FIRST, &before);
        assert!(
            any.iter().all(|found| [old, Some(2)].contains(found)),
            "{any:?}"
        );
        assert!(last.iter().all(|&found| found == Some(2)), "{last:?}");
    }
}

#[test]
fn t51_each_sync_is_needed() {
    for needed in [Step::Sync, Step::SyncFolder] {
        let steps: Vec<Step<'_>> = NEXT
            .iter()
            .copied()
            .filter(|&step| step != needed)
            .collect();
        let (any, last) = found_after(&steps, &starts()[1]);
        let lost = any.iter().any(Option::is_none) || last.iter().any(|&found| found != Some(2));
        assert!(
            lost,
            "nothing is lost without {needed:?}: the model does not bite"
        );
    }
}

/// The model and the file system agree on what programs see.
#[test]
fn t51_a_kill_between_any_two_steps_leaves_the_old_or_the_new() {
    for before in starts() {
        for taken in 0..=NEXT.len() {
            let dir = tempfile::tempdir().unwrap();
            for (name, bytes) in &before {
                fs::write(dir.path().join(name), bytes).unwrap();
            }
            perform(&NEXT[..taken], dir.path(), &checkpoint(2)).unwrap();
            let mut disk = Disk::with(&before);
            NEXT[..taken]
                .iter()
                .for_each(|&step| disk.take(step, &checkpoint(2)));
            for name in [CURRENT, PREVIOUS, NEW] {
                let seen = disk.names.get(name).map(|&file| disk.files[file].0.clone());
                assert_eq!(
                    fs::read(dir.path().join(name)).ok(),
                    seen,
                    "{name} after {taken}"
                );
            }
            let renamed = NEXT[..taken].contains(&Step::Rename(NEW, CURRENT));
            assert_eq!(found(dir.path()), Some(if renamed { 2 } else { 1 }));
            // And the next save is not in its way.
            Store::open(dir.path())
                .unwrap()
                .save(&checkpoint(3))
                .unwrap();
            assert_eq!(found(dir.path()), Some(3));
        }
    }
}
