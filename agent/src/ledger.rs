//! The loss ledger on disk: `ledger` in the state folder, mode 0600; [`agent_core::ledger`] states
//! its format.
//!
//! | file | holds |
//! |---|---|
//! | `ledger` | all losses; replaced whole (written aside, fsynced, renamed, folder fsynced) |
//! | `ledger.new` | one being written; of no meaning after a crash |
//! | `ledger.lock` | locked (flock) by whoever adds to it: the agent, or a command |
//! | `ledger.damaged` | the last one with lines that could not be read, kept for people |

pub mod command;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use agent_core::ledger::Ledger;
use rustix::fs::{FlockOperation, flock};

use crate::store::sequence::{Step, perform};

const CURRENT: &str = "ledger";
const NEW: &str = "ledger.new";
const LOCK: &str = "ledger.lock";
const DAMAGED: &str = "ledger.damaged";

/// What writing it does to the disk.
const STEPS: &[Step<'_>] = &[
    Step::Remove(NEW),
    Step::Write(NEW),
    Step::Sync,
    Step::Rename(NEW, CURRENT),
    Step::SyncFolder,
];

/// The ledger of a state folder.
#[derive(Clone, Debug)]
pub struct LedgerFile {
    dir: PathBuf,
}

impl LedgerFile {
    /// Of a state folder.
    pub fn new(state_dir: &Path) -> Self {
        Self {
            dir: state_dir.to_owned(),
        }
    }

    /// What is in it; nothing if it is not there.
    ///
    /// # Errors
    /// When it cannot be read, or another release wrote it.
    pub fn load(&self) -> io::Result<Ledger> {
        self.read().map(|(ledger, _)| ledger)
    }

    /// Adds losses; when this returns, they are on the disk. Gives all there are.
    ///
    /// # Errors
    /// Anything the kernel reports, fsync included: then they may or may not be there, and are
    /// to be added again, which counts none twice.
    pub fn add(&self, losses: &Ledger) -> io::Result<Ledger> {
        let mut options = File::options();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(self.dir.join(LOCK))?;
        // Closing it gives it back.
        flock(&lock, FlockOperation::LockExclusive)?;
        let (mut ledger, damaged) = self.read()?;
        if damaged > 0 {
            tracing::error!(
                lines = damaged,
                "{} is damaged: what can be read of it is kept, all of it in {DAMAGED}",
                self.dir.join(CURRENT).display()
            );
            fs::copy(self.dir.join(CURRENT), self.dir.join(DAMAGED))?;
        }
        ledger.absorb(losses.clone());
        perform(STEPS, &self.dir, &ledger.encode())?;
        Ok(ledger)
    }

    fn read(&self) -> io::Result<(Ledger, usize)> {
        let path = self.dir.join(CURRENT);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(<_>::default()),
            Err(error) => return Err(naming(&path, &error)),
        };
        Ledger::decode(&bytes).map_err(|found| {
            let text = format!(
                "format version {}, this release reads {}: run the release that wrote it",
                found.0,
                agent_core::ledger::VERSION
            );
            naming(&path, &io::Error::other(text))
        })
    }
}

fn naming(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use agent_core::ledger::Record;

    use super::*;

    fn losses(from: u64) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.add(Record {
            container: "ab".to_owned(),
            name: "web".to_owned(),
            generation: "0".to_owned(),
            from,
            to: Some(from + 5),
            bound: "exact".to_owned(),
            reason: "removed".to_owned(),
            told_at: "2026-11-25T14:40:00Z".to_owned(),
            last_time: String::new(),
            first_lost_time: String::new(),
            next_time: String::new(),
        });
        ledger
    }

    #[test]
    fn t67_what_is_added_is_found_and_private() {
        let root = tempfile::tempdir().unwrap();
        let file = LedgerFile::new(root.path());
        assert!(file.load().unwrap().is_empty());
        file.add(&losses(0)).unwrap();
        let all = file.add(&losses(10)).unwrap();
        assert_eq!(all.records().len(), 2);
        assert_eq!(file.load().unwrap(), all);
        for name in [CURRENT, LOCK] {
            let mode = fs::metadata(root.path().join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    /// Killed between any two steps, or in the middle of writing: the old one or the new one.
    #[test]
    fn t51_any_prefix_of_writing_leaves_the_old_or_the_new() {
        for taken in 0..=STEPS.len() {
            for cut in [0, 1, 40, usize::MAX] {
                let root = tempfile::tempdir().unwrap();
                let file = LedgerFile::new(root.path());
                file.add(&losses(0)).unwrap();
                let mut new = losses(0);
                new.absorb(losses(10));
                perform(&STEPS[..taken], root.path(), &new.encode()).unwrap();
                let aside = root.path().join(NEW);
                if let Ok(bytes) = fs::read(&aside) {
                    fs::write(&aside, &bytes[..cut.min(bytes.len())]).unwrap();
                }
                let renamed = STEPS[..taken].contains(&Step::Rename(NEW, CURRENT));
                assert_eq!(file.load().unwrap(), if renamed { new } else { losses(0) });
                // And the next one is not in its way.
                assert_eq!(file.add(&losses(20)).unwrap(), file.load().unwrap());
            }
        }
    }

    #[test]
    fn a_torn_line_is_survived_and_kept_for_people() {
        let root = tempfile::tempdir().unwrap();
        let file = LedgerFile::new(root.path());
        file.add(&losses(0)).unwrap();
        let path = root.path().join(CURRENT);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(b"{\"v\":1,\"kind\":\"lo");
        fs::write(&path, &bytes).unwrap();
        assert_eq!(file.load().unwrap(), losses(0));
        file.add(&losses(10)).unwrap();
        assert_eq!(file.load().unwrap().records().len(), 2);
        assert_eq!(fs::read(root.path().join(DAMAGED)).unwrap(), bytes);
    }

    #[test]
    fn what_cannot_be_written_is_an_error_and_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let file = LedgerFile::new(root.path());
        file.add(&losses(0)).unwrap();
        fs::create_dir(root.path().join(NEW)).unwrap();
        assert!(file.add(&losses(10)).is_err());
        assert_eq!(file.load().unwrap(), losses(0));
    }
}
