//! One container's log being followed: chunks in, entries into the batch, position out.

mod expired;
mod line;
mod position;

use std::time::Duration;

use expired::Expired;
use memchr::memchr;

use crate::batch::{Batch, Labels};
use crate::chain::Chain;
use crate::docker::Stream;
use crate::entry::{Entry, Part, Style};
use crate::event::Container;
use crate::inflight::{GroupMark, InFlight};
use crate::join::Group;
use crate::limits::{DATA_BYTES_MAX, ENTRY_BYTES_MAX, LINE_BYTES_MAX, PART_MARK_BYTES_MAX};
use crate::stats::Stats;

/// What consuming needs besides the container.
pub struct Sink<'a> {
    /// The body being built.
    pub batch: &'a mut Batch,
    /// Its cap, bytes.
    pub batch_bytes_max: usize,
    /// How entries are written.
    pub style: Style,
    /// Lines before this are past the log's retention; empty = none are.
    pub retention_cutoff: &'a str,
    /// Lines before this are skipped in containers that were there at the first start.
    pub start_cutoff: &'a str,
    /// Monotonic time.
    pub now: Duration,
    /// Wall time, for a line that nothing dates.
    pub wall: Duration,
    /// To be counted up.
    pub stats: &'a mut Stats,
}

impl Sink<'_> {
    /// Decoded bytes of one part's text.
    fn part_max(&self) -> usize {
        DATA_BYTES_MAX
            - if self.style.part_marks {
                PART_MARK_BYTES_MAX
            } else {
                0
            }
    }

    pub(crate) fn has_room(&self, text: usize) -> bool {
        let entries = 2 + text / self.part_max();
        self.batch.entries() == 0 || self.batch.bytes_with(text, entries) <= self.batch_bytes_max
    }
}

/// How far a chunk was consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consumed {
    /// Bytes of the chunk that are dealt with.
    pub bytes: usize,
    /// The batch is full: seal it and go on.
    pub full: bool,
}

/// A container's log.
#[derive(Debug)]
pub struct Tail {
    /// Name and state.
    pub container: Container,
    /// Its files.
    pub chain: Chain,
    /// Its entries that are not accepted yet.
    pub inflight: InFlight,
    /// The time of the last line read.
    pub last_time: Vec<u8>,
    /// The time of the last line committed.
    pub committed_time: Vec<u8>,
    /// Committed parts of lines that go on.
    pub committed_groups: [Option<GroupMark>; 2],
    /// It was there at the first start: `start_at` applies.
    pub is_old: bool,
    /// Bytes read since the agent's start.
    pub read_bytes: u64,
    /// As many of them are accepted.
    committed_bytes: u64,
    /// Lines that were passed over for their age since this was last taken.
    expired: Vec<Expired>,
    /// Something was read, or given up, since the last [`Tail::position`].
    pub moved: bool,
    labels: Labels,
    groups: [Option<Box<Group>>; 2],
    resumed: [Option<GroupMark>; 2],
    /// The generation consumed last.
    last_key: Option<u64>,
}

/// Where a line stands.
#[derive(Clone, Copy)]
struct At {
    key: u64,
    offset: u64,
    skip: [u64; 2],
}

enum Taken {
    Bytes(usize),
    Full,
}

impl Tail {
    /// A container that no checkpoint knows.
    pub fn new(container: Container, epoch: u64) -> Self {
        Self {
            chain: Chain::new(container.id, epoch),
            container,
            inflight: InFlight::default(),
            last_time: Vec::new(),
            committed_time: Vec::new(),
            committed_groups: [None, None],
            is_old: false,
            read_bytes: 0,
            committed_bytes: 0,
            expired: Vec::new(),
            moved: false,
            labels: Labels::default(),
            groups: [None, None],
            resumed: [None, None],
            last_key: None,
        }
    }

    /// Goes on where a checkpoint stands.
    pub fn resume(&mut self, groups: [Option<GroupMark>; 2], last_time: &str) {
        self.resumed.clone_from(&groups);
        self.committed_groups = groups;
        self.last_time = last_time.as_bytes().to_vec();
        self.committed_time.clone_from(&self.last_time);
    }

    /// Sets source, type and subject of the entries to come.
    pub fn label(&mut self, source: &str, type_prefix: &str) {
        self.labels = Labels::new(source, type_prefix, &self.container.name);
    }

    /// Bytes read and not accepted yet.
    pub fn under_way_bytes(&self) -> u64 {
        self.read_bytes.saturating_sub(self.committed_bytes)
    }

    /// Bytes held for lines under way.
    pub fn join_bytes(&self) -> usize {
        self.groups
            .iter()
            .flatten()
            .map(|group| group.pending_bytes())
            .sum()
    }

    /// Lines under way can not go on in the generation `key`: bytes may be missing in between.
    pub fn breaks_at(&self, key: u64) -> bool {
        let open =
            self.groups.iter().any(Option::is_some) || self.resumed.iter().any(Option::is_some);
        let generations = self.chain.generations();
        let Some(index) = generations.iter().position(|g| g.key == key) else {
            return false;
        };
        let generation = &generations[index];
        let joins = match (self.last_key, index.checked_sub(1)) {
            (Some(last), _) => {
                last == key || (generation.read == 0 && generation.follows == Some(last))
            }
            // An earlier run stopped in the middle of it, or where it begins: then its line goes
            // on if this was known to follow what was read before.
            (None, _) if generation.read > 0 => true,
            (None, Some(before)) => generation.follows == Some(generations[before].key),
            (None, None) => generation.follows.is_some(),
        };
        open && !joins
    }

    /// The generation `key` was consumed last.
    pub fn is_at(&self, key: u64) -> bool {
        self.last_key == Some(key)
    }

    /// Turns a chunk of the generation `key` into entries, from its read offset on. `end`: the
    /// chunk ends where the file ends, for good.
    pub fn consume(&mut self, key: u64, bytes: &[u8], end: bool, sink: &mut Sink<'_>) -> Consumed {
        self.turn_to(key);
        let Some(generation) = self.chain.get(key) else {
            return Consumed {
                bytes: 0,
                full: false,
            };
        };
        let base = generation.read;
        let mut at = At {
            key,
            offset: base,
            skip: generation.skip,
        };
        let mut done = 0;
        let mut full = false;
        if base == 0 && !generation.start_time.is_empty() {
            self.last_time = generation.start_time.clone().into_bytes();
        }
        sink.batch.enter(&self.labels);
        while done < bytes.len() {
            let rest = &bytes[done..];
            let (line, newline) = match memchr(b'\n', rest) {
                Some(found) => (&rest[..found], 1),
                None if end || rest.len() >= LINE_BYTES_MAX => (rest, 0),
                None => break,
            };
            match self.line(at, line, sink) {
                Taken::Bytes(taken) if taken == line.len() => {
                    done += taken + newline;
                    sink.stats.lines += 1;
                }
                Taken::Bytes(taken) => done += taken,
                Taken::Full => {
                    full = true;
                    break;
                }
            }
            at.offset = base + done as u64;
        }
        sink.batch.leave();
        if let Some(generation) = self.chain.get_mut(key) {
            generation.witness(&bytes[..done]);
            generation.read += done as u64;
            generation.size = generation.size.max(generation.read);
        }
        self.moved |= done > 0;
        self.read_bytes += done as u64;
        sink.stats.read_bytes += done as u64;
        Consumed { bytes: done, full }
    }

    /// The generation `key` is consumed now.
    fn turn_to(&mut self, key: u64) {
        if self.is_at(key) {
            return;
        }
        let left = self.last_key.and_then(|left| self.chain.get_mut(left));
        if let Some(left) = left {
            left.last_time.clone_from(&self.last_time);
        }
        let entered = self.chain.get(key).filter(|g| g.read > 0);
        if let Some(entered) = entered.filter(|g| !g.last_time.is_empty()) {
            self.last_time.clone_from(&entered.last_time);
        }
        self.last_key = Some(key);
    }

    /// Ships what is held of lines whose continuation has not come for `age_max`; such a line may
    /// still go on. With `last` it can not: bytes behind it are lost, or nothing will follow.
    /// False when the batch has no room.
    pub fn give_up(&mut self, age_max: Duration, last: bool, sink: &mut Sink<'_>) -> bool {
        let mut roomy = true;
        sink.batch.enter(&self.labels);
        for stream in Stream::ALL {
            let Some(group) = &mut self.groups[stream as usize] else {
                continue;
            };
            if group.touched + age_max > sink.now || (group.pending_bytes() == 0 && !last) {
                continue;
            }
            if !sink.has_room(ENTRY_BYTES_MAX) {
                roomy = false;
                break;
            }
            if let Some(entry) = group.flush(last) {
                emit(stream, &entry, sink);
            }
            if last {
                self.groups[stream as usize] = None;
            }
        }
        sink.batch.leave();
        if last {
            self.resumed = [None, None];
        }
        roomy
    }

    /// When [`Tail::give_up`] has something to do next.
    pub fn join_deadline(&self, age_max: Duration) -> Option<Duration> {
        let held = self
            .groups
            .iter()
            .flatten()
            .filter(|group| group.pending_bytes() > 0);
        held.map(|group| group.touched + age_max).min()
    }
}

/// Writes a part of a line.
fn emit(stream: Stream, entry: &Entry<'_>, sink: &mut Sink<'_>) {
    let is_whole = |part: Part| part.index == 0 && part.last;
    sink.batch.push(sink.now, stream, sink.style, entry);
    sink.stats.entries += 1;
    sink.stats.parts += u64::from(!entry.part.is_none_or(is_whole));
}

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;
