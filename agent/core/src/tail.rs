//! One container's log being followed: chunks in, entries into the batch, position out.

use std::borrow::Cow;
use std::time::Duration;

use memchr::memchr;

use crate::batch::{Batch, Labels};
use crate::chain::Chain;
use crate::docker::{self, Record, Stream, Unusual};
use crate::entry::{Entry, Part, Style};
use crate::escape;
use crate::event::Container;
use crate::inflight::{GroupMark, InFlight, Position};
use crate::join::{Cut, Group};
use crate::limits::{DATA_BYTES_MAX, ENTRY_BYTES_MAX, LINE_BYTES_MAX, PART_MARK_BYTES_MAX};
use crate::planted::Bug;
use crate::stamp;
use crate::stats::Stats;

/// Bytes of a line that is not Docker's that go into one record.
const MALFORMED_BYTES_MAX: usize = 16 * 1024;

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

    fn has_room(&self, text: usize) -> bool {
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
    /// Something was read, or given up, since the last [`Tail::position`].
    pub moved: bool,
    labels: Labels,
    groups: [Option<Group>; 2],
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

    /// Bytes held for lines under way.
    pub fn join_bytes(&self) -> usize {
        self.groups.iter().flatten().map(Group::pending_bytes).sum()
    }

    /// Lines under way can not go on in the generation `key`: bytes may be missing in between.
    pub fn breaks_at(&self, key: u64) -> bool {
        let open =
            self.groups.iter().any(Option::is_some) || self.resumed.iter().any(Option::is_some);
        let Some(index) = self.chain.generations().iter().position(|g| g.key == key) else {
            return false;
        };
        let generation = &self.chain.generations()[index];
        let before = index
            .checked_sub(1)
            .map(|before| self.chain.generations()[before].key);
        let last = match self.last_key {
            None if generation.read > 0 => return false,
            None => before,
            last => last,
        };
        open && last != Some(key)
            && (generation.read > 0 || last.is_none() || generation.follows != last)
    }

    /// Turns a chunk of the generation `key` into entries, from its read offset on. `end`: the
    /// chunk ends where the file ends, for good.
    pub fn consume(&mut self, key: u64, bytes: &[u8], end: bool, sink: &mut Sink<'_>) -> Consumed {
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
        self.last_key = Some(key);
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

    /// One line, or the first record of what stands in it.
    fn line(&mut self, at: At, line: &[u8], sink: &mut Sink<'_>) -> Taken {
        if let Some(record) = docker::parse(line) {
            return self.record(at, record, line.len(), sink);
        }
        let nuls = line.iter().take_while(|&&byte| byte == 0).count();
        if nuls > 0 || line.is_empty() {
            sink.stats.nul_bytes += nuls as u64;
            return Taken::Bytes(nuls);
        }
        match docker::parse_unusual(line) {
            Unusual::Record(record) => self.record(at, record, line.len(), sink),
            Unusual::Glued { at: next } => match docker::parse(&line[..next]) {
                Some(record) => self.record(at, record, next, sink),
                None => self.malformed(at, &line[..next], sink),
            },
            Unusual::Malformed => self.malformed(at, line, sink),
        }
    }

    fn malformed(&mut self, at: At, bytes: &[u8], sink: &mut Sink<'_>) -> Taken {
        let mut len = bytes.len().min(MALFORMED_BYTES_MAX);
        if len < bytes.len() {
            // Not in the middle of a UTF-8 character.
            while len > MALFORMED_BYTES_MAX - 4 && bytes[len] & 0xc0 == 0x80 {
                len -= 1;
            }
        }
        let whole = &bytes[..len];
        let text = &whole[..len - whole.iter().rev().take_while(|&&byte| byte == 0).count()];
        let mut repaired = Vec::with_capacity(text.len() + 16);
        escape::repair(text, false, &mut repaired);
        let time = self.line_time(sink.wall).into_bytes();
        let record = Record {
            text: Cow::Owned(repaired),
            complete: true,
            stream: Stream::Stdout,
            time: Cow::Owned(time),
        };
        // It is no piece of the line under way.
        let under_way = (self.groups[0].take(), self.resumed[0].take());
        let taken = self.record(at, record, len, sink);
        (self.groups[0], self.resumed[0]) = under_way;
        if matches!(taken, Taken::Bytes(_)) {
            sink.stats.malformed_lines += 1;
            sink.stats.nul_bytes += (len - text.len()) as u64;
        }
        taken
    }

    /// Dates a line that has no time: as the line before it, else as the container, else `wall`.
    pub fn line_time(&self, wall: Duration) -> String {
        if !self.last_time.is_empty() {
            String::from_utf8_lossy(&self.last_time).into_owned()
        } else if stamp::is_valid(self.container.created.as_bytes()) {
            self.container.created.clone()
        } else {
            stamp::from_wall(wall)
        }
    }

    /// One record that takes `len` bytes of the file.
    #[inline]
    fn record(&mut self, at: At, record: Record<'_>, len: usize, sink: &mut Sink<'_>) -> Taken {
        let slot = record.stream as usize;
        if at.offset < at.skip[slot] {
            self.date(&record.time);
            return Taken::Bytes(len);
        }
        let joins = self.groups[slot].is_some() || self.resumed[slot].is_some();
        let held = self.groups[slot].as_ref().map_or(0, Group::pending_bytes);
        if !sink.has_room(record.text.len() + held) {
            return Taken::Full;
        }
        if joins {
            self.settle(slot, &record.time, sink);
        }
        self.date(&record.time);
        let grouped = self.groups[slot].is_some() || self.resumed[slot].is_some();
        if !grouped && self.is_too_old(&record.time, sink) {
            return Taken::Bytes(len);
        }
        let short = record.text.len() <= DATA_BYTES_MAX
            || escape::decoded_len(&record.text) <= DATA_BYTES_MAX;
        if !grouped && record.complete && short {
            let Some(generation) = self.chain.get(at.key) else {
                return Taken::Bytes(len);
            };
            let entry = Entry {
                prefix: &generation.prefix,
                offset: at.offset,
                part: None,
                text: &record.text,
                time: &record.time,
            };
            sink.batch.push(sink.now, record.stream, sink.style, &entry);
            sink.stats.entries += 1;
        } else {
            self.piece(at, &record, sink);
        }
        Taken::Bytes(len)
    }

    /// Remembers the time of the last line, which dates a malformed one behind it: also of a line
    /// that is passed over, so that the malformed one is the same whenever it is read.
    #[inline]
    fn date(&mut self, time: &[u8]) {
        self.last_time.clear();
        self.last_time.extend_from_slice(time);
    }

    fn is_too_old(&self, time: &[u8], sink: &mut Sink<'_>) -> bool {
        if stamp::is_before(time, sink.retention_cutoff.as_bytes()) {
            sink.stats.expired_lines += 1;
            return true;
        }
        if self.is_old && stamp::is_before(time, sink.start_cutoff.as_bytes()) {
            sink.stats.skipped_lines += 1;
            return true;
        }
        false
    }

    /// A line of another time follows on this stream: the open one was never terminated, and is
    /// shipped alone.
    fn settle(&mut self, slot: usize, time: &[u8], sink: &mut Sink<'_>) {
        if self.resumed[slot]
            .as_ref()
            .is_some_and(|mark| mark.time.as_bytes() != time)
        {
            self.resumed[slot] = None;
        }
        if self.groups[slot]
            .as_ref()
            .is_some_and(|group| group.time != time)
            && let Some(mut group) = self.groups[slot].take()
            && let Some(cut) = group.flush(true)
        {
            emit(&group, Stream::ALL[slot], &cut, sink);
        }
    }

    fn piece(&mut self, at: At, record: &Record<'_>, sink: &mut Sink<'_>) {
        let slot = record.stream as usize;
        let Some(generation) = self.chain.get(at.key) else {
            return;
        };
        let (prefix, id) = (generation.prefix, generation.id);
        let mut piece_start = None;
        let mut group = match (self.groups[slot].take(), self.resumed[slot].take()) {
            (Some(group), _) => group,
            (None, Some(mark)) => {
                piece_start = Some(mark.piece_start);
                let prefix = crate::entry::IdPrefix::new(self.container.id, mark.generation);
                Group::resume(prefix, &mark)
            }
            (None, None) => Group::new(prefix, id, at.offset, &record.time),
        };
        group.touched = sink.now;
        group.push(at.key, at.offset, &record.text, piece_start);
        while let Some(cut) = group.cut(sink.part_max()) {
            emit(&group, record.stream, &cut, sink);
        }
        if !record.complete {
            self.groups[slot] = Some(group);
        } else if let Some(cut) = group.flush(true) {
            emit(&group, record.stream, &cut, sink);
        }
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
            if let Some(cut) = group.flush(last) {
                emit(group, stream, &cut, sink);
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

    /// Everything read so far, as a place to resume from: where a line is held, its stream resumes
    /// at the piece with the first byte that is not in a batch.
    pub fn position(&mut self) -> Position {
        self.moved = false;
        let held = [0, 1].map(|slot| self.groups[slot].as_ref().and_then(Group::held_from));
        let mut behind = [false; 2];
        let mut marks = Vec::with_capacity(self.chain.generations().len());
        for generation in self.chain.generations() {
            let offset = |slot: usize| match held[slot] {
                Some((key, offset)) if key == generation.key => offset,
                _ if behind[slot] => 0,
                _ => generation.read,
            };
            let mut offsets = [0, 1].map(|slot| offset(slot).max(generation.skip[slot]));
            if Bug::OneOffset.is_planted() {
                offsets = [offsets[0].max(offsets[1]); 2];
            }
            if Bug::CommitInsideGroup.is_planted() {
                offsets = [generation.read.max(offsets[0].max(offsets[1])); 2];
            }
            for slot in 0..2 {
                behind[slot] |= held[slot].is_some_and(|(key, _)| key == generation.key);
            }
            marks.push((generation.key, offsets));
        }
        let mark = |slot: usize| {
            let open = self.groups[slot].as_ref().and_then(Group::mark);
            open.or_else(|| self.resumed[slot].clone())
        };
        let groups = [mark(0), mark(1)];
        Position {
            marks,
            groups,
            last_time: self.last_time.clone(),
        }
    }

    /// See [`crate::Pipeline::audit`].
    pub(crate) fn audit(&self) -> Result<(), String> {
        for generation in self.chain.generations() {
            for stream in Stream::ALL {
                let slot = stream as usize;
                let (committed, skip) = (generation.committed[slot], generation.skip[slot]);
                if committed > generation.read.max(skip) {
                    return Err(format!("{stream:?} is committed unread: {generation:?}"));
                }
                let held = self.groups[slot].as_ref().and_then(Group::held_from);
                if held.is_some_and(|(key, from)| key == generation.key && from < committed) {
                    return Err(format!("{stream:?} is committed and held: {generation:?}"));
                }
            }
        }
        Ok(())
    }

    /// Takes a position as committed.
    pub fn commit(&mut self, position: Position) {
        for (key, offsets) in position.marks {
            if let Some(generation) = self.chain.get_mut(key) {
                generation.committed = offsets;
            }
        }
        self.committed_groups = position.groups;
        self.committed_time = position.last_time;
    }
}

fn emit(group: &Group, stream: Stream, cut: &Cut, sink: &mut Sink<'_>) {
    let Part { index, last, .. } = cut.part;
    let entry = Entry {
        prefix: &group.prefix,
        offset: group.offset,
        part: Some(cut.part),
        text: &cut.text,
        time: &group.time,
    };
    sink.batch.push(sink.now, stream, sink.style, &entry);
    sink.stats.entries += 1;
    sink.stats.parts += u64::from(!(index == 0 && last));
}

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;
