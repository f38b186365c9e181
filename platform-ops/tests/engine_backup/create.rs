//! Sets are made whole and proven, or not at all.

use std::path::PathBuf;

use crate::setup::{Platform, files};

#[test]
fn a_set_is_made_proven_and_opened_by_the_key_that_is_kept_elsewhere() {
    let platform = Platform::new();
    let dry = platform
        .ops(&["backup", "create", "--dry-run", "--json"])
        .ok()
        .json();
    let names = ["odd = name", "postgres", "trading_db", "trading_db_test"];
    assert_eq!(dry["databases"], serde_json::json!(names));
    assert!(!platform.store().exists(), "a dry run left something");

    let set = platform.create(&[]);
    let list = platform.ops(&["backup", "list", "--json"]).ok().json();
    assert_eq!(list["sets"][0]["set"], set.as_str());
    assert_eq!(list["sets"][0]["proven"], true);
    assert!(list["sets"][0]["drilled_with_escrow"].is_null());

    let shown = platform.ops(&["backup", "show", "--json"]).ok().json();
    let manifest = &shown["manifest"];
    let databases = manifest["databases"].as_array().unwrap();
    let trading = databases
        .iter()
        .find(|database| database["name"] == "trading_db")
        .unwrap();
    assert_eq!(trading["alembic"], serde_json::json!(["abc123"]));
    let rows = |name: &str| {
        let tables = trading["tables"].as_array().unwrap();
        tables.iter().find(|table| table["name"] == name).unwrap()["rows"].clone()
    };
    assert_eq!((rows("orders"), rows("chunks")), (2000.into(), 200.into()));
    assert_eq!(manifest["redis"]["keys"], serde_json::json!([50, 50]));
    let proof = &shown["proofs"][0];
    assert_eq!(proof["faults"], serde_json::json!([]));
    let checks = proof["checks"].to_string();
    for wanted in [
        "nearest rows",
        "B-tree",
        "Redis: 50 keys",
        "alembic_version abc123",
        "grants",
    ] {
        assert!(checks.contains(wanted), "{wanted} is not in {checks}");
    }

    nothing_secret_is_readable(&platform);
    let key = platform.key_argument();
    platform
        .ops(&["backup", "verify", "latest", "--identity", &key])
        .ok();
    platform
        .ops(&["backup", "drill", "latest", "--identity", &key])
        .ok();
    let list = platform.ops(&["backup", "list", "--json"]).ok().json();
    assert!(list["sets"][0]["drilled_with_escrow"].is_string());
    no_container_is_left(&platform);
}

fn nothing_secret_is_readable(platform: &Platform) {
    let secrets = ["POSTGRES_PASSWORD", "REDIS_PASSWORD"].map(|key| platform.host.env(key));
    for (path, _) in files(&platform.store()) {
        let bytes = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        for secret in secrets
            .iter()
            .map(String::as_str)
            .chain(["SCRAM-SHA-256$", "PGDMP"])
        {
            assert!(!text.contains(secret), "{} holds a secret", path.display());
        }
        assert!(
            !path.to_str().unwrap().ends_with(".partial"),
            "{}",
            path.display()
        );
    }
}

fn no_container_is_left(platform: &Platform) {
    let list = platform.ops(&["backup", "list", "--json"]).ok().json();
    let set = list["sets"][0]["set"].as_str().unwrap();
    let label = format!("label=platform-ops.drill={set}");
    let left = crate::host::docker(&["ps", "-aq", "--filter", &label]).ok();
    assert_eq!(left.out, "");
}

/// A database whose table is locked fails the backup in time, and leaves nothing behind: no set, no
/// half file, no backend (T01, T05, T07, T10).
#[test]
fn t05_t10_a_lock_that_stays_fails_the_backup_and_leaves_nothing() {
    let platform = Platform::new();
    let recipients = platform.recipients();
    platform.configure(&format!(
        "{recipients}\ndirectory = {:?}\nlock_wait_seconds = 2\n",
        platform.store()
    ));
    let container = platform.host.container("postgres");
    let lock = "begin; lock table app.orders in access exclusive mode; select pg_sleep(600);";
    let mut holder = std::process::Command::new("docker")
        .args([
            "exec",
            &container,
            "psql",
            "-wXq",
            "-U",
            "platform_admin",
            "-d",
            "trading_db",
        ])
        .args(["-c", lock])
        .spawn()
        .unwrap();
    let held = "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted \
        and relation = 'app.orders'::regclass";
    let limit = std::time::Duration::from_secs(30);
    fixtures::wait::until("the lock", limit, || {
        Ok((platform.ask("trading_db", held) == "1").then_some(()))
    })
    .unwrap();
    let run = platform.ops(&["backup", "create", "--json"]);
    assert_eq!(run.code, 1, "{}", run.all());
    assert!(run.err.contains("trading_db"), "{}", run.err);
    assert!(run.err.contains("lock timeout"), "{}", run.err);
    let list = platform.ops(&["backup", "list", "--json"]).ok().json();
    assert_eq!(list["sets"], serde_json::json!([]));
    let partial =
        |(path, _): &(std::path::PathBuf, u64)| path.to_str().unwrap().ends_with(".partial");
    assert!(!files(&platform.store()).iter().any(partial));
    let own = "select count(*) from pg_stat_activity where application_name like 'platform-ops:%'";
    fixtures::wait::until("no backend of the run", limit, || {
        Ok((platform.ask("postgres", own) == "0").then_some(()))
    })
    .unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
}

/// A killed run leaves no set, and the next one cleans up after it.
#[test]
fn a_run_that_is_killed_at_any_moment_leaves_no_set() {
    let platform = Platform::new();
    let mut known: Vec<PathBuf> = Vec::new();
    for kill_after_files in [1, 3, 5] {
        let mut child = platform.host.spawn(&["backup", "create", "--no-drill"]);
        let limit = std::time::Duration::from_secs(600);
        let folder = fixtures::wait::until("some files", limit, || {
            let folders = std::fs::read_dir(platform.store()).into_iter().flatten();
            let mut folders = folders.flatten().map(|entry| entry.path());
            Ok(folders
                .find(|folder| !known.contains(folder) && files(folder).len() >= kill_after_files))
        })
        .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let list = platform.ops(&["backup", "list", "--json"]).ok().json();
        assert_eq!(
            list["sets"],
            serde_json::json!([]),
            "killed after {kill_after_files}"
        );
        let name = folder.file_name().unwrap().to_str().unwrap();
        assert_eq!(list["unfinished"], serde_json::json!([name]));
        known.push(folder);
    }
    platform.create(&[]);
    let list = platform.ops(&["backup", "list", "--json"]).ok().json();
    assert_eq!(list["unfinished"], serde_json::json!([]));
}
