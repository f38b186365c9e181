//! The agent against a newer Docker engine (scripts/newer-engine), which unlinks the only log file
//! at each rotation where older ones truncate it.

#![allow(clippy::unwrap_used)]

mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::{Duration, SystemTime};

use fixtures::burst::Burst;
use fixtures::docker_engine::{ContainerSpec, DockerContainer, DockerEngine, LOG_BURST_IMAGE};
use fixtures::emulator::{Fault, FaultKind};
use fixtures::wait;

use harness::Harness;

/// From this release on a single log file is unlinked.
const UNLINKS_SINCE: u32 = 23;
/// Waves of containers that are removed as soon as they end, and containers in each.
const WAVES: u64 = 5;
const WAVE_CONTAINERS: u64 = 6;
/// For what takes the engine a moment.
const ENGINE_MAX: Duration = Duration::from_secs(60);

/// The engine that DOCKER_HOST names.
fn engine() -> DockerEngine {
    let engine = DockerEngine::connect().unwrap();
    let version = engine.version().unwrap();
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    assert!(
        major >= Some(UNLINKS_SINCE),
        "the engine is of version {version}: DOCKER_HOST must name the one of scripts/newer-engine"
    );
    engine
}

fn run_name(kind: &str) -> (String, u64) {
    let seed = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    println!("seed {seed}");
    (format!("{kind}-{:08x}", seed as u32), seed)
}

fn start(engine: &DockerEngine, name: &str, burst: &Burst, options: &[&str]) -> DockerContainer {
    let always = ["--network=none", "--log-driver=json-file"];
    let options = [&always[..], options].concat();
    engine
        .start(&ContainerSpec {
            name: name.to_owned(),
            run: burst.run.clone(),
            image: LOG_BURST_IMAGE.to_owned(),
            options: options.into_iter().map(str::to_owned).collect(),
            arguments: burst.arguments(),
        })
        .unwrap()
}

fn lines(burst: &Burst) -> Vec<String> {
    let mut lines: Vec<String> = (0..burst.lines).map(|n| burst.line(n)).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn t04_every_line_arrives_though_the_only_file_is_unlinked_at_each_rotation() {
    let engine = engine();
    let (run, seed) = run_name("unlink");
    let mut harness = Harness::new(engine.containers_dir(), &[&format!("{run}-*")]);
    harness.start_agent();
    let burst = Burst {
        run: run.clone(),
        seed,
        lines: 3_000,
        bytes_min: 1,
        // Of one piece each: nothing shows that one file follows another that has no name any
        // more, so the pieces of a longer line that a rotation parts are not joined.
        bytes_max: 16_000,
        bytes_per_second: 200_000,
        unterminated: false,
    };
    let name = format!("{run}-only");
    let options = ["--log-opt=max-size=500k", "--log-opt=max-file=1"];
    let container = start(&engine, &name, &burst, &options);
    let folder = engine.containers_dir().join(container.id());
    let path = folder.join(format!("{}-json.log", container.id()));
    let mut files = BTreeSet::new();
    let mut outages = 0;
    while container.is_running().unwrap() {
        if let Ok(metadata) = fs::metadata(&path) {
            // Every third file the service fails: what is unlinked meanwhile is held.
            if files.insert(metadata.ino()) && files.len() % 3 == 0 {
                harness.add_fault(Fault::times(FaultKind::Status(503), 2));
                outages += 1;
            }
        }
        harness.take_in();
    }
    assert!(
        files.len() > 3 && outages > 0,
        "{} files, {outages} outages",
        files.len()
    );
    let names = fs::read_dir(&folder).unwrap();
    let logs = names.filter(|name| {
        let name = name.as_ref().unwrap().file_name();
        name.to_string_lossy().contains("-json.log")
    });
    assert_eq!(logs.count(), 1, "one file is kept");
    harness.emulator().clear_faults();
    harness.assert_arrived(&name, &lines(&burst));
    harness.terminate_agent();
    harness.assert_nothing_was_cut_or_dropped();
}

#[test]
fn t23_t24_every_line_of_containers_that_remove_themselves_arrives_through_kills() {
    let engine = engine();
    let (run, seed) = run_name("storm");
    let mut harness = Harness::new(engine.containers_dir(), &[&format!("{run}-*")]);
    harness.start_agent();
    harness.wait_for_status("an agent that looks", |_| true);
    for wave in 0..WAVES {
        let mut started = Vec::new();
        for n in 0..WAVE_CONTAINERS {
            let burst = Burst {
                run: run.clone(),
                seed: seed ^ (wave * WAVE_CONTAINERS + n),
                lines: 5 + 200 * (n % 2),
                bytes_min: 1,
                bytes_max: 20_000,
                bytes_per_second: 0,
                unterminated: n % 3 == 0,
            };
            let name = format!("{run}-{wave}-{n}");
            started.push((start(&engine, &name, &burst, &["--rm"]), burst));
        }
        for (container, burst) in &started {
            wait::until("the removal of a container", ENGINE_MAX, || {
                let folder = engine.containers_dir().join(container.id());
                Ok((!folder.exists()).then_some(()))
            })
            .unwrap();
            harness.assert_arrived(container.name(), &lines(burst));
        }
        // Nothing of them is left to read; what is not saved yet must not come under other ids.
        harness.kill_agent();
        harness.start_agent();
        harness.wait_for_status("an agent that looks", |_| true);
    }
    harness.terminate_agent();
    harness.assert_nothing_was_cut_or_dropped();
}

/// Starts the engine anew: what runs on it is killed.
fn restart_engine() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/newer-engine");
    for verb in ["stop", "start"] {
        let output = Command::new(script).arg(verb).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{verb}: {text}");
    }
}

#[test]
fn t28_collection_goes_on_when_the_engine_restarts() {
    let engine = engine();
    let (run, seed) = run_name("restart");
    let mut harness = Harness::new(engine.containers_dir(), &[&format!("{run}-*")]);
    harness.start_agent();
    for round in 0..3 {
        let burst = Burst {
            run: run.clone(),
            seed: seed ^ round,
            lines: 1_000_000,
            bytes_min: 1,
            bytes_max: 200,
            bytes_per_second: 100_000,
            unterminated: false,
        };
        let name = format!("{run}-{round}");
        // Not rotated, so that the engine can tell all that was printed.
        let container = start(&engine, &name, &burst, &[]);
        let target = harness.entries() + 500;
        wait::until("lines of a running container", ENGINE_MAX, || {
            harness.take_in();
            Ok((harness.entries() >= target).then_some(()))
        })
        .unwrap();
        restart_engine();
        assert!(!container.is_running().unwrap());
        // What the engine itself says was printed.
        let printed = container.logs().unwrap();
        let mut lines: Vec<String> = printed.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        harness.assert_arrived(&name, &lines);
    }
    harness.terminate_agent();
    harness.assert_nothing_was_cut_or_dropped();
}
