//! What saving a file does to the disk, step by step: as data, so that the tests can stop behind
//! every step and lose what was not synced.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::io::Errno;

/// The newest checkpoint.
pub const CURRENT: &str = "checkpoint";
/// The one before it.
pub const PREVIOUS: &str = "checkpoint.previous";
/// One being written.
pub const NEW: &str = "checkpoint.new";

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// unlink, if it is there.
    Remove(&'a str),
    /// Makes a file and writes the bytes into it.
    Write(&'a str),
    /// fsync of the file just written.
    Sync,
    /// One more name for a file.
    Link(&'a str, &'a str),
    /// rename: takes the place of what had the name.
    Rename(&'a str, &'a str),
    /// fsync of the folder: its names are on the disk.
    SyncFolder,
}

/// Makes a checkpoint the newest. Each attempt writes a file of its own: after a failed fsync the
/// kernel may hold pages that it calls clean and has not written, so the file they belong to is
/// never used again. The newest becomes the previous under both names for a moment: there is never
/// none.
pub const NEXT: &[Step<'_>] = &[
    Step::Remove(NEW),
    Step::Write(NEW),
    Step::Sync,
    Step::Remove(PREVIOUS),
    Step::Link(CURRENT, PREVIOUS),
    Step::Rename(NEW, CURRENT),
    Step::SyncFolder,
];

/// As [`NEXT`] where there is no newest: it is the first one, or the newest was damaged, and then
/// the previous stays what it is.
pub const FIRST: &[Step<'_>] = &[
    Step::Remove(NEW),
    Step::Write(NEW),
    Step::Sync,
    Step::Rename(NEW, CURRENT),
    Step::SyncFolder,
];

/// Takes steps in `dir` to write `bytes`.
///
/// # Errors
/// Anything the kernel reports, fsync included; the steps behind it are not taken.
pub fn perform(steps: &[Step<'_>], dir: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut written = None;
    for step in steps {
        match *step {
            Step::Remove(name) => remove_if_there(&dir.join(name))?,
            Step::Write(name) => {
                let mut options = File::options();
                options.write(true).create_new(true).mode(0o600);
                written
                    .insert(options.open(dir.join(name))?)
                    .write_all(bytes)?;
            }
            Step::Sync => match written.take() {
                Some(file) => file.sync_all()?,
                None => return Err(io::Error::other("nothing is written to be synced")),
            },
            Step::Link(from, to) => link(&dir.join(from), &dir.join(to))?,
            Step::Rename(from, to) => fs::rename(dir.join(from), dir.join(to))?,
            Step::SyncFolder => File::open(dir)?.sync_all()?,
        }
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        // No hard links on this file system.
        Err(error) if matches!(error.raw_os_error(), Some(code) if NO_LINKS.contains(&code)) => {
            fs::copy(from, to).map(drop)
        }
        other => other,
    }
}

const NO_LINKS: [i32; 3] = [
    Errno::PERM.raw_os_error(),
    Errno::OPNOTSUPP.raw_os_error(),
    Errno::MLINK.raw_os_error(),
];

#[cfg(test)]
mod tests;
