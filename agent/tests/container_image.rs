//! The image as deployed: uid 0 without a capability, read-only, on the machine's own Docker
//! engine. `make image` builds it.

#![allow(clippy::unwrap_used)]

mod harness;

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use fixtures::burst::Burst;
use fixtures::docker_engine::{ContainerSpec, DockerContainer, DockerEngine, LOG_BURST_IMAGE};
use fixtures::emulator::{Emulator, Options};
use fixtures::wait;

use harness::Harness;

const IMAGE: &str = concat!("platform-agent:", env!("CARGO_PKG_VERSION"));
const SOON: Duration = Duration::from_secs(60);

/// Starts the image the way deploy/agent/compose.yaml does. Only the network differs: the
/// emulator listens on the host's loopback.
fn start_agent(engine: &DockerEngine, run: &str, harness: &Harness) -> DockerContainer {
    let dir = harness.dir().display();
    let containers_dir = engine.containers_dir().display();
    let options = [
        "--network=host".to_owned(),
        "--user=0:0".to_owned(),
        "--cap-drop=ALL".to_owned(),
        "--security-opt=no-new-privileges:true".to_owned(),
        "--read-only".to_owned(),
        "--health-interval=1s".to_owned(),
        format!("--volume={containers_dir}:{containers_dir}:ro"),
        format!("--volume={dir}:{dir}"),
        "--volume=/etc/hostname:/etc/host-hostname:ro".to_owned(),
        format!(
            "--volume={}:/etc/platform-agent/agent.toml:ro",
            harness.config().display()
        ),
    ];
    engine
        .start(&ContainerSpec {
            name: format!("{run}-agent"),
            run: run.to_owned(),
            image: IMAGE.to_owned(),
            options: options.to_vec(),
            arguments: Vec::new(),
        })
        .unwrap_or_else(|error| panic!("{error} (make image builds {IMAGE})"))
}

fn start_writer(engine: &DockerEngine, run: &str) -> (DockerContainer, Burst) {
    let burst = Burst {
        run: run.to_owned(),
        seed: 1,
        lines: 500,
        bytes_min: 1,
        bytes_max: 30_000,
        bytes_per_second: 0,
        unterminated: false,
    };
    let container = engine
        .start(&ContainerSpec {
            name: format!("{run}-writer"),
            run: run.to_owned(),
            image: LOG_BURST_IMAGE.to_owned(),
            options: ["--network=none", "--log-driver=json-file"]
                .map(str::to_owned)
                .to_vec(),
            arguments: burst.arguments(),
        })
        .unwrap();
    (container, burst)
}

/// The value of one field of /proc/PID/status.
fn process_status(pid: &str, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("{field} is not in {text}"))
        .trim()
        .to_owned()
}

#[test]
fn the_image_ships_logs_without_a_capability_and_stops_in_time() {
    let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u32;
    let run = format!("image-{seed:08x}");
    let engine = DockerEngine::connect().unwrap();
    let mut harness = Harness::new(engine.containers_dir(), &[&format!("{run}-*")]);
    let agent = start_agent(&engine, &run, &harness);

    let pid = agent.inspect("{{.State.Pid}}").unwrap();
    for field in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(process_status(&pid, field), "0000000000000000", "{field}");
    }
    assert_eq!(process_status(&pid, "NoNewPrivs"), "1");
    assert_eq!(process_status(&pid, "Uid"), "0\t0\t0\t0");

    let (writer, burst) = start_writer(&engine, &run);
    let mut lines: Vec<String> = (0..burst.lines)
        .map(|sequence| burst.line(sequence))
        .collect();
    lines.sort_unstable();
    harness.assert_arrived(writer.name(), &lines);

    wait::until("the image's health check", SOON, || {
        let health = agent.inspect("{{.State.Health.Status}}")?;
        Ok((health == "healthy").then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", agent.logs().unwrap()));
    let status = agent
        .exec(&[
            "/platform-agent",
            "status",
            "--config",
            "/etc/platform-agent/agent.toml",
        ])
        .unwrap();
    assert!(
        status.contains(writer.name()) || status.contains("accepted"),
        "{status}"
    );

    agent.stop(20).unwrap();
    assert_eq!(
        agent.exit_code().unwrap(),
        Some(0),
        "{}",
        agent.logs().unwrap()
    );
    assert!(
        !agent.logs().unwrap().is_empty(),
        "the agent must have a log of its own to leave out"
    );
    harness.take_in();
    assert_eq!(
        harness.ids(agent.name()),
        0,
        "the agent's own log is not shipped"
    );
    harness.assert_nothing_was_cut_or_dropped();
}

/// On a bridge, as deployed: the instance's services are reached through the host.
#[test]
fn the_image_signs_in_as_the_instance_it_runs_on() {
    let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u32;
    let run = format!("instance-{seed:08x}");
    let engine = DockerEngine::connect().unwrap();
    let emulator = Emulator::start(Options {
        listen: SocketAddr::from(([0, 0, 0, 0], 0)),
        ..Options::default()
    })
    .unwrap();
    let url = format!("http://instance-services:{}", emulator.address().port());
    let containers_dir = engine.containers_dir().display();
    let options = [
        "--user=0:0".to_owned(),
        "--cap-drop=ALL".to_owned(),
        "--security-opt=no-new-privileges:true".to_owned(),
        "--read-only".to_owned(),
        "--tmpfs=/var/lib/platform-agent".to_owned(),
        "--add-host=instance-services:host-gateway".to_owned(),
        format!("--volume={containers_dir}:{containers_dir}:ro"),
        format!("--env=OCI_METADATA_BASE_URL={url}/opc/v2"),
        format!("--env=OCI_CLI_FEDERATION_ENDPOINT={url}/v1/x509"),
        format!("--env=PLATFORM_AGENT_SOURCE__CONTAINERS_DIR={containers_dir}"),
        format!("--env=PLATFORM_AGENT_SOURCE__INCLUDE={run}-writer"),
        "--env=PLATFORM_AGENT_LOGGING__LOG_ID=ocid1.log.oc1..x".to_owned(),
        format!("--env=PLATFORM_AGENT_LOGGING__ENDPOINT={url}"),
    ];
    let agent = engine
        .start(&ContainerSpec {
            name: format!("{run}-agent"),
            run: run.clone(),
            image: IMAGE.to_owned(),
            options: options.to_vec(),
            arguments: vec!["run".to_owned()],
        })
        .unwrap();
    let (_writer, burst) = start_writer(&engine, &run);
    wait::until("the writer's lines", SOON, || {
        Ok((emulator.summary().ids >= burst.lines).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}\n{}", agent.logs().unwrap()));
    let log = agent.logs().unwrap();
    assert!(log.contains("signing in with instance_principal"), "{log}");
}
