//! Runs that are killed at any moment: the live is the old or the new, and what was left goes with the
//! next run.

use std::process::Child;
use std::time::{Duration, Instant};

use crate::host::docker;
use crate::setup::Platform;

/// Kills of each kind; `make soak` asks for more.
fn kills() -> u32 {
    let asked = std::env::var("PLATFORM_OPS_KILLS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// A fraction of one, by chance; said when a test fails.
fn chance() -> f64 {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).unwrap();
    f64::from(u16::from_le_bytes(bytes)) / 65536.0
}

/// Waits `after`, then kills; whether it had ended by itself.
fn kill_after(mut child: Child, after: Duration) -> bool {
    let deadline = Instant::now() + after;
    while Instant::now() < deadline {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap().code().is_some()
}

#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Duration::from_secs(60);
    fixtures::wait::until(what, limit, || Ok(holds().then_some(()))).unwrap();
}

fn is_paused(platform: &Platform) -> bool {
    let shown = platform
        .ops(&["pooler", "show", "databases", "--json"])
        .ok();
    let rows = shown.json()["rows"].clone();
    rows.as_array()
        .unwrap()
        .iter()
        .any(|row| row["paused"] == "1")
}

/// Guards that are at work for this platform.
fn guards(platform: &Platform) -> usize {
    let root = platform.host.root().display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let commands = processes.map(|entry| std::fs::read(entry.path().join("cmdline")));
    let commands =
        commands.map(|command| String::from_utf8_lossy(&command.unwrap_or_default()).into_owned());
    commands
        .filter(|command| command.contains(&root) && command.ends_with("\0guard\0"))
        .count()
}

fn throwaways(set: &str) -> String {
    let label = format!("label=platform-ops.drill={set}");
    docker(&["ps", "-aq", "--filter", &label]).ok().out
}

/// Once a run is dead: what its guard does by itself, within moments.
#[track_caller]
fn nothing_hangs(platform: &Platform, set: &str) {
    eventually("no pause", || !is_paused(platform));
    eventually("no throw-away container", || throwaways(set).is_empty());
    for service in ["redis", "postgres"] {
        let container = platform.host.container(service);
        eventually("the service", || {
            let state = docker(&["inspect", "--format", "{{.State.Running}}", &container]);
            state.ok().out.trim() == "true"
        });
    }
}

fn change(platform: &Platform) -> String {
    let sql =
        "delete from app.orders where id > 100; insert into public.chunks values (9999, null);";
    platform.sql("trading_db", sql);
    platform.content("trading_db")
}

/// T34: two renames in one transaction, whenever the run is killed, and back again.
#[test]
fn t34_a_killed_restore_leaves_the_old_or_the_new() {
    let platform = Platform::with_stack();
    let set = platform.create(&["--no-drill"]);
    let saved = platform.content("trading_db");
    let mut changed = change(&platform);
    let key = platform.key_argument();
    let restore = [
        "restore",
        "database",
        "trading_db",
        "--identity",
        &key,
        "--confirm",
        "trading_db",
    ];
    let began = Instant::now();
    platform.ops(&restore).ok();
    let whole = began.elapsed();
    for _ in 0..kills() {
        if platform.content("trading_db") == saved {
            changed = change(&platform);
        }
        let after = whole.mul_f64(chance());
        kill_after(platform.host.spawn(&restore), after);
        let now = platform.content("trading_db");
        assert!(
            now == saved || now == changed,
            "killed after {after:?}: {now}"
        );
        nothing_hangs(&platform, &set);
    }
    platform.ops(&restore).ok();
    assert_eq!(platform.content("trading_db"), saved);
    let half = "select count(*) from pg_database where datname like '%\\_\\_restore\\_%'";
    assert_eq!(platform.ask("postgres", half), "0");
    let postgres = platform.host.container("postgres");
    let files = docker(&["exec", &postgres, "sh", "-c", "ls /tmp"]).ok();
    assert!(!files.out.contains("platform-ops"), "{}", files.out);

    // The last restore kept a database; undoing it is killed as well.
    let kept = "select datname from pg_database where datname like 'trading\\_db\\_\\_before%' order by 1 desc limit 1";
    let kept = platform.ask("postgres", kept);
    let undo = [
        "restore",
        "undo",
        "trading_db",
        "--kept",
        &kept,
        "--confirm",
        "trading_db",
    ];
    for _ in 0..kills() {
        let after = Duration::from_secs(2).mul_f64(chance());
        kill_after(platform.host.spawn(&undo), after);
        nothing_hangs(&platform, &set);
        let now = platform.content("trading_db");
        if now != saved {
            return;
        }
    }
    platform.ops(&undo).ok();
    assert_ne!(platform.content("trading_db"), saved);
}

/// Redis starts again with its old keys or with those of the set, and never empty.
#[test]
fn a_killed_restore_of_redis_leaves_the_old_or_the_new() {
    let platform = Platform::new();
    let set = platform.create(&["--no-drill"]);
    let key = platform.key_argument();
    let container = platform.host.container("redis");
    let restore = [
        "restore",
        "redis",
        "--identity",
        &key,
        "--confirm",
        &container,
    ];
    platform.redis(&["set", "of-later", "x"]);
    let began = Instant::now();
    platform.ops(&restore).ok();
    let whole = began.elapsed();
    for _ in 0..kills() {
        platform.redis(&["set", "of-later", "x"]);
        let after = whole.mul_f64(chance());
        kill_after(platform.host.spawn(&restore), after);
        eventually("the end of its guard", || guards(&platform) == 0);
        assert_eq!(throwaways(&set), "", "killed after {after:?}");
        let auth = format!("REDISCLI_AUTH={}", platform.host.env("REDIS_PASSWORD"));
        let ask = ["exec", "-e", &auth, &container, "redis-cli", "-e", "dbsize"];
        eventually("Redis", || docker(&ask).code == 0);
        let keys = platform.redis(&["dbsize"]);
        assert!(
            keys == "50" || keys == "51",
            "killed after {after:?}: {keys} keys"
        );
    }
    platform.ops(&restore).ok();
    assert_eq!(platform.redis(&["dbsize"]), "50");
    let left = docker(&["exec", &container, "sh", "-c", "ls /data"]).ok();
    assert!(!left.out.contains("restore_"), "{}", left.out);
}

/// A drill that is killed leaves no container behind, without another run.
#[test]
fn a_killed_drill_leaves_no_container() {
    let platform = Platform::new();
    let set = platform.create(&["--no-drill"]);
    let key = platform.key_argument();
    let drill = ["backup", "drill", "latest", "--identity", &key];
    for _ in 0..2 {
        let child = platform.host.spawn(&drill);
        eventually("a container of the drill", || !throwaways(&set).is_empty());
        kill_after(child, Duration::from_secs(4).mul_f64(chance()));
        eventually("no container of the drill", || throwaways(&set).is_empty());
    }
    platform.ops(&drill).ok();
    assert_eq!(throwaways(&set), "");
}

/// The pooler's clients wait at most so long, whatever the others do: then nothing has changed.
#[test]
fn the_pause_has_a_bound() {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::{Command, Stdio};
    let platform = Platform::with_stack();
    platform.create(&["--no-drill"]);
    let host = &platform.host;
    let changed = change(&platform);
    let target = format!(
        "host={} port=6432 user=platform_admin dbname=trading_db",
        host.container("pgbouncer")
    );
    let password = format!("PGPASSWORD={}", host.env("POSTGRES_PASSWORD"));
    let mut open = Command::new("docker")
        .args(["run", "--rm", "--interactive", "--network", &host.network()])
        .args([
            "--env",
            &password,
            "--name",
            &format!("{}-open", host.prefix),
        ])
        .args([
            "--entrypoint",
            "psql",
            crate::host::POSTGRES_IMAGE,
            "-XAtq",
            &target,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = open.stdin.take().unwrap();
    stdin.write_all(b"begin; select 'open';\n").unwrap();
    let mut lines = BufReader::new(open.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "open");
    let key = platform.key_argument();
    let restore = [
        "restore",
        "database",
        "trading_db",
        "--identity",
        &key,
        "--confirm",
        "trading_db",
    ];
    let run = platform.ops(&[&restore[..], &["--pause-max", "1s"]].concat());
    assert_eq!(run.code, 4, "{}", run.all());
    assert!(
        run.err.contains("did not end their transactions"),
        "{}",
        run.err
    );
    assert!(!is_paused(&platform));
    stdin.write_all(b"select 'still here'; commit;\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "still here");
    drop(stdin);
    open.wait().unwrap();
    assert_eq!(platform.content("trading_db"), changed);
    let half = "select count(*) from pg_database where datname like '%\\_\\_restore\\_%'";
    assert_eq!(platform.ask("postgres", half), "0");
}
