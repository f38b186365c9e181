//! The shell around the core, as a model: descriptors, looks at folders, reads.

use std::time::Duration;

use agent_core::file_id::head_hash;
use agent_core::{Container, Event, FileHandle, Head, Listed, Listing, ReadError};

use super::{File, World};

impl World {
    /// A descriptor is closed to make room for others.
    pub(super) fn evict(&mut self) {
        let open: Vec<u64> = self
            .files
            .iter()
            .filter(|(_, file)| file.open)
            .map(|(&handle, _)| handle)
            .collect();
        if open.is_empty() {
            return;
        }
        let handle = self.random.pick(&open);
        let inode = self.files[&handle].inode;
        let unlinked = self.disk.inodes[&inode].names == 0;
        self.close(FileHandle(handle));
        if unlinked {
            self.event(Event::LetGo(FileHandle(handle)));
        }
    }

    pub(super) fn close(&mut self, handle: FileHandle) {
        if let Some(file) = self.files.get_mut(&handle.0) {
            file.open = false;
            file.held = false;
            let inode = file.inode;
            self.free(inode);
        }
    }

    pub(super) fn list_all(&mut self) {
        for container in 1..=self.logs.len() as u64 {
            self.list(container);
        }
    }

    /// A look at a container's folder.
    pub(super) fn list(&mut self, container: u64) {
        if self.pipeline.is_none() {
            return;
        }
        let log = &self.logs[&container];
        let mut names: Vec<((u32, bool), u64)> = log
            .names
            .iter()
            .filter(|((position, gz), _)| !gz || !log.names.contains_key(&(*position, false)))
            .map(|(&name, &inode)| (name, inode))
            .collect();
        if self.debug {
            let homes: Vec<_> = names
                .iter()
                .map(|(name, inode)| (name, self.homes.get(inode), self.disk.inodes[inode].torn))
                .collect();
            self.say(&format!("\"c{container}\" homes {homes:?}"));
        }
        let about = Container {
            id: Self::id(container),
            name: format!("c{container}"),
            created: log.created.clone(),
            removed: log.removed,
            files_max: log.max_file,
        };
        // Renamed while it was looked at: seen under both names, or under none.
        let unstable = self.random.one_in(25) && !names.is_empty();
        let mut twice = None;
        if unstable {
            let at = self.random.below(names.len() as u64) as usize;
            let (name, inode) = names.remove(at);
            if self.random.one_in(2) {
                names.retain(|&((position, _), _)| position != name.0 + 1);
                names.push((name, inode));
                twice = Some(inode);
            }
        }
        let mut files: Vec<Listed> = names
            .into_iter()
            .map(|(name, inode)| self.listed(container, name, inode))
            .collect();
        if let Some(&file) = files.iter().find(|file| Some(file.inode) == twice) {
            let position = file.position + 1;
            files.push(Listed { position, ..file });
        }
        self.event(Event::Listing(Listing {
            container: about,
            files,
            unstable,
        }));
    }

    pub(super) fn listed(
        &mut self,
        container: u64,
        (position, compressed): (u32, bool),
        inode: u64,
    ) -> Listed {
        let known = self
            .files
            .iter()
            .find(|(_, file)| file.inode == inode && file.container == container);
        let handle = match known {
            Some((&handle, _)) => handle,
            None => {
                let handle = self.next_handle;
                self.next_handle += 1;
                // Plain files are opened at once, mostly.
                let held = !compressed && !self.random.one_in(10);
                self.files.insert(
                    handle,
                    File {
                        container,
                        inode,
                        open: held,
                        held,
                    },
                );
                handle
            }
        };
        let data = &self.disk.inodes[&inode];
        let listed = Listed {
            handle: FileHandle(handle),
            position,
            compressed,
            device: 1,
            inode,
            size: if compressed {
                data.data.len() as u64 / 3 + 20
            } else {
                data.data.len() as u64
            },
            modified: data.modified,
            born: data.born,
            held: self.files[&handle].held,
        };
        if let Some(&home) = self.homes.get(&inode) {
            self.oracle.ledger.listed(container, home, &listed);
        }
        listed
    }

    pub(super) fn read(&mut self, handle: FileHandle, offset: u64, len: u32, head: Option<Head>) {
        match self.bytes(handle, offset, len, head) {
            Ok((bytes, end, modified, held)) => self.event(Event::Chunk {
                handle,
                offset,
                bytes: &bytes,
                hole_bytes: 0,
                end,
                held,
                modified,
            }),
            Err(error) => self.event(Event::ReadFailed { handle, error }),
        }
    }

    #[allow(clippy::type_complexity)]
    pub(super) fn bytes(
        &mut self,
        handle: FileHandle,
        offset: u64,
        len: u32,
        head: Option<Head>,
    ) -> Result<(Vec<u8>, bool, Duration, bool), ReadError> {
        if self.random.one_in(60) {
            return Err(ReadError::Io);
        }
        let file = self.files.get(&handle.0).ok_or(ReadError::Gone)?;
        let inode = self.disk.inodes.get(&file.inode).ok_or(ReadError::Gone)?;
        let named = self.logs[&file.container]
            .names
            .values()
            .any(|&named| named == file.inode);
        if !file.open && !named {
            return Err(ReadError::Gone);
        }
        let held = file.held;
        let at = usize::try_from(offset).expect("an offset");
        if let Some(head) = head {
            let start = head.offset as usize;
            let first = inode.data.get(start..start + head.len as usize);
            if first.is_none_or(|first| head_hash(first) != head.hash) || inode.data.len() < at {
                return Err(ReadError::Replaced);
            }
        }
        if inode.torn && (at > inode.data.len() / 2 || offset == 0) {
            return Err(ReadError::Torn);
        }
        let rest = inode.data.get(at..).unwrap_or_default();
        let mut take = rest.len().min(len as usize);
        if take > 1 && self.random.one_in(4) {
            // A short read.
            take = 1 + self.random.below(take as u64) as usize;
        }
        Ok((
            rest[..take].to_vec(),
            take == rest.len(),
            inode.modified,
            held,
        ))
    }
}
