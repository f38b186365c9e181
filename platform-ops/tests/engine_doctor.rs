//! `doctor` on the real stack: nothing on a clean one, and every planted fault.

#![allow(clippy::unwrap_used)]

mod host;
mod planted;

use std::os::unix::fs::PermissionsExt;

use fixtures::emulator::{Credential, Emulator, Options};
use host::{Host, assert_found, docker, findings};
use serde_json::Value;

/// The stand-in's Debian packages and this machine, not the stack: pgvector there is older than
/// what doctor asks for, and the clock of a build machine may follow nobody.
const NOT_THE_STACKS: [(&str, &str); 2] = [
    ("postgres.pgvector", "app_db/vector"),
    ("host.clock", "clock"),
];

fn waive(host: &Host, findings: &[(&str, &str)]) {
    let waiver = |(check, subject): &(&str, &str)| {
        format!(
            "[[waiver]]\ncheck = {check:?}\nsubject = {subject:?}\nreason = \"test\"\nexpires = \"2999-01-01\"\n"
        )
    };
    let text: String = findings.iter().map(waiver).collect();
    std::fs::write(host.path("config/waivers.toml"), text).unwrap();
}

/// An Object Storage that answers and has not the bucket that is configured.
fn bucket(host: &Host) -> (Emulator, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let credential = Credential::create(folder.path()).unwrap();
    let mut options = Options {
        keyring: credential.keyring(),
        ..Options::default()
    };
    options.objects.buckets = vec!["backups".to_owned()];
    let emulator = Emulator::start(options).unwrap();
    let bucket = |name: &str| {
        let text = format!(
            "[bucket]\nname = {name:?}\nendpoint = {:?}\nauth = \"api_key\"\nconfig_file = {:?}\n",
            emulator.url(),
            credential.config_file
        );
        std::fs::write(host.path("config/backup.toml"), text).unwrap();
    };
    bucket("backups");
    let found = findings(host);
    assert!(
        !found
            .iter()
            .any(|finding| finding["check"] == "backup.bucket"),
        "{found:?}"
    );
    bucket("no-such-bucket");
    (emulator, folder)
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
    waive(&host, &NOT_THE_STACKS);
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
    assert_found(&findings(host), planted::DATABASE);
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
    assert_found(&findings(host), planted::REDIS_AND_PGBOUNCER);
    redis(&["config", "set", "maxmemory", "0"]);
    redis(&["acl", "setuser", "default", "nopass"]);
    pooler("resume postgres");
    assert_found(&findings(host), planted::OPEN_REDIS);
}

fn in_files(host: &Host, env: &str) {
    let write = |text: &str| std::fs::write(host.path("config/platform.env"), text).unwrap();
    let mode = |path: &str, mode: u32| {
        std::fs::set_permissions(host.path(path), PermissionsExt::from_mode(mode)).unwrap()
    };
    let weak = "TRADING_APP_DB_PASSWORD=6432\nOTHER_DB_PASSWORD=6432\nTEMPLATE_DB_PASSWORD=REPLACE_WITH_SOMETHING_LONG\nNAMED_DB_PASSWORD=named_user\nEMPTY_TOKEN=\nODD_SECRET='abcdefghijkl mnop'\nDOLLAR_SECRET=abcdefghijklmnop$qrs\n";
    write(&format!(
        "{env}{weak}REDIS_PASSWORD=changed0123456789changed\nPOSTGRES_PASSWORD=changed9876543210changed\n"
    ));
    waive(host, &[("secret.week", "anything")]);
    let cloud = bucket(host);
    mode("config/platform.env", 0o644);
    mode("config/pgbouncer/pgbouncer.ini", 0o444);
    mode("config", 0o755);
    std::fs::write(
        host.path("config/pgbouncer/userlist.txt"),
        "\"trading_app_user\" \"md50123456789abcdef0123456789abcdef\"\n",
    )
    .unwrap();
    std::fs::remove_file(host.path("config/redis/redis.conf")).unwrap();
    let found = findings(host);
    assert_found(&found, planted::FILES);
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
    drop(cloud);
    std::fs::remove_file(host.path("config/backup.toml")).unwrap();
    write("POSTGRES_USER=platform_admin\n");
    assert_found(&findings(host), planted::MISSING_KEYS);
    write(&format!("{env}BROKEN='never closed\n"));
    assert_found(&findings(host), planted::BROKEN_ENV);
    write(env);
    mode("config/platform.env", 0o600);
    host.ops(&["up"]).ok();
}
