//! One file of a container's chain: what is known of it and how far it is read.

use std::time::Duration;

use crate::entry::{GenerationId, IdPrefix};
use crate::event::{Chunk, FileHandle, Listed, SaveId};
use crate::file_id::{self, Fingerprint};

/// One file of the chain, present or gone.
#[derive(Clone, Debug)]
pub struct Generation {
    /// Names it within this run.
    pub key: u64,
    /// Names it for ever.
    pub id: GenerationId,
    /// The start of its entries' ids.
    pub prefix: IdPrefix,
    /// Its first line.
    pub fingerprint: Fingerprint,
    /// Older generations with the same first line, when it was found.
    pub twin: u32,
    /// The file as last listed; of no file when it is gone.
    pub listed: Option<Listed>,
    /// The last listing that had it: what tells twins apart after a restart.
    pub evidence: Option<Listed>,
    /// The descriptor being read; may outlive the name.
    pub handle: Option<FileHandle>,
    /// The shell held that descriptor when a listing last had it.
    pub held: bool,
    /// Bytes known to be there, uncompressed: a lower bound.
    pub size: u64,
    /// As `size`, when its first line was last seen to be there: what a listing showed since may be
    /// another file's size, if it was truncated.
    pub sure_size: u64,
    /// Offset up to which it is read.
    pub read: u64,
    /// Length and hash of the line that ends at `read`, where the first line is not complete: it is
    /// read again with what follows, as that first line may begin another file's bytes as well.
    pub last: Option<(u32, u64)>,
    /// Offsets per stream up to which all is accepted or dropped with a reason.
    pub committed: [u64; 2],
    /// Offsets per stream that an earlier run committed: lines before them are passed over.
    pub skip: [u64; 2],
    /// Nothing will be appended any more.
    pub closed: bool,
    /// Read to its end, or lost beyond `read`.
    pub finished: bool,
    /// What dates lines at its start that are not Docker's, when it does not begin with a whole
    /// Docker line: saved before it is read, so that the same line is always the same entry.
    pub start_time: String,
    /// Time of the last line read of it, when another file was read since. That, and not the line
    /// read last of all, dates a line that is not Docker's: the same line is always the same entry.
    pub last_time: Vec<u8>,
    /// Time of the last line committed of it.
    pub committed_time: Vec<u8>,
    /// Listings in a row that did not have it.
    pub missing: u32,
    /// Not to be read before this checkpoint is saved: its name depends on the state.
    pub gate: Option<SaveId>,
    /// A damaged stream was reported.
    pub torn: bool,
    /// The generation right before it, when one listing showed both side by side. Without that,
    /// files may have come and gone between them, and no line joins over the gap.
    pub follows: Option<u64>,
    /// Other bytes were found in its place: it was truncated, unless it is found elsewhere.
    pub replaced: bool,
    /// What of it is lost.
    pub loss: Option<Lost>,
    /// The shell let go of it at a bound.
    pub evicted: bool,
    /// `size` is all there will ever be: it was listed under a rotated name.
    pub sealed: bool,
    /// Bytes before this may have been shipped by an earlier run that was killed before its
    /// checkpoint said so.
    pub unsure_to: u64,
    /// Given up because no listing had it any more; it goes on if one has it again.
    pub vanished: bool,
    /// Since when it was seen to have no name, by the monotonic clock.
    pub nameless_since: Option<Duration>,
}

/// What of a generation is lost: everything behind what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// One past the last byte known to have been there.
    pub to: u64,
    /// Its marker is in a body, or there is none to be sent: the position may pass it.
    pub marked: bool,
    /// That is committed: the checkpoint may forget it.
    pub passed: bool,
}

impl Generation {
    /// Nothing is known of it but its first line.
    pub fn new(key: u64, id: GenerationId, prefix: IdPrefix, fingerprint: Fingerprint) -> Self {
        Self {
            key,
            id,
            prefix,
            fingerprint,
            twin: 0,
            listed: None,
            evidence: None,
            handle: None,
            held: false,
            size: 0,
            sure_size: 0,
            read: 0,
            last: None,
            committed: [0; 2],
            skip: [0; 2],
            closed: false,
            finished: false,
            start_time: String::new(),
            last_time: Vec::new(),
            committed_time: Vec::new(),
            missing: 0,
            gate: None,
            torn: false,
            follows: None,
            replaced: false,
            loss: None,
            evicted: false,
            sealed: false,
            unsure_to: 0,
            vanished: false,
            nameless_since: None,
        }
    }

    /// Everything in it is accepted or accounted for.
    pub fn is_done(&self) -> bool {
        self.finished
            && self.committed.iter().all(|&offset| offset >= self.read)
            && self.loss.is_none_or(|loss| loss.passed)
    }

    /// There are bytes of it that are neither accepted nor accounted for, as far as is known.
    pub fn owes(&self) -> bool {
        let known = self.read.max(self.size);
        let behind = self.committed.iter().any(|&offset| offset < known);
        !self.is_done() && (self.closed || behind)
    }

    /// It has no name any more: what of it is not accepted goes with the descriptor, or with the
    /// memory that it was read into.
    pub fn is_nameless(&self) -> bool {
        let in_memory = self.finished && self.read > 0;
        self.listed.is_none() && (in_memory || (self.handle.is_some() && self.held))
    }

    /// The next rotation deletes it, where rotation keeps `files_max` files.
    pub fn is_next_to_go(&self, files_max: u32) -> bool {
        self.listed
            .is_some_and(|listed| files_max > 0 && listed.position + 1 >= files_max)
    }

    /// Up to here something was read of it, by this run or by an earlier one.
    pub fn reached(&self) -> u64 {
        self.read.max(self.committed[0]).max(self.committed[1])
    }

    /// Where the next read starts.
    pub fn read_from(&self) -> u64 {
        self.read - self.last.map_or(0, |(len, _)| u64::from(len))
    }

    /// `bytes` were read from the read offset on.
    pub fn witness(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.last = None;
        if self.fingerprint.complete {
            return;
        }
        let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let start = memchr::memrchr(b'\n', whole).map_or(0, |end| end + 1);
        let last = &bytes[start..];
        self.last = u32::try_from(last.len())
            .ok()
            .map(|len| (len, file_id::head_hash(last)));
        let head = self.fingerprint.head;
        if self.fingerprint.witness.is_none() && self.read <= head.offset + u64::from(head.len) {
            self.fingerprint.witness = file_id::witness(bytes, self.read, &head);
        }
    }

    /// An earlier run shipped it so far, up to a line of `last_time`, and `whole` if nothing more
    /// of it is to come.
    pub(crate) fn ship_to(&mut self, offsets: [u64; 2], whole: bool, last_time: &str) {
        if self.committed != offsets {
            // Of the line that ends there nothing else is known.
            self.last = None;
            self.last_time = last_time.as_bytes().to_vec();
            self.committed_time.clone_from(&self.last_time);
        }
        (self.committed, self.skip) = (offsets, offsets);
        self.read = offsets[0].min(offsets[1]);
        let end = offsets[0].max(offsets[1]);
        self.size = self.size.max(end);
        self.sure_size = self.sure_size.max(end);
        if whole {
            (self.closed, self.finished, self.sealed) = (true, true, true);
        }
    }

    /// Its first line still stands in front of this chunk, which goes on where it is read to. What
    /// listings showed is sure by that where the file was not changed since, or rotation `moves`
    /// files; else it may have been truncated in between.
    pub(crate) fn verify(&mut self, chunk: &Chunk<'_>, moves: bool) {
        self.held &= chunk.held;
        let is_as = |file: &Listed| file.position > 0 || file.modified == chunk.modified;
        let sure = match moves || self.listed.as_ref().is_some_and(is_as) {
            true => self.size,
            false => chunk.offset + chunk.bytes.len() as u64,
        };
        self.sure_size = self.sure_size.max(sure);
    }

    /// True when it had been given up.
    pub fn list(&mut self, listed: &Listed) -> bool {
        self.listed = Some(*listed);
        self.evidence = Some(*listed);
        if !listed.compressed {
            // What it was more, was another file's.
            self.size = listed.size.max(self.read);
            self.sure_size = self.sure_size.min(self.size);
            if listed.position > 0 {
                self.sealed = true;
                self.sure_size = self.size;
            }
            if self.unsure_to == u64::MAX {
                self.unsure_to = listed.size;
            }
        }
        let revived = std::mem::take(&mut self.vanished);
        self.finished &= !revived;
        if !listed.compressed && (listed.position == 0 || listed.size > self.read) {
            // If it was taken for closed, it was not.
            (self.finished, self.closed) = (false, false);
        }
        if !self.finished {
            self.loss = None;
        }
        // A descriptor at hand is kept: gzip's copy of the bytes is only second best.
        let at_hand = self.handle.is_some() && self.held;
        if !self.finished && !at_hand {
            self.handle = Some(listed.handle);
        }
        if self.handle == Some(listed.handle) {
            self.held = listed.held;
        }
        revived
    }

    /// Its descriptor shows another file's bytes, or none: reads on from the listed name if that
    /// is another file.
    pub fn forsake(&mut self, handle: FileHandle) {
        if self.listed.is_some_and(|listed| listed.handle == handle) {
            self.listed = None;
        }
        self.handle = self.listed.map(|listed| listed.handle);
    }
}
