//! Upgrade and rollback: a checkpoint of another release's format is refused, not overwritten.

#![allow(clippy::unwrap_used)]

mod harness;

use std::fs;
use std::process::Command;
use std::time::Duration;

use fixtures::wait;
use harness::Harness;
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

#[test]
fn t75_a_checkpoint_of_a_newer_release_is_refused_and_left_alone() {
    let containers = tempfile::tempdir().unwrap();
    let id = "5a".repeat(32);
    let folder = containers.path().join(&id);
    fs::create_dir(&folder).unwrap();
    let log = folder.join(format!("{id}-json.log"));
    let description = json!({"ID": id, "Name": "/writer", "LogPath": log, "Config": {}});
    fs::write(folder.join("config.v2.json"), description.to_string()).unwrap();
    let time = jiff::Timestamp::now().to_string();
    let line = json!({"log": "a line\n", "stream": "stdout", "time": time});
    fs::write(&log, format!("{line}\n")).unwrap();

    let mut harness = Harness::new(containers.path(), &["*"]);
    harness.start_agent();
    harness.assert_arrived("writer", &["a line".to_owned()]);
    harness.terminate_agent();
    let checkpoint = harness.dir().join("state/checkpoint");
    let own = fs::read(&checkpoint).unwrap();
    let at = own
        .windows(12)
        .position(|bytes| bytes == b" checkpoint ")
        .unwrap()
        + 12;
    let digits = own[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let newer = [&own[..at], b"4711", &own[at + digits..]].concat();
    fs::write(&checkpoint, &newer).unwrap();

    let output = Command::new(env!("CARGO_BIN_EXE_platform-agent"))
        .args(["run", "--config"])
        .arg(harness.config())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("format version 4711"), "{text}");
    assert_eq!(fs::read(&checkpoint).unwrap(), newer);

    // The release that wrote it goes on where it was.
    fs::write(&checkpoint, &own).unwrap();
    harness.start_agent();
    wait::until("the agent's health", SOON, || {
        let health = Command::new(env!("CARGO_BIN_EXE_platform-agent"))
            .args(["health", "--config"])
            .arg(harness.config())
            .output()?;
        Ok(health.status.success().then_some(()))
    })
    .unwrap();
    harness.terminate_agent();
    harness.take_in();
    assert_eq!(harness.entries(), 1);
}
