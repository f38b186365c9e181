//! The service cannot be reached, does not answer, or does not let us in; and the agent is stopped
//! meanwhile. Outages of hours are simulated (agent/core/tests/fault/outage.rs).

#![allow(clippy::unwrap_used)]

mod harness;

use std::fs;
use std::time::Duration;

use fixtures::docker_log::{DockerLog, Rotation};
use fixtures::emulator::{Fault, FaultKind, Options};
use fixtures::wait;
use tempfile::TempDir;

use harness::way::{Mode, Way};
use harness::{Harness, LOG_ID};

const SOON: Duration = Duration::from_secs(60);

fn write(log: &mut DockerLog, all: &mut Vec<String>, label: &str) {
    let lines: Vec<String> = (0..50).map(|n| format!("{label} {n:05}")).collect();
    lines.iter().for_each(|line| log.say(line).unwrap());
    all.extend(lines);
    all.sort_unstable();
}

fn bench(options: Options) -> (TempDir, Harness, DockerLog) {
    let containers = tempfile::tempdir().unwrap();
    let harness = Harness::over(containers.path(), &["*"], options);
    let log = DockerLog::create(containers.path(), "web", Rotation::plain(20_000, 100)).unwrap();
    (containers, harness, log)
}

/// Waits until the agent says that sending fails, with one of these words.
fn wait_for_failure(harness: &Harness, words: &[&str]) {
    harness.wait_for_status("a failure to be told", |status| {
        let error = status["send_error"].as_str().unwrap_or_default();
        words.iter().any(|word| error.contains(word))
    });
}

#[test]
fn t55_a_way_that_is_cut_silent_or_another_protocols_is_used_again_once_it_is_well() {
    let (_containers, mut harness, mut log) = bench(Options::default());
    let way = Way::to(harness.emulator().address());
    harness.redirect(&way.url());
    harness.start_agent();
    let mut lines = Vec::new();
    write(&mut log, &mut lines, "before");
    harness.assert_arrived("web", &lines);
    for mode in [Mode::Cut, Mode::Silent, Mode::Foreign, Mode::Unanswered] {
        way.set(mode);
        write(&mut log, &mut lines, &format!("{mode:?}"));
        // The connection that was there is dead as well.
        harness.wait_for_status("a failure", |status| status["send_error"].is_string());
        way.set(Mode::Open);
        harness.assert_arrived("web", &lines);
        harness.wait_for_status("no failure", |status| status["send_error"].is_null());
    }
    assert_eq!(harness.entries(), lines.len() as u64, "nothing came twice");
    harness.terminate_agent();
}

#[test]
fn t55_a_certificate_that_expires_is_named_and_a_new_one_taken() {
    let (_containers, mut harness, mut log) = bench(Options {
        log_ids: vec![LOG_ID.to_owned()],
        tls_names: vec!["127.0.0.1".to_owned()],
        ..Options::default()
    });
    let authority = harness.dir().join("authority.pem");
    fs::write(&authority, harness.emulator().authority_pem().unwrap()).unwrap();
    harness.set("oci", "ca_bundle", &format!("{authority:?}"));
    harness.emulator().set_certificate_expired(true);
    let mut lines = Vec::new();
    write(&mut log, &mut lines, "expired");
    harness.start_agent();
    wait_for_failure(&harness, &["expired", "Expired"]);
    harness.emulator().set_certificate_expired(false);
    harness.assert_arrived("web", &lines);
    harness.terminate_agent();
}

#[test]
fn t59_what_is_refused_with_403_arrives_once_the_policy_is_right() {
    let (_containers, mut harness, mut log) = bench(Options::default());
    harness.add_fault(Fault::new(FaultKind::Status(403)));
    harness.start_agent();
    let mut lines = Vec::new();
    write(&mut log, &mut lines, "denied");
    harness.wait_for_status("unready", |status| {
        let reason = status["unready_reason"].as_str().unwrap_or_default();
        reason.starts_with("OCI refuses us: ") && reason.contains("opc-request-id")
    });
    wait::until("another attempt", SOON, || {
        let served = harness.emulator().faults()[0].served;
        Ok((served > 1).then_some(()))
    })
    .unwrap();
    harness.emulator().clear_faults();
    harness.assert_arrived("web", &lines);
    harness.wait_for_status("ready", |status| status["ready"] == true);
    assert_eq!(harness.entries(), lines.len() as u64);
    harness.terminate_agent();
}

#[test]
fn t60_throttled_requests_are_sent_again_as_they_were() {
    let (_containers, mut harness, mut log) = bench(Options::default());
    harness.add_fault(Fault {
        retry_after_seconds: Some(1),
        ..Fault::times(FaultKind::Status(429), 3)
    });
    let mut lines = Vec::new();
    write(&mut log, &mut lines, "throttled");
    harness.start_agent();
    harness.assert_arrived("web", &lines);
    assert_eq!(harness.entries(), lines.len() as u64, "nothing came twice");
    harness.terminate_agent();
}

#[test]
fn t65_stopped_under_load_with_a_dead_service_it_ends_in_time_and_resumes_exactly() {
    let (_containers, mut harness, mut log) = bench(Options::default());
    harness.set("shutdown", "grace", "\"2s\"");
    harness.start_agent();
    let mut lines = Vec::new();
    write(&mut log, &mut lines, "before");
    harness.assert_arrived("web", &lines);
    harness.add_fault(Fault::new(FaultKind::Hang));
    for n in 0..100 {
        write(&mut log, &mut lines, &format!("dead {n:03}"));
    }
    wait::until("a request that hangs", SOON, || {
        let served = harness.emulator().faults()[0].served;
        Ok((served > 0).then_some(()))
    })
    .unwrap();
    // Within its END_MAX, and with 0.
    harness.terminate_agent();
    assert!(harness.agent_log().contains("drained=false"));
    write(&mut log, &mut lines, "while down");
    harness.emulator().clear_faults();
    harness.start_agent();
    harness.assert_arrived("web", &lines);
    let entries = harness.entries();
    assert_eq!(entries, lines.len() as u64, "nothing came twice");
    harness.terminate_agent();
}
