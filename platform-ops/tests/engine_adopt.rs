//! From a host set up by hand, as the manual says, to one that the stack runs.

#![allow(clippy::unwrap_used)]

mod by_hand;
mod host;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use by_hand::{
    ADMIN_PASSWORD, REDIS_PASSWORD, TRADING_PASSWORD, by_hand, compose, compose_up, redis,
};
use host::{Host, POSTGRES_IMAGE, REDIS_IMAGE, docker, signal_after};

/// Clients that work through PgBouncer until their time is over.
fn load(host: &Host, seconds: u32) -> Child {
    let script = format!(
        "echo 'select count(*) from t;' > /tmp/s && exec pgbench -n -f /tmp/s -c 4 -j 1 -T {seconds} -h {} -p 6432 -U platform_admin postgres",
        host.container("pgbouncer")
    );
    Command::new("docker")
        .args([
            "run",
            "--rm",
            "--network",
            &host.network(),
            "--env",
            &format!("PGPASSWORD={ADMIN_PASSWORD}"),
            "--name",
            &format!("{}-load", host.prefix),
        ])
        .args(["--entrypoint", "bash", POSTGRES_IMAGE, "-c", &script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// So often a client of Redis counts up.
const COUNT: u32 = 3000;

/// A client of Redis that counts while the others work.
fn count(host: &Host) -> Child {
    let (redis, count) = (host.container("redis"), COUNT.to_string());
    Command::new("docker")
        .args(["run", "--rm", "--network", &host.network()])
        .args(["--env", &format!("REDISCLI_AUTH={REDIS_PASSWORD}")])
        .args(["--name", &format!("{}-count", host.prefix)])
        .args(["--entrypoint", "redis-cli", REDIS_IMAGE, "-e", "-h", &redis])
        .args(["-r", &count, "-i", "0.002", "incr", "counted"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Every answer came, and in order.
fn assert_counted(counting: Child) {
    let counted = counting.wait_with_output().unwrap();
    let counted = String::from_utf8_lossy(&counted.stdout).into_owned();
    let numbers: Vec<String> = (1..=COUNT).map(|number| number.to_string()).collect();
    assert!(
        counted.lines().eq(numbers),
        "a client of Redis had an error"
    );
}

#[test]
fn a_host_by_hand_is_adopted_under_load_and_then_taken_service_by_service() {
    let host = by_hand(&[]);
    host.psql(
        "postgres",
        "create table t as select generate_series(1, 100) n",
    )
    .ok();
    redis(&host, &["set", "kept", "1"]);
    adopted_with_nothing_recreated(&host);
    taken_one_by_one(&host);
}

fn adopted_with_nothing_recreated(host: &Host) {
    let before = host.ids();
    let network = host.network();
    let (load, counting) = (load(host, 8), count(host));
    let plan = host
        .ops(&["adopt", "--network", &network, "--dry-run"])
        .ok();
    assert!(
        plan.out.contains("0 containers recreated"),
        "{}",
        plan.all()
    );
    insta::assert_snapshot!("plan_of_adopt", host.normal(&plan.out));
    let adopted = host.ops(&["adopt", "--network", &network]).ok();
    let output = load.wait_with_output().unwrap();
    let load = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && load.contains("number of failed transactions: 0 "),
        "{load}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_counted(counting);
    assert_eq!(host.ids(), before);
    for secret in [ADMIN_PASSWORD, REDIS_PASSWORD, TRADING_PASSWORD] {
        assert!(!adopted.all().contains(secret) && !plan.all().contains(secret));
    }
    // The secrets stay where they stood: the new keys refer to them.
    assert_eq!(host.env("POSTGRES_PASSWORD"), "${DB_ADMIN_PASSWORD}");
    assert_eq!(host.env("REDIS_PASSWORD"), "${REDIS_PW}");
    assert_eq!(
        host.env("PLATFORM_POSTGRES_DATA"),
        host.path("data/pg").display().to_string()
    );
    assert_eq!(host.env("PLATFORM_PGBOUNCER_POOL_MODE"), "session");
    assert!(host.ops(&["adopt"]).ok().out.contains("nothing to do"));
    // Both ways of starting it change nothing.
    assert!(
        host.ops(&["up"])
            .ok()
            .out
            .contains("0 containers recreated")
    );
    assert!(host.ops(&["up"]).ok().out.contains("nothing to do"));
    compose_up(host, &[]);
    let output = compose(host, "apps/platform", &[]);
    assert!(
        !String::from_utf8_lossy(&output.stderr).contains("Creat"),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(host.ids(), before);
    // What stopped is started as it was.
    docker(&["stop", &host.container("redis")]).ok();
    host.ops(&["up"]).ok();
    assert_eq!(host.ids(), before);
    let doctor = host.ops(&["doctor", "--json"]).json();
    let found = |check: &str| {
        doctor["findings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|finding| finding["check"] == check)
    };
    for check in [
        "secret.exposed",
        "pgbouncer.entrypoint",
        "redis.persistence",
        "container.memory",
    ] {
        assert!(found(check), "{check} was not found: {doctor}");
    }
}

fn taken_one_by_one(host: &Host) {
    let before = host.ids();
    assert_eq!(
        host.ops(&["adopt", "--take", "redis"]).code,
        4,
        "it asks first"
    );
    assert_eq!(host.ids(), before);
    let plan = host.ops(&["adopt", "--take", "redis", "--dry-run"]).ok();
    insta::assert_snapshot!("plan_of_taking_redis", host.normal(&plan.out));
    // Only a dump and no append-only file: a careless start would come up empty.
    let taken = host.ops(&["adopt", "--take", "redis", "--yes"]).ok();
    assert!(taken.err.contains("append-only"), "{}", taken.all());
    assert_eq!(redis(host, &["get", "kept"]), "1");
    assert_eq!(
        redis(host, &["config", "get", "appendonly"]).lines().nth(1),
        Some("yes")
    );
    // A user that platform.env does not know would be locked out.
    let userlist = "echo '\"stranger\" \"x\"' >> /etc/pgbouncer/userlist.txt";
    docker(&["exec", &host.container("pgbouncer"), "bash", "-c", userlist]).ok();
    let refused = host.ops(&["adopt", "--take", "pgbouncer", "--yes"]);
    assert!(
        refused.code == 4 && refused.err.contains("stranger"),
        "{}",
        refused.all()
    );
    docker(&["exec", &host.container("pgbouncer"), "bash", "-c", "sed '/stranger/d' /etc/pgbouncer/userlist.txt > /tmp/u && cat /tmp/u > /etc/pgbouncer/userlist.txt"]).ok();
    host.ops(&["adopt", "--take", "postgres", "--yes"]).ok();
    assert_eq!(
        host.psql("postgres", "select count(*) from t")
            .ok()
            .out
            .trim(),
        "100"
    );
    host.ops(&["adopt", "--take", "pgbouncer", "--yes"]).ok();
    let after = host.ids();
    assert!(
        after
            .iter()
            .zip(&before)
            .all(|(after, before)| after != before),
        "{after:?}"
    );
    let load = load(host, 2).wait_with_output().unwrap();
    assert!(
        load.status.success(),
        "{}",
        String::from_utf8_lossy(&load.stderr)
    );
    assert!(host.ops(&["up"]).ok().out.contains("nothing to do"));
    assert_eq!(host.ids(), after);
    // Started from its old place it must not run twice on the same data.
    let again = compose(host, "apps/postgres-stack", &[]);
    assert!(
        !again.status.success(),
        "the old compose file started something"
    );
    assert_eq!(host.ids(), after);
    let all = docker(&[
        "ps",
        "-a",
        "--format",
        "{{.Names}}",
        "--filter",
        &format!("name={}", host.prefix),
    ])
    .ok()
    .out;
    assert_eq!(all.lines().count(), 3, "{all}");
}

#[test]
fn what_would_lose_data_is_not_taken_and_a_failed_start_brings_the_old_one_back() {
    let host = by_hand(&[]);
    host.psql(
        "postgres",
        "create table t as select generate_series(1, 100) n",
    )
    .ok();
    host.ops(&["adopt", "--network", &host.network()]).ok();
    let before = host.ids();
    // Another data path.
    let text = host.read("config/platform.env");
    std::fs::write(
        host.path("config/platform.env"),
        text.replace("/data/pg\n", "/data/other\n"),
    )
    .unwrap();
    let refused = host.ops(&["adopt", "--take", "postgres", "--yes"]);
    assert!(
        refused.code == 4 && refused.err.contains("data"),
        "{}",
        refused.all()
    );
    // The project of the hand-made stack: Compose would replace its containers.
    let project = format!("PLATFORM_PROJECT={}\n", host.prefix);
    let taken = format!("PLATFORM_PROJECT={}hand\n", host.prefix);
    std::fs::write(
        host.path("config/platform.env"),
        text.replace(&project, &taken),
    )
    .unwrap();
    let refused = host.ops(&["adopt", "--take", "postgres", "--yes"]);
    assert!(
        refused.code == 4 && refused.err.contains("in use by"),
        "{}",
        refused.all()
    );
    // Another image.
    std::fs::write(
        host.path("config/platform.env"),
        text.replace(
            &format!("PLATFORM_POSTGRES_IMAGE={POSTGRES_IMAGE}"),
            "PLATFORM_POSTGRES_IMAGE=debian:trixie-slim",
        ),
    )
    .unwrap();
    let refused = host.ops(&["adopt", "--take", "postgres", "--yes"]);
    assert!(
        refused.code == 4 && refused.err.contains("image"),
        "{}",
        refused.all()
    );
    assert_eq!(host.ids(), before);
    // A setting with which the new one cannot start.
    std::fs::write(
        host.path("config/platform.env"),
        format!("{text}PLATFORM_POSTGRES_MAX_CONNECTIONS=nonsense\n"),
    )
    .unwrap();
    let failed = host.ops(&["adopt", "--take", "postgres", "--yes"]);
    assert_eq!(failed.code, 1, "{}", failed.all());
    assert!(failed.err.contains("runs again"), "{}", failed.all());
    assert_eq!(host.ids(), before, "{}", failed.all());
    assert_eq!(
        host.psql("postgres", "select count(*) from t")
            .ok()
            .out
            .trim(),
        "100"
    );
    // The manual's command still finds its container.
    compose_up(&host, &[]);
    assert_eq!(host.ids(), before);
    std::fs::write(host.path("config/platform.env"), text).unwrap();
    killed_in_between(&host, &before);
    a_module_would_be_missing(&host);
}

/// Data of a module cannot be loaded by a Redis that has none.
fn a_module_would_be_missing(host: &Host) {
    let source = host.path("demo.c");
    let module = host.path("data/redis/demo.so");
    let code = "int RedisModule_OnLoad(void **ctx) {
        void (*attributes)(void *, const char *, int, int);
        ((int (*)(const char *, void *))ctx[0])(\"RedisModule_SetModuleAttribs\", &attributes);
        attributes(ctx, \"demo\", 1, 1);
        return 0;
    }";
    std::fs::write(&source, code).unwrap();
    let built = Command::new("cc")
        .args(["-w", "-shared", "-fPIC", "-o"])
        .args([&module, &source])
        .status()
        .unwrap();
    assert!(built.success());
    let file = host.path("apps/postgres-stack/docker-compose.yml");
    let text = std::fs::read_to_string(&file).unwrap();
    let with_module = text.replace(
        "\"${REDIS_PW}\"]",
        "\"${REDIS_PW}\", --loadmodule, /data/demo.so]",
    );
    assert_ne!(text, with_module);
    std::fs::write(&file, with_module).unwrap();
    compose_up(host, &["redis"]);
    by_hand::wait_for_redis(host);
    let id = host.ids()[1].clone();
    let refused = host.ops(&["adopt", "--take", "redis", "--yes"]);
    assert!(
        refused.code == 4 && refused.err.contains("demo.so"),
        "{}",
        refused.all()
    );
    assert_eq!(host.ids()[1], id);
}

/// The same command finishes; `up` starts what was stopped and not yet taken.
fn killed_in_between(host: &Host, before: &[String]) {
    for (steps, service) in [(1, "postgres"), (3, "pgbouncer")] {
        signal_after(host, steps, "KILL", || {
            host.spawn(&["adopt", "--take", service, "--yes"])
        });
        // The engine may still be stopping the old one, which the killed run had asked for.
        let deadline = Instant::now() + Duration::from_secs(120);
        while host.ops(&["adopt", "--take", service, "--yes"]).code != 0 {
            assert!(Instant::now() < deadline, "{}", host.ops(&["status"]).all());
            host.ops(&["up", "--yes"]);
        }
    }
    assert!(
        host.ids()
            .iter()
            .zip(before)
            .filter(|(now, before)| now != before)
            .count()
            == 2
    );
    assert_eq!(
        host.psql("postgres", "select count(*) from t")
            .ok()
            .out
            .trim(),
        "100"
    );
    assert!(host.ops(&["up"]).ok().out.contains("nothing to do"));
    let all = docker(&[
        "ps",
        "-a",
        "--format",
        "{{.Names}}",
        "--filter",
        &format!("name={}", host.prefix),
    ])
    .ok()
    .out;
    assert_eq!(all.lines().count(), 3, "{all}");
}
