//! What lines hold.

use std::time::Duration;

use crate::shell::Shell;
use crate::{assert_lines, pieces, print, text, time, writer};

const SECOND: Duration = Duration::from_secs(1);

/// Ships one file with these lines.
fn shipped(lines: &[Vec<u8>]) -> Vec<String> {
    let mut shell = Shell::new(1);
    for (n, line) in lines.iter().enumerate() {
        shell.append(0, &writer::pieces(line, true, "stdout", &time(n)).concat());
    }
    shell.start();
    shell.settle();
    shell.lines(0)
}

#[test]
fn t37_lines_of_exactly_16384_bytes() {
    let lengths = [16_383, 16_384, 16_385, 32_767, 32_768, 32_769];
    let lines: Vec<Vec<u8>> = lengths
        .iter()
        .flat_map(|&len| [b"x".repeat(len), "é".repeat(len / 2 + 1).into_bytes()])
        .collect();
    let want: Vec<String> = lines.iter().map(|line| writer::readable(line)).collect();
    assert!(shipped(&lines) == want);
}

#[test]
fn t40_long_lines_arrive_in_parts_and_none_is_dropped() {
    let lines: Vec<Vec<u8>> = [97 << 10, 300_000, 1 << 20, 5 << 20]
        .iter()
        .map(|&len| text(len, len).into_bytes())
        .collect();
    let want: Vec<String> = lines.iter().map(|line| writer::readable(line)).collect();
    assert!(shipped(&lines) == want);
}

#[test]
fn t41_nothing_is_long_enough_for_the_service_to_cut() {
    // The shell refuses entries over 10,000 bytes; here is text at that border in every width.
    for unit in ["x", "é", "€", "😀", "\u{1}", "\"", "<"] {
        let border = 10_000 / unit.len();
        let lines: Vec<Vec<u8>> = (border - 3..border + 3)
            .chain([2 * border - 1, 2 * border, 2 * border + 1])
            .map(|n| unit.repeat(n).into_bytes())
            .collect();
        let want: Vec<String> = lines.iter().map(|line| writer::readable(line)).collect();
        assert!(shipped(&lines) == want, "{unit:?}");
    }
}

#[test]
fn t42_a_writer_that_is_as_slow_as_the_join_waits() {
    for pause in [4_900, 5_000, 5_100] {
        let mut shell = Shell::new(1);
        shell.start();
        for piece in pieces(1, 60_000) {
            shell.append(0, &piece);
            shell.list(0);
            shell.pass(Duration::from_millis(pause));
        }
        shell.settle();
        assert_lines(&shell, 0, 1..2, 60_000);
    }
}

#[test]
fn t43_more_lines_under_way_than_memory_holds() {
    let containers = 200;
    let mut shell = Shell::new(containers);
    shell.settings.memory_bytes_max = 1 << 20;
    shell.start();
    let line = |container: usize| pieces(container, 40_000);
    for piece in 0..3 {
        for container in 0..containers {
            shell.append(container, &line(container)[piece]);
            shell.list(container);
            let memory = shell.pipeline.as_ref().unwrap().gauges().memory_bytes;
            assert!(memory < 2 << 20, "{memory}");
        }
        shell.pass(SECOND);
    }
    shell.settle();
    for container in 0..containers {
        assert_lines(&shell, container, container..container + 1, 40_000);
    }
}

#[test]
fn t44_half_a_line_does_not_take_the_next_one_with_it() {
    let line = pieces(1, 20).concat();
    for cut in 1..line.len() - 1 {
        let mut shell = Shell::new(1);
        print(&mut shell, 0, 0..1, 20);
        shell.append(0, &line[..cut]);
        print(&mut shell, 0, 2..4, 20);
        shell.start();
        shell.settle();
        let lines = shell.lines(0);
        for n in [0, 2, 3] {
            assert_eq!(
                lines.iter().filter(|line| **line == text(n, 20)).count(),
                1,
                "cut {cut}"
            );
        }
        assert_eq!(lines.len(), 4, "the torn one is shipped as text: {lines:?}");
    }
}

#[test]
fn t45_nuls_anywhere_are_passed_over() {
    for nuls in [1, 500, 300_000] {
        let mut shell = Shell::new(1);
        shell.append(0, &vec![0; nuls]);
        print(&mut shell, 0, 0..2, 20);
        shell.append(0, &vec![0; nuls]);
        print(&mut shell, 0, 2..4, 20);
        shell.start();
        shell.settle();
        assert_lines(&shell, 0, 0..4, 20);
        assert_eq!(
            shell.pipeline.as_ref().unwrap().stats().nul_bytes as usize,
            2 * nuls
        );
    }
}

#[test]
fn t46_labels_and_tags_in_the_line() {
    let attrs = r#""attrs":{"a":"\"time\":\"x\"","tag":"{\"log\":\"no\\n\"}"},"#;
    let mut shell = Shell::new(1);
    for n in 0..3 {
        let line = String::from_utf8(pieces(n, 20).concat()).unwrap();
        let line = line.replace("\"stream\"", &format!("{attrs}\"stream\""));
        shell.append(0, line.as_bytes());
    }
    shell.start();
    shell.settle();
    assert_lines(&shell, 0, 0..3, 20);
}

#[test]
fn t49_time_that_goes_back_stands_still_and_leaps() {
    let hour = |n: usize| format!("2026-11-23T{n:02}:00:00Z");
    let times = [
        hour(17),
        hour(16),
        hour(16),
        hour(16),
        hour(23),
        hour(17),
        "2099-01-01T00:00:00Z".to_owned(),
    ];
    let mut shell = Shell::new(1);
    for (n, time) in times.iter().enumerate() {
        shell.append(
            0,
            &writer::encode(format!("{n}\n").as_bytes(), "stdout", time),
        );
    }
    shell.start();
    shell.settle();
    let arrived = shell.arrival.joined("c0");
    assert_eq!(arrived.len(), times.len());
    for (time, _, text) in arrived {
        assert_eq!(time, times[text.parse::<usize>().unwrap()]);
    }
    // In the file's order by their ids.
    let texts: Vec<_> = shell
        .arrival
        .entries
        .values()
        .map(|entry| &*entry.data)
        .collect();
    assert_eq!(texts, ["0", "1", "2", "3", "4", "5", "6"]);
}
