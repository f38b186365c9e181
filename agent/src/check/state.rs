//! The state folder, and what is in it.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use agent_core::CheckpointError;
use agent_core::checkpoint::Checkpoint;
use bytesize::ByteSize;

use super::finding::{Finding, Report, Verdict};
use super::right;
use crate::config::Config;
use crate::store;

const CHECK: &str = "state folder";
const CHECKPOINT: &str = "checkpoint";

/// Whether the next start is the very first one.
pub fn check(config: &Config, report: &mut Report) -> bool {
    let dir = &config.state.dir;
    report.add(writable(dir));
    if let Ok(Some(pid)) = store::holder(dir) {
        report.add(
            Finding::new(
                Verdict::Note,
                CHECK,
                dir.display().to_string(),
                "an agent runs on it",
            )
            .seen(format!("its lock is held, by process {pid}"))
            .then("`platform-agent status` tells how it is doing"),
        );
    }
    checkpoint(dir, report)
}

/// Writes a file into the folder and takes it away again. A folder that is not there is made by
/// the first start: then its nearest ancestor is tried.
fn writable(dir: &Path) -> Finding {
    let shown = dir.display().to_string();
    let Some(there) = dir.ancestors().find(|path| path.exists()) else {
        return Finding::new(Verdict::Error, CHECK, shown, "is below nothing that exists");
    };
    if !there.is_dir() {
        return Finding::new(Verdict::Error, CHECK, shown, "cannot be made")
            .seen(format!("{} is not a folder", there.display()))
            .then("set state.dir to a folder");
    }
    if let Err(error) = try_write(there) {
        let finding = right::denied(CHECK, shown, there, &error);
        return match error
            .raw_os_error()
            .map(rustix::io::Errno::from_raw_os_error)
        {
            Some(rustix::io::Errno::ROFS) => finding.then(
                "the file system is read-only: mount a volume at state.dir (compose: volumes)",
            ),
            Some(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT) => {
                finding.then("make room on that disk")
            }
            _ => finding.then("make it writable for us, or set state.dir to another folder"),
        };
    }
    let what = match there == dir {
        true => "can be written to",
        false => "will be made by the first start",
    };
    Finding::new(Verdict::Ok, CHECK, shown, what).seen(free(there))
}

/// Writes and syncs a file there, and removes it.
///
/// # Errors
/// When that is not possible.
pub fn try_write(dir: &Path) -> io::Result<()> {
    let path = dir.join(format!(".platform-agent-check.{}", std::process::id()));
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    let written = file
        .write_all(&[0; 4096])
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(dir)?.sync_all());
    std::fs::remove_file(&path)?;
    written
}

fn free(dir: &Path) -> String {
    match rustix::fs::statvfs(dir) {
        Ok(stat) => format!("{} are free", ByteSize(stat.f_bavail * stat.f_frsize)),
        Err(error) => format!("free space is not known: {error}"),
    }
}

fn checkpoint(dir: &Path, report: &mut Report) -> bool {
    let found = match store::peek(dir) {
        Ok(found) => found,
        Err(error) => {
            report.add(right::denied(
                CHECKPOINT,
                dir.display().to_string(),
                dir,
                &error,
            ));
            return false;
        }
    };
    let Some(newest) = found.first() else {
        report.ok(CHECKPOINT, "", "there is none: the next start is the first");
        return true;
    };
    match Checkpoint::decode(&newest.bytes) {
        Ok(checkpoint) => {
            report.add(
                Finding::new(
                    Verdict::Ok,
                    CHECKPOINT,
                    "",
                    "the agent goes on where it stopped",
                )
                .seen(format!(
                    "it knows {} containers",
                    checkpoint.containers.len()
                )),
            );
            false
        }
        Err(error @ CheckpointError::Version(_)) => {
            report.add(
                Finding::new(Verdict::Error, CHECKPOINT, "", error.to_string())
                    .then("or, to begin anew, move the state folder away"),
            );
            false
        }
        Err(error) => {
            let rest = found[1..]
                .iter()
                .any(|found| Checkpoint::decode(&found.bytes).is_ok());
            let finding = match rest {
                true => Finding::new(
                    Verdict::Warning,
                    CHECKPOINT,
                    "",
                    "the newest is damaged, the one before is sound: some lines will repeat",
                ),
                false => Finding::new(
                    Verdict::Warning,
                    CHECKPOINT,
                    "",
                    "none is sound: the next start begins as the first one did",
                ),
            };
            report.add(
                finding
                    .seen(error.to_string())
                    .then("look at the disk (dmesg); the agent keeps the damaged file for you"),
            );
            !rest
        }
    }
}
