//! The spool of the real program: an outage, rotation that deletes, kills, a full spool.

#![allow(clippy::unwrap_used)]

mod harness;

use std::fs;

use fixtures::docker_log::{DockerLog, Rotation};
use fixtures::emulator::{Fault, FaultKind};
use serde_json::json;

use harness::Harness;

/// One file, which each rotation deletes.
const SINGLE: Rotation = Rotation::plain(1 << 20, 1);

fn say(log: &mut DockerLog, lines: &mut Vec<String>, more: usize) {
    for _ in 0..more {
        let line = format!("line {:06} {}", lines.len(), "x".repeat(200));
        log.say(&line).unwrap();
        lines.push(line);
    }
}

fn segments(harness: &Harness) -> usize {
    let folder = harness.dir().join("state/spool");
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    entries
        .filter(|name| name.to_string_lossy().ends_with(".spool"))
        .count()
}

#[test]
fn t58_an_outage_in_which_files_and_agents_go_loses_nothing() {
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    harness.set("limits", "min_free", "\"0\"");
    let mut log = DockerLog::create(containers.path(), "app", SINGLE).unwrap();
    let mut lines = Vec::new();
    harness.add_fault(Fault::new(FaultKind::Status(503)));
    for _ in 0..2 {
        harness.start_agent();
        for _ in 0..5 {
            let seen = harness.status()["containers"][0]["read_bytes"]
                .as_u64()
                .unwrap_or(0);
            say(&mut log, &mut lines, 100);
            harness.wait_for_status("the lines were read", |status| {
                status["containers"][0]["read_bytes"].as_u64() > Some(seen)
                    && status["containers"][0]["lag_bytes"].as_u64() > Some(0)
            });
            log.rotate().unwrap();
        }
        // Nothing of it is anywhere but in the agent and its spool.
        harness.wait_for_status("all of it is in the spool", |status| {
            status["spool"]["batches"].as_u64() > Some(0)
                && status["containers"][0]["lag_bytes"].as_u64() == Some(0)
        });
        harness.kill_agent();
        assert!(segments(&harness) > 0);
    }
    harness.emulator().clear_faults();
    harness.start_agent();
    say(&mut log, &mut lines, 10);
    harness.assert_arrived("app", &lines);
    harness.wait_for_status("an empty spool", |status| status["spool"]["batches"] == 0);
    let status = harness.status();
    assert_eq!(status["lost_bytes"], 0, "{status}");
    assert_eq!(segments(&harness), 0);
    harness.assert_nothing_was_cut_or_dropped();
}

#[test]
fn t58_a_full_spool_is_told_and_what_fits_no_more_is_held() {
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    harness.set("limits", "min_free", "\"0\"");
    harness.set("spool", "max_bytes", "\"300\"");
    let mut log = DockerLog::create(containers.path(), "app", SINGLE).unwrap();
    let mut lines = Vec::new();
    harness.add_fault(Fault::new(FaultKind::Status(503)));
    harness.start_agent();
    harness.wait_for_status("the log is known", |status| {
        status["containers"]
            .as_array()
            .is_some_and(|all| all.len() == 1)
    });
    say(&mut log, &mut lines, 100);
    harness.wait_for_status("the spool is full", |status| {
        let reason = status["unready_reason"].as_str().unwrap_or_default();
        status["ready"] == false && reason.contains("spool.max_bytes")
    });
    log.rotate().unwrap();
    say(&mut log, &mut lines, 100);
    harness.emulator().clear_faults();
    harness.assert_arrived("app", &lines);
    assert_eq!(harness.status()["lost_bytes"], 0);
}

#[test]
fn t58_t67_a_damaged_segment_is_kept_aside_and_in_the_ledger() {
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    harness.set("limits", "min_free", "\"0\"");
    let mut log = DockerLog::create(containers.path(), "app", SINGLE).unwrap();
    let mut lines = Vec::new();
    harness.add_fault(Fault::new(FaultKind::Status(503)));
    say(&mut log, &mut lines, 100);
    let spooled = fs::metadata(log.path()).unwrap().len();
    harness.start_agent();
    harness.wait_for_status("all of it is in the spool", |status| {
        status["spool"]["batches"].as_u64() == Some(1)
            && status["containers"][0]["lag_bytes"].as_u64() == Some(0)
    });
    harness.kill_agent();
    let folder = harness.dir().join("state/spool");
    let first = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .min()
        .unwrap();
    let bytes = fs::read(&first).unwrap();
    fs::write(&first, &bytes[..bytes.len() - 9]).unwrap();
    harness.emulator().clear_faults();
    harness.start_agent();
    let before = lines.len();
    say(&mut log, &mut lines, 10);
    harness.assert_arrived("app", &lines[before..]);
    let log = harness.agent_log();
    assert!(
        log.contains("the segment is damaged") && log.contains("entries are lost"),
        "{log}"
    );
    // Once it is in the ledger it is set aside, and not found again.
    harness.wait_for_status("the segment set aside", |status| {
        first.with_extension("damaged").exists() && status["spool"]["batches"] == 0
    });
    let status = harness.status();
    let losses = status["losses"].as_array().unwrap();
    assert_eq!(losses.len(), 1, "{status}");
    assert_eq!(losses[0]["reason"], "spool_damaged");
    assert_eq!(losses[0]["name"], "app");
    assert_eq!(
        (&losses[0]["from"], &losses[0]["to"]),
        (&json!(0), &json!(spooled))
    );
    assert_eq!(losses[0]["bound"], "at_most");
    harness.take_in();
    let marked = format!("bytes 0..{spooled} of log file");
    assert!(
        harness.gaps("app").iter().any(|gap| gap.contains(&marked)),
        "{:?}",
        harness.gaps("app")
    );
}
