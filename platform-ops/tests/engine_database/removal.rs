//! A database is dropped only when it is meant, and nobody is in it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use crate::host::{Host, POSTGRES_IMAGE};
use crate::setup::Platform;

#[test]
fn a_database_with_clients_is_not_dropped() {
    let platform = Platform {
        host: Host::running(),
    };
    platform.ops(&["app", "add", "librarian"]).ok();
    let name = "librarian_db";
    let drop = ["db", "drop", name, "--confirm", name];
    // One client through the pooler, which stands idle.
    let target = format!(
        "host={} port=6432 user=librarian_user dbname={name}",
        platform.host.container("pgbouncer")
    );
    let mut client = Command::new("docker")
        .args([
            "run",
            "--rm",
            "--interactive",
            "--network",
            &platform.host.network(),
        ])
        .args([
            "--env",
            &format!("PGPASSWORD={}", platform.host.env("LIBRARIAN_DB_PASSWORD")),
        ])
        .args([
            "--name",
            &format!("{}-client", platform.host.prefix),
            "--entrypoint",
            "psql",
            POSTGRES_IMAGE,
            "-XAtq",
            &target,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    input.write_all(b"select 'here';\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "here");
    let refused = platform.ops(&drop);
    assert!(
        refused.code == 4 && refused.err.contains("librarian_user through the pooler"),
        "{}",
        refused.all()
    );
    input.write_all(b"select 'still';\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "still");
    std::mem::drop(input);
    client.wait().unwrap();
    nobody_is_in_it_and_it_is_meant(&platform);
    forced(&platform);
}

fn nobody_is_in_it_and_it_is_meant(platform: &Platform) {
    let name = "librarian_db";
    let drop = ["db", "drop", name, "--confirm", name];
    // The pooler's own idle session is nobody's.
    let idle = format!("select count(*) from pg_stat_activity where datname = '{name}'");
    assert_ne!(platform.ask("postgres", &idle), "0");
    let unconfirmed = platform.ops(&["db", "drop", name, "--yes"]);
    assert!(
        unconfirmed.code == 4 && unconfirmed.err.contains("--confirm"),
        "{}",
        unconfirmed.all()
    );
    let other = platform.ops(&["db", "drop", name, "--confirm", "librarian"]);
    assert_eq!(other.code, 4, "{}", other.all());
    platform.ops(&[&drop[..], &["--dry-run"]].concat()).ok();
    assert_eq!(platform.databases(name), [name]);
    platform.ops(&drop).ok();
    assert!(platform.databases(name).is_empty() && !platform.is_paused());
    let absent = platform.ops(&drop);
    assert_eq!(absent.code, 4, "{}", absent.all());
    assert_eq!(
        platform
            .ops(&["db", "drop", "postgres", "--confirm", "postgres"])
            .code,
        2
    );
}

/// With --force a session that will not go is ended.
fn forced(platform: &Platform) {
    platform.ops(&["app", "add", "librarian"]).ok();
    let mut session = Command::new("docker")
        .args([
            "exec",
            "-i",
            &platform.host.container("postgres"),
            "psql",
            "-XAtq",
            "-U",
            "platform_admin",
            "librarian_db",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = session.stdin.take().unwrap();
    let mut lines = BufReader::new(session.stdout.take().unwrap()).lines();
    input.write_all(b"begin; select 'here';\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "here");
    let drop = ["db", "drop", "librarian_db", "--confirm", "librarian_db"];
    let refused = platform.ops(&drop);
    assert!(
        refused.code == 4 && refused.err.contains("platform_admin (psql)"),
        "{}",
        refused.all()
    );
    platform.ops(&[&drop[..], &["--force"]].concat()).ok();
    assert!(platform.databases("librarian_db").is_empty());
    std::mem::drop(input);
    session.wait().unwrap();
}
