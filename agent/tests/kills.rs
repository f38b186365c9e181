//! The agent is killed at random moments while logs are written and rotated, and stays down over
//! many rotations; in the end every line has arrived, and nothing came under two ids.
//!
//! Logs are written as dockerd writes them, and never faster than that what has not arrived is
//! still there: so nothing may be lost.

#![allow(clippy::unwrap_used)]

mod harness;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use fixtures::burst::Burst;
use fixtures::docker_log::{DockerLog, Rotation, Stream};
use fixtures::emulator::{Fault, FaultKind};
use fixtures::wait;

use harness::Harness;

/// How long the logs are written; more makes a soak of it.
const WRITE_SECONDS: &str = "PLATFORM_AGENT_SOAK_SECONDS";
const WRITE_SECONDS_DEFAULT: u64 = 20;
/// Repeats the random choices of a run.
const SEED: &str = "PLATFORM_AGENT_SEED";
/// Nothing comes while the agent starts or an outage lasts.
const LULL: Duration = Duration::from_secs(1);
/// A writer waits for room in this step.
const WRITER_PAUSE: Duration = Duration::from_millis(2);
/// Decoded bytes of one entry; longer lines take more entries.
const DATA_BYTES_MAX: usize = 10_000;
/// Of each container. Faster than this only makes more of the same.
const BYTES_PER_SECOND: u64 = 600_000;

/// What a writer and the test tell each other.
#[derive(Default)]
struct Shared {
    /// Entries of this container that have arrived.
    arrived: AtomicU64,
    rotations: AtomicU64,
    /// The writer waits because too little has arrived.
    is_full: AtomicBool,
    stop: AtomicBool,
}

/// One container whose log is written on a thread of its own.
struct Writer {
    name: String,
    shared: Arc<Shared>,
    thread: JoinHandle<Vec<String>>,
}

impl Writer {
    fn start(containers: &Path, burst: Burst, rotation: Rotation) -> Self {
        let log = DockerLog::create(containers, &burst.run, rotation).unwrap();
        let name = burst.run.clone();
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let room = rotation.size_max * u64::from(rotation.files_max - 1) * 3 / 4;
        let thread = thread::spawn(move || write(log, &burst, room, &theirs));
        Self {
            name,
            shared,
            thread,
        }
    }

    fn rotations(&self) -> u64 {
        self.shared.rotations.load(Ordering::Relaxed)
    }

    fn is_full(&self) -> bool {
        self.shared.is_full.load(Ordering::Relaxed)
    }

    /// Every line it wrote, sorted.
    fn stop(self) -> Vec<String> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut lines = self.thread.join().unwrap();
        lines.sort_unstable();
        lines
    }
}

/// Writes lines until stopped. Of what has not arrived, no more than `room` bytes.
fn write(mut log: DockerLog, burst: &Burst, room: u64, shared: &Shared) -> Vec<String> {
    let mut lines = Vec::new();
    let began = Instant::now();
    // Entries and bytes up to the end of each line that has not arrived.
    let mut open: VecDeque<(u64, u64)> = VecDeque::new();
    let (mut entries, mut bytes, mut settled) = (0, 0, 0);
    while !shared.stop.load(Ordering::Relaxed) {
        let arrived = shared.arrived.load(Ordering::Relaxed);
        while let Some(&(entries, end)) = open.front()
            && entries <= arrived
        {
            settled = end;
            open.pop_front();
        }
        let is_full = bytes - settled > room;
        shared.is_full.store(is_full, Ordering::Relaxed);
        if is_full || bytes > began.elapsed().as_millis() as u64 * BYTES_PER_SECOND / 1_000 {
            thread::sleep(WRITER_PAUSE);
            continue;
        }
        let sequence = lines.len() as u64;
        let line = burst.line(sequence);
        let stream = match burst.is_stderr(sequence) {
            true => Stream::Err,
            false => Stream::Out,
        };
        log.write(stream, line.as_bytes(), true).unwrap();
        shared.rotations.store(log.rotations(), Ordering::Relaxed);
        entries += line.len().div_ceil(DATA_BYTES_MAX).max(1) as u64;
        // A generous guess at what escapes and frames add.
        bytes += line.len() as u64 * 3 / 2 + 100;
        open.push_back((entries, bytes));
        lines.push(line);
    }
    lines
}

struct Run {
    random: fastrand::Rng,
    harness: Harness,
    writers: Vec<Writer>,
    kills: u32,
    downtime_rotations: u64,
}

impl Run {
    /// Takes in what arrived, and tells the writers.
    fn take_in(&mut self) {
        self.harness.take_in();
        for writer in &self.writers {
            let ids = self.harness.ids(&writer.name) as u64;
            writer.shared.arrived.store(ids, Ordering::Relaxed);
        }
    }

    /// Lets some entries arrive, then kills the agent, and starts it after a while.
    fn kill_once(&mut self) {
        let target = self.harness.entries() + self.random.u64(0..3_000);
        let _ = wait::until("entries", LULL, || {
            self.take_in();
            Ok((self.harness.entries() >= target).then_some(()))
        });
        thread::sleep(Duration::from_micros(self.random.u64(0..20_000)));
        self.harness.kill_agent();
        self.kills += 1;
        if self.random.u8(0..4) == 0 {
            let kinds = [
                FaultKind::DropReply,
                FaultKind::Reset,
                FaultKind::Status(503),
            ];
            let kind = kinds[self.random.usize(..kinds.len())];
            self.harness
                .add_fault(Fault::times(kind, self.random.u64(1..3)));
        }
        if self.random.bool() {
            self.stay_down();
        }
        self.harness.start_agent();
    }

    /// Until one log was rotated so often, or as often as can be without a loss.
    fn stay_down(&mut self) {
        let before: Vec<u64> = self.writers.iter().map(Writer::rotations).collect();
        let wanted = self.random.u64(1..10);
        wait::until("rotations", Duration::from_secs(60), || {
            self.take_in();
            let mut both = self.writers.iter().zip(&before);
            let done = both.any(|(writer, before)| writer.rotations() - before >= wanted);
            let stuck = self.writers.iter().all(Writer::is_full);
            Ok((done || stuck).then_some(()))
        })
        .unwrap();
        let rotations = self.writers.iter().zip(&before);
        self.downtime_rotations += rotations
            .map(|(writer, before)| writer.rotations() - before)
            .sum::<u64>();
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap())
}

fn kills(label: &str, rotation: Rotation) {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let seed = number(SEED).unwrap_or(now);
    println!("{SEED}={seed}");
    let seconds = number(WRITE_SECONDS).unwrap_or(WRITE_SECONDS_DEFAULT);
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    // Half of the kills shall find a checkpoint that is newer than the start.
    harness.set("state", "save_interval", "\"100ms\"");
    harness.start_agent();
    let burst = |name: &str, bytes_max: usize| Burst {
        run: format!("{label}-{name}"),
        seed,
        lines: 0,
        bytes_min: 30,
        bytes_max,
        bytes_per_second: 0,
        unterminated: false,
    };
    let bursts = [
        burst("mixed", 102_400),
        burst("short", 300),
        burst("long", 40_000),
    ];
    let mut run = Run {
        random: fastrand::Rng::with_seed(seed),
        harness,
        writers: bursts
            .map(|burst| Writer::start(containers.path(), burst, rotation))
            .into(),
        kills: 0,
        downtime_rotations: 0,
    };
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(seconds) {
        run.kill_once();
    }
    let rotations: u64 = run.writers.iter().map(Writer::rotations).sum();
    println!(
        "{} kills, {rotations} rotations, {} of them without an agent",
        run.kills, run.downtime_rotations
    );
    assert!(
        run.kills > 4 && run.downtime_rotations > 0,
        "too quiet to prove anything"
    );
    run.harness.emulator().clear_faults();
    for writer in run.writers {
        let name = writer.name.clone();
        run.harness.assert_arrived(&name, &writer.stop());
    }
    run.harness.terminate_agent();
    run.harness.assert_nothing_was_cut_or_dropped();
}

/// So many that none is rotated away: what a killed agent had shipped and not yet committed is not
/// known to the next one, and a line that began in such a file could only be sent from its middle.
const FILES_MAX: u32 = 400;

#[test]
fn t01_t50_t61_kills_and_downtime_over_plain_rotation() {
    kills("plain", Rotation::plain(64 * 1024, FILES_MAX));
}

#[test]
fn t13_t15_t16_kills_and_downtime_over_compressed_rotation() {
    kills("gz", Rotation::gz(64 * 1024, FILES_MAX));
}
