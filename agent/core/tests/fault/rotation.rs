//! Rotation: while something is down, between looks, half done, in the middle of a line.

use std::time::Duration;

use agent_core::Outcome;

use crate::shell::{CURRENT, Shell};
use crate::{assert_lines, pieces, print, running, text};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn t01_rotation_while_the_agent_is_down() {
    for rotations in 1..5 {
        for compress in [false, true] {
            let mut shell = running(10);
            print(&mut shell, 0, 10..20, 20);
            shell.kill();
            for n in 0..rotations {
                shell.rotate(0, 5, compress);
                print(&mut shell, 0, 20 + n * 10..30 + n * 10, 20);
            }
            shell.start();
            shell.settle();
            assert_lines(&shell, 0, 0..20 + rotations * 10, 20);
            assert_eq!(shell.losses(), []);
        }
    }
}

#[test]
fn t02_rotation_while_the_service_is_down() {
    let mut shell = running(5);
    shell.settings.memory_bytes_max = 1 << 20;
    shell.kill();
    shell.start();
    (shell.reply, shell.takes) = (Some(Outcome::Unavailable { retry_after: None }), false);
    // Far more than memory takes, over more rotations than dockerd keeps.
    for n in 0..12 {
        print(&mut shell, 0, 5 + n * 40..45 + n * 40, 9_000);
        shell.list(0);
        shell.pass(SECOND);
        shell.rotate(0, 5, false);
        shell.list(0);
    }
    let gauges = shell.pipeline.as_ref().unwrap().gauges();
    assert!(gauges.memory_bytes <= (1 << 20) + (512 << 10), "{gauges:?}");
    (shell.reply, shell.takes) = (Some(Outcome::Accepted), true);
    shell.settle();
    // Descriptors were held all the time: nothing is lost.
    let want: Vec<String> = (0..485)
        .map(|n| text(n, if n < 5 { 20 } else { 9_000 }))
        .collect();
    assert!(shell.lines(0) == want);
    assert_eq!(shell.losses(), []);
}

/// The service is down, memory is full, and the only file goes, with nobody holding it.
fn read_in_part_and_gone() -> (Shell, u64) {
    let mut shell = Shell::new(1);
    shell.holds = false;
    shell.settings.memory_bytes_max = 1 << 20;
    print(&mut shell, 0, 0..200, 9_000);
    (shell.reply, shell.takes) = (Some(Outcome::Unavailable { retry_after: None }), false);
    shell.start();
    shell.pass(SECOND);
    let size = shell.file(0, CURRENT).bytes.len() as u64;
    shell.rotate(0, 1, false);
    shell.list(0);
    (shell, size)
}

#[test]
fn t02_beyond_what_rotation_keeps_the_loss_is_told_exactly() {
    let (mut shell, size) = read_in_part_and_gone();
    (shell.reply, shell.takes) = (Some(Outcome::Accepted), true);
    print(&mut shell, 0, 200..205, 9_000);
    shell.settle();
    let line = size / 200;
    let read = shell.lines(0).len() as u64 - 5;
    assert!(
        read > 0 && read < 200,
        "{read} lines were read: this proves nothing"
    );
    assert_eq!(shell.losses(), [(read * line, Some(size), "rotated_away")]);
}

/// A file was seen, and went before its first line was read: that is a loss of a known size.
#[test]
fn t02_a_file_that_goes_before_it_is_identified_is_told() {
    let (mut shell, _) = read_in_part_and_gone();
    print(&mut shell, 0, 200..205, 9_000);
    let seen = shell.file(0, CURRENT).bytes.len() as u64;
    shell.list(0);
    shell.rotate(0, 1, false);
    shell.list(0);
    (shell.reply, shell.takes) = (Some(Outcome::Accepted), true);
    shell.settle();
    let sizes = shell
        .losses()
        .into_iter()
        .map(|(from, to, _)| to.unwrap_or(from) - from);
    assert!(
        sizes.into_iter().any(|size| size == seen),
        "{:?}",
        shell.losses()
    );
}

#[test]
fn t03_several_rotations_between_two_looks() {
    for compress in [false, true] {
        let mut shell = running(10);
        for round in 0..20 {
            for n in 0..3 {
                shell.rotate(0, 5, compress);
                let from = 10 + (round * 3 + n) * 4;
                print(&mut shell, 0, from..from + 4, 20);
            }
            shell.list(0);
            shell.pass(SECOND);
        }
        shell.settle();
        assert_lines(&shell, 0, 0..250, 20);
    }
}

#[test]
fn t04_the_only_file_is_unlinked_at_each_rotation() {
    let mut shell = running(10);
    for n in 0..50 {
        print(&mut shell, 0, 10 + n * 5..15 + n * 5, 20);
        // Seen, so held; but not yet read to its end.
        shell.list(0);
        print(&mut shell, 0, 1_000 + n..1_001 + n, 20);
        shell.rotate(0, 1, false);
    }
    shell.settle();
    let mut want: Vec<String> = (0..260).chain(1_000..1_050).map(|n| text(n, 20)).collect();
    want.sort();
    let mut arrived = shell.lines(0);
    arrived.sort();
    assert!(arrived == want);
}

#[test]
fn t18_a_look_between_any_two_renames_of_a_rotation() {
    // .2 goes, .1 becomes .2, the current one .1, and a new one is made.
    for stop in 0..=4 {
        for restarts in [false, true] {
            let mut shell = running(5);
            for n in 1..4 {
                shell.rotate(0, 3, false);
                print(&mut shell, 0, n * 5..n * 5 + 5, 20);
                shell.settle();
            }
            print(&mut shell, 0, 20..22, 20);
            let steps: [&dyn Fn(&mut Shell); 4] = [
                &|shell| shell.unlink(0, (2, false)),
                &|shell| shell.rename(0, (1, false), (2, false)),
                &|shell| shell.rename(0, CURRENT, (1, false)),
                &|shell| assert!(shell.create(0, CURRENT) > 0),
            ];
            for (n, step) in steps.iter().enumerate() {
                if n == stop {
                    if restarts {
                        shell.kill();
                        shell.start();
                    }
                    shell.list(0);
                    shell.pass(SECOND);
                    shell.list(0);
                    shell.pass(SECOND);
                }
                step(&mut shell);
            }
            print(&mut shell, 0, 22..24, 20);
            shell.settle();
            assert_lines(&shell, 0, 0..24, 20);
            assert_eq!(
                (shell.arrival.repeated, shell.losses()),
                (0, vec![]),
                "stopped at {stop}"
            );
        }
    }
}

#[test]
fn t19_rotation_in_the_middle_of_a_long_line() {
    for compress in [false, true] {
        for restarts in [false, true] {
            let mut shell = running(3);
            let mut lines = vec![text(0, 20), text(1, 20), text(2, 20)];
            for n in 3..13 {
                let pieces = pieces(n, 100_000);
                for (at, piece) in pieces.iter().enumerate() {
                    shell.append(0, piece);
                    if at % 3 == n % 3 {
                        shell.rotate(0, 8, compress);
                        shell.list(0);
                    }
                    if restarts && at == 4 {
                        shell.kill();
                        shell.start();
                    }
                }
                shell.pass(SECOND);
                lines.push(text(n, 100_000));
            }
            shell.settle();
            assert!(
                shell.lines(0) == lines,
                "compressed {compress}, restarted {restarts}"
            );
        }
    }
}

#[test]
fn t20_the_lines_of_a_stack_trace_keep_their_order_over_a_rotation() {
    // Events of several lines are not joined; each line arrives, dated so that they can be.
    for rotated_at in 1..10 {
        let mut shell = running(2);
        print(&mut shell, 0, 2..2 + rotated_at, 40);
        shell.rotate(0, 3, true);
        print(&mut shell, 0, 2 + rotated_at..12, 40);
        shell.settle();
        let lines = shell.lines(0);
        assert_eq!(lines[2..], (2..12).map(|n| text(n, 40)).collect::<Vec<_>>());
    }
}

#[test]
fn t21_a_file_that_is_quiet_for_30_days_is_not_sent_again() {
    let mut shell = running(10);
    for _ in 0..30 {
        shell.pass(24 * 3_600 * SECOND);
        shell.list(0);
    }
    shell.kill();
    shell.start();
    shell.settle();
    for _ in 0..30 {
        shell.pass(24 * 3_600 * SECOND);
    }
    print(&mut shell, 0, 10..12, 20);
    shell.settle();
    assert_lines(&shell, 0, 0..12, 20);
    assert_eq!(shell.arrival.repeated, 0);
}

#[test]
fn t22_containers_that_came_and_went_leave_nothing_in_the_checkpoint() {
    let mut shell = Shell::new(0);
    shell.start();
    let mut most = 0;
    for n in 0..5_000 {
        let container = shell.add();
        print(&mut shell, container, n..n + 1, 20);
        shell.list(container);
        shell.pass(Duration::from_millis(700));
        shell.remove(container);
        shell.list(container);
        shell.pass(Duration::from_millis(700));
        most = most.max(shell.saved.as_ref().map_or(0, Vec::len));
    }
    shell.pass(5 * SECOND);
    assert_eq!(shell.arrival.entries.len(), 5_000);
    assert!(most < 16 << 10, "{most} bytes");
    assert_eq!(shell.pipeline.as_ref().unwrap().gauges().containers, 0);
}

#[test]
fn t22_files_that_came_and_went_leave_nothing_in_the_checkpoint() {
    let mut shell = running(1);
    let mut most = 0;
    for n in 1..2_000 {
        shell.rotate(0, 3, true);
        print(&mut shell, 0, n..n + 1, 20);
        shell.list(0);
        shell.pass(SECOND);
        most = most.max(shell.saved.as_ref().map_or(0, Vec::len));
    }
    shell.settle();
    assert_lines(&shell, 0, 0..2_000, 20);
    assert!(most < 16 << 10, "{most} bytes");
}
