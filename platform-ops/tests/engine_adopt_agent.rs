//! The log agent, from started by hand to run by the stack.

#![allow(clippy::unwrap_used)]

mod host;

use std::time::Duration;

use host::{Host, docker};

/// Started by hand as its README says, but for its own names; the stack goes on from its state.
#[test]
fn the_log_agent_is_adopted_and_taken_with_its_state() {
    let host = Host::initialised();
    let (network, name) = (format!("{}-agent", host.prefix), host.container("agent"));
    host::agent_configuration(&host);
    std::fs::create_dir_all(host.path("data/agent-state")).unwrap();
    let label = ["--label", "com.docker.compose.network=agent"];
    docker(&[&["network", "create"][..], &label, &[&network]].concat()).ok();
    let mount = |from: &str, to: &str| format!("--volume={}:{to}", host.path(from).display());
    let mounts = [
        mount("data/agent-state", "/var/lib/platform-agent"),
        mount("config/agent/agent.toml", "/etc/platform-agent/agent.toml"),
        mount("config/agent/oci", "/etc/platform-agent/oci"),
        "--volume=/var/lib/docker/containers:/var/lib/docker/containers:ro".to_owned(),
    ];
    let mut run = vec!["run", "--detach", "--network", &network, "--name", &name];
    run.extend(mounts.iter().map(String::as_str));
    run.extend(["--health-interval=1s", host::AGENT_IMAGE]);
    docker(&run).ok();
    fixtures::wait::until("the agent to be healthy", Duration::from_secs(60), || {
        let state = docker(&["inspect", "--format", "{{.State.Health.Status}}", &name]);
        Ok((state.out.trim() == "healthy").then_some(()))
    })
    .unwrap();
    let id = || docker(&["inspect", "--format", "{{.Id}}", &name]).ok().out;
    let before = id();
    host.ops(&["adopt", "--network", &host.network()]).ok();
    assert_eq!(id(), before);
    assert_eq!(host.env("PLATFORM_ADOPTED"), "agent");
    let state = host.path("data/agent-state").display().to_string();
    assert_eq!(host.env("PLATFORM_AGENT_DATA"), state);
    let check = host.ops(&["agent", "check", "--json"]);
    assert_eq!(check.json()["schema"], "platform-agent/check/1");
    assert_ne!(
        check.code,
        0,
        "its endpoint does not answer: {}",
        check.all()
    );
    assert!(
        host.ops(&["up", "agent"])
            .ok()
            .out
            .contains("nothing to do")
    );
    let epoch = |folder: &str| {
        let mut names: Vec<_> = std::fs::read_dir(host.path(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert!(!epoch("data/agent-state").is_empty(), "it keeps no state");
    host.ops(&["adopt", "--take", "agent", "--yes"]).ok();
    assert_ne!(id(), before);
    let mounts = docker(&["inspect", "--format", "{{json .Mounts}}", &name]).ok();
    assert!(mounts.out.contains(&state), "{}", mounts.out);
    host.ops(&["agent", "status"]).ok();
    assert!(
        host.ops(&["up", "agent"])
            .ok()
            .out
            .contains("nothing to do")
    );
    let kept = docker(&["inspect", &format!("{name}-before-adopt")]);
    assert_ne!(kept.code, 0, "the old one is still there");
}
