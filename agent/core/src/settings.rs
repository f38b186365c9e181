//! What the operator may choose, as the core sees it: resolved, checked, in bytes and durations.

use std::time::Duration;

/// Settings of one pipeline.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `source` of every LogEntryBatch: the host.
    pub source: String,
    /// Prefix of `type`; `.stdout` or `.stderr` is appended.
    pub type_prefix: String,
    /// Times with nanoseconds instead of microseconds.
    pub nanoseconds: bool,
    /// Append a mark to the text of each part of a split line.
    pub part_marks: bool,
    /// Put an entry into a container's log where lines of it are lost.
    pub gap_markers: bool,
    /// Cap of one request's body, bytes.
    pub batch_bytes_max: usize,
    /// A batch is sealed this long after its first entry.
    pub batch_age_max: Duration,
    /// Requests in flight at once.
    pub in_flight_max: usize,
    /// Bytes of bodies, joins and chunks held at once.
    pub memory_bytes_max: usize,
    /// Lines older than this at the very first start are skipped; RFC 3339 in UTC, empty = none.
    pub start_cutoff: String,
    /// Retention of the log at OCI: older lines are skipped and counted. Zero = no limit.
    pub retention: Duration,
    /// How often a file is looked at for growth when it last grew.
    pub poll_interval: Duration,
    /// How often at most when it has been quiet for long.
    pub poll_interval_max: Duration,
    /// A piece whose continuation does not come is shipped after this long.
    pub join_age_max: Duration,
    /// Least time between two checkpoints.
    pub save_interval: Duration,
    /// Body bytes a second; 0 = no limit.
    pub bytes_per_second_max: u64,
    /// There is a spool on disk for what is about to be lost.
    pub spool: bool,
    /// Seed of the jitter.
    pub seed: u64,
}
