//! Opening log files, and making room for it.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use agent_core::{ContainerId, ReadError};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::Files;
use super::trouble::FOLDER;
use crate::listing::Seen;

/// So many descriptors are given up at once when the system has no more: others need some, too.
const GIVEN_UP: usize = 8;
/// Fewer than this are not worked with.
const OPEN_MIN: usize = 4;

impl Files {
    /// By its last name, else by looking for its inode.
    pub(super) fn reopen(
        &mut self,
        container: ContainerId,
        seen: &Seen,
    ) -> Result<File, ReadError> {
        let folder = self.folder(container);
        match self.open_inode(&folder.join(&seen.name), seen) {
            Ok(file) => return Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                self.trouble.note(container, seen.inode, &error);
                return Err(ReadError::Io);
            }
        }
        let names = match std::fs::read_dir(&folder) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ReadError::Gone),
            Err(error) => {
                self.trouble.note(container, FOLDER, &error);
                return Err(ReadError::Io);
            }
        };
        for name in names {
            let name = name.map_err(|_| ReadError::Io)?;
            let same = name
                .metadata()
                .is_ok_and(|it| (it.dev(), it.ino()) == (seen.device, seen.inode));
            if same && let Ok(file) = self.open_inode(&name.path(), seen) {
                return Ok(file);
            }
        }
        Err(ReadError::Gone)
    }

    /// Opens a file and makes sure that it is the one that was seen. Where the process or the
    /// system has no descriptor left, some of ours are given up, now and for good.
    pub(super) fn open_inode(&mut self, path: &Path, seen: &Seen) -> io::Result<File> {
        match open_inode(path, seen) {
            Err(error) if is_exhausted(&error) => {
                let room = self.open_count().saturating_sub(GIVEN_UP).max(OPEN_MIN);
                tracing::warn!(%error, room, "no descriptor left: fewer logs are held open");
                self.open_max = self.open_max.min(room);
                self.make_room(self.open_max, |_| true);
                open_inode(path, seen)
            }
            other => other,
        }
    }
}

fn open_inode(path: &Path, seen: &Seen) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && (metadata.dev(), metadata.ino()) == (seen.device, seen.inode) {
        return Ok(file);
    }
    Err(io::ErrorKind::NotFound.into())
}

fn is_exhausted(error: &io::Error) -> bool {
    let codes = [Errno::MFILE.raw_os_error(), Errno::NFILE.raw_os_error()];
    error
        .raw_os_error()
        .is_some_and(|code| codes.contains(&code))
}
