//! What is lost: which bytes, how surely, why, and between which times.

use crate::entry::GenerationId;
use crate::event::ContainerId;

/// Bytes that were never shipped and never will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Whose.
    pub container: ContainerId,
    /// Its name when it was lost.
    pub name: String,
    /// The generation, which stands in entry ids; of a file that went before its first line was
    /// read, [`crate::file_id::unread_id`].
    pub generation: GenerationId,
    /// First byte lost.
    pub from: u64,
    /// One past the last byte known to have been there; `None` when none is known behind `from`.
    pub to: Option<u64>,
    /// How `from` and `to` bound the truth.
    pub bound: Bound,
    /// Why.
    pub reason: LossReason,
    /// Time of the last line shipped before it; empty when there is none.
    pub last_time: String,
    /// Time of the first line lost, where that was seen; empty where not.
    pub first_lost_time: String,
    /// Time of the first line that is there behind it; empty while none is.
    pub next_time: String,
}

impl Loss {
    /// Bytes known to be lost.
    pub fn bytes(&self) -> u64 {
        self.to.map_or(0, |to| to.saturating_sub(self.from))
    }
}

/// How a range of lost bytes bounds the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Bytes behind `to` may be lost, too: the file could still grow when it was last seen.
    pub may_be_more: bool,
    /// Some of it may have been shipped: an agent that was killed may have got further than its
    /// last checkpoint says; or lines lie between that were shipped.
    pub may_be_less: bool,
}

impl Bound {
    /// The range is the truth.
    pub const EXACT: Self = Self {
        may_be_more: false,
        may_be_less: false,
    };

    /// The word used in the ledger.
    pub fn as_str(self) -> &'static str {
        match (self.may_be_more, self.may_be_less) {
            (false, false) => "exact",
            (true, false) => "at_least",
            (false, true) => "at_most",
            (true, true) => "about",
        }
    }

    /// As [`Bound::as_str`] wrote it.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [(false, false), (true, false), (false, true), (true, true)];
        all.into_iter()
            .map(|(may_be_more, may_be_less)| Self {
                may_be_more,
                may_be_less,
            })
            .find(|bound| bound.as_str() == word)
    }
}

/// Why bytes were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossReason {
    /// Rotation removed the file before it was read.
    RotatedAway,
    /// The container's folder went with unread bytes in it.
    Removed,
    /// The file was truncated, or replaced in place.
    Truncated,
    /// A compressed file is damaged beyond this point.
    Damaged,
    /// The agent let go of a deleted file at a bound that the operator set.
    Evicted,
    /// Older than the log's retention: the service would drop it.
    Expired,
    /// It was in a batch that the spool did not keep.
    SpoolDamaged,
}

impl LossReason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::RotatedAway,
        Self::Removed,
        Self::Truncated,
        Self::Damaged,
        Self::Evicted,
        Self::Expired,
        Self::SpoolDamaged,
    ];

    /// The word used in metrics, logs and the ledger.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RotatedAway => "rotated_away",
            Self::Removed => "removed",
            Self::Truncated => "truncated",
            Self::Damaged => "damaged",
            Self::Evicted => "evicted",
            Self::Expired => "expired",
            Self::SpoolDamaged => "spool_damaged",
        }
    }

    /// The lines were dropped for their age, not lost: no gap marker stands for them.
    pub fn is_by_age(self) -> bool {
        self == Self::Expired
    }
}
