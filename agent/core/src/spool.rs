//! Lines that are about to be lost while the service does not take them: their batches go to the
//! spool on disk, and count as shipped once they are there.

mod covered;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::event::{BatchId, ContainerId};
use crate::follow::Follow;
pub use crate::inflight::GroupMark;
pub(crate) use covered::unknown;
pub use covered::{Covered, CoveredFile};

/// A container is helped when nothing of it was committed for so long.
const STALLED_AFTER: Duration = Duration::from_secs(5);
/// A body with lines of such a container is closed so long after its first line.
pub const SPOOL_AGE: Duration = Duration::from_secs(1);
/// How often it is looked which containers are to be helped.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long after a write that failed (full, disk, floor of free space) the next one is tried.
const RETRY: Duration = Duration::from_secs(10);

/// One body of a batch.
#[derive(Clone, Debug)]
pub struct Body {
    /// One PutLogs body.
    pub bytes: Arc<Vec<u8>>,
    /// Entries in it.
    pub entries: u32,
}

/// A batch that an earlier run left in the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spooled {
    /// Its number.
    pub batch: BatchId,
    /// Whose entries are in it.
    pub containers: Vec<ContainerId>,
    /// Entries in it.
    pub entries: u32,
    /// Length of its bodies, as they are sent.
    pub bytes: usize,
    /// What of their logs it holds.
    pub covered: Vec<Covered>,
}

/// What was found of a batch in the spool.
#[derive(Clone, Debug)]
pub enum Unspooled {
    /// Its bodies, as they were.
    Found(Vec<Body>),
    /// It cannot be read now: worth another try.
    Unreadable,
    /// Its bytes are not what was written, and never will be: what it held, if that can be read.
    Damaged(Vec<Covered>),
}

/// Which containers are about to lose lines, and when to look again.
#[derive(Debug)]
pub struct Rescue {
    /// There is a spool.
    pub has_spool: bool,
    /// Containers whose unread lines are read, and whose batches are spooled, before all others.
    containers: BTreeSet<ContainerId>,
    last: Option<ContainerId>,
    look_at: Duration,
    not_before: Duration,
}

impl Rescue {
    /// Nobody is in need.
    pub fn new(has_spool: bool) -> Self {
        Self {
            has_spool,
            containers: BTreeSet::new(),
            last: None,
            look_at: Duration::ZERO,
            not_before: Duration::ZERO,
        }
    }

    /// It is time to see who is in need.
    pub fn is_due(&self, now: Duration) -> bool {
        now >= self.look_at
    }

    /// Takes note of who is in need now.
    pub fn look(&mut self, now: Duration, needy: BTreeSet<ContainerId>) {
        self.containers = needy;
        self.look_at = now + LOOK_INTERVAL;
    }

    /// Nobody is.
    pub fn is_empty(&self) -> bool {
        self.containers.is_empty()
    }

    /// One of these is in need, and the spool takes something.
    pub fn wants(&self, now: Duration, containers: &[ContainerId]) -> bool {
        self.takes(now) && containers.iter().any(|id| self.containers.contains(id))
    }

    /// The spool is there and has not just refused.
    pub fn takes(&self, now: Duration) -> bool {
        self.has_spool && now >= self.not_before
    }

    /// A write failed.
    pub fn refused(&mut self, now: Duration) {
        self.not_before = now + RETRY;
    }

    /// Those in need, beginning with the one that was helped last, if that `goes_on`, or behind it.
    pub fn in_turn(
        &self,
        goes_on: impl FnOnce(ContainerId) -> bool,
    ) -> impl Iterator<Item = ContainerId> {
        let goes_on = self.last.is_some_and(goes_on);
        let is_next = move |id, last| id > last || (goes_on && id == last);
        let is_behind = move |id: &&ContainerId| self.last.is_none_or(|last| is_next(**id, last));
        let behind = self.containers.iter().filter(is_behind);
        let before = self.containers.iter().filter(move |id| !is_behind(id));
        behind.chain(before).copied()
    }

    /// It was this one's turn.
    pub fn helped(&mut self, id: ContainerId) {
        self.last = Some(id);
    }

    /// When to look again.
    pub fn deadline(&self) -> Duration {
        self.look_at
    }

    /// It is time to look now.
    pub fn hurry(&mut self) {
        self.look_at = Duration::ZERO;
    }
}

impl Follow {
    /// Something of it was committed.
    pub fn progressed(&mut self, now: Duration) {
        self.progress = now;
    }

    /// Lines that are not committed are about to be lost: they stand in a file without a name, or
    /// in the next that rotation deletes, and nothing was committed for a while; or the file has
    /// had no name for a while. `leaving`: the descriptors go in a moment.
    pub fn is_in_need(&mut self, now: Duration, leaving: bool) -> bool {
        let stalled = now >= self.progress + STALLED_AFTER;
        let files_max = self.tail.container.files_max;
        let mut in_need = false;
        for generation in self.tail.chain.generations_mut() {
            if !generation.owes() {
                continue;
            }
            let nameless = generation.is_nameless();
            generation.nameless_since = match nameless {
                true => generation.nameless_since.or(Some(now)),
                false => None,
            };
            let long = generation
                .nameless_since
                .is_some_and(|since| now >= since + STALLED_AFTER);
            in_need |= (nameless && (stalled || long || leaving))
                || (stalled && !leaving && generation.is_next_to_go(files_max));
        }
        in_need
    }

    /// What is read next of it is about to be lost.
    pub fn reads_on_in_need(&self) -> bool {
        let files_max = self.tail.container.files_max;
        let needy =
            |g: &crate::generation::Generation| g.is_nameless() || g.is_next_to_go(files_max);
        self.tail.chain.cursor().is_some_and(needy)
    }
}
