//! The loop around the core: one thread that owns it, lists and reads files for it, and hands
//! bodies and checkpoints to others.

mod look;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender as Channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use agent_core::stats::Stats;
use agent_core::{
    Action, BatchId, Container, ContainerId, Event, Notice, Now, Outcome, Pipeline, SaveId,
};

use crate::admin::Board;
use crate::discover::Discovery;
use crate::disk::MinFree;
use crate::files::Files;
use crate::files::bound::Held;
use crate::quarantine::Quarantine;
use crate::sender::Sender;
use crate::shard::Shard;
use crate::store::Save;
use crate::watch::{Hint, Sighting, Watch};

/// How often a container without a description is looked at again.
const DESCRIBE_INTERVAL: Duration = Duration::from_millis(50);
/// How often the status is put up, if something is new or somebody looks at it.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);
/// How often it is put up in any case.
const STATUS_INTERVAL_MAX: Duration = Duration::from_secs(5);
/// Looks at a folder that changes under them.
const LOOKS_MAX: u32 = 8;

/// One scan in this many looks into folders that have not changed, too.
const WHOLE_SCAN_EACH: u32 = 30;

/// What other threads tell the loop.
pub enum Message {
    /// An attempt to send ended, with what the service said if it refused the body.
    Sent(BatchId, Outcome, Option<String>),
    /// A checkpoint is on disk, or is not.
    Saved(SaveId, bool),
    /// Something happened in the folders.
    Sighted(BTreeSet<Sighting>),
    /// Stop.
    Drain,
}

/// What the loop works with.
pub struct Engine {
    /// Which of the pipelines this is.
    pub shard: Shard,
    /// Decides.
    pub core: Pipeline,
    /// Which containers there are.
    pub discovery: Discovery,
    /// Their files.
    pub files: Files,
    /// Hints.
    pub watch: Option<Watch>,
    /// The way to OCI.
    pub sender: Sender,
    /// The way to the disk.
    pub saves: Channel<Save>,
    /// Where messages come in.
    pub inbox: Receiver<Message>,
    /// Given to whoever answers.
    pub outbox: Channel<Message>,
    /// Where the status is put up.
    pub board: Board,
    /// Between two looks at everything.
    pub scan_interval: Duration,
    /// Bytes of deleted files that may be held.
    pub held_bytes_max: u64,
    /// The floor of free disk, below which fewer are held.
    pub min_free: MinFree,
    /// Where refused entries are kept, for all pipelines.
    pub quarantine: Arc<Mutex<Quarantine>>,
    /// How long a drain may take.
    pub grace: Duration,
    /// Times are counted from here.
    pub started: Instant,
}

/// What is due when.
#[derive(Default)]
struct Agenda {
    scan: Duration,
    scans: u32,
    status: Duration,
    /// When the status was put up, and what had been counted by then.
    shown: (Duration, Stats),
    undescribed: BTreeSet<ContainerId>,
    describe: Duration,
    drained_by: Option<Duration>,
    losses: BTreeMap<ContainerId, Vec<Notice>>,
    last_save_failed: bool,
    /// What the service said of batches that it refuses.
    refusals: BTreeMap<BatchId, String>,
    quarantine_error: Option<String>,
    containers_error: Option<String>,
    held: Held,
    evicted_bytes: u64,
}

impl Engine {
    /// Runs until it is drained, or the grace time is over.
    pub fn run(mut self) {
        let mut agenda = Agenda::default();
        loop {
            self.chores(&mut agenda);
            self.act(&mut agenda);
            let now = self.now().mono;
            if let Some(by) = agenda.drained_by
                && (self.core.is_drained() || now >= by)
            {
                let drained = self.core.is_drained();
                tracing::info!(drained, "stopped");
                return;
            }
            match self.inbox.recv_timeout(self.wait(&agenda, now)) {
                Ok(message) => self.take(message, &mut agenda),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Now {
            mono: self.started.elapsed(),
            wall: wall.unwrap_or_default(),
        }
    }

    fn wait(&self, agenda: &Agenda, now: Duration) -> Duration {
        let mut until = agenda.status.min(agenda.scan);
        if !agenda.undescribed.is_empty() {
            until = until.min(agenda.describe);
        }
        for deadline in [self.core.next_deadline(), agenda.drained_by]
            .into_iter()
            .flatten()
        {
            until = until.min(deadline);
        }
        until.saturating_sub(now)
    }

    fn tell(&mut self, event: Event<'_>) {
        let now = self.now();
        self.core.handle(now, event);
    }

    fn take(&mut self, message: Message, agenda: &mut Agenda) {
        match message {
            Message::Sent(batch, outcome, refusal) => {
                agenda
                    .refusals
                    .extend(refusal.map(|refusal| (batch, refusal)));
                self.tell(Event::Sent { batch, outcome });
            }
            Message::Saved(id, saved) => {
                agenda.last_save_failed = !saved;
                self.tell(if saved {
                    Event::Saved(id)
                } else {
                    Event::SaveFailed(id)
                });
            }
            Message::Sighted(sightings) => self.follow_up(&sightings, agenda),
            Message::Drain => {
                tracing::info!("stopping: sending what was read");
                self.tell(Event::Drain);
                agenda.drained_by = Some(self.started.elapsed() + self.grace);
            }
        }
    }

    fn follow_up(&mut self, sightings: &BTreeSet<Sighting>, agenda: &mut Agenda) {
        let Some(watch) = &self.watch else { return };
        let hints: BTreeSet<Hint> = sightings
            .iter()
            .filter_map(|&seen| watch.hint(seen))
            .collect();
        for hint in hints {
            match hint {
                Hint::Folder(id) => self.list(id, agenda),
                Hint::Containers => self.scan(agenda, false),
                Hint::All => self.scan(agenda, true),
            }
        }
    }

    /// What is done by the clock.
    fn chores(&mut self, agenda: &mut Agenda) {
        let now = self.started.elapsed();
        if now >= agenda.scan {
            self.scan(agenda, true);
            self.bound_held(agenda);
            agenda.scan = self.started.elapsed() + self.scan_interval;
        }
        if !agenda.undescribed.is_empty() && now >= agenda.describe {
            agenda.describe = now + DESCRIBE_INTERVAL;
            for id in std::mem::take(&mut agenda.undescribed) {
                self.list(id, agenda);
            }
        }
        if now >= agenda.status {
            agenda.status = now + STATUS_INTERVAL;
            let (at, stats) = &agenda.shown;
            let is_old = now >= *at + STATUS_INTERVAL_MAX || stats != self.core.stats();
            if self.board.was_asked() || is_old {
                agenda.shown = (now, self.core.stats().clone());
                self.put_up(agenda);
            } else {
                self.board.confirm(self.shard.index, now);
            }
        }
    }

    /// Looks which folders there are; with `all`, into each of them.
    fn scan(&mut self, agenda: &mut Agenda, all: bool) {
        if let Some(watch) = &mut self.watch {
            watch.watch_root(self.discovery.root());
        }
        let change = match self.discovery.scan(self.started.elapsed()) {
            Ok(change) => change,
            Err(error) => {
                if agenda.containers_error.is_none() {
                    tracing::error!(
                        "cannot read {}: {error}; is it mounted, and is this root?",
                        self.discovery.root().display()
                    );
                }
                agenda.containers_error = Some(error.to_string());
                return;
            }
        };
        agenda.containers_error = None;
        let ids: Vec<ContainerId> = match all {
            true => self.discovery.iter().map(|(id, _)| id).collect(),
            false => change.appeared,
        };
        if let Some(watch) = &mut self.watch {
            for &id in &ids {
                watch.watch_folder(id, &self.discovery.folder(id));
            }
        }
        for id in change.gone {
            if let Some(watch) = &mut self.watch {
                watch.forget(id);
            }
            if agenda.undescribed.remove(&id) {
                self.tell_nameless(id);
            }
            self.files.trouble.forget(id);
            self.tell_removed(id);
        }
        for id in self.due_for_listing(agenda, ids) {
            self.list(id, agenda);
        }
    }

    /// Containers whose folders changed since they were listed; now and then all of them.
    fn due_for_listing(&self, agenda: &mut Agenda, mut ids: Vec<ContainerId>) -> Vec<ContainerId> {
        agenda.scans += 1;
        if !agenda.scans.is_multiple_of(WHOLE_SCAN_EACH) {
            ids.retain(|&id| !self.discovery.is_as_listed(id));
        }
        ids
    }

    /// A container that went before it was described: what is held of it is shipped under its
    /// short id.
    fn tell_nameless(&mut self, id: ContainerId) {
        let container = Container {
            removed: false,
            ..self.discovery.container(id)
        };
        if self.discovery.admits(&container.name) {
            let files = self.files.held(id);
            self.tell_listing(id, files, false);
        } else {
            self.files.release(id);
        }
    }

    /// Does what the core asks until it asks for nothing.
    fn act(&mut self, agenda: &mut Agenda) {
        loop {
            let now = self.now();
            let Some(action) = self.core.poll_action(now) else {
                return;
            };
            match action {
                Action::Read {
                    handle,
                    offset,
                    len,
                    head,
                    ..
                } => {
                    let event = match self.files.read(handle, offset, len, head) {
                        Ok(chunk) => Event::Chunk {
                            handle,
                            offset: chunk.offset,
                            bytes: chunk.bytes,
                            hole_bytes: chunk.hole_bytes,
                            end: chunk.end,
                            held: chunk.held,
                            modified: chunk.modified,
                        },
                        Err(error) => Event::ReadFailed { handle, error },
                    };
                    self.core.handle(now, event);
                    // Acknowledgements are not kept waiting by a long backlog.
                    while let Ok(message) = self.inbox.try_recv() {
                        self.take(message, agenda);
                    }
                    self.chores(agenda);
                }
                Action::Close { handle } => self.files.close(handle),
                Action::List(id) => self.list(id, agenda),
                Action::Send { batch, body, .. } => {
                    let outbox = self.outbox.clone();
                    self.sender.send(batch, body, move |outcome, refusal| {
                        // The loop has ended when nobody takes it.
                        let _ = outbox.send(Message::Sent(batch, outcome, refusal));
                    });
                }
                Action::Quarantine { batch, body } => self.quarantine(batch, &body, agenda),
                Action::Forget(batch) => {
                    agenda.refusals.remove(&batch);
                    self.sender.forget(batch);
                }
                Action::Save { id, bytes } => {
                    let pipeline = self.shard.index;
                    let save = Save {
                        pipeline,
                        id,
                        bytes,
                    };
                    if self.saves.send(save).is_err() {
                        self.tell(Event::SaveFailed(id));
                    }
                }
                Action::Report(notice) => self.report(notice, agenda),
            }
        }
    }
}
