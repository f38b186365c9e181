//! Counters that the shell shows as metrics and status.

use crate::event::ContainerId;

/// Totals since the pipeline was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Log file bytes consumed.
    pub read_bytes: u64,
    /// Docker lines consumed.
    pub lines: u64,
    /// Entries written into bodies.
    pub entries: u64,
    /// Entries accepted by the service.
    pub accepted_entries: u64,
    /// Body bytes accepted by the service.
    pub accepted_bytes: u64,
    /// Batches accepted.
    pub accepted_batches: u64,
    /// Lines that were not Docker's JSON and were shipped as text.
    pub malformed_lines: u64,
    /// Lines skipped because they are older than the log's retention.
    pub expired_lines: u64,
    /// Lines skipped because they are older than `start_at` at the first start.
    pub skipped_lines: u64,
    /// NUL bytes (holes included) dropped.
    pub nul_bytes: u64,
    /// Parts that a long line was split into.
    pub parts: u64,
    /// Attempts that ended in [`crate::Outcome::Unavailable`].
    pub unavailable: u64,
    /// Attempts that ended in [`crate::Outcome::Refused`].
    pub refused: u64,
    /// Attempts that ended in [`crate::Outcome::Denied`].
    pub denied: u64,
    /// Entries that the service refused and that are in quarantine.
    pub quarantined: u64,
    /// Batches that were spooled.
    pub spooled: u64,
    /// Entries lost since the spool did not keep them.
    pub spool_lost_entries: u64,
    /// Checkpoints that failed to be saved.
    pub saves_failed: u64,
    /// Checkpoints saved.
    pub saves: u64,
    /// Gap markers written into bodies.
    pub gap_markers: u64,
    /// Losses reported, what is dropped for its age not counted.
    pub losses: u64,
    /// Bytes known to be lost (a lower bound).
    pub lost_bytes: u64,
}

impl std::ops::AddAssign for Stats {
    /// Of several pipelines.
    fn add_assign(&mut self, other: Self) {
        // Without `..`, so that no field is forgotten.
        let Self {
            read_bytes,
            lines,
            entries,
            accepted_entries,
            accepted_bytes,
            accepted_batches,
            malformed_lines,
            expired_lines,
            skipped_lines,
            nul_bytes,
            parts,
            unavailable,
            refused,
            denied,
            quarantined,
            spooled,
            spool_lost_entries,
            saves_failed,
            saves,
            losses,
            lost_bytes,
            gap_markers,
        } = other;
        self.read_bytes += read_bytes;
        self.lines += lines;
        self.entries += entries;
        self.accepted_entries += accepted_entries;
        self.accepted_bytes += accepted_bytes;
        self.accepted_batches += accepted_batches;
        self.malformed_lines += malformed_lines;
        self.expired_lines += expired_lines;
        self.skipped_lines += skipped_lines;
        self.nul_bytes += nul_bytes;
        self.parts += parts;
        self.unavailable += unavailable;
        self.refused += refused;
        self.denied += denied;
        self.quarantined += quarantined;
        self.spooled += spooled;
        self.spool_lost_entries += spool_lost_entries;
        self.saves_failed += saves_failed;
        self.saves += saves;
        self.losses += losses;
        self.lost_bytes += lost_bytes;
        self.gap_markers += gap_markers;
    }
}

/// What is going on now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Containers followed.
    pub containers: usize,
    /// Generations known to be on disk or held.
    pub generations: usize,
    /// Bytes of bodies and joins in memory.
    pub memory_bytes: usize,
    /// Batches being sent.
    pub in_flight: usize,
    /// Batches sealed and waiting, those being sent not counted.
    pub queued: usize,
    /// Batches in the spool.
    pub spooled: usize,
    /// Lines of some container are about to be lost.
    pub in_need: bool,
    /// Log file bytes seen on disk and not yet accepted; compressed files count as they are.
    pub lag_bytes: u64,
    /// The service is refusing us (401, 403, 404).
    pub denied: bool,
    /// The service cannot be reached or is throttling.
    pub unavailable: bool,
}

impl std::ops::AddAssign for Gauges {
    /// Of several pipelines.
    fn add_assign(&mut self, other: Self) {
        // Without `..`, so that no field is forgotten.
        let Self {
            containers,
            generations,
            memory_bytes,
            in_flight,
            queued,
            spooled,
            in_need,
            lag_bytes,
            denied,
            unavailable,
        } = other;
        self.containers += containers;
        self.generations += generations;
        self.memory_bytes += memory_bytes;
        self.in_flight += in_flight;
        self.queued += queued;
        self.spooled += spooled;
        self.in_need |= in_need;
        self.lag_bytes += lag_bytes;
        self.denied |= denied;
        self.unavailable |= unavailable;
    }
}

/// One container's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// Generations known.
    pub generations: usize,
    /// Bytes read, since the agent's start.
    pub read_bytes: u64,
    /// Bytes seen and not yet accepted.
    pub lag_bytes: u64,
    /// Bytes seen and not yet read.
    pub unread_bytes: u64,
    /// Time of the last line accepted; empty when there is none.
    pub last_time: String,
}
