//! The spool: what is about to be lost while the service does not take it.

use std::time::Duration;

use agent_core::{Event, Notice, Outcome};

use crate::shell::Shell;
use crate::{assert_lines, print, text};

const SECOND: Duration = Duration::from_secs(1);
const LEN: usize = 200;

/// A container whose log keeps so many files, and a service that is down.
fn outage(files_max: u32) -> Shell {
    let mut shell = Shell::new(1);
    shell.settings.spool = true;
    shell.folders[0].about.files_max = files_max;
    goes_down(&mut shell);
    shell.start();
    shell
}

fn goes_down(shell: &mut Shell) {
    (shell.reply, shell.takes) = (Some(Outcome::Unavailable { retry_after: None }), false);
}

fn comes_back(shell: &mut Shell) {
    (shell.reply, shell.takes) = (Some(Outcome::Accepted), true);
}

/// So many rotations with ten lines before each.
fn write(shell: &mut Shell, files_max: u32, rotations: std::ops::Range<usize>) {
    for n in rotations {
        print(shell, 0, n * 10..n * 10 + 10, LEN);
        shell.list(0);
        shell.pass(SECOND);
        shell.rotate(0, files_max, false);
        shell.list(0);
    }
}

#[test]
fn t58_lines_whose_files_are_gone_outlive_the_agent() {
    for files_max in [1, 2, 5] {
        let mut shell = outage(files_max);
        write(&mut shell, files_max, 0..30);
        (0..10).for_each(|_| shell.pass(SECOND));
        shell.kill();
        shell.start();
        write(&mut shell, files_max, 30..60);
        (0..10).for_each(|_| shell.pass(SECOND));
        shell.kill();
        comes_back(&mut shell);
        shell.start();
        shell.settle();
        assert_lines(&shell, 0, 0..600, LEN);
        assert_eq!(shell.losses(), []);
        assert!(shell.spool.segments.is_empty());
    }
}

#[test]
fn t58_killed_after_any_action_lines_of_files_that_are_there_arrive() {
    let killed_after = |actions: usize| {
        let mut shell = outage(2);
        shell.actions.1 = actions;
        print(&mut shell, 0, 0..10, LEN);
        shell.list(0);
        shell.rotate(0, 2, false);
        print(&mut shell, 0, 10..20, 30_000);
        shell.list(0);
        (0..12).for_each(|_| shell.pass(SECOND));
        comes_back(&mut shell);
        (0..40).for_each(|_| shell.pass(SECOND));
        shell
    };
    let whole = killed_after(usize::MAX);
    assert!(whole.spool.bytes_most > 0, "nothing was spooled");
    let want: Vec<String> = (0..20)
        .map(|n| text(n, if n < 10 { LEN } else { 30_000 }))
        .collect();
    for actions in 1..=whole.actions.0 {
        let mut shell = killed_after(actions);
        shell.kill();
        shell.actions.1 = usize::MAX;
        comes_back(&mut shell);
        shell.start();
        shell.settle();
        assert!(shell.lines(0) == want, "killed after {actions} actions");
        assert!(shell.spool.segments.is_empty());
    }
}

#[test]
fn t58_what_rotation_keeps_is_not_spooled() {
    let mut shell = outage(5);
    print(&mut shell, 0, 0..10, LEN);
    shell.list(0);
    shell.rotate(0, 5, false);
    shell.list(0);
    (0..3_600).for_each(|_| shell.pass(SECOND));
    assert_eq!(shell.spool.bytes_most, 0);
    comes_back(&mut shell);
    shell.settle();
    assert_lines(&shell, 0, 0..10, LEN);
}

#[test]
fn t58_memory_that_is_full_of_others_does_not_keep_lines_from_being_rescued() {
    let mut shell = outage(1);
    shell.settings.memory_bytes_max = 1 << 20;
    let other = shell.add();
    shell.kill();
    shell.start();
    for n in 0..400 {
        print(&mut shell, other, n..n + 1, 9_000);
    }
    shell.list(other);
    shell.pass(SECOND);
    let before = shell.pipeline.as_ref().unwrap().gauges();
    assert!(before.lag_bytes > 1 << 20, "{before:?}");
    write(&mut shell, 1, 0..200);
    (0..10).for_each(|_| shell.pass(SECOND));
    let gauges = shell.pipeline.as_ref().unwrap().gauges();
    assert!(gauges.memory_bytes <= (1 << 20) + (512 << 10), "{gauges:?}");
    shell.kill();
    comes_back(&mut shell);
    shell.start();
    shell.settle();
    assert_lines(&shell, 0, 0..2_000, LEN);
    assert_lines(&shell, other, 0..400, 9_000);
}

#[test]
fn t58_a_full_spool_stops_reading_and_drops_nothing() {
    let mut shell = outage(1);
    shell.settings.memory_bytes_max = 1 << 20;
    shell.spool.is_full = true;
    shell.kill();
    shell.start();
    write(&mut shell, 1, 0..1_000);
    let gauges = shell.pipeline.as_ref().unwrap().gauges();
    assert!(gauges.in_need && gauges.spooled == 0, "{gauges:?}");
    assert!(gauges.memory_bytes <= (1 << 20) + (512 << 10), "{gauges:?}");
    shell.spool.is_full = false;
    (0..60).for_each(|_| shell.pass(SECOND));
    let gauges = shell.pipeline.as_ref().unwrap().gauges();
    assert!(gauges.spooled > 0, "{gauges:?}");
    comes_back(&mut shell);
    shell.settle();
    assert_lines(&shell, 0, 0..10_000, LEN);
    assert_eq!(shell.losses(), []);
}

#[test]
fn t58_a_segment_that_the_disk_did_not_keep_is_told_and_the_rest_goes_on() {
    let mut shell = outage(1);
    write(&mut shell, 1, 0..30);
    (0..10).for_each(|_| shell.pass(SECOND));
    assert!(shell.spool.segments.len() > 2);
    let (&lost, bodies) = shell.spool.segments.first_key_value().unwrap();
    let entries: u32 = bodies.iter().map(|body| body.entries).sum();
    shell.spool.damaged.insert(lost);
    let files = shell.spool.covered[&lost][0].files.clone();
    let ranges: Vec<_> = files
        .iter()
        .filter(|file| file.from != file.to)
        .map(|file| (file.from[0], Some(file.to[0]), "spool_damaged"))
        .collect();
    assert!(!ranges.is_empty());
    // It is killed before the loss is in the ledger: the next one finds it again.
    shell.saves = false;
    comes_back(&mut shell);
    (0..40).for_each(|_| shell.pass(SECOND));
    assert_eq!(shell.losses(), ranges);
    assert!(
        shell.spool.segments.contains_key(&lost),
        "forgotten too soon"
    );
    shell.kill();
    shell.notices.clear();
    shell.saves = true;
    shell.start();
    shell.settle();
    let told = |notice: &&Notice| matches!(notice, Notice::SpoolDamaged { batch, is_nameless: false, .. } if *batch == lost);
    assert_eq!(shell.notices.iter().filter(told).count(), 1);
    assert_eq!(shell.losses(), ranges);
    assert_eq!(shell.lines(0).len(), 300 - entries as usize);
    assert!(shell.spool.segments.is_empty());
}

#[test]
fn t58_t67_of_a_segment_whose_index_is_gone_the_containers_are_told() {
    let mut shell = outage(1);
    write(&mut shell, 1, 0..30);
    (0..10).for_each(|_| shell.pass(SECOND));
    let (&lost, _) = shell.spool.segments.first_key_value().unwrap();
    shell.spool.damaged.insert(lost);
    shell.spool.covered.remove(&lost);
    comes_back(&mut shell);
    // Which also waits for its marker.
    shell.settle();
    assert_eq!(shell.losses(), [(0, None, "spool_damaged")]);
}

#[test]
fn t58_t67_killed_before_a_checkpoint_knows_what_the_spool_has_nothing_is_told_as_lost() {
    for files_max in [1, 2] {
        let mut shell = outage(files_max);
        print(&mut shell, 0, 0..10, LEN);
        shell.list(0);
        shell.pass(SECOND);
        shell.pass(SECOND);
        // From here on the checkpoint stays what it is.
        shell.saves = false;
        write(&mut shell, files_max, 1..20);
        (0..10).for_each(|_| shell.pass(SECOND));
        assert!(shell.spool.segments.len() > 2);
        let gauges = shell.pipeline.as_ref().unwrap().gauges();
        shell.kill();
        shell.saves = true;
        comes_back(&mut shell);
        shell.start();
        shell.settle();
        assert_eq!(shell.losses(), [], "max-file={files_max}, {gauges:?}");
        assert_lines(&shell, 0, 0..200, LEN);
        assert!(shell.spool.segments.is_empty());
    }
}

#[test]
fn t58_a_batch_behind_one_that_was_under_way_is_not_taken_for_all_before_it() {
    let mut shell = outage(1);
    // The first request is never answered, and what comes behind it goes to the spool.
    shell.reply = None;
    print(&mut shell, 0, 0..10, LEN);
    shell.list(0);
    (0..2).for_each(|_| shell.pass(SECOND));
    assert_eq!(shell.unanswered.len(), 1);
    shell.saves = false;
    shell.reply = Some(Outcome::Unavailable { retry_after: None });
    print(&mut shell, 0, 10..20, LEN);
    shell.rotate(0, 1, false);
    shell.list(0);
    (0..20).for_each(|_| shell.pass(SECOND));
    assert!(!shell.spool.segments.is_empty());
    let size = (0..10)
        .map(|n| crate::pieces(n, LEN).concat().len() as u64)
        .sum();
    shell.kill();
    shell.saves = true;
    comes_back(&mut shell);
    shell.start();
    shell.settle();
    // The first ten are gone with the agent, and told.
    assert_lines(&shell, 0, 10..20, LEN);
    assert_eq!(shell.losses(), [(0, Some(size), "rotated_away")]);
}

#[test]
fn t58_t65_an_agent_that_is_stopped_leaves_nothing_behind_in_files_without_a_name() {
    let mut shell = outage(1);
    shell.settings.memory_bytes_max = 1 << 20;
    shell.kill();
    shell.start();
    for n in 0..20 {
        print(&mut shell, 0, n * 10..n * 10 + 10, 9_000);
        shell.list(0);
        shell.rotate(0, 1, false);
        shell.list(0);
    }
    // Nothing is stalled yet, and memory is full.
    assert_eq!(shell.spool.bytes_most, 0);
    shell.tell(Event::Drain);
    (0..5).for_each(|_| shell.pass(SECOND));
    assert!(shell.pipeline.as_ref().unwrap().is_drained());
    shell.kill();
    comes_back(&mut shell);
    shell.start();
    shell.settle();
    assert_lines(&shell, 0, 0..200, 9_000);
    assert_eq!(shell.losses(), []);
}
