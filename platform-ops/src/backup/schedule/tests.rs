//! The decision over times of every kind.

#![allow(clippy::unwrap_used)]

use jiff::ZonedDateTime;
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> ZonedDateTime {
    text.parse().unwrap()
}

fn schedule(text: &str) -> Schedule {
    toml::from_str(text).unwrap()
}

#[test]
fn a_run_begins_in_its_window_once() {
    let plan = Schedule::default();
    let now = at("2026-03-03T02:00:10[Europe/Berlin]");
    let yesterday = at("2026-03-02T02:00:10[Europe/Berlin]").timestamp();
    assert_eq!(plan.due(&now, Some(yesterday)), Due::Now { missed: false });
    assert_eq!(plan.due(&now, None), Due::Now { missed: false });
    let next = at("2026-03-04T02:00:00[Europe/Berlin]");
    assert_eq!(plan.due(&now, Some(now.timestamp())), Due::No { next });
    // Failed at two, tried again at three.
    let later = at("2026-03-03T03:00:00[Europe/Berlin]");
    assert_eq!(
        plan.due(&later, Some(yesterday)),
        Due::Now { missed: false }
    );
}

/// A host that was off at night makes up for it, but not while it trades.
#[test]
fn a_missed_run_waits_for_the_end_of_trading_hours() {
    let plan = Schedule::default();
    let last = Some(at("2026-03-02T02:00:10[Europe/Berlin]").timestamp());
    let early = at("2026-03-03T07:10:00[Europe/Berlin]");
    assert_eq!(plan.due(&early, last), Due::Now { missed: true });
    let busy = at("2026-03-03T08:00:00[Europe/Berlin]");
    let until = at("2026-03-03T22:00:00[Europe/Berlin]");
    assert_eq!(
        plan.due(&busy, last),
        Due::Held {
            until: until.clone()
        }
    );
    assert_eq!(plan.due(&until, last), Due::Now { missed: true });
    // Nobody trades on a Saturday.
    let last = Some(at("2026-03-06T02:00:10[Europe/Berlin]").timestamp());
    let saturday = at("2026-03-07T12:00:00[Europe/Berlin]");
    assert_eq!(plan.due(&saturday, last), Due::Now { missed: true });
}

#[test]
fn windows_and_trading_hours_may_run_past_midnight() {
    let plan = schedule(
        "window = \"23:30-01:30\"\ntrading_hours = [\"Sun-Thu 22:00-23:00\", \"Fri 18:00-24:00\"]",
    );
    plan.check().unwrap_err();
    let plan = schedule("window = \"23:30-01:30\"\ntrading_hours = [\"Mon-Fri 02:00-21:00\"]");
    plan.check().unwrap();
    let last = Some(at("2026-03-02T23:45:00[UTC]").timestamp());
    let now = at("2026-03-04T00:30:00[UTC]");
    assert_eq!(plan.due(&now, last), Due::Now { missed: false });
    let done = Some(at("2026-03-03T23:31:00[UTC]").timestamp());
    assert!(matches!(plan.due(&now, done), Due::No { .. }));
    let over_night: Trading = "Fri 22:00-04:00".parse().unwrap();
    assert!(over_night.contains(at("2026-03-07T03:59:00[UTC]").datetime()));
    assert!(!over_night.contains(at("2026-03-08T03:59:00[UTC]").datetime()));
    assert!(!over_night.contains(at("2026-03-06T03:59:00[UTC]").datetime()));
}

/// On the night that has no 02:00 the window begins at 03:00, and one night has one run.
#[test]
fn t59_clocks_that_go_forward_or_back_make_no_run_twice_and_skip_none() {
    let plan = Schedule::default();
    for (day, runs_at) in [
        ("2026-03-29", "2026-03-29T03:00:00+02:00[Europe/Berlin]"),
        ("2026-10-25", "2026-10-25T02:00:00+02:00[Europe/Berlin]"),
    ] {
        let mut last = at(&format!("{day}T00:00:00[Europe/Berlin]"))
            .checked_sub(1.day())
            .unwrap()
            .with()
            .hour(2)
            .build()
            .unwrap()
            .timestamp();
        let mut runs = Vec::new();
        let mut now = at(&format!("{day}T00:00:00[Europe/Berlin]"));
        for _ in 0..20 * 60 {
            if let Due::Now { .. } = plan.due(&now, Some(last)) {
                last = now.timestamp();
                runs.push(now.clone());
            }
            now = now.checked_add(1.minute()).unwrap();
        }
        assert_eq!(runs, [at(runs_at)], "{day}");
    }
}

/// A drill may begin in its window only, and ends with it.
#[test]
fn a_window_says_until_when_it_is_open_or_when_it_opens() {
    let window: Window = "23:30-01:30".parse().unwrap();
    let open = |until: &str| Opening::Open {
        until: Some(at(until)),
    };
    let closed = |next: &str| Opening::Closed { next: at(next) };
    for (now, wanted) in [
        ("2026-03-03T23:30:00[UTC]", open("2026-03-04T01:30:00[UTC]")),
        ("2026-03-04T01:29:59[UTC]", open("2026-03-04T01:30:00[UTC]")),
        (
            "2026-03-04T01:30:00[UTC]",
            closed("2026-03-04T23:30:00[UTC]"),
        ),
        (
            "2026-03-04T23:29:59[UTC]",
            closed("2026-03-04T23:30:00[UTC]"),
        ),
    ] {
        assert_eq!(window.opening(&at(now)), wanted, "{now}");
    }
    let all_day: Window = "00:00-24:00".parse().unwrap();
    let now = at("2026-03-03T23:59:59[UTC]");
    assert_eq!(all_day.opening(&now), Opening::Open { until: None });
    // On the night that has no 02:00 the window opens at 03:00.
    let night: Window = "02:00-05:00".parse().unwrap();
    let before = at("2026-03-29T01:59:00[Europe/Berlin]");
    let opens = closed("2026-03-29T03:00:00[Europe/Berlin]");
    assert_eq!(night.opening(&before), opens);
}

#[test]
fn what_is_no_window_is_refused_with_an_example() {
    for text in ["02:00", "2-5", "25:00-26:00", ""] {
        let error = text.parse::<Window>().unwrap_err();
        assert!(error.contains("02:00-05:00"), "{error}");
    }
    for text in ["08:00-22:00", "Mo-Fr 08:00-22:00", "Mon-Fri"] {
        let error = text.parse::<Trading>().unwrap_err();
        assert!(error.contains("Mon-Fri"), "{error}");
    }
    let error = schedule("window = \"07:00-09:00\"").check().unwrap_err();
    assert!(
        error.contains("07:00-09:00") && error.contains("Mon-Fri 08:00-22:00"),
        "{error}"
    );
}

/// T59: a log that names one zone only is read wrongly.
#[test]
fn t59_times_are_told_in_the_hosts_zone_and_in_utc() {
    let text = both_zones(&at("2026-07-01T02:00:00[Europe/Berlin]"));
    assert_eq!(text, "2026-07-01 02:00 CEST (2026-07-01 00:00 UTC)");
    assert_eq!(
        both_zones(&at("2026-07-01T02:00:00[UTC]")),
        "2026-07-01 02:00 UTC"
    );
}

proptest! {
    /// A month of ticks by a timer whose host is off at times: no run begins in trading hours, none
    /// twice a night, and none is left out once the host was on outside of them.
    #[test]
    fn a_month_of_ticks_misses_nothing_and_never_trades(
        off in prop::collection::vec(any::<bool>(), 31 * 24),
        offset in 0_i64..60,
    ) {
        let plan = Schedule::default();
        let mut last = None;
        let mut now = at("2026-03-10T00:00:00[America/New_York]");
        let mut due_since: Option<ZonedDateTime> = None;
        now = now.checked_add(offset.minutes()).unwrap();
        for off in off {
            if !off {
                match plan.due(&now, last) {
                    Due::Now { missed } => {
                        let trades = plan.trading_hours[0].contains(now.datetime());
                        prop_assert!(!trades, "{now}");
                        prop_assert_eq!(missed, !plan.window.contains(now.time()));
                        last = Some(now.timestamp());
                        due_since = None;
                    }
                    Due::Held { until } => {
                        prop_assert!(until > now && until.duration_since(&now).as_hours() <= 14);
                        due_since.get_or_insert(now.clone());
                    }
                    Due::No { next } => {
                        prop_assert!(next > now && due_since.is_none());
                        let age = now.timestamp().duration_since(last.unwrap());
                        prop_assert!(age.as_hours() <= 25, "{now}");
                    }
                }
            }
            now = now.checked_add(1.hour()).unwrap();
        }
    }
}
