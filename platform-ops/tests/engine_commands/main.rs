//! status, logs, app, agent and pull on a running stack.

#![allow(clippy::unwrap_used)]

mod app;
#[path = "../host/mod.rs"]
mod host;
mod logs;
mod member;
#[path = "../planted/mod.rs"]
mod planted;
mod program;
mod pull;
mod room;

use std::io::{BufRead as _, BufReader};
use std::process::Command;

use host::{Host, docker};

#[test]
fn a_running_stack_is_seen_logged_and_extended_by_applications() {
    let host = Host::running();
    status(&host);
    logs::logs(&host);
    app::applications(&host);
    agent(&host);
}

fn status(host: &Host) {
    // The agent is off, which is a note: all is well.
    let first = host.ops(&["status", "--json"]).json();
    let services = first["services"].as_array().unwrap();
    let names: Vec<&str> = services
        .iter()
        .map(|service| service["service"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["postgres", "redis", "pgbouncer"]);
    assert!(
        services
            .iter()
            .all(|service| service["health"] == "healthy" && service["version"].is_string()),
        "{first}"
    );
    let uses_memory = |service: &serde_json::Value| service["memory_bytes"][0].as_u64() > Some(0);
    assert!(services.iter().all(uses_memory), "{first}");
    let load = |index: usize| services[index]["load"].as_str().unwrap();
    assert!(load(0).contains("connections") && load(2).contains("a pool"));
    docker(&["restart", &host.container("redis")]).ok();
    docker(&["stop", &host.container("pgbouncer")]).ok();
    let run = host.ops(&["status"]);
    assert_eq!(run.code, 3, "{}", run.all());
    assert!(
        run.out.contains("redis was restarted")
            && run.out.contains("pgbouncer was healthy, is exited"),
        "{}",
        run.all()
    );
    host.ops(&["up"]).ok();
    watch(host);
    member::members_of_the_docker_group(host);
}

/// What changes while one looks on is told at the next look.
fn watch(host: &Host) {
    let mut child = host.spawn(&["status", "--watch", "--interval", "200ms", "--json"]);
    let mut looks = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut look = || -> serde_json::Value {
        let line = looks.next().unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    };
    let first = look();
    assert!(first["services"].is_array(), "{first}");
    docker(&["restart", &host.container("redis")]).ok();
    let is_told = |look: &serde_json::Value| {
        let changes = look["changes"].as_array().unwrap();
        changes.iter().any(|change| change == "redis was restarted")
    };
    while !is_told(&look()) {}
    signal(child.id(), "INT");
    looks.for_each(drop);
    assert!(child.wait().unwrap().success());
    // A later look compares with the last of these.
    let later = host.ops(&["status", "--json"]).json();
    assert!(!is_told(&later), "{later}");
}

/// The real agent's image, shipping nothing to nowhere.
fn agent(host: &Host) {
    let refused = host.ops(&["agent", "status"]);
    assert!(
        refused.code == 4 && refused.err.contains("PLATFORM_AGENT=on"),
        "{}",
        refused.all()
    );
    host::agent_configuration(host);
    host.set_env("PLATFORM_AGENT=on");
    host.set_env(&format!("PLATFORM_AGENT_NETWORK={}-agent", host.prefix));
    host.set_env(&format!("PLATFORM_AGENT_BRIDGE={}", host.prefix));
    host.set_env(&format!(
        "PLATFORM_AGENT_CONTAINER={}",
        host.container("agent")
    ));
    host.ops(&["up"]).ok();
    let status = host.ops(&["agent", "status", "--json"]).ok().json();
    assert_eq!(status["schema"], "platform-agent/status/1");
    // The key may be read by others, and nobody answers where it sends to.
    host::assert_found(&host::findings(host), planted::AGENT);
    let check = host.ops(&["agent", "check", "--json"]);
    assert_eq!(check.json()["verdict"], "error", "{}", check.all());
    assert_ne!(check.code, 0, "its exit code is the agent's own");
    assert_eq!(host.ops(&["agent", "pause"]).code, 4, "it asks first");
    host.ops(&["agent", "pause", "--yes"]).ok();
    let state = || {
        docker(&[
            "inspect",
            "--format",
            "{{.State.Status}}",
            &host.container("agent"),
        ])
        .ok()
        .out
    };
    assert_eq!(state().trim(), "exited");
    host.ops(&["agent", "pause", "--resume"]).ok();
    assert_eq!(state().trim(), "running");
}

fn signal(pid: u32, signal: &str) {
    assert!(
        Command::new("kill")
            .args([format!("-{signal}"), pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}
