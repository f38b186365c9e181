//! Exit codes: what a script may rely on.

use std::fmt;
use std::process::{ExitCode, ExitStatus};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(u8);

impl Exit {
    /// Done.
    pub const OK: Self = Self(0);
    /// Failed; also whatever has no code of its own.
    pub const FAILED: Self = Self(1);
    /// Wrong usage or configuration.
    pub const USAGE: Self = Self(2);
    /// Done, with warnings or in part.
    pub const WARNINGS: Self = Self(3);
    /// A check before the start refused; nothing was changed.
    pub const REFUSED: Self = Self(4);
    /// There is nothing to restore.
    pub const NOTHING_TO_RESTORE: Self = Self(10);
    /// Another run holds the lock.
    pub const LOCKED: Self = Self(11);
    /// What was read back is not what was written.
    pub const VERIFICATION_FAILED: Self = Self(12);
    /// A remote side does not answer in time.
    pub const REMOTE_UNREACHABLE: Self = Self(13);
    /// Interrupted by a signal.
    pub const INTERRUPTED: Self = Self(130);

    /// The number.
    pub fn code(self) -> u8 {
        self.0
    }

    /// Passes on the code of a program in a container.
    pub fn of_code(code: i64) -> Self {
        Self(u8::try_from(code).unwrap_or(1))
    }

    /// Passes on how a child ended, as a shell does: 128 + N for signal N.
    pub fn of_child(status: ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let code = status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal));
        Self(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The table that `platform-ops help exit-codes` shows.
pub const HELP: &str = "\
  0    done
  1    failed
  2    wrong usage or configuration
  3    done, with warnings or in part; doctor: warnings only
  4    a check before the start refused, nothing was changed; doctor: faults found
  10   there is nothing to restore
  11   another run holds the lock
  12   verification failed: what was read back is not what was written
  13   a remote side (the engine, a drill's container, Object Storage) does not answer in time
  130  interrupted by a signal

`app run` ends with the code of the program it ran. Any other code is a failure.";
