//! One read of a plain log file that may be appended to, truncated or replaced meanwhile.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, SystemTime};

use agent_core::file_id::head_hash;
use agent_core::{Head, ReadError};
use rustix::fs::{Advice, SeekFrom, fadvise, seek};
use rustix::io::Errno;

use super::Filled;
use crate::listing;

/// Read pages are given back in steps of this, bytes.
const CACHE_STEP_BYTES: u64 = 1024 * 1024;

/// mtime is as coarse as the kernel's tick, and coarser on some file systems: a change that follows
/// another this soon may not show.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// What earlier reads of the same descriptor found.
#[derive(Debug, Default)]
pub struct Look {
    /// Size and mtime at which the start of the file was last found to be what it should.
    verified: Option<(u64, Duration, Head)>,
    /// The last change was long past at that time: another one would have another mtime.
    settled: bool,
    /// The page cache was given back up to here.
    cache_dropped_until: u64,
    /// The kernel's words for the last failure.
    error: Option<io::Error>,
}

impl Look {
    /// The last failure.
    pub fn take_error(&mut self) -> io::Error {
        let unknown = || io::Error::other("cannot be decompressed");
        self.error.take().unwrap_or_else(unknown)
    }

    fn fail(&mut self, error: io::Error) -> ReadError {
        self.error = Some(error);
        ReadError::Io
    }

    /// Tells the kernel that pages before `until` are not needed: a backlog must not push the
    /// pages of other programs out of memory.
    pub fn drop_cache(&mut self, file: &File, until: u64) {
        let from = self.cache_dropped_until.min(until);
        let Some(len) = NonZeroU64::new(until - from) else {
            return;
        };
        if len.get() >= CACHE_STEP_BYTES {
            // Advice: nothing depends on it.
            let _ = fadvise(file, from, Some(len), Advice::DontNeed);
            self.cache_dropped_until = until;
        }
    }
}

/// Reads into `buffer` from `offset` on. The state of the file is taken *before* the bytes, so
/// that `unlinked` and `end` together mean that nothing can follow; `head` is compared *after*
/// them, so that they are the bytes of the file it belongs to.
///
/// # Errors
/// [`ReadError::Replaced`] when the file is shorter than `offset` or does not begin with `head`;
/// [`ReadError::Io`] for what the kernel reports.
pub fn read(
    file: &File,
    buffer: &mut [u8],
    offset: u64,
    head: Option<Head>,
    look: &mut Look,
    scratch: &mut Vec<u8>,
) -> Result<Filled, ReadError> {
    let metadata = file.metadata().map_err(|error| look.fail(error))?;
    let size = metadata.len();
    let mut filled = Filled::none(offset, &metadata);
    if size < offset {
        return Err(ReadError::Replaced);
    }
    let state = head.map(|head| (size, filled.modified, head));
    if size == offset && state == look.verified {
        filled.end = true;
        return Ok(filled);
    }
    fill(file, buffer, &mut filled).map_err(|error| look.fail(error))?;
    if buffer.first() == Some(&0) && buffer[..filled.len].iter().all(|byte| *byte == 0) {
        skip_hole(file, buffer, size, &mut filled).map_err(|error| look.fail(error))?;
    }
    filled.end = filled.len < buffer.len() || filled.offset + filled.len as u64 >= size;
    if let Some(head) = head
        && !(state == look.verified && look.settled && is_still(file, size, &filled))
    {
        verify(file, &buffer[..filled.len], &filled, head, scratch)?;
        look.settled = state.is_some() && is_settled(&filled);
        look.verified = state;
    }
    Ok(filled)
}

/// Neither size nor mtime have changed since before the bytes were read.
fn is_still(file: &File, size: u64, filled: &Filled) -> bool {
    file.metadata().is_ok_and(|after| {
        let modified = listing::since_epoch(after.mtime(), after.mtime_nsec());
        (after.len(), modified) == (size, filled.modified)
    })
}

fn is_settled(filled: &Filled) -> bool {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    wall.is_ok_and(|wall| filled.modified + SETTLED_AFTER < wall)
}

fn fill(file: &File, buffer: &mut [u8], filled: &mut Filled) -> io::Result<()> {
    filled.len = 0;
    while filled.len < buffer.len() {
        let at = filled.offset + filled.len as u64;
        match file.read_at(&mut buffer[filled.len..], at) {
            Ok(0) => break,
            Ok(count) => filled.len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// All that was read is NUL: if that is a hole (left by `truncate` under an open file), goes on
/// behind it.
fn skip_hole(file: &File, buffer: &mut [u8], size: u64, filled: &mut Filled) -> io::Result<()> {
    let start = filled.offset;
    let data = match seek(file, SeekFrom::Data(start)) {
        Ok(data) => data.min(size),
        // No data up to the end.
        Err(Errno::NXIO) => size,
        // No file system has to know.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if data > start {
        filled.hole_bytes = data - start;
        filled.offset = data;
        fill(file, buffer, filled)?;
    }
    Ok(())
}

fn verify(
    file: &File,
    bytes: &[u8],
    filled: &Filled,
    head: Head,
    scratch: &mut Vec<u8>,
) -> Result<(), ReadError> {
    let len = head.len as usize;
    let within = head.offset.checked_sub(filled.offset).and_then(|from| {
        let from = usize::try_from(from).ok()?;
        bytes.get(from..from.checked_add(len)?)
    });
    let found = match within {
        Some(start) => head_hash(start),
        None => {
            scratch.resize(len, 0);
            match file.read_exact_at(scratch, head.offset) {
                Ok(()) => head_hash(scratch),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(ReadError::Replaced);
                }
                Err(_) => return Err(ReadError::Io),
            }
        }
    };
    if found == head.hash {
        Ok(())
    } else {
        Err(ReadError::Replaced)
    }
}
