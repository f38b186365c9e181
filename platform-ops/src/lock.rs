//! One run at a time changes something: an advisory lock that names its owner.
//!
//! The kernel holds it (`flock`) as long as the run or a child of it lives, so a killed run leaves
//! none behind; the file's text only says who holds it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::failure::Failure;

/// How often a waiting run looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A killed run's `docker compose` works on, and holds the lock until it is done: a second one beside
/// it would get in its way.
const ORPHAN_WAIT: Duration = Duration::from_secs(180);

/// Who holds the lock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Owner {
    /// Process id.
    pub pid: i32,
    /// User id.
    pub uid: u32,
    /// The command, without arguments that may be secret.
    pub command: String,
    /// Since when.
    pub since: Timestamp,
}

/// The lock, held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock, waiting `wait` at most.
///
/// # Errors
/// [`Exit::LOCKED`] with the owner and its age; or the file cannot be made.
pub fn acquire(path: &Path, command: &str, wait: Duration) -> anyhow::Result<Lock> {
    let failed = || format!("take the lock {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(failed)?;
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .open(path)
        .with_context(failed)?;
    let begin = Instant::now();
    let deadline = begin + wait;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::WOULDBLOCK)
                if Instant::now() < deadline
                    || (begin.elapsed() < ORPHAN_WAIT && is_orphan(&mut file)) =>
            {
                std::thread::sleep(LOOK_AGAIN);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(held(&mut file).into()),
            Err(error) => return Err(error).with_context(failed),
        }
    }
    // Children inherit the lock.
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).with_context(failed)?;
    let owner = Owner {
        pid: rustix::process::getpid().as_raw_nonzero().get(),
        uid: rustix::process::getuid().as_raw(),
        command: command.to_owned(),
        since: Timestamp::now(),
    };
    file.set_len(0).with_context(failed)?;
    file.rewind().with_context(failed)?;
    file.write_all(&serde_json::to_vec(&owner)?)
        .with_context(failed)?;
    Ok(Lock { _file: file })
}

fn owner(file: &mut File) -> Option<Owner> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Whether the run that took it is gone.
fn is_orphan(file: &mut File) -> bool {
    let pid = owner(file).and_then(|owner| rustix::process::Pid::from_raw(owner.pid));
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH))
}

fn held(file: &mut File) -> Failure {
    let owner = owner(file);
    let what = match owner {
        Some(owner) => {
            let age = Timestamp::now().as_second() - owner.since.as_second();
            let age = Duration::from_secs(u64::try_from(age).unwrap_or(0));
            format!(
                "another run holds the lock: `{}`, pid {}, uid {}, since {} ({} ago)",
                owner.command,
                owner.pid,
                owner.uid,
                owner.since,
                humantime::format_duration(age)
            )
        }
        None => "another run holds the lock and has not yet said who it is".to_owned(),
    };
    Failure::new(Exit::LOCKED, what).try_next("wait for it: --lock-wait 10m")
}
