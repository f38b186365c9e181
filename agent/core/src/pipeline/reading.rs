//! The reading side: listings, probes and chunks in, entries into the open body.

use std::time::Duration;

use super::Pipeline;
use crate::event::{Action, Chunk, ContainerId, FileHandle, Head, Listing, Now, ReadError};
use crate::file_id::head_hash;
use crate::follow::failure::Failed;
use crate::follow::{Follow, Reading, Step};
use crate::loss::LossReason;
use crate::tail::{Sink, Tail};

impl Pipeline {
    pub(super) fn listing(&mut self, now: Now, listing: Listing) {
        let id = listing.container.id;
        if !self.follows.contains_key(&id) {
            if listing.container.removed {
                return;
            }
            let mut tail = Tail::new(listing.container.clone(), self.state.epoch);
            let created = &listing.container.created;
            tail.is_old = created.is_empty() || *created <= self.state.first_start;
            let follow = Follow::new(tail, self.settings.poll_interval);
            self.follows.insert(id, Box::new(follow));
            self.relabel(id);
        }
        let Some(follow) = self.follows.get_mut(&id) else {
            return;
        };
        let renamed = follow.meet(&listing.container);
        follow.list(listing);
        follow.refresh(self.settings.poll_interval);
        if renamed {
            self.relabel(id);
        }
        self.settle(now, id);
    }

    pub(super) fn relabel(&mut self, id: ContainerId) {
        if let Some(follow) = self.follows.get_mut(&id) {
            follow
                .tail
                .label(&self.settings.source, &self.settings.type_prefix);
        }
    }

    /// Lets the chain take a listing whose files are identified.
    fn settle(&mut self, now: Now, id: ContainerId) {
        let mut looked = false;
        loop {
            let Some(follow) = self.follows.get_mut(&id) else {
                return;
            };
            let Some(settled) = follow.settle(self.saver.next()) else {
                break;
            };
            looked |= settled.again;
            let close = |handle| Action::Close { handle };
            self.actions.extend(settled.spare.into_iter().map(close));
            if settled.stale {
                self.actions.push_back(Action::List(id));
            }
            if settled.moved || !settled.change.found.is_empty() {
                self.saver.touch();
            }
            let reason = match follow.tail.container.removed {
                true => LossReason::Removed,
                false => LossReason::RotatedAway,
            };
            let vanished = settled.change.vanished.iter();
            let mut lost = settled.lost;
            lost.extend(vanished.filter_map(|&key| follow.lose(key, reason)));
            let next = follow.take_next();
            if settled.change.late {
                self.break_off(now, id);
            }
            self.tell_lost(now, id, lost);
            match next {
                Some(next) => {
                    if let Some(follow) = self.follows.get_mut(&id) {
                        follow.list(next);
                    }
                }
                None => break,
            }
        }
        if let Some(follow) = self.follows.get_mut(&id) {
            if follow.must_look_again() && (looked || follow.wake.is_none()) {
                follow.rest(now.mono, self.settings.poll_interval_max);
            }
            if follow.probes(now.mono) {
                self.unidentified.insert(id);
            }
        }
        self.after(now, id);
    }

    pub(super) fn chunk(&mut self, now: Now, chunk: &Chunk<'_>) {
        let id = self.reading.as_ref().map(|(id, _)| *id);
        if let Some((id, follow)) = id.and_then(|id| Some((id, self.follows.get_mut(&id)?))) {
            let bytes = chunk.bytes.len();
            self.schedule.charge(id, bytes, follow.is_compressed());
            if follow.is_stuck(chunk) {
                return self.read_failed(now, chunk.handle, ReadError::Torn);
            }
        }
        match self.reading.take() {
            Some((id, Reading::Probe { handle })) if handle == chunk.handle => {
                if let Some(follow) = self.follows.get_mut(&id) {
                    follow.probed(chunk);
                }
                self.settle(now, id);
            }
            Some((
                id,
                Reading::Follow {
                    key,
                    handle,
                    closed,
                },
            )) if handle == chunk.handle => match self.verified(id, key, chunk) {
                Ok(Some(rest)) => self.consume(now, id, key, &rest, closed && chunk.end),
                Ok(None) => self.schedule.enqueue(id),
                Err(error) => {
                    self.reading = Some((
                        id,
                        Reading::Follow {
                            key,
                            handle,
                            closed,
                        },
                    ));
                    self.read_failed(now, handle, error);
                }
            },
            other => self.reading = other,
        }
    }

    /// The chunk without the line that was read again to see that it is still there; `None` after
    /// a short read that does not tell.
    fn verified<'a>(
        &self,
        id: ContainerId,
        key: u64,
        chunk: &Chunk<'a>,
    ) -> Result<Option<Chunk<'a>>, ReadError> {
        let generation = self.follows.get(&id).and_then(|f| f.tail.chain.get(key));
        // Without a descriptor another file may have taken the inode. One that was rotated does
        // not change any more.
        let listed = generation.and_then(|generation| generation.evidence);
        let rotated = listed.filter(|file| file.handle == chunk.handle && file.position > 0);
        if !chunk.held && rotated.is_some_and(|file| file.modified != chunk.modified) {
            return Err(ReadError::Gone);
        }
        let witness = generation.and_then(|generation| generation.fingerprint.witness);
        if witness.is_some_and(|line| is_missing(&line, chunk)) {
            return Err(ReadError::Replaced);
        }
        let Some((len, hash)) = generation.and_then(|generation| generation.last) else {
            return Ok(Some(*chunk));
        };
        let len = len as usize;
        if chunk.hole_bytes > 0 {
            return Err(ReadError::Replaced);
        }
        match chunk.bytes.get(..len) {
            Some(line) if head_hash(line) == hash => Ok(Some(Chunk {
                offset: chunk.offset + len as u64,
                bytes: &chunk.bytes[len..],
                ..*chunk
            })),
            None if !chunk.end => Ok(None),
            _ => Err(ReadError::Replaced),
        }
    }

    /// Turns a chunk of the generation `key` into entries. `last`: it ends where the file ends,
    /// for good.
    fn consume(&mut self, now: Now, id: ContainerId, key: u64, chunk: &Chunk<'_>, last: bool) {
        let Some(follow) = self.follows.get_mut(&id) else {
            return;
        };
        let moves = follow.moves();
        let Some(generation) = follow.tail.chain.get_mut(key) else {
            return;
        };
        if chunk.offset != generation.read + chunk.hole_bytes {
            return self.schedule.enqueue(id);
        }
        generation.verify(chunk, moves);
        if chunk.hole_bytes > 0 {
            generation.read = chunk.offset;
            generation.last = None;
            follow.tail.moved = true;
            self.stats.nul_bytes += chunk.hole_bytes;
        }
        if follow.tail.breaks_at(key) {
            self.break_off(now, id);
        }
        self.choose_lane(id, chunk.bytes.len() as u64);
        let mut done = 0;
        // Nothing new, which is so with most looks: then there is nothing to be written.
        let is_at = |follow: &Follow| follow.tail.is_at(key);
        let mut more =
            !(chunk.bytes.is_empty() && self.follows.get(&id).is_some_and(|follow| is_at(follow)));
        while more {
            let rest = &chunk.bytes[done..];
            let consume =
                |tail: &mut Tail, sink: &mut Sink<'_>| tail.consume(key, rest, last, sink);
            let Some(consumed) = self.with_sink(now, id, consume) else {
                return;
            };
            done += consumed.bytes;
            more = consumed.full;
            if !more {
                break;
            }
            self.seal_of(id);
            self.report_expired(id);
            let lane = self.follows.get(&id).map(|follow| follow.lane);
            if self.is_full(lane.unwrap_or_default()) {
                // The rest is read again when there is room.
                return self.schedule.enqueue(id);
            }
        }
        self.report_expired(id);
        let Some(follow) = self.follows.get_mut(&id) else {
            return;
        };
        if last && done == chunk.bytes.len() {
            if let Some(handle) = follow.finish(key) {
                self.actions.push_back(Action::Close { handle });
            }
            self.saver.touch();
        }
        if follow.was_read(now.mono, key, done, chunk.end, &self.settings) {
            self.actions.push_back(Action::Watch(id));
        }
        self.after(now, id);
    }

    /// The shell saw a write to a log that it watched.
    pub(super) fn written(&mut self, now: Now, id: ContainerId) {
        if let Some(follow) = self.follows.get_mut(&id) {
            follow.was_written(&self.settings);
            self.after(now, id);
        }
    }

    pub(super) fn read_failed(&mut self, now: Now, handle: FileHandle, error: ReadError) {
        let Some((id, reading)) = self.reading.take() else {
            return;
        };
        let Some(follow) = self.follows.get_mut(&id) else {
            return;
        };
        match reading {
            Reading::Probe { handle: asked } if asked == handle => {
                let notice = follow.probe_failed(handle, error);
                if follow.probe_waits() {
                    follow.block(now.mono, self.settings.poll_interval_max);
                }
                self.report(notice);
                self.settle(now, id);
            }
            Reading::Follow {
                key, handle: asked, ..
            } if asked == handle => {
                let failed = follow.read_failed(key, handle, error);
                follow.block(now.mono, self.settings.poll_interval_max);
                match failed {
                    Failed::Nothing => {}
                    Failed::Torn(notice) => self.report([notice]),
                    Failed::Lost(loss) => {
                        self.tell_lost(now, id, vec![loss]);
                        self.actions.push_back(Action::Close { handle });
                    }
                }
                if error != ReadError::Io {
                    self.actions.push_back(Action::List(id));
                }
                self.after(now, id);
            }
            other => self.reading = Some((id, other)),
        }
    }

    /// Decides what a container does whose turn it is.
    pub(super) fn step(&mut self, now: Now, id: ContainerId) {
        self.give_up(now, id);
        let saved = self.saver.last();
        let Some(follow) = self.follows.get_mut(&id) else {
            return;
        };
        match follow.step(now.mono, saved) {
            Step::Act(action, reading) => {
                self.reading = Some((id, reading));
                self.actions.push_back(action);
            }
            Step::List => {
                follow.rest(now.mono, self.settings.poll_interval_max);
                self.actions.push_back(Action::List(id));
                self.wait(now, id);
            }
            Step::Wait => self.wait(now, id),
        }
    }

    /// After anything that changed a container: its position, and its place in the queue.
    fn after(&mut self, now: Now, id: ContainerId) {
        let Some(follow) = self.follows.get_mut(&id) else {
            return;
        };
        let held = follow.tail.join_bytes();
        if held > 0 && follow.is_read() {
            self.break_off(now, id);
        } else if held > 0 && self.join_bytes > self.settings.memory_bytes_max / 4 {
            self.ship_held(now, id, Duration::ZERO);
        }
        self.advance(id);
        let saved = self.saver.last();
        let Some(follow) = self.follows.get_mut(&id) else {
            return;
        };
        let join = follow.tail.join_deadline(self.settings.join_age_max);
        if follow.can_act(now.mono, saved) || join.is_some_and(|at| at <= now.mono) {
            self.schedule.enqueue(id);
        } else {
            self.wait(now, id);
        }
        self.retire(id);
    }

    /// Puts it off to its next time that is still to come; what has no time waits for an event.
    fn wait(&mut self, now: Now, id: ContainerId) {
        let Some(follow) = self.follows.get(&id) else {
            return;
        };
        let join = follow.tail.join_deadline(self.settings.join_age_max);
        let times = [follow.wake, join].into_iter().flatten();
        self.schedule
            .wait(id, times.filter(|&time| time > now.mono).min());
    }

    /// Lines under way can not go on: bytes behind them are lost, or nothing will follow.
    pub(super) fn break_off(&mut self, now: Now, id: ContainerId) {
        let broken =
            |tail: &mut Tail, sink: &mut Sink<'_>| tail.give_up(Duration::ZERO, true, sink);
        while self.with_sink(now, id, broken) == Some(false) {
            self.seal_of(id);
        }
    }

    /// Ships what is held of lines whose next piece does not come.
    fn give_up(&mut self, now: Now, id: ContainerId) {
        let age = self.settings.join_age_max;
        let due = |follow: &Follow| {
            follow
                .tail
                .join_deadline(age)
                .is_some_and(|at| at <= now.mono)
        };
        if self.follows.get(&id).is_some_and(|follow| due(follow)) {
            self.ship_held(now, id, age);
            self.advance(id);
        }
    }

    fn ship_held(&mut self, now: Now, id: ContainerId, age: Duration) {
        while self.with_sink(now, id, |tail, sink| tail.give_up(age, false, sink)) == Some(false) {
            self.seal_of(id);
        }
    }
}

/// The chunk has other bytes where this line was.
fn is_missing(line: &Head, chunk: &Chunk<'_>) -> bool {
    let start = line.offset.checked_sub(chunk.offset);
    let there = start.and_then(|start| {
        let start = usize::try_from(start).ok()?;
        chunk.bytes.get(start..start + line.len as usize)
    });
    there.is_some_and(|there| head_hash(there) != line.hash)
}
