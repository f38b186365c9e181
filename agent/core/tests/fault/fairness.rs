//! One container writes more than the service takes; fifty others print a line a second.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent_core::{BatchId, Event, Outcome};

use crate::shell::{CURRENT, Shell};
use crate::{pieces, time, writer};

const STEP: Duration = Duration::from_millis(10);
const QUIET: usize = 50;
/// The noisy one prints 100 MB/s until it is this far behind, and again when it is not any more.
const BEHIND_BYTES: u64 = 24 << 20;

/// A service that takes so many bytes a second, shared evenly by the requests under way.
struct Wire {
    bytes_per_second: f64,
    left: BTreeMap<BatchId, f64>,
    carried_bytes: f64,
    /// How long each quiet line took.
    delays: Vec<Duration>,
}

impl Wire {
    fn new(bytes_per_second: f64) -> Self {
        Self {
            bytes_per_second,
            left: BTreeMap::new(),
            carried_bytes: 0.0,
            delays: Vec::new(),
        }
    }

    /// One step of time passes; requests that are done by then are answered.
    fn pass(&mut self, shell: &mut Shell, written: &BTreeMap<String, Duration>) {
        for (batch, body) in &shell.unanswered {
            self.left.entry(*batch).or_insert(body.len() as f64);
        }
        let mut room = self.bytes_per_second * STEP.as_secs_f64();
        while room > 0.5 && self.left.values().any(|left| *left > 0.0) {
            let open = self.left.values().filter(|left| **left > 0.0);
            let share = room / open.count() as f64;
            for left in self.left.values_mut() {
                let taken = left.min(share);
                *left -= taken;
                room -= taken;
                self.carried_bytes += taken;
            }
        }
        shell.pass(STEP);
        let (done, open) = std::mem::take(&mut shell.unanswered)
            .into_iter()
            .partition(|(batch, _)| self.left.get(batch) == Some(&0.0));
        shell.unanswered = open;
        for (batch, body) in done {
            self.left.remove(&batch);
            let text = String::from_utf8_lossy(&body);
            // Texts of quiet lines, which the noisy one does not print.
            for (at, _) in text.match_indices("quiet ") {
                let line = text[at..].split('"').next().unwrap_or_default();
                let delay = shell.wall() - written[line];
                self.delays.push(delay);
            }
            drop(text);
            drop(body);
            let outcome = Outcome::Accepted;
            shell.tell(Event::Sent { batch, outcome });
        }
    }
}

/// Settings as the agent's own defaults have them.
fn world(containers: usize) -> Shell {
    let mut shell = Shell::new(containers);
    shell.settings.batch_bytes_max = 4 << 20;
    shell.settings.memory_bytes_max = 20 << 20;
    shell.settings.in_flight_max = 4;
    shell.settings.batch_age_max = Duration::from_secs(1);
    (shell.reply, shell.takes) = (None, false);
    for container in 0..containers {
        shell.append(container, b"");
    }
    shell.start();
    shell
}

/// A megabyte of the noisy one's lines.
fn noise() -> Vec<u8> {
    let lines = (0..9_000).flat_map(|n| pieces(n, 40));
    lines.collect::<Vec<_>>().concat()
}

fn shout(shell: &mut Shell, noise: &[u8]) {
    let file = shell.file(0, CURRENT);
    file.bytes.extend_from_slice(noise);
    if file.bytes.len() > 64 << 20 {
        shell.rotate(0, 3, false);
    }
    shell.list(0);
}

/// Runs for so many seconds; how the quiet lines fared.
fn run(shell: &mut Shell, wire: &mut Wire, seconds: u64) {
    let noise = noise();
    let mut written = BTreeMap::new();
    let mut said = BTreeSet::new();
    for step in 0..seconds * 100 {
        let pipeline = shell.pipeline.as_ref().expect("an agent");
        if pipeline.gauges().lag_bytes < BEHIND_BYTES {
            shout(shell, &noise);
        }
        // Each prints once a second, one after the other; the last two seconds are for waiting.
        let container = 1 + (step % 100) as usize / 2;
        if step % 2 == 0 && container < shell.folders.len() && step < (seconds - 2) * 100 {
            let text = format!("quiet {container:02} {step:05}");
            let line = writer::pieces(text.as_bytes(), true, "stdout", &time(step as usize));
            shell
                .file(container, CURRENT)
                .bytes
                .extend_from_slice(&line.concat());
            written.insert(text.clone(), shell.wall());
            said.insert(text);
        }
        wire.pass(shell, &written);
    }
    assert_eq!(
        wire.delays.len(),
        said.len(),
        "lines that did not arrive in time"
    );
    wire.delays.sort();
}

fn percentile(delays: &[Duration], percent: usize) -> Duration {
    delays[(delays.len() - 1) * percent / 100]
}

fn assert_prompt(what: &str, wire: &Wire) {
    let [half, p99] = [50, 99].map(|percent| percentile(&wire.delays, percent));
    println!("{what}: p50 {half:?}, p99 {p99:?}");
    assert!(p99 < Duration::from_secs(2), "{what}: p99 {p99:?}");
}

#[test]
fn t64_fifty_quiet_containers_do_not_wait_for_the_noisy_one() {
    for megabytes in [1, 4, 20] {
        let rate = f64::from(megabytes) * 1e6;
        let mut shell = world(1 + QUIET);
        let mut wire = Wire::new(rate);
        run(&mut shell, &mut wire, 20);
        assert_prompt(&format!("{megabytes} MB/s"), &wire);
        // Not at the cost of the noisy one: nothing of the way lies idle.
        assert!(
            wire.carried_bytes > 0.9 * rate * 20.0,
            "{}",
            wire.carried_bytes
        );
    }
}

#[test]
fn t64_not_under_a_rate_limit_either() {
    let mut shell = world(1 + QUIET);
    shell.settings.bytes_per_second_max = 1_000_000;
    shell.kill();
    shell.start();
    let mut wire = Wire::new(100e6);
    run(&mut shell, &mut wire, 20);
    assert_prompt("limited to 1 MB/s", &wire);
    let taken = wire.carried_bytes / 20e6;
    // The first body and the last may stand out.
    assert!((0.7..1.25).contains(&taken), "{taken}");
}

#[test]
fn t64_a_container_that_is_new_is_not_starved_by_one_that_is_behind() {
    let mut shell = world(1);
    let mut wire = Wire::new(1e6);
    run(&mut shell, &mut wire, 10);
    let new = shell.add();
    shell.append(new, b"");
    shell.list(new);
    run(&mut shell, &mut wire, 10);
    assert_prompt("a new one", &wire);
}
