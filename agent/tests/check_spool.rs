//! `platform-agent check` on the spool: its folder, its room, what is in it.

#![allow(clippy::unwrap_used)]

mod harness;

use std::fs;
use std::process::Command;

use serde_json::Value;

use harness::permission::set_mode;
use harness::{BINARY, Harness};

/// What the first release wrote.
const SEGMENT: &[u8] = include_bytes!("fixtures/spool-v1");

/// A harness with a spool folder, and no agent.
fn bench() -> (tempfile::TempDir, Harness) {
    let containers = tempfile::tempdir().unwrap();
    let harness = Harness::new(containers.path(), &["*"]);
    harness.set("limits", "min_free", "\"0\"");
    let folder = harness.dir().join("state/spool");
    fs::create_dir_all(&folder).unwrap();
    set_mode(&folder, 0o700);
    (containers, harness)
}

/// Verdict, sentence, evidence and next step of each finding about the spool.
fn findings(harness: &Harness) -> Vec<[String; 4]> {
    let mut command = Command::new(BINARY);
    command.args(["check", "--json", "--no-send", "--config"]);
    let output = command.arg(harness.config()).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let about = findings.filter(|finding| finding["check"] == "spool");
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    about
        .map(|it| ["verdict", "what", "evidence", "next"].map(|key| text(it, key)))
        .collect()
}

fn only(harness: &Harness) -> [String; 4] {
    let found = findings(harness);
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

#[test]
fn a_spool_with_room_is_as_it_should_be_and_one_that_is_off_is_said_to_be() {
    let (_containers, harness) = bench();
    fs::write(
        harness.dir().join("state/spool/0000000000000001.spool"),
        SEGMENT,
    )
    .unwrap();
    set_mode(
        &harness.dir().join("state/spool/0000000000000001.spool"),
        0o600,
    );
    let [verdict, _, evidence, _] = only(&harness);
    assert_eq!(verdict, "ok");
    assert!(evidence.starts_with("1 batches of "), "{evidence}");
    harness.set("spool", "max_bytes", "\"0\"");
    let [verdict, what, evidence, next] = only(&harness);
    assert_eq!(verdict, "note");
    assert!(what.contains("is off") && next.contains("spool.max_bytes"));
    assert!(evidence.starts_with("1 batches of "), "{evidence}");
}

#[test]
fn t58_a_disk_without_the_room_for_the_spool_is_a_warning() {
    let (_containers, harness) = bench();
    harness.set("spool", "max_bytes", "\"1TiB\"");
    let [verdict, what, evidence, next] = only(&harness);
    assert_eq!(verdict, "warning");
    assert!(what.contains("less room than spool.max_bytes"), "{what}");
    assert!(evidence.contains("1.0 TiB"), "{evidence}");
    assert!(next.contains("limits.min_free"), "{next}");
    let text = fs::read_to_string(harness.config()).unwrap();
    let text = text.replace("min_free = \"0\"", "min_free = \"100%\"");
    fs::write(harness.config(), text).unwrap();
    let [verdict, what, ..] = only(&harness);
    assert_eq!(verdict, "warning");
    assert!(what.contains("below limits.min_free"), "{what}");
}

#[test]
fn a_spool_that_others_may_read_is_a_warning_and_one_that_is_no_folder_an_error() {
    let (_containers, harness) = bench();
    let folder = harness.dir().join("state/spool");
    set_mode(&folder, 0o755);
    let [open, room] = &findings(&harness)[..] else {
        panic!("{:?}", findings(&harness));
    };
    assert_eq!((open[0].as_str(), room[0].as_str()), ("warning", "ok"));
    assert!(
        open[2].contains("0755") && open[3].contains("chmod"),
        "{open:?}"
    );
    fs::remove_dir(&folder).unwrap();
    fs::write(&folder, "").unwrap();
    let [verdict, what, ..] = only(&harness);
    assert_eq!(
        (verdict.as_str(), what.as_str()),
        ("error", "is not a folder")
    );
}

#[test]
fn t58_a_damaged_batch_is_named_before_the_agent_runs() {
    let (_containers, harness) = bench();
    let path = harness.dir().join("state/spool/000000000000000a.spool");
    fs::write(&path, &SEGMENT[..SEGMENT.len() - 1]).unwrap();
    set_mode(&path, 0o600);
    let found = findings(&harness);
    assert_eq!(found[0][0], "warning");
    assert!(
        found[0][2].contains("000000000000000a.spool: the segment is damaged"),
        "{found:?}"
    );
    assert!(path.exists(), "a check changes nothing");
}
