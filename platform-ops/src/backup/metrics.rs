//! What node_exporter's textfile collector reads: replaced whole, so that it never reads half.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use jiff::Timestamp;

use crate::backup::alarm::{self, Kind};
use crate::backup::journal::Journal;
use crate::backup::schedule::Schedule;
use crate::failure::Failure;
use crate::file::{self, Access};

/// Writes them to `path`, which the collector takes only if it ends in `.prom`.
///
/// # Errors
/// When it does not, or cannot be written.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if path.extension().is_none_or(|extension| extension != "prom") {
        let what = format!("metrics_file {}: it must end in .prom", path.display());
        return Err(Failure::usage(what).into());
    }
    file::replace(path, text.as_bytes(), Access::root(0o644)).context("write the metrics")
}

/// The text exposition format, version 0.0.4.
pub fn text(journal: &Journal, schedule: &Schedule, now: Timestamp) -> String {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, values: &[(&str, Option<i64>)]| {
        // A time that is not known is left out: 0 would be 1970.
        let known: Vec<_> = values
            .iter()
            .filter_map(|(labels, value)| Some((labels, (*value)?)))
            .collect();
        if known.is_empty() {
            return;
        }
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP platform_ops_backup_{name} {help}");
        let _ = writeln!(text, "# TYPE platform_ops_backup_{name} gauge");
        for (labels, value) in known {
            let _ = writeln!(text, "platform_ops_backup_{name}{labels} {value}");
        }
    };
    let attempt = journal.attempt.as_ref();
    let made = journal.made.as_ref();
    let store = journal.store.as_ref();
    let seconds = |at: Timestamp| at.as_second();
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    gauge(
        "last_attempt_timestamp_seconds",
        "When the last run began.",
        &[("", attempt.map(|attempt| seconds(attempt.at)))],
    );
    gauge(
        "last_attempt_exit_code",
        "Exit code of the last run: 0 proven, 3 with warnings.",
        &[("", attempt.map(|attempt| attempt.exit.into()))],
    );
    gauge(
        "last_attempt_duration_seconds",
        "How long the last run took.",
        &[("", attempt.map(|attempt| attempt.seconds))],
    );
    gauge(
        "failures",
        "Runs since the last set that was made.",
        &[("", Some(journal.failures.into()))],
    );
    gauge(
        "last_set_timestamp_seconds",
        "When the snapshots of the last set were opened.",
        &[("", made.map(|made| seconds(made.created)))],
    );
    gauge(
        "last_set_bytes",
        "Stored bytes of the last set.",
        &[("", made.map(|made| number(made.bytes)))],
    );
    gauge(
        "last_drill_timestamp_seconds",
        "When a drill last restored a whole set, with any key and with the one kept elsewhere.",
        &[
            (
                "{key=\"any\"}",
                journal.proven.as_ref().map(|seen| seconds(seen.at)),
            ),
            (
                "{key=\"escrow\"}",
                journal.escrow.as_ref().map(|seen| seconds(seen.at)),
            ),
        ],
    );
    gauge(
        "sets",
        "Sets in the store, and those that a drill has proven.",
        &[
            (
                "{proven=\"no\"}",
                store.map(|store| number((store.sets - store.proven.min(store.sets)) as u64)),
            ),
            (
                "{proven=\"yes\"}",
                store.map(|store| number(store.proven as u64)),
            ),
        ],
    );
    gauge(
        "store_bytes",
        "Bytes below the store's prefix.",
        &[("", store.map(|store| number(store.bytes)))],
    );
    let alarms = alarm::alarms(journal, schedule, now);
    let is_on = |kind| Some(i64::from(alarms.iter().any(|alarm| alarm.kind == kind)));
    gauge(
        "alarm",
        "1 where something is wrong by the limits of backup.toml, when this was written.",
        &[
            ("{kind=\"failed\"}", is_on(Kind::Failed)),
            ("{kind=\"stale\"}", is_on(Kind::Stale)),
            ("{kind=\"undrilled\"}", is_on(Kind::Undrilled)),
            ("{kind=\"escrow\"}", is_on(Kind::Escrow)),
            ("{kind=\"size\"}", is_on(Kind::Size)),
        ],
    );
    text
}
