//! The loop around the core: one thread that owns it, lists and reads files for it, and hands
//! bodies and checkpoints to others.

mod look;
pub mod losses;
mod report;
mod spooling;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender as Channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use agent_core::ledger::Ledger;
use agent_core::stats::Stats;
use agent_core::{Action, BatchId, ContainerId, Event, Now, Pipeline, SaveId};
use losses::Losses;

use crate::admin::Board;
use crate::discover::Discovery;
use crate::disk::MinFree;
use crate::files::Files;
use crate::files::bound::Held;
use crate::forecast::Forecast;
use crate::quarantine::Quarantine;
use crate::saving::Save;
use crate::sender::{Answered, Sender};
use crate::shard::Shard;
use crate::spool::{self, Asking, Usage};
use crate::watch::{Hint, Sighting, Watch};

/// How often a container without a description is looked at again.
const DESCRIBE_INTERVAL: Duration = Duration::from_millis(50);
/// How often the status is put up, if something is new or somebody looks at it.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);
/// How often it is put up in any case.
const STATUS_INTERVAL_MAX: Duration = Duration::from_secs(5);
/// What other threads tell the loop.
pub enum Message {
    /// An attempt to send ended.
    Sent(BatchId, Answered),
    /// The service was asked the time: its answer, since 1970-01-01.
    ServiceTime(Option<Duration>),
    /// A checkpoint is on disk, with all losses if there were new ones; or it is not.
    Saved(SaveId, Option<Option<Ledger>>),
    /// The spool did something, and holds so much now.
    Spool(spool::Answer, Usage),
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
    /// What was lost.
    pub losses: Losses,
    /// Where refused entries are kept, for all pipelines.
    pub quarantine: Arc<Mutex<Quarantine>>,
    /// The way to the spool, if there is one.
    pub spool: Option<Channel<Asking>>,
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
    /// Folders that are to be looked into.
    to_list: BTreeSet<ContainerId>,
    /// All that there were at the start.
    has_looked: bool,
    list_at: Duration,
    /// When the status was put up, and what had been counted by then.
    shown: (Duration, Stats),
    undescribed: BTreeSet<ContainerId>,
    describe: Duration,
    drained_by: Option<Duration>,
    last_save_failed: bool,
    /// What the service said of batches that it refuses.
    refusals: BTreeMap<BatchId, String>,
    quarantine_error: Option<String>,
    spool_usage: Usage,
    spool_error: Option<String>,
    forecast: Forecast,
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
            // Nothing is left to be read.
            agenda.list_at = Duration::ZERO;
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
        if !agenda.to_list.is_empty() {
            return Duration::ZERO;
        }
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
            Message::ServiceTime(date) => self.tell(Event::ServiceTime(date)),
            Message::Sent(batch, answered) => {
                let Answered {
                    outcome,
                    refusal,
                    date,
                } = answered;
                if date.is_some() {
                    self.tell(Event::ServiceTime(date));
                }
                agenda
                    .refusals
                    .extend(refusal.map(|refusal| (batch, refusal)));
                self.tell(Event::Sent { batch, outcome });
            }
            Message::Saved(id, saved) => {
                agenda.last_save_failed = saved.is_none();
                let event = match saved {
                    Some(all) => {
                        self.losses.saved(all);
                        Event::Saved(id)
                    }
                    None => Event::SaveFailed(id),
                };
                self.tell(event);
            }
            Message::Spool(answer, usage) => self.spool_answered(answer, usage, agenda),
            Message::Sighted(sightings) => self.follow_up(&sightings, agenda),
            Message::Drain => {
                tracing::info!("stopping: sending what was read");
                self.tell(Event::Drain);
                agenda.drained_by = Some(self.started.elapsed() + self.grace);
            }
        }
    }

    /// Takes what is there: acknowledgements are not kept waiting by a long backlog. Sightings are
    /// followed up once: folders that change faster than they are listed do not hold up reading.
    fn take_all(&mut self, agenda: &mut Agenda) {
        let mut sightings = BTreeSet::new();
        while let Ok(message) = self.inbox.try_recv() {
            match message {
                Message::Sighted(more) => sightings.extend(more),
                other => self.take(other, agenda),
            }
        }
        self.follow_up(&sightings, agenda);
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
                Hint::Written(id) => self.tell_written(id),
                Hint::Containers => self.scan(agenda, false),
                Hint::All => {
                    let quiet = self.watch.as_ref().map(Watch::quiet).unwrap_or_default();
                    quiet.into_iter().for_each(|id| self.tell_written(id));
                    self.scan(agenda, true);
                }
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
        self.list_some(agenda);
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

    /// Does what the core asks until it asks for nothing.
    fn act(&mut self, agenda: &mut Agenda) {
        loop {
            self.tell_let_go();
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
                    self.take_all(agenda);
                    self.chores(agenda);
                }
                Action::Close { handle } => self.files.close(handle),
                Action::List(id) => self.list(id, agenda),
                Action::Watch(id) => self.watch_writes(id),
                Action::Send { batch, body, .. } => {
                    let outbox = self.outbox.clone();
                    self.sender.send(batch, body, move |answered| {
                        // The loop has ended when nobody takes it.
                        let _ = outbox.send(Message::Sent(batch, answered));
                    });
                }
                Action::Quarantine { batch, body } => self.quarantine(batch, &body, agenda),
                Action::Spool {
                    batch,
                    containers,
                    covered,
                    bodies,
                } => self.ask_spool(spool::Request::Keep {
                    batch,
                    containers,
                    covered,
                    bodies,
                }),
                Action::Unspool(batch) => self.ask_spool(spool::Request::Find(batch)),
                Action::Forget(batch) => {
                    agenda.refusals.remove(&batch);
                    self.sender.forget(batch);
                    if agenda.spool_usage.segments > 0 {
                        self.ask_spool(spool::Request::Forget(batch));
                    }
                }
                Action::Save { id, bytes } => self.save(id, bytes),
                Action::Report(notice) => self.report(&notice),
                Action::Record(loss) => self.losses.record(&loss),
            }
        }
    }
}
