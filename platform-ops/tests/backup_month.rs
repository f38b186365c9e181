//! A month, and more, of simulated days: the clock is the test's, the store a folder, and the
//! program's own code makes, drills, lists, decides and notes. Backups, drills and prunes fail as
//! chance has it, each with a seed of its own.

#![allow(clippy::unwrap_used)]

mod sets;

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use platform_ops::backup::alarm::{Kind, alarms};
use platform_ops::backup::journal::{Attempt, Journal, Made};
use platform_ops::backup::listing::{Listing, Proof};
use platform_ops::backup::policy::Retention;
use platform_ops::backup::prune::{self, Removal};
use platform_ops::backup::schedule::{Due, Schedule};
use platform_ops::backup::store::Store;
use platform_ops::plan::Plan;
use sets::{Reach, SOURCE, Source, drill, is_whole, make};

const RULES: Retention = Retention {
    daily: 4,
    weekly: 3,
    monthly: 2,
    yearly: 1,
    floor: 2,
};
const DAYS: i64 = 45;
const SEEDS: u64 = 6;

/// Chance from a seed: splitmix64.
struct Chance(u64);

impl Chance {
    /// 0 to `below` - 1.
    fn number(&mut self, below: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % u64::from(below)) as u32
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.number(100) < percent
    }
}

/// A host and its bucket over time.
struct World {
    store: Store,
    chance: Chance,
    journal: Journal,
    schedule: Schedule,
    /// Every set that a drill has proven, whatever became of it: day and id.
    proven_ever: Vec<(Date, Timestamp, String)>,
    source: Source,
}

fn start() -> Timestamp {
    "2026-01-20T00:00:00Z".parse().unwrap()
}

fn date(at: Timestamp) -> Date {
    at.to_zoned_datetime(TimeZone::UTC).date()
}

impl World {
    /// What the timer starts at `now`; whether a set was proven.
    async fn tick(&mut self, now: Timestamp) -> bool {
        let zoned = now.to_zoned_datetime(TimeZone::UTC);
        let last = self.journal.made.as_ref().map(|made| made.created);
        if !matches!(self.schedule.due(&zoned, last), Due::Now { .. }) {
            return false;
        }
        // Killed, or failed, somewhere on the way: nothing is noted of a kill.
        let reach = match self.chance.number(10) {
            0 => Reach::Objects(self.chance.number(3) as usize),
            1 => Reach::Sum,
            _ => Reach::Whole,
        };
        let set = make(&self.store, now, self.source, reach).await;
        let attempt = |exit| Attempt {
            at: now,
            seconds: 60,
            exit,
            error: None,
        };
        if reach != Reach::Whole {
            if self.chance.percent(50) {
                self.journal.ended(attempt(1), None);
            }
            return false;
        }
        let made = Made {
            set: set.0.clone(),
            created: now,
            bytes: 1,
        };
        self.journal.ended(attempt(0), Some(made));
        let after = now + SignedDuration::from_mins(20);
        let proven = match self.chance.number(8) {
            // No drill can be held, or it is killed before its proof is stored.
            0 => {
                self.journal.drilled(Err("no room"));
                false
            }
            1 => {
                drill(&self.store, &set, after, "run", &["rows differ"]).await;
                false
            }
            _ => {
                drill(&self.store, &set, after, "run", &[]).await;
                self.journal.drilled(Ok(&complete(&set, after)));
                true
            }
        };
        if proven {
            self.proven_ever.push((date(now), now, set.0));
        }
        proven
    }

    /// `prune --apply`, which chance may end after any object.
    async fn prune(&mut self, now: Timestamp) {
        let listing = Listing::read(&self.store).await.unwrap();
        self.journal.observe("store", &listing, now);
        let (_, plan): (_, Plan<Removal>) = prune::plan(&self.store, &listing, RULES, now)
            .await
            .unwrap();
        let mut left = match self.chance.percent(30) {
            true => self.chance.number(12) as usize,
            false => usize::MAX,
        };
        for removal in plan.actions() {
            let Removal::Set { objects, .. } = removal else {
                continue;
            };
            for object in objects {
                if left == 0 {
                    return;
                }
                left -= 1;
                self.store.delete(object).await.unwrap();
            }
        }
    }

    /// What has to be there whatever happened: by the rules, and by nothing of the program.
    fn must_stay(&self, now: Timestamp) -> BTreeMap<String, &'static str> {
        let mut wanted = BTreeMap::new();
        let newest_first = || self.proven_ever.iter().rev();
        for (_, _, set) in newest_first().take(RULES.floor) {
            wanted.insert(set.clone(), "floor");
        }
        type Period = fn(Date) -> (i16, i16);
        let periods: [(&str, usize, Period); 4] = [
            ("daily", RULES.daily, |date| {
                (date.year(), date.day_of_year())
            }),
            ("weekly", RULES.weekly, |date| {
                let week = date.iso_week_date();
                (week.year(), week.week().into())
            }),
            ("monthly", RULES.monthly, |date| {
                (date.year(), date.month().into())
            }),
            ("yearly", RULES.yearly, |date| (date.year(), 0)),
        ];
        for (name, count, period) in periods {
            let mut newest: BTreeMap<(i16, i16), &str> = BTreeMap::new();
            for (day, _, set) in newest_first() {
                newest.entry(period(*day)).or_insert(set);
            }
            for set in newest.values().rev().take(count) {
                wanted.insert((*set).to_owned(), name);
            }
        }
        assert!(now >= start());
        wanted
    }
}

fn complete((set, sum): &(String, String), at: Timestamp) -> Proof {
    let mut proof = Proof::begin(set, sum, "run", at);
    proof.complete = true;
    proof
}

/// What holds at the end of each day.
async fn check(world: &World, now: Timestamp, seed: u64) {
    let listing = Listing::read(&world.store).await.unwrap();
    assert_eq!(listing.broken, [], "seed {seed}, {now}");
    // The newest proven set is the last that a drill has proven: none is lost, however prunes end.
    let newest = listing.sets.iter().rev().find(|set| set.is_proven());
    let promised = world.proven_ever.last().map(|(_, _, set)| set.as_str());
    assert_eq!(newest.map(|set| set.id()), promised, "seed {seed}, {now}");
    for (set, rule) in world.must_stay(now) {
        assert!(
            is_whole(&world.store, &set).await,
            "seed {seed}, {now}: {set} is gone, which {rule} keeps"
        );
    }
    // Whoever asks is told, as soon as the last set is too old.
    let last = world.journal.made.as_ref().map(|made| made.created);
    let hours = last.map_or(i64::MAX, |last| now.duration_since(last).as_hours());
    let told = alarms(&world.journal, &world.schedule, now);
    let is_stale = told.iter().any(|alarm| alarm.kind == Kind::Stale);
    let limit = i64::from(world.schedule.age_hours_max);
    assert!(is_stale || hours <= limit, "seed {seed}, {now}: {hours} h");
    assert!(!is_stale || hours >= limit, "seed {seed}, {now}: {hours} h");
}

#[tokio::test]
async fn t19_t20_a_month_of_failures_keeps_what_is_promised() {
    let mut removed = 0;
    for seed in 0..SEEDS {
        let folder = sets::folder();
        let mut world = World {
            store: Store::Folder(folder.path().to_owned()),
            chance: Chance(seed),
            journal: Journal::default(),
            schedule: Schedule::default(),
            proven_ever: Vec::new(),
            source: SOURCE,
        };
        for day in 0..DAYS {
            let midnight = start() + SignedDuration::from_hours(24 * day);
            // The host is off for a while, on some days all day.
            let off = world.chance.number(40);
            for hour in 0..24 {
                let now = midnight + SignedDuration::from_hours(hour);
                let is_off =
                    i64::from(off) <= hour + 16 && hour < i64::from(off) && off.is_multiple_of(3);
                if !is_off {
                    world.tick(now).await;
                }
            }
            let evening = midnight + SignedDuration::from_hours(23) + SignedDuration::from_mins(30);
            if world.chance.percent(70) {
                world.prune(evening).await;
            }
            check(&world, evening, seed).await;
        }
        let listing = Listing::read(&world.store).await.unwrap();
        assert!(world.proven_ever.len() > 15, "seed {seed}");
        removed += world.proven_ever.len().saturating_sub(listing.sets.len());
    }
    // Where nothing ever goes, nothing was shown.
    assert!(removed > 50, "{removed}");
}

/// An empty cluster in the place of the old one, in the middle of it all, pushes nothing out until
/// as many of its sets are proven as the floor says; a small one neither.
#[tokio::test]
async fn t16_prunes_stop_when_the_cluster_is_another_or_shrank() {
    for other in [
        Source {
            identifier: 8,
            ..SOURCE
        },
        Source {
            bytes: SOURCE.bytes / 3,
            ..SOURCE
        },
    ] {
        let folder = sets::folder();
        let store = Store::Folder(folder.path().to_owned());
        let mut now = start();
        let mut ids = Vec::new();
        for _ in 0..12 {
            let set = make(&store, now, SOURCE, Reach::Whole).await;
            drill(&store, &set, now, "run", &[]).await;
            ids.push(set.0);
            now += SignedDuration::from_hours(24);
        }
        let set = make(&store, now, other, Reach::Whole).await;
        drill(&store, &set, now, "run", &[]).await;
        let listing = Listing::read(&store).await.unwrap();
        let (decision, plan) = prune::plan(&store, &listing, RULES, now).await.unwrap();
        assert!(decision.held.is_some());
        assert_eq!(plan.actions().count(), 0, "{other:?}");
        for id in ids {
            assert!(is_whole(&store, &id).await);
        }
    }
}
