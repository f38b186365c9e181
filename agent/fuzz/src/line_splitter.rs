//! A whole file: the same entries wherever the reads end, and the lines that serde_json sees.

use std::time::Duration;

use agent_core::stamp;
use serde_json::Value;

use crate::input::Input;
use crate::shell::{CURRENT, Shell};

/// Looks at a file that grows: fewer than would make a piece old enough to be given up.
const LOOKS_MAX: usize = 16;

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let step = 1 + input.below(256);
    let file = input.0;
    let whole = shipped(file, file.len());
    let grown = shipped(file, step.max(file.len() / LOOKS_MAX + 1));
    assert_eq!(
        whole.arrival.entries, grown.arrival.entries,
        "where a read ends makes a difference"
    );
    if let Some(mut lines) = expected(file) {
        let mut arrived: Vec<_> = whole.arrival.joined("c0");
        arrived.sort_unstable();
        lines.sort_unstable();
        assert_eq!(arrived, lines);
    }
}

/// A file that grows by `step` bytes at a time and is rotated then, shipped to its end.
fn shipped(file: &[u8], step: usize) -> Shell {
    let mut shell = Shell::new(1);
    shell.create(0, CURRENT);
    shell.start();
    for bytes in file.chunks(step.max(1)) {
        shell.append(0, bytes);
        shell.list(0);
        shell.pass(Duration::from_millis(200));
    }
    shell.rotate(0, 3, false);
    for _ in 0..4 {
        shell.list(0);
        shell.pass(Duration::from_secs(2));
    }
    // One that holds nothing but NULs has no line to be known by, and nothing to ship.
    if file.iter().any(|&byte| byte != 0) {
        shell.settle();
    }
    shell
}

/// Time, stream and text of each line, if every line of the file is Docker's and ends.
fn expected(file: &[u8]) -> Option<Vec<(String, String, String)>> {
    let text = std::str::from_utf8(file).ok()?.strip_suffix('\n')?;
    let mut lines: Vec<(String, String, String)> = Vec::new();
    let mut open: [Option<usize>; 2] = [None, None];
    for line in text.split('\n') {
        let json: Value = serde_json::from_str(line).ok()?;
        let field = |name: &str| json.get(name)?.as_str();
        let (stream, time) = (field("stream")?, field("time")?);
        // Each key once, in Docker's order: of keys that come twice serde_json takes one.
        let frame = format!(",\"stream\":\"{stream}\",\"time\":\"{time}\"}}");
        let value = line.strip_prefix("{\"log\":")?.strip_suffix(&frame)?;
        let log: String = serde_json::from_str(value).ok()?;
        if !stamp::is_valid(time.as_bytes()) {
            return None;
        }
        let slot = ["stdout", "stderr"]
            .iter()
            .position(|name| *name == stream)?;
        let ends = log.ends_with('\n');
        let log = log.strip_suffix('\n').unwrap_or(&log);
        let at = match open[slot].filter(|&at| lines[at].0 == time) {
            Some(at) => at,
            None => {
                let kind = format!("docker.{stream}");
                lines.push((time.to_owned(), kind, String::new()));
                lines.len() - 1
            }
        };
        lines[at].2.push_str(log);
        open[slot] = (!ends).then_some(at);
    }
    Some(lines)
}
