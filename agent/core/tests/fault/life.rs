//! Containers that come, go and stop in the middle.

use std::time::Duration;

use agent_core::Outcome;

use crate::shell::{CURRENT, Shell};
use crate::{assert_lines, pieces, print, text, time, writer};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn t23_a_container_removed_with_unread_lines_is_read_to_its_end() {
    let mut shell = Shell::new(1);
    (shell.reply, shell.takes) = (Some(Outcome::Unavailable { retry_after: None }), false);
    shell.start();
    for n in 0..3 {
        print(&mut shell, 0, n * 400..n * 400 + 400, 9_000);
        shell.list(0);
        shell.rotate(0, 4, false);
    }
    shell.remove(0);
    shell.list(0);
    (shell.reply, shell.takes) = (Some(Outcome::Accepted), true);
    shell.settle();
    assert_lines(&shell, 0, 0..1_200, 9_000);
    assert_eq!(shell.losses(), []);
    assert!(shell.files.is_empty(), "descriptors are closed");
}

#[test]
fn t23_what_nobody_held_is_told_as_lost() {
    let mut shell = Shell::new(1);
    shell.holds = false;
    print(&mut shell, 0, 0..10, 20);
    shell.start();
    shell.settle();
    print(&mut shell, 0, 10..20, 20);
    shell.list(0);
    let read = shell.file(0, CURRENT).bytes.len() as u64;
    shell.kill();
    shell.start();
    print(&mut shell, 0, 20..25, 20);
    // Known to be there, and gone before it is read.
    let listing = shell.look(0);
    let size = listing.files[0].size;
    shell.remove(0);
    shell.list(0);
    for _ in 0..5 {
        shell.pass(SECOND);
        shell.list(0);
    }
    let lost: Vec<_> = shell.losses();
    let arrived = shell.lines(0).len();
    assert!((10..=20).contains(&arrived), "{arrived}");
    assert!(size > read);
    assert!(
        !lost.is_empty() || arrived == 20,
        "{arrived} lines, and no loss told: {lost:?}"
    );
}

#[test]
fn t27_a_restart_loop_of_unterminated_lines() {
    let mut shell = Shell::new(1);
    shell.start();
    for n in 0..50 {
        shell.append(
            0,
            &writer::pieces(b"abc", false, "stdout", &time(n)).concat(),
        );
        shell.list(0);
        shell.pass(Duration::from_millis(300));
        if n % 7 == 0 {
            shell.rotate(0, 3, false);
        }
    }
    shell.settle();
    assert_eq!(shell.lines(0), vec!["abc"; 50]);
}

#[test]
fn t35_streams_whose_pieces_alternate_over_a_rotation_and_a_restart() {
    for at in 0..6 {
        let line = |n, stream| writer::pieces(text(n, 40_000).as_bytes(), true, stream, &time(n));
        let (out, err) = (line(1, "stdout"), line(2, "stderr"));
        let mut shell = Shell::new(1);
        shell.start();
        let both = out.iter().zip(&err).flat_map(|(out, err)| [out, err]);
        for (n, piece) in both.enumerate() {
            shell.append(0, piece);
            shell.list(0);
            shell.pass(Duration::from_millis(600));
            if n == at {
                shell.rotate(0, 3, false);
                shell.kill();
                shell.start();
            }
        }
        shell.settle();
        let kinds: Vec<_> = shell.arrival.joined("c0");
        let want = [
            (time(1), "docker.stdout".to_owned(), text(1, 40_000)),
            (time(2), "docker.stderr".to_owned(), text(2, 40_000)),
        ];
        assert!(kinds == want, "rotated behind piece {at}");
    }
}

#[test]
fn t36_killed_between_any_two_pieces() {
    let pieces = pieces(1, 100_000);
    for killed_at in 0..pieces.len() {
        for given_up in [false, true] {
            let mut shell = Shell::new(1);
            print(&mut shell, 0, 0..1, 20);
            shell.start();
            shell.settle();
            for (n, piece) in pieces.iter().enumerate() {
                shell.append(0, piece);
                shell.list(0);
                shell.pass(SECOND);
                if n == killed_at {
                    if given_up {
                        // The rest comes late: what is there goes out, and the line goes on.
                        shell.pass(30 * SECOND);
                        shell.pass(2 * SECOND);
                    }
                    shell.kill();
                    shell.start();
                }
            }
            shell.settle();
            let want = [text(0, 20), text(1, 100_000)];
            assert!(
                shell.lines(0) == want,
                "killed behind piece {killed_at}, {given_up}"
            );
        }
    }
}
