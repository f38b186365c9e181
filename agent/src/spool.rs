//! The spool: batches that could not be sent while rotation was about to delete their lines, in the
//! folder `spool` of the state folder, until they are sent.
//!
//! A batch is a file `<number, 16 hex digits>.spool` (0600); lower numbers are older. `new` is one
//! being written and of no meaning after a crash; `….damaged` is kept for people. All pipelines
//! share it: their number may change between two starts.

pub mod segment;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use agent_core::spool::{Body, Covered, Spooled, Unspooled};
use agent_core::{BatchId, ContainerId};

use crate::disk::MinFree;
use crate::store::sequence::{Step, perform};
pub use worker::{Answer, Asking, Request, start};

const FOLDER: &str = "spool";
const NEW: &str = "new";
const SUFFIX: &str = ".spool";

/// Where it is in a state folder.
pub fn folder(state: &Path) -> PathBuf {
    state.join(FOLDER)
}

/// The name is one of a batch.
pub fn is_segment(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(number_of).is_some()
}

/// What is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Batches.
    pub segments: usize,
    /// Bytes on disk.
    pub bytes: u64,
    /// Counts what was done to it.
    pub at: u64,
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
    /// Files by number, with their lengths.
    files: BTreeMap<u64, u64>,
    /// Which pipeline's which batch is in which file.
    batches: BTreeMap<(usize, BatchId), u64>,
    /// Files that turned out to be damaged.
    damaged: BTreeSet<u64>,
    at: u64,
}

impl Spool {
    /// Opens the spool in a state folder, which is ours.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(state: &Path, bytes_max: u64, min_free: MinFree) -> io::Result<Self> {
        let folder = folder(state);
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&folder)?;
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if let Some(number) = entry.file_name().to_str().and_then(number_of) {
                files.insert(number, entry.metadata()?.len());
            }
        }
        Ok(Self {
            folder,
            bytes_max,
            min_free,
            files,
            batches: BTreeMap::new(),
            damaged: BTreeSet::new(),
            at: 0,
        })
    }

    /// What is in it, oldest first, under the numbers of its files. Of a segment whose start is
    /// damaged nothing is known but that it is there.
    pub fn found(&self) -> Vec<Spooled> {
        let found = |&number: &u64| {
            let file = File::open(self.path(number)).ok();
            let header = file.and_then(|file| segment::header(file).ok());
            let header = header.unwrap_or_default();
            let ids = header.containers.iter();
            Spooled {
                batch: BatchId(number),
                containers: ids.filter_map(|id| ContainerId::from_hex(id)).collect(),
                entries: header.entries(),
                bytes: usize::try_from(header.bytes()).unwrap_or(usize::MAX),
                covered: header.covered,
            }
        };
        self.files.keys().map(found).collect()
    }

    /// This pipeline sends what was found.
    pub fn assign(&mut self, pipeline: usize, found: &[Spooled]) {
        let batches = found.iter().map(|it| ((pipeline, it.batch), it.batch.0));
        self.batches.extend(batches);
    }

    /// How much is in it.
    pub fn usage(&self) -> Usage {
        Usage {
            segments: self.files.len(),
            bytes: self.files.values().sum(),
            at: self.at,
        }
    }

    /// Keeps a batch of a pipeline; when this returns, it is on the disk.
    ///
    /// # Errors
    /// When there is no room for it, or the disk fails. Then it is not there.
    pub fn keep(
        &mut self,
        whose: (usize, BatchId),
        containers: &[ContainerId],
        covered: Vec<Covered>,
        bodies: &[Body],
    ) -> Result<(), SpoolError> {
        self.at += 1;
        let failed = |source| SpoolError::Io {
            folder: self.folder.clone(),
            source,
        };
        let file = segment::encode(containers, covered, bodies);
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
        let number = self.files.keys().next_back().map_or(1, |last| last + 1);
        perform(&keeping(&name_of(number)), &self.folder, &file).map_err(failed)?;
        self.files.insert(number, len);
        self.batches.insert(whose, number);
        Ok(())
    }

    /// The bodies of a batch. What turns out to be damaged stays until it is forgotten.
    pub fn find(&mut self, whose: (usize, BatchId)) -> Unspooled {
        self.at += 1;
        let Some(&number) = self.batches.get(&whose) else {
            return Unspooled::Damaged(Vec::new());
        };
        let path = self.path(number);
        let file = match fs::read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::error!("{} is gone", path.display());
                return Unspooled::Damaged(Vec::new());
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
                let segment::Header {
                    containers,
                    covered,
                    ..
                } = segment::header(&*file).unwrap_or_default();
                tracing::error!(?containers, "{}: {error}", path.display());
                self.damaged.insert(number);
                Unspooled::Damaged(covered)
            }
        }
    }

    /// A batch is sent, and may be there again after a power cut: then it is sent again. Or its
    /// loss is in the ledger: it is set aside for people.
    pub fn forget(&mut self, whose: (usize, BatchId)) {
        self.at += 1;
        let Some(number) = self.drop(whose) else {
            return;
        };
        let path = self.path(number);
        let done = match self.damaged.remove(&number) {
            true => fs::rename(&path, path.with_extension("damaged")),
            false => fs::remove_file(&path),
        };
        match done {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("{} cannot be removed: {error}", path.display());
            }
            _ => {}
        }
    }

    fn drop(&mut self, whose: (usize, BatchId)) -> Option<u64> {
        let number = self.batches.remove(&whose)?;
        self.files.remove(&number);
        Some(number)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(name_of(number))
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

fn name_of(number: u64) -> String {
    format!("{number:016x}{SUFFIX}")
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX).filter(|it| it.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests;
