//! Lines that dockerd cut, and lines that OCI would cut.

use super::*;

/// Contents that differ in how they are cut: one byte, characters over the border of a piece,
/// bytes that are no UTF-8, escapes of six bytes.
fn contents(len: usize) -> [Vec<u8>; 5] {
    let filled = |unit: &[u8]| unit.repeat(len / unit.len() + 1)[..len].to_vec();
    [
        filled(b"x"),
        filled("é".as_bytes()),
        filled("a😀".as_bytes()),
        filled(b"\xff\xe2\x82"),
        filled(b"\x01\""),
    ]
}

#[test]
fn t37_lines_around_the_length_of_a_piece() {
    let lengths = (16_300..=16_500)
        .chain(32_700..=32_900)
        .chain([0, 1, 9_999, 10_000, 10_001]);
    for len in lengths {
        for content in contents(len) {
            let mut file = writer::encode(b"before\n", "stdout", &writer::time(1));
            for piece in writer::pieces(&content, true, "stdout", &writer::time(2)) {
                file.extend(piece);
            }
            file.extend(writer::encode(b"after\n", "stdout", &writer::time(3)));
            let mut bench = Bench::new(new_tail(1));
            bench.file(1, &file, false);
            let text = writer::readable(&content);
            assert!(
                bench.lines() == all("stdout", &["before", &text, "after"]),
                "{len}"
            );
            assert_eq!(bench.tail.join_bytes(), 0);
        }
    }
}

#[test]
fn t35_both_streams_cut_at_once() {
    for first in [16_384, 16_385, 40_000] {
        let (out, err) = ("o".repeat(first), "e".repeat(40_000));
        let out_pieces = writer::pieces(out.as_bytes(), true, "stdout", &writer::time(1));
        let err_pieces = writer::pieces(err.as_bytes(), true, "stderr", &writer::time(2));
        let mut file = Vec::new();
        for n in 0..out_pieces.len().max(err_pieces.len()) {
            for pieces in [&out_pieces, &err_pieces] {
                file.extend(pieces.get(n).into_iter().flatten());
            }
        }
        let mut bench = Bench::new(new_tail(1));
        bench.file(1, &file, false);
        let want = [("stdout".to_owned(), out), ("stderr".to_owned(), err)];
        assert!(bench.lines() == want, "{first}");
    }
}

#[test]
fn t19_a_line_goes_on_in_the_next_file() {
    let text = "é".repeat(50_000);
    let pieces = writer::pieces(text.as_bytes(), true, "stderr", &writer::time(1));
    for rotated_at in 0..=pieces.len() {
        let (old, new) = pieces.split_at(rotated_at);
        let mut bench = Bench::new(new_tail(2));
        bench.file(1, &old.concat(), true);
        bench.file(2, &new.concat(), false);
        assert!(bench.lines() == all("stderr", &[&writer::readable(text.as_bytes())]));
        let generation = if rotated_at == 0 { 2 } else { 1 };
        assert!(
            bench
                .arrived()
                .iter()
                .all(|entry| entry.place() == (generation, 0))
        );
    }
}

#[test]
fn t27_an_unterminated_last_line_is_not_glued_to_the_next_run() {
    for len in [3, 16_384, 20_000] {
        let unterminated = "u".repeat(len);
        let mut file = Vec::new();
        for (n, stream) in ["stdout", "stderr", "stdout"].into_iter().enumerate() {
            let time = writer::time(10 + n as u64);
            file.extend(writer::pieces(unterminated.as_bytes(), false, stream, &time).concat());
        }
        file.extend(writer::encode(b"next run\n", "stdout", &writer::time(20)));
        let mut bench = Bench::new(new_tail(1));
        bench.file(1, &file, false);
        bench.give_up(false);
        let whole = |stream: &str, text: &str| (stream.to_owned(), text.to_owned());
        let want = [
            whole("stdout", &unterminated),
            whole("stderr", &unterminated),
            whole("stdout", &unterminated),
            whole("stdout", "next run"),
        ];
        assert!(bench.lines() == want, "{len}");
    }
}

#[test]
fn t42_a_piece_given_up_by_age_goes_out_and_its_line_goes_on() {
    let mut bench = Bench::new(new_tail(1));
    let time = writer::time(1);
    let age = Duration::from_secs(5);
    let first = writer::encode(b"prompt> ", "stdout", &time);
    bench.file(1, &first, false);
    assert_eq!(bench.tail.join_deadline(age), Some(age));
    bench.now = age / 2;
    bench.with(|tail, sink| assert!(tail.give_up(age, false, sink)));
    assert_eq!(bench.arrived(), []);
    bench.now = age;
    bench.with(|tail, sink| assert!(tail.give_up(age, false, sink)));
    assert_eq!(bench.arrived()[0].data, "prompt> ");
    assert_eq!(bench.arrived()[0].part(), Some((0, 8, false)));
    assert_eq!(bench.tail.join_deadline(age), None);
    let rest = writer::encode(b"answer\n", "stdout", &time);
    bench.file(1, &[first, rest].concat(), false);
    assert_eq!(bench.lines(), all("stdout", &["prompt> answer"]));
    assert_eq!(bench.arrived()[1].part(), Some((8, 6, true)));
}

#[test]
fn parts_say_which_they_are() {
    let mut bench = Bench::new(new_tail(1));
    bench.part_marks = true;
    let text = "x".repeat(25_000);
    let mut file = writer::pieces(text.as_bytes(), true, "stdout", &writer::time(1)).concat();
    file.extend(
        writer::pieces(
            &text.as_bytes()[..16_384],
            false,
            "stdout",
            &writer::time(2),
        )
        .concat(),
    );
    file.extend(writer::encode(b"short\n", "stdout", &writer::time(3)));
    bench.file(1, &file, false);
    let ends: Vec<_> = bench
        .arrived()
        .iter()
        .map(|entry| entry.data.trim_start_matches('x').to_owned())
        .collect();
    let want = [
        " [part 1]",
        " [part 2]",
        " [part 3, last]",
        " [part 1]",
        " [part 2, last]",
        "short",
    ];
    assert_eq!(ends, want);
}

#[test]
fn t39_the_longest_line_that_dockerd_writes() {
    for attrs in ["", r#""attrs":{"a":"\"}","tag":"x"},"#] {
        let pieces = writer::pieces(&[1; 40_000], true, "stdout", &writer::time(1));
        let mut file = Vec::new();
        for piece in pieces {
            let piece = String::from_utf8(piece).unwrap();
            file.extend(
                piece
                    .replace("\"stream\"", &format!("{attrs}\"stream\""))
                    .into_bytes(),
            );
        }
        let mut bench = Bench::new(new_tail(1));
        bench.file(1, &file, false);
        assert!(bench.lines() == all("stdout", &[&"\u{1}".repeat(40_000)]));
    }
}

/// Wherever a read ends, the entries are the same.
#[test]
fn t48_a_read_may_end_at_any_byte() {
    let mut file = Vec::new();
    for (n, text) in ["é\"\\\u{1}😀<", "two\\", "", "\u{2028}"]
        .into_iter()
        .enumerate()
    {
        let stream = ["stdout", "stderr"][n % 2];
        let time = writer::time(n as u64 / 2);
        file.extend(writer::encode(text.as_bytes(), stream, &time));
        file.extend(writer::encode(
            format!("{text}\n").as_bytes(),
            stream,
            &time,
        ));
    }
    let mut bench = Bench::new(new_tail(1));
    bench.file(1, &file, false);
    let mut whole = bench.arrived();
    whole.sort_by(|left, right| left.id.cmp(&right.id));
    assert_eq!(lines(&whole)[0].1, "é\"\\\u{1}😀<é\"\\\u{1}😀<");
    for split in 0..=file.len() {
        let mut bench = Bench::new(new_tail(1));
        bench.file(1, &file[..split], false);
        bench.file(1, &file, false);
        let mut arrived = bench.arrived();
        arrived.sort_by(|left, right| left.id.cmp(&right.id));
        assert_eq!(arrived, whole, "{split}");
    }
}
