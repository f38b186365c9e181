//! Rotated files that are compressed, or half compressed.

use std::time::Duration;

use agent_core::{Notice, Outcome};

use crate::shell::Shell;
use crate::{assert_lines, pieces, print, running, text, time, writer};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn t13_a_compressed_file_is_the_one_that_it_was_before() {
    let mut shell = running(50);
    // Read, and not yet accepted, when it is compressed and the agent dies.
    (shell.reply, shell.takes) = (None, false);
    print(&mut shell, 0, 50..60, 20);
    shell.pass(SECOND);
    shell.rotate(0, 3, false);
    shell.kill();
    shell.compress(0, 1);
    (shell.reply, shell.takes) = (Some(Outcome::Accepted), true);
    shell.start();
    shell.settle();
    assert_lines(&shell, 0, 0..60, 20);
    assert_eq!(
        shell.arrival.repeated, 0,
        "only what was not acknowledged is sent again"
    );
}

#[test]
fn t14_a_compressed_file_that_is_still_being_written() {
    let mut shell = running(20);
    print(&mut shell, 0, 20..40, 20);
    shell.kill();
    shell.rotate(0, 3, true);
    print(&mut shell, 0, 40..45, 20);
    let len = shell.file(0, (1, true)).bytes.len();
    shell.start();
    for intact in [0, 10, len / 3, len / 2, len - 5] {
        shell.file(0, (1, true)).intact = Some(intact);
        shell.list(0);
        shell.pass(SECOND);
    }
    let file = shell.file(0, (1, true));
    file.intact = None;
    file.modified += SECOND;
    shell.settle();
    assert_lines(&shell, 0, 0..45, 20);
}

#[test]
fn t14_a_file_damaged_in_its_first_line_does_not_keep_the_agent_busy() {
    for (first, intact) in [(20, 10), (100_000, 20_000), (16_384 * 3, 40_000)] {
        let mut shell = Shell::new(2);
        // Pieces that are all alike, so that only what is behind them tells the file.
        let line = "x".repeat(first);
        shell.append(
            0,
            &writer::pieces(line.as_bytes(), true, "stdout", &time(1)).concat(),
        );
        shell.rotate(0, 3, true);
        shell.file(0, (1, true)).intact = Some(intact);
        print(&mut shell, 0, 2..4, 20);
        print(&mut shell, 1, 0..3, 20);
        // It panics if the core never rests.
        shell.start();
        for _ in 0..10 {
            shell.pass(SECOND);
            shell.list_all();
        }
        assert_lines(&shell, 1, 0..3, 20);
        let arrived = shell.lines(0);
        assert!(arrived.ends_with(&[text(2, 20), text(3, 20)]), "{intact}");
        let torn = |notice: &Notice| matches!(notice, Notice::Torn { position: 1, .. });
        assert!(shell.notices.iter().any(torn));
    }
}

#[test]
fn t14_lines_in_front_of_the_damage_arrive_and_the_rest_is_told() {
    let mut shell = Shell::new(1);
    print(&mut shell, 0, 0..10, 20);
    let line = pieces(0, 20).concat().len();
    shell.rotate(0, 3, true);
    shell.file(0, (1, true)).intact = Some(line * 4 + line / 2);
    print(&mut shell, 0, 10..12, 20);
    shell.start();
    for _ in 0..10 {
        shell.pass(SECOND);
        shell.list(0);
    }
    let want: Vec<String> = (0..4).chain(10..12).map(|n| text(n, 20)).collect();
    assert_eq!(shell.lines(0), want);
    let [(from, _, reason)] = shell.losses()[..] else {
        panic!("{:?}", shell.losses());
    };
    assert_eq!((from, reason), (4 * line as u64, "damaged"));
}

#[test]
fn t15_reading_goes_on_in_the_middle_of_a_compressed_file() {
    let mut shell = Shell::new(1);
    shell.settings.batch_bytes_max = 128 << 10;
    print(&mut shell, 0, 0..100, 5_000);
    shell.rotate(0, 4, true);
    print(&mut shell, 0, 100..102, 5_000);
    shell.rotate(0, 4, true);
    // One answer comes; then the service is gone and the agent dies.
    shell.settings.in_flight_max = 1;
    (shell.reply, shell.takes) = (None, true);
    shell.start();
    shell.pass(SECOND);
    let (batch, _) = shell.unanswered.remove(0);
    let outcome = Outcome::Accepted;
    shell.takes = false;
    shell.tell(agent_core::Event::Sent { batch, outcome });
    shell.pass(2 * SECOND);
    shell.kill();
    let before = shell.arrival.entries.len();
    assert!(before > 10 && before < 90, "{before}");
    (shell.reply, shell.takes) = (Some(Outcome::Accepted), true);
    shell.start();
    shell.settle();
    assert_lines(&shell, 0, 0..102, 5_000);
    assert_eq!(shell.arrival.repeated, 0);
}

#[test]
fn t16_rotated_and_compressed_three_times_while_the_agent_is_down() {
    let mut shell = running(10);
    shell.kill();
    for n in 0..3 {
        print(&mut shell, 0, 10 + n * 10..20 + n * 10, 20);
        shell.rotate(0, 5, true);
    }
    print(&mut shell, 0, 40..45, 20);
    shell.start();
    shell.settle();
    assert_lines(&shell, 0, 0..45, 20);
}

#[test]
fn t17_a_torn_compressed_file_beside_its_plain_twin() {
    let mut shell = running(10);
    print(&mut shell, 0, 10..20, 20);
    shell.kill();
    shell.rotate(0, 3, false);
    let plain = shell.file(0, (1, false)).bytes.clone();
    // dockerd died while it compressed: both names stay.
    shell.create(0, (1, true));
    let torn = shell.file(0, (1, true));
    (torn.bytes, torn.intact) = (plain.clone(), Some(plain.len() / 2));
    print(&mut shell, 0, 20..25, 20);
    shell.start();
    shell.settle();
    assert_lines(&shell, 0, 0..25, 20);
    assert_eq!(shell.arrival.repeated, 0);
    assert_eq!(shell.losses(), []);
}
