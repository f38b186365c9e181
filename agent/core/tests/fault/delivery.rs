//! What is saved, and what that promises.

use std::time::Duration;

use agent_core::{CheckpointError, Event, Outcome, Pipeline};

use crate::shell::{Shell, settings};
use crate::{assert_lines, print, text};

const SECOND: Duration = Duration::from_secs(1);

/// Three files, long and short lines: the agent is started, and dies after so many actions.
fn killed_after(actions: usize) -> Shell {
    let mut shell = Shell::new(1);
    for n in 0..3 {
        print(&mut shell, 0, n * 10..n * 10 + 9, 20);
        print(&mut shell, 0, n * 10 + 9..n * 10 + 10, 50_000);
        shell.rotate(0, 5, true);
    }
    shell.actions.1 = actions;
    shell.start();
    for _ in 0..8 {
        if shell.pipeline.is_some() {
            shell.pass(SECOND);
        }
    }
    shell
}

#[test]
fn t50_killed_after_any_action_nothing_is_lost() {
    let whole = killed_after(usize::MAX).actions.0;
    assert!(whole > 10);
    for actions in 0..=whole {
        let mut shell = killed_after(actions);
        shell.kill();
        shell.actions.1 = usize::MAX;
        shell.start();
        shell.settle();
        let len = |n: usize| if n % 10 == 9 { 50_000 } else { 20 };
        let want: Vec<String> = (0..30).map(|n| text(n, len(n))).collect();
        assert!(shell.lines(0) == want, "killed after {actions} actions");
    }
}

#[test]
fn t52_a_checkpoint_that_is_damaged_is_refused_and_told() {
    let mut shell = Shell::new(1);
    print(&mut shell, 0, 0..3, 20);
    shell.start();
    shell.settle();
    let mut saved = shell.saved.unwrap();
    for at in 0..saved.len() {
        saved[at] ^= 0x40;
        let error = Pipeline::resume(settings(), &saved).unwrap_err();
        let is_told = matches!(
            &error,
            CheckpointError::Damaged(_) | CheckpointError::Version(_)
        );
        assert!(
            is_told && error.to_string().starts_with("checkpoint "),
            "{error}"
        );
        saved[at] ^= 0x40;
    }
}

#[test]
fn t52_a_disk_that_does_not_save_holds_nothing_up() {
    let mut shell = Shell::new(1);
    print(&mut shell, 0, 0..3, 20);
    shell.start();
    shell.settle();
    shell.saves = false;
    for n in 3..30 {
        print(&mut shell, 0, n..n + 1, 20);
        shell.pass(SECOND);
    }
    shell.pass(SECOND);
    assert_lines(&shell, 0, 0..30, 20);
    let stats = shell.pipeline.as_ref().unwrap().stats().clone();
    assert!(stats.saves_failed > 0);
    shell.saves = true;
    shell.settle();
    shell.kill();
    shell.start();
    shell.settle();
    assert_eq!(
        shell.arrival.repeated, 0,
        "the first save that worked held all"
    );
}

#[test]
fn t53_killed_at_any_moment_at_most_a_second_is_sent_again() {
    let mut shell = Shell::new(1);
    shell.start();
    // Ten lines a second.
    for n in 0..100 {
        print(&mut shell, 0, n..n + 1, 20);
        shell.list(0);
        shell.pass(Duration::from_millis(89));
        if n % 10 == 7 {
            shell.kill();
            let before = shell.arrival.repeated;
            shell.start();
            let again = shell.arrival.repeated - before;
            // One save interval, and one batch's age.
            assert!(again <= 15 + 5, "{again} lines");
        }
    }
    shell.settle();
    assert_lines(&shell, 0, 0..100, 20);
    assert!(shell.arrival.repeated <= 10 * 20);
}

#[test]
fn t54_the_checkpoint_does_not_pass_a_batch_that_was_not_accepted() {
    let mut shell = Shell::new(1);
    shell.settings.batch_bytes_max = 128 << 10;
    shell.settings.in_flight_max = 4;
    print(&mut shell, 0, 0..60, 9_000);
    (shell.reply, shell.takes) = (None, true);
    shell.start();
    shell.pass(SECOND);
    assert!(shell.unanswered.len() > 2);
    // All but the first are accepted; that one was lost on the way.
    shell.arrival = Default::default();
    shell.takes = false;
    for (batch, _) in shell.unanswered.split_off(1) {
        let outcome = Outcome::Accepted;
        shell.tell(Event::Sent { batch, outcome });
    }
    shell.pass(3 * SECOND);
    shell.kill();
    (shell.reply, shell.takes) = (Some(Outcome::Accepted), true);
    shell.start();
    shell.settle();
    assert_lines(&shell, 0, 0..60, 9_000);
}

#[test]
fn t61_accepted_and_the_answer_lost_repeats_only_under_the_same_ids() {
    let mut shell = Shell::new(1);
    print(&mut shell, 0, 0..20, 20_000);
    (shell.reply, shell.takes) = (Some(Outcome::Unavailable { retry_after: None }), true);
    shell.start();
    for n in 0..10 {
        shell.pass(30 * SECOND);
        if n % 3 == 0 {
            shell.kill();
            shell.start();
        }
    }
    assert!(
        shell.arrival.repeated > 20,
        "nothing came twice: this proves nothing"
    );
    shell.reply = Some(Outcome::Accepted);
    shell.settle();
    // One id with two contents, or one line under two ids, would have failed.
    assert_lines(&shell, 0, 0..20, 20_000);
}

#[test]
fn t69_nothing_is_saved_before_it_is_accepted() {
    let mut shell = Shell::new(1);
    print(&mut shell, 0, 0..20, 20_000);
    (shell.reply, shell.takes) = (None, false);
    shell.start();
    for _ in 0..20 {
        shell.pass(SECOND);
    }
    shell.kill();
    (shell.reply, shell.takes) = (Some(Outcome::Accepted), true);
    shell.start();
    shell.settle();
    assert_lines(&shell, 0, 0..20, 20_000);
    assert_eq!(shell.arrival.repeated, 0);
}
