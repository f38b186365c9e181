//! What a run came to.

use crate::oracle::Summary;

/// What one run came to.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    pub summary: Summary,
    pub losses: u64,
    pub crashes: u64,
    /// Batches that went to the spool.
    pub spooled: u64,
    /// Losses in the ledger that can be judged.
    pub told: u64,
    /// Those of which everything arrived.
    pub vain: u64,
    /// A hash over all actions: two runs of a seed must agree.
    pub trace: u64,
}

impl Outcomes {
    pub fn add(&mut self, other: &Self) {
        self.summary.tokens += other.summary.tokens;
        self.summary.lost += other.summary.lost;
        self.losses += other.losses;
        self.crashes += other.crashes;
        self.spooled += other.spooled;
        self.told += other.told;
        self.vain += other.vain;
    }
}
