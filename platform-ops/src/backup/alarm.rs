//! What is wrong with the backups, by what this host knows of them: the same for `doctor`,
//! `status`, metrics and the webhook.

use bytesize::ByteSize;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::backup::journal::{Journal, Seen};
use crate::backup::schedule::{Schedule, local};

const HOUR_SECONDS: i64 = 3600;
const DAY_SECONDS: i64 = 24 * HOUR_SECONDS;
/// So many sets in a row without a drill: `prune` keeps them all.
const UNPROVEN_MAX: usize = 5;

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The last run made no set.
    Failed,
    /// The last set is too old, or there is none.
    Stale,
    /// No drill has proven one for too long.
    Undrilled,
    /// Nobody has tried the key that is kept elsewhere for too long.
    Escrow,
    /// The store grows.
    Size,
}

/// Something is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What it is about.
    pub kind: Kind,
    /// In words, without secrets.
    pub text: String,
}

/// Everything that is wrong at `now`, the worst first.
pub fn alarms(journal: &Journal, schedule: &Schedule, now: Timestamp) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    let mut push = |kind, text| alarms.push(Alarm { kind, text });
    if let Some(attempt) = journal.attempt.as_ref().filter(|_| journal.failures > 0) {
        let error = attempt.error.as_deref().unwrap_or("it was interrupted");
        push(
            Kind::Failed,
            format!(
                "{} in a row made no set, the last at {} (exit {}): {error}",
                count(journal.failures, "run"),
                local(attempt.at),
                attempt.exit
            ),
        );
    }
    let Some(made) = &journal.made else {
        push(Kind::Stale, "no set was ever made here".to_owned());
        return alarms;
    };
    let seconds = |at: Timestamp| now.as_second() - at.as_second();
    if seconds(made.created) > i64::from(schedule.age_hours_max) * HOUR_SECONDS {
        let hours = seconds(made.created) / HOUR_SECONDS;
        let text = format!(
            "the last set is {hours} h old, the limit is {} h: what was written since is what a disaster costs",
            schedule.age_hours_max
        );
        push(Kind::Stale, text);
    }
    let old = |seen: Option<&Seen>, days: u32| match seen {
        None => Some("never".to_owned()),
        Some(seen) if seconds(seen.at) > i64::from(days) * DAY_SECONDS => {
            Some(format!("not for {} days", seconds(seen.at) / DAY_SECONDS))
        }
        Some(_) => None,
    };
    if let Some(when) = old(journal.proven.as_ref(), schedule.drill_days_max) {
        let why = journal.drill_fault.as_deref();
        let why = why.map_or(String::new(), |why| format!("; the last one: {why}"));
        push(
            Kind::Undrilled,
            format!("a drill has restored a set {when}{why}"),
        );
    } else if let Some(fault) = &journal.drill_fault {
        push(Kind::Undrilled, format!("the last drill failed: {fault}"));
    }
    if let Some(when) = old(journal.escrow.as_ref(), schedule.escrow_drill_days_max) {
        push(
            Kind::Escrow,
            format!("a drill has used the key that is kept elsewhere {when}"),
        );
    }
    if let Some(store) = &journal.store {
        let size = ByteSize(store.bytes);
        if store.unproven_since >= UNPROVEN_MAX {
            let text = format!(
                "{} since the last proven one, {size} in all, and none goes before a drill has proven one",
                count(
                    u32::try_from(store.unproven_since).unwrap_or(u32::MAX),
                    "set"
                )
            );
            push(Kind::Size, text);
        } else if let Some(most) = schedule.store_bytes_max.filter(|most| store.bytes > *most) {
            let text = format!("{size} in {}, the limit is {}", store.store, ByteSize(most));
            push(Kind::Size, text);
        }
    }
    alarms
}

fn count(number: u32, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::backup::journal::{Attempt, Made, StoreSeen};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn well() -> Journal {
        let seen = Some(Seen {
            set: "s".to_owned(),
            at: at("2026-03-01T02:10:00Z"),
        });
        Journal {
            made: Some(Made {
                set: "s".to_owned(),
                created: at("2026-03-01T02:00:00Z"),
                bytes: 1,
            }),
            proven: seen.clone(),
            escrow: seen,
            ..Journal::default()
        }
    }

    fn kinds(journal: &Journal, now: &str) -> Vec<Kind> {
        let alarms = alarms(journal, &Schedule::default(), at(now));
        alarms.into_iter().map(|alarm| alarm.kind).collect()
    }

    #[test]
    fn each_age_has_its_alarm() {
        let journal = well();
        assert_eq!(kinds(&journal, "2026-03-02T07:59:00Z"), []);
        assert_eq!(kinds(&journal, "2026-03-02T08:01:00Z"), [Kind::Stale]);
        let week = [Kind::Stale, Kind::Undrilled];
        assert_eq!(kinds(&journal, "2026-03-08T02:11:00Z"), week);
        let season = [Kind::Stale, Kind::Undrilled, Kind::Escrow];
        assert_eq!(kinds(&journal, "2026-05-30T02:11:00Z"), season);
        assert_eq!(
            kinds(&Journal::default(), "2026-03-01T00:00:00Z"),
            [Kind::Stale]
        );
    }

    #[test]
    fn a_failure_is_told_until_a_set_is_made() {
        let mut journal = well();
        let attempt = |exit, error: Option<&str>| Attempt {
            at: at("2026-03-02T02:00:00Z"),
            seconds: 1,
            exit,
            error: error.map(str::to_owned),
        };
        journal.ended(attempt(13, Some("no route")), None);
        journal.ended(attempt(13, Some("no route")), None);
        let found = alarms(&journal, &Schedule::default(), at("2026-03-02T03:00:00Z"));
        assert_eq!(found[0].kind, Kind::Failed);
        assert!(
            found[0].text.starts_with("2 runs in a row"),
            "{}",
            found[0].text
        );
        assert!(found[0].text.ends_with("no route"), "{}", found[0].text);
        journal.ended(attempt(0, None), well().made);
        assert_eq!(kinds(&journal, "2026-03-02T03:00:00Z"), []);
    }

    /// Where no drill can be held nothing is pruned, and the bill grows.
    #[test]
    fn a_store_that_nobody_drills_is_alarmed_by_its_size() {
        let mut journal = well();
        let mut store = StoreSeen {
            at: at("2026-03-01T03:00:00Z"),
            store: "oci://backups/".to_owned(),
            sets: 9,
            proven: 4,
            bytes: 5 << 30,
            unproven_since: 5,
        };
        journal.store = Some(store.clone());
        assert_eq!(kinds(&journal, "2026-03-01T03:00:00Z"), [Kind::Size]);
        store.unproven_since = 0;
        journal.store = Some(store);
        assert_eq!(kinds(&journal, "2026-03-01T03:00:00Z"), []);
        let schedule = Schedule {
            store_bytes_max: Some(4 << 30),
            ..Schedule::default()
        };
        let found = alarms(&journal, &schedule, at("2026-03-01T03:00:00Z"));
        assert!(
            found[0].text.contains("5.0 GiB in oci://backups/"),
            "{}",
            found[0].text
        );
    }
}
