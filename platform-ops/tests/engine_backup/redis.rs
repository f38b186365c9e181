//! Redis comes back, in the order that its append-only file demands.

use crate::host::docker;
use crate::setup::{Platform, files, flip};

/// T38: with an append-only file on, Redis ignores an RDB beside it and starts empty. T42: it is
/// restarted by its policy whenever it ends by itself.
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
    let limit = std::time::Duration::from_secs(30);
    let auth = format!("REDISCLI_AUTH={}", platform.host.env("REDIS_PASSWORD"));
    let ping = ["exec", "-e", &auth, &container, "redis-cli", "-e", "ping"];
    fixtures::wait::until("Redis", limit, || {
        Ok((docker(&ping).out.trim() == "PONG").then_some(()))
    })
    .unwrap();
    holds_what_was_saved(&platform);
    let json = run.json();
    let kept = json["steps"][2]["action"]["kept"].as_str().unwrap();
    let kept = std::path::Path::new(kept).join("appendonlydir");
    assert!(kept.is_dir(), "{}", kept.display());
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
