//! The service is away, refuses us, or takes less than there is.

use std::time::Duration;

use agent_core::{Event, Outcome};

use crate::shell::Shell;
use crate::{assert_lines, print};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// Bytes of a line.
const LEN: usize = 2_000;
const OUTAGE: Outcome = Outcome::Unavailable { retry_after: None };

/// A service that is away for so long, while a line is printed each `every` and the log is
/// rotated after each 30 lines; how many lines there are.
fn away(
    shell: &mut Shell,
    reply: &Outcome,
    time: Duration,
    every: Duration,
    max_file: u32,
) -> usize {
    shell.start();
    shell.reply = Some(reply.clone());
    shell.takes = false;
    let count = usize::try_from(time.as_millis() / every.as_millis()).unwrap();
    for n in 0..count {
        print(shell, 0, n..n + 1, LEN);
        if n % 30 == 29 {
            shell.rotate(0, max_file, false);
        }
        shell.list(0);
        shell.pass(every);
        let gauges = shell.pipeline.as_ref().unwrap().gauges();
        let memory_max = shell.settings.memory_bytes_max + shell.settings.batch_bytes_max;
        assert!(gauges.memory_bytes <= memory_max);
    }
    (shell.reply, shell.takes) = (Some(Outcome::Accepted), true);
    count
}

/// Nothing but time passes until so many entries are there; how much.
fn recovery(shell: &mut Shell, entries: usize) -> Duration {
    let mut waited = Duration::ZERO;
    while shell.arrival.entries.len() < entries {
        assert!(waited < HOUR, "it never recovers");
        shell.pass(SECOND);
        waited += SECOND;
    }
    waited
}

#[test]
fn t55_after_an_outage_of_any_length_the_lines_come_within_a_backoff() {
    for (time, every) in [
        (SECOND, SECOND / 10),
        (10 * SECOND, SECOND / 10),
        (5 * MINUTE, SECOND),
        (HOUR, 10 * SECOND),
        (12 * HOUR, MINUTE),
    ] {
        let mut shell = Shell::new(1);
        let count = away(&mut shell, &OUTAGE, time, every, 3);
        let waited = recovery(&mut shell, count);
        assert!(waited <= 35 * SECOND, "{waited:?} after {time:?}");
        shell.settle();
        assert_lines(&shell, 0, 0..count, LEN);
        assert_eq!(shell.losses(), []);
        assert_eq!(shell.arrival.repeated, 0);
    }
}

#[test]
fn t55_after_days_with_rotation_going_on_every_line_that_a_descriptor_held_arrives() {
    let mut shell = Shell::new(1);
    shell.settings.batch_bytes_max = 128 << 10;
    shell.settings.memory_bytes_max = 512 << 10;
    let count = away(&mut shell, &OUTAGE, 72 * HOUR, MINUTE, 2);
    let files = shell.files.len();
    assert!(files > 100, "{files} generations, of which two have names");
    recovery(&mut shell, count);
    shell.settle();
    assert_lines(&shell, 0, 0..count, LEN);
    assert_eq!(shell.losses(), []);
    assert!(shell.files.len() <= 2, "descriptors are given back");
}

#[test]
fn t56_a_day_away_is_no_limit_to_retries() {
    let mut shell = Shell::new(1);
    let count = away(&mut shell, &OUTAGE, 24 * HOUR, 10 * SECOND, 1);
    let stats = shell.pipeline.as_ref().unwrap().stats().clone();
    // At most one request at a time, 30 seconds apart at the end, and as often until the last.
    let least = 24 * 3600 / 40;
    assert!((least..least * 2).contains(&stats.unavailable), "{stats:?}");
    let waited = recovery(&mut shell, count);
    assert!(waited <= 35 * SECOND, "{waited:?}");
    shell.settle();
    assert_lines(&shell, 0, 0..count, LEN);
    assert_eq!(shell.losses(), []);
}

#[test]
fn t59_an_hour_of_403_delays_and_drops_nothing() {
    let mut shell = Shell::new(1);
    let count = away(&mut shell, &Outcome::Denied, HOUR, 10 * SECOND, 1);
    let pipeline = shell.pipeline.as_ref().unwrap();
    assert!(pipeline.gauges().denied);
    // An operator's matter: not hammered, and not given up.
    let denied = pipeline.stats().denied;
    assert!((12..30).contains(&denied), "{denied} attempts");
    let waited = recovery(&mut shell, count);
    assert!(waited <= 305 * SECOND, "{waited:?}");
    shell.settle();
    assert!(!shell.pipeline.as_ref().unwrap().gauges().denied);
    assert_lines(&shell, 0, 0..count, LEN);
    assert_eq!(shell.losses(), []);
}

/// What a tenancy may send: so many bytes a second, and a burst.
struct Allowance {
    per_second: f64,
    burst: f64,
    tokens: f64,
    taken: f64,
}

impl Allowance {
    fn pass(&mut self, time: Duration) {
        let grown = self.tokens + self.per_second * time.as_secs_f64();
        self.tokens = grown.min(self.burst);
    }

    /// 429 with the whole seconds after which there is room, or without a word of that.
    fn answer(&mut self, bytes: usize, says_when: bool) -> Outcome {
        let missing = bytes as f64 - self.tokens;
        if missing > 0.0 {
            let seconds = (missing / self.per_second).ceil();
            let retry_after = says_when.then(|| Duration::from_secs_f64(seconds));
            return Outcome::Unavailable { retry_after };
        }
        self.tokens -= bytes as f64;
        self.taken += bytes as f64;
        Outcome::Accepted
    }
}

const AGENTS: usize = 8;
const STEP: Duration = Duration::from_millis(20);

/// Eight agents with backlogs share an allowance of 1 MB a second; how much of it they use in two
/// minutes, and the most of them that came in one step after the first seconds.
fn storm(says_when: bool) -> (f64, usize) {
    let time = 120 * SECOND;
    let mut allowance = Allowance {
        per_second: 1e6,
        burst: 4e6,
        tokens: 0.0,
        taken: 0.0,
    };
    let mut agents: Vec<Shell> = (0..AGENTS)
        .map(|n| {
            let mut shell = Shell::new(1);
            shell.settings.batch_bytes_max = 256 << 10;
            shell.settings.seed = 1 + 7_919 * n as u64;
            shell.reply = None;
            shell.takes = false;
            print(&mut shell, 0, 0..3_000, 9_000);
            shell.start();
            shell
        })
        .collect();
    let mut most = 0;
    for step in 0..(time.as_millis() / STEP.as_millis()) {
        allowance.pass(STEP);
        let mut came = 0;
        for shell in &mut agents {
            let requests = std::mem::take(&mut shell.unanswered);
            came += usize::from(!requests.is_empty());
            for (batch, body) in requests {
                let outcome = allowance.answer(body.len(), says_when);
                shell.tell(Event::Sent { batch, outcome });
            }
            shell.pass(STEP);
        }
        if step > 500 {
            most = most.max(came);
        }
    }
    for shell in &agents {
        let gauges = shell.pipeline.as_ref().unwrap().gauges();
        assert!(
            gauges.lag_bytes > 0,
            "it was caught up: this proves nothing"
        );
    }
    (
        allowance.taken / (allowance.per_second * time.as_secs_f64()),
        most,
    )
}

#[test]
fn t60_of_an_allowance_nearly_all_is_used_and_nobody_comes_in_step() {
    for says_when in [true, false] {
        let (used, most) = storm(says_when);
        println!("Retry-After {says_when}: {used:.3} used, {most} of {AGENTS} at once");
        assert!(used >= 0.95, "{used:.3} of the allowance");
        assert!(most <= AGENTS / 2, "{most} of {AGENTS} agents in one step");
    }
}

#[test]
fn t60_told_the_same_time_at_once_agents_come_back_spread_over_a_second() {
    let retry_after = Some(Duration::from_secs(30));
    let mut came = [0; 51];
    for n in 0..100 {
        let mut shell = Shell::new(1);
        shell.settings.seed = 1 + 7_919 * n;
        shell.reply = Some(Outcome::Unavailable { retry_after });
        shell.takes = false;
        print(&mut shell, 0, 0..1, 20);
        shell.start();
        shell.pass(SECOND);
        let attempts = |shell: &Shell| shell.pipeline.as_ref().unwrap().stats().unavailable;
        assert_eq!(attempts(&shell), 1);
        shell.pass(30 * SECOND - STEP);
        assert_eq!(attempts(&shell), 1, "before it was told to");
        let step = (0..came.len()).find(|_| {
            shell.pass(STEP);
            attempts(&shell) > 1
        });
        came[step.expect("within a second")] += 1;
    }
    assert!(came.iter().all(|&count| count <= 10), "{came:?}");
}
