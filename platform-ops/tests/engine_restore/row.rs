//! Rows of the table of faults, one by one.

use crate::host::docker;
use crate::setup::{Platform, files, flip};

/// T26, T37: a flipped byte in any object that a restore uses ends it before anything is touched, dumps
/// and archives alike; `verify` finds each (`t04_…`).
#[test]
fn t26_t37_a_flipped_byte_anywhere_ends_a_restore_before_it_touches_anything() {
    let platform = Platform::new();
    platform.create(&["--no-drill"]);
    let key = platform.key_argument();
    let container = platform.host.container("redis");
    let started = ["inspect", "--format", "{{.State.StartedAt}}", &container];
    let databases = "select string_agg(datname, ',' order by 1) from pg_database";
    let state = || {
        let folders = std::fs::read_dir(platform.host.root()).unwrap().count();
        let roles = platform.ask("postgres", "select count(*) from pg_roles");
        (
            platform.ask("postgres", databases),
            roles,
            docker(&started).ok().out,
            folders,
        )
    };
    let before = state();
    for (path, length) in files(&platform.store()) {
        let name = path.to_str().unwrap();
        let other = [
            "database/postgres",
            "database/odd",
            "database/trading_db_test",
        ];
        if other.iter().any(|other| name.contains(other)) {
            continue;
        }
        let command = match name {
            name if name.contains("redis") => vec!["redis", "--confirm", &container],
            name if name.contains("config") => vec!["folder", "config"],
            name if name.contains("apps") => vec!["folder", "apps"],
            name if name.contains("globals") => vec!["globals"],
            _ => vec!["database", "trading_db", "--confirm", "trading_db"],
        };
        let whole = std::fs::read(&path).unwrap();
        for offset in [0, length / 3, length - 1] {
            flip(&path, offset);
            let run = platform.ops(&[&["restore"][..], &command, &["--identity", &key]].concat());
            assert!(
                matches!(run.code, 10 | 12),
                "{name} at {offset}: {}",
                run.all()
            );
            std::fs::write(&path, &whole).unwrap();
        }
    }
    assert_eq!(state(), before);
    platform
        .ops(&["backup", "verify", "latest", "--identity", &key])
        .ok();
}

/// T30: an extension that the image lacks is named before anything begins.
#[test]
fn t30_a_missing_extension_is_named_before_anything_begins() {
    let platform = Platform::new();
    platform.create(&["--no-drill"]);
    let postgres = platform.host.container("postgres");
    let remove = "rm /usr/share/postgresql/17/extension/vector.control";
    docker(&["exec", &postgres, "sh", "-c", remove]).ok();
    let key = platform.key_argument();
    for command in [
        &["restore", "database", "trading_db", "--as", "copy"][..],
        &["restore", "table", "trading_db", "app.orders"],
    ] {
        let run = platform.ops(&[command, &["--identity", &key]].concat());
        assert_eq!(run.code, 4, "{}", run.all());
        assert!(run.err.contains("vector"), "{}", run.err);
    }
    let databases = "select count(*) from pg_database where datname like '%cop%'";
    assert_eq!(platform.ask("postgres", databases), "0");
}

/// T31: parallel index builds want `maintenance_work_mem` of /dev/shm, and 64 MB is what Docker gives.
/// T32: jobs want a file.
#[test]
fn t31_t32_an_index_over_vectors_is_built_in_a_small_dev_shm_by_many_jobs() {
    let platform = Platform::new();
    platform.sql(
        "trading_db",
        "create table public.many(id int primary key, e vector(64)) with (parallel_workers = 2); \
         insert into public.many select i, array_fill(i % 97, array[64])::vector from generate_series(1, 3000) i; \
         create index on public.many using hnsw (e vector_l2_ops);",
    );
    platform.sql(
        "postgres",
        "alter system set maintenance_work_mem = '1GB'; select pg_reload_conf();",
    );
    let parallel = platform.host.psql(
        "trading_db",
        "set max_parallel_maintenance_workers = 2; set min_parallel_table_scan_size = 0; \
         create index on public.many using hnsw (e vector_cosine_ops)",
    );
    assert!(
        parallel.err.contains("shared memory"),
        "no fault to hold: {}",
        parallel.all()
    );
    platform.create(&["--no-drill"]);
    let key = platform.key_argument();
    let copy = [
        "restore",
        "database",
        "trading_db",
        "--as",
        "copy",
        "--jobs",
        "4",
        "--identity",
        &key,
    ];
    platform.ops(&copy).ok();
    assert_eq!(platform.content("copy"), platform.content("trading_db"));
}

/// T35: a time before the first set is refused. T36: between two sets nothing is claimed: the earlier one
/// it is, and the plan says of when.
#[test]
fn t35_t36_a_time_gives_the_last_set_before_it_or_nothing() {
    let platform = Platform::new();
    platform.create(&["--no-drill"]);
    let shown = platform.ops(&["backup", "show", "--json"]).ok().json();
    let first = shown["manifest"]["created"].as_str().unwrap().to_owned();
    let before = platform.content("trading_db");
    platform.sql("trading_db", "delete from app.orders where id > 100;");
    platform.create(&["--no-drill"]);
    let key = platform.key_argument();
    let at = |time: &str, more: &[&str]| {
        let command = [
            "restore",
            "database",
            "trading_db",
            "--as",
            "copy",
            "--identity",
            &key,
        ];
        platform.ops(&[&command[..], &["--set", time], more].concat())
    };
    let early = at("2020-01-02T03:04:05Z", &[]);
    assert_eq!(early.code, 10, "{}", early.all());
    assert!(early.err.contains(&first[..19]), "{}", early.err);
    let plan = at(&first, &["--dry-run", "--json"]).ok().json();
    assert!(plan["notes"].to_string().contains(&first), "{plan}");
    at(&first, &[]).ok();
    assert_eq!(platform.content("copy"), before);
}

/// T39: nothing writes to an object that is there. T40: a save is of its own moment, whatever BGSAVE is
/// under way.
#[test]
fn t39_t40_redis_is_saved_as_of_now_and_no_archive_is_written_to() {
    let platform = Platform::new();
    platform.redis(&["bgsave"]);
    platform.redis(&["set", "last", "moment"]);
    platform.create(&["--no-drill"]);
    let bytes = || -> Vec<Vec<u8>> {
        let all = files(&platform.store());
        all.iter()
            .map(|(path, _)| std::fs::read(path).unwrap())
            .collect()
    };
    let before = bytes();
    platform.redis(&["flushall"]);
    let key = platform.key_argument();
    let container = platform.host.container("redis");
    platform
        .ops(&[
            "restore",
            "redis",
            "--identity",
            &key,
            "--confirm",
            &container,
        ])
        .ok();
    assert_eq!(platform.redis(&["get", "last"]), "moment");
    assert_eq!(bytes(), before);
}

/// T41: `redis-cli` with a wrong password can end with 0.
#[test]
fn t41_a_wrong_password_of_redis_fails_the_backup() {
    let platform = Platform::new();
    platform.host.set_env("REDIS_PASSWORD=wrong0123456789wrong");
    let run = platform.ops(&["backup", "create", "--no-drill"]);
    assert_eq!(run.code, 1, "{}", run.all());
    assert!(run.err.contains("WRONGPASS"), "{}", run.err);
    let list = platform.ops(&["backup", "list", "--json"]).ok().json();
    assert_eq!(list["sets"], serde_json::json!([]));
}
