//! Redis: two passwords for a time, no restart.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::host::{Host, docker};
use crate::setup::{address, application, variable};

const KEY: &str = "REDIS_PASSWORD";

/// A connection, and the answer to AUTH.
fn connect(host: &str, password: &str) -> (BufReader<TcpStream>, String) {
    let mut stream = BufReader::new(TcpStream::connect((host, 6379)).unwrap());
    let answer = say(&mut stream, &format!("AUTH {password}"));
    (stream, answer)
}

fn say(stream: &mut BufReader<TcpStream>, command: &str) -> String {
    stream
        .get_mut()
        .write_all(format!("{command}\r\n").as_bytes())
        .unwrap();
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

fn started(host: &Host) -> String {
    docker(&[
        "inspect",
        "--format",
        "{{.Id}} {{.State.StartedAt}}",
        &host.container("redis"),
    ])
    .ok()
    .out
}

#[test]
fn redis_gets_a_new_password_without_a_restart_and_no_client_is_refused() {
    let host = Host::running();
    let redis = address(&host, "redis");
    let old = host.env(KEY);
    application(
        &host,
        &format!("{{REDIS_AUTH: \"${{{KEY}}}\"}}"),
        "sleep 600",
        "",
    );
    let before = started(&host);
    // One client that stays, and one that always opens a new connection with what its container has.
    let stop = Arc::new(AtomicBool::new(false));
    let (mut stays, answer) = connect(&redis, &old);
    assert_eq!(answer, "+OK");
    let stays_on = stop.clone();
    let client = std::thread::spawn(move || {
        let mut count = 0_u64;
        while !stays_on.load(Ordering::Relaxed) {
            assert_eq!(say(&mut stays, "INCR counter"), format!(":{}", count + 1));
            count += 1;
        }
        count
    });
    let run = host.ops(&["secrets", "rotate", "redis", "--yes"]).ok();
    stop.store(true, Ordering::Relaxed);
    assert!(client.join().unwrap() > 0);
    let new = host.env(KEY);
    assert_eq!(connect(&redis, &new).1, "+OK");
    assert!(connect(&redis, &old).1.starts_with("-WRONGPASS"));
    assert_eq!(variable(&host, "REDIS_AUTH"), new);
    assert_eq!(started(&host), before, "{}", run.all());
    assert!(!run.all().contains(&new) && !run.all().contains(&old));
    // What runs is what a restart brings.
    host.ops(&["restart", "redis", "--yes"]).ok();
    assert_eq!(connect(&redis_after(&host), &new).1, "+OK");
    assert!(host.ops(&["up"]).ok().out.contains("nothing to do"));
    both_are_let_in_until_the_application_changed(&host);
}

fn redis_after(host: &Host) -> String {
    address(host, "redis")
}

/// Killed while its application is made anew: both passwords work, and the next run finishes.
fn both_are_let_in_until_the_application_changed(host: &Host) {
    let old = host.env(KEY);
    let rotate = ["secrets", "rotate", KEY, "--yes"];
    crate::kill::killed_at(host, "recreate", 0, || host.spawn(&rotate));
    assert!(host.path("config/rotation.json").exists());
    let redis = address(host, "redis");
    for password in [&old, &host.env(KEY)] {
        assert_eq!(connect(&redis, password).1, "+OK");
    }
    host.ops(&rotate).ok();
    assert!(connect(&redis, &old).1.starts_with("-WRONGPASS"));
    assert_eq!(connect(&redis, &host.env(KEY)).1, "+OK");
    assert_eq!(variable(host, "REDIS_AUTH"), host.env(KEY));
}
