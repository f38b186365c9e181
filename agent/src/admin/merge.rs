//! One state out of those of several pipelines.

use super::Snapshot;

impl Snapshot {
    /// Adds another pipeline's.
    pub(super) fn add(&mut self, other: Self) {
        // Without `..`, so that no field is forgotten.
        let Self {
            at,
            stats,
            gauges,
            containers,
            left_out,
            losses,
            send_error,
            save_failed,
            quarantine_error,
            spool,
            spool_error,
            first_to_lose,
            containers_error,
            open_files,
            held_bytes,
            evicted_bytes,
            watch_whole,
            has_looked,
            // Of all of them.
            sign_in: _,
        } = other;
        self.at = self.at.min(at);
        self.stats += stats;
        self.gauges += gauges;
        self.containers.extend(containers);
        self.left_out.extend(left_out);
        self.losses.absorb(losses);
        self.send_error = self.send_error.take().or(send_error);
        self.save_failed |= save_failed;
        self.quarantine_error = self.quarantine_error.take().or(quarantine_error);
        // All share one; who used it last knows best.
        if spool.at > self.spool.at {
            self.spool = spool;
        }
        self.spool_error = self.spool_error.take().or(spool_error);
        let first = self.first_to_lose.take().into_iter().chain(first_to_lose);
        self.first_to_lose = first.min_by_key(|(_, left)| *left);
        self.containers_error = self.containers_error.take().or(containers_error);
        self.open_files += open_files;
        self.held_bytes += held_bytes;
        self.evicted_bytes += evicted_bytes;
        self.watch_whole &= watch_whole;
        self.has_looked &= has_looked;
    }
}
