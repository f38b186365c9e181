//! A log that nobody writes to costs next to nothing, and its next line does not wait for that.

use std::time::Duration;

use agent_core::limits::WATCHED_INTERVAL;
use agent_core::{ContainerId, Event};

use crate::shell::Shell;
use crate::{assert_lines, print};

const STEP: Duration = Duration::from_millis(50);

/// A log of one line that has been quiet for long.
fn quiet(watches: bool) -> Shell {
    let mut shell = Shell::new(1);
    shell.watches = watches;
    print(&mut shell, 0, 0..1, 50);
    shell.start();
    pass(&mut shell, Duration::from_secs(60));
    assert_lines(&shell, 0, 0..1, 50);
    shell.reads = 0;
    shell
}

fn pass(shell: &mut Shell, time: Duration) {
    for _ in 0..time.as_millis() / STEP.as_millis() {
        shell.pass(STEP);
    }
}

#[test]
fn a_quiet_log_is_looked_at_seldom_where_its_next_write_is_told() {
    let minute = Duration::from_secs(60);
    let looks = |watches| {
        let mut shell = quiet(watches);
        pass(&mut shell, minute);
        shell.reads as u64
    };
    let told = minute.as_secs() / WATCHED_INTERVAL.as_secs();
    assert!(looks(true).abs_diff(told) <= 1, "{}", looks(true));
    assert!(looks(false) > 4 * told, "{}", looks(false));
}

#[test]
fn the_next_line_of_a_quiet_log_is_read_as_soon_as_it_is_told() {
    let mut shell = quiet(true);
    let id: ContainerId = shell.folders[0].about.id;
    assert_eq!(shell.watched, [id], "asked for once");
    for n in 1..4 {
        print(&mut shell, 0, n..n + 1, 50);
        shell.reads = 0;
        shell.tell(Event::Written(id));
        assert!(shell.reads > 0, "line {n} waits");
        let shipped = shell.settings.batch_age_max + STEP;
        pass(&mut shell, shipped);
        assert_lines(&shell, 0, 0..n + 1, 50);
        // Quiet again, and asked for again.
        pass(&mut shell, Duration::from_secs(60));
        assert_eq!(shell.watched.len(), n + 1);
    }
}

#[test]
fn a_write_that_nobody_told_is_found_by_looking() {
    let mut shell = quiet(true);
    print(&mut shell, 0, 1..2, 50);
    let shipped = WATCHED_INTERVAL + shell.settings.batch_age_max + STEP;
    pass(&mut shell, shipped);
    assert_lines(&shell, 0, 0..2, 50);
}

#[test]
fn a_write_between_the_last_look_and_the_watch_is_found() {
    let mut shell = Shell::new(1);
    shell.watches = true;
    print(&mut shell, 0, 0..1, 50);
    shell.start();
    // The write comes when the watch has just been asked for, so it is not told.
    while shell.watched.is_empty() {
        shell.pass(STEP);
    }
    print(&mut shell, 0, 1..2, 50);
    let shipped = shell.settings.poll_interval_max + shell.settings.batch_age_max + STEP;
    pass(&mut shell, shipped);
    assert_lines(&shell, 0, 0..2, 50);
}
