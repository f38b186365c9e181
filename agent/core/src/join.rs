//! A line that Docker cut into pieces of 16 KiB, or that OCI would cut at 10,000: pieces of one
//! (stream, time) become one text, which leaves in parts as soon as more than a part is there, so
//! that a line of any length needs no more memory than one part and one piece.

use std::collections::VecDeque;
use std::time::Duration;

use crate::entry::{Entry, GenerationId, IdPrefix, Part};
use crate::escape;
use crate::inflight::GroupMark;

/// Where a piece stands.
#[derive(Clone, Copy, Debug)]
struct Piece {
    generation: u64,
    offset: u64,
    start: u64,
}

/// A line under way on one stream.
#[derive(Debug)]
pub struct Group {
    /// Container and generation of its first piece.
    pub prefix: IdPrefix,
    /// Generation of its first piece.
    pub generation: GenerationId,
    /// Offset of its first piece.
    pub offset: u64,
    /// The time of all its pieces.
    pub time: Vec<u8>,
    /// When the last piece came.
    pub touched: Duration,
    pending: Vec<u8>,
    /// So much at the start of `pending` has left.
    left: usize,
    /// Decoded bytes of the rest.
    pending_len: usize,
    next_start: u64,
    index: u32,
    pieces: VecDeque<Piece>,
}

impl Group {
    /// A line that begins with the piece at `offset`.
    pub fn new(prefix: IdPrefix, generation: GenerationId, offset: u64, time: &[u8]) -> Self {
        Self {
            prefix,
            generation,
            offset,
            time: time.to_vec(),
            touched: Duration::ZERO,
            pending: Vec::new(),
            left: 0,
            pending_len: 0,
            next_start: 0,
            index: 0,
            pieces: VecDeque::new(),
        }
    }

    /// A line that an earlier run began to ship. The next piece pushed starts at
    /// `mark.piece_start`.
    pub fn resume(prefix: IdPrefix, mark: &GroupMark) -> Self {
        let mut group = Self::new(prefix, mark.generation, mark.offset, mark.time.as_bytes());
        group.next_start = mark.next_start;
        group.index = mark.index;
        group
    }

    /// Appends a piece. `piece_start` is given for the first one after [`Group::resume`]: what of
    /// it was shipped is passed over.
    pub fn push(&mut self, generation: u64, offset: u64, text: &[u8], piece_start: Option<u64>) {
        let end = self.next_start + self.pending_len as u64;
        let start = piece_start.unwrap_or(end);
        let shipped = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        let (skip, _) = escape::cut(text, shipped);
        let text = &text[skip..];
        if text.is_empty() {
            return;
        }
        self.pieces.push_back(Piece {
            generation,
            offset,
            start,
        });
        // Its capacity stays for the next piece.
        self.pending.drain(..std::mem::take(&mut self.left));
        self.pending.extend_from_slice(text);
        self.pending_len += escape::decoded_len(text);
    }

    /// The next part, while more than `part_max` decoded bytes are there: it is not the last.
    pub fn cut(&mut self, part_max: usize) -> Option<Entry<'_>> {
        if self.pending_len <= part_max {
            return None;
        }
        let (escaped, len) = escape::cut(&self.pending[self.left..], part_max);
        Some(self.take(escaped, len, false))
    }

    /// All that is left, as the last part or (given up by age) as one that may be continued.
    /// At most [`Group::cut`]'s `part_max` long once that has been called to the end.
    pub fn flush(&mut self, last: bool) -> Option<Entry<'_>> {
        if self.pending_bytes() == 0 && !(last && self.index == 0) {
            return None;
        }
        Some(self.take(self.pending_bytes(), self.pending_len, last))
    }

    /// The next `escaped` bytes, which are `len` decoded ones.
    fn take(&mut self, escaped: usize, len: usize, last: bool) -> Entry<'_> {
        let part = Part {
            start: self.next_start,
            len,
            index: self.index,
            last,
        };
        let begin = self.left;
        self.left += escaped;
        self.next_start += len as u64;
        self.pending_len -= len;
        self.index += 1;
        while self.pending_bytes() == 0 && !self.pieces.is_empty()
            || self
                .pieces
                .get(1)
                .is_some_and(|next| next.start <= self.next_start)
        {
            self.pieces.pop_front();
        }
        Entry {
            prefix: &self.prefix,
            offset: self.offset,
            part: Some(part),
            text: &self.pending[begin..self.left],
            time: &self.time,
        }
    }

    /// Escaped bytes held.
    pub fn pending_bytes(&self) -> usize {
        self.pending.len() - self.left
    }

    /// Where reading must resume for what is held: the piece with its first byte.
    pub fn held_from(&self) -> Option<(u64, u64)> {
        self.pieces
            .front()
            .map(|piece| (piece.generation, piece.offset))
    }

    /// What a checkpoint must know; `None` while nothing of the line is shipped, as reading it
    /// again from [`Group::held_from`] gives the same parts.
    pub fn mark(&self) -> Option<GroupMark> {
        (self.index > 0).then(|| GroupMark {
            generation: self.generation,
            offset: self.offset,
            time: String::from_utf8_lossy(&self.time).into_owned(),
            next_start: self.next_start,
            index: self.index,
            piece_start: self
                .pieces
                .front()
                .map_or(self.next_start, |piece| piece.start),
        })
    }
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
