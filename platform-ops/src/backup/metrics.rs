//! What node_exporter's textfile collector reads: replaced whole, so that it never reads half.

use std::path::Path;

use anyhow::Context as _;
use jiff::Timestamp;

use crate::backup::alarm::{self, Kind};
use crate::backup::journal::{Journal, Seen};
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

/// Series of one name.
struct Family {
    name: &'static str,
    help: &'static str,
    /// Labels and value; a time that is not known is left out, for 0 would be 1970.
    values: Vec<(&'static str, Option<i64>)>,
}

fn single(name: &'static str, help: &'static str, value: Option<i64>) -> Family {
    let values = vec![("", value)];
    Family { name, help, values }
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The text exposition format, version 0.0.4.
pub fn text(journal: &Journal, schedule: &Schedule, now: Timestamp) -> String {
    let mut families = of_runs(journal);
    families.extend(of_sets(journal));
    families.push(of_alarms(journal, schedule, now));
    let mut text = String::new();
    for Family { name, help, values } in families {
        let known = values
            .iter()
            .filter_map(|(labels, value)| Some((labels, (*value)?)));
        let lines: String = known
            .map(|(labels, value)| format!("platform_ops_backup_{name}{labels} {value}\n"))
            .collect();
        if !lines.is_empty() {
            text += &format!(
                "# HELP platform_ops_backup_{name} {help}\n# TYPE platform_ops_backup_{name} gauge\n{lines}"
            );
        }
    }
    text
}

fn of_runs(journal: &Journal) -> Vec<Family> {
    let attempt = journal.attempt.as_ref();
    vec![
        single(
            "last_attempt_timestamp_seconds",
            "When the last run began.",
            attempt.map(|attempt| attempt.at.as_second()),
        ),
        single(
            "last_attempt_exit_code",
            "Exit code of the last run: 0 proven, 3 with warnings.",
            attempt.map(|attempt| attempt.exit.into()),
        ),
        single(
            "last_attempt_duration_seconds",
            "How long the last run took.",
            attempt.map(|attempt| attempt.seconds),
        ),
        single(
            "failures",
            "Runs since the last set that was made.",
            Some(journal.failures.into()),
        ),
    ]
}

fn of_sets(journal: &Journal) -> Vec<Family> {
    let made = journal.made.as_ref();
    let store = journal.store.as_ref();
    let at = |seen: &Option<Seen>| seen.as_ref().map(|seen| seen.at.as_second());
    let unproven = store.map(|store| number(store.sets.saturating_sub(store.proven) as u64));
    vec![
        single(
            "last_set_timestamp_seconds",
            "When the snapshots of the last set were opened.",
            made.map(|made| made.created.as_second()),
        ),
        single(
            "last_set_bytes",
            "Stored bytes of the last set.",
            made.map(|made| number(made.bytes)),
        ),
        Family {
            name: "last_drill_timestamp_seconds",
            help: "When a drill last restored a whole set, with any key and with the one kept elsewhere.",
            values: vec![
                ("{key=\"any\"}", at(&journal.proven)),
                ("{key=\"escrow\"}", at(&journal.escrow)),
            ],
        },
        Family {
            name: "sets",
            help: "Sets in the store, by whether a drill has proven them.",
            values: vec![
                ("{proven=\"no\"}", unproven),
                (
                    "{proven=\"yes\"}",
                    store.map(|store| number(store.proven as u64)),
                ),
            ],
        },
        single(
            "store_bytes",
            "Bytes below the store's prefix.",
            store.map(|store| number(store.bytes)),
        ),
    ]
}

fn of_alarms(journal: &Journal, schedule: &Schedule, now: Timestamp) -> Family {
    let alarms = alarm::alarms(journal, schedule, now);
    let is_on = |kind| Some(i64::from(alarms.iter().any(|alarm| alarm.kind == kind)));
    Family {
        name: "alarm",
        help: "1 where something is wrong by the limits of backup.toml, when this was written.",
        values: vec![
            ("{kind=\"failed\"}", is_on(Kind::Failed)),
            ("{kind=\"stale\"}", is_on(Kind::Stale)),
            ("{kind=\"undrilled\"}", is_on(Kind::Undrilled)),
            ("{kind=\"escrow\"}", is_on(Kind::Escrow)),
            ("{kind=\"size\"}", is_on(Kind::Size)),
        ],
    }
}
