//! Bodies that OCI refuses: the entries it means are found and kept, everything else arrives.

#![allow(clippy::unwrap_used)]

mod harness;

use std::process::{Command, Output};

use fixtures::docker_log::{DockerLog, Rotation};
use fixtures::emulator::{Fault, FaultKind, Query};

use tempfile::TempDir;

use harness::{BINARY, Harness};

const POISON: &str = "poison";

fn quarantine(harness: &Harness, arguments: &[&str]) -> Output {
    Command::new(BINARY)
        .arg("quarantine")
        .args(arguments)
        .arg("--config")
        .arg(harness.config())
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A service that refuses every body with [`POISON`] in it, and a log.
fn refusing() -> (TempDir, Harness, DockerLog) {
    let containers = tempfile::tempdir().unwrap();
    let harness = Harness::new(containers.path(), &["*"]);
    harness.add_fault(Fault {
        body_text: Some(POISON.to_owned()),
        ..Fault::new(FaultKind::Status(400))
    });
    let log = DockerLog::create(containers.path(), "app", Rotation::NONE).unwrap();
    (containers, harness, log)
}

#[test]
fn t57_one_poison_record_is_quarantined_and_all_others_arrive() {
    let (_containers, mut harness, mut log) = refusing();
    let mut good = Vec::new();
    for n in 0..2_000 {
        let line = match n % 500 {
            250 => format!("{POISON} {n}"),
            _ => format!("good {n}"),
        };
        log.say(&line).unwrap();
        if line.starts_with("good") {
            good.push(line);
        }
    }
    good.sort();
    harness.start_agent();
    harness.assert_arrived("app", &good);
    harness.wait_for_status("the refused entries in quarantine", |_| {
        let listed: serde_json::Value =
            serde_json::from_slice(&quarantine(&harness, &["list", "--json"]).stdout).unwrap();
        listed["entries"]
            .as_array()
            .is_some_and(|entries| entries.len() == 4)
    });
    // Nothing waits for them: what comes behind arrives, also after a kill.
    harness.kill_agent();
    harness.start_agent();
    log.say("good at last").unwrap();
    good.push("good at last".to_owned());
    good.sort();
    harness.assert_arrived("app", &good);

    let listed = text(&quarantine(&harness, &["list"]));
    assert_eq!(listed.lines().count(), 4, "{listed}");
    let first = listed.lines().next().unwrap();
    assert!(first.contains("app") && first.contains("400"), "{first}");
    let id = first.split_whitespace().next().unwrap();
    let shown = text(&quarantine(&harness, &["show", id]));
    assert!(
        shown.contains(POISON) && shown.contains("opc-request-id"),
        "{shown}"
    );

    // Still refused: they stay. Then the service takes them.
    let refused = quarantine(&harness, &["replay", "--all"]);
    assert!(!refused.status.success());
    assert_eq!(text(&quarantine(&harness, &["list"])).lines().count(), 4);
    assert_eq!(text(&quarantine(&harness, &["drop", id])), "1 dropped\n");
    let ledger = Command::new(BINARY)
        .args(["ledger", "--config"])
        .arg(harness.config())
        .output()
        .unwrap();
    assert!(
        text(&ledger).contains("app  quarantine_dropped"),
        "{ledger:?}"
    );
    harness.emulator().clear_faults();
    assert_eq!(
        text(&quarantine(&harness, &["replay", "--all"])),
        "3 accepted\n"
    );
    assert_eq!(
        text(&quarantine(&harness, &["list"])),
        "nothing was refused\n"
    );
    let unknown = quarantine(&harness, &["drop", id]);
    assert!(!unknown.status.success());
    harness.terminate_agent();
}

#[test]
fn t57_a_refused_line_at_the_end_of_a_quiet_log_does_not_wait_for_others() {
    let (_containers, mut harness, mut log) = refusing();
    log.say(POISON).unwrap();
    harness.start_agent();
    harness.wait_for_status("the line in quarantine", |status| {
        status["lag_bytes"] == 0 && text(&quarantine(&harness, &["list"])).contains("app")
    });
    let kinds: Vec<String> = harness
        .emulator()
        .entries(&Query::default())
        .iter()
        .map(|entry| entry.kind.to_string())
        .collect();
    assert_eq!(kinds, ["com.oraclecloud.logging.custom.docker.proof"]);
    harness.terminate_agent();
}

#[test]
fn t54_while_everything_is_refused_nothing_goes_to_the_quarantine() {
    let containers = tempfile::tempdir().unwrap();
    let mut harness = Harness::new(containers.path(), &["*"]);
    harness.add_fault(Fault::new(FaultKind::Status(400)));
    let mut log = DockerLog::create(containers.path(), "app", Rotation::NONE).unwrap();
    let lines: Vec<String> = (10..30).map(|n| format!("line {n}")).collect();
    lines.iter().for_each(|line| log.say(line).unwrap());
    harness.start_agent();
    // The body, its halves, and so on down to each of twenty entries.
    harness.wait_for_status("every entry to be tried", |_| {
        harness.emulator().faults()[0].served >= 39
    });
    assert_eq!(
        text(&quarantine(&harness, &["list"])),
        "nothing was refused\n"
    );
    harness.emulator().clear_faults();
    harness.kill_agent();
    harness.start_agent();
    harness.assert_arrived("app", &lines);
    harness.terminate_agent();
}
