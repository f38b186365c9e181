//! The spool of the real program: an outage, rotation that deletes, kills, a full spool.

#![allow(clippy::unwrap_used)]

mod harness;

use std::fs;

use fixtures::docker_log::{DockerLog, Rotation};
use fixtures::emulator::{Fault, FaultKind};

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

/// Waits until the checkpoint knows what is in the spool: after a kill before that, it is told as
/// lost although it arrives. Without news none is saved, so there is a line more.
fn wait_for_checkpoint(harness: &Harness, log: &mut DockerLog, lines: &mut Vec<String>) {
    let path = harness.dir().join("state/checkpoint");
    let saved = || fs::metadata(&path).and_then(|it| it.modified()).ok();
    let before = saved();
    say(log, lines, 1);
    harness.wait_for_status("a checkpoint", |_| saved() > before);
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
        wait_for_checkpoint(&harness, &mut log, &mut lines);
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
fn t58_a_damaged_segment_is_kept_aside_and_named() {
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    harness.set("limits", "min_free", "\"0\"");
    let mut log = DockerLog::create(containers.path(), "app", SINGLE).unwrap();
    let mut lines = Vec::new();
    harness.add_fault(Fault::new(FaultKind::Status(503)));
    harness.start_agent();
    say(&mut log, &mut lines, 100);
    harness.wait_for_status("all of it is in the spool", |status| {
        status["spool"]["batches"].as_u64() > Some(0)
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
    assert!(first.with_extension("damaged").exists());
}
