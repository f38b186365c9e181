//! The table of log files: a handle for every inode seen, a descriptor for those that may still
//! be read.
//!
//! Descriptors are opened as soon as a file is listed, because the next rotation may unlink it;
//! an open descriptor reads the rest. They are bounded: the least recently used one whose file
//! still has a name gives way, and is opened again by that name when it is needed.

pub mod bound;
pub mod gz;
mod open;
pub mod plain;
pub mod trouble;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_core::limits::CHUNK_BYTES;
use agent_core::{ContainerId, FileHandle, Head, Listed, ReadError};

use crate::listing::{self, Seen};
use crate::memory::GZ_DECODERS_MAX;
use plain::Look;
use trouble::Trouble;

/// What a read gave, ready to become `Event::Chunk`.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Where `bytes` stand in the uncompressed file.
    pub offset: u64,
    /// The bytes.
    pub bytes: &'a [u8],
    /// Bytes of a sparse hole skipped in front of them.
    pub hole_bytes: u64,
    /// The read met the end.
    pub end: bool,
    /// No name is left for the inode.
    pub unlinked: bool,
    /// The descriptor has been held ever since the handle was given out.
    pub held: bool,
    /// st_mtime.
    pub modified: Duration,
}

/// The folder changed between the look at it and the opening of its files.
#[derive(Debug, PartialEq, Eq)]
pub struct Stale;

/// All files that have a handle.
#[derive(Debug)]
pub struct Files {
    containers_dir: PathBuf,
    open_max: usize,
    /// Boxed, as a table has more places than entries.
    entries: HashMap<FileHandle, Box<Entry>>,
    by_container: HashMap<ContainerId, Vec<FileHandle>>,
    open_now: usize,
    /// Deleted files that were shut at a bound, until the core is told.
    let_go: Vec<FileHandle>,
    next_handle: u64,
    uses: u64,
    buffer: Box<[u8]>,
    /// Where file heads are read for comparison.
    scratch: Vec<u8>,
    /// What cannot be read.
    pub trouble: Trouble,
}

#[derive(Debug)]
struct Entry {
    container: ContainerId,
    seen: Seen,
    open: Option<Open>,
    /// A descriptor has been held ever since the handle was given out.
    held: bool,
    /// The core is done with it.
    closed: bool,
    /// [`Files::uses`] at its last use.
    used: u64,
    look: Look,
}

#[derive(Debug)]
enum Open {
    Plain(File),
    Gz(Box<gz::Decoder>),
}

impl Open {
    fn file(&self) -> &File {
        match self {
            Self::Plain(file) => file,
            Self::Gz(decoder) => decoder.file(),
        }
    }
}

impl Files {
    /// An empty table over Docker's folder of containers.
    pub fn new(containers_dir: &Path, open_max: usize) -> Self {
        Self {
            containers_dir: containers_dir.to_owned(),
            open_max,
            entries: HashMap::new(),
            by_container: HashMap::new(),
            open_now: 0,
            let_go: Vec::new(),
            next_handle: 1,
            uses: 0,
            buffer: vec![0; CHUNK_BYTES].into_boxed_slice(),
            scratch: Vec::new(),
            trouble: Trouble::default(),
        }
    }

    /// The folder of a container.
    pub fn folder(&self, container: ContainerId) -> PathBuf {
        self.containers_dir.join(container.to_string())
    }

    /// Gives a handle to every file of a look at a container's folder, opening the plain ones
    /// that are new.
    ///
    /// # Errors
    /// [`Stale`] when a file is no longer where the look found it: look again.
    pub fn enroll(&mut self, container: ContainerId, seen: &[Seen]) -> Result<Vec<Listed>, Stale> {
        self.prune(container, seen);
        seen.iter()
            .map(|file| self.enroll_one(container, file))
            .collect()
    }

    fn enroll_one(&mut self, container: ContainerId, seen: &Seen) -> Result<Listed, Stale> {
        let known = self.handle_of(container, seen).filter(|handle| {
            self.entries
                .get(handle)
                .is_some_and(|entry| !entry.may_be_another(seen))
        });
        let handle = match known {
            Some(handle) => handle,
            None => self.admit(container, seen)?,
        };
        let Some(entry) = self.entries.get_mut(&handle) else {
            return Err(Stale);
        };
        entry.seen = seen.clone();
        Ok(entry.listed(handle))
    }

    /// The handle that stands for this inode.
    fn handle_of(&self, container: ContainerId, seen: &Seen) -> Option<FileHandle> {
        let handles = self.by_container.get(&container)?;
        let is_it = |handle: &FileHandle| {
            let entry = self.entries.get(handle);
            entry.is_some_and(|it| (it.seen.device, it.seen.inode) == (seen.device, seen.inode))
        };
        handles.iter().copied().find(is_it)
    }

    /// What is still open of a container whose folder is gone.
    pub fn held(&self, container: ContainerId) -> Vec<Listed> {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.container == container && entry.open.is_some())
            .map(|(handle, entry)| entry.listed(*handle))
            .collect()
    }

    /// Nothing of this container is of interest.
    pub fn release(&mut self, container: ContainerId) {
        for handle in self.by_container.remove(&container).unwrap_or_default() {
            self.shut(handle);
            self.entries.remove(&handle);
        }
        self.trouble.forget(container);
    }

    /// A new handle; a plain file is opened at once.
    fn admit(&mut self, container: ContainerId, seen: &Seen) -> Result<FileHandle, Stale> {
        let mut open = None;
        if !seen.compressed {
            let path = self.folder(container).join(&seen.name);
            match self.open_inode(&path, seen) {
                Ok(file) => open = Some(Open::Plain(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Stale),
                // A file that cannot be opened is listed all the same.
                Err(error) => self.trouble.note(container, seen.inode, &error),
            }
        }
        let handle = FileHandle(self.next_handle);
        self.next_handle += 1;
        if let Some(old) = self.handle_of(container, seen) {
            self.shut(old);
            self.entries.remove(&old);
        }
        if open.is_some() {
            self.make_room(self.open_max, |_| true);
        }
        self.uses += 1;
        let held = open.is_some();
        self.open_now += usize::from(held);
        self.by_container.entry(container).or_default().push(handle);
        let entry = Entry {
            container,
            seen: seen.clone(),
            open,
            held,
            closed: false,
            used: self.uses,
            look: Look::default(),
        };
        self.entries.insert(handle, Box::new(entry));
        Ok(handle)
    }

    /// Entries that are neither in the folder nor open stand for nothing.
    fn prune(&mut self, container: ContainerId, seen: &[Seen]) {
        let Some(handles) = self.by_container.get_mut(&container) else {
            return;
        };
        handles.retain(|handle| {
            let Some(entry) = self.entries.get(handle) else {
                return false;
            };
            let (device, inode) = (entry.seen.device, entry.seen.inode);
            let listed = |file: &Seen| (file.device, file.inode) == (device, inode);
            let stays = entry.open.is_some() || seen.iter().any(listed);
            if !stays {
                self.entries.remove(handle);
            }
            stays
        });
        if handles.is_empty() {
            self.by_container.remove(&container);
        }
        self.trouble.keep(container, |inode| {
            seen.iter().any(|file| file.inode == inode)
        });
    }

    /// Reads up to `len` bytes (at most [`CHUNK_BYTES`]) of the uncompressed file at `offset`,
    /// and then compares the file's start with `head`.
    ///
    /// # Errors
    /// As [`ReadError`] says.
    pub fn read(
        &mut self,
        handle: FileHandle,
        offset: u64,
        len: u32,
        head: Option<Head>,
    ) -> Result<Chunk<'_>, ReadError> {
        self.ensure_open(handle)?;
        self.uses += 1;
        let entry = self.entries.get_mut(&handle).ok_or(ReadError::Gone)?;
        entry.used = self.uses;
        let len = (len as usize).min(self.buffer.len());
        let buffer = &mut self.buffer[..len];
        let filled = match entry.open.as_mut().ok_or(ReadError::Gone)? {
            Open::Plain(file) => {
                let current = entry.seen.position == 0;
                let look = &mut entry.look;
                plain::read(file, buffer, offset, head, look, &mut self.scratch).inspect(|filled| {
                    // What is not the newest end of the current log is backlog.
                    if !(current && filled.end) {
                        look.drop_cache(file, filled.offset + filled.len as u64);
                    }
                })
            }
            Open::Gz(decoder) => decoder.read_at(buffer, offset, head),
        };
        let filled = match filled {
            Ok(filled) => filled,
            Err(error) => {
                if error == ReadError::Io {
                    let cause = entry.look.take_error();
                    self.trouble.note(entry.container, entry.seen.inode, &cause);
                }
                return Err(error);
            }
        };
        self.trouble.settle(entry.container, entry.seen.inode);
        Ok(Chunk {
            offset: filled.offset,
            bytes: &self.buffer[..filled.len],
            hole_bytes: filled.hole_bytes,
            end: filled.end,
            unlinked: filled.unlinked,
            held: entry.held,
            modified: filled.modified,
        })
    }

    fn ensure_open(&mut self, handle: FileHandle) -> Result<(), ReadError> {
        let entry = self.entries.get(&handle).ok_or(ReadError::Gone)?;
        if entry.open.is_some() {
            return Ok(());
        }
        let (container, seen) = (entry.container, entry.seen.clone());
        let file = self.reopen(container, &seen)?;
        let compressed = seen.compressed;
        if compressed {
            self.make_room(GZ_DECODERS_MAX, |entry| entry.seen.compressed);
        }
        self.make_room(self.open_max, |_| true);
        let entry = self.entries.get_mut(&handle).ok_or(ReadError::Gone)?;
        entry.look = Look::default();
        entry.closed = false;
        self.open_now += 1;
        entry.open = Some(match compressed {
            true => Open::Gz(Box::new(gz::Decoder::new(file))),
            false => Open::Plain(file),
        });
        Ok(())
    }

    /// The core is done with this file.
    pub fn close(&mut self, handle: FileHandle) {
        self.shut(handle);
        if let Some(entry) = self.entries.get_mut(&handle) {
            entry.closed = true;
        }
    }

    fn shut(&mut self, handle: FileHandle) {
        if let Some(entry) = self.entries.get_mut(&handle) {
            self.open_now -= usize::from(entry.open.is_some());
            entry.open = None;
            entry.held = false;
        }
    }
}

impl Entry {
    fn listed(&self, handle: FileHandle) -> Listed {
        Listed {
            handle,
            position: self.seen.position,
            compressed: self.seen.compressed,
            device: self.seen.device,
            inode: self.seen.inode,
            size: self.seen.size,
            modified: self.seen.modified,
            born: self.seen.born,
            held: self.held,
        }
    }

    fn is_unlinked(&self) -> bool {
        let metadata = self
            .open
            .as_ref()
            .and_then(|open| open.file().metadata().ok());
        metadata.is_some_and(|metadata| metadata.nlink() == 0)
    }

    /// The inode was closed for good and has changed since: as likely as not the number was given
    /// to a new file, which deserves a descriptor and a handle of its own.
    fn may_be_another(&self, seen: &Seen) -> bool {
        let changed = (self.seen.size, self.seen.modified) != (seen.size, seen.modified);
        self.open.is_none() && (self.seen.compressed != seen.compressed || (self.closed && changed))
    }
}

/// What one read put into the buffer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// Where the bytes stand.
    pub offset: u64,
    /// How many there are.
    pub len: usize,
    /// Bytes of a hole in front of them.
    pub hole_bytes: u64,
    /// The end was met.
    pub end: bool,
    /// st_nlink is 0.
    pub unlinked: bool,
    /// st_mtime.
    pub modified: Duration,
}

impl Filled {
    /// Nothing read yet at `offset` of a file in this state.
    pub fn none(offset: u64, metadata: &std::fs::Metadata) -> Self {
        Self {
            offset,
            unlinked: metadata.nlink() == 0,
            modified: listing::since_epoch(metadata.mtime(), metadata.mtime_nsec()),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests;
