//! `platform-agent check` over the containers of the machine's own Docker engine.

#![allow(clippy::unwrap_used)]

mod harness;

use std::process::Command;
use std::time::{Duration, SystemTime};

use fixtures::burst::Burst;
use fixtures::docker_engine::{ContainerSpec, DockerContainer, DockerEngine, LOG_BURST_IMAGE};
use fixtures::wait;
use serde_json::Value;

use harness::Harness;

const SOON: Duration = Duration::from_secs(60);

/// A container that goes on for some minutes: `--rm` ones vanish when they end.
fn start(engine: &DockerEngine, run: &str, name: &str, options: &[&str]) -> DockerContainer {
    let burst = Burst {
        run: run.to_owned(),
        seed: 1,
        lines: 10_000,
        bytes_min: 100,
        bytes_max: 100,
        bytes_per_second: 2_000,
        unterminated: false,
    };
    let mut all = vec!["--network=none".to_owned()];
    all.extend(options.iter().map(|&option| option.to_owned()));
    engine
        .start(&ContainerSpec {
            name: format!("{run}-{name}"),
            run: run.to_owned(),
            image: LOG_BURST_IMAGE.to_owned(),
            options: all,
            arguments: burst.arguments(),
        })
        .unwrap()
}

fn report(harness: &Harness) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_platform-agent"))
        .args(["check", "--json", "--no-send", "--config"])
        .arg(harness.config())
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn t34_what_docker_does_to_logs_is_told_of_real_containers() {
    let engine = DockerEngine::connect().unwrap();
    let nanos = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let run = format!("check-{:08x}", nanos as u32);
    let harness = Harness::new(engine.containers_dir(), &[&format!("{run}-*")]);
    let containers = [
        (
            "single",
            &[
                "--log-driver=json-file",
                "--log-opt=max-size=1m",
                "--log-opt=max-file=1",
            ][..],
        ),
        ("brief", &["--rm", "--log-driver=json-file"]),
        ("silent", &["--log-driver=local"]),
        (
            "sound",
            &[
                "--log-driver=json-file",
                "--log-opt=max-size=1m",
                "--log-opt=max-file=5",
            ],
        ),
    ]
    .map(|(name, options)| start(&engine, &run, name, options));
    let report = wait::until("a backlog", SOON, || {
        let report = report(&harness);
        let sends = report["first_start"]["send_bytes"].as_u64();
        Ok((sends > Some(0)).then_some(report))
    })
    .unwrap();
    let told: Vec<(&str, &str)> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["verdict"] == "warning")
        .map(|finding| {
            let text = |key: &str| finding[key].as_str().unwrap();
            (text("check"), text("subject"))
        })
        .filter(|(_, subject)| subject.starts_with(&run))
        .collect();
    let mut expected = [("max-file", 0), ("--rm", 1), ("log driver", 2)]
        .map(|(check, index)| (check, containers[index].name()));
    let mut told = told;
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected, "{report:#}");
    assert_eq!(report["errors"], 0, "{report:#}");
}
