//! `pooler` and `secrets` on a running stack.

#![allow(clippy::unwrap_used)]

mod host;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use host::{Host, Run};

#[test]
fn a_pause_holds_clients_back_and_always_ends() {
    let host = Host::running();
    let pools = host
        .ops(&["pooler", "show", "databases", "--json"])
        .ok()
        .json();
    assert!(
        pools["rows"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["name"] == "pgbouncer"),
        "{pools}"
    );
    assert!(
        host.ops(&["pooler", "show", "config"])
            .ok()
            .out
            .contains("server_login_retry")
    );
    for end in ["INT", "TERM", "for"] {
        pause_until(&host, end);
    }
    refuses_to_wait_for_ever(&host);
    killed(&host);
    // One that somebody made by hand is found.
    by_hand(&host, "PAUSE");
    assert!(is_paused(&host));
    let found = host::findings(&host);
    assert!(
        host::is_found(&found, "pgbouncer.paused", "all databases"),
        "{found:?}"
    );
    host.ops(&["pooler", "resume"]).ok();
    assert!(!is_paused(&host));
    // Nobody is held back: not by what is not paused, nor by what PgBouncer does not know.
    for arguments in [&["pooler", "resume"][..], &["pooler", "resume", "no_such"]] {
        let run = host.ops(arguments).ok();
        assert!(run.out.contains("nothing was held back"), "{}", run.all());
    }
    host.ops(&["pooler", "reload"]).ok();
}

/// A kill of the one who paused lets clients go on, too.
fn killed(host: &Host) {
    for arguments in [&["pooler", "pause"][..], &["pooler", "pause", "postgres"]] {
        assert!(query(host).wait().unwrap().success());
        let mut child = paused(host, arguments);
        let client = query(host);
        fixtures::wait::until("the client to wait", Duration::from_secs(30), || {
            Ok(waiting(host).then_some(()))
        })
        .unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let answer = client.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "42");
    }
}

/// A command in PgBouncer's console.
fn by_hand(host: &Host, command: &str) {
    let target = format!(
        "host={} port=6432 user=pgbouncer_admin dbname=pgbouncer",
        host.container("pgbouncer")
    );
    let password = format!("PGPASSWORD={}", host.env("PGBOUNCER_ADMIN_PASSWORD"));
    host.client(&password, &["psql", "-XAtq", &target, "-c", command])
        .ok();
}

/// A query through the pooler, as a client that waits.
fn query(host: &Host) -> std::process::Child {
    let target = format!(
        "host={} port=6432 user=platform_admin dbname=postgres",
        host.container("pgbouncer")
    );
    Command::new("docker")
        .args([
            "run",
            "--rm",
            "--network",
            &host.network(),
            "--env",
            &format!("PGPASSWORD={}", host.env("POSTGRES_PASSWORD")),
        ])
        .args([
            "--name",
            &format!("{}-query", host.prefix),
            "--entrypoint",
            "psql",
            host::POSTGRES_IMAGE,
            "-XAtq",
            &target,
            "-c",
            "select 41 + 1",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A pause that has begun.
fn paused(host: &Host, arguments: &[&str]) -> std::process::Child {
    let mut child = host.spawn(arguments);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    assert!(line.starts_with("paused"), "{line}");
    // The pipe has to stay open as long as the child writes.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

fn is_paused(host: &Host) -> bool {
    let state = host.ops(&["pooler", "show", "state", "--json"]).ok().json();
    let rows = state["rows"].as_array().unwrap();
    let paused = rows.iter().find(|row| row["key"] == "paused").unwrap();
    paused["value"] == "yes"
}

fn waiting(host: &Host) -> bool {
    let pools = host.ops(&["pooler", "show", "pools", "--json"]).ok().json();
    pools["rows"]
        .as_array()
        .unwrap()
        .iter()
        .any(|row| row["cl_waiting"] != "0")
}

fn pause_until(host: &Host, end: &str) {
    // PgBouncer knows a database once a client asked for it.
    assert!(query(host).wait().unwrap().success());
    let arguments: &[&str] = if end == "for" {
        &["pooler", "pause", "--for", "10s"]
    } else {
        &["pooler", "pause"]
    };
    let mut pause = paused(host, arguments);
    let client = query(host);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !waiting(host) {
        assert!(Instant::now() < deadline, "the client does not wait");
        std::thread::sleep(Duration::from_millis(50));
    }
    if end != "for" {
        assert!(
            Command::new("kill")
                .args([format!("-{end}"), pause.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
    }
    assert!(pause.wait().unwrap().success());
    let answer = client.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "42");
}

/// An open transaction keeps PAUSE waiting: it gives up and leaves nothing paused.
fn refuses_to_wait_for_ever(host: &Host) {
    let target = format!(
        "host={} port=6432 user=platform_admin dbname=postgres",
        host.container("pgbouncer")
    );
    let mut open = Command::new("docker")
        .args([
            "run",
            "--rm",
            "--interactive",
            "--network",
            &host.network(),
            "--env",
            &format!("PGPASSWORD={}", host.env("POSTGRES_PASSWORD")),
        ])
        .args([
            "--name",
            &format!("{}-open", host.prefix),
            "--entrypoint",
            "psql",
            host::POSTGRES_IMAGE,
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
    let refused = host.ops(&["pooler", "pause", "--within", "1s"]);
    assert_eq!(refused.code, 4, "{}", refused.all());
    assert!(!is_paused(host));
    stdin.write_all(b"select 'still here'; commit;\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "still here");
    drop(stdin);
    open.wait().unwrap();
}

#[test]
fn secrets_are_judged_and_set_and_never_shown() {
    let host = Host::initialised();
    let listed = host.ops(&["secrets", "list"]).ok();
    assert!(
        listed.out.contains("TRADING_APP_DB_PASSWORD")
            && !listed.out.contains(&host.env("REDIS_PASSWORD")),
        "{}",
        listed.all()
    );
    host.ops(&["secrets", "check"]).ok();
    host.set_env("WEAK_PASSWORD=6432");
    let check = host.ops(&["secrets", "check", "--json"]);
    assert_eq!(check.code, 4, "{}", check.all());
    assert_eq!(check.json()["secrets"][0]["key"], "WEAK_PASSWORD");
    let canary = "Canary0123456789canary";
    let set = |key: &str, value: &str, more: &[&str]| -> Run {
        let arguments = [&["secrets", "set", key], more].concat();
        Run::fed(&mut host.command(&arguments), value)
    };
    let replaced = set("WEAK_PASSWORD", canary, &[]);
    assert_eq!(
        replaced.code,
        4,
        "what is set asks first: {}",
        replaced.all()
    );
    let replaced = set("WEAK_PASSWORD", &format!("{canary}\n"), &["--yes"]).ok();
    assert_eq!(host.env("WEAK_PASSWORD"), canary);
    assert_eq!(host::access(&host.path("config/platform.env")), (0o600, 0));
    let refused = set("NEW_PASSWORD", "short", &[]);
    assert_eq!(refused.code, 4, "{}", refused.all());
    host.ops(&["secrets", "set", "NEW_PASSWORD", "--generate"])
        .ok();
    assert_eq!(host.env("NEW_PASSWORD").len(), 32);
    host.ops(&["secrets", "check"]).ok();
    let seen = replaced.all()
        + &host.ops(&["secrets", "list", "--json"]).all()
        + &host.read("data/platform-ops/audit.jsonl");
    assert!(!seen.contains(canary) && !seen.contains(&host.env("NEW_PASSWORD")));
}
