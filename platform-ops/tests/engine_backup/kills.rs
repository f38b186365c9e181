//! Runs that are ended at any moment: what they leave is cleaned by the next one, and nothing of a
//! good set is lost.

use std::time::Duration;

use crate::bucket::{BUCKET, Cloud, cloud};
use crate::host::docker;
use crate::setup::Platform;

/// Larger than one part, and no compressor makes it smaller.
pub const NOISE: &str = "set statement_timeout = 0; create table public.noise as \
    select gen_random_uuid()::text || gen_random_uuid() as t from generate_series(1, 700000);";
const LIMIT: Duration = Duration::from_secs(600);
const SESSIONS: &str =
    "select count(*) from pg_stat_activity where application_name like 'platform-ops:%'";

/// How far a run has come.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// It has noted its set, before the first object.
    Begun,
    /// Parts of a dump are under way.
    Parts,
    /// So many of its objects are in the bucket.
    Objects(usize),
    /// Its drill has a container.
    Drill,
}

fn begun(platform: &Platform) -> Vec<String> {
    let text = platform.host.read("data/platform-ops/backup.json");
    let journal: serde_json::Value = serde_json::from_str(&text).unwrap();
    let begun = journal["begun"].as_array().unwrap();
    begun
        .iter()
        .map(|begun| begun["set"].as_str().unwrap().to_owned())
        .collect()
}

fn is_reached(platform: &Platform, cloud: &Cloud, stage: Stage, known: &[String]) -> bool {
    let begun = begun(platform);
    let Some(set) = begun.iter().find(|set| !known.contains(set)) else {
        return false;
    };
    let objects = cloud.emulator.objects();
    match stage {
        Stage::Begun => true,
        Stage::Parts => objects.open_uploads(BUCKET) > 0,
        Stage::Objects(count) => {
            let names = objects.names(BUCKET);
            names.iter().filter(|name| name.contains(set)).count() >= count
        }
        Stage::Drill => {
            let label = format!("label=platform-ops.drill={set}");
            !docker(&["ps", "-q", "--filter", &label]).out.is_empty()
        }
    }
}

/// Starts a run and sends it a signal at a stage; how it ended.
fn signal_at(platform: &Platform, cloud: &Cloud, stage: Stage, signal: &str) -> Option<i32> {
    let known = begun(platform);
    let mut child = platform.host.spawn(&["backup", "create"]);
    fixtures::wait::until("the stage", LIMIT, || {
        let has_ended = child.try_wait()?.is_some();
        let reached = has_ended || is_reached(platform, cloud, stage, &known);
        Ok(reached.then_some(()))
    })
    .unwrap();
    let id = child.id().to_string();
    // It may have ended meanwhile.
    let _ = std::process::Command::new("kill")
        .args([format!("-{signal}"), id])
        .status();
    child.wait().unwrap().code()
}

fn sets(platform: &Platform) -> Vec<String> {
    let list = platform.ops(&["backup", "list", "--json"]).ok().json();
    let sets = list["sets"].as_array().unwrap();
    sets.iter()
        .map(|set| set["set"].as_str().unwrap().to_owned())
        .collect()
}

fn no_session_is_left(platform: &Platform) {
    fixtures::wait::until("no session of a run", LIMIT, || {
        Ok((platform.ask("postgres", SESSIONS) == "0").then_some(()))
    })
    .unwrap();
}

/// T25: no lock outlives its run, neither here nor in the bucket, and what a killed run left is gone
/// after the next one.
#[test]
fn t25_what_a_killed_run_leaves_is_cleaned_by_the_next() {
    let platform = Platform::new();
    let cloud = cloud(&platform);
    platform.sql("trading_db", NOISE);
    let good = platform.create(&[]);
    let stages = [
        Stage::Begun,
        Stage::Parts,
        Stage::Objects(2),
        Stage::Objects(5),
        Stage::Drill,
    ];
    for stage in stages {
        signal_at(&platform, &cloud, stage, "KILL");
        let sets = sets(&platform);
        assert!(sets.contains(&good), "{stage:?}");
    }
    let last = platform.create(&["--no-drill"]);
    let sets = sets(&platform);
    assert!(sets.contains(&good) && sets.contains(&last), "{sets:?}");
    let objects = cloud.emulator.objects();
    assert_eq!(objects.open_uploads(BUCKET), 0);
    for name in objects.names(BUCKET) {
        let set = name.split('/').nth(1).unwrap().to_owned();
        assert!(sets.contains(&set), "{name} is of no set");
    }
    for set in &sets {
        platform.ops(&["backup", "verify", set]).ok();
        let label = format!("label=platform-ops.drill={set}");
        assert_eq!(docker(&["ps", "-aq", "--filter", &label]).ok().out, "");
    }
    assert_eq!(begun(&platform), [] as [String; 0]);
    no_session_is_left(&platform);
}

/// T07: the engine keeps a program running whose client is gone, and its backend with it.
#[test]
fn t07_a_run_that_is_asked_to_end_leaves_no_program_and_no_backend() {
    let platform = Platform::new();
    let cloud = cloud(&platform);
    platform.sql("trading_db", NOISE);
    platform.create(&["--no-drill"]);
    let code = signal_at(&platform, &cloud, Stage::Parts, "TERM");
    assert_eq!(code, Some(130));
    no_session_is_left(&platform);
    let container = platform.host.container("postgres");
    fixtures::wait::until("no program of the run", LIMIT, || {
        let top = docker(&["top", &container, "-eo", "pid,args"]).out;
        Ok((!top.contains("pg_dump")).then_some(()))
    })
    .unwrap();
    // It cleaned up after itself as far as it could; the rest is the next run's.
    assert_eq!(cloud.emulator.objects().open_uploads(BUCKET), 0);
    assert_eq!(sets(&platform).len(), 1);
}
