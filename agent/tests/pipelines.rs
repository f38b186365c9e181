//! Several pipelines: each line arrives once, whatever their number was at the last start.

#![allow(clippy::unwrap_used)]

mod harness;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use harness::Harness;
use serde_json::json;

const CONTAINERS: usize = 7;
const LINES: usize = 20;

/// Makes a container's folder with an empty log.
fn create(containers: &Path, n: usize) -> File {
    let id = format!("{n:02x}").repeat(32);
    let folder = containers.join(&id);
    fs::create_dir(&folder).unwrap();
    let log = folder.join(format!("{id}-json.log"));
    let description =
        json!({"ID": id, "Name": format!("/writer-{n}"), "LogPath": log, "Config": {}});
    fs::write(folder.join("config.v2.json"), description.to_string()).unwrap();
    File::options().create(true).append(true).open(log).unwrap()
}

struct Writers {
    logs: Vec<File>,
    lines: Vec<Vec<String>>,
}

impl Writers {
    fn write(&mut self) {
        for (n, log) in self.logs.iter_mut().enumerate() {
            for _ in 0..LINES {
                let text = format!("{n}-{:06}", self.lines[n].len());
                let time = jiff::Timestamp::now().to_string();
                let line = json!({"log": format!("{text}\n"), "stream": "stdout", "time": time});
                writeln!(log, "{line}").unwrap();
                self.lines[n].push(text);
            }
        }
    }

    fn total(&self) -> u64 {
        self.lines.iter().map(|lines| lines.len() as u64).sum()
    }
}

fn start(harness: &mut Harness, pipelines: usize) {
    let number = format!("PLATFORM_AGENT_LIMITS__PIPELINES={pipelines}");
    harness.start_agent_through(&["env", &number]);
}

fn assert_all_arrived(harness: &mut Harness, writers: &Writers) {
    for (n, lines) in writers.lines.iter().enumerate() {
        harness.assert_arrived(&format!("writer-{n}"), lines);
    }
}

#[test]
fn the_number_of_pipelines_may_change_between_starts() {
    let containers = tempfile::tempdir().unwrap();
    let mut writers = Writers {
        logs: (0..CONTAINERS)
            .map(|n| create(containers.path(), n))
            .collect(),
        lines: vec![Vec::new(); CONTAINERS],
    };
    let mut harness = Harness::new(containers.path(), &["*"]);
    harness.set("memory", "budget", "\"64MiB\"");
    for pipelines in [2, 1, 3] {
        writers.write();
        start(&mut harness, pipelines);
        assert_all_arrived(&mut harness, &writers);
        harness.wait_for_status("all containers in one status", |status| {
            status["containers"].as_array().map(Vec::len) == Some(CONTAINERS)
        });
        harness.terminate_agent();
        harness.take_in();
        assert_eq!(harness.entries(), writers.total(), "a line came twice");
    }
    // Killed, whatever its last checkpoint held.
    start(&mut harness, 3);
    writers.write();
    assert_all_arrived(&mut harness, &writers);
    harness.kill_agent();
    writers.write();
    start(&mut harness, 2);
    assert_all_arrived(&mut harness, &writers);
    harness.terminate_agent();
    harness.assert_nothing_was_cut_or_dropped();
}
