#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::Value;

use super::*;

use crate::writer;

const TIME: &str = "2026-11-23T17:29:31.764048983Z";

/// Log texts that look like parts of the frame, and what else may confuse a reader of it.
const TEXTS: &[&str] = &[
    "\",\"stream\":\"stderr\",\"time\":\"2026-11-23T17:29:31Z\"}",
    "{\"log\":\"",
    "\",\"attrs\":{\"a\":\"b\"},\"stream\":\"stdout",
    "\\\",\\\"stream\\\":\\\"stderr\\\"",
    "\"}",
    "\\",
    "\\n",
    "\n",
    "\r",
    "\t\0\x1f\x7f",
    "<&>",
    "\u{2028}\u{fffd}",
    "😀é",
    "2026-11-23T17:29:31Z",
    "plain",
    "",
];

fn log() -> impl Strategy<Value = Vec<u8>> {
    let text = proptest::sample::select(TEXTS).prop_map(|text| text.as_bytes().to_vec());
    let bytes = proptest::collection::vec(any::<u8>(), 0..6);
    proptest::collection::vec(prop_oneof![4 => text, 1 => bytes], 0..5)
        .prop_map(|parts| parts.concat())
}

fn stream() -> impl Strategy<Value = Stream> {
    proptest::sample::select(&Stream::ALL)
}

/// A line of the file without its newline.
fn line(log: &[u8], stream: Stream, time: &str) -> Vec<u8> {
    let mut line = writer::encode(log, stream.as_str(), time);
    line.pop();
    line
}

/// What a record says, newline included.
fn said(record: &Record<'_>) -> String {
    let text: String = serde_json::from_slice(&[b"\"", &record.text[..], b"\""].concat()).unwrap();
    text + if record.complete { "\n" } else { "" }
}

/// A record that [`parse`] gives must be what serde_json reads, and nothing less.
fn assert_read_alike(line: &[u8]) {
    let Some(record) = parse(line) else { return };
    let Ok(Value::Object(read)) = serde_json::from_slice(line) else {
        panic!("no JSON: {}", line.escape_ascii());
    };
    assert_eq!(read.len(), 3, "{}", line.escape_ascii());
    assert_eq!(read["log"], said(&record));
    assert_eq!(read["stream"], record.stream.as_str());
    assert_eq!(read["time"], *std::str::from_utf8(&record.time).unwrap());
    assert!(
        matches!(record.text, Cow::Borrowed(_)),
        "the normal case copies nothing"
    );
}

fn unusual(line: &[u8]) -> Record<'_> {
    assert_eq!(parse(line), None, "{}", line.escape_ascii());
    match parse_unusual(line) {
        Unusual::Record(record) => record,
        other => panic!("{other:?}: {}", line.escape_ascii()),
    }
}

proptest! {
    #[test]
    fn reads_every_line_that_dockerd_writes(log in log(), stream in stream(), n in any::<u32>()) {
        prop_assume!(!log.is_empty());
        let time = writer::time(n.into());
        let line = line(&log, stream, &time);
        let record = parse(&line).unwrap();
        let text: String = serde_json::from_str(&format!("\"{}\"", writer::escape(&log))).unwrap();
        prop_assert_eq!(said(&record), text);
        prop_assert_eq!(record.complete, log.ends_with(b"\n"));
        prop_assert_eq!(record.stream, stream);
        prop_assert_eq!(&record.time[..], time.as_bytes());
        assert_read_alike(&line);
    }

    #[test]
    fn reads_a_damaged_line_as_serde_json_does_or_not_at_all(
        log in log(),
        stream in stream(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), 0..3u8, any::<u8>()), 1..4),
    ) {
        let mut line = line(&log, stream, TIME);
        for (at, kind, byte) in damage {
            let at = at.index(line.len());
            match kind {
                0 => line[at] = byte,
                1 => drop(line.remove(at)),
                _ => line.insert(at, b"\"\\}{,"[usize::from(byte) % 5]),
            }
        }
        assert_read_alike(&line);
    }

    #[test]
    fn t44_a_torn_line_does_not_take_the_next_one_with_it(
        torn in log(), whole in log(), stream in stream(), cut in any::<proptest::sample::Index>(),
        nuls in 0..3usize,
    ) {
        prop_assume!(!whole.is_empty());
        let torn = line(&torn, stream, TIME);
        let torn = [&torn[..1 + cut.index(torn.len() - 1)], &vec![0; nuls]].concat();
        let whole = line(&whole, stream.other(), TIME);
        let glued = [&torn[..], &whole].concat();
        prop_assert_eq!(parse(&glued), None);
        prop_assert_eq!(parse_unusual(&glued), Unusual::Glued { at: torn.len() });
        prop_assert!(parse(&whole).is_some());
    }

    #[test]
    fn t46_attributes_are_passed_over(
        log in log(), stream in stream(), key in "[a-z\"\\\\{},:]{0,12}", value in log(),
    ) {
        let attrs = serde_json::json!({ key: String::from_utf8_lossy(&value) });
        let plain = line(&log, stream, TIME);
        let at = plain.windows(11).rposition(|window| window == b",\"stream\":\"").unwrap_or(0);
        let with = match at {
            0 => [b"{\"attrs\":", attrs.to_string().as_bytes(), b",", &plain[1..]].concat(),
            _ => [&plain[..at], b",\"attrs\":", attrs.to_string().as_bytes(), &plain[at..]].concat(),
        };
        let record = unusual(&with);
        let text: String = serde_json::from_str(&format!("\"{}\"", writer::escape(&log))).unwrap();
        prop_assert_eq!(said(&record), text);
        prop_assert_eq!(record.stream, stream);
        prop_assert_eq!(&record.time[..], TIME.as_bytes());
    }
}

#[test]
fn t47_log_text_that_imitates_every_end_of_the_frame() {
    let frame = String::from_utf8(line(b"inner\n", Stream::Stderr, TIME)).unwrap();
    for from in 0..frame.len() {
        for backslashes in ["", "\\", "\\\\"] {
            let log = format!("{}{backslashes}\n", &frame[from..]);
            let line = line(log.as_bytes(), Stream::Stdout, "2026-11-23T17:29:32Z");
            let record = parse(&line).unwrap();
            assert_eq!(said(&record), log);
            assert_eq!(record.stream, Stream::Stdout);
            assert_eq!(&record.time[..], b"2026-11-23T17:29:32Z");
        }
    }
}

#[test]
fn a_run_of_backslashes_before_the_newline() {
    for run in 0..9 {
        for end in ["\n", "n", ""] {
            let log = format!("a{}{end}", "\\".repeat(run));
            let line = line(log.as_bytes(), Stream::Stdout, TIME);
            let record = parse(&line).unwrap();
            assert_eq!((said(&record), record.complete), (log, end == "\n"));
        }
    }
}

#[test]
fn log_is_left_out_when_it_is_empty() {
    let line = line(b"", Stream::Stderr, TIME);
    assert!(!line.windows(3).any(|window| window == b"log"));
    let record = unusual(&line);
    assert_eq!(
        (said(&record), record.stream),
        (String::new(), Stream::Stderr)
    );
}

#[test]
fn keys_in_another_order_and_unknown_ones() {
    let line = br#"{ "time":"2026-11-23T17:29:31Z", "x":[{"log":"no"}], "stream":"stderr", "log":"a\tb\n" }"#;
    let record = unusual(line);
    assert_eq!(said(&record), "a\tb\n");
    assert_eq!(record.stream, Stream::Stderr);
}

#[test]
fn a_value_that_is_not_quite_json_is_mended() {
    let frame = |log: &[u8]| [OPEN, log, STDOUT, TIME.as_bytes(), b"\"}"].concat();
    for (log, text) in [
        (&b"\xff\xfe\\n"[..], "\u{fffd}\u{fffd}\n"),
        (b"a\\ud83d\\n", "a\u{fffd}\n"),
        (b"tab\t\\n", "tab\t\n"),
        (b"nul\0", "nul\0"),
        (b"\\x41\\n", "\\x41\n"),
    ] {
        assert_eq!(said(&unusual(&frame(log))), text);
    }
}

#[test]
fn what_is_not_a_record_is_said_to_be_none() {
    for line in [
        &b""[..],
        b"plain text",
        b"{}",
        b"null",
        br#"{"log":"a\n","stream":"stdout"}"#,
        br#"{"log":"a\n","stream":"stdlog","time":"2026-11-23T17:29:31Z"}"#,
        br#"{"log":"a\n","stream":"stdout","time":"yesterday"}"#,
        br#"{"log":"a\n","stream":"stdout","time":"2026-11-23T17:29:31Z""#,
        br#"{"log":7,"stream":"stdout","time":"2026-11-23T17:29:31Z"}"#,
        br#"{"log":"a"b","stream":"stdout","time":"2026-11-23T17:29:31Z"}"#,
    ] {
        assert_eq!(parse(line), None);
        assert_eq!(
            parse_unusual(line),
            Unusual::Malformed,
            "{}",
            line.escape_ascii()
        );
    }
}
