//! Redis comes back, in the order that its append-only file demands.

use std::process::Stdio;
use std::time::Duration;

use fixtures::wait;

use crate::host::{REDIS_IMAGE, Run, docker};
use crate::relay::Relay;
use crate::setup::{Platform, files, flip};

/// T38: with an append-only file on, Redis ignores an RDB beside it and starts empty.
#[test]
fn t38_redis_comes_back_and_stays_over_a_restart() {
    let platform = Platform::new();
    platform.create(&["--no-drill"]);
    platform.redis(&["flushall"]);
    platform.redis(&["set", "of-later", "x"]);
    let key = platform.key_argument();
    let container = platform.host.container("redis");
    let restore = ["restore", "redis", "--identity", &key];
    let refused = platform.ops(&restore);
    assert_eq!(refused.code, 4, "{}", refused.all());
    let run = platform
        .ops(&[&restore[..], &["--confirm", &container, "--json"]].concat())
        .ok();
    holds_what_was_saved(&platform);
    docker(&["restart", &container]).ok();
    let limit = Duration::from_secs(30);
    let auth = format!("REDISCLI_AUTH={}", platform.host.env("REDIS_PASSWORD"));
    let ping = ["exec", "-e", &auth, &container, "redis-cli", "-e", "ping"];
    wait::until("Redis", limit, || {
        Ok((docker(&ping).out.trim() == "PONG").then_some(()))
    })
    .unwrap();
    holds_what_was_saved(&platform);
    let json = run.json();
    let kept = json["steps"][2]["action"]["kept"].as_str().unwrap();
    let kept = std::path::Path::new(kept).join("appendonlydir");
    assert!(kept.is_dir(), "{}", kept.display());
}

/// T42: the engine restarts what ends by itself, and one whose files are being exchanged must not be.
/// The run is held back where it would start Redis again, until the policy had its time.
#[test]
fn t42_no_restart_policy_starts_redis_under_its_restore() {
    let platform = Platform::new();
    platform.create(&["--no-drill"]);
    platform.redis(&["flushall"]);
    let key = platform.key_argument();
    let container = platform.host.container("redis");
    let inspect = |format: &str, name: &str| {
        let run = docker(&["inspect", "--format", format, name]).ok();
        run.out.trim().to_owned()
    };
    let policy = inspect("{{.HostConfig.RestartPolicy.Name}}", &container);
    assert_eq!(policy, "always");
    let start = format!("/containers/{container}/start");
    let relay = Relay::holding(platform.host.path("engine.sock"), Some(start));
    let restore = ["restore", "redis", "--identity", &key];
    let child = platform
        .host
        .command(&[&restore[..], &["--confirm", &container]].concat())
        .env("DOCKER_HOST", relay.address())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let held = relay.held();
    let other = platform.host.container("other");
    let run = ["run", "--detach", "--network", "none", "--name", &other];
    let ends = ["--restart", "always", REDIS_IMAGE, "sh", "-c", "exit 0"];
    docker(&[&run[..], &ends].concat()).ok();
    wait::until("three restarts", Duration::from_secs(60), || {
        let count = inspect("{{.RestartCount}}", &other).parse::<u32>();
        Ok((count.unwrap() >= 3).then_some(()))
    })
    .unwrap();
    let state = "{{.State.Running}} {{.State.Restarting}} {{.RestartCount}}";
    assert_eq!(inspect(state, &container), "false false 0");
    drop(held);
    Run::from(child.wait_with_output().unwrap()).ok();
    holds_what_was_saved(&platform);
}

fn holds_what_was_saved(platform: &Platform) {
    assert_eq!(platform.redis(&["dbsize"]), "50");
    for number in 0..50 {
        assert_eq!(platform.redis(&["get", &format!("key{number}")]), "value");
    }
}

#[test]
fn a_damaged_rdb_is_refused_while_redis_goes_on() {
    let platform = Platform::new();
    platform.create(&["--no-drill"]);
    let all = files(&platform.store());
    let rdb = all
        .iter()
        .find(|(path, _)| path.ends_with("redis.rdb.zst.age"))
        .unwrap();
    flip(&rdb.0, rdb.1 / 2);
    let container = platform.host.container("redis");
    let started = ["inspect", "--format", "{{.State.StartedAt}}", &container];
    let before = docker(&started).ok().out;
    let key = platform.key_argument();
    let run = platform.ops(&[
        "restore",
        "redis",
        "--identity",
        &key,
        "--confirm",
        &container,
    ]);
    assert_eq!(run.code, 12, "{}", run.all());
    assert_eq!(docker(&started).ok().out, before);
    assert_eq!(platform.redis(&["dbsize"]), "50");
}
