//! The lines of a chunk, one record after the other.

use std::borrow::Cow;
use std::time::Duration;

use super::{At, Sink, Tail, Taken, emit};
use crate::docker::{self, Record, Stream, Unusual};
use crate::entry::Entry;
use crate::escape;
use crate::join::Group;
use crate::limits::DATA_BYTES_MAX;
use crate::stamp;

/// Bytes of a line that is not Docker's that go into one record.
const MALFORMED_BYTES_MAX: usize = 16 * 1024;

impl Tail {
    /// One line, or the first record of what stands in it.
    pub(super) fn line(&mut self, at: At, line: &[u8], sink: &mut Sink<'_>) -> Taken {
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
        let held = self.groups[slot]
            .as_ref()
            .map_or(0, |group| group.pending_bytes());
        if !sink.has_room(record.text.len() + held) {
            return Taken::Full;
        }
        if joins {
            self.settle(slot, &record.time, sink);
        }
        self.date(&record.time);
        let grouped = self.groups[slot].is_some() || self.resumed[slot].is_some();
        if !grouped && self.is_too_old(at, len, &record.time, sink) {
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

    fn is_too_old(&mut self, at: At, len: usize, time: &[u8], sink: &mut Sink<'_>) -> bool {
        if stamp::is_before(time, sink.retention_cutoff.as_bytes()) {
            sink.stats.expired_lines += 1;
            self.expire(at, len, time);
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
            && let Some(entry) = group.flush(true)
        {
            emit(Stream::ALL[slot], &entry, sink);
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
                Box::new(Group::resume(prefix, &mark))
            }
            (None, None) => Box::new(Group::new(prefix, id, at.offset, &record.time)),
        };
        group.touched = sink.now;
        group.push(at.key, at.offset, &record.text, piece_start);
        while let Some(entry) = group.cut(sink.part_max()) {
            emit(record.stream, &entry, sink);
        }
        if !record.complete {
            self.groups[slot] = Some(group);
        } else if let Some(entry) = group.flush(true) {
            emit(record.stream, &entry, sink);
        }
    }
}
