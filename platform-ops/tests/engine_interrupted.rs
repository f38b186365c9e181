//! A kill or Ctrl-C between any two steps of init, up and adopt: the next run finishes.
//!
//! Some steps by chance at each run, the seed is printed; all of them with PLATFORM_OPS_EVERY_STEP
//! set, as scripts/soak does.

#![allow(clippy::unwrap_used)]

mod by_hand;
mod host;

use std::collections::BTreeSet;
use std::time::SystemTime;

use by_hand::{by_hand, compose_up};
use host::{Host, docker, signal_after};

/// Steps to be killed at, of so many: the first, the last, and others by chance.
fn some_steps(of: usize, count: usize) -> BTreeSet<usize> {
    if std::env::var_os("PLATFORM_OPS_EVERY_STEP").is_some() {
        return (1..=of).collect();
    }
    let nanos = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let mut seed = usize::try_from(nanos & 0xffff_ffff).unwrap();
    println!("seed {seed}");
    let mut steps = BTreeSet::from([1, of]);
    while steps.len() < count.min(of) {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        steps.insert(1 + (seed >> 33) % of);
    }
    println!("steps {steps:?} of {of}");
    steps
}

/// How many steps the plan of a command has.
fn count_steps(plan: &serde_json::Value) -> usize {
    plan["steps"].as_array().unwrap().len()
}

/// What ends a run at a step, and what it may end with.
fn stop(host: &Host, steps: usize, signal: &str, arguments: &[&str]) {
    let code = signal_after(host, steps, signal, || host.spawn(arguments));
    // A last step may be done before the signal is seen.
    let ended = match signal {
        "KILL" => code.is_none() || code == Some(0),
        _ => code == Some(130) || code == Some(0),
    };
    assert!(ended, "{signal} at step {steps}: {code:?}");
}

#[test]
fn init_and_up_go_on_after_a_kill_or_an_interrupt_at_any_step() {
    let host = Host::new();
    let settings: Vec<String> = host
        .settings()
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let mut init = vec!["init"];
    for setting in &settings {
        init.extend(["--set", setting]);
    }
    let steps = count_steps(&host.init(&["--dry-run", "--json"]).ok().json());
    for step in some_steps(steps, 6) {
        let _ = std::fs::remove_dir_all(host.root());
        docker(&["network", "rm", &host.network()]);
        let signal = if step % 3 == 0 { "INT" } else { "KILL" };
        stop(&host, step, signal, &init);
        host.init(&[]).ok();
        assert!(host.ops(&["init"]).ok().out.contains("nothing to do"));
    }
    let plan = host.ops(&["up", "--dry-run", "--json"]).ok().json();
    let changing = plan["steps"].as_array().unwrap();
    // Steps that only look are not in the audit log.
    let changing = changing.iter().filter(|step| step["effect"] != "check");
    for step in 1..=changing.count() {
        for signal in ["KILL", "INT"] {
            host.ops(&["down", "--yes"]).ok();
            stop(&host, step, signal, &["up"]);
            host.ops(&["up", "--yes"]).ok();
            assert!(host.ops(&["up"]).ok().out.contains("nothing to do"));
        }
    }
}

#[test]
fn a_service_that_is_being_taken_over_is_in_the_end_taken_whole() {
    let host = by_hand(&["redis"]);
    let text = |path: &str| std::fs::read_to_string(host.path(path)).unwrap();
    host.set_env("POSTGRES_USER=platform_admin");
    host.set_env("POSTGRES_PASSWORD=${DB_ADMIN_PASSWORD}");
    host.ops(&["adopt", "--network", &host.network()]).ok();
    by_hand::redis(&host, &["set", "kept", "1"]);
    let adopted = text("config/platform.env");
    let take = ["adopt", "--take", "redis", "--yes"];
    let plan = host
        .ops(&["adopt", "--take", "redis", "--dry-run", "--json"])
        .ok();
    for step in some_steps(count_steps(&plan.json()), 3) {
        let signal = if step % 2 == 0 { "INT" } else { "KILL" };
        stop(&host, step, signal, &take);
        finish(&host, &take);
        assert_eq!(by_hand::redis(&host, &["get", "kept"]), "1");
        let up = host.ops(&["up", "redis"]).ok();
        assert!(up.out.contains("nothing to do"), "{}", up.all());
        let filter = format!("name={}", host.container("redis"));
        let all = docker(&["ps", "-a", "--format", "{{.Names}}", "--filter", &filter]).ok();
        assert_eq!(all.out.trim(), host.container("redis"));
        // And back, for the next step.
        docker(&["rm", "--force", &host.container("redis")]).ok();
        std::fs::write(host.path("config/platform.env"), &adopted).unwrap();
        compose_up(&host, &["redis"]);
        by_hand::wait_for_redis(&host);
    }
}

/// The same command finishes; `up` starts what was stopped and not yet taken.
fn finish(host: &Host, take: &[&str]) {
    let limit = std::time::Duration::from_secs(120);
    fixtures::wait::until("the service to be taken", limit, || {
        if host.ops(take).code == 0 {
            return Ok(Some(()));
        }
        // The engine may still be stopping the old one, which the killed run had asked for.
        host.ops(&["up", "redis", "--yes"]);
        Ok(None)
    })
    .unwrap();
}
