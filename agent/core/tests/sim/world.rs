//! A disk that forgets what was not synced, an OCI that fails, and the loop that lets everything
//! happen in an order that the seed decides.

mod agent;
mod outcomes;
mod service;
mod shell;
mod shown;
mod spool;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent_core::file_id::head_hash;
use agent_core::{
    Action, BatchId, ContainerId, Event, Loss, Notice, Now, Outcome, Pipeline, SaveId, stamp,
};

use crate::docker::{Disk, Log};
use crate::oracle::Oracle;
use crate::random::Random;
pub use outcomes::Outcomes;
use spool::{Segment, Spool};

const START: Duration = Duration::from_secs(1_795_000_000);
/// Room for everything, or hardly more than for the body that is being built.
const BUDGETS: [usize; 3] = [3 << 20, 640_000, 560_000];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Up,
    Down,
    Throttling,
    Refusing,
    Denying,
    /// Accepts and loses the reply.
    Mute,
    /// Refuses bodies with a certain entry in them.
    Picky,
}

#[derive(Debug)]
enum Due {
    Sent(BatchId, Outcome),
    Saved(SaveId, Vec<u8>, Vec<Loss>, bool),
    Quarantined(BatchId, bool),
    Spooled(BatchId, Segment, bool),
    Unspooled(BatchId),
    Written(u64),
}

struct File {
    container: u64,
    inode: u64,
    open: bool,
    held: bool,
}

pub struct World {
    random: Random,
    now: Now,
    disk: Disk,
    /// The never reused number of each inode in use.
    homes: BTreeMap<u64, u64>,
    next_home: u64,
    logs: BTreeMap<u64, Log>,
    next_line: u64,
    oracle: Oracle,
    pipeline: Option<Pipeline>,
    started: bool,
    files: BTreeMap<u64, File>,
    next_handle: u64,
    service: Service,
    due: Vec<(Duration, Due)>,
    durable: Option<Vec<u8>>,
    saves_fail: bool,
    budget: usize,
    spool: Spool,
    marks: bool,
    /// Containers whose next write is told.
    watched: BTreeSet<u64>,
    outcomes: Outcomes,
    clock_base: Duration,
    /// Tell a person everything.
    debug: bool,
    /// The outcomes tell of every action.
    pub traces: bool,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut world = Self {
            random: Random::new(seed),
            now: Now {
                mono: Duration::ZERO,
                wall: START,
            },
            disk: Disk::default(),
            homes: BTreeMap::new(),
            next_home: 1,
            logs: BTreeMap::new(),
            next_line: 1,
            oracle: Oracle::default(),
            pipeline: None,
            started: false,
            files: BTreeMap::new(),
            next_handle: 1,
            service: Service::Up,
            due: Vec::new(),
            durable: None,
            saves_fail: false,
            budget: BUDGETS[0],
            spool: Spool::default(),
            marks: true,
            watched: BTreeSet::new(),
            outcomes: Outcomes::default(),
            clock_base: Duration::ZERO,
            debug: std::env::var_os("SIM_DEBUG").is_some(),
            traces: false,
        };
        world.budget = world.random.pick(&BUDGETS);
        world.spool.is_there = !world.random.one_in(4);
        world.marks = !world.random.one_in(4);
        for _ in 0..world.random.below(4) + 1 {
            world.add_container();
        }
        world
    }

    pub fn run(mut self) -> Outcomes {
        let steps = 150 + self.random.below(250);
        self.start_agent();
        for _ in 0..steps {
            self.chance();
            self.pump();
        }
        self.quiesce();
        self.outcomes.summary = self.oracle.check();
        let (wrong, told) = self.oracle.check_ledger(self.marks, &Self::number_of);
        assert!(wrong.is_empty(), "the ledger: {}", wrong[0]);
        (self.outcomes.told, self.outcomes.vain) = told;
        self.outcomes
    }

    /// One thing happens.
    fn chance(&mut self) {
        let container = self.random.below(self.logs.len() as u64) + 1;
        match self.random.below(100) {
            0..40 => self.write(container),
            40..70 => self.daemon(container),
            70..82 => {
                let step = self.random.pick(&[1, 20, 300, 3_000]);
                self.pass(Duration::from_millis(step));
            }
            82..91 => self.list(container),
            91..93 => {
                self.service = self.random.pick(&[
                    Service::Up,
                    Service::Up,
                    Service::Down,
                    Service::Throttling,
                    Service::Refusing,
                    Service::Denying,
                    Service::Mute,
                    Service::Picky,
                    Service::Picky,
                ]);
                self.oracle.refuses_all |= self.service == Service::Refusing;
            }
            93 => {
                self.saves_fail = self.random.one_in(3);
                self.spool.fails = self.random.one_in(4);
            }
            94 => self.evict(),
            95 => self.restart(),
            96 => {
                if let Some(log) = self.logs.get_mut(&container) {
                    let tore = log.crash(&mut self.disk, &mut self.random);
                    self.oracle.torn |= tore;
                }
            }
            97 => {
                if self.random.one_in(3) {
                    self.remove(container);
                }
            }
            98 => {
                if self.logs.len() < 6 {
                    self.add_container();
                }
            }
            _ if self.random.one_in(3) => self.set_clock(),
            _ => self.pass(Duration::from_secs(31)),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now.mono += time;
        self.now.wall += time;
    }

    fn add_container(&mut self) {
        let number = self.logs.len() as u64 + 1;
        let created = stamp::from_wall(self.now.wall);
        self.logs
            .insert(number, Log::new(&mut self.random, created));
        if self.started {
            self.list(number);
        }
    }

    fn id(container: u64) -> ContainerId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&container.to_be_bytes());
        id[0] = container as u8 + 1;
        ContainerId(id)
    }

    fn number_of(id: &str) -> u64 {
        Self::container_of(ContainerId::from_hex(id).expect("a container"))
    }

    fn container_of(id: ContainerId) -> u64 {
        u64::from(id.0[0]) - 1
    }

    fn say(&self, what: &str) {
        if self.debug {
            println!("{:?} ## {what}", self.now.mono);
        }
    }

    fn event(&mut self, event: Event<'_>) {
        if self.debug {
            println!("{:?} {}", self.now.mono, shown::event(&event));
        }
        if let Some(pipeline) = &mut self.pipeline {
            pipeline.handle(
                Now {
                    mono: self.now.mono - self.clock_base,
                    ..self.now
                },
                event,
            );
            pipeline.audit().expect("invariants");
            let memory = pipeline.gauges().memory_bytes;
            assert!(
                memory <= self.budget + (512 << 10),
                "{memory} bytes are held"
            );
        }
    }

    /// The shell acts until the core has nothing more to do.
    fn pump(&mut self) {
        for _ in 0..2_000 {
            let now = self.now.mono;
            if let Some(at) = self.due.iter().position(|(at, _)| *at <= now) {
                let (_, due) = self.due.swap_remove(at);
                self.complete(due);
                continue;
            }
            let mono = self.now.mono - self.clock_base;
            let Some(pipeline) = &mut self.pipeline else {
                return;
            };
            let Some(action) = pipeline.poll_action(Now { mono, ..self.now }) else {
                return;
            };
            if self.traces {
                self.trace(&action);
            }
            self.act(action);
        }
        panic!("the core never rests");
    }

    /// Every byte of the action counts; the long ones are not printed digit by digit for that.
    fn trace(&mut self, action: &Action) {
        let (what, bytes) = match action {
            Action::Send {
                batch,
                attempt,
                body,
                entries,
            } => (format!("{batch:?} {attempt} {entries}"), &body[..]),
            Action::Quarantine { batch, body } => (format!("{batch:?}"), &body[..]),
            Action::Save { id, bytes } => (format!("{id:?}"), &bytes[..]),
            other => (format!("{other:?}"), &[][..]),
        };
        for bytes in [what.as_bytes(), bytes] {
            self.outcomes.trace = self.outcomes.trace.rotate_left(5) ^ head_hash(bytes);
        }
    }

    fn complete(&mut self, due: Due) {
        match due {
            Due::Sent(batch, outcome) => self.event(Event::Sent { batch, outcome }),
            Due::Saved(id, bytes, losses, true) => {
                self.oracle.ledger.store(losses);
                self.durable = Some(bytes);
                self.event(Event::Saved(id));
            }
            Due::Saved(id, _, losses, false) => {
                self.oracle.ledger.give_back(losses);
                self.event(Event::SaveFailed(id));
            }
            Due::Spooled(batch, segment, stored) => {
                if stored {
                    let bodies = segment.bodies.iter();
                    bodies.for_each(|body| self.oracle.promise(&body.bytes));
                    self.spool.segments.insert(batch, segment);
                }
                self.event(Event::Spooled { batch, stored });
            }
            Due::Unspooled(batch) => self.unspool(batch),
            Due::Written(container) => self.event(Event::Written(Self::id(container))),
            Due::Quarantined(batch, stored) => self.event(Event::Quarantined { batch, stored }),
        }
    }

    fn act(&mut self, action: Action) {
        if self.debug {
            println!("{:?}    -> {}", self.now.mono, shown::action(&action));
        }
        match action {
            Action::Read {
                handle,
                offset,
                len,
                head,
                ..
            } => self.read(handle, offset, len, head),
            Action::Close { handle } => self.close(handle),
            Action::List(id) => self.list(Self::container_of(id)),
            // There are only so many watches.
            Action::Watch(id) => {
                if !self.random.one_in(4) {
                    self.watched.insert(Self::container_of(id));
                    self.event(Event::Watched(id));
                }
            }
            Action::Send { batch, body, .. } => self.send(batch, &body),
            Action::Forget(batch) => self.spool.forget(batch),
            action @ Action::Spool { .. } => self.spool(action),
            Action::Unspool(batch) => {
                let wait = Duration::from_millis(self.random.pick(&[0, 5, 400]));
                self.due.push((self.now.mono + wait, Due::Unspooled(batch)));
            }
            Action::Quarantine { batch, body } => {
                let stored = !self.random.one_in(4);
                if stored {
                    self.oracle.quarantine(&body);
                }
                let wait = Duration::from_millis(self.random.pick(&[0, 5, 400]));
                self.due
                    .push((self.now.mono + wait, Due::Quarantined(batch, stored)));
            }
            Action::Save { id, bytes } => {
                let wait = Duration::from_millis(self.random.pick(&[0, 5, 400]));
                let losses = self.oracle.ledger.take();
                let works = !(self.saves_fail && self.random.one_in(2));
                self.due
                    .push((self.now.mono + wait, Due::Saved(id, bytes, losses, works)));
            }
            Action::Report(Notice::Lost(_)) => self.outcomes.losses += 1,
            Action::Record(loss) => self.oracle.ledger.record(loss),
            Action::Report(notice @ Notice::SpoolDamaged { .. }) => panic!("{notice:?}"),
            Action::Report(_) => {}
        }
    }
}
