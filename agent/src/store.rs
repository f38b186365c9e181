//! The state folder: one agent at a time, and a checkpoint that is either whole or not there.
//!
//! | file | holds |
//! |---|---|
//! | `lock` | locked (flock) by the agent that runs; its process id, for people |
//! | `checkpoint` | the newest checkpoint |
//! | `checkpoint.previous` | the one before it, should the newest be unreadable |
//! | `checkpoint.new` | one being written; of no meaning after a crash |
//! | `checkpoint.damaged` | one that could not be understood, kept for people |

pub mod sequence;

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::rand::SecureRandom;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sequence::{CURRENT, PREVIOUS};

const DAMAGED: &str = "checkpoint.damaged";
const LOCK: &str = "lock";

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another agent runs on it.
    #[error("{} is in use by another platform-agent{}", dir.display(), pid_text(pid))]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// The other's process id as it noted it, in its own namespace; may be empty.
        pid: String,
    },
    /// It cannot be made, read or written.
    #[error("state folder {}: {doing}: {source}", dir.display())]
    Io {
        /// The folder.
        dir: PathBuf,
        /// What failed.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
}

fn pid_text(pid: &str) -> String {
    if pid.is_empty() {
        String::new()
    } else {
        format!(" (process {pid})")
    }
}

/// A state folder that is ours until this is dropped.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    _lock: File,
}

/// A checkpoint as it was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// It is the one before the newest.
    pub is_previous: bool,
}

impl Store {
    /// Makes the folder (0700) if it is missing and takes its lock.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another agent has it.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let failed = |doing| {
            move |source: io::Error| StoreError::Io {
                dir: dir.to_owned(),
                doing,
                source,
            }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(failed("make"))?;
        let path = dir.join(LOCK);
        let mut options = File::options();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let mut lock = options.open(&path).map_err(failed("open lock"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let pid = fs::read_to_string(&path)
                    .unwrap_or_default()
                    .trim()
                    .to_owned();
                return Err(StoreError::InUse {
                    dir: dir.to_owned(),
                    pid,
                });
            }
            Err(error) => return Err(failed("lock")(error.into())),
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(failed("write lock"))?;
        Ok(Self {
            dir: dir.to_owned(),
            _lock: lock,
        })
    }

    /// The checkpoints there are, the newest first.
    ///
    /// # Errors
    /// When one is there and cannot be read: going on without it would send things twice.
    pub fn load(&self) -> Result<Vec<Found>, StoreError> {
        peek(&self.dir).map_err(|source| {
            let (dir, doing) = (self.dir.clone(), "read checkpoint");
            StoreError::Io { dir, doing, source }
        })
    }

    /// Puts the newest checkpoint out of the way, so that people can look at it and it does not
    /// become the previous one.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn set_damaged_aside(&self) -> io::Result<()> {
        fs::rename(self.dir.join(CURRENT), self.dir.join(DAMAGED))
    }

    /// Makes `bytes` the newest checkpoint; when this returns, they are on the disk.
    ///
    /// See [`sequence::NEXT`] for what it does to the disk.
    ///
    /// # Errors
    /// Anything the kernel reports, fsync included. Then either checkpoint may be found at the
    /// next start, and both are whole.
    pub fn save(&self, bytes: &[u8]) -> io::Result<()> {
        let steps = match self.dir.join(CURRENT).try_exists()? {
            true => sequence::NEXT,
            false => sequence::FIRST,
        };
        sequence::perform(steps, &self.dir, bytes)
    }
}

/// The checkpoints in a folder that need not be ours, the newest first.
///
/// # Errors
/// When one is there and cannot be read.
pub fn peek(dir: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for (name, is_previous) in [(CURRENT, false), (PREVIOUS, true)] {
        match fs::read(dir.join(name)) {
            Ok(bytes) => found.push(Found { bytes, is_previous }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The process id that the agent on this folder noted; `None` when none runs on it.
///
/// # Errors
/// When there is no lock file, or it cannot be opened.
pub fn holder(dir: &Path) -> io::Result<Option<String>> {
    let path = dir.join(LOCK);
    let lock = File::open(&path)?;
    match flock(&lock, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => Ok(Some(fs::read_to_string(&path)?.trim().to_owned())),
        Err(error) => Err(error.into()),
        // Closing it gives it back.
        Ok(()) => Ok(None),
    }
}

/// A random number from the operating system.
///
/// # Errors
/// When it has none to give.
pub fn random() -> Result<u64, ring::error::Unspecified> {
    let mut bytes = [0; 8];
    ring::rand::SystemRandom::new().fill(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::sequence::NEW;
    use super::*;

    fn bytes(store: &Store) -> Vec<(Vec<u8>, bool)> {
        store
            .load()
            .unwrap()
            .into_iter()
            .map(|found| (found.bytes, found.is_previous))
            .collect()
    }

    #[test]
    fn t74_the_folder_is_private_and_taken_once() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("deep/state");
        let store = Store::open(&dir).unwrap();
        assert_eq!(
            fs::metadata(&dir).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let error = Store::open(&dir).unwrap_err();
        let pid = std::process::id().to_string();
        assert!(matches!(&error, StoreError::InUse { pid: other, .. } if *other == pid));
        assert!(
            error
                .to_string()
                .contains("in use by another platform-agent")
        );
        drop(store);
        Store::open(&dir).unwrap();
    }

    #[test]
    fn the_newest_and_the_one_before_are_kept() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        assert_eq!(bytes(&store), []);
        for text in [b"one", b"two", b"six"] {
            store.save(text).unwrap();
        }
        assert_eq!(
            bytes(&store),
            [(b"six".to_vec(), false), (b"two".to_vec(), true)]
        );
        store.set_damaged_aside().unwrap();
        assert_eq!(bytes(&store), [(b"two".to_vec(), true)]);
        store.save(b"ten").unwrap();
        assert_eq!(
            bytes(&store),
            [(b"ten".to_vec(), false), (b"two".to_vec(), true)]
        );
        assert_eq!(fs::read(root.path().join(DAMAGED)).unwrap(), b"six");
    }

    #[test]
    fn what_a_crash_left_does_not_stand_in_the_way() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        store.save(b"one").unwrap();
        fs::write(root.path().join(NEW), b"half").unwrap();
        store.save(b"two").unwrap();
        assert_eq!(
            bytes(&store),
            [(b"two".to_vec(), false), (b"one".to_vec(), true)]
        );
    }

    #[test]
    fn t52_a_save_that_fails_says_so_and_the_next_one_may_work() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        store.save(b"one").unwrap();
        // A folder where the new file should be.
        fs::create_dir(root.path().join(NEW)).unwrap();
        assert!(store.save(b"two").is_err());
        assert_eq!(bytes(&store), [(b"one".to_vec(), false)]);
        fs::remove_dir(root.path().join(NEW)).unwrap();
        store.save(b"two").unwrap();
        assert_eq!(bytes(&store)[0], (b"two".to_vec(), false));
    }
}
