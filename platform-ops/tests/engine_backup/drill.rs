//! Drills that are not held say nothing of the set.

use std::process::Stdio;

use jiff::{Timestamp, ToSpan as _, ZonedDateTime};

use crate::host::{Run, docker};
use crate::setup::Platform;

/// Hours that begin so long after now, as `--window` takes them.
fn window_in(hours: i64) -> String {
    let begin = ZonedDateTime::now().saturating_add(hours.hours());
    let end = begin.saturating_add(1.hour());
    format!("{}-{}", begin.strftime("%H:%M"), end.strftime("%H:%M"))
}

fn proofs(platform: &Platform) -> serde_json::Value {
    platform.ops(&["backup", "show", "--json"]).ok().json()["proofs"].clone()
}

#[test]
fn a_drill_begins_within_its_window_only() {
    let platform = Platform::new();
    platform.create(&["--no-drill"]);
    let key = platform.key_argument();
    let drill = ["backup", "drill", "latest", "--identity", &key];
    let later = window_in(2);
    let refused = platform.ops(&[&drill[..], &["--window", &later]].concat());
    assert_eq!(refused.code, 4, "{}", refused.all());
    let opens = &later[..5];
    assert!(
        refused.err.contains("the next window begins at"),
        "{}",
        refused.err
    );
    assert!(refused.err.contains(opens), "{}", refused.err);
    // Without hours, those of [schedule].
    let (first, store) = (platform.recipients(), platform.store());
    platform.configure(&format!(
        "{first}\ndirectory = {store:?}\n[schedule]\nwindow = {later:?}\ntrading_hours = []\n"
    ));
    let refused = platform.ops(&[&drill[..], &["--window"]].concat());
    assert_eq!(refused.code, 4, "{}", refused.all());
    let wrong = platform.ops(&["backup", "drill", "--window", "latest"]);
    assert_eq!(wrong.code, 2, "{}", wrong.all());
    assert!(wrong.err.contains("02:00-05:00"), "{}", wrong.err);
    assert_eq!(proofs(&platform), serde_json::json!([]));
    platform
        .ops(&[&drill[..], &["--window", "00:00-24:00"]].concat())
        .ok();
    assert_eq!(proofs(&platform).as_array().unwrap().len(), 1);
}

/// The host is slow, the set as good as before: no proof says otherwise.
#[test]
fn a_container_that_does_not_get_ready_is_no_fault_of_the_set() {
    let platform = Platform::new();
    let set = platform.create(&["--no-drill"]);
    let key = platform.key_argument();
    let drill = ["backup", "drill", "latest", "--identity", &key];
    let slow = platform.ops(&[&drill[..], &["--ready-max", "0s"]].concat());
    assert_eq!(slow.code, 13, "{}", slow.all());
    assert!(
        slow.err.contains("did not get ready in 0 s"),
        "{}",
        slow.err
    );
    assert_eq!(proofs(&platform), serde_json::json!([]));
    let label = format!("label=platform-ops.drill={set}");
    let left = docker(&["ps", "-aq", "--filter", &label]).ok();
    assert_eq!(left.out, "");
    // It is told until a drill succeeds.
    let alarms = || platform.ops(&["backup", "schedule", "show", "--json"]).out;
    assert!(alarms().contains("did not get ready"), "{}", alarms());
    // Too little memory for the server is the host's fault as well; it may hang for want of it.
    let small = ["--memory", "16MiB", "--ready-max", "10s"];
    let small = platform.ops(&[&drill[..], &small].concat());
    assert_eq!(small.code, 13, "{}", small.all());
    assert_eq!(proofs(&platform), serde_json::json!([]));
    platform.ops(&drill).ok();
    assert!(!alarms().contains("did not get ready"), "{}", alarms());
}

/// A zone, as the variable TZ takes it, where that hour begins so many seconds from now.
fn zone_before(hour: i64, seconds: i64) -> String {
    let west = Timestamp::now().as_second() + seconds - hour * 3600;
    let west = west.rem_euclid(24 * 3600);
    let (hours, minutes) = (west / 3600, west / 60 % 60);
    format!("<there>{hours:02}:{minutes:02}:{:02}", west % 60)
}

/// One of its databases takes longer to restore than any window lasts.
#[test]
fn a_drill_is_stopped_when_its_window_ends_and_proves_nothing() {
    let platform = Platform::new();
    let here = "select system_identifier from pg_control_system()";
    let live = platform.ask("postgres", here);
    platform.sql(
        "trading_db_test",
        &format!(
            "create materialized view takes_an_hour as \
             select pg_sleep(3600)::text where ({here}) <> {live};"
        ),
    );
    let set = platform.create(&["--no-drill"]);
    let key = platform.key_argument();
    let drill = ["backup", "drill", "latest", "--identity", &key];
    let child = platform
        .host
        .command(&[&drill[..], &["--window", "02:00-05:00"]].concat())
        .env("TZ", zone_before(5, 30))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stopped: Run = child.wait_with_output().unwrap().into();
    assert_eq!(stopped.code, 4, "{}", stopped.all());
    assert!(stopped.err.contains("the window ended"), "{}", stopped.err);
    let label = format!("label=platform-ops.drill={set}");
    assert_eq!(docker(&["ps", "-aq", "--filter", &label]).ok().out, "");
    assert_eq!(proofs(&platform), serde_json::json!([]));
    let alarms = || platform.ops(&["backup", "schedule", "show", "--json"]).out;
    assert!(alarms().contains("the window ended"), "{}", alarms());
    // The set is as good as before.
    let rest = ["--only", "trading_db"];
    platform.ops(&[&drill[..], &rest].concat()).ok();
}
