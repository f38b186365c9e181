//! `doctor` on the real stack: nothing on a clean one, and every planted fault.

#![allow(clippy::unwrap_used)]

mod host;

use std::os::unix::fs::PermissionsExt;

use host::{Host, assert_found, docker, findings};
use serde_json::Value;

/// The stand-in's Debian packages and this machine, not the stack: pgvector there is older than
/// what doctor asks for, and the clock of a build machine may follow nobody.
fn waivers(host: &Host) {
    let waiver = |check: &str, subject: &str| {
        format!(
            "[[waiver]]\ncheck = {check:?}\nsubject = {subject:?}\nreason = \"test\"\nexpires = \"2999-01-01\"\n"
        )
    };
    let text = waiver("postgres.pgvector", "app_db/vector") + &waiver("host.clock", "clock");
    std::fs::write(host.path("config/waivers.toml"), text).unwrap();
}

/// Notes are no faults of a clean stack.
fn serious(findings: &[Value]) -> Vec<&Value> {
    findings
        .iter()
        .filter(|finding| finding["severity"] != "note")
        .collect()
}

#[test]
fn a_clean_stack_has_no_finding_and_every_planted_fault_is_found() {
    let host = Host::running();
    host.psql("postgres", "create database app_db").ok();
    host.psql(
        "app_db",
        "create extension vector; create table t (n int); insert into t values (1), (1)",
    )
    .ok();
    waivers(&host);
    let clean = findings(&host);
    assert!(
        serious(&clean).is_empty(),
        "{}",
        serde_json::to_string_pretty(&clean).unwrap()
    );
    assert_found(&clean, &[("agent.off", "agent")]);
    let env = host.read("config/platform.env");
    in_the_database(&host);
    in_redis_and_pgbouncer(&host);
    in_files(&host, &env);
}

fn in_the_database(host: &Host) {
    let set = |sql: &str| drop(host.psql("postgres", sql).ok());
    set("alter system set fsync = off");
    set("alter system set full_page_writes = off");
    set("alter system set synchronous_commit = off");
    set("alter system set archive_command = 'false'");
    set("select pg_reload_conf()");
    set("create role careless superuser login");
    set("update pg_database set datcollversion = '1.0' where datname = 'app_db'");
    set("select pg_create_physical_replication_slot('abandoned', true)");
    // A unique index that cannot be built stays behind, invalid.
    host.psql("app_db", "create unique index concurrently broken on t (n)");
    host.psql(
        "app_db",
        "update pg_extension set extversion = '0.7.0' where extname = 'vector'",
    )
    .ok();
    let hba = "echo 'host all all 0.0.0.0/0 trust' >> \"$PGDATA/pg_hba.conf\"";
    docker(&["exec", &host.container("postgres"), "sh", "-c", hba]).ok();
    let found = findings(host);
    assert_found(
        &found,
        &[
            ("postgres.durability", "fsync"),
            ("postgres.durability", "full_page_writes"),
            ("postgres.durability", "synchronous_commit"),
            ("postgres.superuser", "careless"),
            ("postgres.collation", "app_db"),
            ("postgres.slot", "abandoned"),
            ("postgres.invalid-index", "broken"),
            ("postgres.extension", "app_db/vector"),
            ("postgres.hba", "postgres"),
        ],
    );
    set("alter system reset all");
    set("select pg_reload_conf()");
}

fn in_redis_and_pgbouncer(host: &Host) {
    let auth = format!("REDISCLI_AUTH={}", host.env("REDIS_PASSWORD"));
    let redis = |arguments: &[&str]| {
        let container = host.container("redis");
        drop(
            docker(
                &[
                    &["exec", "--env", &auth, &container, "redis-cli", "-e"],
                    arguments,
                ]
                .concat(),
            )
            .ok(),
        );
    };
    redis(&["config", "set", "appendonly", "no"]);
    redis(&["config", "set", "maxmemory", "1gb"]);
    redis(&["config", "set", "maxmemory-policy", "allkeys-lru"]);
    let console = format!(
        "host={} port=6432 user=pgbouncer_admin dbname=pgbouncer",
        host.container("pgbouncer")
    );
    let admin = format!("PGPASSWORD={}", host.env("PGBOUNCER_ADMIN_PASSWORD"));
    let pooler = |command: &str| {
        drop(
            host.client(&admin, &["psql", "-XAt", &console, "-c", command])
                .ok(),
        )
    };
    pooler("set server_login_retry = 15");
    pooler("set max_prepared_statements = 0");
    pooler("set default_pool_size = 500");
    pooler("pause postgres");
    let found = findings(host);
    assert_found(
        &found,
        &[
            ("redis.persistence", "redis"),
            ("redis.maxmemory", "redis"),
            ("redis.policy", "redis"),
            ("pgbouncer.retry", "pgbouncer"),
            ("pgbouncer.version", "pgbouncer"),
            ("pgbouncer.pool-size", "pgbouncer"),
            ("pgbouncer.paused", "postgres"),
            ("pgbouncer.login", "pgbouncer"),
        ],
    );
    redis(&["config", "set", "maxmemory", "0"]);
    redis(&["acl", "setuser", "default", "nopass"]);
    pooler("resume postgres");
    assert_found(
        &findings(host),
        &[("redis.maxmemory", "redis"), ("redis.open", "redis")],
    );
}

fn in_files(host: &Host, env: &str) {
    let write = |text: &str| std::fs::write(host.path("config/platform.env"), text).unwrap();
    let mode = |path: &str, mode: u32| {
        std::fs::set_permissions(host.path(path), PermissionsExt::from_mode(mode)).unwrap()
    };
    let weak = "TRADING_APP_DB_PASSWORD=6432\nOTHER_DB_PASSWORD=6432\nTEMPLATE_DB_PASSWORD=REPLACE_WITH_SOMETHING_LONG\nNAMED_DB_PASSWORD=named_user\nEMPTY_TOKEN=\nODD_SECRET='abcdefghijkl mnop'\nDOLLAR_SECRET=abcdefghijklmnop$qrs\n";
    write(&format!(
        "{env}{weak}REDIS_PASSWORD=changed0123456789changed\n"
    ));
    mode("config/platform.env", 0o644);
    mode("config/postgres/password", 0o444);
    mode("config", 0o755);
    std::fs::write(
        host.path("config/pgbouncer/userlist.txt"),
        "\"trading_app_user\" \"md50123456789abcdef0123456789abcdef\"\n",
    )
    .unwrap();
    std::fs::remove_file(host.path("config/redis/redis.conf")).unwrap();
    let found = findings(host);
    assert_found(
        &found,
        &[
            ("env.access", "platform.env"),
            ("env.duplicate-key", "REDIS_PASSWORD"),
            ("env.duplicate-key", "TRADING_APP_DB_PASSWORD"),
            ("env.dollar", "DOLLAR_SECRET"),
            ("secret.weak", "TRADING_APP_DB_PASSWORD"),
            ("secret.weak", "TEMPLATE_DB_PASSWORD"),
            ("secret.weak", "NAMED_DB_PASSWORD"),
            ("secret.weak", "EMPTY_TOKEN"),
            ("secret.weak", "ODD_SECRET"),
            ("file.access", "config/postgres/password"),
            ("file.access", "srv/config"),
            ("file.drift", "redis.conf"),
            ("file.drift", "userlist.txt"),
            ("pgbouncer.md5", "trading_app_user"),
        ],
    );
    let trading = found
        .iter()
        .find(|finding| {
            finding["subject"] == "TRADING_APP_DB_PASSWORD" && finding["check"] == "secret.weak"
        })
        .unwrap();
    let evidence = trading["evidence"].as_str().unwrap();
    for words in ["fewer than 16", "digits only", "a port", "another key's"] {
        assert!(evidence.contains(words), "{evidence}");
    }
    write("POSTGRES_USER=platform_admin\n");
    assert_found(
        &findings(host),
        &[
            ("env.missing-key", "REDIS_PASSWORD"),
            ("env.missing-key", "POSTGRES_PASSWORD"),
        ],
    );
    write(&format!("{env}BROKEN='never closed\n"));
    assert_found(&findings(host), &[("env.unreadable", "platform.env")]);
    write(env);
    mode("config/platform.env", 0o600);
    host.ops(&["up"]).ok();
}
