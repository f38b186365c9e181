//! A kill or Ctrl-C between any two steps of init, up, restart, down and adopt: the next run finishes.
//!
//! Some steps by chance at each run, the seed is printed; all of them with PLATFORM_OPS_EVERY_STEP
//! set, as scripts/soak does.

#![allow(clippy::unwrap_used)]

mod by_hand;
mod host;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use by_hand::{by_hand, compose_up};
use host::{Host, docker, signal_after};

const WAIT_MAX: Duration = Duration::from_secs(120);

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
    for command in [["restart", "--yes"], ["down", "--yes"]] {
        let plan = host.ops(&[command[0], "--dry-run", "--json"]).ok();
        for step in some_steps(count_steps(&plan.json()), 2) {
            let signal = if step % 2 == 0 { "INT" } else { "KILL" };
            stop(&host, step, signal, &command);
            host.ops(&["up", "--yes"]).ok();
            assert!(host.ops(&["up"]).ok().out.contains("nothing to do"));
        }
    }
}

/// A service of a hand-made stack, and what it has to serve however its taking went.
struct Taken {
    service: &'static str,
    serves: fn(&Host),
}

#[test]
fn redis_that_is_being_taken_over_is_in_the_end_taken_whole() {
    let host = by_hand(&["redis"]);
    by_hand::redis(&host, &["set", "kept", "1"]);
    let serves = |host: &Host| {
        by_hand::wait_for_redis(host);
        assert_eq!(by_hand::redis(host, &["get", "kept"]), "1");
    };
    let service = "redis";
    Taken { service, serves }.at_each_step(&host);
}

#[test]
fn postgres_that_is_being_taken_over_is_in_the_end_taken_whole() {
    let host = by_hand(&["postgres"]);
    host::wait_for_postgres(&host.container("postgres"));
    let sql = "create table t as select generate_series(1, 100) n";
    host.psql("postgres", sql).ok();
    let serves = |host: &Host| {
        host::wait_for_postgres(&host.container("postgres"));
        let counted = host.psql("postgres", "select count(*) from t").ok();
        assert_eq!(counted.out.trim(), "100");
    };
    let service = "postgres";
    Taken { service, serves }.at_each_step(&host);
}

#[test]
fn pgbouncer_that_is_being_taken_over_is_in_the_end_taken_whole() {
    let host = by_hand(&["postgres", "pgbouncer"]);
    let serves = |host: &Host| {
        let target = format!(
            "host={} port=6432 user=platform_admin dbname=postgres",
            host.container("pgbouncer")
        );
        let password = format!("PGPASSWORD={}", by_hand::ADMIN_PASSWORD);
        let ask = ["psql", "-XAtq", &target, "-c", "select 41 + 1"];
        fixtures::wait::until("the pooler to let in", WAIT_MAX, || {
            let answer = host.client(&password, &ask);
            Ok((answer.out.trim() == "42").then_some(()))
        })
        .unwrap();
    };
    let service = "pgbouncer";
    Taken { service, serves }.at_each_step(&host);
}

impl Taken {
    fn at_each_step(&self, host: &Host) {
        let service = self.service;
        host.set_env("POSTGRES_USER=platform_admin");
        host.set_env("POSTGRES_PASSWORD=${DB_ADMIN_PASSWORD}");
        host.ops(&["adopt", "--network", &host.network()]).ok();
        let adopted = host.read("config/platform.env");
        let take = ["adopt", "--take", service, "--yes"];
        let dry = ["adopt", "--take", service, "--dry-run", "--json"];
        // The engine looks at its health by and by, and what is not healthy is not taken.
        let plan = || {
            fixtures::wait::until("it to be healthy", WAIT_MAX, || {
                let plan = host.ops(&dry);
                Ok((plan.code == 0).then(|| plan.json()))
            })
            .unwrap()
        };
        for step in some_steps(count_steps(&plan()), 3) {
            (self.serves)(host);
            plan();
            let signal = if step % 2 == 0 { "INT" } else { "KILL" };
            stop(host, step, signal, &take);
            self.finish(host, &take);
            (self.serves)(host);
            let up = host.ops(&["up", service]).ok();
            assert!(
                up.out.contains("nothing to do"),
                "step {step}: {}",
                up.all()
            );
            let name = host.container(service);
            let filter = format!("name={name}");
            let all = docker(&["ps", "-a", "--format", "{{.Names}}", "--filter", &filter]).ok();
            assert_eq!(all.out.trim(), name, "step {step}");
            // And back, for the next step.
            docker(&["rm", "--force", &name]).ok();
            std::fs::write(host.path("config/platform.env"), &adopted).unwrap();
            compose_up(host, &[service]);
        }
    }

    /// The same command finishes; `up` starts what was stopped and not yet taken.
    fn finish(&self, host: &Host, take: &[&str]) {
        fixtures::wait::until("the service to be taken", WAIT_MAX, || {
            if host.ops(take).code == 0 {
                return Ok(Some(()));
            }
            // The engine may still be stopping the old one, which the killed run had asked for.
            host.ops(&["up", self.service, "--yes"]);
            Ok(None)
        })
        .unwrap();
    }
}
