//! Telling that no name in a folder has changed, by the folder's own times.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::listing;

/// Times of files are as coarse as the kernel's tick, and coarser on some file systems: a change
/// that follows another this soon may not show.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// When names in a folder last changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderState {
    inode: u64,
    modified: Duration,
    changed: Duration,
}

impl FolderState {
    /// As the folder stands now; `None` when it cannot be told.
    pub fn of(folder: &Path) -> Option<Self> {
        let metadata = fs::metadata(folder).ok()?;
        Some(Self {
            inode: metadata.ino(),
            modified: listing::since_epoch(metadata.mtime(), metadata.mtime_nsec()),
            changed: listing::since_epoch(metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// [`FolderState::of`], but `None` while the last change is so new at this wall time that the
    /// next one might bear the same time.
    pub fn settled(folder: &Path, wall: Duration) -> Option<Self> {
        let state = Self::of(folder)?;
        (state.modified.max(state.changed) + SETTLED_AFTER < wall).then_some(state)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_change_of_a_name_shows_and_a_new_one_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let state = FolderState::of(path).unwrap();
        let at = state.modified.max(state.changed);
        assert_eq!(FolderState::settled(path, at + SETTLED_AFTER), None);
        let later = at + SETTLED_AFTER + Duration::from_nanos(1);
        assert_eq!(FolderState::settled(path, later), Some(state));
        let mut known = state;
        let mut changed = || {
            let state = FolderState::of(path).unwrap();
            std::mem::replace(&mut known, state) != state
        };
        // Each is repeated until the clock of the file system has gone on.
        let mut until_it_shows = |change: &dyn Fn(u32)| {
            (0..).find(|&n| {
                change(n);
                changed()
            })
        };
        let name = |n: u32| path.join(format!("log.{n}"));
        until_it_shows(&|n| fs::write(name(n), b"").unwrap());
        fs::write(name(0), b"").unwrap();
        until_it_shows(&|n| fs::rename(name(n), name(n + 1)).unwrap());
        assert_eq!(FolderState::of(&path.join("gone")), None);
    }
}
