//! From an empty root to a running stack with an application as client, and back.

#![allow(clippy::unwrap_used)]

mod host;

use std::process::Command;

use host::{Host, access, docker};

const SECRETS: [&str; 4] = [
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "PGBOUNCER_ADMIN_PASSWORD",
    "TRADING_APP_DB_PASSWORD",
];

const SERVICES: [&str; 3] = ["postgres", "redis", "pgbouncer"];

#[test]
fn init_lays_out_everything_once_and_keeps_what_is_there() {
    let host = Host::new();
    let dry = host.init(&["--dry-run", "--json"]).ok();
    assert_eq!(dry.json()["schema"], "platform-ops/1");
    assert!(!host.root().exists(), "a dry run left something");
    let plan = host.init(&["--dry-run"]).ok();
    insta::assert_snapshot!("plan_of_init", host.normal(&plan.out));
    host.init(&["--app", "trading-app"]).ok();
    assert_eq!(access(&host.path("config/platform.env")), (0o600, 0));
    assert_eq!(access(&host.path("config")), (0o700, 0));
    assert_eq!(
        access(&host.path("config/pgbouncer/userlist.txt")),
        (0o400, 1001)
    );
    let secrets: Vec<String> = SECRETS.iter().map(|key| host.env(key)).collect();
    for (index, secret) in secrets.iter().enumerate() {
        assert!(
            secret.len() == 32 && secret.chars().all(|c| c.is_ascii_alphanumeric()),
            "{secret}"
        );
        assert!(!secrets[..index].contains(secret));
        assert!(
            !host
                .read("data/platform-ops/audit.jsonl")
                .contains(secret.as_str())
        );
    }
    let again = host.ops(&["init"]).ok();
    assert!(again.out.contains("nothing to do"), "{}", again.all());
    let refused = host.ops(&["init", "--set", "PLATFORM_NETWORK=other"]);
    assert_eq!(refused.code, 4, "{}", refused.all());
    let refused = host.ops(&["init", "--set", "REDIS_PASSWORD=x"]);
    assert_eq!(refused.code, 2, "{}", refused.all());
}

#[test]
fn a_new_stack_serves_an_application_and_every_change_is_a_plan_first() {
    let host = Host::initialised();
    let plan = host.ops(&["up", "--dry-run", "--json"]).ok().json();
    let text = host.ops(&["up", "--dry-run"]).ok();
    insta::assert_snapshot!("plan_of_up", host.normal(&text.out));
    host.ops(&["up"]).ok();
    assert_eq!(plan["steps"].as_array().unwrap().len(), 6, "{plan}");
    assert!(host.ops(&["up"]).ok().out.contains("nothing to do"));
    serves_an_application(&host);
    by_hand_changes_nothing(&host);
    shows_no_secret(&host);
    learns_of_a_changed_setting(&host);
    recreates_only_with_consent(&host);
    refuses_a_password_that_only_the_file_knows(&host);
    survives_restart_and_down(&host);
}

/// Through PgBouncer, with the role's own password; and vectors work.
fn serves_an_application(host: &Host) {
    let password = host.env("TRADING_APP_DB_PASSWORD");
    host.psql(
        "postgres",
        &format!("create role trading_app_user login password '{password}'"),
    )
    .ok();
    host.psql(
        "postgres",
        "create database trading_db owner trading_app_user",
    )
    .ok();
    host.psql("trading_db", "create extension vector").ok();
    let pgbouncer = format!(
        "host={} port=6432 user=trading_app_user dbname=trading_db",
        host.container("pgbouncer")
    );
    let sql = "create table t (v vector(3)); insert into t values ('[1,2,3]'); select v <-> '[1,2,4]' from t";
    let run = host
        .client(
            &format!("PGPASSWORD={password}"),
            &["psql", "-XAtq", &pgbouncer, "-c", sql],
        )
        .ok();
    assert_eq!(run.out.trim(), "1");
    let run = host.client(
        "PGPASSWORD=wrong",
        &["psql", "-XAtq", &pgbouncer, "-c", "select 1"],
    );
    assert_ne!(run.code, 0, "a wrong password was let in");
    let redis = host.container("redis");
    let denied = docker(&["exec", &redis, "redis-cli", "-e", "get", "x"]);
    assert!(denied.all().contains("NOAUTH"), "{}", denied.all());
    let auth = format!("REDISCLI_AUTH={}", host.env("REDIS_PASSWORD"));
    docker(&[
        "exec",
        "--env",
        &auth,
        &redis,
        "redis-cli",
        "-e",
        "set",
        "kept",
        "1",
    ])
    .ok();
}

/// The manual's own command, in the stack's folder.
fn by_hand_changes_nothing(host: &Host) {
    let (before, running) = (host.ids(), started(host));
    let output = Command::new("docker")
        .args(["compose", "--env-file"])
        .arg(host.path("config/platform.env"))
        .args(["up", "-d"])
        .current_dir(host.path("apps/platform"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(host.ids(), before);
    assert_eq!(started(host), running, "something was restarted");
}

/// When each container started.
fn started(host: &Host) -> Vec<String> {
    let inspect = |service: &&str| {
        let format = ["inspect", "--format", "{{.State.StartedAt}}"];
        docker(&[&format[..], &[host.container(service).as_str()]].concat())
            .ok()
            .out
    };
    SERVICES.iter().map(inspect).collect()
}

fn shows_no_secret(host: &Host) {
    let mut seen = host.read("data/platform-ops/audit.jsonl");
    for service in ["postgres", "redis", "pgbouncer"] {
        seen += &docker(&["inspect", &host.container(service)]).ok().out;
        seen += &docker(&["logs", &host.container(service)]).all();
    }
    for arguments in [
        &["up", "--dry-run", "--json"][..],
        &["logs"],
        &["app", "list"],
    ] {
        seen += &host.ops(arguments).all();
    }
    for key in SECRETS {
        assert!(!seen.contains(&host.env(key)), "{key} is shown");
    }
}

fn learns_of_a_changed_setting(host: &Host) {
    host.set_env("PLATFORM_PGBOUNCER_POOL_SIZE=7");
    let before = host.ids();
    let run = host.ops(&["up"]).ok();
    assert!(run.err.contains("SIGHUP"), "{}", run.all());
    assert_eq!(host.ids(), before, "a reload recreates nothing");
    let console = format!(
        "host={} port=6432 user=pgbouncer_admin dbname=pgbouncer",
        host.container("pgbouncer")
    );
    let admin = format!("PGPASSWORD={}", host.env("PGBOUNCER_ADMIN_PASSWORD"));
    let config = host
        .client(&admin, &["psql", "-XAt", &console, "-c", "show config"])
        .ok();
    assert!(
        config.out.contains("default_pool_size|7|"),
        "{}",
        config.out
    );
    // A derived file changed by hand is found and put right.
    std::fs::write(host.path("config/redis/redis.conf"), "maxmemory 1mb\n").unwrap();
    let drift = host.ops(&["up", "--dry-run"]).ok();
    assert!(
        drift.out.contains("rewrite") && drift.out.contains("redis.conf"),
        "{}",
        drift.all()
    );
    host.ops(&["up"]).ok();
    assert!(
        host.read("config/redis/redis.conf")
            .contains("maxmemory 768mb")
    );
}

fn recreates_only_with_consent(host: &Host) {
    host.set_env("PLATFORM_REDIS_MEMORY=900m");
    let before = host.ids();
    let refused = host.ops(&["up"]);
    assert_eq!(refused.code, 4, "{}", refused.all());
    assert_eq!(host.ids(), before);
    let plan = host.ops(&["up", "--dry-run"]).ok();
    insta::assert_snapshot!("plan_of_a_recreation", host.normal(&plan.out));
    host.ops(&["up", "--yes"]).ok();
    let after = host.ids();
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
    assert_ne!(after[1], before[1]);
}

/// PgBouncer would be told a password that the database does not take. Redis reads its own.
fn refuses_a_password_that_only_the_file_knows(host: &Host) {
    let env = host.read("config/platform.env");
    let userlist = host.read("config/pgbouncer/userlist.txt");
    for key in ["POSTGRES_PASSWORD", "TRADING_APP_DB_PASSWORD"] {
        host.set_env(&format!("{key}=another0123456789another"));
        let refused = host.ops(&["up", "--yes"]);
        assert_eq!(refused.code, 4, "{}", refused.all());
        assert!(refused.err.contains(key), "{}", refused.all());
        assert_eq!(host.read("config/pgbouncer/userlist.txt"), userlist);
        std::fs::write(host.path("config/platform.env"), &env).unwrap();
    }
    assert!(host.ops(&["up"]).ok().out.contains("nothing to do"));
    host.set_env("REDIS_PASSWORD=another0123456789another");
    let asked = host.ops(&["up"]);
    assert!(
        asked.code == 4 && asked.err.contains("confirmation"),
        "{}",
        asked.all()
    );
    let before = host.ids();
    host.ops(&["up", "--yes"]).ok();
    assert_eq!(host.ids(), before, "it is restarted, not made anew");
    let auth = "REDISCLI_AUTH=another0123456789another";
    let redis = host.container("redis");
    let kept = docker(&[
        "exec",
        "--env",
        auth,
        &redis,
        "redis-cli",
        "-e",
        "get",
        "kept",
    ])
    .ok();
    assert_eq!(kept.out.trim(), "1");
    std::fs::write(host.path("config/platform.env"), &env).unwrap();
    host.ops(&["up", "--yes"]).ok();
    assert!(host.ops(&["up"]).ok().out.contains("nothing to do"));
}

fn survives_restart_and_down(host: &Host) {
    let before = host.ids();
    host.ops(&["restart", "--yes"]).ok();
    assert_eq!(host.ids(), before);
    assert_eq!(host.ops(&["down"]).code, 4, "down asks first");
    host.ops(&["down", "--yes"]).ok();
    assert_ne!(docker(&["inspect", &host.container("postgres")]).code, 0);
    host.ops(&["up"]).ok();
    assert_eq!(
        host.psql("trading_db", "select count(*) from t")
            .ok()
            .out
            .trim(),
        "1"
    );
    let auth = format!("REDISCLI_AUTH={}", host.env("REDIS_PASSWORD"));
    let kept = docker(&[
        "exec",
        "--env",
        &auth,
        &host.container("redis"),
        "redis-cli",
        "get",
        "kept",
    ])
    .ok();
    assert_eq!(kept.out.trim(), "1");
}

#[test]
fn a_second_run_is_told_who_holds_the_lock() {
    let host = Host::initialised();
    let path = host.path("data/platform-ops/lock");
    let _lock =
        platform_ops::lock::acquire(&path, "backup create", std::time::Duration::ZERO).unwrap();
    let refused = host.ops(&["down", "--yes"]);
    assert_eq!(refused.code, 11, "{}", refused.all());
    let pid = std::process::id().to_string();
    assert!(
        refused.err.contains("backup create") && refused.err.contains(&pid),
        "{}",
        refused.all()
    );
    host.ops(&["up", "--dry-run"]).ok();
}

#[test]
fn a_container_of_someone_else_is_left_alone() {
    let host = Host::initialised();
    docker(&[
        "run",
        "--detach",
        "--network",
        "none",
        "--name",
        &host.container("redis"),
        host::REDIS_IMAGE,
        "redis-server",
    ])
    .ok();
    let refused = host.ops(&["up"]);
    assert_eq!(refused.code, 4, "{}", refused.all());
    assert!(refused.err.contains("adopt"), "{}", refused.all());
    assert_ne!(
        docker(&["inspect", &host.container("postgres")]).code,
        0,
        "something was started"
    );
}
