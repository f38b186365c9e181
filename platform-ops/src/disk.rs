//! Room on the disk, and the floor below which nothing that needs room begins.

use std::path::Path;

use anyhow::Context as _;
use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::root::Root;

/// A database that cannot write its WAL stops; the operator needs some room to act.
pub const FLOOR_BYTES: u64 = 1 << 30;

/// A file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Size in bytes.
    pub bytes: u64,
    /// Free for root, in bytes.
    pub bytes_free: u64,
    /// Inodes; 0 where the file system does not count them.
    pub inodes: u64,
    /// Free ones.
    pub inodes_free: u64,
}

/// The file system of a path, or of its nearest parent that exists.
///
/// # Errors
/// When it cannot be asked.
pub fn room(path: &Path) -> anyhow::Result<Room> {
    let existing = path
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"));
    let stat = rustix::fs::statvfs(existing)
        .with_context(|| format!("ask for the room in {}", existing.display()))?;
    Ok(Room {
        bytes: stat.f_blocks * stat.f_frsize,
        bytes_free: stat.f_bavail * stat.f_frsize,
        inodes: stat.f_files,
        inodes_free: stat.f_favail,
    })
}

/// Refuses when there is less than the floor.
///
/// # Errors
/// With what is left.
pub fn require_room(root: &Root) -> anyhow::Result<()> {
    let room = room(root.path())?;
    if room.bytes_free < FLOOR_BYTES {
        return Err(Failure::refused(format!(
            "{} left in {}, the floor is {}",
            ByteSize(room.bytes_free),
            root.path().display(),
            ByteSize(FLOOR_BYTES)
        ))
        .try_next("make room; du -xh --max-depth=2 shows where it went")
        .into());
    }
    Ok(())
}
