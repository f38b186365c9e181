//! Files that hold other things than Docker's lines, and lines that are not to be shipped.

use super::*;

fn line(text: &str, n: u64) -> Vec<u8> {
    writer::encode(text.as_bytes(), "stdout", &writer::time(n))
}

#[test]
fn what_is_no_record_is_shipped_as_text_with_the_time_before() {
    let mut bench = Bench::new(new_tail(1));
    let bad = [
        &b"no JSON \xff\t\x01\"\n"[..],
        b"{\"log\":7}\r\n",
        b"\n",
        b" \n",
    ]
    .concat();
    let file = [line("a\n", 1), bad, line("b\n", 2)].concat();
    bench.file(1, &file, false);
    let want = ["a", "no JSON \u{fffd}\t\u{1}\"", "{\"log\":7}\r", " ", "b"];
    assert_eq!(bench.lines(), all("stdout", &want));
    assert_eq!(bench.stats.malformed_lines, 3);
    let times: Vec<_> = bench
        .arrived()
        .into_iter()
        .map(|entry| entry.time)
        .collect();
    let (first, second) = (writer::time(1), writer::time(2));
    assert_eq!(
        times,
        [&first, &first, &first, &first, &second].map(String::clone)
    );
}

#[test]
fn a_malformed_first_line_has_the_time_of_the_container_or_of_the_clock() {
    for (created, time) in [
        ("2026-11-23T08:00:00.5Z", "2026-11-23T08:00:00.5Z"),
        ("", "2026-11-23T17:38:31Z"),
        ("last week", "2026-11-23T17:38:31Z"),
    ] {
        let mut bench = Bench::new(new_tail(1));
        bench.tail.container.created = created.to_owned();
        bench.file(1, b"panic\n", false);
        assert_eq!(bench.arrived()[0].time, time);
    }
}

#[test]
fn t40_a_long_malformed_line_is_shipped_whole_and_in_order() {
    let text = "é".repeat(300_000);
    let mut bench = Bench::new(new_tail(1));
    bench.file(1, format!("{text}\nshort\n").as_bytes(), false);
    let arrived = bench.arrived();
    assert!(arrived.windows(2).all(|pair| pair[0].id < pair[1].id));
    let texts: String = arrived.iter().map(|entry| &entry.data[..]).collect();
    assert!(texts == text + "short");
}

#[test]
fn t44_a_torn_line_does_not_take_the_next_record_with_it() {
    let mut bench = Bench::new(new_tail(1));
    let file = [
        line("first\n", 1),
        b"{\"log\":\"abc".to_vec(),
        line("def\n", 2),
    ]
    .concat();
    bench.file(1, &file, false);
    assert_eq!(
        bench.lines(),
        all("stdout", &["first", "{\"log\":\"abc", "def"])
    );
    assert_eq!(bench.arrived()[2].time, writer::time(2));
    assert_eq!(bench.stats.malformed_lines, 1);
}

#[test]
fn a_line_without_its_newline_is_a_record_all_the_same() {
    let mut bench = Bench::new(new_tail(1));
    let mut file = line("first\n", 1);
    file.pop();
    file.extend(line("second\n", 2));
    bench.file(1, &file, false);
    assert_eq!(bench.lines(), all("stdout", &["first", "second"]));
    assert_eq!(bench.stats.malformed_lines, 0);
}

#[test]
fn t44_t46_a_torn_line_in_front_of_one_with_attributes() {
    let mut bench = Bench::new(new_tail(1));
    let with =
        r#"{"log":"def\n","stream":"stderr","attrs":{"log":"x"},"time":"2026-11-23T17:00:02Z"}"#;
    bench.file(1, format!("{{\"log\":\"abc{with}\n").as_bytes(), false);
    let arrived = bench.arrived();
    assert_eq!(arrived.len(), 2);
    assert_eq!(
        (&arrived[1].data[..], &arrived[1].stream[..]),
        ("def", "stderr")
    );
}

/// Garbage among the pieces of a line is no piece of it.
#[test]
fn garbage_does_not_join() {
    for garbage in ["garbage\n", "{\"log\":\"abc"] {
        let time = writer::time(1);
        let piece = |log: &[u8]| writer::encode(log, "stdout", &time);
        let file = [piece(b"one "), garbage.as_bytes().to_vec(), piece(b"two\n")].concat();
        let mut bench = Bench::new(new_tail(1));
        bench.file(1, &file, false);
        assert_eq!(
            bench.lines(),
            all("stdout", &["one two", garbage.trim_end()])
        );
    }
}

#[test]
fn t45_runs_of_nuls_are_passed_over_and_counted() {
    for nuls in [
        1,
        100,
        crate::limits::CHUNK_BYTES,
        3 * crate::limits::CHUNK_BYTES + 7,
    ] {
        for newline in ["", "\n"] {
            let hole = [&vec![0; nuls][..], newline.as_bytes()].concat();
            let file = [line("a\n", 1), hole.clone(), line("b\n", 2), hole].concat();
            let mut bench = Bench::new(new_tail(1));
            bench.file(1, &file, true);
            assert_eq!(bench.lines(), all("stdout", &["a", "b"]));
            assert_eq!(bench.stats.nul_bytes, 2 * nuls as u64);
            assert_eq!(bench.stats.malformed_lines, 0);
        }
    }
}

#[test]
fn half_a_line_waits_until_the_file_is_known_to_end() {
    let whole = line("half\n", 1);
    for cut in 1..whole.len() {
        let mut bench = Bench::new(new_tail(1));
        bench.file(1, &whole[..cut], false);
        assert_eq!(bench.tail.chain.get(1).unwrap().read, 0);
        bench.file(1, &whole[..cut], true);
        let text = String::from_utf8_lossy(&whole[..cut]);
        let want = if cut == whole.len() - 1 {
            "half"
        } else {
            &*text
        };
        assert_eq!(bench.lines(), all("stdout", &[want]));
    }
}

#[test]
fn lines_past_the_retention_are_skipped_and_counted() {
    let mut bench = Bench::new(new_tail(1));
    bench.retention_cutoff = "2026-11-23T17:00:05Z";
    bench.file(
        1,
        &(0..10)
            .flat_map(|n| line(&format!("{n}\n"), n))
            .collect::<Vec<_>>(),
        false,
    );
    assert_eq!(bench.lines(), all("stdout", &["5", "6", "7", "8", "9"]));
    assert_eq!(
        (bench.stats.expired_lines, bench.stats.skipped_lines),
        (5, 0)
    );
}

#[test]
fn lines_before_the_first_start_are_skipped_in_old_containers_only() {
    for is_old in [false, true] {
        let mut bench = Bench::new(new_tail(1));
        bench.tail.is_old = is_old;
        bench.start_cutoff = "2026-11-23T17:00:02Z";
        bench.file(
            1,
            &(0..4)
                .flat_map(|n| line(&format!("{n}\n"), n))
                .collect::<Vec<_>>(),
            false,
        );
        let want: &[&str] = if is_old {
            &["2", "3"]
        } else {
            &["0", "1", "2", "3"]
        };
        assert_eq!(bench.lines(), all("stdout", want));
        assert_eq!(bench.stats.skipped_lines, if is_old { 2 } else { 0 });
    }
}

/// A line is taken or left as a whole, even if time passes between its pieces.
#[test]
fn a_line_under_way_does_not_expire() {
    let pieces = writer::pieces(&[b'x'; 40_000], true, "stdout", &writer::time(1));
    let mut bench = Bench::new(new_tail(1));
    bench.file(1, &pieces[0], false);
    bench.retention_cutoff = "2026-11-23T18:00:00Z";
    bench.file(1, &pieces.concat(), false);
    assert!(bench.lines() == all("stdout", &[&"x".repeat(40_000)]));
    assert_eq!(bench.stats.expired_lines, 0);
}

/// OCI may refuse a whole request for one impossible time.
#[test]
fn a_time_that_no_calendar_has_is_not_shipped_as_a_time() {
    for bad in [
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T17:60:00Z",
    ] {
        let mut bench = Bench::new(new_tail(1));
        let file = [
            line("a\n", 1),
            writer::encode(b"b\n", "stdout", bad),
            line("c\n", 3),
        ]
        .concat();
        bench.file(1, &file, false);
        let times: Vec<_> = bench
            .arrived()
            .into_iter()
            .map(|entry| entry.time)
            .collect();
        assert_eq!(times, [writer::time(1), writer::time(1), writer::time(3)]);
    }
}
