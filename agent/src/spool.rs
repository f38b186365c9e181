//! The spool: batches that could not be sent while rotation was about to delete their lines, in the
//! folder `spool` of the state folder, until they are sent.
//!
//! A batch is a file `<its number, 16 hex digits>.spool` (0600); lower numbers are older. `new` is
//! one being written and of no meaning after a crash; `….damaged` is kept for people.

pub mod segment;
mod worker;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use agent_core::spool::{Body, Spooled, Unspooled};
use agent_core::{BatchId, ContainerId};

use crate::disk::MinFree;
use crate::store::sequence::{Step, perform};
pub use worker::{Answer, Request, start};

const FOLDER: &str = "spool";
const NEW: &str = "new";
const SUFFIX: &str = ".spool";

/// What is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Batches.
    pub segments: usize,
    /// Bytes on disk.
    pub bytes: u64,
}

/// Why a batch is not kept.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The operator's bound.
    #[error("the spool is full: {bytes} bytes, spool.max_bytes is {bytes_max}")]
    Full {
        /// In it.
        bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// The floor of free disk.
    #[error("the disk of {} is below limits.min_free", folder.display())]
    BelowFloor {
        /// The spool's.
        folder: PathBuf,
    },
    /// The disk.
    #[error("{}: {source}", folder.display())]
    Io {
        /// The spool's.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The spool of one state folder.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    bytes_max: u64,
    min_free: MinFree,
    segments: BTreeMap<BatchId, u64>,
}

impl Spool {
    /// Opens the spool in a state folder, which is ours.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(state: &Path, bytes_max: u64, min_free: MinFree) -> io::Result<Self> {
        let folder = state.join(FOLDER);
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&folder)?;
        let mut segments = BTreeMap::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if let Some(batch) = entry.file_name().to_str().and_then(batch_of) {
                segments.insert(batch, entry.metadata()?.len());
            }
        }
        Ok(Self {
            folder,
            bytes_max,
            min_free,
            segments,
        })
    }

    /// What is in it, oldest first. Of a segment whose start is damaged nothing is known but that
    /// it is there.
    pub fn found(&self) -> Vec<Spooled> {
        let found = |&batch: &BatchId| {
            let file = File::open(self.path(batch)).ok();
            let header = file.and_then(|file| segment::header(file).ok());
            let header = header.unwrap_or_default();
            let ids = header.containers.iter();
            Spooled {
                batch,
                containers: ids.filter_map(|id| ContainerId::from_hex(id)).collect(),
                entries: header.entries(),
                bytes: usize::try_from(header.bytes()).unwrap_or(usize::MAX),
            }
        };
        self.segments.keys().map(found).collect()
    }

    /// How much is in it.
    pub fn usage(&self) -> Usage {
        Usage {
            segments: self.segments.len(),
            bytes: self.segments.values().sum(),
        }
    }

    /// Keeps a batch; when this returns, it is on the disk.
    ///
    /// # Errors
    /// When there is no room for it, or the disk fails. Then it is not there.
    pub fn keep(
        &mut self,
        batch: BatchId,
        containers: &[ContainerId],
        bodies: &[Body],
    ) -> Result<(), SpoolError> {
        let failed = |source| SpoolError::Io {
            folder: self.folder.clone(),
            source,
        };
        let file = segment::encode(containers, bodies);
        let len = file.len() as u64;
        let Usage { bytes, .. } = self.usage();
        if bytes + len > self.bytes_max {
            let bytes_max = self.bytes_max;
            return Err(SpoolError::Full { bytes, bytes_max });
        }
        if self.min_free.shortage(&self.folder).map_err(failed)? > 0 {
            let folder = self.folder.clone();
            return Err(SpoolError::BelowFloor { folder });
        }
        let name = name_of(batch);
        perform(&keeping(&name), &self.folder, &file).map_err(failed)?;
        self.segments.insert(batch, len);
        Ok(())
    }

    /// The bodies of a batch. What turns out to be damaged is set aside, with a word.
    pub fn find(&mut self, batch: BatchId) -> Unspooled {
        let path = self.path(batch);
        let file = match fs::read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::error!("{} is gone", path.display());
                self.segments.remove(&batch);
                return Unspooled::Damaged;
            }
            Err(error) => {
                tracing::warn!("{} cannot be read: {error}", path.display());
                return Unspooled::Unreadable;
            }
        };
        match segment::decode(&file) {
            Ok(bodies) => Unspooled::Found(bodies),
            // An upgrade taken back: the release that wrote it will send it.
            Err(error @ segment::SegmentError::Version(_)) => {
                tracing::error!("{}: {error}", path.display());
                Unspooled::Unreadable
            }
            Err(error) => {
                let containers = segment::header(&*file).unwrap_or_default().containers;
                tracing::error!(?containers, "{}: {error}", path.display());
                let aside = fs::rename(&path, path.with_extension("damaged"));
                if let Err(error) = aside {
                    tracing::warn!("{} cannot be renamed: {error}", path.display());
                }
                self.segments.remove(&batch);
                Unspooled::Damaged
            }
        }
    }

    /// A batch is sent. It may be there again after a power cut: then it is sent again.
    pub fn forget(&mut self, batch: BatchId) {
        if self.segments.remove(&batch).is_some()
            && let Err(error) = fs::remove_file(self.path(batch))
        {
            tracing::warn!("{} cannot be removed: {error}", self.path(batch).display());
        }
    }

    fn path(&self, batch: BatchId) -> PathBuf {
        self.folder.join(name_of(batch))
    }
}

/// What keeping a segment does to the disk.
fn keeping(name: &str) -> [Step<'_>; 5] {
    [
        Step::Remove(NEW),
        Step::Write(NEW),
        Step::Sync,
        Step::Rename(NEW, name),
        Step::SyncFolder,
    ]
}

fn name_of(batch: BatchId) -> String {
    format!("{:016x}{SUFFIX}", batch.0)
}

fn batch_of(name: &str) -> Option<BatchId> {
    let digits = name.strip_suffix(SUFFIX).filter(|it| it.len() == 16)?;
    u64::from_str_radix(digits, 16).ok().map(BatchId)
}

#[cfg(test)]
mod tests;
