//! What the agent says of itself before it is ready, and of whose clock it goes by.

#![allow(clippy::unwrap_used)]

mod harness;

use std::fs;
use std::io::Write as _;
use std::process::Command;

use fixtures::docker_log::{DockerLog, Rotation};

use harness::Harness;

fn reason(status: &serde_json::Value) -> &str {
    status["unready_reason"].as_str().unwrap_or_default()
}

#[test]
fn until_every_folder_was_looked_into_it_is_starting() {
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    // A description that nobody has written yet: to look at it never ends.
    let folder = containers.path().join("f".repeat(64));
    fs::create_dir(&folder).unwrap();
    let pipe = folder.join("config.v2.json");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    harness.start_agent();
    let status = harness.status();
    assert_eq!(
        (&status["ready"], &status["starting"]),
        (&false.into(), &true.into())
    );
    assert!(reason(&status).starts_with("starting: folders"), "{status}");
    let mut writer = fs::File::options().write(true).open(&pipe).unwrap();
    fs::remove_file(&pipe).unwrap();
    writer.write_all(b"{}").unwrap();
    drop(writer);
    harness.wait_for_status("ready", |status| {
        status["ready"] == true && status["starting"] == false
    });
    harness.terminate_agent();
}

#[test]
fn until_there_are_credentials_it_is_starting_and_says_why() {
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    harness.set("oci", "auth", "\"instance_principal\"");
    // Nobody listens there.
    let nobody = "OCI_METADATA_BASE_URL=http://127.0.0.1:9/opc/v2";
    harness.start_agent_through(&["env", nobody]);
    harness.wait_for_status("the reason", |status| {
        reason(status).starts_with("starting: no credentials yet: ")
    });
    assert_eq!(harness.status()["ready"], false);
    harness.kill_agent();
}

/// The host's clock is forty days ahead of the service's, which says so when it refuses requests
/// for that: what is written meanwhile is not older than the retention.
#[test]
fn t49_t71_a_clock_that_is_far_ahead_drops_no_line_for_its_age() {
    const AHEAD_DAYS: i64 = 40;
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    harness
        .emulator()
        .set_clock_offset_seconds(-AHEAD_DAYS * 86_400);
    let mut log = DockerLog::create(containers.path(), "app", Rotation::NONE).unwrap();
    let mut line = |n: u32| {
        let then = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * AHEAD_DAYS);
        let line = format!("{{\"log\":\"{n}\\n\",\"stream\":\"stdout\",\"time\":\"{then}\"}}\n");
        log.write_raw(line.as_bytes()).unwrap();
    };
    line(1);
    harness.start_agent();
    harness.wait_for_status("the clock to be blamed", |status| {
        reason(status).contains("s ahead of the service's")
    });
    line(2);
    harness.wait_for_status("both to be read", |status| {
        status["containers"][0]["read_bytes"].as_u64() > Some(100)
    });
    let status = harness.status();
    assert_eq!(status["losses"], serde_json::json!([]));
    assert!(status["lag_bytes"].as_u64() > Some(100), "{status}");
    harness.kill_agent();
}
