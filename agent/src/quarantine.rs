//! Entries that OCI refuses while it accepts others, kept on disk with its answer.
//!
//! `quarantine/<id>.json` in the state folder, mode 0600, one entry each, version 1:
//! ```json
//! {"version":1,"refused_at":"2026-11-25T14:40:00Z","answer":"…","body":{…}}
//! ```
//! `body` is one PutLogs body as it was refused, `answer` what the service said (status, code,
//! message, opc-request-id). `<id>` is the start of the SHA-256 of the body: an entry that is
//! refused again after a crash has the same file. A file is there whole or not at all (written
//! aside, fsynced, renamed, folder fsynced).

pub mod command;
pub mod record;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
pub use record::Record;

use crate::store::sequence::{Step, perform};

const FOLDER: &str = "quarantine";
const SUFFIX: &str = ".json";
const NEW: &str = "new";
/// Digits of the digest that name a file.
const ID_DIGITS: usize = 16;

/// The folder of refused entries.
#[derive(Clone, Debug)]
pub struct Quarantine {
    folder: PathBuf,
    bytes_max: u64,
}

impl Quarantine {
    /// Of a state folder; `bytes_max` bounds the files in it.
    pub fn new(state_dir: &Path, bytes_max: u64) -> Self {
        Self {
            folder: state_dir.join(FOLDER),
            bytes_max,
        }
    }

    /// Keeps a body with one entry; when this returns, it is on the disk.
    ///
    /// # Errors
    /// When the disk does not take it, or the folder would grow beyond its bound.
    pub fn keep(&self, body: &[u8], answer: String, now: Timestamp) -> io::Result<String> {
        let id = id(body);
        let record = Record::new(body, answer, now.to_string());
        let bytes = record.and_then(|record| record.encode()).map_err(invalid)?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let path = self.path(&id);
        if self.bytes()? + bytes.len() as u64 > self.bytes_max && !path.try_exists()? {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("{} is full: quarantine.max_bytes", self.folder.display()),
            ));
        }
        let name = file_name(&id);
        let steps = [
            Step::Remove(NEW),
            Step::Write(NEW),
            Step::Sync,
            Step::Rename(NEW, &name),
            Step::SyncFolder,
        ];
        perform(&steps, &self.folder, &bytes)?;
        Ok(id)
    }

    /// The ids of what is kept, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be read; a missing one is empty.
    pub fn ids(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        for entry in self.entries()? {
            let entry = entry?;
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            if let Some(id) = id {
                found.push((entry.metadata()?.modified()?, id.to_owned()));
            }
        }
        found.sort();
        Ok(found.into_iter().map(|(_, id)| id).collect())
    }

    /// What is kept under an id.
    ///
    /// # Errors
    /// When it is not there, or not a record that this release reads.
    pub fn get(&self, id: &str) -> io::Result<Record> {
        Record::decode(&fs::read(self.path(id))?).map_err(invalid)
    }

    /// Forgets what is kept under an id.
    ///
    /// # Errors
    /// When it is not there, or cannot be removed.
    pub fn drop(&self, id: &str) -> io::Result<()> {
        fs::remove_file(self.path(id))?;
        File::open(&self.folder)?.sync_all()
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(file_name(id))
    }

    fn bytes(&self) -> io::Result<u64> {
        self.entries()?
            .map(|entry| entry.and_then(|entry| entry.metadata()).map(|m| m.len()))
            .sum()
    }

    fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
        let read = match fs::read_dir(&self.folder) {
            Ok(read) => Some(read),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(read.into_iter().flatten())
    }
}

fn invalid(error: record::RecordError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// An id is a file's name: nothing else of the disk is named by it.
fn file_name(id: &str) -> String {
    let plain: String = id.chars().filter(char::is_ascii_alphanumeric).collect();
    plain + SUFFIX
}

fn id(body: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, body);
    let hex: String = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    hex[..ID_DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const BODY: &[u8] =
        br#"{"specversion":"1.0","logEntryBatches":[{"entries":[{"data":"\u0041"}]}]}"#;

    fn keep(quarantine: &Quarantine, body: &[u8]) -> io::Result<String> {
        quarantine.keep(
            body,
            "400 InvalidParameter".to_owned(),
            Timestamp::UNIX_EPOCH,
        )
    }

    #[test]
    fn what_is_kept_is_found_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(root.path(), 1 << 20);
        assert!(quarantine.ids().unwrap().is_empty());
        let id = keep(&quarantine, BODY).unwrap();
        assert_eq!(keep(&quarantine, BODY).unwrap(), id);
        assert_eq!(quarantine.ids().unwrap(), std::slice::from_ref(&id));
        let record = quarantine.get(&id).unwrap();
        assert_eq!(record.body.get().as_bytes(), BODY);
        assert_eq!(record.answer, "400 InvalidParameter");
        let mode = fs::metadata(quarantine.path(&id))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        quarantine.drop(&id).unwrap();
        assert!(quarantine.ids().unwrap().is_empty());
        assert!(quarantine.drop(&id).is_err());
    }

    #[test]
    fn it_has_a_bound() {
        let root = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(root.path(), 250);
        keep(&quarantine, BODY).unwrap();
        let error = keep(&quarantine, b"{\"another\":1}").unwrap_err();
        assert!(
            error.to_string().contains("quarantine.max_bytes"),
            "{error}"
        );
        // What is there already needs no room.
        keep(&quarantine, BODY).unwrap();
    }

    #[test]
    fn any_prefix_of_writing_leaves_a_whole_file_or_none() {
        let root = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(root.path(), 1 << 20);
        let id = keep(&quarantine, BODY).unwrap();
        let whole = fs::read(quarantine.path(&id)).unwrap();
        quarantine.drop(&id).unwrap();
        for len in 0..whole.len() {
            fs::write(quarantine.folder.join(NEW), &whole[..len]).unwrap();
            assert!(quarantine.ids().unwrap().is_empty());
        }
        keep(&quarantine, BODY).unwrap();
        assert_eq!(fs::read(quarantine.path(&id)).unwrap(), whole);
    }

    #[test]
    fn an_id_names_nothing_outside() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("checkpoint.json"), b"{}").unwrap();
        let quarantine = Quarantine::new(root.path(), 1 << 20);
        assert!(quarantine.drop("../checkpoint").is_err());
        assert!(root.path().join("checkpoint.json").exists());
    }
}
