//! Retention over simulated time, with failures.

#![allow(clippy::unwrap_used)]

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;

const DAY_SECONDS: i64 = 24 * 3600;

fn at(day: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T02:00:00Z".parse().unwrap();
    start + SignedDuration::from_secs(day * DAY_SECONDS)
}

fn set(day: i64, proven: bool) -> Candidate {
    Candidate {
        id: format!("set-{day:04}"),
        created: at(day),
        proven,
        system_identifier: "1".to_owned(),
        cluster_bytes: 1_000,
    }
}

fn removed(decision: &Decision) -> Vec<&str> {
    let is_removed = |(_, verdict): &&(String, Verdict)| matches!(verdict, Verdict::Remove(_));
    let removed = decision.verdicts.iter().filter(is_removed);
    removed.map(|(id, _)| id.as_str()).collect()
}

const RULES: Retention = Retention {
    daily: 3,
    weekly: 2,
    monthly: 2,
    yearly: 1,
    floor: 2,
};

#[test]
fn the_newest_of_each_period_stays_with_its_reason() {
    let sets: Vec<Candidate> = (0..60).map(|day| set(day, true)).collect();
    let decision = decide(&sets, RULES);
    let kept: Vec<(&str, Vec<String>)> = decision
        .verdicts
        .iter()
        .filter_map(|(id, verdict)| match verdict {
            Verdict::Keep(why) => Some((id.as_str(), why.clone())),
            Verdict::Remove(_) => None,
        })
        .collect();
    // 2026-03-01 is a Sunday: its week ends with it, and the one before on February 22nd.
    let reasons = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        kept,
        [
            ("set-0052", reasons(&["weekly"])),
            ("set-0057", reasons(&["daily"])),
            (
                "set-0058",
                reasons(&["one of the newest", "daily", "monthly"])
            ),
            (
                "set-0059",
                reasons(&["one of the newest", "daily", "weekly", "monthly", "yearly"])
            ),
        ]
    );
}

/// T19, T20: failing for days does not eat what is proven.
#[test]
fn t19_failed_nights_remove_nothing_that_is_proven() {
    let mut sets: Vec<Candidate> = (0..5).map(|day| set(day, true)).collect();
    sets.extend((5..20).map(|day| set(day, false)));
    let decision = decide(&sets, RULES);
    for (id, verdict) in &decision.verdicts[2..5] {
        assert!(matches!(verdict, Verdict::Keep(_)), "{id}");
    }
    for (id, verdict) in &decision.verdicts[5..] {
        assert!(
            matches!(verdict, Verdict::Keep(_)),
            "{id} may still be proven"
        );
    }
}

/// T02, T16: after something odd, everything stays.
#[test]
fn t16_another_cluster_or_a_small_one_holds_everything() {
    let mut sets: Vec<Candidate> = (0..30).map(|day| set(day, true)).collect();
    sets.push(Candidate {
        system_identifier: "2".to_owned(),
        ..set(30, true)
    });
    let decision = decide(&sets, RULES);
    assert!(decision.held.as_ref().unwrap().contains("cluster changed"));
    assert!(removed(&decision).is_empty());
    sets.push(Candidate {
        system_identifier: "2".to_owned(),
        ..set(31, true)
    });
    assert_eq!(decide(&sets, RULES).held, None);

    let mut sets: Vec<Candidate> = (0..30).map(|day| set(day, true)).collect();
    sets.push(Candidate {
        cluster_bytes: 10,
        ..set(30, false)
    });
    let decision = decide(&sets, RULES);
    assert!(decision.held.as_ref().unwrap().contains("half as large"));
    assert!(removed(&decision).is_empty());
}

#[test]
fn fewer_than_the_floor_hold_everything() {
    let sets = [set(0, true), set(1, false), set(2, false)];
    let decision = decide(&sets, RULES);
    assert!(decision.held.is_some());
    assert!(removed(&decision).is_empty());
}

/// T22: by recorded time, whatever the names are.
#[test]
fn t22_the_order_is_that_of_time() {
    let mut sets: Vec<Candidate> = (0..10).map(|day| set(day, true)).collect();
    for (index, set) in sets.iter_mut().enumerate() {
        set.id = format!("{:02}", 99 - index);
    }
    let decision = decide(&sets, RULES);
    assert_eq!(decision.verdicts.last().unwrap().0, "90");
    assert!(matches!(
        decision.verdicts.last().unwrap().1,
        Verdict::Keep(_)
    ));
}

proptest! {
    /// A month of nights on which backup, drill and prune fail as they like: there is always a
    /// proven set as young as the last success, at least `floor` of them once there were so many,
    /// and none is removed that a rule keeps.
    #[test]
    fn a_month_of_failures_never_loses_what_is_proven(
        nights in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>()), 31),
        floor in 1_usize..4,
    ) {
        let rules = Retention { floor, ..RULES };
        let mut sets: Vec<Candidate> = Vec::new();
        let mut proven_ever = 0;
        let mut last_success = None;
        for (day, (made, drilled, pruned)) in nights.into_iter().enumerate() {
            let day = i64::try_from(day).unwrap();
            if made {
                sets.push(set(day, drilled));
                if drilled {
                    proven_ever += 1;
                    last_success = Some(day);
                }
            }
            if pruned {
                let decision = decide(&sets, rules);
                let gone = removed(&decision);
                sets.retain(|set| !gone.contains(&set.id.as_str()));
            }
            let proven: Vec<&Candidate> = sets.iter().filter(|set| set.proven).collect();
            prop_assert_eq!(proven.last().map(|set| set.created), last_success.map(at));
            prop_assert!(proven.len() >= floor.min(proven_ever));
            // Deciding again changes nothing.
            let again = decide(&sets, rules);
            if pruned {
                prop_assert!(removed(&again).is_empty());
            }
        }
    }

    #[test]
    fn nothing_that_a_rule_keeps_is_removed(
        days in prop::collection::btree_set(0_i64..800, 0..80),
        daily in 0_usize..9, weekly in 0_usize..6, monthly in 0_usize..14, yearly in 0_usize..3,
    ) {
        let rules = Retention { daily, weekly, monthly, yearly, floor: 1 };
        let sets: Vec<Candidate> = days.iter().map(|day| set(*day, true)).collect();
        let decision = decide(&sets, rules);
        let gone = removed(&decision);
        let kept = sets.len() - gone.len();
        prop_assert!(kept <= (daily + weekly + monthly + yearly).max(1));
        prop_assert!(kept >= daily.max(monthly.min(1)).min(sets.len()));
        let newest: Vec<&Candidate> = sets.iter().rev().take(daily.max(1)).collect();
        for set in newest {
            prop_assert!(!gone.contains(&set.id.as_str()));
        }
    }
}
