//! What is not rotated, and why.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::host::{Host, POSTGRES_IMAGE};
use crate::setup::{KEY, ROLE, doors, is_paused, trading};

#[test]
fn a_password_that_is_its_applications_port_stays_while_that_is_waived() {
    let host = trading();
    let text = host
        .read("config/platform.env")
        .replace(&host.env(KEY), "6432");
    std::fs::write(host.path("config/platform.env"), text).unwrap();
    host.psql("postgres", &format!("alter role {ROLE} password '6432'"))
        .ok();
    host.ops(&["up"]).ok();
    let waiver = format!(
        "[[waiver]]\ncheck = \"secret.weak\"\nsubject = \"{KEY}\"\nreason = \"TRADE-17\"\nexpires = \"2999-12-31\"\n"
    );
    std::fs::write(host.path("config/waivers.toml"), waiver).unwrap();
    let refused = host.ops(&["secrets", "rotate", ROLE, "--yes"]);
    assert_eq!(refused.code, 4, "{}", refused.all());
    for word in [
        "TRADE-17",
        "for its port",
        "maintainer",
        "DB_PORT",
        "waivers.toml",
    ] {
        assert!(refused.err.contains(word), "{word}: {}", refused.all());
    }
    assert_eq!(doors(&host, ROLE, "6432"), [true, true]);
    // The waiver is gone: the operator has to say that the application was mended.
    std::fs::remove_file(host.path("config/waivers.toml")).unwrap();
    let refused = host.ops(&["secrets", "rotate", ROLE, "--yes"]);
    assert!(
        refused.code == 4 && refused.err.contains("--confirm"),
        "{}",
        refused.all()
    );
    assert_eq!(doors(&host, ROLE, "6432"), [true, true]);
    host.ops(&["secrets", "rotate", ROLE, "--confirm", ROLE])
        .ok();
    assert_eq!(doors(&host, ROLE, "6432"), [false, false]);
    assert_eq!(host.env(KEY).len(), 32);
    an_open_transaction_is_not_cut_off(&host);
    refused_before_anything(&host);
}

fn an_open_transaction_is_not_cut_off(host: &Host) {
    let old = host.env(KEY);
    let target = format!(
        "host={} port=6432 user={ROLE} dbname=trading_db",
        host.container("pgbouncer")
    );
    let mut open = Command::new("docker")
        .args(["run", "--rm", "--interactive", "--network", &host.network()])
        .args([
            "--env",
            &format!("PGPASSWORD={old}"),
            "--name",
            &format!("{}-open", host.prefix),
        ])
        .args(["--entrypoint", "psql", POSTGRES_IMAGE, "-XAtq", &target])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = open.stdin.take().unwrap();
    stdin.write_all(b"begin; select 'open';\n").unwrap();
    let mut lines = BufReader::new(open.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "open");
    let refused = host.ops(&["secrets", "rotate", ROLE, "--within", "1s", "--yes"]);
    assert!(
        refused.code == 4 && refused.err.contains("nothing was changed"),
        "{}",
        refused.all()
    );
    assert!(!is_paused(host) && !host.path("config/rotation.json").exists());
    assert_eq!(doors(host, ROLE, &old), [true, true]);
    stdin.write_all(b"select 'still here'; commit;\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "still here");
    drop(stdin);
    open.wait().unwrap();
}

fn refused_before_anything(host: &Host) {
    let unknown = host.ops(&["secrets", "rotate", "nobody"]);
    assert!(
        unknown.code == 2 && unknown.err.contains(ROLE),
        "{}",
        unknown.all()
    );
    host.set_env("GHOST_DB_PASSWORD=abcdefghijklmnop0123");
    let absent = host.ops(&["secrets", "rotate", "ghost_user", "--yes"]);
    assert!(
        absent.code == 4 && absent.err.contains("no role ghost_user"),
        "{}",
        absent.all()
    );
    host.set_env(&format!("TRADING_URL=postgres://x:{}@y/z", host.env(KEY)));
    let copy = host.ops(&["secrets", "rotate", ROLE, "--yes"]);
    assert!(
        copy.code == 4 && copy.err.contains("TRADING_URL"),
        "{}",
        copy.all()
    );
    assert!(!copy.all().contains(&host.env(KEY)));
}
