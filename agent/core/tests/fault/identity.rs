//! Which file is which: inodes used again, equal first lines, truncation.

use std::time::Duration;

use crate::shell::{CURRENT, Shell};
use crate::{assert_lines, pieces, print, running, text, time, writer};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn t05_a_saved_offset_beyond_the_end_of_the_file() {
    let mut shell = running(100);
    shell.kill();
    let inode = shell.file(0, CURRENT).inode;
    shell.create_in(0, CURRENT, inode);
    print(&mut shell, 0, 100..103, 20);
    shell.start();
    shell.settle();
    assert_lines(&shell, 0, 0..103, 20);
}

#[test]
fn t06_a_new_file_in_the_inode_of_the_old_one() {
    for is_held in [true, false] {
        for born in [true, false] {
            let mut shell = Shell::new(1);
            shell.holds = is_held;
            print(&mut shell, 0, 0..5, 20);
            shell.file(0, CURRENT).born = Duration::ZERO;
            shell.start();
            shell.settle();
            for n in 1..10 {
                let inode = shell.file(0, CURRENT).inode;
                shell.create_in(0, CURRENT, inode);
                if !born {
                    shell.file(0, CURRENT).born = Duration::ZERO;
                }
                // As long as the one before, or longer.
                print(&mut shell, 0, n * 10..n * 10 + 5 + n % 2, 20);
                if n % 3 == 0 {
                    shell.kill();
                    shell.start();
                }
                shell.settle();
            }
            let numbers = (0..10).flat_map(|n| n * 10..n * 10 + 5 + n % 2);
            let want: Vec<String> = numbers.map(|n| text(n, 20)).collect();
            assert!(shell.lines(0) == want, "held {is_held}, with an age {born}");
        }
    }
}

#[test]
fn t07_logs_that_begin_alike_are_told_apart() {
    // 100 containers with the same bytes, time included.
    let mut shell = Shell::new(100);
    for container in 0..100 {
        print(&mut shell, container, 0..20, 50);
    }
    shell.start();
    shell.settle();
    for container in 0..100 {
        print(&mut shell, container, 20..21 + container % 3, 50);
    }
    shell.kill();
    shell.start();
    shell.settle();
    for container in 0..100 {
        assert_lines(&shell, container, 0..21 + container % 3, 50);
    }
}

#[test]
fn t07_files_of_one_log_that_begin_alike_are_told_apart() {
    // One long line, cut by rotation: every file begins with a piece of the same time and bytes.
    let long = vec![b'x'; 16_384 * 12];
    let pieces = writer::pieces(&long, true, "stdout", &time(1));
    let mut shell = Shell::new(1);
    shell.start();
    for (n, piece) in pieces.iter().enumerate() {
        shell.append(0, piece);
        shell.list(0);
        shell.pass(Duration::from_millis(200));
        if n % 3 == 2 {
            shell.rotate(0, 6, false);
        }
    }
    print(&mut shell, 0, 2..4, 20);
    shell.settle();
    let want = [String::from_utf8(long).unwrap(), text(2, 20), text(3, 20)];
    assert!(shell.lines(0) == want);
}

#[test]
fn t08_a_file_of_one_short_line() {
    let mut shell = Shell::new(1);
    shell.append(0, &writer::encode(b"0123456789\n", "stdout", &time(1)));
    shell.start();
    shell.settle();
    assert_eq!(shell.lines(0), ["0123456789"]);
}

#[test]
fn t09_a_file_that_is_seen_before_its_first_line_is_whole() {
    let line = pieces(1, 20).concat();
    for cut in 1..line.len() {
        let mut shell = Shell::new(1);
        shell.append(0, &line[..cut]);
        shell.start();
        shell.pass(SECOND);
        shell.append(0, &line[cut..]);
        shell.settle();
        shell.kill();
        shell.start();
        print(&mut shell, 0, 2..3, 20);
        shell.settle();
        assert_lines(&shell, 0, 1..3, 20);
        assert_eq!(shell.arrival.repeated, 0);
    }
}

#[test]
fn t10_a_log_that_is_truncated_goes_on_and_says_what_is_gone() {
    let mut shell = running(10);
    for n in 1..20 {
        print(&mut shell, 0, n * 10..n * 10 + 5, 20);
        if n % 2 == 0 {
            shell.settle();
        }
        shell.truncate(0);
        shell.list(0);
    }
    print(&mut shell, 0, 500..505, 20);
    shell.settle();
    let arrived = shell.lines(0);
    let want = (0..20)
        .filter(|n| n % 2 == 0)
        .flat_map(|n| n * 10..n * 10 + 5);
    for n in want.chain(500..505) {
        assert!(arrived.contains(&text(n, 20)), "{n}");
    }
    assert_eq!(shell.arrival.repeated, 0);
}

#[test]
fn t12_a_file_truncated_and_grown_past_the_offset_between_two_looks() {
    let mut shell = running(10);
    for n in 1..10 {
        shell.truncate(0);
        print(&mut shell, 0, n * 100..n * 100 + 10 + n, 20);
        shell.settle();
    }
    let numbers = (0..10).flat_map(|n| n * 100..n * 100 + 10 + n);
    let want: Vec<String> = numbers.map(|n| text(n, 20)).collect();
    assert!(shell.lines(0) == want);
}

#[test]
fn t12_a_file_that_begins_alike_is_another_one_though_one_stream_of_the_last_was_shipped() {
    // Pieces of one line, all alike, and so is what the next file begins with.
    let piece = writer::encode(&[b'x'; 100], "stdout", &time(1));
    let line = |n| writer::encode(format!("{n}\n").as_bytes(), "stderr", &time(n));
    let mut shell = Shell::new(1);
    shell.append(0, &piece.repeat(8));
    shell.start();
    // Saved, with the line still held: all in front of its end is shipped of stderr.
    shell.pass(SECOND);
    shell.pass(2 * SECOND);
    assert!(shell.lines(0).is_empty());
    shell.kill();
    shell.truncate(0);
    shell.append(0, &piece);
    for n in 2..20 {
        shell.append(0, &line(n));
    }
    shell.start();
    shell.settle();
    for n in 2..20 {
        assert!(shell.lines(0).contains(&n.to_string()), "{n}");
    }
}
