//! What is accepted is found again: `check --roundtrip`, and the heartbeat.

#![allow(clippy::unwrap_used)]

mod harness;

use std::process::Command;
use std::time::Duration;

use fixtures::emulator::{Fault, FaultKind, Query};
use fixtures::wait;
use serde_json::Value;

use harness::{BINARY, Harness};

const SCOPE: &str = "\"ocid1.compartment.oc1..a/ocid1.loggroup.oc1..b\"";

fn check(harness: &Harness, arguments: &[&str]) -> (i32, Value) {
    let output = Command::new(BINARY)
        .args(["check", "--json", "--roundtrip", "--config"])
        .arg(harness.config())
        .args(arguments)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let found = findings
        .iter()
        .find(|finding| finding["check"] == "roundtrip");
    (
        output.status.code().unwrap(),
        found.cloned().unwrap_or_default(),
    )
}

#[test]
fn an_entry_that_was_stored_is_found_with_the_seconds() {
    let containers = tempfile::tempdir().unwrap();
    let harness = Harness::new(containers.path(), &["*"]);
    harness.set("logging", "search_scope", SCOPE);
    let (code, found) = check(&harness, &[]);
    assert_eq!((code, &found["verdict"]), (0, &"ok".into()), "{found:#}");
    let entries = harness.emulator().entries(&Query::default());
    assert!(
        found["evidence"]
            .as_str()
            .unwrap()
            .contains(&*entries[0].id)
    );
    assert!(found["what"].as_str().unwrap().ends_with(" s"), "{found:#}");
}

#[test]
fn an_entry_that_was_accepted_and_dropped_is_an_error() {
    let containers = tempfile::tempdir().unwrap();
    let dropped = Harness::with_retention(containers.path(), Duration::from_secs(60));
    dropped.set("logging", "search_scope", SCOPE);
    // To this clock the entry is older than the retention, and its signature still good.
    dropped.emulator().set_clock_offset_seconds(240);
    let (code, found) = check(&dropped, &["--roundtrip-max", "2s"]);
    assert_eq!((code, &found["verdict"]), (1, &"error".into()), "{found:#}");
    assert_eq!(dropped.emulator().summary().dropped_old, 1);
}

#[test]
fn without_a_scope_or_the_right_to_search_it_says_what_is_missing() {
    let containers = tempfile::tempdir().unwrap();
    let harness = Harness::new(containers.path(), &["*"]);
    let (code, found) = check(&harness, &[]);
    assert_eq!(code, 1);
    assert!(
        found["next"]
            .as_str()
            .unwrap()
            .contains("logging.search_scope"),
        "{found:#}"
    );
    harness.set("logging", "search_scope", SCOPE);
    harness.add_fault(Fault {
        path: Some("/20190909/search".to_owned()),
        ..Fault::new(FaultKind::Status(404))
    });
    let (code, found) = check(&harness, &[]);
    assert_eq!(code, 1);
    assert!(
        found["next"].as_str().unwrap().contains("read log-content"),
        "{found:#}"
    );
    assert!(
        found["evidence"]
            .as_str()
            .unwrap()
            .contains("opc-request-id"),
        "{found:#}"
    );
}

#[test]
fn the_heart_beats_while_the_agent_runs() {
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    harness.set("heartbeat", "every", "\"200ms\"");
    harness.start_agent();
    let beats = |harness: &Harness| {
        harness.emulator().entries(&Query {
            kind: Some("com.oraclecloud.logging.custom.docker.heartbeat".to_owned()),
            ..Query::default()
        })
    };
    let found = wait::until("three beats", Duration::from_secs(60), || {
        let found = beats(&harness);
        Ok((found.len() >= 3).then_some(found))
    })
    .unwrap();
    let data: Value = serde_json::from_str(&found[2].data).unwrap();
    assert_eq!(data["ready"], true);
    assert_eq!(data["version"], env!("CARGO_PKG_VERSION"));
    assert_ne!(found[0].id, found[1].id);
    harness.terminate_agent();
}
