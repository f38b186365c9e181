//! Finding out what the files of a listing are before the chain takes it: files that are not
//! known beyond doubt have their first line read.

use crate::chain::Chain;
use crate::event::{Chunk, FileHandle, Listed, Listing, ReadError};
use crate::file_id::{Fingerprint, Start, look};
use crate::identity::Candidate;
use crate::limits::HEAD_BYTES_MAX;

/// What is known of a listed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Unknown {
        offset: u64,
    },
    /// With the bytes that are known to stand behind it.
    Line(Fingerprint, u64),
    Known(u64),
    /// Empty, or its first line is not whole yet.
    Unborn,
    /// Its gzip stream is damaged: left out of the chain.
    Torn,
    /// Cannot be read: left out of the chain this time.
    Unreadable,
}

/// A listing whose files are being identified, or another look at one file.
#[derive(Debug)]
pub struct Probe {
    removed: bool,
    files: Vec<(Listed, Finding)>,
    /// It is about the file that had no first line, and nothing else.
    again: bool,
    /// Reads that failed.
    failed: u32,
    /// The folder has changed since it was listed.
    stale: bool,
    unstable: bool,
    /// Files that turned out shorter than they were listed.
    pub shrunk: Vec<Listed>,
}

/// A listing whose files are identified.
#[derive(Debug)]
pub struct Identified {
    /// Oldest first.
    pub files: Vec<Candidate>,
    /// The current file, when it has no first line yet.
    pub unborn: Option<Listed>,
    /// Some compressed file is damaged, or not finished.
    pub torn: bool,
    /// Files that could not be read: look again later.
    pub unreadable: Vec<FileHandle>,
    /// Some file could not be read, or may have been missed.
    pub partial: bool,
    /// The folder changed all the time.
    pub unstable: bool,
    /// The folder is gone.
    pub removed: bool,
}

/// Reads that may fail before a file is left out of the chain.
const READS_MAX: u32 = 8;

impl Probe {
    /// `remembered` are first lines of files that were read for an earlier listing.
    pub fn new(listing: Listing, chain: &Chain, remembered: &[(Listed, Fingerprint)]) -> Self {
        let mut files: Vec<Listed> = listing.files;
        files.sort_by_key(|file| (std::cmp::Reverse(file.position), file.compressed));
        // Of a plain file and its compressed twin the plain one is whole.
        files.dedup_by(|twin, plain| twin.position == plain.position && twin.compressed);
        // Renamed while it was looked at, it was seen under both names: the newer one is not there
        // for sure, but what is current must not be taken for closed.
        let mut seen = Vec::new();
        files.reverse();
        files.retain(|file| {
            let new = !seen.contains(&file.handle);
            seen.push(file.handle);
            new
        });
        files.reverse();
        let finding = |file: &Listed| {
            if let Some(key) = chain.known(file) {
                return Finding::Known(key);
            }
            let same = |known: &&(Listed, Fingerprint)| {
                let known = &known.0;
                known.handle == file.handle
                    && (known.size, known.modified) == (file.size, file.modified)
            };
            match remembered.iter().find(same) {
                Some(&(_, fingerprint)) => Finding::Line(fingerprint, file.size),
                None if file.size == 0 => Finding::Unborn,
                None => Finding::Unknown { offset: 0 },
            }
        };
        let files = files
            .into_iter()
            .map(|file| (file, finding(&file)))
            .collect();
        Self {
            removed: listing.container.removed,
            files,
            again: false,
            failed: 0,
            stale: false,
            unstable: listing.unstable,
            shrunk: Vec::new(),
        }
    }

    /// Another look at the file that had no first line. It is closed if its position is not 0.
    pub fn again(unborn: Listed) -> Self {
        Self {
            removed: false,
            files: vec![(unborn, Finding::Unknown { offset: 0 })],
            again: true,
            failed: 0,
            stale: false,
            unstable: false,
            shrunk: Vec::new(),
        }
    }

    /// The next file to be read, and where.
    pub fn wanted(&self) -> Option<(FileHandle, u64)> {
        if self.stale {
            return None;
        }
        self.files.iter().find_map(|(file, finding)| match finding {
            Finding::Unknown { offset } => Some((file.handle, *offset)),
            _ => None,
        })
    }

    /// The last read failed and is to be tried again.
    pub fn waits(&self) -> bool {
        self.failed > 0 && self.wanted().is_some()
    }

    /// The file that it is about, when it is no listing's.
    pub fn about(&self) -> Option<FileHandle> {
        self.files
            .first()
            .filter(|_| self.again)
            .map(|(file, _)| file.handle)
    }

    /// All files of the listing.
    pub fn files(&self) -> Vec<Listed> {
        self.files.iter().map(|&(file, _)| file).collect()
    }

    /// Files with bytes that the chain will not know by this, and that no descriptor holds.
    pub fn unread(&self) -> Vec<Listed> {
        let unread = self.files.iter().filter(|(file, finding)| {
            let is_identified = match finding {
                Finding::Known(_) => true,
                // What was found out for a listing that is not taken is forgotten with it.
                Finding::Line(..) => !self.stale,
                _ => false,
            };
            !is_identified && file.size > 0 && !file.compressed && !file.held
        });
        unread.map(|&(file, _)| file).collect()
    }

    /// The folder has changed since it was listed: nothing follows from this.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// The answer to [`Probe::wanted`]: `bytes` from `offset`, NULs being in front of that.
    pub fn read(&mut self, chunk: &Chunk<'_>) {
        let &Chunk {
            handle,
            offset,
            bytes,
            end,
            ..
        } = chunk;
        let removed = self.removed;
        let Some((file, finding)) = self.files.iter_mut().find(|(file, finding)| {
            file.handle == handle && matches!(finding, Finding::Unknown { .. })
        }) else {
            return;
        };
        file.held &= chunk.held;
        // Without a descriptor another file may have taken the inode.
        if !chunk.held && file.modified != chunk.modified {
            match self.again {
                true => *finding = Finding::Unreadable,
                false => self.stale = true,
            }
            return;
        }
        let there = offset + bytes.len() as u64;
        // What has changed since it was listed may have been truncated, and be another file.
        let sure = match file.modified == chunk.modified {
            true => file.size,
            false => there.min(file.size),
        };
        if end && !file.compressed && there < file.size {
            self.shrunk.push(*file);
            file.size = there;
        }
        let finished = end && (file.position > 0 || removed);
        let more = !end && bytes.len() < HEAD_BYTES_MAX && !bytes.is_empty();
        *finding = match look(bytes, offset, finished) {
            // A short read: its witness may stand behind it.
            Start::Line(fingerprint) if more && !fingerprint.is_unique() => {
                Finding::Unknown { offset }
            }
            Start::Line(fingerprint) => Finding::Line(fingerprint, sure),
            Start::Partial | Start::Nothing if end || bytes.is_empty() => Finding::Unborn,
            // A short read says nothing about the file.
            Start::Partial => Finding::Unknown { offset },
            Start::Nothing => Finding::Unknown {
                offset: offset + bytes.len() as u64,
            },
        };
    }

    /// [`Probe::wanted`] could not be read. True when it is worth saying: a damaged file.
    pub fn failed(&mut self, handle: FileHandle, error: ReadError) -> Option<Listed> {
        if error == ReadError::Io && self.failed < READS_MAX {
            // What is left out of the chain would be forgotten when it loses its name.
            self.failed += 1;
            return None;
        }
        let (file, finding) = self.wanted_mut(handle)?;
        let torn = error == ReadError::Torn;
        *finding = if torn {
            Finding::Torn
        } else {
            Finding::Unreadable
        };
        torn.then_some(*file)
    }

    /// All files are identified.
    pub fn finish(self, chain: &Chain) -> Identified {
        let mut identified = Identified {
            files: Vec::new(),
            unborn: None,
            unreadable: Vec::new(),
            torn: false,
            partial: self.unstable,
            unstable: self.unstable,
            removed: self.removed,
        };
        for (listed, finding) in self.files {
            let (fingerprint, sure_size, known) = match finding {
                Finding::Line(fingerprint, sure) => (Some(fingerprint), sure, None),
                Finding::Known(key) => (None, listed.size, Some(key)),
                Finding::Unborn => {
                    // A rotated file that never got a byte is nothing; the current one will.
                    if listed.position == 0 {
                        identified.unborn = Some(listed);
                    }
                    continue;
                }
                Finding::Torn => {
                    identified.torn = true;
                    continue;
                }
                Finding::Unreadable | Finding::Unknown { .. } => {
                    identified.unreadable.push(listed.handle);
                    identified.partial = true;
                    continue;
                }
            };
            let of_chain = || {
                known
                    .and_then(|key| chain.get(key))
                    .map(|known| known.fingerprint)
            };
            let Some(fingerprint) = fingerprint.or_else(of_chain) else {
                continue;
            };
            identified.files.push(Candidate {
                listed,
                fingerprint,
                sure_size,
                known,
            });
        }
        identified
    }

    fn wanted_mut(&mut self, handle: FileHandle) -> Option<&mut (Listed, Finding)> {
        self.files.iter_mut().find(|(file, finding)| {
            file.handle == handle && matches!(finding, Finding::Unknown { .. })
        })
    }
}
