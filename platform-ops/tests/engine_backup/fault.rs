//! Faults that made backups of others worthless while they looked well.

use std::process::Command;

use serde_json::json;

use crate::bucket::cloud;
use crate::host::{Run, docker};
use crate::kills::NOISE;
use crate::setup::{Platform, files};

/// When each container was started.
fn started(platform: &Platform) -> Vec<String> {
    let inspect = |service: &str| {
        let container = platform.host.container(service);
        docker(&[
            "inspect",
            "--format",
            "{{.Id}} {{.State.StartedAt}}",
            &container,
        ])
        .ok()
        .out
    };
    ["postgres", "redis"].map(inspect).to_vec()
}

/// T02, T18: a dump that is empty though its program succeeded is a failure, after which nothing is
/// pruned, and no service stands still.
#[test]
fn t02_t18_an_empty_dump_is_a_failure_and_nothing_is_removed_or_stopped() {
    let platform = Platform::new();
    let retention = "[retention]\ndaily = 0\nweekly = 0\nmonthly = 0\nyearly = 0\nfloor = 2\n";
    let text = platform.host.read("config/backup.toml");
    platform.configure(&format!("{text}{retention}"));
    let good = platform.create(&[]);
    let before = (files(&platform.store()), started(&platform));
    let container = platform.host.container("postgres");
    let fake = "printf '#!/bin/sh\\nexit 0\\n' > /usr/local/bin/pg_dump && chmod 755 /usr/local/bin/pg_dump";
    docker(&["exec", &container, "sh", "-c", fake]).ok();
    for _ in 0..2 {
        let run = platform.ops(&["backup", "create"]);
        assert_eq!(run.code, 1, "{}", run.all());
        assert!(run.err.contains("is no dump"), "{}", run.err);
        platform.ops(&["backup", "prune", "--apply"]).ok();
    }
    assert_eq!(started(&platform), before.1);
    let list = platform.ops(&["backup", "list", "--json"]).ok().json();
    assert_eq!(list["sets"][0]["set"], good.as_str());
    let after = files(&platform.store());
    assert!(before.0.iter().all(|file| after.contains(file)));
}

/// T09: pg_dump is the server's own; this host needs none.
#[test]
fn t09_the_tools_are_those_of_the_server() {
    let platform = Platform::new();
    let run: Run = platform
        .host
        .command(&["backup", "create", "--no-drill"])
        .env("PATH", "/nonexistent")
        .output()
        .unwrap()
        .into();
    assert_eq!(run.code, 3, "{}", run.all());
    let shown = platform.ops(&["backup", "show", "--json"]).ok().json();
    let version = shown["manifest"]["cluster"]["version"].as_str().unwrap();
    let server = platform.ask("postgres", "show server_version");
    assert_eq!(version, server);
    // As the archive itself says.
    let key = platform.key_argument();
    let all = files(&platform.store());
    let wanted =
        |(path, _): &&(std::path::PathBuf, u64)| path.ends_with("database/trading_db.pgdump.age");
    let sealed = std::fs::File::open(&all.iter().find(wanted).unwrap().0).unwrap();
    let identity = age::IdentityFile::from_file(key)
        .unwrap()
        .into_identities()
        .unwrap();
    let decryptor = age::Decryptor::new(sealed).unwrap();
    let identities = identity.iter().map(|one| &**one as &dyn age::Identity);
    let mut archive = decryptor.decrypt(identities).unwrap();
    let container = platform.host.container("postgres");
    let mut list = Command::new("docker")
        .args(["exec", "-i", &container, "pg_restore", "--list"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = list.stdin.take().unwrap();
    // It reads no further than it needs.
    let _ = std::io::copy(&mut archive, &mut input);
    drop(input);
    let text = String::from_utf8(list.wait_with_output().unwrap().stdout).unwrap();
    assert!(
        text.contains(&format!("Dumped by pg_dump version: {server}")),
        "{text}"
    );
}

/// T15: nothing of a dump's size lies on this disk, and a folder without room is refused at once.
#[test]
fn t15_no_file_of_the_dumps_size_is_written_and_room_is_asked_for_first() {
    let platform = Platform::new();
    let text = platform.host.read("config/backup.toml");
    let _cloud = cloud(&platform);
    platform.sql("trading_db", NOISE);
    let run: Run = Command::new("prlimit")
        .arg("--fsize=4194304")
        .arg(env!("CARGO_BIN_EXE_platform-ops"))
        .arg("--root")
        .arg(platform.host.root())
        .args(["backup", "create", "--no-drill", "--json"])
        .output()
        .unwrap()
        .into();
    assert_eq!(run.code, 3, "{}", run.all());
    assert!(
        run.json()["bytes"].as_u64().unwrap() > 3 * 4_194_304,
        "{}",
        run.out
    );

    platform.configure(&text);
    let small = platform.host.path("small");
    std::fs::create_dir(&small).unwrap();
    let mount = [
        "-t",
        "tmpfs",
        "-o",
        "size=1m",
        "tmpfs",
        small.to_str().unwrap(),
    ];
    assert!(
        Command::new("mount")
            .args(mount)
            .status()
            .unwrap()
            .success()
    );
    let run = platform.ops(&["backup", "create", "--to", small.to_str().unwrap()]);
    let left = files(&small);
    assert!(
        Command::new("umount")
            .arg(&small)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(run.code, 4, "{}", run.all());
    assert!(run.err.contains("bytes free"), "{}", run.err);
    assert_eq!(left, []);
}

/// T40: a save that is under way already, whose end LASTSAVE cannot tell from another's.
#[test]
fn t40_a_save_that_is_under_way_does_not_stand_in_for_ours() {
    let platform = Platform::new();
    // 50 keys, 100 ms each; all in one session, so that the save still goes on at its end.
    let later: Vec<String> = (50..60)
        .map(|number| format!("key{number} later"))
        .collect();
    let commands = format!(
        "config set rdb-key-save-delay 100000\\nbgsave\\nconfig set rdb-key-save-delay 0\\nmset {}\\ninfo persistence\\n",
        later.join(" ")
    );
    let auth = format!("REDISCLI_AUTH={}", platform.host.env("REDIS_PASSWORD"));
    let script = format!("printf '{commands}' | redis-cli -e");
    let container = platform.host.container("redis");
    let busy = docker(&["exec", "-e", &auth, &container, "sh", "-c", &script])
        .ok()
        .out;
    assert!(busy.contains("rdb_bgsave_in_progress:1"), "{busy}");
    platform.create(&[]);
    let shown = platform.ops(&["backup", "show", "--json"]).ok().json();
    assert_eq!(shown["manifest"]["redis"]["keys"], json!([60, 60]));
    let checks = shown["proofs"][0]["checks"].to_string();
    assert!(checks.contains("Redis: 60 keys"), "{checks}");
}

/// T59: a run that cron starts has no environment, and needs none.
#[test]
fn t59_what_cron_starts_needs_no_environment_and_runs_once_a_night() {
    let platform = Platform::new();
    let text = platform.host.read("config/backup.toml");
    let schedule = "[schedule]\nwindow = \"00:00-24:00\"\ntrading_hours = []\n";
    platform.configure(&format!("{text}{schedule}"));
    let machine = tempfile::tempdir().unwrap();
    let host_root = machine.path().to_str().unwrap();
    platform
        .ops(&[
            "backup",
            "schedule",
            "install",
            "--cron",
            "--host-root",
            host_root,
        ])
        .ok();
    let crontab = machine.path().join("etc/cron.d/platform-ops-backup");
    let crontab = std::fs::read_to_string(crontab).unwrap();
    let line = crontab
        .lines()
        .find(|line| line.contains(" root "))
        .unwrap();
    let (_, command) = line.split_once(" root ").unwrap();
    let program = env!("CARGO_BIN_EXE_platform-ops");
    let command = command.replace("/usr/local/bin/platform-ops", program);
    let sets = || {
        let list = platform.ops(&["backup", "list", "--json"]).ok().json();
        list["sets"].as_array().unwrap().len()
    };
    // The second tick of the night finds a set. Where midnight passes between both, a third does.
    let mut made = Vec::new();
    for _ in 0..3 {
        let run: Run = Command::new("env")
            .args(["-i", "/bin/sh", "-c", &command])
            .output()
            .unwrap()
            .into();
        assert_eq!(run.code, 0, "{}", run.all());
        made.push(sets());
    }
    assert!(made == [1, 1, 1] || made[2] == 2, "{made:?}");
}
