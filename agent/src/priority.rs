//! The agent stands back: behind other programs for CPU and disk, within the limits of the
//! process, and without a core dump that would hold keys and log lines.

use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};

/// Descriptors that are no log files: sockets, inotify, the state folder, standard streams.
const DESCRIPTORS_OTHER: usize = 40;
/// Fewer log files than this cannot be worked with.
const OPEN_FILES_MIN: usize = 8;

/// Lowers this thread and those it starts to `nice`, and turns core dumps off.
///
/// The disk's priority follows: it is `(nice + 20) / 5` for a thread that has set none
/// (ioprio_set(2)).
pub fn stand_back(nice: i32) {
    if let Err(error) = setpriority_process(None, nice) {
        tracing::warn!(nice, %error, "cannot lower the priority: limits.nice");
    }
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "cannot turn core dumps off");
    }
}

/// Raises the limit of descriptors as far as it goes; how many log files may be open, `wanted`
/// at most.
pub fn open_files_max(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Refused or not, what counts is what is in force afterwards.
    let _ = setrlimit(Resource::Nofile, raised);
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return wanted;
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let room = limit.saturating_sub(DESCRIPTORS_OTHER).max(OPEN_FILES_MIN);
    if room < wanted {
        tracing::warn!(
            limit,
            wanted,
            room,
            "fewer log files than source.max_open_files can be held open: raise RLIMIT_NOFILE"
        );
    }
    wanted.min(room)
}
