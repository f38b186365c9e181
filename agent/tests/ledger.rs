//! What is lost for good: the ledger says it, over restarts, and the log itself marks the gap.

#![allow(clippy::unwrap_used)]

mod harness;

use std::collections::HashSet;
use std::fs::{self, File};
use std::process::Command;

use fixtures::docker_log::{DockerLog, Rotation};
use fixtures::emulator::{Fault, FaultKind};
use serde_json::Value;
use tempfile::TempDir;

use harness::{BINARY, Harness};

fn bench() -> (TempDir, Harness) {
    let containers = tempfile::tempdir().unwrap();
    let harness = Harness::new(containers.path(), &["*"]);
    harness.set("source", "scan_interval", "\"500ms\"");
    (containers, harness)
}

fn say(log: &mut DockerLog, label: &str, count: usize) -> Vec<String> {
    let lines: Vec<String> = (0..count).map(|n| format!("{label} {n:03}")).collect();
    lines.iter().for_each(|line| log.say(line).unwrap());
    lines
}

fn run(harness: &Harness, arguments: &[&str]) -> String {
    let output = Command::new(BINARY)
        .args(arguments)
        .arg("--config")
        .arg(harness.config())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The records that are on the disk.
fn records(harness: &Harness) -> Vec<Value> {
    let ledger: Value = serde_json::from_str(&run(harness, &["ledger", "--json"])).unwrap();
    assert_eq!(ledger["schema"], "platform-agent/ledger/1");
    ledger["records"].as_array().unwrap().clone()
}

/// Waits until one loss is on the disk.
fn wait_for_loss(harness: &Harness) -> Value {
    harness.wait_for_status("the loss on the disk", |_| records(harness).len() == 1);
    records(harness).remove(0)
}

/// Waits until the log marks the gap, once, and gives what the marker says.
fn wait_for_gap(harness: &mut Harness, container: &str) -> String {
    for _ in 0..600 {
        harness.take_in();
        if let [gap] = harness.gaps(container)[..] {
            return gap.to_owned();
        }
        harness.status();
    }
    panic!("{:?}\n{}", harness.gaps(container), harness.agent_log());
}

#[test]
fn t67_a_log_rotated_away_while_the_agent_is_down_is_bounded_from_below() {
    let (containers, mut harness) = bench();
    let rotation = Rotation::plain(1 << 20, 1);
    let mut log = DockerLog::create(containers.path(), "web", rotation).unwrap();
    let mut lines = say(&mut log, "before", 20);
    harness.start_agent();
    harness.assert_arrived("web", &lines);
    harness.terminate_agent();
    let shipped = fs::metadata(log.path()).unwrap().len();
    say(&mut log, "lost", 20);
    log.rotate().unwrap();
    lines.splice(0..0, say(&mut log, "after", 5));
    harness.start_agent();
    harness.assert_arrived("web", &lines);
    let loss = wait_for_loss(&harness);
    assert_eq!(
        (&loss["from"], &loss["to"]),
        (&shipped.into(), &Value::Null)
    );
    assert_eq!(loss["reason"], "rotated_away");
    assert!(
        ["at_least", "about"].contains(&loss["bound"].as_str().unwrap()),
        "{loss}"
    );
    assert!(
        loss["last_time"].as_str() < loss["next_time"].as_str(),
        "{loss}"
    );
    let gap = wait_for_gap(&mut harness, "web");
    assert!(gap.contains(&format!("from byte {shipped} on")), "{gap}");
    // Neither a kill nor a restart forgets it, or counts it again.
    for _ in 0..2 {
        harness.kill_agent();
        harness.start_agent();
        let status = harness.status();
        assert_eq!(
            status["lost_by_reason"]["rotated_away"]["losses"], 1,
            "{status}"
        );
    }
    assert_eq!(records(&harness), [loss]);
    assert!(run(&harness, &["ledger"]).contains("web  rotated_away"));
    assert!(run(&harness, &["status"]).contains("lost: web rotated_away"));
    harness.assert_arrived("web", &lines);
    assert_eq!(harness.gaps("web").len(), 1);
    harness.terminate_agent();
}

#[test]
fn t67_t02_what_is_let_go_of_at_a_bound_is_told_to_the_byte() {
    let (containers, mut harness) = bench();
    harness.set("source", "max_held_bytes", "\"0\"");
    let rotation = Rotation::plain(1 << 30, 2);
    let mut log = DockerLog::create(containers.path(), "web", rotation).unwrap();
    let first = say(&mut log, "first", 3);
    harness.start_agent();
    harness.assert_arrived("web", &first);
    harness.add_fault(Fault::new(FaultKind::Status(503)));
    // Of a file that comes while the agent runs no earlier run can have shipped anything.
    log.rotate().unwrap();
    // More than the agent has memory for.
    let long: Vec<String> = (0..4_000)
        .map(|n| format!("{n:05}{}", "x".repeat(9_000)))
        .collect();
    long.iter().for_each(|line| log.say(line).unwrap());
    let size = fs::metadata(log.path()).unwrap().len();
    log.rotate().unwrap();
    let after = say(&mut log, "after", 5);
    harness.wait_for_status("its memory to be full", |status| {
        status["memory_bytes"].as_u64() > Some(12 << 20)
    });
    // The old file loses its name, and is let go of.
    log.rotate().unwrap();
    harness.wait_for_status("it to be let go of", |_| {
        harness.agent_log().contains("source.max_held_bytes")
    });
    harness.emulator().clear_faults();
    let loss = wait_for_loss(&harness);
    assert_eq!(
        (&loss["to"], &loss["bound"]),
        (&size.into(), &"exact".into()),
        "{loss}"
    );
    assert_eq!(loss["reason"], "evicted");
    let gap = wait_for_gap(&mut harness, "web");
    let from = loss["from"].as_u64().unwrap();
    assert!(gap.contains(&format!("bytes {from}..{size} of")), "{gap}");
    // What arrived and what is lost is all there was.
    let there: HashSet<String> = harness.lines("web").into_iter().collect();
    let kept = long.iter().take_while(|line| there.contains(*line)).count();
    let ours = long[..kept].iter().cloned();
    let mut arrived: Vec<String> = first.into_iter().chain(ours).chain(after).collect();
    arrived.sort();
    harness.assert_arrived("web", &arrived);
    let line = size as f64 / long.len() as f64;
    assert!(
        (from as f64 / line - kept as f64).abs() < 0.5,
        "{kept} lines arrived: {loss}"
    );
    harness.terminate_agent();
}

#[test]
fn t67_a_truncated_and_a_removed_log_are_told() {
    let (containers, mut harness) = bench();
    harness.set("source", "gap_markers", "false");
    let mut log = DockerLog::create(containers.path(), "web", Rotation::NONE).unwrap();
    let mut lines = say(&mut log, "first", 20);
    harness.start_agent();
    harness.assert_arrived("web", &lines);
    let shipped = fs::metadata(log.path()).unwrap().len();
    File::options()
        .write(true)
        .open(log.path())
        .unwrap()
        .set_len(0)
        .unwrap();
    log.restart().unwrap();
    lines.extend(say(&mut log, "second", 5));
    harness.assert_arrived("web", &lines);
    let loss = wait_for_loss(&harness);
    assert_eq!(
        (&loss["from"], &loss["reason"]),
        (&shipped.into(), &"truncated".into())
    );
    // All of the second file is shipped; what comes behind it goes with the folder.
    harness.terminate_agent();
    let shipped = fs::metadata(log.path()).unwrap().len();
    say(&mut log, "lost", 5);
    log.remove().unwrap();
    harness.start_agent();
    harness.wait_for_status("both losses", |_| records(&harness).len() == 2);
    let loss = records(&harness).remove(1);
    assert_eq!(
        (&loss["from"], &loss["reason"]),
        (&shipped.into(), &"removed".into())
    );
    assert_eq!(loss["name"], "web");
    harness.take_in();
    assert!(harness.gaps("web").is_empty(), "they are off");
    harness.terminate_agent();
}
