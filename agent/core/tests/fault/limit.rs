//! What the service refuses or would drop: lines that it does not take, lines that are too old.

use std::sync::Arc;
use std::time::Duration;

use agent_core::{BatchId, Event, Outcome};

use crate::shell::Shell;
use crate::{assert_lines, print, text};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// A line with the text of this number is refused.
const POISON: usize = 7;
const LEN: usize = 40;

/// A container whose log ends with such a line; the test answers requests.
fn poisoned() -> Shell {
    let mut shell = Shell::new(1);
    (shell.reply, shell.takes) = (None, false);
    print(&mut shell, 0, POISON..POISON + 1, LEN);
    shell.start();
    shell
}

/// A second passes; requests are refused if `refuses` says so of their bodies.
fn answer(shell: &mut Shell, refuses: impl Fn(&str) -> bool) {
    shell.pass(SECOND);
    loop {
        let requests: Vec<(BatchId, Arc<Vec<u8>>)> = std::mem::take(&mut shell.unanswered);
        if requests.is_empty() {
            return;
        }
        for (batch, body) in requests {
            let outcome = match refuses(std::str::from_utf8(&body).unwrap()) {
                true => Outcome::Refused,
                false => {
                    shell.arrival.take(&body);
                    Outcome::Accepted
                }
            };
            shell.tell(Event::Sent { batch, outcome });
        }
    }
}

fn quarantined(shell: &Shell) -> u64 {
    shell.pipeline.as_ref().unwrap().stats().quarantined
}

/// Entries of the agent's own that show whether anything is accepted.
fn proofs(shell: &Shell) -> usize {
    let all = shell.arrival.entries.values();
    all.filter(|entry| entry.kind == "docker.proof").count()
}

#[test]
fn t57_a_refused_line_behind_which_nothing_comes_is_in_quarantine_within_a_minute() {
    let mut shell = poisoned();
    let poison = text(POISON, LEN);
    let waited = (1..=60).find(|_| {
        answer(&mut shell, |body| body.contains(&poison));
        quarantined(&shell) > 0
    });
    assert!(
        waited.is_some(),
        "{:?}",
        shell.pipeline.as_ref().unwrap().gauges()
    );
    assert_eq!((quarantined(&shell), proofs(&shell)), (1, 1));
    // The log goes on, and nothing asks again.
    print(&mut shell, 0, 8..20, LEN);
    (0..120).for_each(|_| answer(&mut shell, |_| false));
    assert_lines(&shell, 0, 7..20, LEN);
    assert_eq!((quarantined(&shell), proofs(&shell)), (1, 1));
    assert_eq!(shell.pipeline.as_ref().unwrap().gauges().lag_bytes, 0);
}

#[test]
fn t54_a_lone_line_stays_where_it_is_while_the_service_takes_nothing_at_all() {
    let mut shell = poisoned();
    (0..3_600).for_each(|_| answer(&mut shell, |_| true));
    let stats = shell.pipeline.as_ref().unwrap().stats().clone();
    assert_eq!(quarantined(&shell), 0);
    // Not hammered: a line and what is to prove it, ten minutes apart at the end.
    assert!((6..40).contains(&stats.refused), "{stats:?}");
    (0..700).for_each(|_| answer(&mut shell, |_| false));
    assert_lines(&shell, 0, 7..8, LEN);
    assert_eq!((quarantined(&shell), proofs(&shell)), (0, 0));
}

/// A container whose log is older than nothing, and a retention of thirty days.
fn aged() -> Shell {
    let mut shell = Shell::new(1);
    shell.settings.retention = 30 * DAY;
    print(&mut shell, 0, 0..10, LEN);
    shell
}

#[test]
fn t49_a_wall_clock_that_is_far_ahead_drops_no_line_for_its_age() {
    for says in [true, false] {
        let mut shell = aged();
        shell.ahead = 400 * DAY;
        shell.start();
        let time = says.then(|| shell.wall());
        shell.tell(Event::ServiceTime(time));
        // And it jumps while the agent runs.
        shell.ahead = 4_000 * DAY;
        print(&mut shell, 0, 10..20, LEN);
        shell.settle();
        assert_lines(&shell, 0, 0..20, LEN);
        assert_eq!(shell.losses(), []);
    }
}

#[test]
fn t49_what_the_service_would_drop_for_its_age_is_told_though_the_wall_clock_is_behind() {
    let mut shell = aged();
    let age = 40 * DAY;
    shell.start();
    shell.pass(SECOND);
    assert_eq!(
        shell.arrival.bodies, 0,
        "nothing is read before the time is known"
    );
    let there = shell.wall() + age;
    shell.tell(Event::ServiceTime(Some(there)));
    shell.settle();
    assert_lines(&shell, 0, 0..0, LEN);
    let size = (0..10)
        .map(|n| crate::pieces(n, LEN).concat().len() as u64)
        .sum();
    assert_eq!(shell.losses(), [(0, Some(size), "expired")]);
}

#[test]
fn t49_a_service_that_does_not_answer_holds_reading_up_for_seconds_only() {
    let mut shell = aged();
    shell.start();
    let read = |shell: &Shell| shell.pipeline.as_ref().unwrap().stats().lines;
    let waited = (1..=10).find(|_| {
        shell.pass(SECOND);
        read(&shell) == 10
    });
    assert_eq!(waited, Some(5));
}

/// A month of rotation, ten times a day; and a second one.
#[test]
fn t62_months_of_rotation_leave_no_more_behind_than_days() {
    let mut shell = Shell::new(1);
    shell.start();
    let mut lines = 0;
    let mut kept = |days: usize| {
        for _ in 0..days * 10 {
            print(&mut shell, 0, lines..lines + 3, LEN);
            lines += 3;
            shell.list(0);
            shell.pass(SECOND);
            shell.rotate(0, 3, false);
            shell.list(0);
            shell.pass(SECOND);
        }
        shell.settle();
        let gauges = shell.pipeline.as_ref().unwrap().gauges();
        let saved = shell.saved.as_ref().unwrap().len();
        (gauges.generations, gauges.memory_bytes, saved)
    };
    let (generations, memory, saved) = kept(5);
    let after = kept(60);
    // The numbers in it grow longer.
    assert!(
        after.2 <= saved + saved / 4,
        "{after:?}, {saved} bytes before"
    );
    assert_eq!((after.0, after.1), (generations, memory));
}
