//! Which sets stay: a pure function of what there is. Only proven sets count, and none goes while
//! something looks wrong.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// A cluster that is smaller than this share of an earlier one lost something.
const SHRUNK_PERCENT: u64 = 50;
/// An unfinished set that is older was given up: no backup takes so long.
const UNFINISHED_HOURS_MAX: i64 = 48;

/// How many proven sets stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// The newest of so many days.
    pub daily: usize,
    /// The newest of so many weeks (ISO 8601).
    pub weekly: usize,
    /// The newest of so many months.
    pub monthly: usize,
    /// The newest of so many years.
    pub yearly: usize,
    /// So many of the newest stay whatever the rest says; with fewer, nothing goes.
    pub floor: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            daily: 7,
            weekly: 5,
            monthly: 12,
            yearly: 2,
            floor: 3,
        }
    }
}

impl Retention {
    /// How old the oldest set is that any rule keeps, in days.
    pub fn days(&self) -> u64 {
        let rules = [
            (self.daily, 1),
            (self.weekly, 7),
            (self.monthly, 31),
            (self.yearly, 366),
        ];
        let days = rules.map(|(count, days)| (count as u64).saturating_mul(days));
        days.into_iter().max().unwrap_or(0).max(1)
    }
}

/// A set, as far as the decision needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: String,
    /// When its snapshots were opened.
    pub created: Timestamp,
    /// Whether a drill restored all of it.
    pub proven: bool,
    /// The cluster that it is of.
    pub system_identifier: String,
    /// Bytes of that cluster.
    pub cluster_bytes: u64,
}

/// What becomes of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict", content = "reasons")]
pub enum Verdict {
    /// It stays, for these reasons.
    Keep(Vec<String>),
    /// It goes, for this one.
    Remove(String),
}

/// All verdicts, and why none removes anything, where that is so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// By set, oldest first.
    pub verdicts: Vec<(String, Verdict)>,
    /// Set when something looks wrong: then everything stays.
    pub held: Option<String>,
}

/// Decides over all sets that exist.
pub fn decide(sets: &[Candidate], retention: Retention) -> Decision {
    let mut sets: Vec<&Candidate> = sets.iter().collect();
    sets.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    let held = hold(&sets, retention);
    let proven: Vec<&Candidate> = sets.iter().copied().filter(|set| set.proven).collect();
    let mut reasons = slots(&proven, retention);
    let newest_proven = proven.last().map(|set| set.created);
    let verdicts = sets
        .iter()
        .map(|set| {
            let mut why = reasons.remove(&set.id).unwrap_or_default();
            if !set.proven && newest_proven.is_none_or(|newest| set.created > newest) {
                why.push("newer than every proven set".to_owned());
            }
            if why.is_empty()
                && let Some(held) = &held
            {
                why.push(held.clone());
            }
            let verdict = match (why.is_empty(), set.proven) {
                (false, _) => Verdict::Keep(why),
                (true, true) => Verdict::Remove("no rule keeps it".to_owned()),
                (true, false) => Verdict::Remove("never proven, and newer sets are".to_owned()),
            };
            (set.id.clone(), verdict)
        })
        .collect();
    Decision { verdicts, held }
}

/// Why nothing may go.
fn hold(sets: &[&Candidate], retention: Retention) -> Option<String> {
    let floor = retention.floor.max(1);
    let proven: Vec<&Candidate> = sets.iter().copied().filter(|set| set.proven).collect();
    if proven.len() < floor {
        return Some(format!(
            "{} proven sets, the floor is {floor}",
            proven.len()
        ));
    }
    let newest = sets.last()?;
    let same = |set: &&&Candidate| set.system_identifier == newest.system_identifier;
    let of_this_cluster = proven.iter().filter(same).count();
    if of_this_cluster < floor {
        return Some(format!(
            "the cluster changed, and of the new one only {of_this_cluster} sets are proven"
        ));
    }
    // As long as one of the last few was twice as large, it may be the one that is needed.
    let recent = &proven[proven.len() - floor..];
    let largest = proven
        .iter()
        .rev()
        .take(floor + 1)
        .map(|set| set.cluster_bytes)
        .max()?;
    let fell = recent
        .iter()
        .chain([newest])
        .any(|set| set.cluster_bytes * 100 < largest * SHRUNK_PERCENT);
    fell.then(|| "the databases became less than half as large".to_owned())
}

/// Names the period that a time is in.
type Period = fn(Timestamp) -> (i16, i16);

/// The rules that keep each proven set, by its id.
fn slots(proven: &[&Candidate], retention: Retention) -> BTreeMap<String, Vec<String>> {
    let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for set in proven.iter().rev().take(retention.floor.max(1)) {
        reasons
            .entry(set.id.clone())
            .or_default()
            .push("one of the newest".to_owned());
    }
    let rules: [(&str, usize, Period); 4] = [
        ("daily", retention.daily, |at| {
            let date = at.to_zoned_datetime(TimeZone::UTC).date();
            (date.year(), date.day_of_year())
        }),
        ("weekly", retention.weekly, |at| {
            let week = at.to_zoned_datetime(TimeZone::UTC).date().iso_week_date();
            (week.year(), i16::from(week.week()))
        }),
        ("monthly", retention.monthly, |at| {
            let date = at.to_zoned_datetime(TimeZone::UTC).date();
            (date.year(), i16::from(date.month()))
        }),
        ("yearly", retention.yearly, |at| {
            (at.to_zoned_datetime(TimeZone::UTC).date().year(), 0)
        }),
    ];
    for (name, count, period) in rules {
        let mut last = None;
        let mut left = count;
        for set in proven.iter().rev() {
            let this = period(set.created);
            if last == Some(this) {
                continue;
            }
            if left == 0 {
                break;
            }
            left -= 1;
            last = Some(this);
            reasons
                .entry(set.id.clone())
                .or_default()
                .push(name.to_owned());
        }
    }
    reasons
}

/// Whether an unfinished set that began then was given up.
pub fn is_given_up(began: Timestamp, now: Timestamp) -> bool {
    now.as_second() - began.as_second() > UNFINISHED_HOURS_MAX * 3600
}

#[cfg(test)]
mod tests;
